//! The writers: tasks that each take what waits, run it as one transaction on a connection of their
//! own, and answer after the commit. A transaction that met another one is run again; when that
//! does not help, request by request, so that a bad one fails alone. Knows no rule of the business.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, Notify, mpsc, oneshot, watch},
    time::{Instant, sleep, timeout},
};

use crate::{
    audit::Leaf,
    failpoint::{self, Step},
    store::{
        StoreError, Terms,
        by_hand::ByHand,
        postgres::{
            connection::{Address, Connection, Trouble},
            decide::{self, Stop},
            flush,
            loaded::Loaded,
            writes::Writes,
        },
        record::Prepared,
        rows::{Accepted, Applied, Change, Lease, Settlement},
        shares::Place,
        take,
        vault::Vault,
    },
};

/// Most requests in one transaction.
const BATCH: usize = 512;
/// How often a transaction that met another one is run again.
const AGAIN: u32 = 8;
/// How often a batch may turn out to need something more.
const MORE: usize = 64;
/// Longest that a transaction may take.
const DEADLINE: Duration = Duration::from_secs(15);
/// How long requests wait for the database to be reached again.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long between attempts to reach it.
const RETRY: Duration = Duration::from_millis(100);

/// One write.
pub(super) enum Request {
    Accept(Arc<Prepared>),
    Apply(Box<Change>),
    Record(Leaf),
    Settle(Box<Lease>, Settlement),
    Strike(i64, usize),
    ByHand(ByHand, Vec<i64>),
}

/// What became of it.
pub(super) enum Outcome {
    /// An application was taken in; who asked has it.
    New,
    Accepted(Accepted),
    Applied(Applied),
    Done,
    Count(usize),
}

/// A write and who waits for it.
pub(super) struct Item {
    pub(super) request: Request,
    pub(super) reply: oneshot::Sender<Result<Outcome, StoreError>>,
    pub(super) _place: Place,
}

impl Item {
    fn answer(self, outcome: Result<Outcome, StoreError>) {
        // The asker may still hold the application, to answer with; it goes first.
        drop(self.request);
        // A caller that has gone away asks again with its key.
        _ = self.reply.send(outcome);
    }

    /// Whether it locks applications out of the order in which others lock them.
    const fn is_alone(&self) -> bool {
        matches!(self.request, Request::Strike(..) | Request::ByHand(..))
    }
}

/// Where the number of the last event is told.
#[derive(Clone)]
pub(super) struct News {
    pub(super) changed: Arc<watch::Sender<i64>>,
    /// Something is to be told to the other gateways.
    pub(super) tell: Arc<Notify>,
}

impl News {
    /// Wakes who waits; `last` is the number of an event that is committed.
    pub(super) fn wake(&self, last: Option<i64>) {
        self.changed.send_modify(|known| *known = last.unwrap_or(0).max(*known));
    }
}

/// One writer.
pub(super) struct Writer {
    pub(super) address: Arc<Address>,
    pub(super) queue: Arc<Mutex<mpsc::Receiver<Item>>>,
    pub(super) news: News,
    pub(super) vault: Arc<Vault>,
    pub(super) terms: Terms,
    pub(super) connection: Option<Connection>,
}

/// Why a transaction was not committed.
enum Failure {
    /// Run it again.
    Again(String),
    /// One request fails; without it the others can be run.
    One(usize, StoreError),
    /// Nothing is known of it, or the database refuses.
    All(StoreError),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            // Nothing was committed yet: a new connection may do.
            Trouble::Again(text) | Trouble::Lost(text) => Self::Again(text),
            Trouble::Other(error) => Self::All(error),
        }
    }
}

