//! What marriage and divorce ask of the two who appear. Civil Code art. 1041, 1042, 1046;
//! 婚姻登记条例 (Decree 804).

use crate::{
    business::{Benefit, Violations, check_person},
    model::{pb, resident_id::ResidentId},
};

/// The rules of form of both; `(name, spouse, sex)` in the body `field`.
pub(super) fn check(
    field: &str,
    man: Option<&pb::Spouse>,
    woman: Option<&pb::Spouse>,
    out: &mut Violations,
) {
    for (name, spouse, sex) in [("man", man, "1"), ("woman", woman, "2")] {
        if let Some(spouse) = spouse {
            check_spouse(&format!("{field}.{name}"), spouse, sex, out);
        }
    }
    let numbers = [man, woman].map(|spouse| spouse.map(document).unwrap_or_default());
    if !numbers[0].is_empty() && numbers[0] == numbers[1] {
        let field = format!("{field}.woman.person.residentId");
        out.refuse(&field, "must be another person than the man");
    }
}

fn check_spouse(field: &str, spouse: &pb::Spouse, sex: &str, out: &mut Violations) {
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
    // One man and one woman (Civil Code art. 1041, 1046).
    let by_number = ResidentId::parse(&person.resident_id).map(|id| id.sex());
    if by_number.is_ok_and(|by_number| by_number != sex) {
        out.refuse(&format!("{field}.person.residentId"), "is a number of the other sex");
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
