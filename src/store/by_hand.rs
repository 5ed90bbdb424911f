//! What operations do by hand with deliveries that are not on their way, and what the audit log says
//! of it. Plain data; depends on audit, knows no SQL.

use std::str::FromStr;

use crate::audit::{Entry, Kind, Leaf};

/// Why something was done: a code or the number of a ticket. It stands in the audit log for ever, so
/// it is no place for words about people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = |c: char| c.is_ascii_alphanumeric() || "._/#-".contains(c);
        // Eleven digits are a telephone number, seventeen or more a citizen's.
        let runs = text.split(|c: char| !c.is_ascii_digit());
        let short = runs.map(str::len).max().is_some_and(|longest| longest <= 10);
        let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
        if text.len() > 64 || !begins || !short || !text.chars().all(known) {
            return Err("a reason is a code or the number of a ticket: a letter, then at most 63 \
                        letters, digits, `.`, `_`, `/`, `#` or `-`, no more than 10 digits in a row");
        }
        Ok(Self(text.to_owned()))
    }
}

/// What is done.
pub(super) enum ByHand {
    /// Parked ones are due again.
    Revive,
    /// Delivered ones are due again; the receiver is asked first.
    Resend,
    /// Parked ones are never sent.
    Discard(Reason),
}

impl ByHand {
    /// The leaf of one of them. The delivery is named by its number.
    pub(super) fn leaf(&self, delivery: i64, now: i64) -> Leaf {
        let (what, state) = match self {
            Self::Revive => ("REPLAYED", ""),
            Self::Resend => ("RESENT", ""),
            Self::Discard(reason) => ("DISCARDED", reason.as_str()),
        };
        let entry = Entry {
            kind: Kind::Delivery,
            time: now,
            party: "gateway".into(),
            system: "operations".into(),
            application: String::new(),
            sequence: delivery,
            what: what.into(),
            state: state.into(),
            content: String::new(),
        };
        entry.leaf()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_code_and_never_a_person() {
        for good in ["superseded", "INC-2026-0815", "jira/OPS#12.3", "a", &"x".repeat(64)] {
            assert_eq!(good.parse::<Reason>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "two words",
            "王小明",
            "12",
            "id-23010319900101001X",
            "tel-13800138000",
            &"x".repeat(65),
        ] {
            assert!(bad.parse::<Reason>().is_err(), "{bad}");
        }
    }
}
