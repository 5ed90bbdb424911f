//! A circuit breaker: admitting, refusing for a while, then probing with one call. Who is down
//! costs one attempt per probe and not one per call. Depends on nothing.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What the breaker allows now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// As many as there is room for.
    Any,
    /// One, to see whether the party is back.
    Probe,
    /// None before that moment.
    NotBefore(Instant),
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Failures in a row, and when the last of them was seen.
    Admitting {
        failures: u32,
        last: Option<Instant>,
    },
    Refusing {
        until: Instant,
    },
    Probing {
        since: Instant,
    },
}

pub(crate) struct Breaker {
    state: Mutex<State>,
    failures: u32,
    pause: Duration,
    /// A probe whose end nobody reported is given up after that time.
    patience: Duration,
}

impl Breaker {
    /// Opens after so many failures in a row, for `pause`.
    pub(crate) fn new(failures: u32, pause: Duration, patience: Duration) -> Self {
        let state = Mutex::new(State::Admitting { failures: 0, last: None });
        Self { state, failures: failures.max(1), pause, patience }
    }

    /// What may be sent now; a `Probe` is given once and must be reported.
    pub(crate) fn admit(&self, now: Instant) -> Admission {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Admitting { .. } => Admission::Any,
            State::Refusing { until } if now < until => Admission::NotBefore(until),
            State::Probing { since } if now < since + self.patience => {
                Admission::NotBefore(now + self.pause.min(Duration::from_millis(50)))
            }
            State::Refusing { .. } | State::Probing { .. } => {
                *state = State::Probing { since: now };
                Admission::Probe
            }
        }
    }

    /// There was nothing to probe with.
    pub(crate) fn probe_unused(&self, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Probing { .. }) {
            *state = State::Refusing { until: now };
        }
    }

    /// How long nothing may be sent; `None` when something may.
    pub(crate) fn refused_for(&self, now: Instant) -> Option<Duration> {
        match *self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Refusing { until } if now < until => Some(until - now),
            State::Probing { .. } => Some(Duration::from_millis(50).min(self.pause)),
            State::Refusing { .. } | State::Admitting { .. } => None,
        }
    }

    /// The party answered, whatever it said.
    pub(crate) fn succeeded(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State::Admitting { failures: 0, last: None };
    }

    /// The party did not answer, or with a fault of its own; `began` is when the attempt did.
    /// What was in flight together when a connection broke is one failure. Returns whether this
    /// opened the breaker.
    pub(crate) fn failed(&self, began: Instant, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let refusing = State::Refusing { until: now + self.pause };
        let (next, opened) = match *state {
            State::Admitting { last: Some(last), .. } if began < last => return false,
            State::Admitting { failures, .. } if failures + 1 < self.failures => {
                (State::Admitting { failures: failures + 1, last: Some(now) }, false)
            }
            State::Admitting { .. } => (refusing, true),
            State::Probing { .. } => (refusing, false),
            State::Refusing { until } => (State::Refusing { until }, false),
        };
        *state = next;
        opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(3, Duration::from_secs(1), Duration::from_secs(30))
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_after_a_good_probe() {
        let breaker = breaker();
        let start = Instant::now();
        assert!(!breaker.failed(start, start));
        breaker.succeeded();
        assert!(!breaker.failed(start, start));
        assert!(!breaker.failed(start, start));
        assert!(breaker.failed(start, start));
        let later = start + Duration::from_secs(1);
        assert_eq!(breaker.admit(start), Admission::NotBefore(later));
        assert_eq!(breaker.admit(later), Admission::Probe);
        assert!(matches!(breaker.admit(later), Admission::NotBefore(_)));
        breaker.succeeded();
        assert_eq!(breaker.admit(later), Admission::Any);
    }

    #[test]
    fn what_was_in_flight_together_is_one_failure() {
        let breaker = breaker();
        let start = Instant::now();
        let broke = start + Duration::from_millis(5);
        (0..32).for_each(|_| assert!(!breaker.failed(start, broke)));
        assert_eq!(breaker.admit(broke), Admission::Any);
        assert!(!breaker.failed(broke, broke));
        assert!(breaker.failed(broke, broke));
    }

    #[test]
    fn a_failed_or_unused_probe_does_not_close_it() {
        let breaker = breaker();
        let start = Instant::now();
        (0..3).for_each(|_| _ = breaker.failed(start, start));
        let later = start + Duration::from_secs(1);
        assert_eq!(breaker.admit(later), Admission::Probe);
        breaker.failed(later, later);
        assert!(matches!(breaker.admit(later), Admission::NotBefore(_)));
        let last = later + Duration::from_secs(1);
        assert_eq!(breaker.admit(last), Admission::Probe);
        breaker.probe_unused(last);
        assert_eq!(breaker.admit(last), Admission::Probe);
    }
}
