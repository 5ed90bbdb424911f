//! Reads what the neighbouring province is sent: where each thing stands in its XML.

use crate::sim::{
    case::Business,
    claim::{Claim, Who, list_of},
    cycle::Writing,
    voice::{fen, iso, month},
    xml::Element,
};

const DATE: &str = "%Y年%m月%d日";

pub(super) fn claim(writing: &Writing, business: Business, content: &Element) -> Claim {
    let get = |path: &str| content.get(path).to_owned();
    let name = if business == Business::Child { "Child" } else { "Applicant" };
    let of = |path: &str| get(&format!("{name}.{path}"));
    let who = Who {
        name: of("FullName"),
        number: of("IdNo"),
        birth: format!("{}-{}-{}", of("Birth.Year"), of("Birth.Month"), of("Birth.Day")),
        address: of("Household.Detail"),
        status: String::new(),
    };
    let said = |word: &'static str| {
        let value = get(place(business, word));
        match word {
            "heads" => {
                let household = content.child("Assistance").and_then(|a| a.child("Household"));
                (household.into_iter().flat_map(|all| all.all("Member")).count() + 1).to_string()
            }
            "valid to" | "alive on" | "father since" | "mother since" => iso(&value, DATE),
            "last paid" => month(&value, "%Y年%m月%d"),
            "income" | "savings" => fen(&value),
            "tekun" | "injury" | "orphan" | "care" | "without" => yes(&value),
            word => writing.read(list_of(business, word), &value),
        }
    };
    let list = content.child("Attachments").into_iter().flat_map(|list| list.all("Attachment"));
    let paper = |paper: &Element| {
        (writing.read("material", paper.get("@type")), paper.get("Digest").to_owned())
    };
    Claim {
        day: iso(get("Case.AcceptTime").split(' ').next().unwrap_or_default(), DATE).parse().ok(),
        home: get("Case.@homeArea").get(..6).unwrap_or_default().to_owned(),
        people: vec![who],
        account: get("BankCard.@no"),
        papers: list.map(paper).collect(),
        ..Claim::read(business, &said)
    }
}

fn yes(word: &str) -> String {
    match word {
        "是" => "1",
        "否" => "0",
        other => other,
    }
    .into()
}

fn place(business: Business, word: &str) -> &'static str {
    match (business, word) {
        (Business::Child, "action") => "Recognition.@action",
        (Business::Child, "previous") => "Recognition.PreviousArea",
        (Business::Child, "last paid") => "Recognition.LastPaid",
        (Business::Assistance, "action") => "Assistance.@action",
        (Business::Child, "kind") => "Recognition.@kind",
        (Business::Subsidy, "kind") => "Subsidy.@kind",
        (Business::Assistance, "kind") => "Assistance.@kind",
        (Business::Subsidy, "action") => "Subsidy.@action",
        (Business::OldAge, "action") => "Allowance.@action",
        (Business::Subsidy, "other") => "Subsidy.Benefits.@other",
        (Business::OldAge, "other") => "Allowance.@other",
        (Business::Subsidy, "previous") => "Subsidy.PreviousArea",
        (Business::OldAge, "previous") => "Allowance.PreviousArea",
        (Business::Subsidy, "last paid") => "Subsidy.LastPaid",
        (Business::OldAge, "last paid") => "Allowance.LastPaid",
        (Business::Subsidy, "exit") => "Subsidy.ExitReason",
        (Business::OldAge, "exit") => "Allowance.ExitReason",
        (_, "household") => "Recognition.HouseholdKind",
        (_, "stage") => "Recognition.School.@stage",
        (_, "father") => "Father.@circumstance",
        (_, "father proof") => "Father.@proof",
        (_, "father since") => "Father.Since",
        (_, "mother") => "Mother.@circumstance",
        (_, "mother proof") => "Mother.@proof",
        (_, "mother since") => "Mother.Since",
        (_, "certificate") => "Subsidy.DisabilityCert.@no",
        (_, "category") => "Subsidy.DisabilityCert.Category",
        (_, "level") => "Subsidy.DisabilityCert.Level",
        (_, "valid to") => "Subsidy.DisabilityCert.ValidTo",
        (_, "hardship") => "Subsidy.Hardship.@type",
        (_, "tekun") => "Subsidy.Benefits.ExtremelyPoor",
        (_, "injury") => "Subsidy.Benefits.WorkInjuryNursing",
        (_, "orphan") => "Subsidy.Benefits.OrphanAllowance",
        (_, "care") => "Subsidy.LongTermCare",
        (_, "band") => "Allowance.@band",
        (_, "alive on") => "Allowance.AliveOn",
        (_, "income") => "Assistance.Household.MonthlyIncome",
        (_, "savings") => "Assistance.Household.Savings",
        (_, "authorised") => "Assistance.Household.@authorisation",
        (_, "without") => "Assistance.WithoutMeans",
        _ => "",
    }
}
