//! How one of the cast fills in the form: an ordinary one, bent until the rule in question speaks.

use jiff::{SignedDuration, ToSpan as _, civil::Date};

use crate::sim::{
    case::{Body, Form, Person},
    cast::{Paid, Row, Twist},
    fates::Fate,
    forms::{Forms, citizen},
    library,
};

impl Forms {
    /// The form of one of the cast, for a resident of `home`.
    pub(in crate::sim) fn play(&mut self, row: &Row, home: &str, turn: usize) -> Form {
        self.citizens = true;
        let mut form = self.fill_in(row.business, home, turn);
        self.citizens = false;
        self.give_past(&mut form, row.past);
        self.plain(&mut form);
        self.twist(&mut form, row.twist);
        form.dated(row.twist);
        self.attach(&mut form);
        match row.twist {
            Twist::Lacks(kind) => form.papers.retain(|paper| paper.kind != kind),
            // The proof was left at home.
            Twist::Declares("30") => form.papers.retain(|paper| paper.kind != "306"),
            // A judgment proves what no library has.
            Twist::None if row.past == Fate::MarriedLongAgo => {
                let paper = self.people.paper("304");
                form.papers.push(paper);
            }
            _ => {}
        }
        form
    }

    /// Takes away what a form may ask about besides its own twist.
    fn plain(&mut self, form: &mut Form) {
        match &mut form.body {
            Body::Marriage(couple) => {
                couple.operation = "IA".into();
                (couple.old_certificate, couple.reissue) = Default::default();
                (couple.man.marital, couple.woman.marital) = ("10".into(), "10".into());
                (couple.booked, form.online) = (false, false);
            }
            Body::Divorce(couple) => couple.withdraws = false,
            Body::Subsidy(body) => {
                (body.other_allowance, body.action) = ("0".into(), "1".into());
                body.orphan_allowance = false;
                // The register may say that the disability is lighter; never the form.
                if body.level == "4" {
                    body.level = "3".into();
                }
            }
            Body::Child(body) => {
                body.kind = "2".into();
                for parent in [&mut body.father, &mut body.mother] {
                    (parent.circumstance, parent.proof) = ("04".into(), "204".into());
                }
            }
            Body::OldAge(body) => body.other_allowance = "0".into(),
            Body::Assistance(body) => {
                if body.kind == "2" {
                    (body.kind, body.without) = ("3".into(), false);
                }
            }
        }
    }

    fn give_past(&mut self, form: &mut Form, past: Fate) {
        let Some(person) = form.applicant.as_mut() else { return self.couple_past(form, past) };
        if past == Fate::Ordinary && !person.id.is_empty() {
            return;
        }
        let male = person.sex != "2";
        let age = match form.body {
            Body::Child(_) => (1, 16),
            Body::OldAge(_) => (80, 88),
            _ => (19, 60),
        };
        // The allowance is drawn at home.
        let there = form.home.get(..6).filter(|_| past == Fate::OnDibao);
        let (number, birth) = self.people.with_past(past, male, age, there);
        become_one(person, number, birth, male);
        match &mut form.body {
            Body::Child(body) => body.household = "1".into(),
            Body::OldAge(body) => body.band = "1".into(),
            Body::Subsidy(body) => body.certify(&person.id),
            _ => {}
        }
    }

    /// Of a couple that marries it is the man who has a past; who divorces shares it.
    fn couple_past(&mut self, form: &mut Form, past: Fate) {
        match &mut form.body {
            Body::Marriage(couple) if past != Fate::Ordinary => {
                let (number, birth) = self.people.with_past(past, true, (30, 50), None);
                citizen(&mut couple.man, number, birth, true);
            }
            Body::Divorce(couple) if past == Fate::Ordinary => {
                for (one, male) in [(&mut couple.man, true), (&mut couple.woman, false)] {
                    let (number, birth) = self.people.with_past(past, male, (30, 50), None);
                    citizen(one, number, birth, male);
                }
            }
            Body::Divorce(couple) => {
                let (man, woman) = (&mut couple.man, &mut couple.woman);
                self.married(man, woman, past);
            }
            _ => {}
        }
    }

