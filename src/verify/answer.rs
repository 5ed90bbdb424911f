//! Reads what was answered, to the last byte or not at all, and says whether it is an answer. What
//! a service writes beside its records may name people: of its words only short codes are kept.

use std::time::Duration;

use reqwest::{StatusCode, header};
use serde_json::Value;

use crate::verify::Failure;

/// How one call to the platform ended, if not with records.
pub(super) enum Refused {
    /// It answered with that code.
    Code(String),
    /// It did not answer, or not understandably.
    Failed(Failure),
}

/// Sends and reads the whole answer.
pub(super) async fn body(request: reqwest::RequestBuilder) -> Result<Vec<u8>, Failure> {
    let mut response = request.send().await.map_err(|error| {
        let note = if error.is_timeout() { "no answer in time" } else { "no answer" };
        Failure::new(note, LATER)
    })?;
    let status = response.status();
    if !status.is_success() {
        let after = response.headers().get(header::RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let heeded =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let wait = after.filter(|_| heeded).map_or(LATER, Duration::from_secs);
        return Err(Failure::new(format!("HTTP {}", status.as_u16()), wait.min(LONGEST)));
    }
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_BYTES => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => return Err(Failure::new("the answer is too long", LATER)),
            Ok(None) => return Ok(body),
            Err(_) => return Err(Failure::new("the answer was cut short", LATER)),
        }
    }
}

/// The records in an answer: `{"status":"success","result":…}`, or why there are none.
pub(super) fn records_of(body: &[u8]) -> Result<Vec<Value>, Refused> {
    let strange = || Refused::Failed(Failure::new("the answer was not understood", LATER));
    let answer: Value = serde_json::from_slice(body).map_err(|_| strange())?;
    if answer["status"] != "success" {
        // The platform itself speaks of errors by code, before any service was asked.
        return match code_of(&answer["code"]) {
            Some(code) if code != "0" => Err(Refused::Code(code)),
            _ => Err(strange()),
        };
    }
    let result = match &answer["result"] {
        // Some services put their JSON into a text.
        Value::String(text) => serde_json::from_str(text).map_err(|_| strange())?,
        other => other.clone(),
    };
    match result {
        Value::Array(rows) if rows.iter().all(Value::is_object) => Ok(rows),
        Value::Object(row) if row.contains_key("errormsg") => {
            // Its words are the service's and may name the person: only that it is one is told.
            Err(Refused::Failed(Failure::new("the service answered with an error", LATER)))
        }
        Value::Object(row) if !row.is_empty() => Ok(vec![Value::Object(row)]),
        _ => Err(strange()),
    }
}

/// A short code in text or number; anything longer is no code, and might be anything.
pub(super) fn code_of(value: &Value) -> Option<String> {
    let code = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let good = (1..=12).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    good.then_some(code)
}

/// `application/x-www-form-urlencoded`, UTF-8.
pub(super) fn encoded(fields: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in fields {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                    out.push(char::from(byte));
                }
                b' ' => out.push('+'),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    out
}

/// When an ordinary failure is worth another try.
pub(super) const LATER: Duration = Duration::from_secs(5);
/// Longest a `Retry-After` of the platform is passed on.
const LONGEST: Duration = Duration::from_secs(600);
/// Most bytes read of an answer.
const ANSWER_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(answer: Value) -> Result<usize, String> {
        match records_of(answer.to_string().as_bytes()) {
            Ok(rows) => Ok(rows.len()),
            Err(Refused::Code(code)) => Err(code),
            Err(Refused::Failed(failure)) => Err(failure.note),
        }
    }

    #[test]
    fn only_a_list_of_records_or_one_record_is_an_answer() {
        let good = |result| json!({"status": "success", "result": result});
        assert_eq!(rows(good(json!([]))), Ok(0));
        assert_eq!(rows(good(json!([{"a": 1}, {"a": 2}]))), Ok(2));
        assert_eq!(rows(good(json!({"op_type": "IA"}))), Ok(1));
        assert_eq!(rows(good(json!("[{\"op_type\":\"IA\"}]"))), Ok(1));
        assert_eq!(rows(json!({"code": "E-106", "message": "x"})), Err("E-106".into()));
        assert_eq!(rows(json!({"code": -1})), Err("-1".into()));
        let strange = "the answer was not understood";
        for answer in [
            json!({"status": "success"}),
            json!({"status": "success", "result": null}),
            json!({"status": "success", "result": {}}),
            json!({"status": "success", "result": ["x"]}),
            json!({"status": "success", "result": "查无此人"}),
            json!({"status": "fail", "result": []}),
            json!({"code": "0"}),
            json!({"code": "230102196802290011 王小明"}),
            json!([]),
        ] {
            assert_eq!(rows(answer.clone()), Err(strange.into()), "{answer}");
        }
        let error = good(json!({"errormsg": "王小明 230102196802290011 超时"}));
        assert_eq!(rows(error), Err("the service answered with an error".into()));
    }

    #[test]
    fn forms_are_encoded_byte_by_byte() {
        let fields = [("name_man", "王 明·"), ("cert_num_man", "11010519491231002X")];
        let text = "name_man=%E7%8E%8B+%E6%98%8E%C2%B7&cert_num_man=11010519491231002X";
        assert_eq!(encoded(&fields), text);
    }
}
