//! The old provincial marriage web service (Inspur 2013, SOAP 1.1 on Axis; domain.md §7 \[S26c\]): the
//! answer is XML in a string, its root `MARRY_RETRUNS` (spelt so) with `MARRY_RETRUN` rows, or
//! `ERROR`; it is not well-formed and goes through `repair` first.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use quick_xml::{Reader, escape::escape, events::Event};
use reqwest::{Client, header};

use crate::{
    breaker::{Admission, Breaker},
    config::{self, Verification},
    model::{fault::Fault, trace::TraceContext},
    verify::{Failure, RESTS, Side, answer, exchange, marriage::Record, read, repair::repair},
};

/// One provincial library.
pub(super) struct Registry {
    party: String,
    client: Client,
    url: String,
    settings: config::Registry,
    password: String,
    deadline: Duration,
    breaker: Breaker,
}

impl Registry {
    pub(super) fn new(
        party: &str,
        settings: &Verification,
        registry: &config::Registry,
        client: &Client,
    ) -> Result<Self, Fault> {
        let file = &registry.password_file;
        let password = std::fs::read_to_string(file)
            .map_err(|error| Fault::new(file, 0, format!("cannot be read: {error}")))?;
        Ok(Self {
            party: party.to_owned(),
            client: client.clone(),
            url: format!("{}{}", settings.endpoint, registry.path),
            settings: registry.clone(),
            password: password.trim().to_owned(),
            deadline: Duration::from_millis(settings.deadline_ms),
            breaker: exchange::breaker(settings),
        })
    }

    pub(super) fn party(&self) -> &str {
        &self.party
    }

    pub(super) const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// All records the library has under that number, before `until`.
    pub(super) async fn records(
        &self,
        side: Side,
        number: &str,
        until: Instant,
        trace: &TraceContext,
    ) -> Result<Vec<Record>, Failure> {
        if let Admission::NotBefore(when) = self.breaker.admit(Instant::now()) {
            let wait = when.saturating_duration_since(Instant::now());
            return Err(Failure::new(RESTS, wait));
        }
        let began = Instant::now();
        let request = self
            .client
            .post(&self.url)
            .header(header::CONTENT_TYPE, "text/xml; charset=utf-8")
            .header("SOAPAction", "\"\"")
            .header("traceparent", trace.to_string())
            .timeout(until.saturating_duration_since(Instant::now()))
            .body(self.question(side, number));
        let asked = answer::body(request).await.and_then(|body| {
            let wrong =
                |what| Failure::new(format!("the old library's answer {what}"), answer::LATER);
            let text = std::str::from_utf8(&body).map_err(|_| wrong("is not UTF-8"))?;
            records_of(&returned(text).map_err(wrong)?).map_err(wrong)
        });
        match &asked {
            Ok(_) => self.breaker.succeeded(),
            Err(_) => {
                if self.breaker.failed(began, Instant::now()) {
                    tracing::warn!(party.code = self.party, "questions rest: the breaker opened");
                }
            }
        }
        asked
    }

    fn question(&self, side: Side, number: &str) -> String {
        let (man, woman) = match side {
            Side::Man => (number, ""),
            Side::Woman => ("", number),
        };
        let operation = &self.settings.operation;
        let arguments = [
            ("user", self.settings.user.as_str()),
            ("password", &self.password),
            ("manID", man),
            ("womanID", woman),
        ];
        let arguments: String = arguments
            .iter()
            .map(|(name, value)| format!("<{name}>{}</{name}>", escape(*value)))
            .collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\">\
             <soapenv:Body><q:{operation} xmlns:q=\"{}\">{arguments}</q:{operation}>\
             </soapenv:Body></soapenv:Envelope>",
            escape(&self.settings.namespace)
        )
    }
}

/// The string that the operation returned: all text of the element whose name ends in `Return`.
fn returned(soap: &str) -> Result<String, &'static str> {
    let mut found: Option<String> = None;
    walk(soap, |path, text| {
        if path.last().is_some_and(|name| name.ends_with("Return")) {
            found.get_or_insert_default().push_str(text);
        }
    })?;
    found.ok_or("is a SOAP fault or holds no returned string")
}

/// The rows of `MARRY_RETRUNS`. No row is an answer; an `ERROR`, or another root, is none.
fn records_of(damaged: &str) -> Result<Vec<Record>, &'static str> {
    let mut rows: Vec<HashMap<String, String>> = Vec::new();
    let (mut rooted, mut error) = (false, false);
    walk(&repair(damaged), |path, text| {
        rooted |= path.first().is_some_and(|root| root == "MARRY_RETRUNS");
        error |= path.iter().any(|name| name == "ERROR");
        match path {
            [_, row] if row == "MARRY_RETRUN" && text.is_empty() => rows.push(HashMap::new()),
            [_, row, field] if row == "MARRY_RETRUN" => {
                if let Some(row) = rows.last_mut() {
                    row.entry(field.clone()).or_default().push_str(text);
                }
            }
            _ => {}
        }
    })?;
    if error || !rooted {
        return Err("is an error, or no list of records");
    }
    rows.iter().map(record).collect::<Option<_>>().ok_or("holds a record without its kind")
}

