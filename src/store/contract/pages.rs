//! Pages: none is longer than a few megabytes, whatever is in it, and the next goes on where it ended.

use super::*;
use crate::store::{advance::MOST_EVENTS, record::PAGE_BYTES, rows::Filter};

promises! {
    a_page_of_deliveries_ends_when_it_has_grown_long_and_the_rest_stays_due,
    a_page_of_a_list_ends_when_it_has_grown_long,
    a_page_of_events_ends_when_it_has_grown_long_and_none_is_missed,
    an_application_that_goes_in_circles_is_stopped_and_can_still_end,
}

fn paper(n: u8) -> pb::Material {
    pb::Material { content: vec![n; 1 << 20], ..Default::default() }
}

/// So many applications of one megabyte.
async fn long_ones(store: &dyn Store, count: u8) {
    for n in 1..=count {
        let mut application = new(n);
        let content =
            pb::Application { materials: vec![paper(n)], ..(*application.application).clone() };
        application.content = content.encode_to_vec();
        assert!(matches!(store.accept(application).await.unwrap(), Accepted::New(_)));
    }
}

async fn a_page_of_deliveries_ends_when_it_has_grown_long_and_the_rest_stays_due(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    long_ones(&*store, 6).await;
    let until = clock::now_micros() + HOUR;
    let first = store.lease("national", 64, until).await.unwrap();
    let second = store.lease("national", 64, until).await.unwrap();
    assert_eq!((first.len(), second.len()), (4, 2));
    assert!(second.iter().all(|lease| lease.attempt() == 1 && !lease.unknown()));
    assert!(store.lease("national", 64, until).await.unwrap().is_empty());
}

async fn a_page_of_a_list_ends_when_it_has_grown_long(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    long_ones(&*store, 8).await;
    let filter = |limit, before| Filter {
        party: "23".into(),
        business: None,
        state: None,
        home_division: String::new(),
        limit,
        before,
    };
    let numbers = |page: &[pb::Application]| {
        page.iter().map(|one| one.acceptance_number.clone()).collect::<Vec<_>>().join(" ")
    };
    let (page, next) = store.list(filter(200, None)).await.unwrap();
    assert_eq!((numbers(&page).as_str(), next.is_some()), ("CASE-8 CASE-7 CASE-6 CASE-5", true));
    let (page, end) = store.list(filter(200, next)).await.unwrap();
    assert_eq!((numbers(&page).as_str(), end), ("CASE-4 CASE-3 CASE-2 CASE-1", None));
    let (page, next) = store.list(filter(3, next)).await.unwrap();
    assert_eq!((numbers(&page).as_str(), next.is_some()), ("CASE-4 CASE-3 CASE-2", true));
    let (page, end) = store.list(filter(1, next)).await.unwrap();
    assert_eq!((numbers(&page).as_str(), end), ("CASE-1", None));
}

async fn a_page_of_events_ends_when_it_has_grown_long_and_none_is_missed(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    for n in 1..=6 {
        let id = accepted(&*store, n).await;
        let asked = [EventType::ApplicationAccepted, EventType::SupplementRequested];
        for (step, event) in (10..).step_by(10).zip(asked) {
            let step = change(id, n + step, event, None);
            assert!(matches!(store.apply(step).await.unwrap(), Applied::Done(_)));
        }
        let mut handed_in = change(id, n + 30, EventType::SupplementSubmitted, None);
        handed_in.party = "23".into();
        handed_in.event.materials.push(paper(n));
        assert!(matches!(store.apply(handed_in).await.unwrap(), Applied::Done(_)));
    }
    let last = *store.changes().borrow();
    let (mut seen, mut pages, mut cursor) = (Vec::new(), 0, 0);
    while cursor < last {
        let (events, next) = store.events_after("23", cursor, 256).await.unwrap();
        let sizes: Vec<usize> = events.iter().map(prost::Message::encoded_len).collect();
        let (longest, all) = (sizes.iter().max().unwrap(), sizes.iter().sum::<usize>());
        assert!(all < PAGE_BYTES + longest, "{all} bytes in {} events", events.len());
        assert_eq!(events.last().map(|event| event.id.clone()), Some(next.to_string()));
        seen.extend(events.iter().map(|event| event.id.parse::<i64>().unwrap()));
        (pages, cursor) = (pages + 1, next);
    }
    assert_eq!((seen, pages), ((1..=last).collect(), 2));
}

async fn an_application_that_goes_in_circles_is_stopped_and_can_still_end(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let id = accepted(&*store, 1).await;
    let accept = change(id, 2, EventType::ApplicationAccepted, None);
    assert!(matches!(store.apply(accept).await.unwrap(), Applied::Done(_)));
    let most = u8::try_from(MOST_EVENTS).unwrap();
    for n in 3..=most {
        let again = change(id, n, EventType::ReviewReported, None);
        assert!(matches!(store.apply(again).await.unwrap(), Applied::Done(_)), "{n}");
    }
    for event in [EventType::ReviewReported, EventType::SupplementRequested] {
        let more = change(id, most + 1, event, None);
        let Applied::Refused(refusal) = store.apply(more).await.unwrap() else { panic!() };
        assert_eq!(refusal, Refusal::TooManyEvents);
    }
    let decide = change(id, most + 1, EventType::DecisionMade, Some(Outcome::Granted));
    assert!(matches!(store.apply(decide).await.unwrap(), Applied::Done(_)));
    assert_eq!(store.events(id).await.unwrap().len(), usize::from(most) + 1);
    place.agrees().await;
}
