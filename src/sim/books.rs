//! The books of a simulator: every case it submitted, every case it handles, every message it
//! received and what each brought about. Append-only, in memory; nothing personal but digests.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;

use crate::sim::case::{Business, Content, Received};

/// A case this system submitted.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Submitted {
    number: String,
    business: Business,
    /// Province of the residents: `23`, `44`, `other`.
    home: String,
    facts: String,
    trace_id: String,
    /// When first tried, RFC 3339.
    tried: String,
    application_id: String,
    accepted: Option<String>,
    /// How long the call took that was answered.
    latency_micros: Option<u64>,
    refused: Option<String>,
    /// `asked` when a withdrawal was sent, then `accepted` or `refused`.
    withdrawal: &'static str,
    /// Marriage: what this registry decided and the gateway took.
    decided: Option<&'static str>,
    decision_facts: String,
    /// What it was told, by word, and how often each took effect.
    effects: BTreeMap<&'static str, u32>,
    outcome: Option<&'static str>,
    /// Asked to move a benefit.
    moved: bool,
    /// Divorce: the cooling-off period runs.
    waits: bool,
    /// The benefit that this case was about is now paid elsewhere.
    moved_away: bool,
    /// Rules that the gateway left as questions.
    checks: Vec<String>,
    /// What the regulation has against it and the gateway did not ask, if it took it.
    unasked: Vec<&'static str>,
    /// Sent besides what was planned: it had to be refused, or was never to be decided.
    besides: bool,
}

/// A submission that must be refused.
#[derive(Clone, Debug, Serialize)]
struct Probe {
    business: Business,
    home: String,
    /// The reason that the gateway must give.
    reason: String,
}

/// A case this system handles.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Handled {
    number: String,
    business: Business,
    application_id: String,
    /// The trace of the first message about it.
    trace_id: String,
    facts: String,
    effects: BTreeMap<&'static str, u32>,
    decided: Option<&'static str>,
    decision_facts: String,
    annulled: bool,
}

#[derive(Default)]
struct Inner {
    submitted: BTreeMap<String, Submitted>,
    handled: BTreeMap<String, Handled>,
    /// Message number to how often it came.
    messages: HashMap<String, u32>,
    problems: Vec<String>,
    probes: Vec<Probe>,
    planned: usize,
}

/// The books.
#[derive(Default)]
pub(super) struct Books(Mutex<Inner>);

/// Most problems kept in words; more are only a sign of the same.
const PROBLEMS: usize = 100;

impl Books {
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn planned(&self, count: usize) {
        self.with(|books| books.planned += count);
    }

    /// A case that is about to be submitted for the first time.
    pub(super) fn tried(
        &self,
        number: &str,
        business: Business,
        home: &str,
        (facts, trace_id): (String, String),
    ) {
        let case = Submitted {
            number: number.into(),
            business,
            home: home.into(),
            facts,
            trace_id,
            tried: now(),
            application_id: String::new(),
            accepted: None,
            latency_micros: None,
            refused: None,
            withdrawal: "",
            decided: None,
            decision_facts: String::new(),
            effects: BTreeMap::new(),
            outcome: None,
            moved: false,
            waits: false,
            moved_away: false,
            checks: Vec::new(),
            unasked: Vec::new(),
            besides: false,
        };
        self.with(|books| books.submitted.insert(number.into(), case));
    }

    pub(super) fn accepted(
        &self,
        number: &str,
        application: &str,
        (took, besides): (Duration, bool),
    ) {
        self.submission(number, |case| {
            case.besides = besides;
            case.application_id = application.into();
            case.accepted = Some(now());
            case.latency_micros = u64::try_from(took.as_micros()).ok();
        });
    }

    /// Asked to move a benefit.
    pub(super) fn moved(&self, number: &str) {
        self.submission(number, |case| case.moved = true);
    }

    /// What was granted here is now paid elsewhere.
    pub(super) fn moved_away(&self, number: &str) {
        self.submission(number, |case| case.moved_away = true);
    }

    /// The cooling-off period of a divorce runs, and nobody withdraws.
    pub(super) fn waits(&self, number: &str) {
        self.submission(number, |case| case.waits = true);
    }

    /// A submission was refused for the reason that it had to be: it is none.
    pub(super) fn probed(&self, number: &str, reason: &str) {
        self.with(|books| {
            if let Some(case) = books.submitted.remove(number) {
                let reason = reason.into();
                books.probes.push(Probe { business: case.business, home: case.home, reason });
            }
        });
    }

    /// What the gateway left as questions, and what it did not ask although the regulation does.
    pub(super) fn checks(&self, number: &str, checks: Vec<String>, unasked: Vec<&'static str>) {
        self.submission(number, |case| (case.checks, case.unasked) = (checks, unasked));
    }

    /// A court annulled a marriage of which the result was handed in here.
    pub(super) fn annulled(&self, number: &str) {
        self.with(|books| {
            if let Some(case) = books.handled.get_mut(number) {
                case.annulled = true;
            }
        });
    }

    pub(super) fn refused(&self, number: &str, reason: &str) {
        self.submission(number, |case| case.refused = Some(reason.into()));
    }

