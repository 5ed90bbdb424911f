//! What a transaction writes, decided and not yet written. Plain data; knows no SQL.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    audit::Leaf,
    model::pb,
    store::{
        by_hand::ByHand,
        postgres::loaded::Short,
        record::{ApplicationRow, NewDelivery, NewEvent, Prepared},
        rows::IdempotencyKey,
    },
};

/// What is to be written.
#[derive(Default)]
pub(super) struct Writes {
    pub(super) fresh: Vec<Fresh>,
    /// Applications that changed.
    pub(super) changed: BTreeMap<Short, ApplicationRow>,
    /// Those of them whose content changed.
    pub(super) revised: BTreeSet<Short>,
    pub(super) keys: Vec<NewKey>,
    /// Who holds a benefit from now on; `None` for nobody any more.
    pub(super) holders: BTreeMap<Short, Option<Short>>,
    pub(super) events: Vec<NewEvent>,
    pub(super) leaves: Vec<Leaf>,
    pub(super) deliveries: Vec<NewDelivery>,
    /// Parties and how what waits for them changes, but for the new deliveries.
    pub(super) moved: Vec<(String, Moved)>,
    /// Row and party of deliveries whose order is to be looked at.
    pub(super) order: BTreeSet<(i64, String)>,
    /// What clocks said, to be told once it is committed.
    pub(super) said: Vec<(ApplicationRow, pb::ApplicationEvent)>,
    /// Whether there is something for who waits.
    pub(super) news: bool,
}

/// A new application about to be written.
pub(super) struct Fresh {
    pub(super) number: i64,
    pub(super) prepared: Arc<Prepared>,
    /// Sealed, when it is like others: what stands beside the content.
    pub(super) kept: Option<Vec<u8>>,
}

/// An idempotency record about to be written.
pub(super) struct NewKey {
    pub(super) key: IdempotencyKey,
    pub(super) application: i64,
    pub(super) created: i64,
    pub(super) answer: Option<Vec<u8>>,
}

/// How many more wait, and how many more are parked.
#[derive(Clone, Copy, Default)]
pub(super) struct Moved {
    pub(super) waiting: i64,
    pub(super) parked: i64,
}

impl Moved {
    /// By the end of a lease: delivered or parked.
    pub(super) fn ended(state: i64) -> Self {
        Self { waiting: -1, parked: i64::from(state == 3) }
    }

    /// By what operations did.
    pub(super) const fn by_hand(act: &ByHand) -> Self {
        match act {
            ByHand::Revive => Self { waiting: 1, parked: -1 },
            ByHand::Resend => Self { waiting: 1, parked: 0 },
            ByHand::Discard(_) => Self { waiting: 0, parked: -1 },
        }
    }
}

impl Writes {
    /// How what waits for each party changes in all.
    pub(super) fn outbox(&self) -> BTreeMap<&str, Moved> {
        let added = Moved { waiting: 1, parked: 0 };
        let new = self.deliveries.iter().map(|one| (one.party.as_str(), added));
        let moved = self.moved.iter().map(|(party, moved)| (party.as_str(), *moved));
        let mut outbox = BTreeMap::<&str, Moved>::new();
        for (party, moved) in new.chain(moved) {
            let all = outbox.entry(party).or_default();
            all.waiting += moved.waiting;
            all.parked += moved.parked;
        }
        outbox
    }
}
