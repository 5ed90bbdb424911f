//! What one simulator submits and in which order: what was planned, every third of it of the cast
//! that is to be looked at; beside it, once each, those who must be refused, a couple that never
//! comes, and people whom another party submits too.

use std::collections::{BTreeMap, VecDeque};

use crate::sim::{
    body::{Body, Divorce},
    case::{Business, Form},
    cast::{ABSENT, Expected, Manner, REFUSED, Row, TAKEN},
    forms::Forms,
    more_forms::respelt,
    settings::{Plan, Role, Settings},
};

/// One thing to submit.
pub(super) struct Submission {
    pub form: Form,
    /// Province of the residents, as the plan has it.
    pub home: String,
    pub expected: Expected,
    pub manner: Manner,
    /// What the same people submit when this has been granted.
    pub then: Option<Box<Self>>,
}

/// The order of things.
pub(super) struct Script {
    role: Role,
    plans: Vec<Plan>,
    /// The plan whose turn it is.
    at: usize,
    /// How far the cast has come, by business.
    cast: BTreeMap<Business, usize>,
    refused: VecDeque<(Row, String)>,
    /// Businesses in which the neighbour and the own platform submit the same person.
    twins: Vec<Business>,
    ready: VecDeque<Submission>,
    ended: bool,
}

