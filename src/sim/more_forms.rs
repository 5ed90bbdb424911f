//! Fills in the forms of divorce, old-age allowance and social assistance, and the forms that must
//! be refused: people whom the regulation excludes, judged without looking at the gateway's rules.

use jiff::ToSpan as _;

use crate::sim::{
    case::{Applied, Assistance, Body, Business, Divorce, Form, OldAge},
    fates::{Fate, number_with},
    forms::{Filled, Forms},
};

impl Forms {
    /// A couple that applies for a divorce by agreement, at one registry (Civil Code art. 1076).
    pub(super) fn divorce(&mut self, county: &str, office: &str) -> Divorce {
        let mut man = self.spouse(true, true);
        let mut woman = self.spouse(false, true);
        (man.marital, woman.marital) = ("20".into(), "20".into());
        let people = &mut self.people;
        let applied = match people.cycle.count("divorce") % 3 {
            0 => Applied::Lapsed,
            1 => Applied::Now,
            _ => Applied::Cooled,
        };
        let married_on = people.today().checked_sub(9.years()).unwrap_or_else(|_| people.today());
        Divorce {
            man,
            woman,
            registry: format!("{county}0001"),
            registry_name: format!("{office}民政局婚姻登记处"),
            receipt: format!("LHSL-{county}-{}", people.dice.digits(8)),
            certificate: format!("J{county}-{}-{}", married_on.year(), people.dice.digits(6)),
            married_on,
            in_china: true,
            agreement: people.sha256(),
            children: people.dice.chance(0.6),
            applied,
        }
    }

    /// Someone of 80 or more (高龄津贴).
    pub(super) fn old_age(&mut self, home: &str) -> Filled {
        let people = &mut self.people;
        let band = people.cycle.next("age_band");
        let (low, high) = match band.as_str() {
            "3" => (100, 108),
            "2" => (90, 98),
            _ => (80, 88),
        };
        let male = people.dice.chance(0.4);
        let applicant = people.person(home, male, low, high);
        let today = people.today();
        let action = people.cycle.among("old-age action", &["1", "6", "1", "2", "4", "5", "3"]);
        let moved = action == "6";
        let rests = matches!(action.as_str(), "3" | "5");
        let body = Body::OldAge(Box::new(OldAge {
            band,
            alive_on: today.checked_sub(20.days()).unwrap_or(today),
            other_allowance: people.cycle.next("other_allowance"),
            last_paid: moved.then(|| today.saturating_sub(1.month())),
            previous: if moved { people.county("other").0 } else { String::new() },
            exit: if rests { people.cycle.next("exit_reason") } else { String::new() },
            statement: "数据比对未包括本人，申请发放高龄津贴。".into(),
            action,
        }));
        (body, None, Some(applicant))
    }

    /// A household in need (社会救助).
    pub(super) fn assistance(&mut self, home: &str) -> Filled {
        let people = &mut self.people;
        let male = people.dice.chance(0.5);
        let applicant = people.person(home, male, 25, 79);
        let kind = people.cycle.next("assistance_kind");
        let alone = kind == "2";
        let count = if alone { 0 } else { people.dice.below(4) };
        let members: Vec<_> = (0..count).map(|_| people.representative()).collect();
        let heads = i64::try_from(count).unwrap_or_default() + 1;
        // Every fourth household earns more than the line: somebody must look.
        let rich = people.cycle.once_in("above the line", 4);
        let body = Body::Assistance(Box::new(Assistance {
            class: people.cycle.next("low_income_class"),
            area: people.cycle.next("area_kind"),
            members,
            income_fen: heads * if rich { 150_000 } else { 45_000 },
            savings_fen: heads * 300_000,
            authorisation: if kind == "3" {
                String::new()
            } else {
                format!("HDSQ{}", people.dice.digits(10))
            },
            cause: people.cycle.next("hardship_cause"),
            without: alone,
            statement: "家庭遭遇困难，申请救助。".into(),
            kind,
        }));
        (body, None, Some(applicant))
    }

