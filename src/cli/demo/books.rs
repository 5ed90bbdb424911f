//! Counts the outcome from the simulators' books: what one says it sent is looked for in what the
//! others say they received.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::ensure;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::demo::cell::Cell;

/// What came of everything.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// By business and direction.
    pub cells: BTreeMap<(String, &'static str), Cell>,
    pub total: Cell,
    pub planned: usize,
    /// Refused by the gateway at intake against the regulation; there should be none.
    pub refused: usize,
    /// Cases that people are at work on.
    pub busy: usize,
    pub restarts: usize,
    pub seconds: f64,
    /// The time ran out.
    pub late: bool,
    pub problems: Vec<String>,
    /// What is not all the way, in words.
    pub open: Vec<String>,
    latencies: Vec<u64>,
    faults: BTreeMap<String, u64>,
    watch: Value,
}

const MARRIAGE: &str = "marriage_registration";

#[derive(Deserialize)]
struct Books {
    party: String,
    submitted: Vec<Case>,
    handled: Vec<Case>,
    problems: Vec<String>,
    #[serde(default)]
    busy: usize,
    #[serde(default)]
    probes: Vec<Probe>,
    faults: Value,
    #[serde(default)]
    watch: Value,
}

/// A submission that had to be refused and was.
#[derive(Deserialize)]
struct Probe {
    business: String,
    reason: String,
}

/// A case, submitted or handled.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    number: String,
    business: String,
    application_id: String,
    facts: String,
    #[serde(default)]
    accepted: Option<String>,
    #[serde(default)]
    latency_micros: Option<u64>,
    #[serde(default)]
    refused: Option<String>,
    #[serde(default)]
    withdrawal: String,
    decided: Option<String>,
    decision_facts: String,
    effects: BTreeMap<String, u32>,
    #[serde(default)]
    moved: bool,
    /// The cooling-off period runs.
    #[serde(default)]
    waits: bool,
    /// The benefit is now paid elsewhere, of which the place that paid must hear.
    #[serde(default)]
    moved_away: bool,
    #[serde(default)]
    outcome: Option<String>,
    #[serde(default)]
    checks: Vec<String>,
    #[serde(default)]
    unasked: Vec<String>,
    #[serde(default)]
    besides: bool,
    #[serde(default)]
    annulled: bool,
}

impl Case {
    fn has(&self, effect: &str) -> bool {
        self.effects.contains_key(effect)
    }

    fn doubled(&self) -> bool {
        self.effects.iter().any(|(word, times)| *times > 1 && word != "OTHER")
    }
}

/// How far a case came.
struct End {
    delivered: bool,
    decided: bool,
    denied: bool,
    told: bool,
    withdrawn: bool,
    lapsed: bool,
    waiting: bool,
    all_the_way: bool,
}

impl End {
    fn of(case: &Case, receiver: Option<&Case>) -> Self {
        let couple = matches!(&*case.business, "marriage_registration" | "divorce_registration");
        let delivered = receiver.is_some_and(|receiver| receiver.has("APPLICATION"));
        let withdrawn = case.withdrawal == "accepted";
        let lapsed = case.has("EXPIRED") || case.has("ABSENT");
        // Both sides know that it runs: the check passed, or the proof of the marriage arrived.
        let stopped = receiver.is_some_and(|receiver| receiver.has("PAYS_NO_LONGER"));
        let proven = receiver.is_some_and(|receiver| receiver.has("SUPPLEMENT_SUBMITTED"));
        let waiting = case.waits && (case.has("CHECK_PASSED") || proven);
        let (decided, told) = if couple {
            let registered = case.decided.as_deref() == Some("GRANTED");
            let stored = receiver.is_some_and(|receiver| receiver.has("RESULT"));
            let annulled = receiver.is_none_or(|one| !one.annulled) || case.has("ANNULLED");
            let heard = receiver.is_some_and(|receiver| receiver.has("DECISION"));
            let over =
                case.decided.is_some() && annulled && if registered { stored } else { heard };
            (case.decided.is_some(), over)
        } else {
            let decided = receiver.is_some_and(|receiver| receiver.decided.is_some());
            (decided, case.has("DECISION"))
        };
        let reached = receiver.is_some_and(|receiver| receiver.has("WITHDRAWN"));
        let denied = [&case.outcome, &case.decided].iter().any(|o| o.as_deref() == Some("DENIED"));
        Self {
            delivered,
            decided,
            denied,
            told,
            withdrawn,
            lapsed,
            waiting,
            all_the_way: case.accepted.is_some()
                && if withdrawn {
                    reached || !delivered
                } else {
                    (told || lapsed || waiting) && (stopped || !case.moved_away)
                },
        }
    }
}

