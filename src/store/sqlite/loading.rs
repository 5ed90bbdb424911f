//! Fills the index in memory beside a gateway that already delivers. New work waits until it is
//! filled; a start with a million open applications does not keep those that wait from going out.
//! Depends on the index and its database.

use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock, mpsc},
    thread,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::watch;

use crate::store::sqlite::index::Index;

/// Whether the index is filled.
pub(super) struct Loading(watch::Receiver<bool>);

impl Loading {
    /// Of a store beside which another one accepts: nothing is looked up in it.
    pub(super) fn none() -> Self {
        Self(watch::channel(true).1)
    }

    /// Begins to fill it. Whoever needs it before it is filled waits for its lock: the writer for
    /// what it has committed to be added, and that is then not missing, whether or not it was read.
    ///
    /// # Errors
    /// In words for the operator: the database cannot be read, or there is no thread.
    pub(super) fn begin(path: &Path, index: &Arc<RwLock<Index>>) -> Result<Self, String> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let open = || {
            Connection::open_with_flags(path, flags)
                .map_err(|error| format!("{}: {error}", path.display()))
        };
        let mut connections = [open()?, open()?];
        let (filled, loading) = watch::channel(false);
        let (tell, told) = mpsc::channel();
        let index = Arc::clone(index);
        let fill = move || {
            let mut index = index.write().unwrap_or_else(PoisonError::into_inner);
            _ = tell.send(()); // Locked.
            fill(&mut index, &mut connections, &filled);
            drop(index);
            _ = filled.send(true);
            _ = tell.send(());
        };
        thread::Builder::new()
            .name("store-index".into())
            .spawn(fill)
            .map_err(|error| format!("cannot start a thread for the store's index: {error}"))?;
        // A small store is ready when it is open.
        if told.recv().is_ok() {
            _ = told.recv_timeout(AT_ONCE);
        }
        Ok(Self(loading))
    }

    /// Waits until it is filled.
    pub(super) async fn ended(&self) {
        if !*self.0.borrow() {
            // An error says that nobody fills it any more; then it is filled.
            _ = self.0.clone().wait_for(|filled| *filled).await;
        }
    }
}

/// Tries until it succeeds or the store is closed: without it a key could be taken twice.
fn fill(index: &mut Index, connections: &mut [Connection; 2], filled: &watch::Sender<bool>) {
    while !filled.is_closed() {
        match Index::load(connections) {
            Ok(loaded) => return *index = loaded,
            Err(error) => tracing::error!(%error, "the store's index cannot be read; trying again"),
        }
        thread::sleep(AGAIN);
    }
}

/// So long an opening waits for the index of a small store.
const AT_ONCE: Duration = Duration::from_millis(100);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(1);
