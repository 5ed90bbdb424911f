//! The only durable state. Each write is one transaction that holds the application's new state,
//! its event, its idempotency record, its audit leaf and its deliveries; when a write returns
//! `Ok` it is on disk. What implementations promise is written on [`Store`] and held by
//! `store/contract.rs`. Depends on model, audit and business.

pub mod advance;
pub mod by_hand;
#[cfg(test)]
mod contract;
pub mod copies;
mod holding;
pub mod likeness;
mod postgres;
pub mod proof;
mod record;
pub mod rows;
mod shares;
mod sqlite;
mod take;
pub mod totals;
pub mod turns;
pub mod vault;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

#[cfg(test)]
pub(crate) use crate::store::sqlite::{
    inline::{Disk, Fate},
    planted::Bug,
};
pub use crate::store::{postgres::Postgres, sqlite::Sqlite};
use crate::{
    audit::Entry,
    config,
    model::{calendar::Calendar, divisions::Divisions, pb},
    store::{
        by_hand::Reason,
        rows::{
            Accepted, Applied, Change, Exchanged, Expired, Filter, Header, IdempotencyKey, Lease,
            NewApplication, ParkedDelivery, Recalled, Settlement,
        },
        totals::Totals,
        vault::Vault,
    },
};

/// Why the store could not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Too many writes wait; nothing was done. Shed the work.
    #[error("the store's queue is full")]
    Overloaded,
    /// Nothing is known of the write: ask again with the same key.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// What was read is not what was written. Stop and look.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
}

/// The durable state, as transitions.
///
/// Every implementation keeps these promises, and `contract.rs` tries each of them:
/// 1. A write that returned `Ok` survives the death of process and machine, whole.
/// 2. A write that returned `Err` happened whole or not at all; asking again with the same
///    idempotency key, or settling again, is safe.
/// 3. Events are numbered in one order; a reader that resumes after an event misses none.
/// 4. All methods may be called from many tasks at once.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Stores a new application with its first event, leaf, deliveries and idempotency record.
    /// One key makes one application, also under concurrency; one person has one open
    /// application for a benefit, also under concurrency. One that is like others is taken in with
    /// a question about each, and they while they are open with one about it; of two at the same
    /// moment at least the later bears it.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn accept(&self, new: NewApplication) -> Result<Accepted, StoreError>;

    /// Changes an application by one step of its state machine, or not at all.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn apply(&self, change: Change) -> Result<Applied, StoreError>;

    /// Appends an audit entry that belongs to no application: a refusal.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn record(&self, entry: Entry) -> Result<(), StoreError>;

    /// Leases up to `limit` due deliveries of `party` until `until` (microseconds UTC).
    ///
    /// A delivery is leased by one caller at a time, and only when every earlier delivery of its
    /// application to that party is delivered or discarded: events reach a party in order. A lease that
    /// expires unsettled is offered again, with `unknown` set: the attempt may have arrived.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn lease(&self, party: &str, limit: usize, until: i64) -> Result<Vec<Lease>, StoreError>;

    /// Ends a lease, with the step that the application takes because of it.
    ///
    /// # Errors
    /// Any [`StoreError`]; the lease then expires by itself.
    async fn settle(&self, lease: Lease, settlement: Settlement) -> Result<(), StoreError>;

    /// Lets the clocks that are due at `now` (microseconds UTC) speak, those of at most `limit`
    /// applications: a limit that is near or has passed is told, and what follows from its passing
    /// happens. Returns how many applications had something due. Striking again says nothing twice.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn strike(&self, now: i64, limit: usize) -> Result<usize, StoreError>;

    /// Makes parked deliveries due again; returns how many of `deliveries` were parked.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn revive(&self, deliveries: Vec<i64>) -> Result<usize, StoreError>;

    /// Makes delivered deliveries due again, for a receiver that has lost them: it is asked for the
    /// message number before anything is sent. Returns how many of `deliveries` were delivered.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn resend(&self, deliveries: Vec<i64>) -> Result<usize, StoreError>;

    /// The first answer to a key, if the key was used within its retention.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn recall(&self, key: &IdempotencyKey) -> Result<Option<Recalled>, StoreError>;

    /// Gives parked deliveries up for good: what waits behind one may go. Returns how many of
    /// `deliveries` were parked; each gets a leaf with the reason.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn discard(&self, deliveries: Vec<i64>, reason: Reason) -> Result<usize, StoreError>;

    /// Forgets idempotency records older than `before` (microseconds UTC); returns how many.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn forget(&self, before: i64) -> Result<usize, StoreError>;

    /// Erases the content of up to `limit` applications that ended before `before` (microseconds
    /// UTC), each with its leaf; returns how many. Reading one then says that there is none. What
    /// is open or paid stays, and what still has something to send, a running clock or a kept key.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn purge(&self, before: i64, limit: usize) -> Result<usize, StoreError>;

    /// How many applications [`Store::purge`] would purge, and how many it would hold back.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn expired(&self, before: i64) -> Result<Expired, StoreError>;

    /// What is needed to decide who may do what with an application; cheap.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn header(&self, id: Uuid) -> Result<Option<Header>, StoreError>;

    /// The application as it stands.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn application(&self, id: Uuid) -> Result<Option<pb::Application>, StoreError>;

    /// A page of one party's applications, newest first, and the token of the next page.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn list(&self, f: Filter) -> Result<(Vec<pb::Application>, Option<i64>), StoreError>;

    /// The events of one application, oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn events(&self, id: Uuid) -> Result<Vec<pb::ApplicationEvent>, StoreError>;

    /// Up to `limit` events after `after` of applications that `party` submitted or handles, in
    /// order, and the place in the order of events that was read up to.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn events_after(
        &self,
        party: &str,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<pb::ApplicationEvent>, i64), StoreError>;

    /// Parked deliveries, oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn parked(&self) -> Result<Vec<ParkedDelivery>, StoreError>;

    /// The deliveries to `party` created in `from..until` (microseconds UTC), oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn exchanged(
        &self,
        party: &str,
        from: i64,
        until: i64,
    ) -> Result<Vec<Exchanged>, StoreError>;

    /// Those deliveries to `party`, of any time, whose message number is one of `numbers`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn sent(
        &self,
        party: &str,
        numbers: BTreeSet<String>,
    ) -> Result<Vec<Exchanged>, StoreError>;

    /// The applications that `party` submitted in `from..until` (microseconds UTC), oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn submitted(&self, party: &str, from: i64, until: i64) -> Result<Vec<Uuid>, StoreError>;

    /// Totals for metrics and readiness.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn totals(&self) -> Result<Totals, StoreError>;

    /// The number of the last event; changes after each commit that has news: an event, or a
    /// delivery that may now be due. Subscribe before reading.
    fn changes(&self) -> watch::Receiver<i64>;

    /// The keyed digest under which people are compared.
    fn digest(&self, text: &str) -> [u8; 16];
}

