//! Too much, too fast, too deep: overload is shed with a clear answer and accepted work goes on;
//! hostile documents are refused as cheaply as any other.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use reqwest::Method;

use crate::{
    harness::{House, Plan, SOON, answer},
    papers,
};

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_come_back() {
    let house = House::start(Plan::new().set("limits", "rate_per_second", 5)).await;
    let (caller, other) = (house.caller("44"), house.caller("23"));
    let mut refused = Vec::new();
    for n in 0..20 {
        let answer = caller.submit(&format!("r-{n}"), &papers::subsidy(n, "510104")).await;
        if answer.status.as_u16() != 201 {
            refused.push(answer.expect(429));
        }
    }
    assert!(refused.len() >= 5, "{}", refused.len());
    for answer in &refused {
        assert_eq!(answer.json()["reason"], "RATE_LIMITED");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1, "{answer:?}");
    }
    // One party's haste is not another's wait.
    other.submit("o-1", &papers::subsidy(100, "510104")).await.expect(201);
}

/// The bodies of refused calls come after the answers; HTTP/2 libraries end a connection on which too
/// many of them find nobody, and the calls that were taken with it.
#[tokio::test]
async fn thousands_of_refusals_do_not_end_the_connection_they_came_on() {
    let house = House::start(Plan::new().set("limits", "calls_per_party", 1)).await;
    let caller = house.caller("44");
    let mut padded = papers::subsidy(1, "510104");
    padded["remark"] = "长".repeat(20_000).into();
    let body: bytes::Bytes = padded.to_string().into();
    let calls = futures::stream::iter(0..4_000).map(|n| {
        let call = caller
            .request(Method::POST, "/v1/applications")
            .header("Idempotency-Key", format!("g-{n}"))
            .header("Content-Type", "application/json")
            .body(body.clone());
        async move { answer(call).await.expect("the connection ended").status.as_u16() }
    });
    let statuses: Vec<u16> = calls.buffer_unordered(300).collect().await;
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert!(refused > 3_000, "{refused}");
    caller.submit("after", &papers::subsidy(2, "510104")).await.expect(201);
}

#[tokio::test]
async fn overload_is_shed_and_what_was_taken_stays_taken() {
    let plan = Plan::new().set("limits", "calls_per_party", 8);
    let house = House::start(plan).await;
    let caller = house.caller("44");
    let calls: Vec<_> = (0..200)
        .map(|n| {
            let caller = caller.clone();
            tokio::spawn(async move {
                caller.submit(&format!("s-{n}"), &papers::subsidy(n, "510104")).await
            })
        })
        .collect();
    let mut taken = Vec::new();
    for (n, call) in calls.into_iter().enumerate() {
        let answer = call.await.unwrap();
        match answer.status.as_u16() {
            201 => taken.push((n, answer.id())),
            429 | 503 => {
                assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
                let reason = answer.json()["reason"].clone();
                assert!(reason == "RATE_LIMITED" || reason == "OVERLOADED", "{reason}");
            }
            _ => panic!("{answer:?}"),
        }
    }
    assert!(!taken.is_empty());
    for (n, id) in &taken {
        let n = u32::try_from(*n).unwrap();
        let again = caller.submit(&format!("s-{n}"), &papers::subsidy(n, "510104")).await;
        assert_eq!(again.expect(201).id(), *id);
    }
    assert_eq!(house.gauge("tongban_audit_leaves").await, i64::try_from(taken.len()).unwrap());
}

#[tokio::test]
async fn hostile_documents_are_refused_at_once() {
    let house = House::start(Plan::new()).await;
    let (json, xml) = (house.caller("23"), house.caller("44"));
    let laughs = "<!DOCTYPE a [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]><GdmzMessage>&b;</GdmzMessage>";
    let outside =
        "<!DOCTYPE a [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><GdmzMessage>&a;</GdmzMessage>";
    let deep = 100_000;
    let cases = [
        (&xml, laughs.to_owned()),
        (&xml, outside.to_owned()),
        (&xml, format!("{}{}", "<a>".repeat(deep), "</a>".repeat(deep))),
        (&xml, format!("<a {}/>", (0..50_000).map(|n| format!("b{n}=\"\" ")).collect::<String>())),
        (&json, format!("{}{}", "[".repeat(deep), "]".repeat(deep))),
        (&json, format!("{}1{}", "{\"a\":".repeat(deep), "}".repeat(deep))),
        (&json, "\u{feff}{}".to_owned()),
        (&json, "\"".to_owned()),
    ];
    for (caller, document) in cases {
        let began = Instant::now();
        let refused = caller.native("/native/disability_subsidy", &document).await;
        assert!(refused.status.is_client_error(), "{:.60}: {refused:?}", document);
        assert!(!refused.text.contains("root:"), "{}", refused.text);
        assert!(began.elapsed() < Duration::from_secs(10), "{:.60}", document);
    }
    for text in [format!("{}1{}", "[".repeat(deep), "]".repeat(deep)), "{".repeat(deep)] {
        let request = json
            .request(Method::POST, "/v1/applications")
            .header("Idempotency-Key", "deep")
            .header("Content-Type", "application/json")
            .body(text);
        let refused = answer(request).await.unwrap().expect(400);
        assert_eq!(refused.json()["reason"], "INVALID_ARGUMENT");
    }
    // Bytes that are no UTF-8.
    let request = json
        .request(Method::POST, "/native/disability_subsidy")
        .header("Content-Type", "application/json")
        .body(vec![b'{', 0xff, 0xfe, b'}']);
    assert!(answer(request).await.unwrap().status.is_client_error());
    json.native("/native/disability_subsidy", &papers::golden("23-disability.json", 1))
        .await
        .expect(200);
}

#[tokio::test]
async fn http_1_1_is_served_on_the_same_port() {
    let house = House::start(Plan::new()).await;
    let mut tls = house.tls("44");
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .timeout(SOON)
        .build()
        .unwrap();
    let token = house.token("44", "applications:submit applications:read");
    let request = client
        .post(format!("https://{}/v1/applications", house.edge()))
        .bearer_auth(&token)
        .header("Idempotency-Key", "h-1")
        .json(&papers::subsidy(1, "510104"));
    let response = request.send().await.unwrap();
    assert_eq!(response.version(), reqwest::Version::HTTP_11);
    assert_eq!(response.status().as_u16(), 201);
}

#[tokio::test]
async fn an_end_does_not_wait_for_watchers_for_ever() {
    let mut house = House::start(Plan::new()).await;
    let caller = house.caller("44");
    let request = caller.request(Method::GET, "/v1/applications:watch?afterEvent=0");
    let mut watch = request.send().await.unwrap();
    caller.submit("w-1", &papers::subsidy(1, "510104")).await.expect(201);
    assert!(watch.chunk().await.unwrap().is_some());
    let began = Instant::now();
    let ended = house.stop().await;
    assert!(ended.success(), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
