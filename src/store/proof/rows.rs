//! What [`crate::store::proof::Checker`] takes, a row at a time, and what it tells in the end.

/// A row of the deliveries.
pub struct DeliveryRow {
    /// Its number.
    pub seq: i64,
    /// Message number.
    pub message: [u8; 16],
    /// 0 due, 1 leased, 2 delivered, 3 parked, 4 waits for an earlier one.
    pub state: i64,
}

/// A row of the log.
pub struct LeafRow {
    /// Its place.
    pub position: i64,
    /// Its hash.
    pub hash: Vec<u8>,
    /// Its bytes.
    pub entry: Vec<u8>,
}

/// An event with what its commitment is checked by.
pub struct EventRow {
    /// The application's id.
    pub application: [u8; 16],
    /// Its number within the application.
    pub sequence: i64,
    /// `tongban.v1.EventType`.
    pub r#type: i32,
    /// `tongban.v1.State` after it.
    pub state: i32,
    /// Who caused it.
    pub party: String,
    /// When, microseconds UTC.
    pub time: i64,
    /// Sealed: what it brought.
    pub detail: Option<Vec<u8>>,
    /// Sealed: the application as received; only with the first event.
    pub body: Option<Vec<u8>>,
    /// The application's salt; empty when it was purged.
    pub salt: Vec<u8>,
    /// Whether the application was purged.
    pub purged: bool,
}

/// An application with what its events say of it.
pub struct ApplicationRow {
    /// Its id.
    pub id: [u8; 16],
    /// Its version.
    pub version: i64,
    /// `tongban.v1.State`.
    pub state: i32,
    /// Whether it was purged.
    pub purged: bool,
    /// How many numbers its events have.
    pub events: i64,
    /// The greatest of them.
    pub last: i64,
    /// The state after the last event.
    pub last_state: i32,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Leaves in the log.
    pub leaves: i64,
    /// Events.
    pub events: i64,
    /// Applications.
    pub applications: i64,
    /// Of these, purged.
    pub purged: i64,
    /// Deliveries.
    pub deliveries: i64,
    /// Root of the Merkle tree over the leaves (RFC 6962).
    pub root: [u8; 32],
    /// Hash of the last leaf.
    pub last_leaf: Option<[u8; 32]>,
    /// Time of the last leaf, microseconds UTC.
    pub last_time: i64,
    /// How many things are wrong.
    pub wrong: u64,
    /// The first of them; they name positions, ids and numbers, nothing personal.
    pub findings: Vec<String>,
}
