//! A simulator's answer to reconciliation: what it holds of a day, counted and digested by hand,
//! listed when asked. On request it loses a message, or claims one that nobody sent.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use jiff::civil::Date;
use serde_json::json;
use sm3::{Digest as _, Sm3};

use crate::{
    model::clock,
    sim::{
        case::Received,
        desk::Desk,
        voice::{Document, JSON},
    },
};

/// Before the day.
pub(super) const PATH: &str = "/reconciliation/";

#[derive(Default)]
struct Inner {
    /// Message number to the day it first came and its application.
    stored: HashMap<String, (Date, String)>,
    lost: HashSet<String>,
}

/// Which messages came on which day.
#[derive(Default)]
pub(super) struct Register(Mutex<Inner>);

impl Register {
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn stored(&self, message: &Received) {
        self.with(|register| {
            register.lost.remove(&message.message);
            let entry = || (today(), message.application.clone());
            register.stored.entry(message.message.clone()).or_insert_with(entry);
        });
    }

    /// The message is gone as if it had never come; come again, it has no second effect.
    pub(super) fn lose(&self, number: &str) {
        self.with(|register| register.lost.insert(number.to_owned()));
    }

    pub(super) fn has_lost(&self, number: &str) -> bool {
        self.with(|register| register.lost.contains(number))
    }

    /// Claims a message that nobody sent.
    pub(super) fn claim(&self, number: &str) {
        self.with(|register| register.stored.insert(number.to_owned(), (today(), String::new())));
    }

    fn of(&self, day: Date) -> BTreeMap<String, String> {
        self.with(|register| {
            let held = register.stored.iter();
            let held =
                held.filter(|(number, (on, _))| *on == day && !register.lost.contains(*number));
            held.map(|(number, (_, id))| (number.clone(), id.clone())).collect()
        })
    }
}

/// The answer for the day at the end of the path; `None` when that is no day.
pub(super) fn answer(desk: &Desk, path: &str, query: Option<&str>) -> Option<Document> {
    let day: Date = path.strip_prefix(PATH)?.parse().ok()?;
    let held = desk.register.of(day);
    let on = |time: &str| {
        let time: Option<jiff::Timestamp> = time.parse().ok();
        time.is_some_and(|time| clock::china_date(time.as_microsecond()) == day)
    };
    let taken = desk.books.taken().into_iter().filter(|(_, time)| on(time));
    let mut taken: Vec<String> = taken.map(|(id, _)| id).collect();
    taken.sort_unstable();
    let mut answer = json!({
        "day": day.to_string(),
        "count": held.len(),
        "digest": digest(held.keys().map(String::as_str)),
        "digestAlgorithm": "SM3",
        "submitted": { "count": taken.len(), "digest": digest(taken.iter().map(String::as_str)) },
    });
    if query == Some("list=true") {
        let row = |(number, id): (&String, &String)| json!({ "messageNumber": number, "applicationId": id, "state": "STORED" });
        answer["messages"] = held.iter().map(row).collect();
        answer["submitted"]["applications"] = taken.into();
    }
    Some(Document { content_type: JSON, body: answer.to_string().into_bytes() })
}

/// SM3 of the sorted numbers, a line break between them.
fn digest<'a>(sorted: impl Iterator<Item = &'a str>) -> String {
    let text = sorted.collect::<Vec<_>>().join("\n");
    hex::encode(Sm3::digest(text.as_bytes()))
}

fn today() -> Date {
    clock::china_date(clock::now_micros())
}
