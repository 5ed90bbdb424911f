//! Queries, each as of its own moment, and how rows become messages again.

use std::{collections::BTreeSet, ops::Range};

use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    model::{
        clock,
        pb::{self, Business, State},
        trace::TraceContext,
    },
    store::{
        StoreError,
        postgres::{
            connection::Connection,
            loaded::{application as row, application_bytes, application_columns, array},
        },
        record::{PAGE_BYTES, StoredEvent},
        rows::{
            DeliveryKind, Exchanged, Filter, Header, IdempotencyKey, ParkedDelivery, Progress,
            Recalled,
        },
        totals::{Outbox, Totals},
        vault::Vault,
    },
};

/// [`PAGE_BYTES`] as the database takes it.
pub(super) const PAGE: i64 = PAGE_BYTES as i64;

pub(super) async fn recall(
    connection: &mut Connection,
    vault: &Vault,
    key: &IdempotencyKey,
) -> Result<Option<Recalled>, StoreError> {
    let rows = connection.query(ANSWER, &[&&key.key[..]]).await?;
    let Some(found) = rows.first() else { return Ok(None) };
    if array::<32>(found, 18)? != key.content {
        return Ok(Some(Recalled::KeyReused));
    }
    let answer: Option<&[u8]> = found.try_get(19)?;
    let first = row(found)?.answer(answer, vault)?;
    Ok(Some(Recalled::Answer(Box::new(first))))
}

pub(super) async fn forget(connection: &mut Connection, before: i64) -> Result<usize, StoreError> {
    Ok(connection.query(FORGET, &[&before]).await?.len())
}

pub(super) async fn header(
    connection: &mut Connection,
    id: Uuid,
) -> Result<Option<Header>, StoreError> {
    let rows = connection.query(HEADER, &[&id]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Header {
        business: Business::try_from(row.try_get::<_, i32>(0)?).unwrap_or_default(),
        submitter: row.try_get(1)?,
        handler: row.try_get(2)?,
        state: State::try_from(row.try_get::<_, i32>(3)?).unwrap_or_default(),
        trace: TraceContext::parse(row.try_get(4)?).unwrap_or_default(),
    }))
}

pub(super) async fn application(
    connection: &mut Connection,
    vault: &Vault,
    id: Uuid,
) -> Result<Option<pb::Application>, StoreError> {
    let rows = connection.query(APPLICATION, &[&id]).await?;
    rows.first().map(|found| row(found)?.application(vault)).transpose()
}

pub(super) async fn list(
    connection: &mut Connection,
    vault: &Vault,
    filter: &Filter,
) -> Result<(Vec<pb::Application>, Option<i64>), StoreError> {
    let one_more = i64::try_from(filter.limit + 1).unwrap_or(i64::MAX);
    let (before, business) =
        (filter.before.unwrap_or(i64::MAX), filter.business.map_or(0, |business| business as i32));
    let state = filter.state.map_or(0, |state| state as i32);
    let (party, division) = (&filter.party, &filter.home_division);
    let values: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
        &[&before, party, &business, &state, division, &one_more, &PAGE];
    let rows = connection.query(LIST, values).await?;
    let page = rows.iter().take(filter.limit).map(row).collect::<Result<Vec<_>, _>>()?;
    let all: Option<i64> = rows.first().map(|row| row.try_get(18)).transpose()?;
    let more = all.is_some_and(|all| i64::try_from(page.len()).is_ok_and(|count| count < all));
    let next = page.last().filter(|_| more).map(|row| row.seq);
    let applications = page.iter().map(|row| row.application(vault)).collect::<Result<_, _>>()?;
    Ok((applications, next))
}

pub(super) async fn events(
    connection: &mut Connection,
    vault: &Vault,
    id: Uuid,
) -> Result<Vec<pb::ApplicationEvent>, StoreError> {
    let rows = connection.query(EVENTS, &[&id]).await?;
    rows.iter().map(|row| event(row, vault)).collect()
}

pub(super) async fn events_after(
    connection: &mut Connection,
    vault: &Vault,
    party: &str,
    (after, limit): (i64, usize),
) -> Result<(Vec<pb::ApplicationEvent>, i64), StoreError> {
    // A window by event number keeps a party with few events from reading the whole table at once.
    // Whoever sees the number of an event in `log` sees that event and all before it.
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let end = last(connection).await?.min(after.saturating_add(limit.saturating_mul(8)));
    let rows = connection.query(EVENTS_AFTER, &[&after, &end, &party, &limit, &PAGE]).await?;
    let events = rows.iter().map(|row| event(row, vault)).collect::<Result<Vec<_>, _>>()?;
    let all: Option<i64> = rows.first().map(|row| row.try_get(11)).transpose()?;
    // All that the window holds, unless there were as many as asked for or they grew long.
    let full =
        all.is_some_and(|all| all >= limit || rows.len() < usize::try_from(all).unwrap_or(0));
    let end = match rows.last().filter(|_| full) {
        Some(row) => row.try_get(0)?,
        None => end.max(after),
    };
    Ok((events, end))
}

