//! Stub until the clocks land.
use crate::model::{
    calendar::Calendar,
    pb::{self, Deadline, EventType, State},
};

/// Stub.
pub struct Limit;

/// Stub.
pub struct Strike {
    /// Event.
    pub event: EventType,
    /// Deadline.
    pub deadline: Deadline,
}

/// Stub.
pub fn begin(_: &[Limit], _: &pb::Application, _: i64, _: &Calendar) -> Vec<Deadline> {
    Vec::new()
}

/// Stub.
pub fn advance(_: &[Limit], _: &mut Vec<Deadline>, _: EventType, _: State, _: i64, _: &Calendar) {}

/// Stub.
pub fn wake(_: &[Deadline]) -> Option<i64> {
    None
}

/// Stub.
pub fn strike(
    _: &[Limit],
    _: &mut Vec<Deadline>,
    _: State,
    _: i64,
    _: &Calendar,
) -> Option<Strike> {
    None
}

/// Stub.
pub fn shown(deadlines: &[Deadline], _: i64, _: &Calendar) -> Vec<Deadline> {
    deadlines.to_vec()
}