impl Script {
    pub(super) fn new(settings: &Settings) -> Self {
        let mut plans = settings.submit.clone();
        plans.retain(|plan| plan.count > 0);
        let mut refused = VecDeque::new();
        for row in REFUSED {
            let plan = plans.iter().find(|plan| plan.business == row.business.code());
            refused.extend(plan.map(|plan| (*row, plan.home.clone())));
        }
        Self {
            role: settings.role,
            plans,
            at: 0,
            cast: BTreeMap::new(),
            refused,
            twins: settings.twins.iter().filter_map(|code| Business::from_code(code)).collect(),
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// What comes next; `None` at the end.
    pub(super) fn next(&mut self, forms: &mut Forms) -> Option<Submission> {
        if let Some(ready) = self.ready.pop_front() {
            return Some(ready);
        }
        if let Some(planned) = self.planned(forms) {
            if let Some((row, home)) = self.refused.pop_front() {
                self.ready.push_back(played(forms, &row, home, None));
            }
            return Some(planned);
        }
        if let Some((row, home)) = self.refused.pop_front() {
            return Some(played(forms, &row, home, None));
        }
        if self.ended {
            return None;
        }
        self.ended = true;
        let marries = |plan: &Plan| plan.business == Business::Marriage.code();
        if self.plans.iter().any(marries) {
            self.ready.push_back(played(forms, &ABSENT, "other".into(), None));
        }
        if self.role == Role::Platform {
            for business in std::mem::take(&mut self.twins) {
                self.ready.extend(second(forms, business));
            }
        }
        self.ready.pop_front()
    }

    fn planned(&mut self, forms: &mut Forms) -> Option<Submission> {
        let all = self.plans.len();
        let next = (0..all).map(|step| (self.at + step) % all.max(1));
        let index = next.into_iter().find(|index| self.plans[*index].count > 0)?;
        self.at = index + 1;
        let plan = &mut self.plans[index];
        plan.count -= 1;
        let (business, home) = (Business::from_code(&plan.business)?, plan.home.clone());
        let more = plan.count > 0;
        let turn = forms.next_turn(business);
        if turn == 1 && self.role == Role::Province && self.twins.contains(&business) {
            return Some(first(forms, business, &home, turn));
        }
        if let Some(row) = self.row(business, turn) {
            return Some(played(forms, &row, home, Some(turn)));
        }
        let form = forms.fill_in(business, &home, turn);
        let place = self.role.place();
        let moves = match (business, self.role) {
            (Business::Subsidy, Role::Platform) | (Business::Child, Role::National) => 1,
            (Business::Subsidy | Business::Child, _) => 4,
            _ => 0,
        };
        let moves = moves != 0 && turn % 30 == moves;
        let mut one = plain(form, home);
        if moves && more {
            self.plans[index].count -= 1;
            let turn = forms.next_turn(business);
            one.manner = Manner::Moves;
            one.then = Some(Box::new(moved(forms, self.role, &mut one, turn)));
        } else if (turn + 3 * place) % 12 == 4 && business != Business::Divorce {
            one.manner = Manner::Withdraws;
        }
        Some(one)
    }

    /// One of the cast: two of three until all have had their turn, then one of nine.
    fn row(&mut self, business: Business, turn: usize) -> Option<Row> {
        let rows: Vec<&Row> = TAKEN.iter().filter(|row| row.business == business).collect();
        let shift = rows.len() * self.role.place() / 3;
        let at = self.cast.entry(business).or_default();
        let due = if *at < rows.len() { turn % 3 != 1 } else { turn.is_multiple_of(9) };
        if !due {
            return None;
        }
        *at += 1;
        rows.get((*at - 1 + shift) % rows.len()).map(|row| **row)
    }
}

const fn plain(form: Form, home: String) -> Submission {
    Submission { form, home, expected: Expected::Taken, manner: Manner::Helpful, then: None }
}

fn played(forms: &mut Forms, row: &Row, home: String, turn: Option<usize>) -> Submission {
    let turn = turn.unwrap_or_else(|| forms.turn_besides(row.business));
    let form = forms.play(row, &home, turn);
    Submission { form, home, expected: row.expected, manner: row.manner, then: None }
}

/// Somebody who is granted a benefit and then moves with it.
fn moved(forms: &mut Forms, role: Role, first: &mut Submission, turn: usize) -> Submission {
    let home = match (role, first.home.as_str()) {
        (Role::Platform, "other") | (Role::National, _) => "44",
        _ => "other",
    };
    forms.simply_eligible(&mut first.form);
    let form = forms.moved(&first.form, home, turn);
    plain(form, home.into())
}

/// The neighbour's half of a pair of submissions for the same person.
fn first(forms: &Forms, business: Business, home: &str, turn: usize) -> Submission {
    let form = forms.twin(business).fill_in_twin(business, home, turn);
    Submission { expected: Expected::Either, ..plain(form, home.into()) }
}

/// The own platform's half: the same person with the name spelt in another way; of a couple that
/// divorces also the man who wants to marry somebody else.
fn second(forms: &mut Forms, business: Business) -> Vec<Submission> {
    let home = if business.of_couples() { "other" } else { "23" };
    let turn = forms.turn_besides(business);
    let form = forms.twin(business).fill_in_twin(business, home, turn);
    let form = respelt(form);
    let mut all = Vec::new();
    if let Body::Divorce(couple) = &form.body {
        all.push(weds(forms, couple));
    }
    all.push(Submission { expected: Expected::Either, ..plain(form, home.into()) });
    all
}

fn weds(forms: &mut Forms, couple: &Divorce) -> Submission {
    let turn = forms.turn_besides(Business::Marriage);
    let mut form = forms.play(&ABSENT, "other", turn);
    if let Body::Marriage(marriage) = &mut form.body {
        marriage.man = couple.man.clone();
        marriage.man.marital = "10".into();
        (marriage.booked, form.online) = (false, false);
        marriage.day = forms.people.today();
    }
    Submission { expected: Expected::Either, manner: Manner::Empty, ..plain(form, "other".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{claim::Claim, people::tests::people, regulation};

    /// Everything a role submits with many plans, with the day that it is judged on.
    fn all(role: Role, homes: &[&str]) -> (Vec<Submission>, jiff::civil::Date) {
        let mut settings = Settings::standard(role);
        for business in Business::ALL {
            let homes = if business.of_couples() { &["other"] } else { homes };
            settings.submit.extend(homes.iter().map(|home| Plan {
                business: business.code().into(),
                home: (*home).into(),
                count: 60,
            }));
        }
        settings.twins = Business::ALL.iter().skip(1).map(|one| one.code().into()).collect();
        let mut forms = Forms::new(people(role.place()), role, 1);
        let mut script = Script::new(&settings);
        let today = forms.people.today();
        (std::iter::from_fn(|| script.next(&mut forms)).collect(), today)
    }

    #[test]
    fn the_regulation_says_of_each_what_is_written_down_for_it() {
        for (role, homes) in [(Role::Platform, &["44", "other"][..]), (Role::Province, &["23"])] {
            let (submissions, today) = all(role, homes);
            assert!(submissions.len() > 300, "{}", submissions.len());
            for one in submissions {
                let business = one.form.business();
                let claim = Claim::of(&one.form);
                let against = regulation::objections(business, &claim, today);
                let rules: Vec<&str> = against.iter().map(|one| one.rule).collect();
                let verdict = regulation::verdict(&against, false);
                let told = format!("{} {:?} {rules:?}", one.form.number, one.expected);
                match one.expected {
                    Expected::Refused(rule) => {
                        assert!(rules.contains(&rule), "{told}");
                        assert!(matches!(verdict, regulation::Verdict::Deny(_)), "{told}");
                    }
                    // The hub is silent about some, and some brought the proof along.
                    Expected::Asked(rule) => {
                        let stands = rules.is_empty() || rules.contains(&rule);
                        assert!(stands, "{told}");
                    }
                    Expected::Taken | Expected::Twice | Expected::Either | Expected::Besides => {
                        let asks = !matches!(verdict, regulation::Verdict::Deny(_));
                        assert!(asks || one.form.business() == Business::Marriage, "{told}");
                    }
                }
            }
        }
    }

    #[test]
    fn both_halves_of_a_pair_are_the_same_people() {
        let pairs = |role, homes: &[&str]| -> Vec<(Business, String)> {
            let either = all(role, homes).0.into_iter().filter(|o| o.expected == Expected::Either);
            let mut pairs: Vec<_> = either
                .map(|one| (one.form.business(), Claim::of(&one.form).people[0].number.clone()))
                .collect();
            pairs.sort();
            pairs
        };
        let (theirs, ours) = (pairs(Role::Province, &["23"]), pairs(Role::Platform, &["44"]));
        assert_eq!(theirs.len(), 5);
        assert!(theirs.iter().all(|pair| ours.contains(pair)), "{theirs:?} {ours:?}");
    }
}
