//! Taking applications in: gRPC, REST and each party's own format, who may do and see what, and
//! what comes back.

use reqwest::Method;
use serde_json::{Value, json};
use tongban::model::pb;
use tonic::Code;

use crate::{
    harness::{House, Plan, SOON, answer, keyed, until},
    papers,
    receiver::{Dialect, Receiver},
};

#[tokio::test]
async fn rest_takes_an_application_and_gives_it_back() {
    let house = House::start(Plan::new()).await;
    let caller = house.caller("44");
    let application = papers::subsidy(1, "510104001002");
    let taken = caller.submit("key-1", &application).await.expect(201);
    assert_eq!(taken.header("idempotency-replayed"), "");
    let id = taken.id();
    assert_eq!(taken.header("location"), format!("/v1/applications/{id}"));
    let first = taken.json();
    assert_eq!(uuid::Uuid::try_parse(&id).unwrap().get_version_num(), 7);
    assert_eq!(first["state"], "RECEIVED");
    assert_eq!(first["version"], "1");
    assert_eq!(first["submittingParty"], "44");
    assert_eq!(first["handlingParty"], "national");
    assert!(first["homeDivisionName"].as_str().unwrap().contains("锦江"), "{first}");
    for (field, value) in application.as_object().unwrap() {
        assert_eq!(&first[field], value, "{field}");
    }

    let again = caller.submit("key-1", &application).await.expect(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.id(), id);

    let read = caller.get(&format!("/v1/applications/{id}")).await.expect(200).json();
    assert_eq!(read["applicant"], application["applicant"]);
    let list = caller.get("/v1/applications?business=DISABILITY_SUBSIDY").await.expect(200).json();
    assert_eq!(list["applications"][0]["id"], id.as_str());
    assert_eq!(list["applications"].as_array().unwrap().len(), 1);
    let none = caller.get("/v1/applications?business=CHILD_RECOGNITION").await.expect(200).json();
    assert!(none["applications"].as_array().is_none_or(Vec::is_empty), "{none}");
    let events = caller.get(&format!("/v1/applications/{id}/events")).await.expect(200).json();
    assert_eq!(events["events"][0]["type"], "APPLICATION_RECEIVED");
    assert_eq!(events["events"][0]["applicationId"], id.as_str());
}