    /// A form that the regulation refuses: too young, excluded by another benefit, out of date,
    /// registered abroad.
    pub(super) fn excluded(&mut self, business: Business, home: &str) -> Form {
        let mut form = self.fill_in(business, home);
        let today = self.people.today();
        let people = &mut self.people;
        let expired = today.checked_sub(3.days()).unwrap_or(today);
        match &mut form.body {
            // Civil Code art. 1047: the man is 21.
            Body::Marriage(couple) => {
                couple.operation = "IA".into();
                (couple.old_certificate, couple.reissue) = Default::default();
                let birth = people.birth(21, 21);
                let id = people.citizen_number(birth, true);
                let man = &mut couple.man;
                (man.person.birth, man.person.id, man.person.sex) = (birth, id, "1".into());
                man.document.clear();
                (man.identity, man.document_kind) = ("1".into(), "1".into());
                man.citizenship = "CHN".into();
            }
            // 民发〔2020〕116号: the marriage was not registered in China.
            Body::Divorce(couple) => couple.in_china = false,
            // 残疾人证管理办法: the certificate ran out before the day of acceptance.
            Body::Subsidy(body) => {
                body.action = "1".into();
                body.valid_to = expired;
            }
            // 民发〔2019〕62号: a parent cares for the child.
            Body::Child(body) => {
                body.kind = "2".into();
                body.father.circumstance = "00".into();
            }
            // Not yet 80.
            Body::OldAge(body) => {
                body.action = "1".into();
                if let Some(person) = &mut form.applicant {
                    person.birth = people.birth(70, 78);
                    person.id = people.citizen_number(person.birth, person.sex == "1");
                }
            }
            // Decree 649 art. 14: has somebody to support them.
            Body::Assistance(body) => {
                body.kind = "2".into();
                body.without = false;
                body.authorisation = "HDSQ0000000001".into();
            }
        }
        form
    }

    /// A form of someone whom only the hub's libraries exclude: drawing the benefit in another
    /// province, or in the cooling-off period of a divorce. `None` where there is no such thing.
    pub(super) fn known_elsewhere(&mut self, business: Business, home: &str) -> Option<Form> {
        let mut form = self.fill_in(business, home);
        let (place, male) = (self.role.place(), self.people.dice.chance(0.5));
        let (county, _) = self.people.county("other");
        let fate = |fate, birth| number_with(fate, &county, birth, (male, place));
        match &mut form.body {
            Body::Marriage(couple) => {
                let birth = self.people.birth(30, 50);
                let man = &mut couple.man;
                man.person.id = number_with(Fate::Cooling, &county, birth, (true, place))?;
                (man.person.birth, man.person.sex) = (birth, "1".into());
                man.document.clear();
                (man.identity, man.document_kind) = ("1".into(), "1".into());
                man.citizenship = "CHN".into();
                couple.operation = "IA".into();
                (couple.old_certificate, couple.reissue) = Default::default();
                return Some(form);
            }
            Body::Subsidy(body) => {
                let person = form.applicant.as_mut()?;
                person.id = fate(Fate::DrawsNursing, person.birth)?;
                (body.action, body.previous, body.last_paid) = Default::default();
                (body.kind, body.level, body.long_term_care) = ("2".into(), "1".into(), true);
                body.certificate = format!("{}{}1", person.id, body.category);
                body.hardship.clear();
            }
            Body::Child(body) => {
                body.household = "1".into();
                let person = form.applicant.as_mut()?;
                person.id = fate(Fate::DrawsChild, person.birth)?;
            }
            Body::OldAge(body) => {
                (body.action, body.last_paid) = ("1".into(), None);
                let person = form.applicant.as_mut()?;
                person.id = fate(Fate::DrawsOldAge, person.birth)?;
            }
            Body::Assistance(body) => {
                (body.kind, body.without) = ("1".into(), false);
                body.authorisation = "HDSQ0000000002".into();
                let person = form.applicant.as_mut()?;
                person.id = fate(Fate::ExtremelyPoor, person.birth)?;
            }
            Body::Divorce(_) => return None,
        }
        if let Some(person) = &mut form.applicant {
            person.sex = if male { "1" } else { "2" }.into();
        }
        Some(form)
    }

    /// The same person through another window, under another number.
    pub(super) fn again(&mut self, form: &Form) -> Form {
        let other = self.fill_in(form.business(), "other");
        Form { number: other.number, office: other.office, ..form.clone() }
    }
}
