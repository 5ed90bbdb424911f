//! Who fills the queue before the writers. New work of a party is let in only while the party has less in
//! the queue than is free: one party alone takes half of it, two take a third each, and there is
//! always room for one that comes new. The writers take what comes in the order of its coming, so
//! only a few of a party are in line at once; its others wait apart, in nobody's way.
//! Accepted work (deliveries, clocks) always gets in line.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    store::StoreError,
    telemetry::load::{self, Full, Level},
};

/// What the queue holds, of each party; what is being written is in it until it is answered.
pub(super) struct Shares {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    total: usize,
    parties: HashMap<Box<str>, Party>,
}

struct Party {
    held: usize,
    turns: Arc<Semaphore>,
}

/// A place in the queue, held until the write is answered.
pub(super) struct Place {
    shares: Arc<Shares>,
    /// Whose it is; none for accepted work.
    party: Option<Box<str>>,
    _turn: Option<OwnedSemaphorePermit>,
    since: Instant,
}

impl Shares {
    /// Nobody in a queue for `capacity`.
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        load::limit(Level::StoreQueue, capacity);
        Arc::new(Self { capacity, state: Mutex::default() })
    }

    /// A place for new work of a party, once it is the party's turn to get in line.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`], at once: the party holds its share already.
    pub(super) async fn enter(self: &Arc<Self>, party: &str) -> Result<Place, StoreError> {
        let turns = self.count(party)?;
        // Given back should the caller not wait for the turn.
        let mut place = self.place(Some(party.into()));
        place._turn = turns.acquire_owned().await.ok();
        Ok(place)
    }

    fn count(&self, party: &str) -> Result<Arc<Semaphore>, StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.capacity.saturating_sub(state.total);
        if state.parties.get(party).map_or(0, |party| party.held) >= free {
            load::count_shed(party, Full::StoreQueue);
            return Err(StoreError::Overloaded);
        }
        state.total += 1;
        let new = || Party { held: 0, turns: Arc::new(Semaphore::new(TURNS)) };
        let own = state.parties.entry(party.into()).or_insert_with(new);
        own.held += 1;
        Ok(Arc::clone(&own.turns))
    }

    /// A place for accepted work.
    pub(super) fn join(self: &Arc<Self>) -> Place {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).total += 1;
        self.place(None)
    }

    fn place(self: &Arc<Self>, party: Option<Box<str>>) -> Place {
        load::change(Level::StoreQueue, 1);
        Place { shares: Arc::clone(self), party, _turn: None, since: Instant::now() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        load::change(Level::StoreQueue, -1);
        load::waited(self.since.elapsed());
        let mut state = self.shares.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.total -= 1;
        if let Some(own) = self.party.as_ref().and_then(|party| state.parties.get_mut(party)) {
            own.held -= 1;
        }
    }
}

/// Writes of a party in line at once. Another party's write waits for no more than these, which
/// are committed together; more of them would make its wait longer, fewer the party's own rate
/// smaller (docs/reliability.md says by how much).
const TURNS: usize = 64;

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    /// A place that is there at once.
    fn enter(shares: &Arc<Shares>, party: &str) -> Option<Place> {
        shares.enter(party).now_or_never().and_then(Result::ok)
    }

    #[test]
    fn one_party_takes_half_two_take_a_third_each_and_a_third_still_gets_in() {
        let shares = Shares::new(12);
        let fill = |party: &str| std::iter::from_fn(|| enter(&shares, party)).collect::<Vec<_>>();
        let first = fill("44");
        assert_eq!(first.len(), 6);
        let second = fill("23");
        assert_eq!(second.len(), 3);
        drop(first);
        let first = fill("44");
        assert_eq!(first.len(), 5, "nine are free: as many as it has");
        assert!(enter(&shares, "national").is_some());
    }

    #[test]
    fn accepted_work_gets_in_line_whatever_waits() {
        let shares = Shares::new(2);
        let one = enter(&shares, "44").unwrap();
        let held: Vec<Place> = (0..5).map(|_| shares.join()).collect();
        assert!(enter(&shares, "23").is_none());
        drop((one, held));
        assert!(enter(&shares, "23").is_some());
    }

    #[test]
    fn only_a_few_of_a_party_are_before_another_s_and_the_next_comes_when_one_is_done() {
        let shares = Shares::new(1000);
        let mut line: Vec<Place> = std::iter::from_fn(|| enter(&shares, "44")).collect();
        assert_eq!(line.len(), TURNS);
        assert!(enter(&shares, "23").is_some());
        let mut next = Box::pin(shares.enter("44"));
        assert!((&mut next).now_or_never().is_none());
        assert_eq!(shares.state.lock().unwrap().parties["44"].held, TURNS + 1);
        drop(line.pop());
        let next = (&mut next).now_or_never().unwrap().ok().unwrap();
        // Who goes away while waiting leaves no place taken.
        assert!(shares.enter("44").now_or_never().is_none());
        assert_eq!(shares.state.lock().unwrap().parties["44"].held, TURNS);
        drop((next, line));
        assert_eq!(shares.state.lock().unwrap().total, 0);
    }
}
