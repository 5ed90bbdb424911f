//! Fills in the forms of divorce, old-age allowance and social assistance; says which papers prove
//! a form, and which day it is of; fills in the same person's form once more.

use jiff::ToSpan as _;

use crate::sim::{
    case::{Assistance, Body, Business, Divorce, Form, OldAge, Spouse},
    claim::Claim,
    fates::Fate,
    forms::{Filled, Forms, citizen},
};

impl Forms {
    /// A couple that applies for a divorce by agreement, at one registry (Civil Code art. 1076).
    pub(super) fn divorce(&mut self, county: &str, office: &str, turn: usize) -> Divorce {
        let mut man = self.spouse(true, false);
        let mut woman = self.spouse(false, false);
        self.married(&mut man, &mut woman, Fate::Married);
        (man.marital, woman.marital) = ("20".into(), "20".into());
        let people = &mut self.people;
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
            withdraws: turn % 3 == 1,
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
            action: "1".into(),
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
        let previous = form.home.get(..6).unwrap_or_default().to_owned();
        let last = Some(self.people.today());
        match (&mut moved.body, &form.body) {
            (Body::Subsidy(new), Body::Subsidy(old)) => {
                new.clone_from(old);
                (new.action, new.previous, new.last_paid) = ("6".into(), previous, last);
            }
            (Body::Child(new), Body::Child(old)) => {
                new.clone_from(old);
                (new.action, new.previous, new.last_paid) = ("6".into(), previous, last);
            }
            _ => {}
        }
        self.attach(&mut moved);
        moved
    }

    /// Makes a form that nothing speaks against: for both subsidies, or of a child whose parents
    /// are both gravely ill.
    pub(super) fn simply_eligible(&mut self, form: &mut Form) {
        let Some(person) = &mut form.applicant else { return };
        match &mut form.body {
            Body::Subsidy(body) => {
                (body.kind, body.hardship, body.level) = ("3".into(), "1".into(), "1".into());
                (body.long_term_care, body.orphan_allowance) = (true, false);
                body.hardship_certificate = "DB000000000001".into();
                body.other_allowance = "0".into();
                body.certificate = format!("{}{}1", person.id, body.category);
            }
            Body::Child(body) => {
                (body.kind, body.household) = ("2".into(), "1".into());
                for parent in [&mut body.father, &mut body.mother] {
                    (parent.circumstance, parent.proof) = ("04".into(), "204".into());
                }
                if person.id.is_empty() {
                    person.id = self.people.citizen_number(person.birth, person.sex == "1");
                }
            }
            _ => {}
        }
        self.attach(form);
    }

    /// The hub's request to the registry that issued a certificate, for a couple that wants it
    /// again.
    pub(super) fn archive_request(&mut self, claim: &Claim) -> Form {
        let turn = self.turn_besides(Business::Marriage);
        let mut form = self.fill_in(Business::Marriage, "other", turn);
        if let Body::Marriage(couple) = &mut form.body {
            for (one, who) in [&mut couple.man, &mut couple.woman].into_iter().zip(&claim.people) {
                one.person.name.clone_from(&who.name);
                one.person.birth = who.birth.parse().unwrap_or(one.person.birth);
                one.marital.clone_from(&who.status);
                if who.number.len() == 18 {
                    let male = who.number.as_bytes()[16] % 2 == 1;
                    citizen(one, who.number.clone(), one.person.birth, male);
                } else {
                    (one.person.id, one.document) = (String::new(), who.number.clone());
                    (one.identity, one.document_kind) = ("1".into(), "8".into());
                }
            }
            claim.get("operation").clone_into(&mut couple.operation);
            claim.get("old certificate").clone_into(&mut couple.old_certificate);
            couple.reissue = self.people.cycle.next("reissue_reason");
            (couple.booked, form.online) = (false, false);
        }
        self.attach(&mut form);
        form
    }

    /// A form that every simulator fills in with the same people.
    pub(super) fn fill_in_twin(&mut self, business: Business, home: &str, turn: usize) -> Form {
        let mut form = self.fill_in(business, home, turn);
        if let Some(person) = &mut form.applicant {
            person.name = "买买提·吐尔逊".into();
        }
        match &mut form.body {
            Body::Divorce(couple) => couple.withdraws = true,
            Body::OldAge(body) => body.other_allowance = "0".into(),
            Body::Assistance(body) => {
                (body.kind, body.without) = ("1".into(), false);
                body.authorisation = "HDSQ0000000003".into();
            }
            _ => {}
        }
        self.simply_eligible(&mut form);
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
    /// Kinds of the papers that prove what the form says.
    pub(super) fn proofs(&self) -> Vec<String> {
        let kinds: &[&str] = match &self.body {
            Body::Marriage(couple) if couple.operation == "IA" => &["301", "302"],
            Body::Marriage(_) => &["310"],
            Body::Divorce(_) => &["111", "111", "307", "311", "321"],
            Body::Subsidy(_) => &["111", "113", "401"],
            Body::Child(_) => &["111", "111", "111", "113", "117", "121", "122", "124", "125"],
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
            Body::Subsidy(_) if self.guardian.is_some() => ["111", "122"],
            _ => [""; 2],
        };
        let also = match &self.body {
            Body::Marriage(couple) => [&couple.man, &couple.woman].map(Spouse::shows),
            Body::Subsidy(body) if matches!(&*body.hardship, "1" | "2") => ["403", ""],
            _ => [""; 2],
        };
        let all =
            kinds.iter().chain(&more).chain(&also).chain([&agent]).filter(|kind| !kind.is_empty());
        all.map(|kind| (*kind).to_owned()).collect()
    }
}

impl Spouse {
    /// The kind of paper that shows who it is.
    fn shows(&self) -> &'static str {
        if self.document_kind == "1" { "111" } else { "118" }
    }
}
