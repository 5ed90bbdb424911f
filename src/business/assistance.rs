//! Social assistance (社会救助): subsistence allowance (低保), support of the extremely poor (特困),
//! temporary aid (临时救助). 社会救助暂行办法 (Decree 649); 民发〔2021〕57号, 民发〔2021〕43号, 国发〔2014〕47号.

use crate::{
    business::{Benefit, Rules, Travel, Violations, check_person, clock::Limit, home, identity},
    model::{
        lifecycle::ACCEPT_AND_FORWARD,
        pb::{self, application::Details},
    },
};

pub(super) const RULES: Rules =
    Rules { machine: ACCEPT_AND_FORWARD, travel: Travel::ToHome, check, benefits, limits: LIMITS };

/// Statutory limits. The confirmation is due 30 working days after acceptance.
const LIMITS: &[Limit] = &[
    home::forward("比照残疾人两项补贴跨省通办 [P]"),
    home::decision(30, "最低生活保障审核确认办法（民发〔2021〕57号） [K]"),
    home::SUPPLEMENT,
    home::notice("比照残疾人两项补贴跨省通办 [P]"),
];

fn body(application: &pb::Application) -> Option<&pb::SocialAssistance> {
    match &application.details {
        Some(Details::SocialAssistance(body)) => Some(body),
        _ => None,
    }
}

fn check(application: &pb::Application, out: &mut Violations) {
    const FIELD: &str = "socialAssistance";
    let Some(body) = body(application) else { return };
    if let Some(person) = &application.applicant {
        check_person("applicant", person, out);
        if person.resident_id.is_empty() {
            out.form("applicant.residentId", "is required; fill it in");
        }
        let number = person.resident_id.as_str();
        for (index, member) in body.members.iter().enumerate() {
            if !number.is_empty() && member.resident_id == number {
                let field = format!("{FIELD}.members[{index}].residentId");
                out.form(&field, "is the applicant's; name the other members of the household");
            }
        }
    }
    for (name, amount) in
        [("monthlyIncomeFen", body.monthly_income_fen), ("savingsFen", body.savings_fen)]
    {
        if amount.is_some_and(|amount| amount < 0) {
            out.form(&format!("{FIELD}.{name}"), "must not be negative");
        }
    }
    if is_once(body) && !matches!(body.action.as_str(), "" | "1") {
        out.form(&format!("{FIELD}.action"), "must be 1: temporary aid is paid once");
    }
    // 民发〔2021〕57号: the household's means are checked only with its authorisation.
    let stops = matches!(body.action.as_str(), "3" | "5");
    if !is_once(body) && !stops && body.authorisation_number.is_empty() {
        let text = "is required: the household's authorisation to check its means";
        out.form(&format!("{FIELD}.authorisationNumber"), text);
    }
}

/// Subsistence allowance and support of the extremely poor exclude each other and share a name;
/// every member of the household of an allowance counts. Temporary aid is paid once.
fn benefits(application: &pb::Application) -> Vec<Benefit> {
    let (Some(body), Some(person)) = (body(application), &application.applicant) else {
        return Vec::new();
    };
    let name = if is_once(body) { "temporary_aid" } else { "basic_assistance" };
    let mut people = vec![identity(person, None)];
    if is_household(body) {
        people.extend(body.members.iter().map(|m| m.resident_id.to_ascii_uppercase()));
    }
    people.into_iter().map(|person| Benefit { name, person }).collect()
}

/// Temporary aid (临时救助): nothing goes on being paid.
pub(super) fn is_once(body: &pb::SocialAssistance) -> bool {
    body.kind == "3"
}

/// A subsistence allowance is one record of a household: whoever acts on theirs acts on all of it.
pub(super) fn is_household(body: &pb::SocialAssistance) -> bool {
    body.kind == "1"
}
