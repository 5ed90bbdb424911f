//! Draws the state machines that run, for `docs/states.md`, lists the limits, for `docs/clock.md`, and
//! holds the pages equal to them.
//! `TONGBAN_WRITE_DOCS=1 cargo test --lib drawing` writes it.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use crate::{
    business::{
        self,
        clock::{Length, Start},
    },
    model::{
        lifecycle::{Actor, Effect, Machine, Step},
        pb::{Business, EventType, State},
    },
};

const OPENING: &str = "\
# State machines (办件状态流转)

Drawn from the code that runs them (`src/model/lifecycle.rs`) and held equal to it by a test;
`TONGBAN_WRITE_DOCS=1 cargo test --lib drawing` draws them anew. An arrow names the event, who may
cause it, and who is told. Any other event in any state is refused with `ILLEGAL_TRANSITION` and
changes nothing. Five events are told in every state and change none: `DEADLINE_NEAR`,
`DEADLINE_PASSED`, `DUPLICATE_REFUSED`, `BENEFIT_MOVED`, `BENEFIT_ENDED`.

An arrow may be taken and still be asked about: a county that decides on a child from `ACCEPTED`, without
the township's opinion, leaves `TOWNSHIP_OPINION` `MISSED` and the question `O1` (`docs/decisions/0005`).

States, events and their Chinese names are in `proto/tongban/v1/application.proto` and `event.proto`.
";

fn page() -> String {
    let mut drawn: Vec<(Machine, Vec<Business>)> = Vec::new();
    for business in Business::ALL {
        let machine = business::machine(business);
        match drawn.iter_mut().find(|(known, _)| std::ptr::eq(*known, machine)) {
            Some((_, users)) => users.push(business),
            None => drawn.push((machine, vec![business])),
        }
    }
    let mut page = OPENING.to_owned();
    for (machine, users) in drawn {
        let names: Vec<String> = users.iter().map(|user| format!("`{}`", user.code())).collect();
        let _ = write!(page, "\n## {}\n\n```mermaid\nstateDiagram-v2\n", names.join(", "));
        let starts = match users[..] {
            [Business::MarriageRegistration] => vec![State::Received, State::Booked],
            _ => vec![State::Received],
        };
        for start in starts {
            let _ = writeln!(page, "  [*] --> {}", start.as_str_name());
        }
        for ((from, to), labels) in arrows(machine) {
            let _ = writeln!(page, "  {from} --> {to} : {}", labels.join("<br/>"));
        }
        page.push_str("```\n");
    }
    page
}

/// The labels between two states, in the machine's order.
fn arrows(machine: Machine) -> BTreeMap<(&'static str, &'static str), Vec<String>> {
    let mut arrows: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for step in machine {
        let key = (step.from.as_str_name(), step.to.as_str_name());
        arrows.entry(key).or_default().push(label(step));
    }
    arrows
}

fn label(step: &Step) -> String {
    let by = match step.by {
        Actor::Submitter => "submitter",
        Actor::Handler => "handler",
        Actor::Gateway => "gateway",
        Actor::HandlerOrGateway => "handler or clock",
    };
    let told = match step.effect {
        Effect::None => "",
        Effect::TellSubmitter => ", submitter told",
        Effect::TellHandler => ", handler told",
        Effect::TellBoth => ", both told",
        Effect::SendApplication => ", application sent",
        Effect::SendResult => ", result sent",
    };
    format!("{} ({by}{told})", step.event.as_str_name())
}

/// The rows of `docs/clock.md`.
fn limits() -> String {
    let mut rows = String::new();
    for business in Business::ALL {
        for limit in business::limits(business) {
            let length = match limit.length {
                Length::WorkingDays(count) => format!("{count} working days"),
                Length::Days(count) => format!("{count} days"),
                Length::BookedDay => "the booked day".to_owned(),
            };
            let named = |events: &[EventType]| {
                let names: Vec<&str> = events.iter().map(EventType::as_str_name).collect();
                names.join(", ")
            };
            let from = match limit.starts {
                Start::Complete => "complete papers".to_owned(),
                Start::Accepted => "the day of acceptance".to_owned(),
                Start::On(events) => named(events),
                Start::After(kind, _) => format!("the last day of {}", kind.as_str_name()),
            };
            let passing = limit.passing.map_or("", |(_, event)| event.as_str_name());
            let pauses = if limit.pauses { ", pauses" } else { "" };
            let _ = writeln!(
                rows,
                "| `{}` | {} | {length}{pauses} | {from} | {} | {passing} | {} |",
                business.code(),
                limit.kind.as_str_name(),
                named(limit.stops),
                limit.source
            );
        }
    }
    rows
}

#[test]
fn the_page_lists_the_limits_that_run() {
    const HEAD: &str = "|---|---|---|---|---|---|---|\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clock.md");
    let text = fs::read_to_string(&file).unwrap();
    let (opening, _) = text.split_once(HEAD).unwrap();
    let whole = format!("{opening}{HEAD}{}", limits());
    if std::env::var_os("TONGBAN_WRITE_DOCS").is_some() {
        fs::write(&file, &whole).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), whole, "list the limits anew");
}

#[test]
fn the_page_shows_the_machines_that_run() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/states.md");
    if std::env::var_os("TONGBAN_WRITE_DOCS").is_some() {
        fs::write(&file, page()).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap_or_default(), page(), "draw docs/states.md anew");
}
