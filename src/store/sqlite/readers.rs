//! The readers beside the writer: a few connections and the line before them. Looking up one row
//! may use all of them; what reads through many rows, half of them, so that nobody's long list
//! keeps a submission from its key. The line is bounded and so is the wait in it.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    store::{StoreError, sqlite::stopped, turns::Reach, vault::Vault},
    telemetry::load::{self, Full, Level},
};

/// Readers open at once; each keeps a page cache.
const READERS: usize = 4;

pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    free: Arc<Semaphore>,
    long: Arc<Semaphore>,
    line: Arc<Semaphore>,
    vault: Arc<Vault>,
}

/// Counted while it reads or waits to.
struct InLine(Option<OwnedSemaphorePermit>);

impl Readers {
    /// Opens them; `line` reads may wait.
    pub(super) fn open(path: &Path, vault: Arc<Vault>, line: usize) -> rusqlite::Result<Arc<Self>> {
        let mut idle = Vec::new();
        for _ in 0..READERS {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
                | OpenFlags::SQLITE_OPEN_NO_MUTEX
                | OpenFlags::SQLITE_OPEN_URI;
            let reader = Connection::open_with_flags(path, flags)?;
            reader.busy_timeout(Duration::from_secs(5))?;
            idle.push(reader);
        }
        load::limit(Level::StoreReads, line);
        let [free, long, line] =
            [READERS, READERS / 2, line].map(|count| Arc::new(Semaphore::new(count)));
        Ok(Arc::new(Self { idle: Mutex::new(idle), free, long, line, vault }))
    }

    /// Runs a query on a thread of its own, on a reader of its own.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when the line is full or the turn does not come; the query's.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        reach: Reach,
        query: impl FnOnce(&Connection, &Vault) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let in_line = self.line_up(reach)?;
        let turn = timeout(reach.patience(), self.turn(reach)).await.map_err(|_| shed())?;
        let turn = turn.ok_or_else(stopped)?;
        let readers = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let lock = || readers.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let connection = lock().pop().ok_or_else(stopped)?;
            let outcome = query(&connection, &readers.vault);
            lock().push(connection);
            drop((turn, in_line));
            outcome
        });
        task.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Runs a query on the caller's thread, for simulations.
    #[cfg(test)]
    pub(super) fn here<T>(
        &self,
        query: impl FnOnce(&Connection, &Vault) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        query(idle.last().ok_or_else(stopped)?, &self.vault)
    }

    fn line_up(&self, reach: Reach) -> Result<InLine, StoreError> {
        let place = match reach {
            Reach::Page => None,
            _ => Some(Arc::clone(&self.line).try_acquire_owned().map_err(|_| shed())?),
        };
        load::change(Level::StoreReads, 1);
        Ok(InLine(place))
    }

    async fn turn(
        &self,
        reach: Reach,
    ) -> Option<(Option<OwnedSemaphorePermit>, OwnedSemaphorePermit)> {
        let long = match reach {
            Reach::Row => None,
            Reach::Rows | Reach::Page => Some(Arc::clone(&self.long).acquire_owned().await.ok()?),
        };
        Some((long, Arc::clone(&self.free).acquire_owned().await.ok()?))
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        self.0 = None;
        load::change(Level::StoreReads, -1);
    }
}

fn shed() -> StoreError {
    load::count_shed("", Full::StoreReads);
    StoreError::Overloaded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readers(line: usize) -> Arc<Readers> {
        let vault = Arc::new(Vault::new(&[1; 32]).unwrap());
        // A database in memory may be opened for reading, too.
        Readers::open(Path::new(":memory:"), vault, line).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn long_reads_leave_readers_to_short_ones_and_the_line_has_an_end() {
        let readers = readers(6);
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let stopped = Arc::new(Mutex::new(stopped));
        let long = (0..2).map(|_| {
            let (readers, stopped) = (Arc::clone(&readers), Arc::clone(&stopped));
            tokio::spawn(async move {
                let query = move |_: &Connection, _: &Vault| {
                    _ = stopped.lock().unwrap().recv();
                    Ok(())
                };
                readers.read(Reach::Rows, query).await
            })
        });
        let long: Vec<_> = long.collect();
        while readers.free.available_permits() != READERS - 2 {
            tokio::task::yield_now().await;
        }
        readers.read(Reach::Row, |_, _| Ok(())).await.unwrap();
        // Two read, four wait; the seventh is turned away at once, the four when time is up.
        let waiting = (0..4).map(|_| readers.read(Reach::Rows, |_, _| Ok(())));
        let waiting = futures::future::join_all(waiting);
        let (waited, seventh) = tokio::join!(waiting, async {
            tokio::task::yield_now().await;
            let seventh = readers.read(Reach::Row, |_, _| Ok(())).await;
            tokio::time::advance(Reach::Rows.patience()).await;
            seventh
        });
        assert!(matches!(seventh, Err(StoreError::Overloaded)));
        assert!(waited.iter().all(|one| matches!(one, Err(StoreError::Overloaded))));
        drop(stop);
        for one in long {
            one.await.unwrap().unwrap();
        }
    }
}
