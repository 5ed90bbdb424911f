//! What the ledger compares: gathered from the database as it lies there, from the gateway's
//! answers, and from what callers, watcher and receivers wrote down.

use std::{collections::BTreeMap, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tokio_postgres::{Client, IsolationLevel, Row};
use tongban::model::pb::{EventType, State};
use uuid::Uuid;

use crate::{
    harness::until,
    receiver::Arrival,
    world::{COURSE, Said, Watched, World},
};

/// How long between two looks at everything that is stored.
const LOOK: Duration = Duration::from_millis(100);

/// Everything there is to compare.
#[derive(Clone)]
pub(crate) struct Evidence {
    /// What callers were answered.
    pub(crate) said: Vec<Said>,
    /// What is stored.
    pub(crate) rows: Rows,
    /// By party: what arrived, in order.
    pub(crate) receivers: Vec<(&'static str, Vec<Arrival>)>,
    /// Who watched and what it was told.
    pub(crate) watched: Option<(&'static str, Vec<Watched>)>,
    /// Who asked for its applications and what was listed.
    pub(crate) listed: Option<(&'static str, Vec<Listed>)>,
}

/// An application as the gateway lists it.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) version: i64,
}

/// What the database holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) applications: BTreeMap<String, Application>,
    pub(crate) events: Vec<Event>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) leaves: Vec<Leaf>,
    /// What is counted for each party: what waits and what is parked.
    pub(crate) outbox: BTreeMap<String, (i64, i64)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Application {
    pub(crate) submitter: String,
    pub(crate) handler: String,
    pub(crate) state: String,
    pub(crate) version: i64,
    pub(crate) acceptance_number: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) number: i64,
    pub(crate) application: String,
    pub(crate) sequence: i64,
    pub(crate) what: String,
    pub(crate) state: String,
    pub(crate) party: String,
    pub(crate) time: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) application: String,
    pub(crate) party: String,
    pub(crate) kind: &'static str,
    pub(crate) event: i64,
    pub(crate) message: String,
    pub(crate) state: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) position: i64,
    pub(crate) hash: Vec<u8>,
    pub(crate) entry: String,
}

impl Rows {
    /// What a SQLite file holds; read beside the gateway.
    pub(crate) fn of_sqlite(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(COURSE)?;
        // One moment for all of it.
        let moment = connection.transaction()?;
        let mut rows = Self::default();
        let mut query = moment.prepare(
            "SELECT id, submitter, handler, state, version, acceptance_number FROM applications",
        )?;
        let mut found = query.query([])?;
        while let Some(row) = found.next()? {
            let application = Application {
                submitter: row.get(1)?,
                handler: row.get(2)?,
                state: state(row.get(3)?),
                version: row.get(4)?,
                acceptance_number: row.get(5)?,
            };
            rows.applications.insert(id(row.get(0)?), application);
        }
        let mut query = moment.prepare(
            "SELECT e.seq, a.id, e.sequence, e.type, e.state, e.party, e.time \
             FROM events e JOIN applications a ON a.seq = e.application ORDER BY e.seq",
        )?;
        let events = query.query_map([], |row| {
            Ok(Event {
                number: row.get(0)?,
                application: id(row.get(1)?),
                sequence: row.get(2)?,
                what: what(row.get(3)?),
                state: state(row.get(4)?),
                party: row.get(5)?,
                time: row.get(6)?,
            })
        })?;
        rows.events = events.collect::<rusqlite::Result<_>>()?;
        let mut query = moment.prepare(
            "SELECT a.id, d.party, d.kind, d.event, d.message, d.state \
             FROM deliveries d JOIN applications a ON a.seq = d.application ORDER BY d.seq",
        )?;
        let deliveries = query.query_map([], |row| {
            Ok(Delivery {
                application: id(row.get(0)?),
                party: row.get(1)?,
                kind: kind(row.get(2)?),
                event: row.get(3)?,
                message: hex::encode(row.get::<_, [u8; 16]>(4)?),
                state: progress(row.get(5)?),
            })
        })?;
        rows.deliveries = deliveries.collect::<rusqlite::Result<_>>()?;
        let mut query =
            moment.prepare("SELECT position, hash, entry FROM leaves ORDER BY position")?;
        let leaves = query.query_map([], |row| {
            let entry = String::from_utf8_lossy(&row.get::<_, Vec<u8>>(2)?).into_owned();
            Ok(Leaf { position: row.get(0)?, hash: row.get(1)?, entry })
        })?;
        rows.leaves = leaves.collect::<rusqlite::Result<_>>()?;
        let mut query = moment.prepare(OUTBOX)?;
        let outbox = query.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
        rows.outbox = outbox.collect::<rusqlite::Result<_>>()?;
        Ok(rows)
    }
}

