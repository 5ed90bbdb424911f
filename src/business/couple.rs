//! What marriage and divorce ask of the two who appear. Civil Code art. 1041, 1042, 1046;
//! 婚姻登记条例 (Decree 804).

use crate::{
    business::{Benefit, Violations, check_person},
    model::pb,
};

/// The rules of form of both, in the body `field`; what they must be is in `config/rules/` (M5).
pub(super) fn check(
    field: &str,
    man: Option<&pb::Spouse>,
    woman: Option<&pb::Spouse>,
    out: &mut Violations,
) {
    for (name, spouse) in [("man", man), ("woman", woman)] {
        if let Some(spouse) = spouse {
            check_spouse(&format!("{field}.{name}"), spouse, out);
        }
    }
}

fn check_spouse(field: &str, spouse: &pb::Spouse, out: &mut Violations) {
    let Some(person) = &spouse.person else { return };
    check_person(&format!("{field}.person"), person, out);
    // `document_kind` 1 is the mainland identity card.
    if spouse.document_kind == "1" && person.resident_id.is_empty() {
        out.form(
            &format!("{field}.person.residentId"),
            "is required with a mainland identity card",
        );
    }
    if spouse.document_kind != "1" && spouse.document_number.is_empty() {
        out.form(&format!("{field}.documentNumber"), "is required for this kind of document");
    }
    if person.birth_date.is_empty() {
        out.form(&format!("{field}.person.birthDate"), "is required; the ages are counted from it");
    }
}

/// The number that names the person: the citizen number, else that of the other document.
pub(super) fn document(spouse: &pb::Spouse) -> String {
    let number = spouse.person.as_ref().map(|person| person.resident_id.as_str());
    number.filter(|n| !n.is_empty()).unwrap_or(&spouse.document_number).to_ascii_uppercase()
}

/// One of `name` for each of the two.
pub(super) fn each(
    name: &'static str,
    man: Option<&pb::Spouse>,
    woman: Option<&pb::Spouse>,
) -> Vec<Benefit> {
    let people = [man, woman].into_iter().flatten().map(document);
    let people = people.filter(|person| !person.is_empty());
    people.map(|person| Benefit { name, person }).collect()
}
