//! What is paid, and what becomes of it: ended in part, moved to another province, turned into
//! another kind, decided by who pays and told to who paid; the same after a restart.

use std::fs;

use serde_json::{Value, json};

use crate::{
    harness::{Caller, House, Plan},
    papers,
    receiver::{Dialect, Receiver},
};

/// An application for the benefit of `paper` that does something to it.
fn acting(mut paper: Value, body: &str, fields: Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        paper[body][name] = value.clone();
    }
    paper
}

fn grant(decided_on: &str, paid_from: &str) -> Value {
    json!({"decision": {
        "outcome": "GRANTED", "decidedOn": decided_on, "office": "民政局",
        "monthlyAmountFen": "12400", "paidFrom": paid_from
    }})
}

/// Submits, takes up and decides; the id and what was answered to the decision.
async fn decide(
    (submitter, handler): (&Caller, &Caller),
    key: &str,
    paper: &Value,
    decision: &Value,
) -> (String, crate::harness::Answer) {
    let id = submitter.submit(key, paper).await.expect(201).id();
    let path = |verb: &str| format!("/v1/applications/{id}:{verb}");
    handler.post(&path("accept"), &format!("{key}-a"), &json!({})).await.expect(200);
    let answer = handler.post(&path("decide"), &format!("{key}-d"), decision).await;
    (id, answer)
}

async fn granted(
    parties: (&Caller, &Caller),
    key: &str,
    paper: &Value,
    decision: &Value,
) -> String {
    let (id, answer) = decide(parties, key, paper, decision).await;
    assert_eq!(answer.expect(200).json()["state"], "APPROVED");
    id
}

/// Types of the application's events, in order.
async fn events(caller: &Caller, id: &str) -> Vec<Value> {
    let events = caller.get(&format!("/v1/applications/{id}/events")).await.expect(200).json();
    events["events"].as_array().unwrap().clone()
}

fn only(mut paper: Value, kind: &str) -> Value {
    paper["disabilitySubsidy"]["subsidyKind"] = kind.into();
    paper
}

#[tokio::test]
async fn of_two_subsidies_one_ends_and_the_other_is_not_granted_again_after_a_restart() {
    let mut house = House::start(Plan::new()).await;
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    let paper = papers::subsidy(1, "230103");
    granted((&submitter, &handler), "p-1", &paper, &grant("2026-01-20", "2026-01")).await;
    let exit = only(paper.clone(), "1");
    let exit = acting(exit, "disabilitySubsidy", json!({"action": "5", "exitReason": "05"}));
    granted((&submitter, &handler), "p-2", &exit, &grant("2026-07-20", "")).await;
    house.kill();
    house.run().await;
    let submitter = house.caller("44");
    let again = submitter.submit("p-3", &only(paper.clone(), "2")).await.expect(409).json();
    assert_eq!(again["benefit"], "disability_subsidy/nursing");
    // Of both, it is said which is had and which is free.
    let both = submitter.submit("p-4", &paper).await.expect(409).json();
    assert_eq!(both["benefit"], "disability_subsidy/nursing");
    let told = both["detail"].as_str().unwrap();
    assert!(told.ends_with("disability_subsidy/living is free: apply for it alone"), "{told}");
    submitter.submit("p-5", &only(paper, "1")).await.expect(201);
}

#[tokio::test]
async fn of_two_subsidies_one_is_granted_and_the_other_stays_free() {
    let house = House::start(Plan::new()).await;
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    let paper = papers::subsidy(2, "230103");
    let mut nursing = grant("2026-01-20", "2026-01");
    nursing["decision"]["grantedKind"] = "2".into();
    let id = granted((&submitter, &handler), "g-1", &paper, &nursing).await;
    let read = submitter.get(&format!("/v1/applications/{id}")).await.expect(200).json();
    assert_eq!(read["decision"]["grantedKind"], "2");
    submitter.submit("g-2", &only(paper.clone(), "2")).await.expect(409);
    submitter.submit("g-3", &only(paper, "1")).await.expect(201);
}

#[tokio::test]
async fn what_one_county_pays_no_other_ends() {
    let house = House::start(Plan::new()).await;
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    let paper = papers::subsidy(3, "230103");
    granted((&submitter, &handler), "w-1", &paper, &grant("2026-01-20", "2026-01")).await;
    let exit = acting(
        papers::subsidy(3, "440305"),
        "disabilitySubsidy",
        json!({"action": "5", "exitReason": "10"}),
    );
    let (id, refused) =
        decide((&handler, &submitter), "w-2", &exit, &grant("2026-07-20", "")).await;
    let refused = refused.expect(422).json();
    assert_eq!(refused["reason"], "NOT_ELIGIBLE");
    assert_eq!(refused["violations"][0]["field"], "homeDivision");
    assert!(!refused.to_string().contains("230103"), "not who pays: {refused}");
    let read = submitter.get(&format!("/v1/applications/{id}")).await.expect(200).json();
    assert_eq!(read["state"], "ACCEPTED");
    submitter.submit("w-3", &paper).await.expect(409);
}