#[tokio::test]
async fn grpc_takes_an_application_and_gives_it_back() {
    let house = House::start(Plan::new()).await;
    let mut client = house.grpc("44").await;
    let application = canonical(&papers::marriage(3));
    let request = pb::SubmitApplicationRequest { application: Some(application.clone()) };
    let taken = client.submit_application(keyed("g-1", request.clone())).await.unwrap();
    assert!(taken.metadata().get("idempotency-replayed").is_none());
    let taken = taken.into_inner();
    assert_eq!(taken.state(), pb::State::Received);
    assert_eq!(taken.handling_party, "national");
    assert_eq!(taken.details, application.details);

    let again = client.submit_application(keyed("g-1", request)).await.unwrap();
    assert_eq!(again.metadata().get("idempotency-replayed").unwrap(), "true");
    assert_eq!(again.into_inner().id, taken.id);

    let read = client.get_application(pb::GetApplicationRequest { id: taken.id.clone() }).await;
    assert_eq!(read.unwrap().into_inner().details, application.details);
    let list = pb::ListApplicationsRequest { page_size: 200, ..Default::default() };
    let list = client.list_applications(list).await.unwrap().into_inner();
    assert_eq!(list.applications.len(), 1);
    let events = pb::ListApplicationEventsRequest { id: taken.id };
    let events = client.list_application_events(events).await.unwrap().into_inner();
    assert_eq!(events.events[0].r#type(), pb::EventType::ApplicationReceived);
}

#[tokio::test]
async fn the_same_application_by_rest_and_grpc_is_the_same_content() {
    let house = House::start(Plan::new()).await;
    let application = papers::child(4, "230103001001");
    let id = house.caller("44").submit("both", &application).await.expect(201).id();
    let request = pb::SubmitApplicationRequest { application: Some(canonical(&application)) };
    let mut client = house.grpc("44").await;
    let again = client.submit_application(keyed("both", request)).await.unwrap();
    assert_eq!(again.metadata().get("idempotency-replayed").unwrap(), "true");
    assert_eq!(again.into_inner().id, id);
}

#[tokio::test]
async fn each_party_submits_in_its_own_format() {
    let house = House::start(Plan::new()).await;

    let caller = house.caller("23");
    let document = papers::golden("23-disability.json", 11);
    let taken = caller.native("/native/disability_subsidy", &document).await.expect(200);
    let reply = taken.json();
    assert_eq!(reply["fhm"], "200", "{reply}");
    let id = reply["sj"]["bjbh"].as_str().unwrap();
    let read = caller.get(&format!("/v1/applications/{id}")).await.expect(200).json();
    assert_eq!(read["handlingParty"], "national");
    assert_eq!(read["applicant"]["name"], "娜仁·其木格");
    assert_eq!(read["disabilitySubsidy"]["hardshipKind"], "1");
    assert_eq!(read["acceptTime"], "2026-03-12T01:20:00Z");
    assert_eq!(read["extensions"]["bdzd"], "\"本省自有字段\"", "{}", read["extensions"]);
    let again = caller.native("/native/disability_subsidy", &document).await.expect(200);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.json()["sj"]["bjbh"], id);

    let caller = house.caller("44");
    let document = papers::golden("44-disability.xml", 12);
    let taken = caller.native("/native/disability_subsidy", &document).await.expect(200);
    assert!(taken.text.contains("OK"), "{}", taken.text);
    assert!(taken.header("content-type").contains("xml"));
    let list = caller.get("/v1/applications").await.expect(200).json();
    let read = &list["applications"][0];
    assert_eq!(read["handlingParty"], "23");
    assert_eq!(read["applicant"]["ethnicity"], "02");
    assert_eq!(read["disabilitySubsidy"]["certificateValidTo"], "2031-06-30");
    assert!(taken.text.contains(read["id"].as_str().unwrap()));
}

#[tokio::test]
async fn the_national_hub_pushes_sealed_messages_only() {
    let house = House::start(Plan::new()).await;
    let key = std::fs::read_to_string(house.certs().join("national.seal.key")).unwrap();
    let key = hex::decode(key.trim()).unwrap();
    let caller = house.caller("national");
    let document: Value =
        serde_json::from_str(&papers::golden("national-disability.json", 13)).unwrap();

    let mut forged = papers::sealed(&document, &key);
    forged["body"]["account_no"] = "6228480170123456791".into();
    let refused = caller.native("/national/messages", &forged.to_string()).await;
    assert!(refused.status.is_client_error(), "{refused:?}");
    let unsealed = caller.native("/national/messages", &document.to_string()).await;
    assert!(unsealed.status.is_client_error(), "{unsealed:?}");
    let list = caller.get("/v1/applications").await.expect(200).json();
    assert!(list["applications"].as_array().is_none_or(Vec::is_empty), "{list}");

    let sealed = papers::sealed(&document, &key).to_string();
    let taken = caller.native("/national/messages", &sealed).await.expect(200).json();
    assert_eq!(taken["code"], "0", "{taken}");
    let id = taken["data"]["app_id"].as_str().unwrap();
    let read = house.caller("23").get(&format!("/v1/applications/{id}")).await.expect(200).json();
    assert_eq!(read["submittingParty"], "national");
    assert_eq!(read["handlingParty"], "23");
}

