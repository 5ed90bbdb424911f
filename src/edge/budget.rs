//! Bytes of bodies in memory at once, of all parties together: what bounds memory whatever they
//! send. A call takes what its body holds, as it comes in, and gives it back when its answer has
//! gone. No party takes the last: it may hold seven times what it leaves free, so that there is room
//! for one that comes new. Who finds too little left is refused, and the rest of its body is poured
//! away for a moment, since many clients lose an answer that comes before they have sent everything.

use std::{
    collections::HashMap,
    error::Error,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Limited;
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::{
    edge::problem,
    model::{
        problem::{Problem, Reason},
        trace::TraceContext,
    },
    telemetry::load::{self, Full, Level},
};

/// What all calls together may hold.
pub(super) struct Budget(Mutex<State>);

struct State {
    free: usize,
    /// What each party holds.
    parties: HashMap<String, usize>,
}

/// What one call holds; given back when dropped.
pub(super) struct Reservation {
    budget: Arc<Budget>,
    party: String,
    bytes: Mutex<usize>,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        load::limit(Level::BodyBytes, bytes);
        Arc::new(Self(Mutex::new(State { free: bytes, parties: HashMap::new() })))
    }

    /// For a call that holds nothing yet.
    pub(super) fn open(self: &Arc<Self>, party: &str) -> Arc<Reservation> {
        let (budget, party) = (Arc::clone(self), party.to_owned());
        Arc::new(Reservation { budget, party, bytes: Mutex::new(0) })
    }

    fn take(&self, party: &str, bytes: usize) -> Option<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = state.free.checked_sub(bytes)?;
        let own = state.parties.get(party).copied().unwrap_or(0);
        if own + bytes > left.saturating_mul(SHARE) {
            return None;
        }
        state.free = left;
        *state.parties.entry(party.to_owned()).or_default() += bytes;
        Some(())
    }

    fn give_back(&self, party: &str, bytes: usize) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.free += bytes;
        if let Some(own) = state.parties.get_mut(party) {
            *own -= bytes;
        }
    }
}

impl Reservation {
    /// Takes so many bytes more.
    ///
    /// # Errors
    /// `OVERLOADED`: so many are not left for the party.
    pub(super) fn take(&self, bytes: usize) -> Result<(), Problem> {
        if bytes == 0 {
            return Ok(());
        }
        if self.budget.take(&self.party, bytes).is_none() {
            load::count_shed(&self.party, Full::BodyBytes);
            return Err(overfull());
        }
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) += bytes;
        load::change(Level::BodyBytes, signed(bytes));
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut().unwrap_or_else(PoisonError::into_inner);
        if bytes > 0 {
            self.budget.give_back(&self.party, bytes);
            load::change(Level::BodyBytes, -signed(bytes));
        }
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A request body that takes from the budget what it brings.
pub(super) struct Counted {
    body: Limited<Incoming>,
    reservation: Arc<Reservation>,
    trace: TraceContext,
    /// Taken already, because the caller said how long the body is.
    ahead: usize,
    /// Why it is poured away, and until when.
    refused: Option<(Problem, Pin<Box<Sleep>>)>,
}

impl Counted {
    /// Takes at once what the body says it will bring.
    pub(super) fn new(
        body: Limited<Incoming>,
        reservation: Arc<Reservation>,
        trace: TraceContext,
    ) -> Self {
        let ahead = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        let refused = reservation.take(ahead).err().map(pouring);
        Self { body, reservation, trace, ahead, refused }
    }

    fn count(&mut self, length: usize) {
        let more = length.saturating_sub(self.ahead);
        self.ahead = self.ahead.saturating_sub(length);
        if more > 0 {
            self.refused = self.reservation.take(more).err().map(pouring);
        }
    }
}

fn pouring(problem: Problem) -> (Problem, Pin<Box<Sleep>>) {
    (problem, Box::pin(tokio::time::sleep(POURING)))
}

impl Body for Counted {
    type Data = Bytes;
    /// A [`tonic::Status`] when the budget refused it.
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            if let Some((problem, end)) = &mut self.refused {
                let problem = problem.clone();
                let over = end.as_mut().poll(context).is_ready();
                let poured = Pin::new(&mut self.body).poll_frame(context);
                if !over && matches!(poured, Poll::Ready(Some(Ok(_)))) {
                    continue;
                }
                if !over && poured.is_pending() {
                    return Poll::Pending;
                }
                let status = problem::to_status(&problem, &self.trace);
                return Poll::Ready(Some(Err(Box::new(status))));
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                other => return Poll::Ready(other),
            };
            self.count(frame.data_ref().map_or(0, Bytes::len));
            if self.refused.is_none() {
                return Poll::Ready(Some(Ok(frame)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.refused.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The refusal for want of budget.
pub(super) fn overfull() -> Problem {
    let detail = "the gateway holds as much as it may; send it again later, and materials by \
                  reference";
    Problem::new(Reason::Overloaded, detail).retry_after(LATER)
}

/// How many times what it leaves free a party may hold: of the default, one alone leaves 16 MiB, as
/// much as the greatest body.
const SHARE: usize = 7;
/// When to try again.
const LATER: Duration = Duration::from_secs(1);
/// How long a refused body is read and thrown away before the answer; overload must be told soon.
const POURING: Duration = Duration::from_millis(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back_and_too_much_is_refused() {
        let budget = Budget::new(100);
        let first = budget.open("44");
        first.take(50).unwrap();
        first.take(30).unwrap();
        let second = budget.open("23");
        let refused = second.take(21).unwrap_err();
        assert_eq!(refused.reason, Reason::Overloaded);
        assert!(refused.retry_after.is_some());
        second.take(17).unwrap();
        drop(first);
        second.take(70).unwrap();
        assert!(second.take(1).is_err());
        drop(second);
        assert_eq!(budget.0.lock().unwrap().free, 100);
    }

    #[test]
    fn however_much_a_party_sends_another_s_first_body_finds_room() {
        let budget = Budget::new(800);
        let calls: Vec<_> = (0..800).map(|_| budget.open("44")).collect();
        let taken = calls.iter().filter(|call| call.take(1).is_ok()).count();
        assert_eq!(taken, 700);
        budget.open("23").take(80).unwrap();
    }
}