#[tokio::test]
async fn a_child_moves_to_another_province_and_the_one_that_paid_is_told() {
    let was = Receiver::bind().await;
    let house = House::start(Plan::new().hasty().endpoint("23", &was.url)).await;
    let was = was.open(Dialect::P23, &house.certificates("23"));
    let (guangdong, heilongjiang) = (house.caller("44"), house.caller("23"));
    let child = papers::child(4, "230103");
    let parties = (&guangdong, &heilongjiang);
    let first = granted(parties, "c-1", &child, &grant("2026-01-20", "2026-02")).await;
    let gone = papers::child(4, "440305");
    let again = heilongjiang.submit("c-2", &gone).await.expect(409).json();
    assert!(again["detail"].as_str().unwrap().contains("transfer"), "{again}");
    let transfer = acting(gone.clone(), "childRecognition", json!({"action": "6"}));
    let lacking = heilongjiang.submit("c-3", &transfer).await.expect(400).json();
    let fields: Vec<_> =
        lacking["violations"].as_array().unwrap().iter().map(|v| &v["field"]).collect();
    assert_eq!(fields, ["childRecognition.lastPaidMonth", "childRecognition.previousDivision"]);
    let from = json!({"previousDivision": "230103", "lastPaidMonth": "2026-06"});
    let transfer = acting(transfer, "childRecognition", from);
    let parties = (&heilongjiang, &guangdong);
    let moved = granted(parties, "c-4", &transfer, &grant("2026-07-20", "2026-07")).await;
    let told = events(&heilongjiang, &first).await.pop().unwrap();
    assert_eq!(told["type"], "BENEFIT_MOVED");
    assert_eq!((&told["party"], &told["lastPaidMonth"]), (&"gateway".into(), &"2026-06".into()));
    // Two of the first, then what became of it, in the platform's own words.
    let notice = crate::harness::until("the platform to be told", crate::harness::SOON, || async {
        was.messages().into_iter().find(|message| message.body.contains("DYQC"))
    });
    let notice: Value = serde_json::from_str(&notice.await.body).unwrap();
    assert_eq!(notice["ywsj"]["bjbh"], first.as_str());
    assert_eq!(
        (&notice["ywsj"]["sjlx"], &notice["ywsj"]["mlny"]),
        (&"DYQC".into(), &"202606".into())
    );
    let elsewhere = guangdong.submit("c-5", &child).await.expect(409).json();
    assert_eq!(elsewhere["applicationId"], moved.as_str());
    let exit = json!({"action": "5", "exitReason": "15"});
    let exit = acting(gone, "childRecognition", exit);
    let ended = granted(parties, "c-6", &exit, &grant("2026-11-20", "")).await;
    let read = guangdong.get(&format!("/v1/applications/{ended}")).await.expect(200).json();
    assert_eq!(read["decision"]["stoppedFrom"], "2026-12");
    let told = events(&guangdong, &moved).await.pop().unwrap();
    assert_eq!(
        (&told["type"], &told["lastPaidMonth"]),
        (&"BENEFIT_ENDED".into(), &"2026-11".into())
    );
}

#[tokio::test]
async fn an_allowance_turns_into_support_and_the_rest_of_the_household_keeps_it() {
    let house = House::start(Plan::new()).await;
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    let parties = (&submitter, &handler);
    let allowance = papers::assistance(5, "230103", "1", &[6]);
    granted(parties, "a-1", &allowance, &grant("2026-01-20", "2026-02")).await;
    let support = papers::assistance(5, "230103", "2", &[]);
    submitter.submit("a-2", &support).await.expect(409);
    let change = acting(support.clone(), "socialAssistance", json!({"action": "2"}));
    let id = granted(parties, "a-3", &change, &grant("2026-07-20", "2026-08")).await;
    let held = handler.submit("a-4", &support).await.expect(409).json();
    assert_eq!(held["applicationId"], id.as_str());
    // The member is still drawing the household's allowance.
    let member = papers::assistance(7, "230103", "1", &[6]);
    let held = submitter.submit("a-5", &member).await.expect(409).json();
    assert_eq!(held["benefit"], "basic_assistance");
    let mut aid = papers::assistance(5, "230103", "3", &[]);
    aid["socialAssistance"]["action"] = "6".into();
    let refused = submitter.submit("a-6", &aid).await.expect(400).json();
    assert!(refused.to_string().contains("socialAssistance.action"), "{refused}");
}

