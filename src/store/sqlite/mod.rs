//! The embedded store: SQLite in WAL mode with full durability, one writer thread that commits
//! what waits as one transaction (group commit), and a few readers beside it.

pub(in crate::store) mod backup;
mod clocks;
mod holds;
mod index;
#[cfg(test)]
pub(crate) mod inline;
mod loading;
mod outbox;
#[cfg(test)]
pub(crate) mod planted;
mod places;
pub(in crate::store) mod proof;
mod read;
mod readers;
mod ready;
mod reconcile;
mod retention;
mod write;
mod writer;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    thread,
};

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use crate::{
    audit::Entry,
    model::pb,
    store::{
        Store, StoreError, Terms,
        by_hand::{ByHand, Reason},
        record::Prepared,
        rows::{
            Accepted, Applied, Change, Exchanged, Expired, Filter, Header, IdempotencyKey, Lease,
            NewApplication, ParkedDelivery, Recalled, Settlement,
        },
        shares::{Place, Shares},
        sqlite::{
            index::Index,
            loading::Loading,
            readers::Readers,
            ready::{configure, end_leases, fits, hold, migrate},
            writer::{Command, Writer},
        },
        totals::Totals,
        turns::Reach,
        vault::Vault,
    },
};

/// The embedded store. Holds a lock file beside the database: the indexes in memory are right
/// only while this process is the only one that accepts applications.
pub struct Sqlite {
    commands: mpsc::Sender<Command>,
    shares: Arc<Shares>,
    index: Arc<RwLock<Index>>,
    loading: Loading,
    changes: watch::Receiver<i64>,
    readers: Arc<Readers>,
    vault: Arc<Vault>,
    _lock: Option<File>,
    #[cfg(test)]
    inline: Option<Arc<inline::Inline>>,
}