#[tokio::test]
async fn a_decision_travels_back_the_way_the_application_came() {
    let (hub, province) = (Receiver::bind().await, Receiver::bind().await);
    let plan = Plan::new().endpoint("23", &hub.url).endpoint("44", &province.url);
    let house = House::start(plan).await;
    let home = hub.open(Dialect::P23, &house.certificates("23"));
    let away = province.open(Dialect::P44, &house.certificates("44"));
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    let application = papers::subsidy(5, "230103001001");
    let id = submitter.submit("way", &application).await.expect(201).id();
    home.stores(1).await;
    submitter.state(&id, &["FORWARDED"]).await;

    let path = |verb: &str| format!("/v1/applications/{id}:{verb}");
    handler.post(&path("accept"), "a-1", &json!({})).await.expect(200);
    let ask = json!({"missingMaterials": ["403"], "reason": "请补低保证"});
    handler.post(&path("requestSupplement"), "a-2", &ask).await.expect(200);
    away.stores(2).await;
    let more = json!({"materials": [application["materials"][0]], "note": "已补"});
    submitter.post(&path("supplement"), "s-1", &more).await.expect(200);
    home.stores(2).await;
    let decision = json!({"decision": {
        "outcome": "GRANTED", "decidedOn": "2026-01-20", "office": "哈尔滨市南岗区民政局",
        "monthlyAmountFen": "32750", "paidFrom": "2026-01"
    }});
    let decided = handler.post(&path("decide"), "a-3", &decision).await.expect(200);
    let again = handler.post(&path("decide"), "a-3", &decision).await.expect(200);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(decided.json()["state"], "APPROVED");
    away.stores(3).await;
    let done = submitter.state(&id, &["NOTIFIED"]).await;
    assert_eq!(done["decision"]["monthlyAmountFen"], "32750");

    let events = submitter.get(&format!("/v1/applications/{id}/events")).await.expect(200).json();
    let types: Vec<&str> =
        events["events"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "APPLICATION_RECEIVED",
            "APPLICATION_FORWARDED",
            "APPLICATION_ACCEPTED",
            "SUPPLEMENT_REQUESTED",
            "SUPPLEMENT_SUBMITTED",
            "DECISION_MADE",
            "DECISION_DELIVERED",
        ]
    );
    // Illegal now, and nothing changes.
    let late = submitter.post(&path("withdraw"), "s-2", &json!({"reason": "x"})).await.expect(409);
    assert_eq!(late.json()["reason"], "ILLEGAL_TRANSITION");
    let wrong = handler.post(&path("accept"), "a-4", &json!({"expectedVersion": "2"})).await;
    assert_eq!(wrong.status.as_u16(), 409, "{}", wrong.text);
}

#[tokio::test]
async fn a_second_open_application_for_the_same_benefit_is_a_duplicate() {
    let house = House::start(Plan::new()).await;
    let first = house.caller("44").submit("d-1", &papers::subsidy(6, "510104")).await.expect(201);
    let mut second = papers::subsidy(6, "510104");
    second["acceptanceNumber"] = "another".into();
    let refused = house.caller("44").submit("d-2", &second).await.expect(409).json();
    assert_eq!(refused["reason"], "DUPLICATE_APPLICATION");
    assert_eq!(refused["applicationId"], first.id());
    // Another party learns that there is one, and not which.
    let refused = house.caller("23").submit("d-3", &second).await.expect(409).json();
    assert_eq!(refused["reason"], "DUPLICATE_APPLICATION");
    assert_eq!(refused.get("applicationId"), None, "{refused}");
}

#[tokio::test]
async fn without_a_certificate_there_is_no_connection() {
    let house = House::start(Plan::new()).await;
    let authority = rustls::RootCertStore::from_iter(
        rustls::pki_types::pem::PemObject::pem_file_iter(house.certs().join("ca.pem"))
            .unwrap()
            .map(|certificate: Result<rustls::pki_types::CertificateDer<'_>, _>| {
                webpki_anchor(&certificate.unwrap())
            }),
    );
    let bare =
        rustls::ClientConfig::builder().with_root_certificates(authority).with_no_client_auth();
    let client = reqwest::Client::builder().tls_backend_preconfigured(bare).build().unwrap();
    let request = client.get(format!("https://{}/v1/applications", house.edge()));
    let refused = request.send().await.unwrap_err();
    assert!(refused.is_connect() || refused.is_request(), "{refused:?}");
    // A certificate of an authority that the gateway does not know is no better.
    let other = House::build(Plan::new());
    let strangers =
        reqwest::Client::builder().tls_backend_preconfigured(other.tls("44")).build().unwrap();
    let request = strangers.get(format!("https://{}/v1/applications", house.edge()));
    assert!(request.send().await.is_err());
    let logged = || async { house.log().contains("a TLS handshake failed").then_some(()) };
    until("the refusal to be logged", SOON, logged).await;
}

