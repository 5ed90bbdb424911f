//! A day between the gateway and one party: what was delivered to it and what it submitted,
//! against the party's own books. Counts and digests first, the lists only when they differ.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA256, digest as sha};
use sm3::{Digest as _, Sm3};

use crate::{
    dispatch::HeldMessage,
    store::rows::{Exchanged, Progress},
};

/// What is the matter with one message or application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Of that day and not delivered yet; dispatch is at it.
    Waiting,
    /// Of that day and given up.
    Parked,
    /// Delivered, and the party does not know it.
    NotKnown,
    /// The party holds what we never sent.
    NeverSent,
    /// Both hold the number, for different applications.
    OtherApplication,
    /// The party says we took an application that we do not hold.
    NotHeldHere,
    /// We took an application, and the party does not know that we did.
    NotConfirmed,
}

impl Fate {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Parked => "parked",
            Self::NotKnown => "not_known",
            Self::NeverSent => "never_sent",
            Self::OtherApplication => "other_application",
            Self::NotHeldHere => "not_held_here",
            Self::NotConfirmed => "not_confirmed",
        }
    }

    /// What it means.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Waiting => "Not delivered yet; due or under way.",
            Self::Parked => "Not delivered; given up and parked.",
            Self::NotKnown => "Delivered and confirmed, and the party does not know it any more.",
            Self::NeverSent => "The party holds a message that this gateway never sent.",
            Self::OtherApplication => "Both hold the number, for different applications.",
            Self::NotHeldHere => "The party says we took an application that we do not hold.",
            Self::NotConfirmed => "We took an application; the party does not know that we did.",
        }
    }

    /// What to do, or what `--repair` does.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Waiting => "Nothing; look again later.",
            Self::Parked => "Mend the cause; --repair makes it due again.",
            Self::NotKnown => "--repair sends it again under its number, after asking once more.",
            Self::NeverSent => {
                "Find out who uses our certificate or their test data; repair by hand."
            }
            Self::OtherApplication => "Compare both documents; repair by hand.",
            Self::NotHeldHere => "The party submits it again under the same message number.",
            Self::NotConfirmed => "The party repeats its message; it gets the first answer.",
        }
    }

    /// Whether sending again mends it.
    pub const fn repairable(self) -> bool {
        matches!(self, Self::Parked | Self::NotKnown)
    }
}

/// One difference.
#[derive(Clone, Debug)]
pub struct Discrepancy {
    /// What is the matter.
    pub fate: Fate,
    /// Message number; empty for an application.
    pub message_number: String,
    /// The application's id, where it is known.
    pub application: String,
    /// Our delivery, where there is one.
    pub delivery: Option<i64>,
    /// What the delivery carries, and how its last attempt ended.
    pub note: String,
}

/// Digest of numbers: sorted by bytes, a line break between them, hexadecimal. `None` for an
/// algorithm that is not known.
pub fn digest<'a>(algorithm: &str, numbers: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let sorted: BTreeSet<&str> = numbers.into_iter().collect();
    let text = sorted.into_iter().collect::<Vec<_>>().join("\n");
    match algorithm {
        "SM3" => Some(hex::encode(Sm3::digest(text.as_bytes()))),
        "SHA-256" => Some(hex::encode(sha(&SHA256, text.as_bytes()))),
        _ => None,
    }
}

/// The day's deliveries that have not arrived.
pub fn pending(ours: &[Exchanged]) -> Vec<Discrepancy> {
    let fate = |progress| match progress {
        Progress::Due | Progress::Leased => Some(Fate::Waiting),
        Progress::Parked => Some(Fate::Parked),
        Progress::Delivered | Progress::Discarded => None,
    };
    ours.iter().filter_map(|row| Some(of(row, fate(row.progress)?))).collect()
}

/// Compares messages: `ours` of the day, `theirs` of the day, and `ever`, those of theirs that we
/// sent at any time. What they hold of another day is no difference, and [`Fate::NotKnown`] is one
/// only when they do not hold it on any other day either: ask for each.
pub fn messages(
    ours: &[Exchanged],
    theirs: &[HeldMessage],
    ever: &[Exchanged],
) -> Vec<Discrepancy> {
    let mut held: BTreeMap<&str, &HeldMessage> =
        theirs.iter().map(|message| (message.message_number.as_str(), message)).collect();
    let mut out = Vec::new();
    let other = |row: &Exchanged, message: &HeldMessage| {
        let id = message.application_id.as_str();
        !id.is_empty() && id != row.application.to_string()
    };
    for row in ours {
        match held.remove(row.message_number.as_str()) {
            Some(message) if other(row, message) => out.push(of(row, Fate::OtherApplication)),
            None if row.progress == Progress::Delivered => out.push(of(row, Fate::NotKnown)),
            _ => {}
        }
    }
    let ever: BTreeMap<&str, &Exchanged> =
        ever.iter().map(|row| (row.message_number.as_str(), row)).collect();
    for (number, message) in held {
        match ever.get(number) {
            Some(row) if other(row, message) => out.push(of(row, Fate::OtherApplication)),
            Some(_) => {}
            None => out.push(Discrepancy {
                fate: Fate::NeverSent,
                message_number: number.to_owned(),
                application: message.application_id.clone(),
                delivery: None,
                note: String::new(),
            }),
        }
    }
    out
}

