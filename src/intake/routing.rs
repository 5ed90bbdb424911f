//! Who handles an application: the party that covers the home division's province, or the
//! national hub for all others. The route follows the home division on the form and never the
//! citizen number, whose first digits are the place of first numbering (GB 11643).

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use crate::{
    business::{self, Travel},
    config::{self, Party, PartyKind},
    model::{
        divisions::{Divisions, Today},
        pb::{self, AuthorityLevel, application::Details},
        problem::{Cause, Violation},
    },
};

/// Party codes by province and business.
pub(super) struct Routes {
    by_province: BTreeMap<(String, String), String>,
    national: Option<(String, BTreeSet<String>)>,
}

impl Routes {
    pub(super) fn new(parties: &BTreeMap<String, Party>) -> Self {
        let mut routes = Self { by_province: BTreeMap::new(), national: None };
        for (code, party) in parties {
            let businesses = &party.entry.businesses;
            for province in &party.entry.covers {
                for business in businesses {
                    let key = (province.clone(), business.clone());
                    routes.by_province.insert(key, code.clone());
                }
            }
            if party.entry.kind == PartyKind::National {
                routes.national = Some((code.clone(), businesses.iter().cloned().collect()));
            }
        }
        routes
    }

    /// The handling party; `None` when nobody takes the business for that division.
    pub(super) fn handler(&self, submitter: &str, application: &pb::Application) -> Option<&str> {
        let business = application.business();
        let code = business.code();
        let national = || {
            let (party, businesses) = self.national.as_ref()?;
            businesses.contains(&code).then_some(party.as_str())
        };
        match business::travel(business) {
            // The hub asks for the archive of a certificate that one of our registries issued.
            Travel::ToNationalHub if self.is_national(submitter) => {
                let province = issued_in(application)?.get(..2)?.to_owned();
                self.by_province.get(&(province, code)).map(String::as_str)
            }
            Travel::ToNationalHub => national(),
            Travel::ToHome => {
                let province = application.home_division.get(..2)?.to_owned();
                let direct = self.by_province.get(&(province, code.clone()));
                direct.map(String::as_str).or_else(national)
            }
        }
    }

    /// Whether the application can be routed when `submitter` sends it.
    pub(super) fn check(
        &self,
        submitter: &str,
        application: &pb::Application,
    ) -> Result<(), Violation> {
        let text = match self.handler(submitter, application) {
            None => "nobody takes this business for that division",
            // What the hub pushes is for divisions here; it would come back to the hub.
            Some(handler) if self.is_national(handler) && self.is_national(submitter) => {
                "is no division that this gateway's parties handle"
            }
            Some(_) => return Ok(()),
        };
        Err(Violation::of(Cause::Division, "homeDivision", text))
    }

    /// Whether the party is the national hub.
    pub(super) fn is_national(&self, party: &str) -> bool {
        self.national.as_ref().is_some_and(|(code, _)| code == party)
    }
}

/// Area of the registry that issued the certificate of a re-issue: `J230102-2010-000001`.
fn issued_in(application: &pb::Application) -> Option<&str> {
    match &application.details {
        Some(Details::MarriageRegistration(body)) if body.operation != "IA" => Some(
            body.original_certificate_number.trim_start_matches(|c: char| c.is_ascii_uppercase()),
        ),
        _ => None,
    }
}

/// What the division on a form means today, and who decides there.
pub(super) struct Place {
    /// Name of the county-level division.
    pub(super) name: String,
    /// The office.
    pub(super) authority: pb::HandlingAuthority,
    /// What is to be made sure of before anybody decides.
    pub(super) question: Option<pb::RuleCheck>,
}

