//! Marriage registration (结婚登记). Civil Code; 婚姻登记条例 (Decree 804, in force 2025-05-10).

use jiff::civil::Date;

use crate::{
    business::{Benefit, Rules, Travel, Violations, check_person},
    model::{
        clock::full_years,
        lifecycle::NATIONWIDE_MARRIAGE,
        pb::{self, application::Details},
        resident_id::ResidentId,
    },
};

pub(super) const RULES: Rules =
    Rules { machine: NATIONWIDE_MARRIAGE, travel: Travel::ToNationalHub, check, benefits };

fn body(application: &pb::Application) -> Option<&pb::MarriageRegistration> {
    match &application.details {
        Some(Details::MarriageRegistration(body)) => Some(body),
        _ => None,
    }
}

fn check(application: &pb::Application, out: &mut Violations) {
    const FIELD: &str = "marriageRegistration";
    let Some(body) = body(application) else { return };
    // Decree 804: both must appear in person; online only a booking can be made.
    if !body.both_present {
        out.refuse(&format!("{FIELD}.bothPresent"), "both must appear in person and be willing");
    }
    let day: Option<Date> = body.registration_date.parse().ok();
    // Civil Code art. 1047: no man under 22, no woman under 20 full years.
    let parties = [("man", &body.man, "1", 22), ("woman", &body.woman, "2", 20)];
    for (name, spouse, sex, age) in parties {
        let Some(spouse) = spouse else { continue };
        check_spouse(&format!("{FIELD}.{name}"), spouse, sex, out);
        let birth = spouse.person.as_ref().and_then(|p| p.birth_date.parse::<Date>().ok());
        if let (Some(birth), Some(day)) = (birth, day)
            && full_years(birth, day) < age
        {
            let field = format!("{FIELD}.{name}.person.birthDate");
            out.refuse(&field, &format!("must be at least {age} full years old (Civil Code 1047)"));
        }
    }
    let numbers = [&body.man, &body.woman].map(|s| s.as_ref().map(document).unwrap_or_default());
    if !numbers[0].is_empty() && numbers[0] == numbers[1] {
        let field = format!("{FIELD}.woman.person.residentId");
        out.refuse(&field, "must be another person than the man");
    }
    if body.operation == "ICA" && body.original_certificate_number.is_empty() {
        let field = format!("{FIELD}.originalCertificateNumber");
        out.form(&field, "is required for a re-issue; give the number of the lost certificate");
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
    // One man and one woman (Civil Code art. 1042, 1046).
    let by_number = ResidentId::parse(&person.resident_id).map(|id| id.sex());
    if by_number.is_ok_and(|by_number| by_number != sex) {
        out.refuse(&format!("{field}.person.residentId"), "is a number of the other sex");
    }
}

fn document(spouse: &pb::Spouse) -> String {
    let number = spouse.person.as_ref().map(|person| person.resident_id.as_str());
    number.filter(|n| !n.is_empty()).unwrap_or(&spouse.document_number).to_owned()
}

fn benefits(application: &pb::Application) -> Vec<Benefit> {
    let Some(body) = body(application) else { return Vec::new() };
    let people = [&body.man, &body.woman].into_iter().flatten().map(document);
    people
        .filter(|person| !person.is_empty())
        .map(|person| Benefit { name: "marriage_registration", person })
        .collect()
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
