//! The shared store: PostgreSQL, for several gateways side by side. A few writers commit what waits
//! as transactions (group commit); the order of events and leaves is one row that each transaction
//! takes last (`docs/decisions/0008`). What a gateway knows is in the database, nothing beside it.

mod alike;
mod connection;
mod decide;
mod ear;
mod flush;
mod loaded;
mod migrate;
mod outbox;
pub(in crate::store) mod proof;
mod read;
mod retention;
mod tls;
mod writer;
mod writes;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::{Mutex, Notify, mpsc, oneshot, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::{
    audit::Entry,
    model::{clock, pb},
    store::{
        Store, StoreError, Terms,
        by_hand::{ByHand, Reason},
        postgres::{
            connection::{Address, Connection, Pool, Trouble, in_time},
            writer::{Item, News, Outcome, Request, Writer},
        },
        record::Prepared,
        rows::{
            Accepted, Applied, Change, Exchanged, Expired, Filter, Header, IdempotencyKey, Lease,
            NewApplication, ParkedDelivery, Recalled, Settlement,
        },
        shares::{Place, Shares},
        totals::Totals,
        vault::Vault,
    },
};

/// How long a start waits for a database that cannot be reached.
const PATIENCE: Duration = Duration::from_secs(30);

/// The shared store.
pub struct Postgres {
    queue: mpsc::Sender<Item>,
    shares: Arc<Shares>,
    pool: Arc<Pool>,
    news: News,
    vault: Arc<Vault>,
    longest_wait: Option<i64>,
    /// Ends the listening task; the writers end with the queue.
    _stop: DropGuard,
}

impl Postgres {
    /// Connects, brings the tables up to date and starts `writers` writers; `queue` writes may
    /// wait.
    ///
    /// # Errors
    /// In words for the operator: the database cannot be reached or refuses, it is a newer one, or
    /// the key is not its own.
    pub async fn open(
        url: &str,
        vault: Vault,
        (queue, writers): (usize, usize),
        terms: Terms,
    ) -> Result<Self, String> {
        let address = Address::read(url)?;
        let mut connection = reach(&address, PATIENCE).await?;
        let told = |text: String| format!("{}: {text}", address.name);
        migrate::migrate(&mut connection, &vault).await.map_err(told)?;
        Self::start((address, connection), vault, (queue, writers), terms).await
    }

    /// Opens the database beside the gateways that may be running, to list and replay deliveries.
    ///
    /// # Errors
    /// The database cannot be reached or holds no store of this version.
    pub async fn open_beside(url: &str, vault: Vault) -> Result<Self, String> {
        let address = Address::read(url)?;
        let mut connection = reach(&address, Duration::ZERO).await?;
        let told = |text: String| format!("{}: {text}", address.name);
        migrate::known(&mut connection, &vault).await.map_err(told)?;
        Self::start((address, connection), vault, (16, 1), Terms::default()).await
    }

    /// Makes a schema in the database, unless the URL names one; returns the URL that leads there.
    ///
    /// # Errors
    /// The database cannot be reached or does not allow it.
    pub async fn apart(url: &str, schema: &str) -> Result<String, String> {
        let address = Address::read(url)?;
        if url.contains("search_path") {
            return Ok(url.to_owned());
        }
        let connection = reach(&address, Duration::ZERO).await?;
        let made = connection.client.batch_execute(&format!("CREATE SCHEMA {schema}")).await;
        made.map_err(|error| format!("{}: {}", address.name, StoreError::from(error)))?;
        let and = if url.contains('?') { '&' } else { '?' };
        Ok(format!("{url}{and}options=-csearch_path%3D{schema}"))
    }