/// The number of the last event.
pub(super) async fn last(connection: &mut Connection) -> Result<i64, StoreError> {
    let rows = connection.query("SELECT events FROM log", &[]).await?;
    let row = rows.first().ok_or_else(|| StoreError::Corrupt("no row in `log`".into()))?;
    Ok(row.try_get(0)?)
}

pub(super) async fn parked(connection: &mut Connection) -> Result<Vec<ParkedDelivery>, StoreError> {
    let rows = connection.query(PARKED, &[]).await?;
    let delivery = |row: &Row| {
        let trace = TraceContext::parse(row.try_get(8)?).unwrap_or_default();
        Ok(ParkedDelivery {
            delivery: row.try_get(0)?,
            application: row.try_get(1)?,
            party: row.try_get(2)?,
            kind: kind(row, 3)?,
            message_number: hex::encode(row.try_get::<_, &[u8]>(4)?),
            attempts: u32::try_from(row.try_get::<_, i32>(5)?).unwrap_or_default(),
            note: row.try_get(6)?,
            created: row.try_get(7)?,
            trace_id: trace.trace_id_hex(),
        })
    };
    rows.iter().map(delivery).collect()
}

pub(super) async fn exchanged(
    connection: &mut Connection,
    party: &str,
    time: Range<i64>,
) -> Result<Vec<Exchanged>, StoreError> {
    let rows = connection.query(EXCHANGED, &[&party, &time.start, &time.end]).await?;
    rows.iter().map(delivery).collect()
}

pub(super) async fn sent(
    connection: &mut Connection,
    party: &str,
    numbers: &BTreeSet<String>,
) -> Result<Vec<Exchanged>, StoreError> {
    // What is no number is no message of ours.
    let numbers: Vec<Vec<u8>> = numbers.iter().filter_map(|text| hex::decode(text).ok()).collect();
    let rows = connection.query(SENT, &[&party, &numbers]).await?;
    rows.iter().map(delivery).collect()
}