/// The place of an application: of the registry for couples, else of the home division, which may
/// have been merged, split, renamed or recoded since the form was printed.
///
/// # Errors
/// The division was split and the form does not say into which part: it is asked, never guessed.
pub(super) fn place(
    routes: &config::routes::Routes,
    divisions: &Divisions,
    application: &pb::Application,
    day: Date,
) -> Result<Place, Violation> {
    let business = application.business();
    let couples = business::travel(business) == Travel::ToNationalHub;
    let (field, code) = match couples {
        true => ("acceptingDivision", &application.accepting_division),
        false => ("homeDivision", &application.home_division),
    };
    let (county, name, succeeded) = match divisions.today(code) {
        Today::Stands(division) => {
            (code.get(..6).unwrap_or_default().to_owned(), division.name.clone(), None)
        }
        Today::Became(county, division, year) => (county, division.name.clone(), Some(year)),
        Today::OneOf(codes) => {
            let text = format!(
                "was split into {}; name the one that the household is in today",
                codes.join(", ")
            );
            return Err(Violation::of(Cause::Division, field, text));
        }
        // The rules of form have told it.
        Today::Unknown => (String::new(), String::new(), None),
    };
    let mut authority = pb::HandlingAuthority {
        division: county.clone(),
        division_name: name.clone(),
        succeeded_from: succeeded.map_or_else(String::new, |_| code.clone()),
        succeeded_in: succeeded.map_or(0, i32::from),
        ..Default::default()
    };
    // Of a division that stands, the township is known by its nine digits.
    let township = code.get(..9).filter(|_| succeeded.is_none());
    let found = routes.authority(business, &county, day);
    let question = match found.map(|found| found.level) {
        None => Some(question("R2", field, "受理之日没有该区划办理机关的记录，请人工确认办理机关")),
        Some(AuthorityLevel::Township) if township.is_none() => {
            Some(question("R1", field, "审核确认权限已下放乡镇，请写明乡镇（九位区划代码）"))
        }
        Some(_) => None,
    };
    if let Some(found) = found {
        authority.set_level(found.level);
        authority.office = found.office.replace("{name}", &name);
        match found.level {
            AuthorityLevel::Township => {
                authority.division = township.map_or(county, str::to_owned);
            }
            AuthorityLevel::Registry => authority.office.clone_from(&application.accepting_office),
            _ => {}
        }
    }
    let home = divisions.today(&application.home_division);
    let name = match home {
        Today::Stands(division) | Today::Became(_, division, _) => division.name.clone(),
        Today::OneOf(_) | Today::Unknown => String::new(),
    };
    Ok(Place { name, authority, question })
}

/// What a human must tell, since a route is not guessed.
fn question(rule: &str, field: &str, says: &str) -> pb::RuleCheck {
    let mut check = pb::RuleCheck {
        rule: rule.to_owned(),
        field: field.to_owned(),
        says: says.to_owned(),
        source: "config/routes.toml".to_owned(),
        ..Default::default()
    };
    check.set_asked_of(pb::AskedOf::Human);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        let all = ["marriage_registration", "disability_subsidy"];
        let key = |province: &str| (province.to_owned(), all[1].to_owned());
        Routes {
            by_province: [(key("23"), "23".to_owned()), (key("44"), "44".to_owned())].into(),
            national: Some(("national".into(), all.map(str::to_owned).into())),
        }
    }

    fn application(business: pb::Business, home: &str) -> pb::Application {
        pb::Application {
            business: business as i32,
            home_division: home.into(),
            applicant: Some(pb::Person {
                resident_id: "440524188001010014".into(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn the_home_division_decides_and_never_the_citizen_number() {
        let routes = routes();
        let subsidy = pb::Business::DisabilitySubsidy;
        assert_eq!(routes.handler("44", &application(subsidy, "230102")), Some("23"));
        assert_eq!(routes.handler("44", &application(subsidy, "440305001")), Some("44"));
        assert_eq!(routes.handler("44", &application(subsidy, "510104")), Some("national"));
    }

    #[test]
    fn marriage_goes_to_the_national_hub_wherever_home_is() {
        let marriage = application(pb::Business::MarriageRegistration, "440305");
        assert_eq!(routes().handler("44", &marriage), Some("national"));
    }

    #[test]
    fn the_hub_asks_the_registry_that_issued_a_certificate_for_its_archive() {
        let mut routes = routes();
        let marriage = ("23".to_owned(), "marriage_registration".to_owned());
        routes.by_province.insert(marriage, "23".into());
        let mut reissue = application(pb::Business::MarriageRegistration, "");
        reissue.details = Some(Details::MarriageRegistration(pb::MarriageRegistration {
            operation: "ICA".into(),
            original_certificate_number: "J230102-2010-000001".into(),
            ..Default::default()
        }));
        assert_eq!(routes.handler("national", &reissue), Some("23"));
        assert_eq!(routes.handler("44", &reissue), Some("national"));
    }

    #[test]
    fn what_the_hub_pushes_does_not_go_back_to_it() {
        let routes = routes();
        let subsidy = pb::Business::DisabilitySubsidy;
        assert!(routes.check("national", &application(subsidy, "510104")).is_err());
        assert!(routes.check("national", &application(subsidy, "230102")).is_ok());
    }
}