impl Writer {
    /// Runs until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        loop {
            let batch = self.gather().await;
            if batch.is_empty() {
                return;
            }
            let (alone, together): (Vec<_>, Vec<_>) = batch.into_iter().partition(Item::is_alone);
            if !together.is_empty() {
                self.write(together).await;
            }
            for item in alone {
                self.write(vec![item]).await;
            }
        }
    }

    /// What waits, at least one; nothing once the queue is closed.
    async fn gather(&self) -> Vec<Item> {
        let mut queue = self.queue.lock().await;
        let mut batch = Vec::new();
        queue.recv_many(&mut batch, BATCH).await;
        batch
    }

    async fn write(&mut self, mut items: Vec<Item>) {
        let mut last = String::new();
        for attempt in 0..AGAIN {
            match self.attempt(&items).await {
                Ok((outcomes, writes, event)) => {
                    return self.committed(items, outcomes, writes, event).await;
                }
                Err(Failure::One(at, error)) => {
                    items.remove(at).answer(Err(error));
                    if items.is_empty() {
                        return;
                    }
                }
                Err(Failure::All(error)) => return refuse(items, &error),
                Err(Failure::Again(why)) => {
                    tracing::debug!(attempt, why, "a transaction is run again");
                    sleep(jitter(attempt)).await;
                    last = why;
                }
            }
        }
        if items.len() == 1 {
            return refuse(items, &StoreError::Unavailable(last));
        }
        tracing::warn!(requests = items.len(), why = last, "a batch is written one by one");
        for item in items {
            Box::pin(self.write(vec![item])).await;
        }
    }

    async fn committed(
        &self,
        items: Vec<Item>,
        outcomes: Vec<Outcome>,
        writes: Writes,
        event: Option<i64>,
    ) {
        // A lease is no news: who looks for work would wake itself, without end.
        let tell = async {
            if writes.news {
                self.news.wake(event);
                self.news.tell.notify_one();
            }
            Ok(())
        };
        failpoint::at(Step::Notify, drop, tell).await.unwrap_or_default();
        for (row, said) in &writes.said {
            take::tell(row, said);
        }
        for (item, outcome) in items.into_iter().zip(outcomes) {
            item.answer(Ok(outcome));
        }
    }

    /// Runs the requests as one transaction.
    async fn attempt(
        &mut self,
        items: &[Item],
    ) -> Result<(Vec<Outcome>, Writes, Option<i64>), Failure> {
        let mut connection = self.connected().await?;
        let means = (&*self.vault, &self.terms);
        let work = transact(&mut connection, items, means);
        let outcome = timeout(DEADLINE, work).await.unwrap_or_else(|_| {
            let text = "the database did not answer in time".to_owned();
            Err(Failure::All(StoreError::Unavailable(text)))
        });
        match outcome {
            Ok(done) => {
                self.connection = Some(connection);
                Ok(done)
            }
            Err(failure) => {
                // A transaction that cannot be rolled back ends with its connection.
                let rolled = connection.client.batch_execute("ROLLBACK");
                if matches!(timeout(RETRY, rolled).await, Ok(Ok(()))) {
                    self.connection = Some(connection);
                }
                Err(failure)
            }
        }
    }

    /// The writer's connection, or a new one.
    async fn connected(&mut self) -> Result<Connection, Failure> {
        if let Some(connection) = self.connection.take().filter(|one| !one.is_closed()) {
            return Ok(connection);
        }
        let patience = Instant::now() + PATIENCE;
        loop {
            match connect(&self.address).await {
                Ok(connection) => return Ok(connection),
                Err(trouble) if Instant::now() > patience => {
                    let error = StoreError::from(trouble);
                    tracing::error!(%error, "the database cannot be reached");
                    return Err(Failure::All(error));
                }
                Err(_) => sleep(RETRY).await,
            }
        }
    }
}

/// A connection that knows the statements of a write.
pub(super) async fn connect(address: &Address) -> Result<Connection, Trouble> {
    let mut connection = address.connect(None).await?;
    for sql in flush::ALL {
        connection.prepare(sql).await?;
    }
    Ok(connection)
}

/// Reads, decides, writes and commits.
async fn transact(
    connection: &mut Connection,
    items: &[Item],
    means: (&Vault, &Terms),
) -> Result<(Vec<Outcome>, Writes, Option<i64>), Failure> {
    let mut loaded = Loaded::begin(connection, items).await?;
    for _ in 0..MORE {
        match decide::decide(items, &loaded, means) {
            Ok((outcomes, writes)) => {
                let flushed = flush::flush(connection, &loaded, &writes);
                let event = failpoint::at(Step::Commit, Trouble::Lost, flushed).await;
                let event = event.map_err(|trouble| match trouble {
                    Trouble::Again(text) => Failure::Again(text),
                    // The commit was on its way: it may have happened.
                    Trouble::Lost(text) => Failure::All(StoreError::Unavailable(text)),
                    Trouble::Other(error) => Failure::All(error),
                })?;
                return Ok((outcomes, writes, event));
            }
            Err((_, Stop::Lack(lack))) => loaded.more(connection, items, lack).await?,
            Err((at, Stop::Failed(error))) => return Err(Failure::One(at, error)),
        }
    }
    Err(Failure::Again("what is held changes faster than it can be read".into()))
}

fn refuse(items: Vec<Item>, error: &StoreError) {
    tracing::error!(%error, requests = items.len(), "the store could not commit");
    for item in items {
        item.answer(Err(error.clone()));
    }
}

/// From 1 to 2 times a wait that doubles: two that met should not meet again.
fn jitter(attempt: u32) -> Duration {
    let full = Duration::from_millis(2 << attempt.min(7));
    let chance = f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    full + full.mul_f64(chance)
}