/// A case that did not end as it should, in words.
fn described(case: &Case, receivers: &[&Case], (doubled, altered): (bool, bool)) -> String {
    let effects = receivers.first().map(|receiver| format!("{:?}", receiver.effects));
    let unasked = match case.unasked.join(", ") {
        rules if rules.is_empty() => rules,
        rules => format!("DISAGREED: taken without asking {rules}, "),
    };
    format!(
        "{} {} ({}): {}{}{unasked}told {:?}, receiver {}",
        case.business,
        case.number,
        case.application_id,
        if doubled { "DOUBLED, " } else { "" },
        if altered { "ALTERED, " } else { "" },
        case.effects,
        effects.unwrap_or_else(|| "has nothing".into()),
    )
}

impl Outcome {
    pub(super) fn count(books: &[Value], parked: &HashSet<String>, planned: usize) -> Self {
        let books: Vec<Books> =
            books.iter().filter_map(|one| serde_json::from_value(one.clone()).ok()).collect();
        let mut outcome = Self { planned, watch: Value::Null, ..Self::default() };
        let mut handled: HashMap<&str, Vec<&Case>> = HashMap::new();
        for one in &books {
            for case in &one.handled {
                handled.entry(&case.number).or_default().push(case);
            }
            outcome.busy += one.busy;
            outcome.problems.extend(one.problems.iter().map(|p| format!("{}: {p}", one.party)));
            outcome.add_faults(&one.faults);
            if !one.watch.is_null() {
                outcome.watch = one.watch.clone();
            }
        }
        for one in &books {
            let direction = if one.party == "23" { "outbound" } else { "inbound" };
            for probe in &one.probes {
                let cell = match probe.reason.as_str() {
                    "DUPLICATE_APPLICATION" => Cell { found_twice: 1, ..Cell::default() },
                    _ => Cell { excluded: 1, ..Cell::default() },
                };
                outcome.cells.entry((probe.business.clone(), direction)).or_default().add(cell);
                outcome.total.add(cell);
            }
            for case in &one.submitted {
                let receivers = handled.remove(case.number.as_str()).unwrap_or_default();
                let cell = outcome.one((case, &one.party), &receivers, parked);
                let key = (case.business.clone(), direction);
                outcome.cells.entry(key).or_default().add(cell);
                outcome.total.add(cell);
            }
        }
        for number in handled.keys() {
            outcome.problems.push(format!("a case nobody submitted was received: {number}"));
        }
        outcome.latencies.sort_unstable();
        outcome
    }