impl Rows {
    /// What a PostgreSQL database holds; read beside the gateways.
    pub(crate) async fn of_postgres(client: &mut Client) -> Result<Self, tokio_postgres::Error> {
        // One moment for all of it.
        let moment = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        let moment = moment.read_only(true).start().await?;
        let mut rows = Self::default();
        for row in moment
            .query(
                "SELECT id, submitter, handler, state, version, acceptance_number \
                 FROM applications",
                &[],
            )
            .await?
        {
            let application = Application {
                submitter: row.get(1),
                handler: row.get(2),
                state: state(row.get(3)),
                version: row.get(4),
                acceptance_number: row.get(5),
            };
            rows.applications.insert(row.get::<_, Uuid>(0).to_string(), application);
        }
        let events = moment
            .query(
                "SELECT e.seq, a.id, e.sequence, e.type, e.state, e.party, e.time \
                 FROM events e JOIN applications a ON a.seq = e.application ORDER BY e.seq",
                &[],
            )
            .await?;
        let event = |row: Row| Event {
            number: row.get(0),
            application: row.get::<_, Uuid>(1).to_string(),
            sequence: row.get(2),
            what: what(row.get(3)),
            state: state(row.get(4)),
            party: row.get(5),
            time: row.get(6),
        };
        rows.events = events.into_iter().map(event).collect();
        let deliveries = moment
            .query(
                "SELECT a.id, d.party, d.kind, d.event, d.message, d.state \
                 FROM deliveries d JOIN applications a ON a.seq = d.application ORDER BY d.seq",
                &[],
            )
            .await?;
        let delivery = |row: Row| Delivery {
            application: row.get::<_, Uuid>(0).to_string(),
            party: row.get(1),
            kind: kind(row.get::<_, i32>(2).into()),
            event: row.get(3),
            message: hex::encode(row.get::<_, Vec<u8>>(4)),
            state: progress(row.get::<_, i32>(5).into()),
        };
        rows.deliveries = deliveries.into_iter().map(delivery).collect();
        let leaves =
            moment.query("SELECT position, hash, entry FROM leaves ORDER BY position", &[]).await?;
        let leaf = |row: Row| Leaf {
            position: row.get(0),
            hash: row.get(1),
            entry: String::from_utf8_lossy(row.get(2)).into_owned(),
        };
        rows.leaves = leaves.into_iter().map(leaf).collect();
        let outbox = moment.query(OUTBOX, &[]).await?;
        let counted = |row: Row| (row.get(0), (row.get(1), row.get(2)));
        rows.outbox = outbox.into_iter().map(counted).collect();
        Ok(rows)
    }
}

const OUTBOX: &str = "SELECT party, waiting, parked FROM outbox";

impl World {
    /// Waits until nothing is on its way any more, and gathers everything.
    pub(crate) async fn evidence(&self) -> Evidence {
        let watched = || self.watched.lock().unwrap();
        until("everything to settle", COURSE, || async {
            tokio::time::sleep(LOOK).await;
            let (open, events) = self.database.open().await?;
            // All events concern the submitting party, who watches.
            (open == 0 && watched().len() as i64 >= events).then_some(())
        })
        .await;
        let rows = until("the database to be read", COURSE, || self.database.rows()).await;
        let listed = until("the applications to be listed", COURSE, || self.listed()).await;
        Evidence {
            said: self.said.lock().unwrap().clone(),
            rows,
            receivers: vec![("23", self.platform.arrivals()), ("44", self.away.arrivals())],
            watched: Some(("44", watched().clone())),
            listed: Some(("44", listed)),
        }
    }

    /// All pages; none when one of them could not be had.
    async fn listed(&self) -> Option<Vec<Listed>> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/applications?pageSize=200&pageToken={token}");
            let page = self.desk("44").get(&path).await?;
            all.extend(page["applications"].as_array().into_iter().flatten().map(listed));
            token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
            if token.is_empty() {
                return Some(all);
            }
        }
    }
}

fn listed(application: &Value) -> Listed {
    let text = |name: &str| application[name].as_str().unwrap_or_default();
    Listed {
        id: text("id").to_owned(),
        state: text("state").to_owned(),
        version: text("version").parse().unwrap_or_default(),
    }
}

fn id(bytes: [u8; 16]) -> String {
    Uuid::from_bytes(bytes).to_string()
}

fn what(number: i32) -> String {
    EventType::try_from(number).map_or_else(|_| number.to_string(), |one| one.as_str_name().into())
}

fn state(number: i32) -> String {
    State::try_from(number).map_or_else(|_| number.to_string(), |one| one.as_str_name().into())
}

fn kind(number: i64) -> &'static str {
    match number {
        1 => "application",
        2 => "event",
        3 => "result",
        _ => "unknown",
    }
}

fn progress(number: i64) -> &'static str {
    match number {
        0 => "due",
        1 => "leased",
        2 => "delivered",
        3 => "parked",
        4 => "waiting",
        _ => "unknown",
    }
}