/// What the store must know to take a step within a transaction.
#[derive(Clone, Default)]
pub struct Terms {
    /// The working days that limits are counted in.
    pub calendar: Arc<Calendar>,
    /// The divisions, and what has become of those that were.
    pub divisions: Arc<Divisions>,
    /// Codes of the parties that take deliveries; the others read events by themselves.
    pub takers: BTreeSet<String>,
    /// Nothing waits longer than that for its hour, microseconds: what seems to was put off by a
    /// clock that was ahead and has been set right since.
    pub longest_wait: Option<i64>,
}

/// Opens the store that the configuration names.
///
/// # Errors
/// What is wrong and what to do, in words for the operator.
pub async fn open(
    settings: &config::Store,
    queue: usize,
    terms: Terms,
) -> Result<Arc<dyn Store>, String> {
    let vault = Vault::open(&settings.key_file)?;
    if settings.is_shared() {
        let queues = (queue, settings.writers);
        return Ok(Arc::new(Postgres::open(&settings.url, vault, queues, terms).await?));
    }
    Ok(Arc::new(Sqlite::open(settings.path(), vault, queue, terms)?))
}

/// Opens the store beside a gateway that may be running, to look and to make deliveries due again.
///
/// # Errors
/// What is wrong and what to do, in words for the operator.
pub async fn open_beside(settings: &config::Store) -> Result<Arc<dyn Store>, String> {
    let vault = Vault::open(&settings.key_file)?;
    if settings.is_shared() {
        return Ok(Arc::new(Postgres::open_beside(&settings.url, vault).await?));
    }
    Ok(Arc::new(Sqlite::open_beside(settings.path(), vault)?))
}
