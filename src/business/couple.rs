//! What marriage and divorce ask of the two who appear. Civil Code art. 1041, 1042, 1046;
//! 婚姻登记条例 (Decree 804).

use crate::{
    business::{
        Benefit, Violations, check_person,
        clock::{Length, Limit, Start},
    },
    model::{
        pb::{self, DeadlineKind, EventType, State},
        resident_id,
    },
};

/// How long a couple has to prove what the library does not say.
pub(super) const EVIDENCE: Limit = Limit {
    kind: DeadlineKind::Supplement,
    length: Length::Days(30),
    starts: Start::On(&[EventType::CheckConflict]),
    stops: &[EventType::SupplementSubmitted, EventType::DecisionMade],
    pauses: false,
    passing: Some((State::EvidenceRequired, EventType::ApplicationExpired)),
    source: "逾期未提供证明视为放弃，可重新申请 [P]",
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
    let of = |spouse: Option<&pb::Spouse>| spouse.into_iter().flat_map(numbers).collect::<Vec<_>>();
    if of(man).iter().any(|number| of(woman).contains(number)) {
        let field = format!("{field}.woman.person.residentId");
        out.refuse(&field, "双方是同一人（M5，民法典第一千零四十一条）");
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

/// The numbers that name the person: the citizen number, in its form of 18 characters, and that of
/// another document. Who gives one here and the other there is one person by either.
fn numbers(spouse: &pb::Spouse) -> impl Iterator<Item = String> + use<> {
    let citizen = spouse.person.as_ref().map_or("", |person| person.resident_id.as_str());
    let numbers = [citizen, &spouse.document_number].map(|number| {
        let forms = resident_id::forms(number);
        let whole = forms.iter().find(|form| form.len() == 18);
        whole.or_else(|| forms.first()).cloned().unwrap_or_default()
    });
    let [citizen, other] = numbers;
    let other = Some(other).filter(|other| *other != citizen);
    [Some(citizen), other].into_iter().flatten().filter(|number| !number.is_empty())
}

/// One of `name` for each of the two.
pub(super) fn each(
    name: &'static str,
    man: Option<&pb::Spouse>,
    woman: Option<&pb::Spouse>,
) -> Vec<Benefit> {
    let people = [man, woman].into_iter().flatten().flat_map(numbers);
    people.map(|person| Benefit { name, person }).collect()
}
