//! The embedded store without threads, for simulations: the writer is a task, reads run where they
//! are asked for, and a played disk says how long each takes and how it ends. Test-only.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use rusqlite::{Connection, Transaction};
use tokio::sync::watch;

use crate::store::{
    Sqlite, StoreError, Terms,
    sqlite::{planted::Bug, readers::Readers},
    vault::Vault,
};

/// A played disk.
#[async_trait]
pub(crate) trait Disk: Send + Sync {
    /// Lasts as long as a read; for ever when the process is dead.
    async fn read(&self) -> Result<(), StoreError>;
    /// Lasts as long as a commit; for ever when the process is dead.
    async fn write(&self);
    /// How the commit ends.
    fn fate(&self) -> Fate;
    /// The commit has ended; nobody has been told.
    fn written(&self);
    /// A bug that the store has.
    fn bug(&self) -> Option<Bug>;
    /// Whether the bug shows now.
    fn shows(&self) -> bool;
}

/// How a commit ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    /// An error, and nothing is done.
    NotDone,
    /// An error, and it is done.
    DoneButFailed,
}

impl Fate {
    pub(super) fn commit(self, transaction: Transaction<'_>) -> rusqlite::Result<()> {
        match self {
            Self::Done => return transaction.commit(),
            Self::NotDone => transaction.rollback()?,
            Self::DoneButFailed => transaction.commit()?,
        }
        Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(10), None))
    }
}

/// What the store has besides when it runs inline.
pub(super) struct Inline {
    pub(super) disk: Arc<dyn Disk>,
    /// One channel for each who listens: those who share one are woken in no certain order.
    listeners: Mutex<Vec<watch::Sender<i64>>>,
}

impl Inline {
    pub(super) async fn read<T>(
        &self,
        readers: &Readers,
        query: impl FnOnce(&Connection, &Vault) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.disk.read().await?;
        readers.here(query)
    }

    pub(super) fn subscribe(&self, last: i64) -> watch::Receiver<i64> {
        let (listener, changes) = watch::channel(last);
        self.listeners.lock().unwrap().push(listener);
        changes
    }

    pub(super) fn tell(&self, news: &mut watch::Receiver<i64>) {
        if news.has_changed().unwrap_or(false) {
            let last = *news.borrow_and_update();
            let mut listeners = self.listeners.lock().unwrap();
            listeners.retain(|listener| listener.send(last).is_ok());
        }
    }
}

impl Sqlite {
    /// Opens the database, which nobody else holds, and runs it on the caller's runtime.
    pub(crate) fn open_inline(
        path: &str,
        (vault, terms): (Vault, Terms),
        disk: Arc<dyn Disk>,
    ) -> Result<Self, String> {
        let (mut store, writer) = Self::build(Path::new(path), vault, 64, (terms, true))?;
        let inline = Arc::new(Inline { disk, listeners: Mutex::default() });
        tokio::spawn(writer.run_inline(Arc::clone(&inline)));
        store.inline = Some(inline);
        Ok(store)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::store::{Store as _, contract, rows::Accepted};

    /// Fails the first commit after it is done.
    struct Once(AtomicBool);

    #[async_trait]
    impl Disk for Once {
        async fn read(&self) -> Result<(), StoreError> {
            Ok(())
        }

        async fn write(&self) {}

        fn fate(&self) -> Fate {
            let first = self.0.swap(false, Ordering::Relaxed);
            if first { Fate::DoneButFailed } else { Fate::Done }
        }

        fn written(&self) {}

        fn bug(&self) -> Option<Bug> {
            None
        }

        fn shows(&self) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn what_a_failed_commit_has_done_is_replayed() {
        let path = format!("file:/{}?vfs=memdb", uuid::Uuid::new_v4().simple());
        let parts = (Vault::new(&[1; 32]).unwrap(), contract::terms());
        let disk = Arc::new(Once(AtomicBool::new(true)));
        let store = Sqlite::open_inline(&path, parts, disk).unwrap();
        assert!(matches!(store.accept(contract::new(1)).await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.accept(contract::new(1)).await, Ok(Accepted::Replayed(_))));
        assert_eq!(store.totals().await.unwrap().leaves, 1);
    }
}
