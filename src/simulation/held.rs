//! What the database holds in the clear, read by itself and not through the store's code.

use aws_lc_rs::digest::{Context, SHA256};
use rusqlite::{Connection, OpenFlags};

use crate::{
    model::pb::{Business, EventType, State},
    simulation::world::World,
};

pub(super) struct Application {
    pub(super) row: i64,
    pub(super) id: String,
    pub(super) number: String,
    pub(super) business: Business,
    pub(super) state: State,
    pub(super) version: i64,
    pub(super) submitter: String,
    pub(super) handler: String,
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) seq: i64,
    pub(super) row: i64,
    pub(super) sequence: i64,
    pub(super) r#type: EventType,
    pub(super) state: State,
    pub(super) party: String,
    pub(super) time: i64,
}

pub(super) struct Delivery {
    pub(super) seq: i64,
    pub(super) row: i64,
    pub(super) party: String,
    pub(super) kind: i64,
    pub(super) event: i64,
    pub(super) number: String,
    pub(super) state: i64,
}

pub(super) struct Leaf {
    pub(super) position: i64,
    pub(super) hash: Vec<u8>,
    pub(super) entry: Vec<u8>,
}

/// Everything that the database holds in the clear.
pub(super) struct Held {
    pub(super) applications: Vec<Application>,
    pub(super) events: Vec<Event>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) leaves: Vec<Leaf>,
}

pub(super) fn open(world: &World) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(&world.database, flags).unwrap()
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Vec<T> {
    let mut query = connection.prepare(sql).unwrap();
    query.query_map([], read).unwrap().collect::<Result<_, _>>().unwrap()
}

impl Held {
    pub(super) fn read(connection: &Connection) -> Self {
        let applications = rows(
            connection,
            "SELECT seq, id, acceptance_number, business, state, version, submitter, handler \
             FROM applications ORDER BY seq",
            |row| {
                Ok(Application {
                    row: row.get(0)?,
                    id: uuid::Uuid::from_bytes(row.get(1)?).to_string(),
                    number: row.get(2)?,
                    business: Business::try_from(row.get::<_, i32>(3)?).unwrap(),
                    state: State::try_from(row.get::<_, i32>(4)?).unwrap(),
                    version: row.get(5)?,
                    submitter: row.get(6)?,
                    handler: row.get(7)?,
                })
            },
        );
        let events = rows(
            connection,
            "SELECT seq, application, sequence, type, state, party, time FROM events ORDER BY seq",
            |row| {
                Ok(Event {
                    seq: row.get(0)?,
                    row: row.get(1)?,
                    sequence: row.get(2)?,
                    r#type: EventType::try_from(row.get::<_, i32>(3)?).unwrap(),
                    state: State::try_from(row.get::<_, i32>(4)?).unwrap(),
                    party: row.get(5)?,
                    time: row.get(6)?,
                })
            },
        );
        let deliveries = rows(
            connection,
            "SELECT seq, application, party, kind, event, message, state FROM deliveries \
             ORDER BY seq",
            |row| {
                Ok(Delivery {
                    seq: row.get(0)?,
                    row: row.get(1)?,
                    party: row.get(2)?,
                    kind: row.get(3)?,
                    event: row.get(4)?,
                    number: hex::encode(row.get::<_, [u8; 16]>(5)?),
                    state: row.get(6)?,
                })
            },
        );
        Self { applications, events, deliveries, leaves: leaves(connection) }
    }

    pub(super) fn events_of(&self, row: i64) -> Vec<&Event> {
        self.events.iter().filter(|event| event.row == row).collect()
    }
}

pub(super) fn leaves(connection: &Connection) -> Vec<Leaf> {
    rows(connection, "SELECT position, hash, entry FROM leaves ORDER BY position", |row| {
        Ok(Leaf { position: row.get(0)?, hash: row.get(1)?, entry: row.get(2)? })
    })
}

pub(super) fn digest(leaves: &[Leaf]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    leaves.iter().for_each(|leaf| context.update(&leaf.hash));
    context.finish().as_ref().to_vec()
}

/// The number of the last event that is stored.
pub(super) fn last_event(world: &World) -> i64 {
    let sql = "SELECT coalesce(max(seq), 0) FROM events";
    open(world).query_row(sql, [], |row| row.get(0)).unwrap()
}
