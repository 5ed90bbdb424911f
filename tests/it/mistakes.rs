//! A document with mistakes gets all of them back at once, each with the path in the caller's own
//! format and a remedy, and nothing of it is stored but the audit entry of the refusal.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};
use tongban::model::pb;
use tonic_types::StatusExt as _;

use crate::{
    harness::{Answer, House, Plan, keyed},
    papers,
    submit::canonical,
};

/// A citizen number whose check character is wrong.
const WRONG_ID: &str = "230103197806121232";

/// Five mistakes that a window makes: a number missing, a division that is none, a citizen
/// number and a telephone mistyped, a file's digest cut short.
fn wrong_application() -> Value {
    let mut application = papers::subsidy(1, "510104");
    application["acceptanceNumber"] = "".into();
    application["acceptingDivision"] = "999999".into();
    application["applicant"]["residentId"] = WRONG_ID.into();
    application["disabilitySubsidy"]["certificateNumber"] = format!("{WRONG_ID}41").into();
    application["applicant"]["phone"] = "no phone".into();
    application["materials"][0]["sha256"] = "abc".into();
    application
}

/// Each field with its remedy, and no value repeated.
fn violations(list: &Value, field: &str, description: &str) -> BTreeMap<String, String> {
    let text = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let items = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    items.iter().map(|item| (text(item, field), text(item, description))).collect()
}

fn fields(found: &BTreeMap<String, String>) -> Vec<&str> {
    found.keys().map(String::as_str).collect()
}

#[track_caller]
fn remedied(found: &BTreeMap<String, String>) {
    for (field, description) in found {
        assert!(description.len() > 12, "{field}: {description}");
        for value in [WRONG_ID, "999999", "no phone"] {
            assert!(!description.contains(value), "{field} repeats the value: {description}");
        }
    }
}

/// Nothing but `refusals` audit entries is there, on disk either.
async fn nothing_stored(house: &House, party: &str, refusals: i64) {
    assert_eq!(house.gauge("tongban_audit_leaves").await, refusals);
    assert_eq!(house.gauge("tongban_outbox_due").await, 0);
    let list = house.caller(party).get("/v1/applications").await.expect(200).json();
    assert!(list["applications"].as_array().is_none_or(Vec::is_empty), "{list}");
    for entry in fs::read_dir(house.root().join("data")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        for text in ["娜仁", WRONG_ID, "6228480170123456783", "no phone"] {
            let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!found, "{path:?} holds `{text}`");
        }
    }
}

#[tokio::test]
async fn rest_tells_all_five() {
    let house = House::start(Plan::new()).await;
    let caller = house.caller("44");
    let refused = caller.submit("m", &wrong_application()).await.expect(400);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    let problem = refused.json();
    assert_eq!(problem["reason"], "INVALID_ARGUMENT");
    assert_eq!(problem["status"], 400);
    assert_eq!(problem["traceId"].as_str().unwrap().len(), 32);
    let found = violations(&problem["violations"], "field", "description");
    let expected = [
        "acceptanceNumber",
        "acceptingDivision",
        "applicant.phone",
        "applicant.residentId",
        "materials[0].sha256",
    ];
    assert_eq!(fields(&found), expected, "{problem}");
    remedied(&found);
    nothing_stored(&house, "44", 1).await;
    // The key is free for the corrected document.
    caller.submit("m", &papers::subsidy(1, "510104")).await.expect(201);
}

