//! What one party may have at once and a second. Depends on config and tokio's clock only.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    config::Limits,
    model::problem::{Problem, Reason},
    telemetry::load::{self, Counted, Full, Gauge, PartyLevel},
};

/// The limits of one party, shared by its connections.
pub(super) struct PartyLimits {
    party: String,
    connections: Counter,
    calls: Counter,
    turns: Semaphore,
    rate: Option<Bucket>,
}

/// A number of places, and how many are taken.
struct Counter {
    places: Arc<Semaphore>,
    taken: Gauge,
}

/// A place that is taken until this is dropped.
pub(super) struct Taken {
    _place: OwnedSemaphorePermit,
    _counted: Counted,
}

impl Counter {
    fn new(places: usize, level: PartyLevel, party: &str) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), taken: load::of_party(level, party) }
    }

    fn take(&self) -> Option<Taken> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Taken { _place: place, _counted: self.taken.count() })
    }
}

impl PartyLimits {
    /// A party's limits, with nothing used yet.
    pub(super) fn new(party: &str, limits: &Limits) -> Self {
        let rate = limits.rate_per_second;
        let connections = limits.connections_per_party;
        Self {
            party: party.to_owned(),
            connections: Counter::new(connections, PartyLevel::Connections, party),
            calls: Counter::new(limits.calls_per_party, PartyLevel::Calls, party),
            turns: Semaphore::new(TURNS),
            rate: (rate > 0).then(|| Bucket::new(rate)),
        }
    }

    /// Lets one connection in; `None` when the party has as many as it may.
    pub(super) fn connect(&self) -> Option<Taken> {
        let taken = self.connections.take();
        if taken.is_none() {
            load::count_shed(&self.party, Full::Connections);
        }
        taken
    }

    /// Lets one call in; it counts until what is returned is dropped.
    ///
    /// # Errors
    /// `RATE_LIMITED` with the time to wait.
    pub(super) fn enter(&self) -> Result<Taken, Problem> {
        let taken = self.calls.take().ok_or_else(|| {
            load::count_shed(&self.party, Full::Calls);
            let detail = "the party has too many calls in progress; wait for answers first";
            Problem::new(Reason::RateLimited, detail).retry_after(Duration::from_secs(1))
        })?;
        if let Some(Err(wait)) = self.rate.as_ref().map(Bucket::take) {
            load::count_shed(&self.party, Full::Rate);
            let detail = "the party calls more often than it may; go on more slowly";
            return Err(Problem::new(Reason::RateLimited, detail).retry_after(wait));
        }
        Ok(taken)
    }

    /// Begins the work of a call that was let in when it is its turn. The turn ends when the call
    /// first has to wait for something; from then on it waits in nobody's way.
    pub(super) async fn begin<T>(&self, work: impl Future<Output = T>) -> T {
        // The semaphore is never closed.
        let mut turn = self.turns.acquire().await.ok();
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            let polled = work.as_mut().poll(context);
            if polled.is_pending() {
                turn = None;
            }
            polled
        })
        .await
    }
}

/// Calls of a party that are at their beginning at once. All that could run stand in one line with the
/// connections, which bring new calls and take refusals out: the shorter, the sooner.
const TURNS: usize = 4;

/// A token bucket that holds one second's calls, kept as the time at which it would be full again
/// (GCRA): one number, no lock, no refilling task.
struct Bucket {
    start: Instant,
    /// Time one call uses up.
    interval: u64,
    /// How far ahead of now the bucket may be drained.
    depth: u64,
    full_at: AtomicU64,
}

impl Bucket {
    fn new(per_second: u32) -> Self {
        let interval = SECOND / u64::from(per_second);
        let depth = SECOND - interval;
        Self { start: Instant::now(), interval, depth, full_at: AtomicU64::new(0) }
    }

    /// Takes one call, or says how long to wait for one.
    fn take(&self) -> Result<(), Duration> {
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let taken = self.full_at.fetch_update(Ordering::AcqRel, Ordering::Acquire, |full_at| {
            let base = full_at.max(now);
            (base - now <= self.depth).then_some(base + self.interval)
        });
        taken.map(|_| ()).map_err(|full_at| {
            Duration::from_nanos(full_at.saturating_sub(now).saturating_sub(self.depth).max(1))
        })
    }
}

const SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_holds_its_calls_and_then_one_at_a_time() {
        let bucket = Bucket::new(10);
        assert_eq!((0..20).filter(|_| bucket.take().is_ok()).count(), 10);
        let wait = bucket.take().unwrap_err();
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        tokio::time::advance(wait).await;
        assert!(bucket.take().is_ok());
        assert!(bucket.take().is_err());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((0..20).filter(|_| bucket.take().is_ok()).count(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_a_second_is_possible() {
        let bucket = Bucket::new(1);
        assert!(bucket.take().is_ok());
        assert!(bucket.take().is_err());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(bucket.take().is_ok());
    }

    #[test]
    fn calls_in_progress_are_counted_until_they_end() {
        let limits = Limits { calls_per_party: 2, ..Limits::default() };
        let party = PartyLimits::new("44", &limits);
        let first = party.enter().unwrap();
        let _second = party.enter().unwrap();
        assert_eq!(party.enter().err().unwrap().reason, Reason::RateLimited);
        drop(first);
        assert!(party.enter().is_ok());
    }

    #[tokio::test]
    async fn a_call_gives_its_turn_away_when_it_has_to_wait() {
        let party = PartyLimits::new("44", &Limits::default());
        let (end, ended) = tokio::sync::watch::channel(false);
        let begun = AtomicU64::new(0);
        let call = || {
            let (mut ended, begun) = (ended.clone(), &begun);
            party.begin(async move {
                begun.fetch_add(1, Ordering::Relaxed);
                ended.wait_for(|ended| *ended).await.is_ok()
            })
        };
        let mut calls = futures::future::join_all((0..TURNS * 3).map(|_| call()));
        assert!((&mut calls).now_or_never().is_none());
        assert_eq!(begun.load(Ordering::Relaxed), TURNS as u64 * 3);
        assert_eq!(party.turns.available_permits(), TURNS);
        end.send(true).unwrap();
        assert!(calls.await.into_iter().all(|ended| ended));
        assert_eq!(party.turns.available_permits(), TURNS);
    }

    #[test]
    fn a_party_has_no_more_connections_than_it_may() {
        let limits = Limits { connections_per_party: 1, ..Limits::default() };
        let (party, other) = (PartyLimits::new("44", &limits), PartyLimits::new("23", &limits));
        let first = party.connect().unwrap();
        assert!(party.connect().is_none());
        assert!(other.connect().is_some());
        drop(first);
        assert!(party.connect().is_some());
    }
}
