//! What reconciliation reads and repairs.

use super::{Engine, HOUR, Place, accepted, lease_one, promises};
use crate::{
    model::clock,
    store::{
        Store,
        rows::{Progress, Settlement},
    },
};

async fn a_day_of_deliveries_is_read_and_a_lost_one_is_sent_again_with_a_question(engine: Engine) {
    let place = Place::new(engine);
    let store = place.open().await;
    let store: &dyn Store = &*store;
    let id = accepted(store, 1).await;
    let now = clock::now_micros();
    let (from, until) = (now - HOUR, now + HOUR);
    let of = async || store.exchanged("national", from, until).await.unwrap();
    assert_eq!(of().await[0].progress, Progress::Due);
    assert_eq!(store.submitted("23", from, until).await.unwrap(), [id]);
    assert!(store.submitted("national", from, until).await.unwrap().is_empty());
    assert!(store.exchanged("national", from, now - HOUR / 2).await.unwrap().is_empty());
    assert!(store.exchanged("23", from, until).await.unwrap().is_empty());

    let lease = lease_one(store, "national").await.unwrap();
    assert!(!lease.unknown());
    let number = lease.message_number();
    assert_eq!(of().await[0].progress, Progress::Leased);
    let delivery = lease.delivery();
    assert_eq!(store.resend(vec![delivery]).await.unwrap(), 0, "it is on its way");
    store.settle(lease, Settlement::Delivered).await.unwrap();
    let state = store.header(id).await.unwrap().unwrap().state;
    let rows = of().await;
    assert_eq!((rows.len(), rows[0].progress), (1, Progress::Delivered));
    assert_eq!((rows[0].application, rows[0].message_number.as_str()), (id, number.as_str()));

    let asked = [number.clone(), "00".repeat(16)].into();
    let sent = store.sent("national", asked).await.unwrap();
    assert_eq!((sent.len(), sent[0].delivery), (1, delivery));
    assert!(store.sent("23", [number.clone()].into()).await.unwrap().is_empty());

    assert_eq!(store.resend(vec![delivery, 99]).await.unwrap(), 1);
    assert_eq!(store.resend(vec![delivery]).await.unwrap(), 0, "it is due already");
    let again = lease_one(store, "national").await.unwrap();
    assert!(again.unknown(), "the receiver is asked first");
    assert_eq!((again.attempt(), again.message_number()), (1, number));
    store.settle(again, Settlement::Delivered).await.unwrap();
    assert_eq!(store.header(id).await.unwrap().unwrap().state, state, "no second step");
}

promises![a_day_of_deliveries_is_read_and_a_lost_one_is_sent_again_with_a_question,];