#[tokio::test]
async fn grpc_tells_all_five() {
    let house = House::start(Plan::new()).await;
    let request =
        pb::SubmitApplicationRequest { application: Some(canonical(&wrong_application())) };
    let status = house.grpc("44").await.submit_application(keyed("m", request)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INVALID_ARGUMENT", "tongban"));
    assert_eq!(details.request_info().unwrap().request_id.len(), 32);
    let bad = details.bad_request().unwrap();
    let found: BTreeMap<String, String> =
        bad.field_violations.iter().map(|v| (v.field.clone(), v.description.clone())).collect();
    let expected = [
        "application.acceptanceNumber",
        "application.acceptingDivision",
        "application.applicant.phone",
        "application.applicant.residentId",
        "application.materials[0].sha256",
    ];
    assert_eq!(fields(&found), expected);
    remedied(&found);
    nothing_stored(&house, "44", 1).await;
}

#[tokio::test]
async fn mistakes_of_json_and_mistakes_of_content_are_told_together() {
    let house = House::start(Plan::new()).await;
    let mut application = papers::subsidy(2, "510104");
    application["source"] = "SHOP".into();
    application["acceptTime"] = "yesterday".into();
    application["applicant"]["nickname"] = "x".into();
    application["applicant"]["phone"] = "no phone".into();
    application["acceptingDivision"] = "999999".into();
    let problem = house.caller("44").submit("m", &application).await.expect(400).json();
    let found = violations(&problem["violations"], "field", "description");
    let expected =
        ["acceptTime", "acceptingDivision", "applicant.nickname", "applicant.phone", "source"];
    assert_eq!(fields(&found), expected, "{problem}");
    remedied(&found);
    nothing_stored(&house, "44", 1).await;
}

#[tokio::test]
async fn the_rules_of_the_business_are_told_with_their_fields() {
    let house = House::start(Plan::new()).await;
    let mut couple = papers::marriage(3);
    let body = &mut couple["marriageRegistration"];
    body["bothPresent"] = false.into();
    let young = papers::citizen("230103", "20080203", 1, true);
    body["man"]["person"]["residentId"] = young.into();
    body["man"]["person"]["birthDate"] = "2008-02-03".into();
    let problem = house.caller("44").submit("m", &couple).await.expect(422).json();
    assert_eq!(problem["reason"], "NOT_ELIGIBLE");
    let found = violations(&problem["violations"], "field", "description");
    let expected =
        ["marriageRegistration.bothPresent", "marriageRegistration.man.person.birthDate"];
    assert_eq!(fields(&found), expected, "{problem}");
    let mut only_the_number = papers::subsidy(4, "510104");
    only_the_number["applicant"]["residentId"] = WRONG_ID.into();
    only_the_number["disabilitySubsidy"]["certificateNumber"] = format!("{WRONG_ID}41").into();
    let problem = house.caller("44").submit("n", &only_the_number).await.expect(400).json();
    assert_eq!(problem["reason"], "INVALID_ID_NUMBER");
    let mut only_the_place = papers::subsidy(5, "510104");
    only_the_place["acceptingDivision"] = "440199".into();
    let problem = house.caller("44").submit("o", &only_the_place).await.expect(400).json();
    assert_eq!(problem["reason"], "UNKNOWN_DIVISION");
}

fn broken(document: &str, edits: &[(&str, &str)]) -> String {
    edits.iter().fold(document.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

#[tokio::test]
async fn a_native_json_document_tells_all_five_in_its_own_paths() {
    let house = House::start(Plan::new()).await;
    let document = papers::golden("23-disability.json", 31);
    let id = papers::citizen("230103", "19780612", 31, false);
    let wrong = broken(
        &document,
        &[
            (
                r#""slqh": "230103001",
    "sljgmc""#,
                r#""slqh": "999999",
    "sljgmc""#,
            ),
            (&id, WRONG_ID),
            ("13900000021", "no phone"),
            ("2c3a4249d77070058649dbd822dcaf7957586fce428cfb2ca88b94741eda8b07", "abc"),
            (r#""knlb": "11""#, r#""knlb": "77""#),
        ],
    );
    let refused = house.caller("23").native("/native/disability_subsidy", &wrong).await.expect(400);
    let reply = refused.json();
    assert_eq!(reply["fhm"], "400", "{reply}");
    assert_eq!(reply["yy"], "INVALID_ARGUMENT");
    let found = violations(&reply["cwlb"], "zd", "sm");
    let expected =
        ["ywsj.clxx[0].wjzy", "ywsj.knlb", "ywsj.slqh", "ywsj.sqr.lxdh", "ywsj.sqr.sfzh"];
    assert_eq!(fields(&found), expected, "{reply}");
    remedied(&found);
    nothing_stored(&house, "23", 1).await;
    let taken = house.caller("23").native("/native/disability_subsidy", &document).await;
    taken.expect(200);
}

#[tokio::test]
async fn a_native_xml_document_tells_all_five_in_its_own_paths() {
    let house = House::start(Plan::new()).await;
    let document = papers::golden("44-disability.xml", 32);
    let id = papers::citizen("230103", "19780612", 32, false);
    let wrong = broken(
        &document,
        &[
            (r#"acceptArea="440106009""#, r#"acceptArea="999999""#),
            (&id, WRONG_ID),
            ("<Mobile>13900000021</Mobile>", "<Mobile>no phone</Mobile>"),
            ("<Nation>蒙古族</Nation>", "<Nation>火星族</Nation>"),
            ("2c3a4249d77070058649dbd822dcaf7957586fce428cfb2ca88b94741eda8b07", "abc"),
        ],
    );
    let refused = house.caller("44").native("/native/disability_subsidy", &wrong).await.expect(400);
    assert!(refused.header("content-type").contains("xml"));
    let found = faults_in_xml(&refused);
    let expected = [
        "Content.Applicant.IdNo",
        "Content.Applicant.Mobile",
        "Content.Applicant.Nation",
        "Content.Attachments.Attachment[0].Digest",
        "Content.Case.@acceptArea",
    ];
    assert_eq!(fields(&found), expected, "{}", refused.text);
    remedied(&found);
    nothing_stored(&house, "44", 1).await;
    house.caller("44").native("/native/disability_subsidy", &document).await.expect(200);
}

/// `<Fault field="…"><Text>…</Text></Fault>` of the answer.
fn faults_in_xml(answer: &Answer) -> BTreeMap<String, String> {
    let faults = answer.text.split("<Fault ").skip(1);
    let fault = |text: &str| {
        let field = text.split_once("field=\"").unwrap().1.split_once('"').unwrap().0;
        let told = text.split_once("<Text>").unwrap().1.split_once("</Text>").unwrap().0;
        (field.to_owned(), told.to_owned())
    };
    faults.map(fault).collect()
}

#[tokio::test]
async fn what_is_no_document_at_all_is_told_as_such() {
    let house = House::start(Plan::new()).await;
    for (party, text) in [("23", "{ not json"), ("44", "<not <xml>"), ("23", ""), ("44", "[]")] {
        let refused = house.caller(party).native("/native/disability_subsidy", text).await;
        assert_eq!(refused.status.as_u16(), 400, "{text}: {}", refused.text);
        assert!(!refused.text.is_empty());
    }
    let refused = house.caller("44").post("/v1/applications", "k", &json!([1])).await.expect(400);
    assert_eq!(refused.json()["reason"], "INVALID_ARGUMENT");
    // A document of another business than the path names.
    let other = papers::golden("23-disability.json", 33);
    let refused = house.caller("23").native("/native/child_recognition", &other).await.expect(400);
    assert!(refused.text.contains("bwt.bwlx"), "{}", refused.text);
}
