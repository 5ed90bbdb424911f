//! Personal data (个人信息) that cannot be printed by accident.

use std::fmt;

/// Wraps a value that must not reach a log, span, metric, error or audit entry.
///
/// `Debug` prints `•`; there is no `Display` and no `Serialize`. [`Personal::reveal`] is the one
/// way out and easy to search for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Personal<T>(T);

impl<T> Personal<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, in the clear.
    pub const fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("•")
    }
}