    fn twist(&mut self, form: &mut Form, twist: Twist) {
        let today = self.people.today();
        let ago = |days: i64| today.checked_sub(days.days()).unwrap_or(today);
        match (&mut form.body, twist) {
            (Body::Marriage(couple), Twist::TooYoung) => {
                let (number, birth) = self.people.with_past(Fate::Ordinary, true, (21, 21), None);
                citizen(&mut couple.man, number, birth, true);
            }
            (Body::Marriage(couple), Twist::Declares(status)) => couple.man.marital = status.into(),
            (Body::Marriage(couple), Twist::Booked) => {
                (couple.booked, form.online) = (true, true);
                (couple.day, couple.booking) = (ago(1), "YY000000000001".into());
            }
            (Body::Divorce(couple), Twist::MarriedAbroad) => couple.in_china = false,
            (Body::Divorce(couple), Twist::NoAgreement) => couple.children = false,
            (Body::Divorce(couple), Twist::Incapable) => couple.capable = false,
            (Body::Subsidy(_), _) => self.twist_subsidy(form, twist),
            (Body::Child(body), Twist::ParentCares) => {
                (body.father.circumstance, body.father.proof) = ("00".into(), String::new());
            }
            (Body::Child(body), Twist::ParentUnknown) => {
                (body.father.circumstance, body.father.proof) = ("99".into(), String::new());
            }
            (Body::Child(body), Twist::TooOld) => {
                (body.academic, body.household) = ("90".into(), "1".into());
                self.reborn(form, (19, 24));
            }
            (Body::OldAge(body), Twist::TooYoung) => {
                body.band = "1".into();
                self.reborn(form, (70, 78));
            }
            (Body::OldAge(body), Twist::WrongBand) => {
                body.band = if body.band == "3" { "2" } else { "3" }.into();
            }
            (Body::OldAge(body), Twist::NotSeen) => body.alive_on = ago(500),
            (Body::OldAge(body), Twist::OtherAllowance) => body.other_allowance = "1".into(),
            (Body::OldAge(_), Twist::MovesFrom(_) | Twist::Asks(_)) => self.drawn(form, twist),
            (Body::Assistance(body), Twist::Asks(kind)) => kind.clone_into(&mut body.kind),
            (Body::Assistance(body), Twist::Supported) => body.kind = "2".into(),
            (Body::Assistance(body), Twist::Alone) => {
                (body.kind, body.without, body.action) = ("2".into(), true, "2".into());
                body.members.clear();
                (body.income_fen, body.savings_fen) = (45_000, 300_000);
            }
            (Body::Assistance(body), Twist::Earns) => {
                body.kind = "1".into();
                body.income_fen *= 3;
            }
            (Body::Assistance(body), Twist::Saves) => {
                body.kind = "1".into();
                body.savings_fen *= 9;
            }
            (Body::Assistance(body), Twist::Lacks(_)) => body.kind = "1".into(),
            _ => {}
        }
        if let Body::Assistance(body) = &mut form.body
            && body.authorisation.is_empty()
            && body.kind != "3"
        {
            body.authorisation = format!("HDSQ{}", self.people.dice.digits(10));
        }
    }

    fn twist_subsidy(&mut self, form: &mut Form, twist: Twist) {
        let expired = self.people.today().checked_sub(3.days());
        let Body::Subsidy(body) = &mut form.body else { return };
        match twist {
            Twist::OutOfDate => body.valid_to = expired.unwrap_or(body.valid_to),
            Twist::LightlyDisabled => {
                body.asks_for("2");
                (body.category, body.level) = ("4".into(), "4".into());
            }
            Twist::NotNeedy => {
                body.asks_for("1");
                body.hardship = "5".into();
            }
            Twist::DeclaresInjuryFee => body.injury_fee = true,
            Twist::DeclaresTekun => body.extremely_poor = true,
            Twist::DeclaresOrphan => {
                body.asks_for("1");
                body.orphan_allowance = true;
            }
            Twist::NoCare => {
                body.asks_for("2");
                body.long_term_care = false;
            }
            Twist::OtherAllowance => body.other_allowance = "1".into(),
            Twist::Asks(kind) if matches!(kind, "1" | "2") => body.asks_for(kind),
            Twist::MovesFrom(_) | Twist::Asks(_) => body.asks_for("3"),
            _ => {}
        }
        if let Some(person) = &form.applicant {
            body.certify(&person.id);
        }
        if matches!(
            twist,
            Twist::MovesFrom(_) | Twist::Asks("exit" | "change" | "suspend" | "resume")
        ) {
            self.drawn(form, twist);
        }
    }

