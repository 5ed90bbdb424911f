//! A party as a receiver: stores each message number once, answers status questions from its
//! books, and lets its offices get on with what came in.

use std::{sync::Arc, time::Duration};

use reqwest::StatusCode;

use crate::{
    dispatch::Reply,
    model::pb::EventType,
    simulation::{books::Stored, office, papers, random::percent, world::World},
    translate::{self, Format, Kind, Wire},
};

/// What a document is, in words that are the same in every run of a seed.
pub(super) fn label(format: &Format, document: &[u8], wire: Wire) -> String {
    let message = format.open(document, wire).ok().unwrap();
    let case = message.head.fields.get("case_number").cloned().unwrap_or_default();
    match message.head.kind {
        Kind::Event => {
            let event = format.read_event(&message).0;
            format!("{case} {}", event.r#type().as_str_name())
        }
        kind => format!("{case} {}", kind.word()),
    }
}

/// A message has come.
pub(super) fn receive(
    world: &Arc<World>,
    party: &'static str,
    document: &[u8],
    wire: Wire,
) -> Reply {
    let weather = world.weather(Clone::clone);
    let later = Some(Duration::from_secs(1));
    if percent(weather.busy) {
        return reply(StatusCode::TOO_MANY_REQUESTS, later, Vec::new());
    }
    if percent(weather.error_before) {
        let after = later.filter(|_| percent(50));
        return reply(StatusCode::SERVICE_UNAVAILABLE, after, b"sorry".to_vec());
    }
    let format = world.format(party);
    let number = format.open(document, wire).ok().unwrap().head.message_number;
    let known = world.with(|state| state.books.message(party, &number).stored);
    if !known && percent(weather.refused) {
        world.note(&format!("{party} refuses {}", label(format, document, wire)));
        return reply(StatusCode::BAD_REQUEST, None, answer(format, wire, &number, false));
    }
    if !known {
        store(world, party, document, wire);
    }
    if percent(weather.error_after) {
        return reply(StatusCode::INTERNAL_SERVER_ERROR, None, b"sorry".to_vec());
    }
    if percent(weather.garbage) {
        return reply(StatusCode::OK, None, b"<html>login</html>".to_vec());
    }
    reply(StatusCode::OK, None, answer(format, wire, &number, true))
}

/// What became of a message?
pub(super) fn asked(world: &Arc<World>, party: &'static str, number: &str, wire: Wire) -> Reply {
    let weather = world.weather(Clone::clone);
    if percent(weather.error_before) {
        return reply(StatusCode::INTERNAL_SERVER_ERROR, None, b"sorry".to_vec());
    }
    if percent(weather.garbage) {
        return reply(StatusCode::OK, None, b"{}".to_vec());
    }
    let stored = world.with(|state| state.books.message(party, number).stored);
    let (known, unknown) = words(party);
    let word = if stored { known } else { unknown };
    let body = match (party, wire) {
        ("23", _) => format!(r#"{{"sj":{{"zt":"{word}"}}}}"#),
        ("44", _) => format!(r#"<GdmzMessage><Message state="{word}"/></GdmzMessage>"#),
        (_, Wire::Json) => format!(r#"{{"code":"0","data":{{"state":"{word}"}}}}"#),
        (_, Wire::Xml) => format!("<message><data><state>{word}</state></data></message>"),
    };
    reply(StatusCode::OK, None, body.into_bytes())
}

/// How the party says that it has a message, and that it has not.
fn words(party: &str) -> (&'static str, &'static str) {
    match party {
        "23" => ("YJS", "WJS"),
        "44" => ("在库", "无"),
        _ => ("STORED", "NONE"),
    }
}

/// Whether the answer to a status question says that the message is not known.
pub(super) fn does_not_know(party: &str, reply: &Reply) -> bool {
    let body = reply.body.as_deref().unwrap_or_default();
    let unknown = words(party).1.as_bytes();
    reply.status.is_success() && body.windows(unknown.len()).any(|part| part == unknown)
}

fn reply(status: StatusCode, retry_after: Option<Duration>, body: Vec<u8>) -> Reply {
    Reply { status, retry_after, body: Some(body) }
}

fn answer(format: &Format, wire: Wire, number: &str, stored: bool) -> Vec<u8> {
    let reply = translate::Reply {
        stored,
        message: "receipt".into(),
        message_number: number.to_owned(),
        ..Default::default()
    };
    format.reply(wire, &reply)
}

/// The message takes effect.
fn store(world: &Arc<World>, party: &'static str, document: &[u8], wire: Wire) {
    let format = world.format(party);
    let message = format.open(document, wire).ok().unwrap();
    let head = &message.head;
    let case = head.fields.get("case_number").cloned().unwrap_or_default();
    let application = head.fields.get("application_id").cloned().unwrap_or_default();
    world.note(&format!("{party} stores {}", label(format, document, wire)));
    let event = match head.kind {
        Kind::Application => EventType::ApplicationReceived,
        Kind::Result => EventType::DecisionMade,
        Kind::Event => format.read_event(&message).0.r#type(),
    };
    world.with(|state| {
        let number = head.message_number.clone();
        state.books.message(party, &number).stored = true;
        state.books.stored.push(Stored { party, number, application: application.clone() });
        state.books.case(party, &case).told.push(event);
    });
    if head.kind == Kind::Application {
        let taken_in = papers::taken_in_on(&format.read_application(&message).0);
        office::open(world, party, (case, application), (head.business, taken_in));
    }
}
