//! Marriage registration (结婚登记) and the re-issue of certificates (补领). Civil Code; 婚姻登记条例 (Decree 804, in force 2025-05-10).

use jiff::civil::Date;

use crate::{
    business::{
        Benefit, Outcome, Rules, Travel, Violations,
        clock::{Length, Limit, Start},
        couple,
    },
    model::{
        clock::full_years,
        lifecycle::NATIONWIDE_MARRIAGE,
        pb::{self, DeadlineKind, EventType, State, application::Details},
    },
};

pub(super) const RULES: Rules = Rules {
    machine: NATIONWIDE_MARRIAGE,
    travel: Travel::ToNationalHub,
    check,
    benefits,
    grants: |_| Outcome::Nothing,
    limits: LIMITS,
};

/// Statutory limits. Decided on the spot; a booking holds for its day.
const LIMITS: &[Limit] = &[Limit {
    kind: DeadlineKind::Appearance,
    length: Length::BookedDay,
    starts: Start::Accepted,
    stops: &[EventType::ApplicationAccepted],
    pauses: false,
    passing: Some((State::Booked, EventType::AppearanceMissed)),
    source: "预约当日有效 [P]",
}];

fn body(application: &pb::Application) -> Option<&pb::MarriageRegistration> {
    match &application.details {
        Some(Details::MarriageRegistration(body)) => Some(body),
        _ => None,
    }
}

fn check(application: &pb::Application, out: &mut Violations) {
    const FIELD: &str = "marriageRegistration";
    let Some(body) = body(application) else { return };
    // Decree 804: both must appear in person; online only a booking can be made. A divorce
    // certificate is issued again to one of the two (ICB).
    let online = application.source() == pb::Source::Online;
    if !online && !body.both_present && body.operation != "ICB" {
        out.refuse(&format!("{FIELD}.bothPresent"), "both must appear in person and be willing");
    }
    if online && body.booking_number.is_empty() {
        out.form(&format!("{FIELD}.bookingNumber"), "is required for a booking made online");
    }
    couple::check(FIELD, body.man.as_ref(), body.woman.as_ref(), out);
    let day: Option<Date> = body.registration_date.parse().ok();
    // Civil Code art. 1047: no man under 22, no woman under 20 full years.
    let parties = [("man", &body.man, 22), ("woman", &body.woman, 20)];
    for (name, spouse, age) in parties {
        let Some(spouse) = spouse else { continue };
        let birth = spouse.person.as_ref().and_then(|p| p.birth_date.parse::<Date>().ok());
        if let (Some(birth), Some(day)) = (birth, day)
            && full_years(birth, day) < age
        {
            let field = format!("{FIELD}.{name}.person.birthDate");
            out.refuse(&field, &format!("must be at least {age} full years old (Civil Code 1047)"));
        }
    }
    if body.operation != "IA" && body.original_certificate_number.is_empty() {
        let field = format!("{FIELD}.originalCertificateNumber");
        out.form(&field, "is required for a re-issue; give the number of the lost certificate");
    }
}

/// One marriage at a time, and none while a divorce runs: both share the name. A certificate can
/// be issued again (补领) meanwhile.
fn benefits(application: &pb::Application) -> Vec<Benefit> {
    let Some(body) = body(application) else { return Vec::new() };
    let name = if body.operation == "IA" { "marital_status" } else { "certificate" };
    couple::each(name, body.man.as_ref(), body.woman.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::business::tests::refused;

    fn couple(man_birth: &str, woman_birth: &str) -> pb::Application {
        let spouse = |birth: &str| pb::Spouse {
            person: Some(pb::Person { birth_date: birth.into(), ..Default::default() }),
            document_kind: "5".into(),
            document_number: birth.into(),
            ..Default::default()
        };
        pb::Application {
            details: Some(Details::MarriageRegistration(pb::MarriageRegistration {
                man: Some(spouse(man_birth)),
                woman: Some(spouse(woman_birth)),
                operation: "IA".into(),
                registration_date: "2026-11-23".into(),
                both_present: true,
                ..Default::default()
            })),
            ..Default::default()
        }
    }

    #[test]
    fn the_ages_count_on_the_day_of_registration() {
        assert!(refused(check, &couple("2004-11-23", "2006-11-23")).is_empty());
        let fields = refused(check, &couple("2004-11-24", "2006-11-24"));
        assert_eq!(fields.len(), 2);
        assert_eq!(fields[0], "marriageRegistration.man.person.birthDate");
    }

    #[test]
    fn nobody_marries_themselves() {
        let fields = refused(check, &couple("1990-01-01", "1990-01-01"));
        assert_eq!(fields, ["marriageRegistration.woman.person.residentId"]);
    }
}