fn record(row: &HashMap<String, String>) -> Option<Record> {
    let get = |name: &str| row.get(name).map(|text| text.trim().to_owned()).unwrap_or_default();
    let record = Record {
        operation: get("OP_TYPE").to_ascii_uppercase(),
        date: read::day(&get("OP_DATE")),
        registry: get("DEPT_CODE"),
        certificate: get("CERT_NO"),
        man: get("CARD_MAN"),
        woman: get("CARD_WOMAN"),
    };
    (!record.operation.is_empty()).then_some(record)
}

/// Calls `see` with the path of each element as it opens, with no text, and with each piece of its
/// own text. Local names; no document type, no other entity than the predefined.
fn walk(text: &str, mut see: impl FnMut(&[String], &str)) -> Result<(), &'static str> {
    const BROKEN: &str = "is not well-formed XML, even when mended";
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut path: Vec<String> = Vec::new();
    let mut roots = 0;
    loop {
        match reader.read_event().map_err(|_| BROKEN)? {
            Event::Start(start) => {
                roots += usize::from(path.is_empty());
                if path.len() >= 16 || roots > 1 {
                    return Err(BROKEN);
                }
                path.push(start.local_name().as_ref().to_owned());
                see(&path, "");
            }
            Event::Empty(start) => {
                roots += usize::from(path.is_empty());
                path.push(start.local_name().as_ref().to_owned());
                see(&path, "");
                path.pop();
            }
            Event::End(_) => {
                path.pop().ok_or(BROKEN)?;
            }
            Event::Text(piece) => {
                let piece = piece.xml10_content();
                if path.is_empty() && !piece.trim().is_empty() {
                    return Err(BROKEN);
                }
                if !piece.is_empty() {
                    see(&path, &piece);
                }
            }
            Event::CData(piece) => see(&path, &piece.xml10_content()),
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|_| BROKEN)?;
                let name = reference.xml10_content();
                let resolved = match (character, name.as_ref()) {
                    (Some(character), _) => character.to_string(),
                    (None, "lt") => "<".into(),
                    (None, "gt") => ">".into(),
                    (None, "amp") => "&".into(),
                    (None, "quot") => "\"".into(),
                    (None, "apos") => "'".into(),
                    (None, _) => return Err(BROKEN),
                };
                see(&path, &resolved);
            }
            Event::DocType(_) => return Err(BROKEN),
            Event::Eof if path.is_empty() && roots == 1 => return Ok(()),
            Event::Eof => return Err(BROKEN),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the service writes it: a long dash in the comment, blanks in tags, spelt as it is.
    const ANSWER: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
        <MARRY_RETRUNS><!— 返回的婚姻信息 -->< MARRY_RETRUN >\
        <NAME_MAN>王·明</NAME_MAN><CERT_TYPE_MAN>1</CERT_TYPE_MAN><CARD_MAN>110105491231002</CARD_MAN>\
        <NAME_WOMAN>李</NAME_WOMAN>< CARD_WOMAN >000000500101000</ CARD_WOMAN >\
        <OP_DATE>1985-10-01 00:00:00.0</OP_DATE><OP_TYPE>IA</OP_TYPE>\
        <DEPT_CODE>230102</DEPT_CODE><DEPT_NAME>道里区 & 民政局</DEPT_NAME>\
        </MARRY_RETRUN></MARRY_RETRUNS>";

    #[test]
    fn the_ill_formed_answer_is_read() {
        let records = records_of(ANSWER).unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].operation, "IA");
        assert_eq!(records[0].date.unwrap().to_string(), "1985-10-01");
        assert_eq!(records[0].woman, "000000500101000");
    }

    #[test]
    fn no_rows_are_an_answer_and_an_error_is_none() {
        assert_eq!(records_of("<MARRY_RETRUNS></MARRY_RETRUNS>").unwrap().len(), 0);
        assert_eq!(records_of("<MARRY_RETRUNS/>").unwrap().len(), 0);
        for none in [
            "<MARRY_RETRUNS><ERROR>用户名或密码错误</ERROR></MARRY_RETRUNS>",
            "<ERROR>系统异常</ERROR>",
            "<html><body>404</body></html>",
            "",
            "系统维护中",
            "<MARRY_RETRUNS><MARRY_RETRUN>",
            "<MARRY_RETRUNS><MARRY_RETRUN><OP_DATE>1985</OP_DATE></MARRY_RETRUN></MARRY_RETRUNS>",
        ] {
            assert!(records_of(none).is_err(), "{none}");
        }
    }

    #[test]
    fn the_string_is_taken_out_of_the_envelope() {
        let soap = |inner: &str| {
            format!(
                "<soapenv:Envelope xmlns:soapenv=\"x\"><soapenv:Body><ns1:getAllMarryByIDResponse>\
                 {inner}</ns1:getAllMarryByIDResponse></soapenv:Body></soapenv:Envelope>"
            )
        };
        let inner = format!("<getAllMarryByIDReturn>{}</getAllMarryByIDReturn>", escape(ANSWER));
        assert_eq!(returned(&soap(&inner)).unwrap(), ANSWER);
        assert!(
            returned(&soap("<soapenv:Fault><faultstring>x</faultstring></soapenv:Fault>")).is_err()
        );
    }
}
