//! What the store holds in all, for metrics. Plain data.

/// Totals for metrics.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// What each party that ever had a delivery has in its outbox.
    pub outboxes: Vec<Outbox>,
    /// Leaves in the audit log.
    pub leaves: i64,
}

/// What waits for one party.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// The party.
    pub party: String,
    /// Deliveries waiting or leased.
    pub due: i64,
    /// Deliveries parked.
    pub parked: i64,
    /// Age of the oldest that waits, microseconds; 0 when none does.
    pub oldest: i64,
}

impl Totals {
    /// All outboxes in one.
    pub fn outbox(&self) -> Outbox {
        let sum = |pick: fn(&Outbox) -> i64| self.outboxes.iter().map(pick).sum();
        Outbox {
            party: String::new(),
            due: sum(|outbox| outbox.due),
            parked: sum(|outbox| outbox.parked),
            oldest: self.outboxes.iter().map(|outbox| outbox.oldest).max().unwrap_or(0),
        }
    }
}