fn webpki_anchor(
    certificate: &rustls::pki_types::CertificateDer<'_>,
) -> rustls::pki_types::TrustAnchor<'static> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone().into_owned()).unwrap();
    roots.roots.pop().unwrap()
}

#[tokio::test]
async fn a_token_must_be_there_and_be_right() {
    let house = House::start(Plan::new()).await;
    let scopes = "applications:submit applications:read";
    let ours = house.token("44", scopes);
    let mut forged = ours.clone().into_bytes();
    let middle = forged.len() / 2;
    forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
    let cases = [
        ("none", String::new()),
        ("no token at all", "nonsense".to_owned()),
        ("changed", String::from_utf8(forged).unwrap()),
        ("of another party", house.token("23", scopes)),
        ("for another gateway", other_audience(&house)),
    ];
    for (what, token) in cases {
        let caller = house.caller_with("44", &token);
        let refused = caller.get("/v1/applications").await;
        assert_eq!(refused.status.as_u16(), 401, "{what}: {}", refused.text);
        let problem = refused.json();
        assert_eq!(problem["reason"], "UNAUTHENTICATED", "{what}");
        assert_eq!(refused.header("content-type"), "application/problem+json");
        assert!(refused.header("www-authenticate").starts_with("Bearer"), "{what}");
        // gRPC says the same.
        let mut client = pb::application_service_client::ApplicationServiceClient::new(
            house.channel("44").await,
        );
        let mut request = tonic::Request::new(pb::ListApplicationsRequest::default());
        if !token.is_empty() {
            let bearer = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", bearer);
        }
        let status = client.list_applications(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{what}");
    }
}

fn other_audience(house: &House) -> String {
    let certs = house.certs();
    let certs = certs.to_str().unwrap();
    let arguments = ["token", "--party", "44", "--audience", "tongban-99", "--certs", certs];
    let made = crate::harness::tongban(&arguments);
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_scope_allows_what_it_says_and_no_more() {
    let house = House::start(Plan::new()).await;
    let scoped = |scope: &str| house.caller_with("44", &house.token("44", scope));
    let reader = scoped("applications:read");
    let writer = scoped("applications:submit");
    let application = papers::subsidy(7, "510104");
    let refused = reader.submit("s-1", &application).await.expect(403).json();
    assert_eq!(refused["reason"], "PERMISSION_DENIED");
    assert!(refused["detail"].as_str().unwrap().contains("applications:submit"), "{refused}");
    let id = writer.submit("s-1", &application).await.expect(201).id();
    writer.get(&format!("/v1/applications/{id}")).await.expect(403);
    reader.get(&format!("/v1/applications/{id}")).await.expect(200);
    let path = format!("/v1/applications/{id}:accept");
    writer.post(&path, "s-2", &json!({})).await.expect(403);
    // The right scope on the wrong side of the application does not help.
    let decider = scoped("applications:decide");
    decider.post(&path, "s-3", &json!({})).await.expect(403);
}

#[tokio::test]
async fn an_application_of_others_is_not_there() {
    let house = House::start(Plan::new()).await;
    let id = house.caller("44").submit("o-1", &papers::subsidy(8, "510104")).await.expect(201).id();
    let other = house.caller("23");
    for path in [format!("/v1/applications/{id}"), format!("/v1/applications/{id}/events")] {
        let theirs = other.get(&path).await.expect(404).json();
        let nobodys = other.get(&path.replace(&id, &uuid::Uuid::now_v7().to_string())).await;
        let nobodys = nobodys.expect(404).json();
        assert_eq!(theirs["reason"], "NOT_FOUND");
        assert_eq!(theirs["detail"], nobodys["detail"], "the answers must not differ");
    }
    let withdraw = format!("/v1/applications/{id}:withdraw");
    other.post(&withdraw, "o-2", &json!({})).await.expect(404);
    let list = other.get("/v1/applications").await.expect(200).json();
    assert!(list["applications"].as_array().is_none_or(Vec::is_empty), "{list}");
    // The handling party sees it.
    house.caller("national").get(&format!("/v1/applications/{id}")).await.expect(200);
}

#[tokio::test]
async fn lists_come_in_pages_newest_first() {
    let house = House::start(Plan::new()).await;
    let caller = house.caller("44");
    let mut ids = Vec::new();
    for n in 0..7 {
        let application = papers::subsidy(100 + n, if n % 2 == 0 { "510104" } else { "230103" });
        ids.insert(0, caller.submit(&format!("p-{n}"), &application).await.expect(201).id());
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/applications?pageSize=3&pageToken={token}");
        let page = caller.get(&path).await.expect(200).json();
        let items = page["applications"].as_array().unwrap().clone();
        assert!(items.len() <= 3);
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ids);
    let home = caller.get("/v1/applications?homeDivision=23").await.expect(200).json();
    assert_eq!(home["applications"].as_array().unwrap().len(), 3);
    caller.get("/v1/applications?pageSize=201").await.expect(400);
    caller.get("/v1/applications?nosuch=1").await.expect(400);
}

#[tokio::test]
async fn the_port_describes_itself_and_says_what_it_does_not_know() {
    let house = House::start(Plan::new()).await;
    let caller = house.caller("44");
    let openapi = caller.get("/openapi.json").await.expect(200).json();
    assert!(openapi["openapi"].as_str().unwrap().starts_with("3.1"));
    for path in ["/v1/applications", "/v1/applications/{id}:decide", "/v1/applications:watch"] {
        assert!(openapi["paths"].get(path).is_some(), "{path}");
    }
    assert_eq!(caller.get("/v1/nothing").await.expect(404).json()["reason"], "UNKNOWN_PATH");
    let wrong = answer(caller.request(Method::DELETE, "/v1/applications")).await.unwrap();
    assert_eq!(wrong.status.as_u16(), 405);
    assert!(wrong.header("allow").contains("POST"), "{wrong:?}");
    let text =
        caller.request(Method::POST, "/v1/applications").header("Content-Type", "text/plain");
    assert_eq!(answer(text.body("{}")).await.unwrap().status.as_u16(), 415);
    let mut health = tonic_health::pb::health_client::HealthClient::new(house.channel("44").await);
    let request =
        tonic_health::pb::HealthCheckRequest { service: "tongban.v1.ApplicationService".into() };
    let health = health.check(request).await.unwrap().into_inner();
    assert_eq!(health.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_work_goes_on() {
    let house = House::start(Plan::new().set("limits", "body_bytes", 100_000)).await;
    let caller = house.caller("44");
    let mut application = papers::subsidy(9, "510104");
    application["applicant"]["residence"]["address"] = "长".repeat(60_000).into();
    let refused = caller.submit("l-1", &application).await.expect(413).json();
    assert_eq!(refused["reason"], "PAYLOAD_TOO_LARGE");
    caller.submit("l-2", &papers::subsidy(9, "510104")).await.expect(201);
}

/// A canonical application from its JSON, by a second implementation (prost-reflect).
pub(crate) fn canonical(application: &Value) -> pb::Application {
    let kind = tongban::model::DESCRIPTORS.get_message_by_name("tongban.v1.Application").unwrap();
    let message = prost_reflect::DynamicMessage::deserialize(kind, application).unwrap();
    message.transcode_to().unwrap()
}
