//! The writer thread: takes what waits, runs it in one transaction, commits, and only then
//! answers. A batch is what came in while the last one was being committed, and under load what
//! comes in a moment more.

use std::{
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::Duration,
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

use crate::{
    audit::Leaf,
    failpoint::{self, Step},
    store::{
        StoreError, Terms,
        by_hand::ByHand,
        record::Prepared,
        rows::{Accepted, Applied, Change, Lease, Settlement},
        sqlite::{
            Reply, clocks,
            index::{Index, Overlay},
            outbox, retention, write,
        },
        vault::Vault,
    },
};

/// Most writes in one transaction.
const BATCH: usize = 512;
/// So many writes in the last transaction mean that more are on their way.
const CROWD: usize = 8;
/// How long a batch then waits for them; about twice what a commit takes.
const PAUSE: Duration = Duration::from_micros(250);

/// One write.
pub(super) enum Command {
    Accept(Box<Prepared>, Reply<Accepted>),
    Apply(Box<Change>, Reply<Applied>),
    Record(Leaf, Reply<()>),
    Lease { party: String, limit: usize, until: i64, reply: Reply<Vec<Lease>> },
    Settle(Box<Lease>, Settlement, Reply<()>),
    Strike(i64, usize, Reply<usize>),
    ByHand(ByHand, Vec<i64>, Reply<usize>),
    Forget(i64, Reply<usize>),
    Purge(i64, usize, Reply<usize>),
}

/// What a write needs besides its command.
pub(super) struct Scope<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) index: &'a RwLock<Index>,
    pub(super) overlay: Overlay,
    pub(super) vault: &'a Vault,
    pub(super) terms: &'a Terms,
    /// Number of the last event written.
    pub(super) last_event: i64,
    /// Whether there is something for who waits: an event, or a delivery that may now be due.
    pub(super) news: bool,
}

/// What a committed batch hands on.
struct Committed {
    overlay: Overlay,
    last_event: i64,
    news: bool,
}

/// Sends the answer once the commit has ended: `None` for done, the error for failed.
type Finish = Box<dyn FnOnce(Option<StoreError>) + Send>;