#[tokio::test]
async fn the_hub_asks_the_first_registry_for_the_archive_of_a_certificate_lost_elsewhere() {
    let house = House::start(Plan::new()).await;
    let mut reissue = papers::marriage(8);
    let body = &mut reissue["marriageRegistration"];
    body["operation"] = "ICA".into();
    body["originalCertificateNumber"] = "J230102-2010-000001".into();
    body["reissueReason"] = "1".into();
    for spouse in ["man", "woman"] {
        body[spouse]["maritalStatus"] = "20".into();
    }
    let lost = house.caller("44").submit("r-1", &reissue).await.expect(201).json();
    assert_eq!(lost["handlingParty"], "national");
    house.caller("44").submit("r-2", &reissue).await.expect(409);
    let mut request = reissue.clone();
    request["acceptanceNumber"] = "DD-2026-000001".into();
    let asked = house.caller("national").submit("r-3", &request).await.expect(201).json();
    assert_eq!(asked["handlingParty"], "23");
}

#[tokio::test]
async fn the_township_gives_its_opinion_and_then_the_county_decides() {
    let house = House::start(Plan::new()).await;
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    let id = submitter.submit("o-1", &papers::child(9, "230103")).await.expect(201).id();
    let say = async |kind: &str, more: Value| {
        let mut body = json!({"bjbh": id, "ywlb": "ETRD", "sjlx": kind, "fssj": "20260324153000"});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let head = json!({"bwbh": papers::number(), "bwlx": "ETRD-SJ", "fsf": "23",
            "jsf": "tongban-23", "fssj": "20260324153000"});
        let document = json!({"bwt": head, "ywsj": body}).to_string();
        handler.native("/native/child_recognition", &document).await
    };
    let limits = async || {
        let read = submitter.get(&format!("/v1/applications/{id}")).await.expect(200).json();
        let limits = read["deadlines"].as_array().unwrap().clone();
        let word = |of: &Value| format!("{} {}", of["kind"], of["state"]).replace('"', "");
        let limits: Vec<String> = limits.iter().map(word).collect();
        (read["state"].as_str().unwrap().to_owned(), limits)
    };
    say("CSSB", json!({})).await.expect(409);
    say("SL", json!({})).await.expect(200);
    say("CSSB", json!({})).await.expect(200);
    let (state, running) = limits().await;
    assert_eq!(state, "REVIEWED");
    assert!(running.contains(&"TOWNSHIP_OPINION MET".to_owned()), "{running:?}");
    assert!(running.contains(&"COUNTY_DECISION RUNNING".to_owned()), "{running:?}");
    say("BZTZ", json!({"yy": "缺证明", "qscl": ["201"]})).await.expect(200);
    let (_, paused) = limits().await;
    assert!(paused.contains(&"COUNTY_DECISION PAUSED".to_owned()), "{paused:?}");
    let papers = json!({"materials": [{"kind": "201", "fileName": "证明.jpg", "sizeBytes": "9",
        "sha256": "a".repeat(64), "reference": "https://files.example/9"}]});
    let path = format!("/v1/applications/{id}:supplement");
    submitter.post(&path, "o-2", &papers).await.expect(200);
    say("CSSB", json!({})).await.expect(200);
    let granted = json!({"bjjg": {"jg": "1", "bjrq": "20260324", "bjdw": "南岗区民政局",
        "bzje": "1500.00", "slny": "202604"}});
    say("BJ", granted).await.expect(200);
    let (state, ended) = limits().await;
    assert_eq!(state, "APPROVED");
    assert!(ended.contains(&"COUNTY_DECISION MET".to_owned()), "{ended:?}");
}

/// A child that a county, or a township by its leave, decides on without a report before.
async fn decided_at_once(house: &House, n: u32, home: &str, outcome: Value) -> (Value, Value) {
    let (submitter, handler) = (house.caller("44"), house.caller("23"));
    let id = submitter.submit(&format!("a-{n}"), &papers::child(n, home)).await.expect(201).id();
    let path = |verb: &str| format!("/v1/applications/{id}{verb}");
    handler.post(&path(":accept"), &format!("b-{n}"), &json!({})).await.expect(200);
    let mut decision = json!({"decidedOn": "2026-03-24", "office": "哈尔滨市南岗区民政局"});
    decision.as_object_mut().unwrap().extend(outcome.as_object().unwrap().clone());
    let body = json!({"decision": decision});
    handler.post(&path(":decide"), &format!("c-{n}"), &body).await.expect(200);
    let events = submitter.get(&path("/events")).await.expect(200).json();
    let events = events["events"].as_array().unwrap();
    let made = events.iter().find(|event| event["type"] == "DECISION_MADE").unwrap().clone();
    (submitter.get(&path("")).await.expect(200).json(), made)
}