    pub(super) fn withdrawal(&self, number: &str, state: &'static str) {
        self.submission(number, |case| case.withdrawal = state);
    }

    /// The registry's own decision, once the gateway took it.
    pub(super) fn registered(&self, number: &str, granted: bool, facts: String) {
        self.submission(number, |case| {
            case.decided = Some(outcome(granted));
            case.decision_facts = facts;
        });
    }

    /// The decision on a case handled here, once the gateway took it.
    pub(super) fn decided(&self, number: &str, granted: bool, facts: String) {
        self.with(|books| {
            if let Some(case) = books.handled.get_mut(number) {
                case.decided = Some(outcome(granted));
                case.decision_facts = facts;
            }
        });
    }

    /// Records a message; `true` when it is the first of its number and so takes effect.
    pub(super) fn receive(&self, message: &Received) -> bool {
        self.with(|books| {
            let times = books.messages.entry(message.message.clone()).or_default();
            *times += 1;
            if *times > 1 {
                return false;
            }
            books.take_effect(message);
            true
        })
    }

    /// Whether a message of that number is stored; for the status question.
    pub(super) fn holds(&self, message: &str) -> bool {
        self.with(|books| books.messages.contains_key(message))
    }

    /// Applications submitted here that the gateway took, and when it said so (RFC 3339).
    pub(super) fn taken(&self) -> Vec<(String, String)> {
        self.with(|books| {
            let taken =
                |case: &Submitted| case.accepted.clone().map(|t| (case.application_id.clone(), t));
            books.submitted.values().filter_map(taken).collect()
        })
    }

    pub(super) fn problem(&self, what: String) {
        tracing::warn!(what, "problem");
        self.with(|books| {
            if books.problems.len() < PROBLEMS {
                books.problems.push(what);
            }
        });
    }

    pub(super) fn to_json(&self, party: &str) -> serde_json::Value {
        self.with(|books| {
            let received: u64 = books.messages.values().map(|times| u64::from(*times)).sum();
            serde_json::json!({
                "party": party,
                "planned": books.planned,
                "submitted": books.submitted.values().collect::<Vec<_>>(),
                "handled": books.handled.values().collect::<Vec<_>>(),
                "messages": { "distinct": books.messages.len(), "received": received },
                "problems": books.problems,
                "probes": books.probes,
            })
        })
    }

    fn submission(&self, number: &str, change: impl FnOnce(&mut Submitted)) {
        self.with(|books| books.submitted.get_mut(number).map(change));
    }
}

impl Inner {
    fn take_effect(&mut self, message: &Received) {
        let word = match &message.content {
            Content::Application(_) => "APPLICATION",
            Content::Result { .. } => "RESULT",
            Content::Event { what, .. } => what.word(),
        };
        let told = matches!(message.content, Content::Event { .. });
        if let Some(case) = self.submitted.get_mut(&message.number).filter(|_| told) {
            *case.effects.entry(word).or_default() += 1;
            if let Content::Event { granted, decision, .. } = &message.content
                && word == "DECISION"
            {
                case.outcome = Some(outcome(*granted));
                case.decision_facts.clone_from(decision);
            }
            return;
        }
        let case = self.handled.entry(message.number.clone()).or_insert_with(|| Handled {
            number: message.number.clone(),
            business: message.business,
            application_id: message.application.clone(),
            trace_id: message.trace.trace_id_hex(),
            facts: String::new(),
            effects: BTreeMap::new(),
            decided: None,
            decision_facts: String::new(),
            annulled: false,
        });
        *case.effects.entry(word).or_default() += 1;
        match &message.content {
            Content::Application(claim) => case.facts = claim.facts(),
            Content::Result { decision, .. } => case.decision_facts.clone_from(decision),
            Content::Event { decision, .. } if word == "DECISION" => {
                case.decision_facts.clone_from(decision);
            }
            Content::Event { .. } => {}
        }
    }
}

const fn outcome(granted: bool) -> &'static str {
    if granted { "GRANTED" } else { "DENIED" }
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::case::Happening;

    fn event(message: &str, what: Happening) -> Received {
        Received {
            message: message.into(),
            business: Business::Subsidy,
            number: "A1".into(),
            application: "id".into(),
            accepted_in: String::new(),
            home: String::new(),
            content: Content::Event {
                what,
                granted: true,
                decision: "d".into(),
                missing: Vec::new(),
                papers: Vec::new(),
            },
            trace: crate::model::trace::TraceContext::new(),
        }
    }

    #[test]
    fn a_repeated_number_takes_no_effect_and_another_number_does() {
        let books = Books::default();
        books.tried("A1", Business::Subsidy, "44", ("f".into(), String::new()));
        assert!(books.receive(&event("m1", Happening::Decided)));
        assert!(!books.receive(&event("m1", Happening::Decided)));
        assert!(books.receive(&event("m2", Happening::Decided)));
        let json = books.to_json("23");
        assert_eq!(json["submitted"][0]["effects"]["DECISION"], 2);
        assert_eq!(json["messages"]["received"], 3);
    }
}