pub(super) struct Writer {
    connection: Connection,
    commands: mpsc::Receiver<Command>,
    changed: watch::Sender<i64>,
    index: Arc<RwLock<Index>>,
    vault: Arc<Vault>,
    terms: Terms,
    /// Where those who wait for answers run; none when the store was opened outside.
    runtime: Option<Handle>,
    /// What a commit that failed would have handed on: it may be done all the same.
    doubt: Option<Committed>,
    #[cfg(test)]
    fate: crate::store::sqlite::inline::Fate,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        commands: mpsc::Receiver<Command>,
        changed: watch::Sender<i64>,
        (index, vault, terms): (Arc<RwLock<Index>>, Arc<Vault>, Terms),
    ) -> Self {
        let runtime = Handle::try_current().ok();
        Self {
            connection,
            commands,
            changed,
            index,
            vault,
            terms,
            runtime,
            doubt: None,
            #[cfg(test)]
            fate: crate::store::sqlite::inline::Fate::Done,
        }
    }

    pub(super) fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut last = 0;
        while let Some(first) = self.commands.blocking_recv() {
            batch.push(first);
            self.gather(&mut batch);
            // A transaction costs the same for one write as for many. Who writes alone is not
            // kept waiting; where many write, a moment's pause makes one commit of several.
            if last >= CROWD && batch.len() < CROWD * 4 {
                thread::sleep(PAUSE);
                self.gather(&mut batch);
            }
            last = batch.len();
            self.commit(batch.drain(..));
        }
    }

    /// As `run`, in a task and on a played disk.
    #[cfg(test)]
    pub(super) async fn run_inline(mut self, inline: Arc<crate::store::sqlite::inline::Inline>) {
        let mut news = self.changed.subscribe();
        let mut batch = Vec::new();
        while let Some(first) = self.commands.recv().await {
            batch.push(first);
            inline.disk.write().await;
            self.gather(&mut batch);
            self.fate = inline.disk.fate();
            let bug = inline.disk.bug();
            if let Some(bug) = bug {
                batch = bug.twisted(batch);
            }
            self.commit(batch.drain(..));
            if let Some(bug) = bug {
                bug.strike(&self.connection, inline.disk.shows());
            }
            inline.tell(&mut news);
            inline.disk.written();
        }
    }

    fn gather(&mut self, batch: &mut Vec<Command>) {
        while batch.len() < BATCH {
            let Ok(next) = self.commands.try_recv() else { return };
            batch.push(next);
        }
    }

    fn commit(&mut self, batch: impl Iterator<Item = Command>) {
        let mut finishes: Vec<Finish> = Vec::new();
        let outcome = self.transact(batch, &mut finishes);
        let failure = match outcome {
            Ok(committed) => {
                self.hand_on(committed);
                None
            }
            Err(error) => {
                tracing::error!(%error, "the store could not commit");
                Some(error)
            }
        };
        let tell = move || finishes.into_iter().for_each(|finish| finish(failure.clone()));
        // One wake for the whole batch, and the next one begins meanwhile: told from this thread,
        // every answer would wake a worker of its own accord.
        match &self.runtime {
            Some(runtime) => drop(runtime.spawn(async { tell() })),
            None => tell(),
        }
    }

    fn hand_on(&self, Committed { overlay, last_event, news }: Committed) {
        // Deliveries change nothing in it, and need not wait until it is filled.
        if !overlay.is_empty() {
            self.index.write().unwrap_or_else(PoisonError::into_inner).merge(overlay);
        }
        self.tell(last_event, news);
    }

    /// Looks whether a commit that failed is done all the same, before the index decides anything:
    /// a key that it lacks would make a second application. It changes by events alone.
    fn resolve(&mut self) -> Result<(), StoreError> {
        let Some(doubt) = &self.doubt else { return Ok(()) };
        let sql = "SELECT coalesce(max(seq), 0) FROM events";
        let last: i64 = self.connection.query_row(sql, [], |row| row.get(0))?;
        let done = doubt.last_event > 0 && doubt.last_event <= last;
        if let Some(committed) = self.doubt.take().filter(|_| done) {
            self.hand_on(committed);
        }
        Ok(())
    }

    /// A lease is no news: who looks for work would wake itself, without end.
    fn tell(&self, last_event: i64, news: bool) {
        let tell = || {
            self.changed.send_if_modified(|last| {
                *last = last_event.max(*last);
                news
            });
            Ok(())
        };
        failpoint::at_blocking(Step::Notify, drop, tell).unwrap_or_default();
    }

    fn transact(
        &mut self,
        batch: impl Iterator<Item = Command>,
        finishes: &mut Vec<Finish>,
    ) -> Result<Committed, StoreError> {
        let began = self.resolve().and_then(|()| {
            let immediate = TransactionBehavior::Immediate;
            Ok(self.connection.transaction_with_behavior(immediate)?)
        });
        let transaction = match began {
            Ok(transaction) => transaction,
            Err(error) => {
                finishes.extend(batch.map(refuse));
                return Err(error);
            }
        };
        let mut scope = Scope {
            transaction: &transaction,
            index: &self.index,
            overlay: Overlay::default(),
            vault: &self.vault,
            terms: &self.terms,
            last_event: 0,
            news: false,
        };
        let mut failed = None;
        for command in batch {
            if failed.is_some() {
                finishes.push(refuse(command));
                continue;
            }
            let (finish, error) = run(&mut scope, command);
            finishes.push(finish);
            failed = error;
        }
        let Scope { overlay, last_event, news, .. } = scope;
        if let Some(error) = failed {
            return Err(error);
        }
        let committed = Committed { overlay, last_event, news };
        let commit = || {
            #[cfg(not(test))]
            let ended = transaction.commit();
            #[cfg(test)]
            let ended = self.fate.commit(transaction);
            ended.map_err(StoreError::from)
        };
        if let Err(error) = failpoint::at_blocking(Step::Commit, StoreError::Unavailable, commit) {
            self.doubt = Some(committed);
            return Err(error);
        }
        Ok(committed)
    }
}

