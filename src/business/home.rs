//! What the businesses have in common that are taken in anywhere and decided at home: the limits of
//! the way there and back. Depends on business::clock and model.

use crate::{
    business::clock::{Length, Limit, Start},
    model::pb::{DeadlineKind, EventType, State},
};

/// Sent home within three working days of complete papers.
pub(super) const fn forward(source: &'static str) -> Limit {
    Limit {
        kind: DeadlineKind::Forward,
        length: Length::WorkingDays(3),
        starts: Start::Complete,
        stops: &[EventType::ApplicationForwarded, EventType::ApplicationAccepted],
        pauses: false,
        passing: None,
        source,
    }
}

/// Decided within so many working days of its arrival; papers that are missing stop the count.
pub(super) const fn decision(days: u16, source: &'static str) -> Limit {
    Limit {
        kind: DeadlineKind::Decision,
        length: Length::WorkingDays(days),
        starts: Start::On(&[EventType::ApplicationForwarded, EventType::ApplicationAccepted]),
        stops: &[EventType::DecisionMade],
        pauses: true,
        passing: None,
        source,
    }
}

/// Papers that were asked for (补正) come within 30 days, or the application expires.
pub(super) const SUPPLEMENT: Limit = Limit {
    kind: DeadlineKind::Supplement,
    length: Length::Days(30),
    starts: Start::On(&[EventType::SupplementRequested]),
    stops: &[EventType::SupplementSubmitted],
    pauses: false,
    passing: Some((State::SupplementRequired, EventType::ApplicationExpired)),
    source: "逾期未补正视为放弃，可重新申请 [P]",
};

/// The accepting side knows the decision within three working days.
pub(super) const fn notice(source: &'static str) -> Limit {
    Limit {
        kind: DeadlineKind::Notice,
        length: Length::WorkingDays(3),
        starts: Start::On(&[EventType::DecisionMade]),
        stops: &[EventType::DecisionDelivered],
        pauses: false,
        passing: None,
        source,
    }
}
