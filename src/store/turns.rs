//! Turns of the parties before the readers. What reads serves who comes first, so only a few reads
//! of a party are before it at once; its others wait apart, in nobody's way, as in `shares` its
//! writes do. A read whose turn does not come is refused. How many may wait is bounded by the
//! party's calls in progress.

use std::{collections::BTreeMap, time::Duration};

use tokio::{sync::Semaphore, time::timeout};

use crate::{
    store::StoreError,
    telemetry::load::{self, Full},
};

/// How much a read may get in the way of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One row, by its key.
    Row,
    /// Many rows.
    Rows,
    /// The next page of a watch: there are as many as there are watches, and they wait.
    Page,
}

impl Reach {
    /// Longest that such a read waits for its turn; before a watch nobody sits.
    pub(super) const fn patience(self) -> Duration {
        match self {
            Self::Row | Self::Rows => Duration::from_secs(2),
            Self::Page => Duration::from_secs(60),
        }
    }
}

/// Whose turn it is to read, of each party.
pub struct Turns(BTreeMap<String, Party>);

struct Party {
    rows: Semaphore,
    pages: Semaphore,
}

impl Turns {
    /// Nobody reads.
    pub fn new<'a>(parties: impl Iterator<Item = &'a str>) -> Self {
        let party = || Party { rows: Semaphore::new(ROWS), pages: Semaphore::new(PAGES) };
        Self(parties.map(|code| (code.to_owned(), party())).collect())
    }

    /// Reads once it is the party's turn; who is no party reads nothing that would need one.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when the turn does not come; the read's.
    pub async fn read<T>(
        &self,
        party: &str,
        reach: Reach,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let Some(turns) = self.0.get(party) else { return read.await };
        let turns = match reach {
            Reach::Row => &turns.rows,
            Reach::Rows | Reach::Page => &turns.pages,
        };
        // Never closed; given back with the read's end, or the caller's.
        let Ok(_turn) = timeout(reach.patience(), turns.acquire()).await else {
            load::count_shed(party, Full::StoreReads);
            return Err(StoreError::Overloaded);
        };
        read.await
    }
}

/// Reads of a party before the readers at once, of one row and of many: enough to keep the embedded
/// store's four readers busy, and fewer than the connections to PostgreSQL.
const ROWS: usize = 4;
const PAGES: usize = 2;

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Arc};

    use futures::FutureExt as _;

    use super::*;

    async fn done() -> Result<(), StoreError> {
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_reads_leaves_the_readers_to_others_and_is_refused_in_time() {
        let turns = Arc::new(Turns::new(["44", "23"].into_iter()));
        let flood = [Reach::Row, Reach::Rows, Reach::Page].map(|reach| {
            let one = || turns.read("44", reach, pending::<Result<(), StoreError>>()).boxed();
            (0..10).map(|_| one()).collect::<Vec<_>>()
        });
        let mut flood: Vec<_> = flood.into_iter().flatten().collect();
        for one in &mut flood {
            assert!(one.now_or_never().is_none());
        }
        let own = &turns.0["44"];
        assert_eq!((own.rows.available_permits(), own.pages.available_permits()), (0, 0));
        for reach in [Reach::Row, Reach::Rows, Reach::Page] {
            turns.read("23", reach, done()).now_or_never().unwrap().unwrap();
            assert!(turns.read("44", reach, done()).now_or_never().is_none(), "{reach:?}");
        }
        let late = turns.read("44", Reach::Row, done()).await;
        assert!(matches!(late, Err(StoreError::Overloaded)), "{late:?}");
        // Who has gone away gives its turn back.
        drop(flood);
        turns.read("44", Reach::Row, done()).now_or_never().unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_of_a_party_reads_when_one_is_done() {
        let turns = Turns::new(["44"].into_iter());
        let reading: Vec<_> = (0..PAGES).map(|_| tokio::sync::oneshot::channel::<()>()).collect();
        let (ends, reads): (Vec<_>, Vec<_>) = reading.into_iter().unzip();
        let mut reads: Vec<_> = reads
            .into_iter()
            .map(|end| turns.read("44", Reach::Rows, end.map(|_| Ok(()))).boxed())
            .collect();
        for read in &mut reads {
            assert!(read.now_or_never().is_none());
        }
        let mut next = turns.read("44", Reach::Page, done()).boxed();
        assert!((&mut next).now_or_never().is_none());
        drop(ends);
        futures::future::join_all(reads).await;
        assert!((&mut next).now_or_never().unwrap().is_ok());
    }
}
