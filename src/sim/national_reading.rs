//! Reads what the hub is sent: where each thing stands in its documents.

use serde_json::Value;

use crate::sim::{
    case::Business,
    claim::{Claim, Who},
    json::{each, text},
    xml::Element,
};

/// A benefit that somebody applies for.
pub(super) fn claim(business: Business, body: &Value) -> Claim {
    let get = |path: &str| text(body, path);
    let child = business == Business::Child;
    let [day, home, name, number, birth, address, account] = if child {
        let register = "censusRegisterDetail";
        ["acceptTime", "homeArea", "name", "idCard", "birthday", register, "bank.accountNo"]
    } else {
        ["accept_time", "home_area", "name", "id_card", "birth_date", "huji_addr", "account_no"]
    };
    let who = Who {
        name: get(name),
        number: get(number),
        birth: get(birth),
        address: get(address),
        status: String::new(),
    };
    let (list, kind) = if child { ("attachments", "fileType") } else { ("materials", "kind") };
    let said = |word: &'static str| match word {
        "heads" => (each(body, "family_members", "id_card").len() + 1).to_string(),
        word => get(place(business, word)),
    };
    Claim {
        day: get(day).get(..10).and_then(|day| day.parse().ok()),
        home: get(home).get(..6).unwrap_or_default().to_owned(),
        people: vec![who],
        account: get(account),
        papers: each(body, list, kind).into_iter().zip(each(body, list, "sha256")).collect(),
        ..Claim::read(business, &said)
    }
}

fn place(business: Business, word: &str) -> &'static str {
    match (business, word) {
        (Business::Child, "action") => "applyAction",
        (Business::Child, "previous") => "prevArea",
        (Business::Child, "last paid") => "endGetDate",
        (Business::Child, "kind") => "childType",
        (Business::Child, "household") => "householdType",
        (Business::Child, "stage") => "academicStatus",
        (Business::Child, "father") => "father.situation",
        (Business::Child, "father proof") => "father.proof",
        (Business::Child, "father since") => "father.sinceDate",
        (Business::Child, "mother") => "mother.situation",
        (Business::Child, "mother proof") => "mother.proof",
        (Business::Child, "mother since") => "mother.sinceDate",
        (Business::Subsidy, "kind") => "apply_type",
        (Business::Assistance, "kind") => "assist_type",
        (_, "action") => "apply_action",
        (_, "certificate") => "disability_cert_no",
        (_, "category") => "disability_category",
        (_, "level") => "disability_level",
        (_, "valid to") => "cert_valid_to",
        (_, "hardship") => "hardship_type",
        (_, "tekun") => "is_tekun",
        (_, "injury") => "is_work_injury",
        (_, "orphan") => "is_orphan",
        (_, "other") => "other_allowance",
        (_, "care") => "is_long_care",
        (_, "previous") => "prev_area",
        (_, "last paid") => "end_get_month",
        (_, "exit") => "exit_reason",
        (_, "band") => "age_band",
        (_, "alive on") => "alive_date",
        (_, "income") => "month_income_fen",
        (_, "savings") => "savings_fen",
        (_, "authorised") => "auth_no",
        (_, "without") => "is_three_no",
        _ => "",
    }
}

/// A couple.
pub(super) fn couple(business: Business, body: &Element) -> Claim {
    let get = |path: &str| body.get(path).to_owned();
    let who = |one: &str| {
        let get = |name: &str| body.get(&format!("{name}_{one}")).to_owned();
        let number = Some(get("cert_num")).filter(|number| !number.is_empty());
        Who {
            name: get("name"),
            number: number.unwrap_or_else(|| get("other_cert_num")),
            birth: get("birth"),
            address: get("reg_detail"),
            status: get("marry_status"),
        }
    };
    let said = |word: &'static str| {
        get(match word {
            "operation" => "op_type",
            "on" => "op_date",
            "present" => "both_present",
            "old certificate" => "old_cert_no",
            "receipt" => "receipt_no",
            "certificate" => "marry_cert_no",
            "in china" => "is_mainland",
            "children" => "is_child_agreed",
            "property" => "is_property_agreed",
            _ => "is_capable",
        })
    };
    let papers = body.child("materials").into_iter().flat_map(|list| list.all("material"));
    Claim {
        day: body.get("accept_time").get(..10).and_then(|day| day.parse().ok()),
        people: vec![who("man"), who("woman")],
        papers: papers.map(|p| (p.get("kind").to_owned(), p.get("sha256").to_owned())).collect(),
        ..Claim::read(business, &said)
    }
}