pub(super) async fn submitted(
    connection: &mut Connection,
    party: &str,
    time: Range<i64>,
) -> Result<Vec<Uuid>, StoreError> {
    let rows = connection.query(SUBMITTED, &[&party, &time.start, &time.end]).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

pub(super) async fn totals(connection: &mut Connection) -> Result<Totals, StoreError> {
    let log = connection.query("SELECT leaves FROM log", &[]).await?;
    let log = log.first().ok_or_else(|| StoreError::Corrupt("no row in `log`".into()))?;
    let rows = connection.query(OUTBOXES, &[]).await?;
    let now = clock::now_micros();
    let outbox = |row: &Row| {
        let oldest: Option<i64> = row.try_get(3)?;
        Ok::<_, StoreError>(Outbox {
            party: row.try_get(0)?,
            due: row.try_get(1)?,
            parked: row.try_get(2)?,
            oldest: oldest.map_or(0, |oldest| now.saturating_sub(oldest)),
        })
    };
    let outboxes = rows.iter().map(outbox).collect::<Result<_, _>>()?;
    Ok(Totals { outboxes, leaves: log.try_get(0)? })
}

/// The row of [`event_columns`].
pub(super) fn event(row: &Row, vault: &Vault) -> Result<pb::ApplicationEvent, StoreError> {
    let event = StoredEvent {
        number: row.try_get(0)?,
        application: row.try_get::<_, Uuid>(1)?.into_bytes(),
        acceptance_number: row.try_get(2)?,
        business: row.try_get(3)?,
        sequence: row.try_get(4)?,
        r#type: row.try_get(5)?,
        state: row.try_get(6)?,
        time: row.try_get(7)?,
        party: row.try_get(8)?,
        detail: row.try_get(9)?,
    };
    event.open(vault)
}

/// The row of `delivery_columns`.
fn delivery(row: &Row) -> Result<Exchanged, StoreError> {
    Ok(Exchanged {
        delivery: row.try_get(0)?,
        application: row.try_get(1)?,
        business: Business::try_from(row.try_get::<_, i32>(2)?).unwrap_or_default(),
        kind: kind(row, 3)?,
        message_number: hex::encode(row.try_get::<_, &[u8]>(4)?),
        progress: match row.try_get::<_, i32>(5)? {
            0 | 4 => Progress::Due,
            1 => Progress::Leased,
            2 => Progress::Delivered,
            5 => Progress::Discarded,
            _ => Progress::Parked,
        },
        note: row.try_get(6)?,
        created: row.try_get(7)?,
    })
}

fn kind(row: &Row, at: usize) -> Result<DeliveryKind, StoreError> {
    let number: i32 = row.try_get(at)?;
    Ok(DeliveryKind::from_number(number.into()).unwrap_or(DeliveryKind::Event))
}

/// The columns that [`event`] reads, in its order, the application's row, and `more` behind them.
macro_rules! event_columns {
    ($($more:literal)?) => {
        concat!(
            "SELECT e.seq, a.id, a.acceptance_number, a.business, e.sequence, e.type, e.state, \
             e.time, e.party, e.detail, e.application",
            $($more,)?
            " FROM events e JOIN applications a ON a.seq = e.application "
        )
    };
}
pub(super) use event_columns;

/// The columns that [`delivery`] reads, in its order.
macro_rules! delivery_columns {
    () => {
        "SELECT d.seq, a.id, a.business, d.kind, d.message, d.state, d.note, d.created \
         FROM deliveries d JOIN applications a ON a.seq = d.application "
    };
}

const ANSWER: &str = "SELECT a.seq, a.id, a.business, a.state, a.version, a.submitter, \
     a.handler, a.home_name, a.benefits, a.salt, a.trace, a.created, a.updated, a.body, \
     a.revised, a.kept, a.open, a.wake, i.content, i.answer \
     FROM idempotency i JOIN applications a ON a.seq = i.application WHERE i.key = $1 \
     AND a.purged IS NULL";
const FORGET: &str = "DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency \
     WHERE created < $1 ORDER BY created LIMIT 1000 FOR UPDATE SKIP LOCKED) RETURNING 1";
const HEADER: &str = "SELECT business, submitter, handler, state, trace FROM applications \
     WHERE id = $1 AND purged IS NULL";
const APPLICATION: &str = concat!(application_columns!(), "WHERE a.id = $1 AND a.purged IS NULL");
// The lengths are read first, without what they are of: a page ends once it has grown long.
const LIST: &str = concat!(
    application_columns!(", p.count"),
    "JOIN (SELECT o.seq, count(*) OVER () AS count, \
       sum(o.bytes) OVER (ORDER BY o.seq DESC) - o.bytes AS before \
       FROM (SELECT a.seq, ",
    application_bytes!(),
    " AS bytes FROM applications a \
         WHERE a.seq < $1 AND (a.submitter = $2 OR a.handler = $2) \
         AND ($3 = 0 OR a.business = $3) AND ($4 = 0 OR a.state = $4) \
         AND left(a.home_division, length($5)) = $5 \
         AND a.purged IS NULL ORDER BY a.seq DESC LIMIT $6) o) p ON p.seq = a.seq \
     WHERE p.before < $7::bigint ORDER BY a.seq DESC"
);
const EVENTS: &str =
    concat!(event_columns!(), "WHERE a.id = $1 AND a.purged IS NULL ORDER BY e.sequence");
const EVENTS_AFTER: &str = concat!(
    event_columns!(", p.count"),
    "JOIN (SELECT o.seq, count(*) OVER () AS count, \
       sum(o.bytes) OVER (ORDER BY o.seq) - o.bytes AS before \
       FROM (SELECT e.seq, coalesce(octet_length(e.detail), 0)::bigint AS bytes \
         FROM events e JOIN applications a ON a.seq = e.application \
         WHERE e.seq > $1 AND e.seq <= $2 AND (a.submitter = $3 OR a.handler = $3) \
         AND a.purged IS NULL ORDER BY e.seq LIMIT $4) o) p ON p.seq = e.seq \
     WHERE p.before < $5::bigint ORDER BY e.seq"
);
const PARKED: &str = "SELECT d.seq, a.id, d.party, d.kind, d.message, d.attempts, d.note, \
     d.created, a.trace FROM deliveries d JOIN applications a ON a.seq = d.application \
     WHERE d.state = 3 ORDER BY d.seq";
// There is no index by time: once a day and party a scan is cheaper than one more on every write.
const EXCHANGED: &str = concat!(
    delivery_columns!(),
    "WHERE d.party = $1 AND d.created >= $2 AND d.created < $3 ORDER BY d.seq"
);
const SENT: &str =
    concat!(delivery_columns!(), "WHERE d.party = $1 AND d.message = ANY($2) ORDER BY d.seq");
const SUBMITTED: &str = "SELECT id FROM applications \
     WHERE submitter = $1 AND created >= $2 AND created < $3 ORDER BY seq";
const OUTBOXES: &str = "SELECT o.party, o.waiting, o.parked, (SELECT d.created \
     FROM deliveries d WHERE d.party = o.party AND d.state IN (0, 1, 4) \
     ORDER BY d.created LIMIT 1) FROM outbox o";
