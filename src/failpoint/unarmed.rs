//! What is left of the fault points in a release build: the step's work. Depends on nothing.

use std::future::Future;

use crate::failpoint::Step;

/// Does the step's work.
pub(crate) async fn at<T, E>(
    _: Step,
    _: impl FnOnce(String) -> E,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    work.await
}

/// The same on a thread that may block.
pub(crate) fn at_blocking<T, E>(
    _: Step,
    _: impl FnOnce(String) -> E,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    work()
}

/// How far a test has put the wall clock off, microseconds: never.
pub(crate) const fn clock_shift() -> i64 {
    0
}
