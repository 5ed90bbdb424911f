//! Old-age allowance (高龄津贴). 老年人权益保障法 art. 33; the amount and the age are the province's.

use crate::{
    business::{Benefit, Rules, Travel, Violations, check_person, clock::Limit, home, identity},
    model::{lifecycle::ACCEPT_AND_FORWARD, pb},
};

pub(super) const RULES: Rules =
    Rules { machine: ACCEPT_AND_FORWARD, travel: Travel::ToHome, check, benefits, limits: LIMITS };

/// Statutory limits. No national rule was found: the province sets them.
const LIMITS: &[Limit] = &[
    home::forward("比照残疾人两项补贴跨省通办 [P]"),
    home::decision(20, "本工程办理时限 [P]"),
    home::SUPPLEMENT,
    home::notice("比照残疾人两项补贴跨省通办 [P]"),
];

fn check(application: &pb::Application, out: &mut Violations) {
    if let Some(person) = &application.applicant {
        check_person("applicant", person, out);
        if person.resident_id.is_empty() {
            out.form("applicant.residentId", "is required; fill it in");
        }
    }
}

fn benefits(application: &pb::Application) -> Vec<Benefit> {
    let Some(person) = &application.applicant else { return Vec::new() };
    vec![Benefit { name: "old_age_allowance", person: identity(person, None) }]
}
