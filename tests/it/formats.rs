//! The samples of `docs/formats.md` against the tables: each is read without a violation, holds
//! to the rules of form, and comes out the same when it is written again. Partners build from
//! that page, so it may not drift. Depends on model, config and translate, and starts nothing.

use std::{collections::BTreeSet, fmt::Debug, fs, path::Path};

use prost::Message as _;
use tongban::{
    model::{
        codes::Codes,
        divisions::Divisions,
        pb::{Application, Business, application::Details},
        problem::Violation,
        shape::Shapes,
    },
    translate::{
        Answer, Format, Head, Kind, Reply, SealKey, Status, Translator, Wire, read_document,
    },
};

const PARTIES: [&str; 3] = ["national", "23-heilongjiang", "44-guangdong"];

/// One fenced block of the page and what the comment before it says it is.
struct Sample {
    /// `sample`, `answer` or `status`.
    what: String,
    /// Party, then business and kind, or wire and meaning.
    words: Vec<String>,
    /// Line of the comment, for the reader of a failure.
    line: usize,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn samples() -> Vec<Sample> {
    let page = fs::read_to_string(root().join("docs/formats.md")).unwrap();
    let mut samples: Vec<Sample> = Vec::new();
    let mut within = false;
    let mut awaited = false;
    for (number, line) in page.lines().enumerate() {
        let comment = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
        if let Some((what, words)) = comment.and_then(|comment| comment.split_once(": ")) {
            samples.push(Sample {
                what: what.to_owned(),
                words: words.split(' ').map(str::to_owned).collect(),
                line: number + 1,
                text: String::new(),
            });
            awaited = true;
        } else if line.starts_with("```") {
            within = awaited && !within;
            awaited &= within;
        } else if within && let Some(sample) = samples.last_mut() {
            sample.text.push_str(line);
            sample.text.push('\n');
        }
    }
    samples
}

fn translator() -> Translator {
    let config = root().join("config");
    let businesses: Vec<String> = Business::ALL.into_iter().map(Business::code).collect();
    let parties: Vec<_> = PARTIES
        .iter()
        .map(|folder| {
            let path = config.join("parties").join(folder);
            ((*folder).to_owned(), path, businesses.clone())
        })
        .collect();
    ok(Translator::load(&config, &parties))
}

fn ok<T, E: Debug>(result: Result<T, E>) -> T {
    result.unwrap()
}

fn wire(word: &str) -> Wire {
    if word == "xml" { Wire::Xml } else { Wire::Json }
}

fn wire_of(text: &[u8]) -> Wire {
    if text.starts_with(b"<") { Wire::Xml } else { Wire::Json }
}

/// What a sample says, read and checked: the encoded canonical message, and it written again.
struct Read {
    head: Head,
    canonical: Vec<u8>,
    violations: Vec<String>,
    again: Vec<u8>,
}

fn read(format: &Format, text: &[u8], key: &SealKey) -> Read {
    let message = ok(format.open(text, wire_of(text)));
    let head = message.head.clone();
    let seal = message.head.fields.contains_key("signature").then_some(key);
    if seal.is_some() {
        ok(format.verify(&message, key));
    }
    let (canonical, violations, again) = if matches!(head.kind, Kind::Event) {
        let (event, violations) = format.read_event(&message);
        (event.encode_to_vec(), violations, format.write_event(&head, &event, seal))
    } else {
        let (application, violations) = format.read_application(&message);
        assert!(application.extensions.is_empty(), "not mapped: {:?}", application.extensions);
        let details = application.details.as_ref();
        let expected = match details {
            Some(Details::MarriageRegistration(_)) => Business::MarriageRegistration,
            Some(Details::DivorceRegistration(_)) => Business::DivorceRegistration,
            Some(Details::DisabilitySubsidy(_)) => Business::DisabilitySubsidy,
            Some(Details::ChildRecognition(_)) => Business::ChildRecognition,
            Some(Details::OldAgeAllowance(_)) => Business::OldAgeAllowance,
            Some(Details::SocialAssistance(_)) => Business::SocialAssistance,
            None => Business::Unspecified,
        };
        assert_eq!(head.business, expected);
        let again = format.write_application(&head, &application, seal);
        (application.encode_to_vec(), violations, again)
    };
    let violations = violations.into_iter().map(|v| format!("{}: {}", v.field, v.description));
    Read { head, canonical, violations: violations.collect(), again: ok(again) }
}

#[test]
fn every_sample_is_read_and_written_again() {
    let translator = translator();
    let codes = ok(Codes::load(&root().join("config/codes")));
    let divisions = ok(Divisions::load(&root().join("config/divisions.csv")));
    let shapes = ok(Shapes::compile(&codes, divisions));
    let key = SealKey::new(&(0..32).collect::<Vec<u8>>());
    let samples = samples();
    let mut shown = BTreeSet::new();
    let mut count = 0;
    for sample in samples.iter().filter(|sample| sample.what == "sample") {
        let [party, business, kind] = sample.words.as_slice() else { panic!("{}", sample.line) };
        let at = format!("docs/formats.md:{} {party} {business} {kind}", sample.line);
        let format = translator.format(party).unwrap();
        let read = read(format, sample.text.as_bytes(), &key);
        assert!(read.violations.is_empty(), "{at}: {:?}", read.violations);
        assert_eq!(read.head.business.code(), *business, "{at}");
        let (message, word) = match read.head.kind {
            Kind::Application => ("Application", "application"),
            Kind::Event => ("ApplicationEvent", "event"),
            Kind::Result => ("Application", "result"),
        };
        assert_eq!(word, kind, "{at}");
        let faults = shapes.check(message, &read.canonical);
        assert!(faults.is_empty(), "{at}: {faults:?}");
        let again = self::read(format, &read.again, &key);
        assert_eq!(again.canonical, read.canonical, "{at}: reads otherwise when written again");
        if let Ok(document) = serde_json::from_slice::<serde_json::Value>(sample.text.as_bytes()) {
            let again: serde_json::Value = ok(serde_json::from_slice(&read.again));
            assert_eq!(again, document, "{at}: is written otherwise");
        }
        shown.insert((party.as_str(), read.head.business, word));
        count += 1;
    }
    assert!(count >= 47, "only {count} samples found");
    for business in Business::ALL {
        for (party, kind) in PARTIES.into_iter().flat_map(|p| [(p, "application"), (p, "event")]) {
            assert!(shown.contains(&(party, business, kind)), "{party} {business:?} {kind}");
        }
    }
}

/// The examples of the tables are what partners copy from: they are valid, not only translatable.
#[test]
fn every_example_of_a_table_holds_to_the_rules_of_form_and_of_the_business() {
    let translator = translator();
    let codes = ok(Codes::load(&root().join("config/codes")));
    let divisions = ok(Divisions::load(&root().join("config/divisions.csv")));
    let shapes = ok(Shapes::compile(&codes, divisions));
    let mut count = 0;
    for (party, business) in PARTIES.into_iter().flat_map(|p| Business::ALL.map(|b| (p, b))) {
        let file = root().join(format!("config/parties/{party}/{}.map.toml", business.code()));
        let table: toml::Table = ok(fs::read_to_string(file).unwrap().parse());
        for example in table["example"].as_array().unwrap() {
            let at = format!("{party} {} {}", business.code(), example["name"]);
            let bytes = example["document"].as_str().unwrap().trim().as_bytes();
            let format = translator.format(party);
            let what = (Kind::Application, business);
            let message = ok(read_document(format, format.unwrap(), what, bytes)).encode_to_vec();
            let application = ok(Application::decode(message.as_slice()));
            let faults = shapes.check("Application", &message);
            assert!(faults.is_empty(), "{at}: {faults:?}");
            let faults = tongban::business::check(&application);
            assert!(faults.is_empty(), "{at}: {faults:?}");
            count += 1;
        }
    }
    assert!(count >= 48, "only {count} examples found");
}

#[test]
fn answers_and_status_answers_say_what_the_page_says() {
    let translator = translator();
    let mut count = 0;
    for sample in samples() {
        if !matches!(sample.what.as_str(), "answer" | "status") {
            continue;
        }
        let [party, word, meaning] = sample.words.as_slice() else { panic!("{}", sample.line) };
        let format = translator.format(party).unwrap();
        let text = sample.text.as_bytes();
        let said = if sample.what == "answer" {
            match format.answer(wire(word), text) {
                Answer::Stored => "stored",
                Answer::Refused { .. } => "refused",
                Answer::NotUnderstood => "not understood",
            }
        } else {
            match format.status(wire(word), text) {
                Status::Stored => "stored",
                Status::Unknown => "unknown",
                Status::NotUnderstood => "not understood",
            }
        };
        assert_eq!(said, meaning, "docs/formats.md:{}", sample.line);
        count += 1;
    }
    assert!(count >= 12, "only {count} answers found");
}

/// What the replies on the page tell.
fn told(format: &Format, stored: bool) -> Reply {
    let mut reply = Reply {
        stored,
        message_number: "0d5b0c3c9c3f4b0a8c3e5f7a9b1d2e3f".into(),
        trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
        ..Reply::default()
    };
    if stored {
        reply.message = "stored".into();
        reply.application_id = "01992c4e-7a10-7c3b-9f42-5d1e8a6b0c17".into();
        reply.state = "RECEIVED".into();
    } else {
        reply.message = "2 fields were refused; correct them and send the document again".into();
        reply.reason = "INVALID_ARGUMENT".into();
        let path = |field: &str| {
            format.their_path(Kind::Application, Business::DisabilitySubsidy, field).unwrap()
        };
        let fields = ["acceptanceNumber", "source"];
        let faults = fields.map(|f| Violation::form(path(f), "is required; fill it in"));
        reply.violations = faults.to_vec();
    }
    reply
}

#[test]
fn replies_are_what_the_page_says() {
    let translator = translator();
    let mut count = 0;
    for sample in samples().iter().filter(|sample| sample.what == "reply") {
        let [party, word, meaning] = sample.words.as_slice() else { panic!("{}", sample.line) };
        let format = translator.format(party).unwrap();
        let reply = format.reply(wire(word), &told(format, meaning == "stored"));
        let (ours, page) = (ok(String::from_utf8(reply)), &sample.text);
        let at = format!("docs/formats.md:{}", sample.line);
        if word == "xml" {
            assert_eq!(without_layout(&ours), without_layout(page), "{at}");
        } else {
            let json = |text: &str| ok(serde_json::from_str::<serde_json::Value>(text));
            assert_eq!(json(&ours), json(page), "{at}");
        }
        count += 1;
    }
    assert!(count >= 7, "only {count} replies found");
}

/// XML without its declaration and the blanks between tags.
fn without_layout(text: &str) -> String {
    let text = text.find("?>").map_or(text, |end| &text[end + 2..]);
    text.split('<').map(str::trim).collect::<Vec<_>>().join("<")
}