/// Compares applications by id: `ours` and `theirs` of the day, `known` those of theirs that we
/// hold of any day, `around` what they say of the days beside it.
pub fn submissions(
    ours: &[String],
    theirs: &[String],
    known: &BTreeSet<String>,
    around: &BTreeSet<String>,
) -> Vec<Discrepancy> {
    let said: BTreeSet<&String> = theirs.iter().collect();
    let held: BTreeSet<&String> = ours.iter().collect();
    let lost = said.iter().filter(|id| !held.contains(**id) && !known.contains(**id));
    let silent = held.iter().filter(|id| !said.contains(**id) && !around.contains(**id));
    let row = |fate| {
        move |id: &&String| Discrepancy {
            fate,
            message_number: String::new(),
            application: (*id).clone(),
            delivery: None,
            note: String::new(),
        }
    };
    lost.map(row(Fate::NotHeldHere)).chain(silent.map(row(Fate::NotConfirmed))).collect()
}

fn of(row: &Exchanged, fate: Fate) -> Discrepancy {
    let note = match row.note.as_str() {
        "" => row.kind.word().to_owned(),
        note => format!("{}: {note}", row.kind.word()),
    };
    Discrepancy {
        fate,
        message_number: row.message_number.clone(),
        application: row.application.to_string(),
        delivery: Some(row.delivery),
        note,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{model::pb::Business, store::rows::DeliveryKind};

    fn row(n: u8, progress: Progress) -> Exchanged {
        Exchanged {
            delivery: i64::from(n),
            application: Uuid::from_bytes([n; 16]),
            business: Business::DisabilitySubsidy,
            kind: DeliveryKind::Application,
            message_number: format!("{n:032x}"),
            progress,
            note: String::new(),
            created: 0,
        }
    }

    fn held(n: u8, application: u8) -> HeldMessage {
        HeldMessage {
            message_number: format!("{n:032x}"),
            application_id: Uuid::from_bytes([application; 16]).to_string(),
        }
    }

    fn fates(found: &[Discrepancy]) -> Vec<(Fate, Option<i64>)> {
        found.iter().map(|one| (one.fate, one.delivery)).collect()
    }

    #[test]
    fn each_kind_of_difference_is_told_once_and_nothing_else() {
        let ours = [
            row(1, Progress::Delivered),
            row(2, Progress::Delivered),
            row(3, Progress::Delivered),
            row(4, Progress::Due),
            row(5, Progress::Parked),
            row(6, Progress::Leased),
        ];
        // 6 arrived and the answer was lost; 7 was sent the day before; 8 was never sent.
        let theirs = [held(1, 1), held(3, 9), held(6, 6), held(7, 7), held(8, 8)];
        let mut ever = ours.to_vec();
        ever.push(row(7, Progress::Delivered));
        let found = messages(&ours, &theirs, &ever);
        let expected =
            [(Fate::NotKnown, Some(2)), (Fate::OtherApplication, Some(3)), (Fate::NeverSent, None)];
        assert_eq!(fates(&found), expected);
        let expected =
            [(Fate::Waiting, Some(4)), (Fate::Parked, Some(5)), (Fate::Waiting, Some(6))];
        assert_eq!(fates(&pending(&ours)), expected);
    }

    #[test]
    fn submissions_of_another_day_are_no_difference() {
        let text = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
        let (ours, theirs) = (text(&["a", "b", "c"]), text(&["a", "x", "y"]));
        let found = submissions(&ours, &theirs, &set(&["x"]), &set(&["b"]));
        let told: Vec<_> = found.iter().map(|one| (one.fate, one.application.as_str())).collect();
        assert_eq!(told, [(Fate::NotHeldHere, "y"), (Fate::NotConfirmed, "c")]);
    }

    #[test]
    fn digests_do_not_depend_on_order_and_are_those_of_the_standards() {
        assert_eq!(digest("SM3", ["b", "a"]), digest("SM3", ["a", "b"]));
        // GB/T 32905-2016, example 1.
        let abc = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0";
        assert_eq!(digest("SM3", ["abc"]).as_deref(), Some(abc));
        assert!(digest("SHA-256", ["abc"]).is_some_and(|text| text.starts_with("ba7816bf")));
        assert_eq!(digest("MD5", ["abc"]), None);
    }
}