/// How the township's limit ended, and how often its opinion is asked for by application and event.
fn of_township((application, made): &(Value, Value)) -> (String, usize, usize) {
    let limits = application["deadlines"].as_array().unwrap();
    let limit = limits.iter().find(|one| one["kind"] == "TOWNSHIP_OPINION").unwrap();
    let asked = |of: &Value| {
        let checks = of["checks"].as_array().into_iter().flatten();
        checks.filter(|check| check["rule"] == "O1").count()
    };
    (limit["state"].as_str().unwrap().to_owned(), asked(application), asked(made))
}

#[tokio::test]
async fn a_county_that_decides_on_a_child_without_the_township_is_seen_to() {
    let house = House::build(Plan::new());
    let routes = house.root().join("config/routes.toml");
    let mut text = fs::read_to_string(&routes).unwrap();
    text.push_str(
        "[[route]]\nbusinesses = [\"child_recognition\"]\ndivisions = [\"230102\"]\n\
         from = 2021-01-01\nlevel = \"township\"\noffice = \"{name}所属乡镇\"\nsource = \"[P]\"\n",
    );
    fs::write(&routes, text).unwrap();
    let mut house = house;
    house.run().await;
    let grant = json!({"outcome": "GRANTED", "monthlyAmountFen": "150000", "paidFrom": "2026-04"});
    let denial = json!({"outcome": "DENIED", "reasonCode": "99", "reason": "不符合条件"});
    for (n, outcome) in [(21, &grant), (22, &denial)] {
        let decided = decided_at_once(&house, n, "230103", outcome.clone()).await;
        assert_eq!(of_township(&decided), ("MISSED".to_owned(), 1, 1), "{decided:?}");
    }
    let counted = "tongban_limits_total{business=\"child_recognition\",event=\"DECIDED_WITHOUT\",\
                   limit=\"TOWNSHIP_OPINION\"}";
    assert_eq!(house.counter(counted).await, 2);
    // The opinion may come with the decision; where the township decides itself none is missing.
    let mut whole = grant.clone();
    whole["townshipOpinion"] = json!({"office": "花园街道办事处", "givenOn": "2026-03-20"});
    let decided = decided_at_once(&house, 23, "230103", whole.clone()).await;
    assert_eq!(of_township(&decided), ("MET".to_owned(), 0, 0), "{decided:?}");
    assert_eq!(decided.1["decision"]["townshipOpinion"], whole["townshipOpinion"]);
    let decided = decided_at_once(&house, 24, "230102001", grant.clone()).await;
    assert_eq!(of_township(&decided), ("MET".to_owned(), 0, 0), "{decided:?}");
    // It is looked at.
    let handler = house.caller("23");
    let id = handler.submit("d-1", &papers::child(25, "230103")).await.expect(201).id();
    handler.post(&format!("/v1/applications/{id}:accept"), "d-2", &json!({})).await.expect(200);
    for (name, value) in [("decidedOn", "2026-03-24"), ("office", "哈尔滨市南岗区民政局")]
    {
        whole[name] = value.into();
    }
    let path = format!("/v1/applications/{id}:decide");
    for (n, opinion, field) in [
        (3, json!({"givenOn": "2026-03-20"}), "decision.townshipOpinion.office"),
        (
            4,
            json!({"office": "花园街道", "givenOn": "2026-03-25"}),
            "decision.townshipOpinion.givenOn",
        ),
    ] {
        whole["townshipOpinion"] = opinion;
        let body = json!({"decision": whole});
        let refused = handler.post(&path, &format!("d-{n}"), &body).await.expect(400).json();
        assert_eq!(refused["violations"][0]["field"], field, "{refused}");
    }
}

#[tokio::test]
async fn the_hub_hears_that_a_couple_withdrew() {
    let hub = Receiver::bind().await;
    let house = House::start(Plan::new().hasty().endpoint("national", &hub.url)).await;
    let hub = hub.open(Dialect::National, &house.certificates("national"));
    let caller = house.caller("44");
    let id = caller.submit("h-1", &papers::marriage(10)).await.expect(201).id();
    caller.state(&id, &["VERIFYING"]).await;
    let path = format!("/v1/applications/{id}:withdraw");
    caller.post(&path, "h-2", &json!({"reason": "不办了"})).await.expect(200);
    hub.stores(2).await;
    let told = hub.messages()[1].body.clone();
    assert!(told.contains("<event_type>08</event_type>"), "{told}");
}
