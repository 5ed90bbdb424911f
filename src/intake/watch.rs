//! Watching: a party's events after one it has seen, and as they happen, without loss.

use std::sync::Arc;

use futures::{Stream, stream};
use tokio::sync::watch;

use crate::{
    auth::Caller,
    intake::{Intake, told},
    model::{
        pb,
        problem::{Problem, Violation},
    },
    store::{
        Store,
        turns::{Reach, Turns},
    },
};

/// Most events read from the store at once for a watch.
const WATCH_PAGE: usize = 256;

impl Intake {
    /// The events of the caller's applications after event `after` and as they happen; empty for
    /// only new ones. Ends with an error when the store fails; resume after the last event seen.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when `after` is no event id.
    pub fn watch(
        &self,
        caller: &Caller,
        after: &str,
    ) -> Result<impl Stream<Item = Result<pb::ApplicationEvent, Problem>> + Send + 'static, Problem>
    {
        struct Watch {
            store: Arc<dyn Store>,
            turns: Arc<Turns>,
            party: String,
            cursor: i64,
            changes: watch::Receiver<i64>,
            ready: std::vec::IntoIter<pb::ApplicationEvent>,
        }
        // Subscribe before reading: an event committed in between would otherwise be missed.
        let mut changes = self.store.changes();
        let cursor = match after {
            "" => *changes.borrow_and_update(),
            id => id.parse().map_err(|_| {
                let text = "is no event id; give the id of the last event seen, or 0 for all";
                Problem::violations(vec![Violation::form("afterEvent", text)])
            })?,
        };
        let store = Arc::clone(&self.store);
        let party = caller.party().to_owned();
        let ready = Vec::new().into_iter();
        let turns = Arc::clone(&self.turns);
        let watch = Watch { store, turns, party, cursor, changes, ready };
        Ok(stream::try_unfold(watch, |mut watch| async move {
            loop {
                if let Some(event) = watch.ready.next() {
                    return Ok(Some((event, watch)));
                }
                let last = *watch.changes.borrow_and_update();
                if watch.cursor >= last {
                    if watch.changes.changed().await.is_err() {
                        return Ok(None);
                    }
                    continue;
                }
                let page = watch.store.events_after(&watch.party, watch.cursor, WATCH_PAGE);
                let page = watch.turns.read(&watch.party, Reach::Page, page).await;
                let (events, cursor) = page.map_err(told)?;
                watch.cursor = cursor;
                watch.ready = events.into_iter();
            }
        }))
    }
}
