//! Who fills the queue before the writers. New work of a party is let in only while the party has less in
//! the queue than is free: one party alone takes half of it, two take a third each, and there is
//! always room for one that comes new. Accepted work (deliveries, clocks) always gets in line.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

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
    parties: HashMap<Box<str>, usize>,
}

/// A place in the queue, held until the write is answered.
pub(super) struct Place {
    shares: Arc<Shares>,
    /// Whose it is; none for accepted work.
    party: Option<Box<str>>,
    since: Instant,
}

impl Shares {
    /// Nobody in a queue for `capacity`.
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        load::limit(Level::StoreQueue, capacity);
        Arc::new(Self { capacity, state: Mutex::default() })
    }

    /// A place for new work of a party.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`]: the party holds its share already.
    pub(super) fn enter(self: &Arc<Self>, party: &str) -> Result<Place, StoreError> {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let own = state.parties.get(party).copied().unwrap_or(0);
            if own >= self.capacity.saturating_sub(state.total) {
                load::count_shed(party, Full::StoreQueue);
                return Err(StoreError::Overloaded);
            }
            state.total += 1;
            match state.parties.get_mut(party) {
                Some(own) => *own += 1,
                None => _ = state.parties.insert(party.into(), 1),
            }
        }
        Ok(self.place(Some(party.into())))
    }

    /// A place for accepted work.
    pub(super) fn join(self: &Arc<Self>) -> Place {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).total += 1;
        self.place(None)
    }

    fn place(self: &Arc<Self>, party: Option<Box<str>>) -> Place {
        load::change(Level::StoreQueue, 1);
        Place { shares: Arc::clone(self), party, since: Instant::now() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        load::change(Level::StoreQueue, -1);
        load::waited(self.since.elapsed());
        let mut state = self.shares.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.total -= 1;
        if let Some(own) = self.party.as_ref().and_then(|party| state.parties.get_mut(party)) {
            *own -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_party_takes_half_two_take_a_third_each_and_a_third_still_gets_in() {
        let shares = Shares::new(12);
        let fill =
            |party: &str| std::iter::from_fn(|| shares.enter(party).ok()).collect::<Vec<_>>();
        let first = fill("44");
        assert_eq!(first.len(), 6);
        let second = fill("23");
        assert_eq!(second.len(), 3);
        drop(first);
        let first = fill("44");
        assert_eq!(first.len(), 5, "nine are free: as many as it has");
        assert!(shares.enter("national").is_ok());
    }

    #[test]
    fn accepted_work_gets_in_line_whatever_waits() {
        let shares = Shares::new(2);
        let one = shares.enter("44").unwrap();
        let held: Vec<Place> = (0..5).map(|_| shares.join()).collect();
        assert!(shares.enter("23").is_err());
        drop((one, held));
        assert!(shares.enter("23").is_ok());
    }
}
