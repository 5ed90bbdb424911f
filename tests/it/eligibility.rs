//! Who may have what, from outside: what a form leaves out is asked, what it says is held against
//! what the hub has recorded, a doubt needs its proof, and no date that anybody chose escapes a rule.

use serde_json::{Value, json};

use crate::{
    dispatch::push_event,
    harness::{House, Plan},
    papers::{self, citizen},
    verification::{number, whole},
};

/// The rules that still ask.
fn asked(application: &Value) -> Vec<&str> {
    let checks = application["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    checks.iter().map(|check| check["rule"].as_str().unwrap()).collect()
}

/// The fields that a refusal names.
fn fields(problem: &Value) -> Vec<&str> {
    let told = problem["violations"].as_array().unwrap();
    told.iter().map(|violation| violation["field"].as_str().unwrap()).collect()
}

/// A subsidy for someone else, by the sequence that `src/sim/fates.rs` reads the past from.
fn subsidy_of(sequence: u32) -> Value {
    let number = number(sequence);
    let mut paper = papers::subsidy(sequence, "230103");
    paper["applicant"]["residentId"] = number.as_str().into();
    paper["applicant"]["birthDate"] = "1968-02-29".into();
    paper["applicant"]["sex"] = if sequence % 2 == 1 { "1" } else { "2" }.into();
    paper["disabilitySubsidy"]["certificateNumber"] = format!("{number}41").into();
    paper
}

/// A couple whose man is that one.
fn couple_of(n: u32, sequence: u32) -> Value {
    let mut paper = papers::marriage(n);
    let man = &mut paper["marriageRegistration"]["man"]["person"];
    man["residentId"] = number(sequence).into();
    man["birthDate"] = "1968-02-29".into();
    paper
}

/// A divorce whose form declares nothing that it need not.
fn divorce() -> Value {
    let spouse = |male: bool| {
        json!({
            "person": {
                "name": "赵敏", "residentId": citizen("230103", "19800203", 7, male),
                "sex": if male { "1" } else { "2" }, "birthDate": "1980-02-03", "ethnicity": "01"
            },
            "identityKind": "1", "documentKind": "1", "citizenship": "CHN", "maritalStatus": "20"
        })
    };
    json!({
        "business": "DIVORCE_REGISTRATION",
        "acceptanceNumber": "LH-2026-00000001",
        "acceptingDivision": "440106",
        "acceptingOffice": "广州市天河区民政局婚姻登记处",
        "source": "WINDOW",
        "acceptTime": "2026-11-20T01:20:00Z",
        "divorceRegistration": {
            "man": spouse(true), "woman": spouse(false),
            "registryCode": "440106", "registryName": "广州市天河区民政局婚姻登记处",
            "receiptNumber": "SL-2026-1", "marriageCertificateNumber": "J440106-2010-000001",
            "marriedOn": "2010-01-01", "agreementSha256": "a".repeat(64)
        }
    })
}

#[tokio::test]
async fn what_a_form_leaves_out_is_asked_and_never_refused() {
    let house = House::start(Plan::new()).await;
    let caller = house.caller("44");
    let mut paper = papers::subsidy(1, "230103");
    paper["disabilitySubsidy"].as_object_mut().unwrap().remove("longTermCare");
    let taken = caller.submit("e-1", &paper).await.expect(201).json();
    for rule in ["S2b", "S4", "S5", "S6c", "S8", "S9a", "S10b", "S11a", "W1", "W2"] {
        assert!(asked(&taken).contains(&rule), "{rule}: {:?}", asked(&taken));
    }
    // Yes and no are answers, and the first is one that excludes.
    let mut declared = papers::subsidy(3, "230103");
    declared["disabilitySubsidy"]["workInjuryNursingFee"] = false.into();
    let taken = caller.submit("e-2", &declared).await.expect(201).json();
    assert!(!asked(&taken).contains(&"S4"), "{:?}", asked(&taken));
    declared["disabilitySubsidy"]["extremelyPoorSupport"] = true.into();
    let refused = caller.submit("e-3", &declared).await.expect(422).json();
    assert_eq!(fields(&refused), ["disabilitySubsidy.extremelyPoorSupport"]);

    let taken = caller.submit("e-4", &divorce()).await.expect(201).json();
    for rule in ["D1a", "D2a", "D2b", "D3", "D4", "D6", "W1", "W4"] {
        assert!(asked(&taken).contains(&rule), "{rule}: {:?}", asked(&taken));
    }
}

#[tokio::test]
async fn a_divorce_is_withdrawn_with_its_own_receipt_by_whom_it_names() {
    let house = House::start(Plan::new()).await;
    let caller = house.caller("44");
    let id = caller.submit("w-1", &divorce()).await.expect(201).id();
    let withdraw = format!("/v1/applications/{id}:withdraw");
    let shown = |receipt: &str| json!({"withdrawnBy": "WOMAN", "receiptNumber": receipt});
    let refused = caller.post(&withdraw, "w-2", &shown("SL-2026-2")).await.expect(400).json();
    assert_eq!(fields(&refused), ["receiptNumber"]);
    let withdrawn = caller.post(&withdraw, "w-3", &shown("SL-2026-1")).await.expect(200).json();
    assert_eq!(withdrawn["state"], "WITHDRAWN");
    let events = caller.get(&format!("/v1/applications/{id}/events")).await.expect(200).json();
    let last = events["events"].as_array().unwrap().last().unwrap().clone();
    let named = [&last["withdrawnBy"], &last["receiptNumber"]];
    assert_eq!(named, [&json!("WOMAN"), &json!("SL-2026-1")]);
}

#[tokio::test]
async fn no_chosen_date_makes_anybody_eligible() {
    let house = House::start(Plan::new()).await;
    let caller = house.caller("44");
    // A rule that began later is not escaped by a day of acceptance before it.
    let mut old = papers::subsidy(2, "230103");
    old["acceptTime"] = "2005-02-01T01:20:00Z".into();
    old["completeTime"] = "2005-02-01T02:00:00Z".into();
    old["disabilitySubsidy"]["hardshipKind"] = "5".into();
    let refused = caller.submit("n-1", &old).await.expect(422).json();
    assert_eq!(fields(&refused), ["disabilitySubsidy.hardshipKind"]);
    // An honest old case is taken.
    old["disabilitySubsidy"]["hardshipKind"] = "1".into();
    caller.submit("n-2", &old).await.expect(201);

    let mut young = papers::marriage(2);
    let man = &mut young["marriageRegistration"]["man"]["person"];
    man["residentId"] = citizen("230103", "20100101", 2, true).into();
    man["birthDate"] = "2010-01-01".into();
    young["marriageRegistration"]["registrationDate"] = "2033-01-01".into();
    let refused = caller.submit("n-3", &young).await.expect(422).json();
    let told = fields(&refused);
    assert!(told.contains(&"marriageRegistration.man.person.birthDate"), "{told:?}");
    assert!(told.contains(&"marriageRegistration.registrationDate"), "{told:?}");
    let mut booked = papers::marriage(3);
    booked["source"] = "ONLINE".into();
    let body = &mut booked["marriageRegistration"];
    body["bookingNumber"] = "YY-1".into();
    body["bothPresent"] = false.into();
    body["registrationDate"] = "2020-05-20".into();
    let refused = caller.submit("n-4", &booked).await.expect(422).json();
    assert!(fields(&refused).contains(&"marriageRegistration.registrationDate"), "{refused}");
}

#[tokio::test]
async fn what_is_declared_is_held_against_what_is_recorded() {
    let (house, _hub, _platform) = whole().await;
    let caller = house.caller("44");
    // Supported elsewhere as extremely poor; the form says nothing of it.
    let refused = caller.submit("r-1", &subsidy_of(967)).await.expect(422).json();
    assert_eq!(fields(&refused), ["disabilitySubsidy.extremelyPoorSupport"]);
    let said = refused["violations"][0]["description"].as_str().unwrap();
    assert!(said.contains("S5b"), "{said}");
    // A needy household that no record knows is taken, and asked about.
    let taken = caller.submit("r-2", &subsidy_of(11)).await.expect(201).json();
    assert!(asked(&taken).contains(&"S1b"), "{:?}", asked(&taken));
    assert!(!asked(&taken).contains(&"S5b"), "the hub has told: {:?}", asked(&taken));
}

#[tokio::test]
async fn a_doubt_of_the_library_needs_its_proof_before_the_couple_is_registered() {
    let (house, _hub, _platform) = whole().await;
    let caller = house.caller("44");
    let granted = json!({"decision": {
        "outcome": "GRANTED", "decidedOn": "2026-01-14", "office": "天河区民政局",
        "certificateNumber": "J440106-2026-000001"
    }});
    for (n, sequence, paper, expected) in [(1, 901, "999", 422), (2, 903, "304", 200)] {
        let taken = caller.submit(&format!("p-{n}"), &couple_of(n, sequence)).await.expect(201);
        assert!(asked(&taken.json()).contains(&"M2c"), "{:?}", asked(&taken.json()));
        let id = taken.id();
        push_event(&house, &id, "12").await;
        caller.state(&id, &["EVIDENCE_REQUIRED"]).await;
        let mut material = papers::subsidy(n, "230103")["materials"][0].clone();
        material["kind"] = paper.into();
        let path = |verb: &str| format!("/v1/applications/{id}:{verb}");
        let proof = json!({"materials": [material]});
        caller.post(&path("supplement"), &format!("s-{n}"), &proof).await.expect(200);
        let decided = caller.post(&path("decide"), &format!("d-{n}"), &granted).await;
        let decided = decided.expect(expected).json();
        if expected == 422 {
            assert_eq!(fields(&decided), ["marriageRegistration.man.maritalStatus"]);
            continue;
        }
        assert!(!asked(&decided).contains(&"M2c"), "{:?}", asked(&decided));
        assert!(asked(&decided).contains(&"W2"), "what was open stays: {:?}", asked(&decided));
        // Registered on the day of the decision, whatever day the form bears.
        assert_eq!(decided["marriageRegistration"]["registrationDate"], "2026-01-14");
    }
}
