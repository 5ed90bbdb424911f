//! Fills in the forms of divorce, old-age allowance and social assistance; says which papers prove
//! a form, and which day it is of; fills in the same person's form once more.

use jiff::{SignedDuration, ToSpan as _};

use crate::sim::{
    case::{Applied, Assistance, Body, Business, Divorce, Form, OldAge},
    fates::Fate,
    forms::{Filled, Forms},
};

impl Forms {
    /// A couple that applies for a divorce by agreement, at one registry (Civil Code art. 1076).
    pub(super) fn divorce(&mut self, county: &str, office: &str, turn: usize) -> Divorce {
        let mut man = self.spouse(true, false);
        let mut woman = self.spouse(false, false);
        self.married(&mut man, &mut woman, Fate::Married);
        (man.marital, woman.marital) = ("20".into(), "20".into());
        let people = &mut self.people;
        let applied = match turn % 9 {
            1 => Applied::Now,
            4 => Applied::Lapsed,
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
            children: true,
            capable: true,
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
        let body = Body::OldAge(Box::new(OldAge {
            band,
            alive_on: today.checked_sub(20.days()).unwrap_or(today),
            other_allowance: people.other_allowance(),
            last_paid: None,
            previous: String::new(),
            exit: String::new(),
            statement: "数据比对未包括本人，申请发放高龄津贴。".into(),
            action: "1".into(),
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
        let body = Body::Assistance(Box::new(Assistance {
            class: people.cycle.next("low_income_class"),
            area: people.cycle.next("area_kind"),
            members,
            income_fen: heads * 45_000,
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

    /// The same person through another window, under another number.
    pub(super) fn again(&mut self, form: &Form) -> Form {
        let turn = self.turn_besides(form.business());
        let county = form.accepted_in.get(..6).unwrap_or("230102");
        let number = self.number(form.business(), county, turn);
        let office = format!("{}（另一窗口）", form.office);
        respelt(Form { number, office, ..form.clone() })
    }

    /// Somebody who moves with both subsidies: paid there to this month, here from the next.
    pub(super) fn moved(&mut self, form: &Form, home: &str, turn: usize) -> Form {
        let mut moved = self.fill_in(form.business(), home, turn);
        let place = moved.applicant.take().unwrap_or_default().registered;
        let mut person = form.applicant.clone().unwrap_or_default();
        moved.home.clone_from(&place.division);
        person.registered = place;
        moved.applicant = Some(person);
        (moved.guardian, moved.account) = (form.guardian.clone(), form.account.clone());
        let today = self.people.today();
        if let (Body::Subsidy(new), Body::Subsidy(old)) = (&mut moved.body, &form.body) {
            new.clone_from(old);
            new.action = "6".into();
            new.previous = form.home.get(..6).unwrap_or_default().into();
            new.last_paid = Some(today);
        }
        self.attach(&mut moved);
        moved
    }

    /// Makes a form for both subsidies that nothing speaks against.
    pub(super) fn simply_eligible(&mut self, form: &mut Form) {
        if let (Body::Subsidy(body), Some(person)) = (&mut form.body, &form.applicant) {
            (body.kind, body.hardship, body.level) = ("3".into(), "1".into(), "1".into());
            (body.long_term_care, body.orphan_allowance) = (true, false);
            body.hardship_certificate = "DB000000000001".into();
            body.other_allowance = "0".into();
            body.certificate = format!("{}{}1", person.id, body.category);
        }
        self.attach(form);
    }

    /// A form that every simulator fills in with the same people.
    pub(super) fn fill_in_twin(&mut self, business: Business, home: &str, turn: usize) -> Form {
        let mut form = self.fill_in(business, home, turn);
        if let Some(person) = &mut form.applicant {
            person.name = "买买提·吐尔逊".into();
        }
        match &mut form.body {
            Body::Divorce(couple) => couple.applied = Applied::Now,
            Body::OldAge(body) => body.other_allowance = "0".into(),
            Body::Assistance(body) => {
                (body.kind, body.without) = ("1".into(), false);
                body.authorisation = "HDSQ0000000003".into();
            }
            _ => {}
        }
        if form.business() == Business::Subsidy {
            self.simply_eligible(&mut form);
        }
        self.attach(&mut form);
        form
    }
}

/// With the names as another window spells them.
pub(super) fn respelt(mut form: Form) -> Form {
    let respell = |name: &mut String| *name = name.replace('·', "•");
    if let Some(person) = &mut form.applicant {
        respell(&mut person.name);
    }
    if let Body::Divorce(couple) = &mut form.body {
        respell(&mut couple.man.person.name);
        respell(&mut couple.woman.person.name);
    }
    form
}

impl Form {
    /// A divorce whose clock has run was applied for that long ago; a couple that missed its day
    /// booked it two days ago.
    pub(super) fn dated(&mut self) {
        let days = match &self.body {
            Body::Divorce(divorce) => match divorce.applied {
                Applied::Now => 0,
                Applied::Cooled => 45,
                Applied::Lapsed => 100,
            },
            _ => 0,
        };
        self.accepted_at -= SignedDuration::from_hours(24 * days);
        self.complete_at -= SignedDuration::from_hours(24 * days);
    }

    /// Kinds of the papers that prove what the form says.
    pub(super) fn proofs(&self) -> Vec<String> {
        let kinds: &[&str] = match &self.body {
            Body::Marriage(couple) if couple.operation == "IA" => &["301", "302"],
            Body::Marriage(_) => &["310"],
            Body::Divorce(_) => &["307", "311", "321"],
            Body::Subsidy(_) => &["111", "113", "401"],
            Body::Child(_) => &["111", "113", "117", "121", "122", "124", "125"],
            Body::OldAge(_) => &["111", "605", "606"],
            Body::Assistance(_) => &["111", "601", "602", "604"],
        };
        let agent = if self.agent.is_some() { "123" } else { "" };
        let more = match &self.body {
            Body::Marriage(couple) => {
                [&couple.man, &couple.woman].map(|one| match one.marital.as_str() {
                    "40" => "303",
                    "30" => "306",
                    _ => "",
                })
            }
            Body::Child(child) => [child.father.proof.as_str(), &child.mother.proof],
            Body::Subsidy(_) if self.guardian.is_some() => ["122", ""],
            _ => [""; 2],
        };
        let all = kinds.iter().chain(&more).chain([&agent]).filter(|kind| !kind.is_empty());
        all.map(|kind| (*kind).to_owned()).collect()
    }
}