    fn one(
        &mut self,
        (case, party): (&Case, &str),
        receivers: &[&Case],
        parked: &HashSet<String>,
    ) -> Cell {
        let end = End::of(case, receivers.first().copied());
        let accepted = case.accepted.is_some();
        let parked = parked.contains(&case.application_id);
        let doubled =
            receivers.len() > 1 || case.doubled() || receivers.iter().any(|case| case.doubled());
        let differs = |a: &str, b: &str| !a.is_empty() && !b.is_empty() && a != b;
        let altered = receivers.iter().any(|receiver| {
            differs(&case.facts, &receiver.facts)
                || (end.told && differs(&case.decision_facts, &receiver.decision_facts))
        });
        // What had to be refused and was let through must be denied at home.
        let slipped = case.besides && end.told && !end.denied;
        let disagreed = !case.unasked.is_empty() || case.refused.is_some() || slipped;
        self.refused += usize::from(case.refused.is_some());
        if !case.besides {
            self.latencies.extend(case.latency_micros);
        }
        if !end.all_the_way || doubled || altered || disagreed {
            self.open.push(described(case, receivers, (doubled, altered)));
        }
        let always = Cell {
            lost: (accepted && !end.all_the_way && !parked).into(),
            duplicated: doubled.into(),
            parked: parked.into(),
            altered: altered.into(),
            disagreed: disagreed.into(),
            ..Cell::default()
        };
        if case.besides {
            let absent = usize::from(case.has("ABSENT"));
            let archives_here = usize::from(case.business == MARRIAGE && party == "national");
            let let_through = 1 - absent - archives_here;
            return Cell { let_through, absent, archives_here, ..always };
        }
        Cell {
            submitted: 1,
            accepted: accepted.into(),
            delivered: end.delivered.into(),
            decided: end.decided.into(),
            notified: end.all_the_way.into(),
            withdrawn: end.withdrawn.into(),
            granted: (end.decided && !end.denied).into(),
            supplemented: receivers.iter().any(|one| one.has("SUPPLEMENT_SUBMITTED")).into(),
            moved: (case.moved && end.told && !end.denied).into(),
            denied: end.denied.into(),
            lapsed: end.lapsed.into(),
            waiting: end.waiting.into(),
            to_check: (!case.checks.is_empty()).into(),
            told_twice: case.has("TOLD_TWICE").into(),
            annulled: case.has("ANNULLED").into(),
            told_to_stop: receivers.iter().any(|one| one.has("PAYS_NO_LONGER")).into(),
            reviewed: case.has("REVIEWED").into(),
            archives: case.has("ARCHIVE_ASKED").into(),
            ..always
        }
    }

    fn add_faults(&mut self, faults: &Value) {
        for (kind, count) in faults["injected"].as_object().into_iter().flatten() {
            *self.faults.entry(kind.clone()).or_default() += count.as_u64().unwrap_or_default();
        }
    }

    /// How many are all the way, or parked for a person to look at.
    pub(super) const fn settled(&self) -> usize {
        self.total.accepted.saturating_sub(self.total.lost)
    }

    /// Whether everything has been sent and has come to its end.
    pub(super) const fn over(&self) -> bool {
        self.busy == 0 && self.total.lost == 0
    }

