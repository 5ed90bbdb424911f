//! Reads the shared store for [`Checker`], within one snapshot and in small pages.

use std::{collections::VecDeque, time::Duration};

use tokio::time::timeout;
use tokio_postgres::{IsolationLevel, Portal, Row, Transaction};
use uuid::Uuid;

use crate::store::{
    StoreError,
    copies::Tell,
    postgres::{
        connection::{Address, Trouble},
        loaded::array,
        migrate,
    },
    proof::{ApplicationRow, Checker, DeliveryRow, EventRow, LeafRow, Report},
    vault::Vault,
};

/// Rows fetched at once; of events fewer, since a first one brings the application along.
const PAGE: i32 = 4096;
const EVENTS_PAGE: i32 = 64;
/// Longest that a page may take, above the server's own limit.
const FETCH: Duration = Duration::from_secs(660);

/// Holds the database against its log.
///
/// # Errors
/// In words for the operator: it cannot be read, is of another schema or has another key.
pub(in crate::store) async fn prove(
    url: &str,
    vault: &Vault,
    tell: &mut Tell<'_>,
) -> Result<Report, String> {
    let address = Address::read(url)?;
    let told = |text: String| format!("{}: {text}", address.name);
    let connected = address.connect(None).await;
    let mut connection = connected.map_err(|t| told(StoreError::from(t).to_string()))?;
    migrate::known(&mut connection, vault).await.map_err(told)?;
    let snapshot = connection
        .client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start();
    let proving = async {
        let snapshot = snapshot.await?;
        snapshot.batch_execute("SET LOCAL statement_timeout = '10min'").await?;
        let mut checker = Checker::new(vault);
        deliveries(&snapshot, &mut checker).await?;
        leaves(&snapshot, &mut checker, tell).await?;
        applications(&snapshot, &mut checker).await?;
        snapshot.rollback().await?;
        Ok(checker.finish())
    };
    proving.await.map_err(|trouble: Trouble| told(StoreError::from(trouble).to_string()))
}

/// The rows of a statement, page by page.
struct Rows<'a> {
    snapshot: &'a Transaction<'a>,
    portal: Portal,
    page: i32,
    ready: VecDeque<Row>,
    ended: bool,
}

impl<'a> Rows<'a> {
    async fn of(snapshot: &'a Transaction<'a>, sql: &str, page: i32) -> Result<Self, Trouble> {
        let portal = snapshot.bind(sql, &[]).await?;
        Ok(Self { snapshot, portal, page, ready: VecDeque::new(), ended: false })
    }

    async fn next(&mut self) -> Result<Option<Row>, Trouble> {
        if self.ready.is_empty() && !self.ended {
            let fetching = self.snapshot.query_portal(&self.portal, self.page);
            let rows = timeout(FETCH, fetching).await.map_err(|_| Trouble::silent())??;
            self.ended = rows.is_empty();
            self.ready.extend(rows);
        }
        Ok(self.ready.pop_front())
    }
}

async fn deliveries(snapshot: &Transaction<'_>, checker: &mut Checker<'_>) -> Result<(), Trouble> {
    let mut rows = Rows::of(snapshot, DELIVERIES, PAGE).await?;
    while let Some(row) = rows.next().await? {
        let (seq, message, state) = (row.try_get(0)?, array(&row, 1)?, row.try_get::<_, i32>(2)?);
        checker.delivery(&DeliveryRow { seq, message, state: state.into() });
    }
    Ok(())
}

async fn leaves(
    snapshot: &Transaction<'_>,
    checker: &mut Checker<'_>,
    tell: &mut Tell<'_>,
) -> Result<(), Trouble> {
    let all: i64 = snapshot.query_one("SELECT leaves FROM log", &[]).await?.try_get(0)?;
    let mut leaves = Rows::of(snapshot, LEAVES, PAGE).await?;
    let mut events = Rows::of(snapshot, EVENTS, EVENTS_PAGE).await?;
    let mut count = 0_i64;
    while let Some(row) = leaves.next().await? {
        let (position, hash, entry) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let mut wanted = checker.leaf(&LeafRow { position, hash, entry });
        while wanted {
            wanted = checker.event(events.next().await?.map(event).transpose()?);
        }
        count += 1;
        if count % i64::from(PAGE) == 0 {
            tell("verifying", count.unsigned_abs(), all.unsigned_abs());
        }
    }
    while let Some(left) = events.next().await? {
        checker.event(Some(event(left)?));
    }
    if count != all {
        checker.wrong(format_args!("`log` counts {all} leaves, but there are {count}"));
    }
    Ok(())
}

fn event(row: Row) -> Result<EventRow, Trouble> {
    Ok(EventRow {
        application: row.try_get::<_, Uuid>(0)?.into_bytes(),
        sequence: row.try_get(1)?,
        r#type: row.try_get(2)?,
        state: row.try_get(3)?,
        party: row.try_get(4)?,
        time: row.try_get(5)?,
        detail: row.try_get(6)?,
        body: row.try_get(7)?,
        salt: row.try_get(8)?,
        purged: row.try_get(9)?,
    })
}

async fn applications(
    snapshot: &Transaction<'_>,
    checker: &mut Checker<'_>,
) -> Result<(), Trouble> {
    let mut rows = Rows::of(snapshot, APPLICATIONS, PAGE).await?;
    while let Some(row) = rows.next().await? {
        checker.application(&ApplicationRow {
            id: row.try_get::<_, Uuid>(0)?.into_bytes(),
            version: row.try_get(1)?,
            state: row.try_get(2)?,
            purged: row.try_get(3)?,
            events: row.try_get(4)?,
            last: row.try_get::<_, Option<i64>>(5)?.unwrap_or(0),
            last_state: row.try_get::<_, Option<i32>>(6)?.unwrap_or(0),
        });
    }
    Ok(())
}

const DELIVERIES: &str = "SELECT seq, message, state FROM deliveries ORDER BY seq";
const LEAVES: &str = "SELECT position, hash, entry FROM leaves ORDER BY position";
const EVENTS: &str = "SELECT a.id, e.sequence, e.type, e.state, e.party, e.time, e.detail, \
     CASE WHEN e.sequence = 1 AND a.purged IS NULL THEN a.body END, a.salt, \
     a.purged IS NOT NULL \
     FROM events e JOIN applications a ON a.seq = e.application ORDER BY e.seq";
const APPLICATIONS: &str = "SELECT a.id, a.version, a.state, a.purged IS NOT NULL, c.events, \
     c.last, l.state FROM applications a \
     CROSS JOIN LATERAL (SELECT count(*) AS events, max(e.sequence) AS last \
       FROM events e WHERE e.application = a.seq) c \
     LEFT JOIN events l ON l.application = a.seq AND l.sequence = c.last ORDER BY a.seq";