    /// What is asked for of a benefit that is being paid, where and until when the library says.
    fn drawn(&mut self, form: &mut Form, twist: Twist) {
        let today = self.people.today();
        let stops = matches!(twist, Twist::Asks("exit" | "suspend"));
        let exit = if stops { self.people.cycle.among("exit", EXITS) } else { String::new() };
        let moves = matches!(twist, Twist::MovesFrom(_));
        let Some(person) = form.applicant.as_mut() else { return };
        if !moves {
            // The number was first given where the household is.
            let male = person.sex != "2";
            let age = if matches!(form.body, Body::OldAge(_)) { (80, 88) } else { (19, 60) };
            let county = form.home.get(..6);
            let (number, birth) = self.people.with_past(Fate::DrawsThere, male, age, county);
            become_one(person, number, birth, male);
        }
        let rows = library::benefits(&person.id, today);
        let said = |key: &str| rows.first().and_then(|row| row[key].as_str()).unwrap_or_default();
        let place = match twist {
            Twist::MovesFrom(Paid::Elsewhere) => "650102",
            _ => said("pay_division"),
        };
        let month = format!("{}-01", said("last_paid_month")).parse::<Date>().unwrap_or(today);
        let last = match twist {
            Twist::MovesFrom(Paid::AnotherMonth) => month.checked_sub(3.months()).unwrap_or(month),
            _ => month,
        };
        let action = match twist {
            Twist::MovesFrom(_) => "6",
            Twist::Asks("exit") => "5",
            Twist::Asks("suspend") => "3",
            Twist::Asks("resume") => "4",
            _ => "2",
        };
        let (previous, last) =
            if moves { (place.to_owned(), Some(last)) } else { Default::default() };
        match &mut form.body {
            Body::Subsidy(body) => {
                body.certify(&person.id);
                (body.action, body.exit) = (action.into(), exit);
                (body.previous, body.last_paid) = (previous, last);
            }
            Body::OldAge(body) => {
                (body.action, body.exit) = (action.into(), exit);
                (body.previous, body.last_paid, body.band) = (previous, last, "1".into());
            }
            _ => {}
        }
    }

    /// Another age.
    fn reborn(&mut self, form: &mut Form, age: (i16, i16)) {
        let Some(person) = form.applicant.as_mut() else { return };
        let male = person.sex != "2";
        let (number, birth) = self.people.with_past(Fate::Ordinary, male, age, None);
        become_one(person, number, birth, male);
    }
}

/// Why a subsidy or an old-age allowance rests or ends: list `exit_reason`.
const EXITS: &[&str] = &["02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "99", "01"];

fn become_one(person: &mut Person, number: String, birth: Date, male: bool) {
    (person.id, person.birth) = (number, birth);
    person.sex = if male { "1" } else { "2" }.into();
}

impl crate::sim::case::Subsidy {
    /// The certificate number follows from the holder, the category and the level.
    fn certify(&mut self, id: &str) {
        self.certificate = format!("{id}{}{}", self.category, self.level);
    }

    /// Asks for that kind and is eligible for it.
    fn asks_for(&mut self, kind: &str) {
        self.kind = kind.into();
        self.hardship = if kind == "2" { "" } else { "1" }.into();
        (self.level, self.long_term_care) = ("1".into(), kind != "1");
        self.orphan_allowance = false;
    }
}

impl Form {
    /// Who missed the day booked it before.
    fn dated(&mut self, twist: Twist) {
        if twist != Twist::Booked {
            return;
        }
        let now = jiff::Timestamp::now() - SignedDuration::from_hours(48);
        self.accepted_at = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
        self.complete_at = self.accepted_at + SignedDuration::from_mins(5);
    }
}