    async fn start(
        (address, mut connection): (Address, Connection),
        vault: Vault,
        (queue, writers): (usize, usize),
        terms: Terms,
    ) -> Result<Self, String> {
        let last = read::last(&mut connection).await.map_err(|error| error.to_string())?;
        let (address, vault) = (Arc::new(address), Arc::new(vault));
        let changed = Arc::new(watch::Sender::new(last));
        let news = News { changed, tell: Arc::new(Notify::new()) };
        let shares = Shares::new(queue.max(1));
        let (queue, waiting) = mpsc::channel(queue.max(1));
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..writers.max(1) {
            let writer = Writer {
                address: Arc::clone(&address),
                queue: Arc::clone(&waiting),
                news: news.clone(),
                vault: Arc::clone(&vault),
                terms: terms.clone(),
                connection: None,
            };
            // Ends when the store is dropped, after the writes that wait.
            tokio::spawn(writer.run());
        }
        let stop = CancellationToken::new();
        tokio::spawn(ear::run(Arc::clone(&address), news.clone(), stop.clone()));
        let pool = Pool::new(address);
        let longest_wait = terms.longest_wait;
        Ok(Self { queue, shares, pool, news, vault, longest_wait, _stop: stop.drop_guard() })
    }

    /// New work is shed when there is no place in the queue.
    async fn shed(&self, place: Place, request: Request) -> Result<Outcome, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Item { request, reply, _place: place }).map_err(
            |error| match error {
                mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => stopped(),
            },
        )?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Accepted work waits for its turn.
    async fn wait(&self, request: Request) -> Result<Outcome, StoreError> {
        let (reply, answer) = oneshot::channel();
        let item = Item { request, reply, _place: self.shares.join() };
        self.queue.send(item).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    async fn count(&self, request: Request) -> Result<usize, StoreError> {
        match self.wait(request).await? {
            Outcome::Count(count) => Ok(count),
            _ => Err(stopped()),
        }
    }
}

/// Connects; tries again for a while what may only be late.
async fn reach(address: &Address, patience: Duration) -> Result<Connection, String> {
    let until = Instant::now() + patience;
    loop {
        let why = match address.connect(None).await {
            Ok(connection) => return Ok(connection),
            Err(Trouble::Lost(why)) if Instant::now() < until => why,
            Err(trouble) => {
                let error = StoreError::from(trouble);
                return Err(format!("the database {} does not take us: {error}", address.name));
            }
        };
        tracing::warn!(database = address.name, why, "the database cannot be reached yet");
        sleep(Duration::from_millis(500)).await;
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the store has stopped".into())
}

#[async_trait]
impl Store for Postgres {
    async fn accept(&self, new: NewApplication) -> Result<Accepted, StoreError> {
        let place = self.shares.enter(&new.application.submitting_party).await?;
        // Encoding and encrypting happen here, in the caller's task, not in the writer's.
        let new = Arc::new(Prepared::new(new, &self.vault)?);
        match self.shed(place, Request::Accept(Arc::clone(&new))).await? {
            Outcome::New => Ok(Accepted::New(Arc::unwrap_or_clone(new).new.application)),
            Outcome::Accepted(accepted) => Ok(accepted),
            _ => Err(stopped()),
        }
    }

    async fn apply(&self, change: Change) -> Result<Applied, StoreError> {
        let place = self.shares.enter(&change.party).await?;
        match self.shed(place, Request::Apply(Box::new(change))).await? {
            Outcome::Applied(applied) => Ok(applied),
            _ => Err(stopped()),
        }
    }

    async fn record(&self, entry: Entry) -> Result<(), StoreError> {
        let place = self.shares.enter(&entry.party).await?;
        self.shed(place, Request::Record(entry.leaf())).await.map(drop)
    }

    async fn lease(&self, party: &str, limit: usize, until: i64) -> Result<Vec<Lease>, StoreError> {
        let terms = (limit, until.saturating_sub(clock::now_micros()));
        let mut held = self.pool.take().await?;
        let longest = self.longest_wait;
        let leases = outbox::lease(&mut held.connection, &self.vault, party, terms, longest);
        let leases = in_time(leases).await;
        held.keep(leases)
    }

    async fn settle(&self, lease: Lease, settlement: Settlement) -> Result<(), StoreError> {
        self.wait(Request::Settle(Box::new(lease), settlement)).await.map(drop)
    }

    async fn strike(&self, now: i64, limit: usize) -> Result<usize, StoreError> {
        self.count(Request::Strike(now, limit)).await
    }

    async fn revive(&self, deliveries: Vec<i64>) -> Result<usize, StoreError> {
        self.count(Request::ByHand(ByHand::Revive, deliveries)).await
    }

    async fn resend(&self, deliveries: Vec<i64>) -> Result<usize, StoreError> {
        self.count(Request::ByHand(ByHand::Resend, deliveries)).await
    }

    async fn discard(&self, deliveries: Vec<i64>, reason: Reason) -> Result<usize, StoreError> {
        self.count(Request::ByHand(ByHand::Discard(reason), deliveries)).await
    }

    async fn recall(&self, key: &IdempotencyKey) -> Result<Option<Recalled>, StoreError> {
        let mut held = self.pool.take().await?;
        let first = in_time(read::recall(&mut held.connection, &self.vault, key)).await;
        held.keep(first)
    }

    async fn forget(&self, before: i64) -> Result<usize, StoreError> {
        let mut held = self.pool.take().await?;
        let count = in_time(read::forget(&mut held.connection, before)).await;
        held.keep(count)
    }

    async fn purge(&self, before: i64, limit: usize) -> Result<usize, StoreError> {
        let mut held = self.pool.take().await?;
        let count = in_time(retention::purge(&mut held.connection, before, limit)).await;
        if count.is_err() {
            // What was begun ends with the connection.
            drop(held);
            return count;
        }
        held.keep(count)
    }

    async fn expired(&self, before: i64) -> Result<Expired, StoreError> {
        let mut held = self.pool.take().await?;
        let expired = in_time(retention::expired(&mut held.connection, before)).await;
        held.keep(expired)
    }

    async fn header(&self, id: Uuid) -> Result<Option<Header>, StoreError> {
        let mut held = self.pool.take().await?;
        let header = in_time(read::header(&mut held.connection, id)).await;
        held.keep(header)
    }

    async fn application(&self, id: Uuid) -> Result<Option<pb::Application>, StoreError> {
        let mut held = self.pool.take().await?;
        let application = in_time(read::application(&mut held.connection, &self.vault, id)).await;
        held.keep(application)
    }

    async fn list(&self, f: Filter) -> Result<(Vec<pb::Application>, Option<i64>), StoreError> {
        let mut held = self.pool.take().await?;
        let page = in_time(read::list(&mut held.connection, &self.vault, &f)).await;
        held.keep(page)
    }

    async fn events(&self, id: Uuid) -> Result<Vec<pb::ApplicationEvent>, StoreError> {
        let mut held = self.pool.take().await?;
        let events = in_time(read::events(&mut held.connection, &self.vault, id)).await;
        held.keep(events)
    }

    async fn events_after(
        &self,
        party: &str,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<pb::ApplicationEvent>, i64), StoreError> {
        let mut held = self.pool.take().await?;
        let window = (after, limit);
        let page = read::events_after(&mut held.connection, &self.vault, party, window);
        let page = in_time(page).await;
        held.keep(page)
    }

    async fn parked(&self) -> Result<Vec<ParkedDelivery>, StoreError> {
        let mut held = self.pool.take().await?;
        let parked = in_time(read::parked(&mut held.connection)).await;
        held.keep(parked)
    }

    async fn exchanged(
        &self,
        party: &str,
        from: i64,
        until: i64,
    ) -> Result<Vec<Exchanged>, StoreError> {
        let mut held = self.pool.take().await?;
        let rows = in_time(read::exchanged(&mut held.connection, party, from..until)).await;
        held.keep(rows)
    }

    async fn sent(
        &self,
        party: &str,
        numbers: BTreeSet<String>,
    ) -> Result<Vec<Exchanged>, StoreError> {
        let mut held = self.pool.take().await?;
        let rows = in_time(read::sent(&mut held.connection, party, &numbers)).await;
        held.keep(rows)
    }

    async fn submitted(&self, party: &str, from: i64, until: i64) -> Result<Vec<Uuid>, StoreError> {
        let mut held = self.pool.take().await?;
        let ids = in_time(read::submitted(&mut held.connection, party, from..until)).await;
        held.keep(ids)
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        let mut held = self.pool.take().await?;
        let totals = in_time(read::totals(&mut held.connection)).await;
        held.keep(totals)
    }

    fn changes(&self) -> watch::Receiver<i64> {
        self.news.changed.subscribe()
    }

    fn digest(&self, text: &str) -> [u8; 16] {
        self.vault.digest(text)
    }
}