    /// Milliseconds within which that share of submissions was answered.
    pub(super) fn latency(&self, percent: usize) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let micros = self.latencies.get(last * percent / 100).copied().unwrap_or_default();
        f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1000.0
    }

    /// Whether everything went as promised.
    pub(super) fn verdict(&self) -> anyhow::Result<()> {
        let total = &self.total;
        ensure!(total.duplicated == 0, "{} cases had an effect twice", total.duplicated);
        ensure!(total.altered == 0, "{} cases arrived altered", total.altered);
        ensure!(self.refused == 0, "{} applications were refused", self.refused);
        ensure!(
            total.disagreed == 0,
            "{} cases went otherwise than the regulation has it",
            total.disagreed
        );
        ensure!(self.problems.is_empty(), "{} problems", self.problems.len());
        ensure!(
            !self.late && total.submitted == self.planned,
            "the time is up: {} of {} submitted, {} accepted, {} all the way",
            total.submitted,
            self.planned,
            total.accepted,
            total.notified
        );
        ensure!(total.lost == 0, "{} accepted applications were lost", total.lost);
        ensure!(total.parked == 0, "{} applications are parked", total.parked);
        let disorder = ["disordered", "missing"].map(|key| self.watch[key].as_u64());
        ensure!(
            disorder.iter().all(|count| count.unwrap_or_default() == 0),
            "the watch saw events out of order or missed some: {}",
            self.watch
        );
        Ok(())
    }

    pub(super) fn to_json(&self) -> Value {
        let mut json = self.total.to_json();
        let mut businesses = serde_json::Map::new();
        for ((business, direction), cell) in &self.cells {
            let entry = businesses.entry(business.clone()).or_insert_with(|| json!({}));
            entry[*direction] = cell.to_json();
        }
        json["submitLatencyMs"] = json!({ "p50": self.latency(50), "p99": self.latency(99) });
        json["businesses"] = businesses.into();
        json["refused"] = self.refused.into();
        json["faults"] = json!(self.faults);
        json["watch"] = self.watch.clone();
        json["gatewayRestarts"] = self.restarts.into();
        json["seconds"] = json!((self.seconds * 10.0).round() / 10.0);
        json["problems"] = self.problems.len().into();
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submitted(number: &str) -> Value {
        json!({
            "number": number, "business": "disability_subsidy", "applicationId": "id",
            "facts": "f", "accepted": "now", "latencyMicros": 2000, "refused": null,
            "withdrawal": "", "decided": null, "decisionFacts": "d",
            "effects": {"ACCEPTED": 1, "DECISION": 1},
        })
    }

    fn handled(number: &str) -> Value {
        json!({
            "number": number, "business": "disability_subsidy", "applicationId": "id",
            "facts": "f", "decided": "GRANTED", "decisionFacts": "d",
            "effects": {"APPLICATION": 1},
        })
    }

    fn count(submitted: Value, handled: Value, parked: &[&str]) -> Outcome {
        let book = |party: &str, submitted: Value, handled: Value| {
            json!({
                "party": party, "submitted": submitted, "handled": handled,
                "problems": [], "faults": {"injected": {"delay": 2}},
            })
        };
        let books = [book("23", json!([submitted]), json!([])), book("44", json!([]), handled)];
        let parked = parked.iter().map(|id| (*id).to_owned()).collect();
        Outcome::count(&books, &parked, 1)
    }

    #[test]
    fn a_case_that_went_all_the_way_counts_everywhere() {
        let outcome = count(submitted("A"), json!([handled("A")]), &[]);
        assert!(outcome.verdict().is_ok());
        let json = outcome.to_json();
        assert_eq!(json["businesses"]["disability_subsidy"]["outbound"]["notified"], 1);
        assert_eq!(json["submitLatencyMs"]["p99"], 2.0);
        assert_eq!(json["faults"]["delay"], 4);
    }

    #[test]
    fn what_was_accepted_and_never_arrived_is_lost_unless_parked() {
        let mut case = submitted("A");
        case["effects"] = json!({});
        let lost = count(case.clone(), json!([]), &[]);
        assert_eq!((lost.total.lost, lost.total.delivered), (1, 0));
        assert!(lost.verdict().is_err());
        let parked = count(case, json!([]), &["id"]);
        assert_eq!((parked.total.lost, parked.total.parked), (0, 1));
        assert!(parked.verdict().is_err());
    }

    #[test]
    fn an_effect_twice_or_at_two_receivers_is_doubled() {
        let mut twice = handled("A");
        twice["effects"]["APPLICATION"] = 2.into();
        assert_eq!(count(submitted("A"), json!([twice]), &[]).total.duplicated, 1);
        let both = json!([handled("A"), handled("A")]);
        assert_eq!(count(submitted("A"), both, &[]).total.duplicated, 1);
        let mut told = submitted("A");
        told["effects"]["DECISION"] = 2.into();
        assert_eq!(count(told, json!([handled("A")]), &[]).total.duplicated, 1);
    }

    #[test]
    fn other_content_than_was_sent_is_altered() {
        let mut other = handled("A");
        other["facts"] = "g".into();
        assert_eq!(count(submitted("A"), json!([other]), &[]).total.altered, 1);
    }

    #[test]
    fn a_withdrawn_case_is_over_when_the_receiver_knows() {
        let mut case = submitted("A");
        case["withdrawal"] = "accepted".into();
        case["effects"] = json!({});
        let mut receiver = handled("A");
        receiver["decided"] = Value::Null;
        let open = count(case.clone(), json!([receiver.clone()]), &[]);
        assert_eq!(open.total.lost, 1);
        receiver["effects"]["WITHDRAWN"] = 1.into();
        let over = count(case, json!([receiver]), &[]);
        assert_eq!((over.total.lost, over.total.withdrawn, over.total.notified), (0, 1, 1));
    }
}
