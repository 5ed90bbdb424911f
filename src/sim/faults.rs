//! The faults a simulator makes on request: how often each, set at start or over HTTP while it
//! runs, and how many were made.

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::sim::dice::Dice;

/// Kinds of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// Answer late.
    Delay,
    /// Do the work, then cut the answer.
    DropAnswer,
    /// 500 before doing the work.
    ErrorBefore,
    /// 500 after doing the work.
    ErrorAfter,
    /// Do the work, then answer nonsense.
    Garbage,
    /// 429 or 503 with `Retry-After`, before doing the work.
    Busy,
    /// Close the whole connection before doing the work.
    Close,
    /// Send an own message twice at once, with the same number.
    Duplicate,
    /// Hold back an own message while those of other cases pass it.
    Reorder,
    /// Hang up on an own call before its answer, then repeat it.
    Abandon,
    /// Never answer a question about a person. Not in `all`, as those below.
    Silent,
    /// Take no key handed out so far.
    OldKey,
    /// Say that the question is not granted (E-106).
    NotGranted,
    /// Answer a question with an error of the service behind.
    Complaint,
}

/// Name, probability in `all`, and milliseconds where the fault takes time.
const KINDS: [(Fault, &str, f64, [u64; 2]); 14] = [
    (Fault::Delay, "delay", 0.2, [20, 400]),
    (Fault::DropAnswer, "drop_answer", 0.05, [0, 0]),
    (Fault::ErrorBefore, "error_before", 0.05, [0, 0]),
    (Fault::ErrorAfter, "error_after", 0.05, [0, 0]),
    (Fault::Garbage, "garbage", 0.05, [0, 0]),
    (Fault::Busy, "busy", 0.05, [0, 0]),
    (Fault::Close, "close", 0.01, [0, 0]),
    (Fault::Duplicate, "duplicate", 0.2, [0, 0]),
    (Fault::Reorder, "reorder", 0.3, [50, 600]),
    (Fault::Abandon, "abandon", 0.05, [1, 15]),
    (Fault::Silent, "silent", 0.0, [0, 0]),
    (Fault::OldKey, "old_key", 0.0, [0, 0]),
    (Fault::NotGranted, "not_granted", 0.0, [0, 0]),
    (Fault::Complaint, "complaint", 0.0, [0, 0]),
];

#[derive(Clone, Copy, Debug)]
struct Setting {
    probability: f64,
    ms: [u64; 2],
}

/// Which faults to make, and how often: `none`, `all`, or a list like
/// `delay=0.1:50-500,drop_answer=0.05`.
#[derive(Clone, Debug, Default)]
pub struct Spec(BTreeMap<Fault, Setting>);

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut spec = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part {
                "none" => spec.0.clear(),
                "all" => spec.0.extend(
                    KINDS
                        .map(|(fault, _, probability, ms)| (fault, Setting { probability, ms }))
                        .into_iter()
                        .filter(|(_, setting)| setting.probability > 0.0),
                ),
                _ => {
                    let (fault, setting) = one(part)?;
                    spec.0.insert(fault, setting);
                }
            }
        }
        Ok(spec)
    }
}

fn one(part: &str) -> Result<(Fault, Setting), String> {
    let names = || KINDS.map(|kind| kind.1).join(", ");
    let (name, rest) = part.split_once('=').unwrap_or((part, ""));
    let Some((fault, _, probability, ms)) = KINDS.into_iter().find(|kind| kind.1 == name) else {
        return Err(format!("`{name}` is no fault; there are {}", names()));
    };
    let mut setting = Setting { probability, ms };
    let (chance, range) = rest.split_once(':').unwrap_or((rest, ""));
    if !chance.is_empty() {
        let value: Option<f64> = chance.parse().ok();
        setting.probability = value
            .filter(|value| (0.0..=1.0).contains(value))
            .ok_or_else(|| format!("{name}: the probability must be 0 to 1, e.g. {name}=0.1"))?;
    }
    if !range.is_empty() {
        let range = range.split_once('-').unwrap_or((range, range));
        let (Ok(low), Ok(high)) = (range.0.parse(), range.1.parse()) else {
            return Err(format!("{name}: milliseconds must be LOW-HIGH, e.g. {name}=0.1:50-500"));
        };
        setting.ms = [low, high];
    }
    Ok((fault, setting))
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, (fault, setting)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{}={}", fault.name(), setting.probability)?;
            if setting.ms != [0, 0] {
                write!(f, ":{}-{}", setting.ms[0], setting.ms[1])?;
            }
        }
        Ok(())
    }
}

impl Fault {
    fn name(self) -> &'static str {
        KINDS.into_iter().find(|kind| kind.0 == self).map_or("", |kind| kind.1)
    }
}

/// The faults of a running simulator.
pub(super) struct Faults(Mutex<Inner>);

struct Inner {
    spec: Spec,
    dice: Dice,
    made: BTreeMap<Fault, u64>,
}

impl Faults {
    pub(super) const fn new(spec: Spec, seed: u64) -> Self {
        Self(Mutex::new(Inner { spec, dice: Dice::new(seed), made: BTreeMap::new() }))
    }

    /// Whether to make the fault now; counted when so.
    pub(super) fn strikes(&self, fault: Fault) -> bool {
        self.lasts(fault).is_some()
    }

    /// How long the fault, if it is made now, takes.
    pub(super) fn lasts(&self, fault: Fault) -> Option<Duration> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let setting = *inner.spec.0.get(&fault)?;
        if !inner.dice.chance(setting.probability) {
            return None;
        }
        *inner.made.entry(fault).or_default() += 1;
        Some(Duration::from_millis(inner.dice.between(setting.ms[0], setting.ms[1])))
    }

    pub(super) fn set(&self, spec: Spec) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spec = spec;
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made: serde_json::Map<String, serde_json::Value> = inner
            .made
            .iter()
            .map(|(fault, count)| (fault.name().into(), (*count).into()))
            .collect();
        serde_json::json!({ "settings": inner.spec.to_string(), "injected": made })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_written_back() {
        let spec: Spec = "delay=0.1:50-500, drop_answer=0.05".parse().unwrap();
        assert_eq!(spec.to_string(), "delay=0.1:50-500,drop_answer=0.05");
        assert_eq!("all".parse::<Spec>().unwrap().0.len(), KINDS.len() - 4);
        assert_eq!("all,none".parse::<Spec>().unwrap().to_string(), "none");
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert!("fire".parse::<Spec>().unwrap_err().contains("`fire` is no fault"));
        assert!("delay=2".parse::<Spec>().unwrap_err().contains("0 to 1"));
        assert!("delay=0.5:x".parse::<Spec>().unwrap_err().contains("LOW-HIGH"));
    }

    #[test]
    fn faults_are_made_as_often_as_set_and_counted() {
        let faults = Faults::new("garbage=0.25".parse().unwrap(), 1);
        let made = (0..4000).filter(|_| faults.strikes(Fault::Garbage)).count();
        assert!((800..1200).contains(&made), "{made}");
        assert_eq!(faults.to_json()["injected"]["garbage"], made);
        assert!(!faults.strikes(Fault::Delay));
    }
}
