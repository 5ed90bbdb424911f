//! The two disability subsidies (残疾人两项补贴). 国发〔2015〕52号; 残疾人证管理办法.

use crate::{
    business::{Benefit, Rules, Travel, Violations, check_person, clock::Limit, home, identity},
    model::{
        clock,
        lifecycle::ACCEPT_AND_FORWARD,
        pb::{self, application::Details},
        resident_id::ResidentId,
    },
};

pub(super) const RULES: Rules =
    Rules { machine: ACCEPT_AND_FORWARD, travel: Travel::ToHome, check, benefits, limits: LIMITS };

/// Statutory limits. Accepted anywhere, decided at home: domain §3.1.
const LIMITS: &[Limit] = &[
    home::forward("残疾人两项补贴“跨省通办”通知（2021） [S2]"),
    home::decision(10, "残疾人两项补贴“跨省通办”通知（2021） [S2]"),
    home::SUPPLEMENT,
    home::notice("残疾人两项补贴“跨省通办”通知（2021） [S2]"),
];

fn body(application: &pb::Application) -> Option<&pb::DisabilitySubsidy> {
    match &application.details {
        Some(Details::DisabilitySubsidy(body)) => Some(body),
        _ => None,
    }
}

fn check(application: &pb::Application, out: &mut Violations) {
    let Some(body) = body(application) else { return };
    if let Some(person) = &application.applicant {
        check_person("applicant", person, out);
        if person.resident_id.is_empty() {
            out.form("applicant.residentId", "is required; fill it in");
        }
        check_certificate(person, body, out);
        // A minor needs a guardian (Civil Code art. 17, 27).
        let accepted = application.accept_time.as_ref().map(|time| time.seconds * 1_000_000);
        let birth = ResidentId::parse(&person.resident_id).map(|id| id.birth_date());
        if let (Ok(birth), Some(accepted)) = (birth, accepted)
            && clock::full_years(birth, clock::china_date(accepted)) < 18
            && application.guardian.is_none()
        {
            out.form("guardian", "is required for an applicant under 18");
        }
    }
    // The living subsidy is for needy households: 国发〔2015〕52号, part 2(1).
    if matches!(body.subsidy_kind.as_str(), "1" | "3") && body.hardship_kind.is_empty() {
        let field = "disabilitySubsidy.hardshipKind";
        out.form(field, "is required for the living subsidy; name the kind of hardship");
    }
}

/// Certificate number = citizen number + category digit + level digit (残疾人证管理办法).
fn check_certificate(person: &pb::Person, body: &pb::DisabilitySubsidy, out: &mut Violations) {
    const FIELD: &str = "disabilitySubsidy";
    let Some((holder, digits)) = body.certificate_number.split_at_checked(18) else { return };
    // A number that is itself wrong has been told; its consequences are not.
    if ResidentId::parse(&person.resident_id).is_ok() && holder != person.resident_id {
        let field = format!("{FIELD}.certificateNumber");
        out.form(&field, "its first 18 characters must be the applicant's citizen number");
    }
    let mut digits = digits.chars().map(String::from);
    if digits.next().is_some_and(|digit| digit != body.category) {
        out.form(&format!("{FIELD}.category"), "must be digit 19 of the certificate number");
    }
    if digits.next().is_some_and(|digit| digit != body.level) {
        out.form(&format!("{FIELD}.level"), "must be digit 20 of the certificate number");
    }
}

fn benefits(application: &pb::Application) -> Vec<Benefit> {
    let Some(person) = &application.applicant else { return Vec::new() };
    let asked = body(application).map_or("", |body| body.subsidy_kind.as_str());
    // Of both, one may be granted.
    let granted = application.decision.as_ref().map(|decision| decision.granted_kind.as_str());
    let kind = granted.filter(|kind| !kind.is_empty()).unwrap_or(asked);
    let wanted: &[&'static str] = match kind {
        "1" => &["disability_subsidy/living"],
        "2" => &["disability_subsidy/nursing"],
        _ => &["disability_subsidy/living", "disability_subsidy/nursing"],
    };
    let person = identity(person, None);
    wanted.iter().map(|name| Benefit { name, person: person.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::business::tests::refused;

    fn application(certificate: &str, kind: &str) -> pb::Application {
        pb::Application {
            applicant: Some(pb::Person {
                resident_id: "11010519491231002X".into(),
                sex: "2".into(),
                birth_date: "1949-12-31".into(),
                ..Default::default()
            }),
            details: Some(Details::DisabilitySubsidy(pb::DisabilitySubsidy {
                subsidy_kind: kind.into(),
                certificate_number: certificate.into(),
                category: "4".into(),
                level: "1".into(),
                hardship_kind: "1".into(),
                ..Default::default()
            })),
            ..Default::default()
        }
    }

    #[test]
    fn the_certificate_belongs_to_the_applicant_and_says_category_and_level() {
        assert!(refused(check, &application("11010519491231002X41", "1")).is_empty());
        let fields = refused(check, &application("44052418800101001432", "1"));
        assert_eq!(fields.len(), 3, "{fields:?}");
    }

    #[test]
    fn both_subsidies_are_two_benefits() {
        assert_eq!(benefits(&application("", "3")).len(), 2);
        assert_eq!(benefits(&application("", "2"))[0].name, "disability_subsidy/nursing");
    }
}
