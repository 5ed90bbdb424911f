//! Who handles an application: the party that covers the home division's province, or the
//! national hub for all others. The route follows the home division on the form and never the
//! citizen number, whose first digits are the place of first numbering (GB 11643).

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    business::{self, Travel},
    config::{Party, PartyKind},
    model::{
        pb,
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
    pub(super) fn handler(&self, application: &pb::Application) -> Option<&str> {
        let business = application.business();
        let code = business.code();
        let national = || {
            let (party, businesses) = self.national.as_ref()?;
            businesses.contains(&code).then_some(party.as_str())
        };
        match business::travel(business) {
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
        let text = match self.handler(application) {
            None => "nobody takes this business for that division",
            // What the hub pushes is for divisions here; it would come back to the hub.
            Some(handler) if self.is_national(handler) && self.is_national(submitter) => {
                "is no division that this gateway's parties handle"
            }
            Some(_) => return Ok(()),
        };
        Err(Violation::of(Cause::Division, "homeDivision", text))
    }

    fn is_national(&self, party: &str) -> bool {
        self.national.as_ref().is_some_and(|(code, _)| code == party)
    }
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
        assert_eq!(routes.handler(&application(subsidy, "230102")), Some("23"));
        assert_eq!(routes.handler(&application(subsidy, "440305001")), Some("44"));
        assert_eq!(routes.handler(&application(subsidy, "510104")), Some("national"));
    }

    #[test]
    fn marriage_goes_to_the_national_hub_wherever_home_is() {
        let marriage = application(pb::Business::MarriageRegistration, "440305");
        assert_eq!(routes().handler(&marriage), Some("national"));
    }

    #[test]
    fn what_the_hub_pushes_does_not_go_back_to_it() {
        let routes = routes();
        let subsidy = pb::Business::DisabilitySubsidy;
        assert!(routes.check("national", &application(subsidy, "510104")).is_err());
        assert!(routes.check("national", &application(subsidy, "230102")).is_ok());
    }
}