impl Sqlite {
    /// Opens or creates the database and starts the writer; `queue` writes may wait.
    ///
    /// # Errors
    /// In words for the operator: another gateway holds the store, the file cannot be opened.
    pub fn open(path: &Path, vault: Vault, queue: usize, terms: Terms) -> Result<Self, String> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        let lock = hold(&path.with_extension("lock"))?;
        Self::start(path, vault, queue, (terms, Some(lock)))
    }

    /// Opens the database beside a gateway that may be running, to list and replay deliveries.
    ///
    /// # Errors
    /// The database does not exist or cannot be opened.
    pub fn open_beside(path: &Path, vault: Vault) -> Result<Self, String> {
        if !path.exists() {
            return Err(format!("{} does not exist; is store.url right?", path.display()));
        }
        Self::start(path, vault, 16, (Terms::default(), None))
    }

    fn start(
        path: &Path,
        vault: Vault,
        queue: usize,
        (terms, lock): (Terms, Option<File>),
    ) -> Result<Self, String> {
        let alone = lock.is_some();
        let (mut store, writer) = Self::build(path, vault, queue, (terms, alone))?;
        store._lock = lock;
        // The thread ends when the last sender is dropped, after the writes that wait.
        thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run())
            .map_err(|error| format!("cannot start the store's writer: {error}"))?;
        Ok(store)
    }

    /// The store and its writer, which must be run; `alone` when nobody else accepts applications.
    fn build(
        path: &Path,
        vault: Vault,
        queue: usize,
        (terms, alone): (Terms, bool),
    ) -> Result<(Self, Writer), String> {
        let told = |error: rusqlite::Error| format!("{}: {error}", path.display());
        let mut connection = Connection::open(path).map_err(told)?;
        configure(&connection).map_err(told)?;
        migrate(&mut connection, &vault).map_err(|error| format!("{}: {error}", path.display()))?;
        fits(&connection, &vault).map_err(|error| format!("{}: {error}", path.display()))?;
        let index = Arc::new(RwLock::new(Index::default()));
        let loading = if alone {
            end_leases(&connection).map_err(told)?;
            Loading::begin(path, &index)?
        } else {
            Loading::none()
        };
        let vault = Arc::new(vault);
        let readers = Readers::open(path, Arc::clone(&vault), queue.max(1)).map_err(told)?;
        let last: i64 = connection
            .query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0))
            .map_err(told)?;
        let (commands, received) = mpsc::channel(queue.max(1));
        let (changed, changes) = watch::channel(last);
        let shared = (Arc::clone(&index), Arc::clone(&vault), terms);
        let writer = Writer::new(connection, received, changed, shared);
        let store = Self {
            commands,
            shares: Shares::new(queue.max(1)),
            index,
            loading,
            changes,
            readers,
            vault,
            _lock: None,
            #[cfg(test)]
            inline: None,
        };
        Ok((store, writer))
    }

    /// New work is shed when there is no place in the queue.
    async fn shed<T>(
        &self,
        place: Place,
        make: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, StoreError> {
        let (to, answer) = oneshot::channel();
        let reply = Reply { to, _place: place };
        self.commands.try_send(make(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Accepted work waits for its turn.
    async fn wait<T>(&self, make: impl FnOnce(Reply<T>) -> Command) -> Result<T, StoreError> {
        let (to, answer) = oneshot::channel();
        let reply = Reply { to, _place: self.shares.join() };
        self.commands.send(make(reply)).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    async fn read<T: Send + 'static>(
        &self,
        reach: Reach,
        query: impl FnOnce(&Connection, &Vault) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        #[cfg(test)]
        if let Some(inline) = &self.inline {
            return inline.read(&self.readers, query).await;
        }
        self.readers.read(reach, query).await
    }
}

/// Who waits for a write, and the place in the queue that it holds until then.
struct Reply<T> {
    to: oneshot::Sender<Result<T, StoreError>>,
    _place: Place,
}

impl<T> Reply<T> {
    /// A caller that has gone away asks again with its key.
    fn send(self, outcome: Result<T, StoreError>) {
        _ = self.to.send(outcome);
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the store has stopped".into())
}

#[async_trait]
impl Store for Sqlite {
    async fn accept(&self, new: NewApplication) -> Result<Accepted, StoreError> {
        self.loading.ended().await;
        let place = self.shares.enter(&new.application.submitting_party).await?;
        // Encoding and encrypting happen here, in the caller's task, not on the writer.
        let new = Prepared::new(new, &self.vault)?;
        self.shed(place, |reply| Command::Accept(Box::new(new), reply)).await
    }

    async fn apply(&self, change: Change) -> Result<Applied, StoreError> {
        self.loading.ended().await;
        let place = self.shares.enter(&change.party).await?;
        self.shed(place, |reply| Command::Apply(Box::new(change), reply)).await
    }

    async fn record(&self, entry: Entry) -> Result<(), StoreError> {
        let (place, leaf) = (self.shares.enter(&entry.party).await?, entry.leaf());
        self.shed(place, |reply| Command::Record(leaf, reply)).await
    }

    async fn lease(&self, party: &str, limit: usize, until: i64) -> Result<Vec<Lease>, StoreError> {
        let party = party.to_owned();
        self.wait(|reply| Command::Lease { party, limit, until, reply }).await
    }

    async fn settle(&self, lease: Lease, settlement: Settlement) -> Result<(), StoreError> {
        self.wait(|reply| Command::Settle(Box::new(lease), settlement, reply)).await
    }

    async fn strike(&self, now: i64, limit: usize) -> Result<usize, StoreError> {
        self.wait(|reply| Command::Strike(now, limit, reply)).await
    }

    async fn revive(&self, deliveries: Vec<i64>) -> Result<usize, StoreError> {
        self.wait(|reply| Command::ByHand(ByHand::Revive, deliveries, reply)).await
    }

    async fn resend(&self, deliveries: Vec<i64>) -> Result<usize, StoreError> {
        self.wait(|reply| Command::ByHand(ByHand::Resend, deliveries, reply)).await
    }

    async fn discard(&self, deliveries: Vec<i64>, reason: Reason) -> Result<usize, StoreError> {
        let discard = ByHand::Discard(reason);
        self.wait(|reply| Command::ByHand(discard, deliveries, reply)).await
    }

    async fn recall(&self, key: &IdempotencyKey) -> Result<Option<Recalled>, StoreError> {
        self.loading.ended().await;
        let places = {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            index.key(&key.key)
        };
        if places.is_empty() {
            return Ok(None);
        }
        let key = *key;
        self.read(Reach::Row, move |connection, vault| {
            read::recall(connection, vault, &places, &key)
        })
        .await
    }

    async fn forget(&self, before: i64) -> Result<usize, StoreError> {
        self.wait(|reply| Command::Forget(before, reply)).await
    }

    async fn purge(&self, before: i64, limit: usize) -> Result<usize, StoreError> {
        self.wait(|reply| Command::Purge(before, limit, reply)).await
    }

    async fn expired(&self, before: i64) -> Result<Expired, StoreError> {
        self.read(Reach::Rows, move |connection, _| retention::expired(connection, before)).await
    }

    async fn header(&self, id: Uuid) -> Result<Option<Header>, StoreError> {
        self.read(Reach::Row, move |connection, _| read::header(connection, id)).await
    }

    async fn application(&self, id: Uuid) -> Result<Option<pb::Application>, StoreError> {
        self.read(Reach::Row, move |connection, vault| read::application(connection, vault, id))
            .await
    }

    async fn list(&self, f: Filter) -> Result<(Vec<pb::Application>, Option<i64>), StoreError> {
        self.read(Reach::Rows, move |connection, vault| read::list(connection, vault, &f)).await
    }

    async fn events(&self, id: Uuid) -> Result<Vec<pb::ApplicationEvent>, StoreError> {
        self.read(Reach::Row, move |connection, vault| read::events(connection, vault, id)).await
    }

    async fn events_after(
        &self,
        party: &str,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<pb::ApplicationEvent>, i64), StoreError> {
        let party = party.to_owned();
        self.read(Reach::Page, move |connection, vault| {
            read::events_after(connection, vault, &party, after, limit)
        })
        .await
    }

    async fn parked(&self) -> Result<Vec<ParkedDelivery>, StoreError> {
        self.read(Reach::Rows, |connection, _| read::parked(connection)).await
    }

    async fn exchanged(
        &self,
        party: &str,
        from: i64,
        until: i64,
    ) -> Result<Vec<Exchanged>, StoreError> {
        let party = party.to_owned();
        self.read(Reach::Rows, move |connection, _| {
            reconcile::exchanged(connection, &party, from..until)
        })
        .await
    }

    async fn sent(
        &self,
        party: &str,
        numbers: BTreeSet<String>,
    ) -> Result<Vec<Exchanged>, StoreError> {
        let party = party.to_owned();
        self.read(Reach::Rows, move |connection, _| reconcile::sent(connection, &party, &numbers))
            .await
    }

    async fn submitted(&self, party: &str, from: i64, until: i64) -> Result<Vec<Uuid>, StoreError> {
        let party = party.to_owned();
        self.read(Reach::Rows, move |connection, _| {
            reconcile::submitted(connection, &party, from..until)
        })
        .await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.read(Reach::Row, |connection, _| read::totals(connection)).await
    }

    fn changes(&self) -> watch::Receiver<i64> {
        #[cfg(test)]
        if let Some(inline) = &self.inline {
            return inline.subscribe(*self.changes.borrow());
        }
        self.changes.clone()
    }

    fn digest(&self, text: &str) -> [u8; 16] {
        self.vault.digest(text)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                Self::Corrupt(error.to_string())
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}
