//! The steps of the way at which a test makes the gateway fail (故障点): an error before or after
//! the step, a step slower than its deadline, SIGKILL, a wall clock that jumps. A release build
//! compiles none of it. Depends on nothing.

#[cfg(debug_assertions)]
mod armed;
#[cfg(not(debug_assertions))]
mod unarmed;

#[cfg(debug_assertions)]
pub(crate) use armed::{at, at_blocking, clock_shift};
#[cfg(not(debug_assertions))]
pub(crate) use unarmed::{at, at_blocking, clock_shift};

/// A step of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Intake hands a new application, or a change of one, to the store.
    Accept,
    /// The store commits a transaction.
    Commit,
    /// Dispatch leases what is due.
    Lease,
    /// A message is written and sealed.
    Seal,
    /// A message goes to its receiver.
    Send,
    /// The receiver's answer is read.
    Read,
    /// Dispatch settles a lease.
    Settle,
    /// Those who wait are told that there is news.
    Notify,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unarmed_step_does_its_work() {
        assert_eq!(at(Step::Seal, |text| text, async { Ok(1) }).await, Ok(1));
        assert_eq!(at_blocking(Step::Notify, |text| text, || Ok(1)), Ok(1));
    }
}