/// Runs one command; the error, if any, fails the whole batch.
fn run(scope: &mut Scope<'_>, command: Command) -> (Finish, Option<StoreError>) {
    match command {
        // The two hot writes go without a savepoint: what fails them is the disk.
        Command::Accept(prepared, reply) => finish(write::accept(scope, *prepared), reply, false),
        Command::Record(leaf, reply) => finish(write::leaf(scope, &leaf), reply, false),
        Command::Apply(change, reply) => apart(scope, reply, |s| write::apply(s, &change)),
        Command::Lease { party, limit, until, reply } => {
            apart(scope, reply, |s| outbox::lease(s, &party, limit, until))
        }
        Command::Settle(lease, settlement, reply) => {
            apart(scope, reply, |s| outbox::settle(s, &lease, &settlement))
        }
        Command::Strike(now, limit, reply) => {
            apart(scope, reply, |s| clocks::strike(s, now, limit))
        }
        Command::ByHand(act, deliveries, reply) => {
            apart(scope, reply, |s| outbox::by_hand(s, &act, &deliveries))
        }
        Command::Forget(before, reply) => apart(scope, reply, |s| write::forget(s, before)),
        Command::Purge(before, limit, reply) => {
            apart(scope, reply, |s| retention::purge(s, before, limit))
        }
    }
}

/// Runs a command within a savepoint, so that a row that does not decode fails it alone.
fn apart<T: Send + 'static>(
    scope: &mut Scope<'_>,
    reply: Reply<T>,
    work: impl FnOnce(&mut Scope<'_>) -> Result<T, StoreError>,
) -> (Finish, Option<StoreError>) {
    let sql = |scope: &Scope<'_>, text: &str| {
        scope.transaction.prepare_cached(text).and_then(|mut statement| statement.execute([]))
    };
    if let Err(error) = sql(scope, "SAVEPOINT one") {
        return finish(Err(error.into()), reply, false);
    }
    match work(scope) {
        Ok(value) => match sql(scope, "RELEASE one") {
            Ok(_) => finish(Ok(value), reply, true),
            Err(error) => finish(Err(error.into()), reply, false),
        },
        Err(error) => match sql(scope, "ROLLBACK TO one").and_then(|_| sql(scope, "RELEASE one")) {
            Ok(_) => finish(Err(error), reply, true),
            Err(worse) => finish(Err(worse.into()), reply, false),
        },
    }
}

fn finish<T: Send + 'static>(
    result: Result<T, StoreError>,
    reply: Reply<T>,
    alone: bool,
) -> (Finish, Option<StoreError>) {
    let error = if alone { None } else { result.as_ref().err().cloned() };
    let finish = Box::new(move |failure: Option<StoreError>| {
        reply.send(failure.map_or(result, Err));
    });
    (finish, error)
}

/// The answer of a command that was never run.
fn refuse(command: Command) -> Finish {
    fn not_run<T: Send + 'static>(reply: Reply<T>) -> Finish {
        let error = StoreError::Unavailable("the batch was not committed".into());
        finish(Err(error), reply, true).0
    }
    match command {
        Command::Accept(_, reply) => not_run(reply),
        Command::Apply(_, reply) => not_run(reply),
        Command::Record(_, reply) | Command::Settle(_, _, reply) => not_run(reply),
        Command::Lease { reply, .. } => not_run(reply),
        Command::ByHand(_, _, reply)
        | Command::Forget(_, reply)
        | Command::Purge(_, _, reply)
        | Command::Strike(_, _, reply) => not_run(reply),
    }
}
