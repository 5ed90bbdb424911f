//! Stub until the calendar lands.
use std::path::Path;

use crate::model::fault::Fault;

/// Stub.
#[derive(Debug, Default)]
pub struct Calendar;

impl Calendar {
    /// Stub.
    ///
    /// # Errors
    /// None.
    pub fn load(_folder: &Path) -> Result<Self, Vec<Fault>> {
        Ok(Self)
    }
}
