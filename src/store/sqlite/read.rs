//! Queries, and how rows become messages again.

use prost::Message as _;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use crate::{
    model::{
        clock,
        pb::{self, Business, State},
        trace::TraceContext,
    },
    store::{
        StoreError,
        advance::Open,
        record::{ApplicationRow, PAGE_BYTES, StoredEvent},
        rows::{DeliveryKind, Filter, Header, IdempotencyKey, ParkedDelivery, Recalled},
        totals::{Outbox, Totals},
        vault::Vault,
    },
};

/// The columns [`row`] reads, in its order.
pub(super) const APPLICATION: &str = "SELECT a.seq, a.id, a.business, a.state, a.version, \
     a.submitter, a.handler, a.home_name, a.benefits, a.salt, a.trace, \
     a.created, a.updated, a.body, a.revised, a.kept, a.open, a.wake FROM applications a ";

/// The row of these columns.
pub(super) fn row(row: &Row<'_>) -> rusqlite::Result<ApplicationRow> {
    let trace: String = row.get(10)?;
    Ok(ApplicationRow {
        seq: row.get(0)?,
        id: row.get(1)?,
        business: Business::try_from(row.get::<_, i32>(2)?).unwrap_or_default(),
        state: State::try_from(row.get::<_, i32>(3)?).unwrap_or_default(),
        version: row.get(4)?,
        submitter: row.get(5)?,
        handler: row.get(6)?,
        home_name: row.get(7)?,
        benefits: row.get(8)?,
        salt: row.get(9)?,
        trace: TraceContext::parse(&trace).unwrap_or_default(),
        created: row.get(11)?,
        updated: row.get(12)?,
        body: row.get(13)?,
        revised: row.get(14)?,
        kept: row.get(15)?,
        open: Open::from_number(row.get(16)?),
        wake: row.get(17)?,
    })
}

pub(super) fn by_id(
    connection: &Connection,
    id: Uuid,
) -> Result<Option<ApplicationRow>, StoreError> {
    let sql = format!("{APPLICATION} WHERE a.id = ?1 AND a.purged IS NULL");
    let mut query = connection.prepare_cached(&sql)?;
    Ok(query.query_row([id.as_bytes()], row).optional()?)
}

pub(super) fn by_seq(connection: &Connection, seq: i64) -> Result<ApplicationRow, StoreError> {
    let sql = format!("{APPLICATION} WHERE a.seq = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([seq], row)?)
}

/// The first answer to a key, looked for in the rows that may be its.
pub(super) fn recall(
    connection: &Connection,
    vault: &Vault,
    places: &[i64],
    key: &IdempotencyKey,
) -> Result<Option<Recalled>, StoreError> {
    type Record = ([u8; 32], i64, Option<Vec<u8>>);
    for place in places {
        let mut query = connection.prepare_cached(
            "SELECT i.content, i.application, i.answer FROM idempotency i \
             JOIN applications a ON a.seq = i.application \
             WHERE i.seq = ?1 AND i.key = ?2 AND a.purged IS NULL",
        )?;
        let record = query.query_row(params![place, key.key], |row| {
            Ok::<Record, _>((row.get(0)?, row.get(1)?, row.get(2)?))
        });
        let Some((content, application, answer)) = record.optional()? else { continue };
        if content != key.content {
            return Ok(Some(Recalled::KeyReused));
        }
        let row = by_seq(connection, application)?;
        let application = row.answer(answer.as_deref(), vault)?;
        return Ok(Some(Recalled::Answer(Box::new(application))));
    }
    Ok(None)
}

pub(super) fn header(connection: &Connection, id: Uuid) -> Result<Option<Header>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT business, submitter, handler, state, trace FROM applications \
         WHERE id = ?1 AND purged IS NULL",
    )?;
    let header = query.query_row([id.as_bytes()], |row| {
        let trace: String = row.get(4)?;
        Ok(Header {
            business: Business::try_from(row.get::<_, i32>(0)?).unwrap_or_default(),
            submitter: row.get(1)?,
            handler: row.get(2)?,
            state: State::try_from(row.get::<_, i32>(3)?).unwrap_or_default(),
            trace: TraceContext::parse(&trace).unwrap_or_default(),
        })
    });
    Ok(header.optional()?)
}

pub(super) fn application(
    connection: &Connection,
    vault: &Vault,
    id: Uuid,
) -> Result<Option<pb::Application>, StoreError> {
    by_id(connection, id)?.map(|row| row.application(vault)).transpose()
}

pub(super) fn list(
    connection: &Connection,
    vault: &Vault,
    filter: &Filter,
) -> Result<(Vec<pb::Application>, Option<i64>), StoreError> {
    let sql = format!(
        "{APPLICATION} WHERE a.seq < ?1 AND (a.submitter = ?2 OR a.handler = ?2) \
         AND (?3 = 0 OR a.business = ?3) AND (?4 = 0 OR a.state = ?4) \
         AND substr(a.home_division, 1, length(?5)) = ?5 AND a.purged IS NULL ORDER BY a.seq DESC LIMIT ?6"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let one_more = i64::try_from(filter.limit + 1).unwrap_or(i64::MAX);
    let rows = query.query_map(
        params![
            filter.before.unwrap_or(i64::MAX),
            filter.party,
            filter.business.map_or(0, |business| business as i32),
            filter.state.map_or(0, |state| state as i32),
            filter.home_division,
            one_more,
        ],
        row,
    )?;
    let (mut applications, mut bytes, mut last) = (Vec::new(), 0, None);
    for row in rows {
        if applications.len() == filter.limit || bytes >= PAGE_BYTES {
            return Ok((applications, last));
        }
        let row = row?;
        (bytes, last) = (bytes + row.bytes(), Some(row.seq));
        applications.push(row.application(vault)?);
    }
    Ok((applications, None))
}

const EVENT: &str = "SELECT e.seq, a.id, a.acceptance_number, a.business, e.sequence, e.type, \
     e.state, e.time, e.party, e.detail FROM events e JOIN applications a ON a.seq = e.application ";

fn event(row: &Row<'_>, vault: &Vault) -> Result<pb::ApplicationEvent, StoreError> {
    let event = StoredEvent {
        number: row.get(0)?,
        application: row.get(1)?,
        acceptance_number: row.get(2)?,
        business: row.get(3)?,
        sequence: row.get(4)?,
        r#type: row.get(5)?,
        state: row.get(6)?,
        time: row.get(7)?,
        party: row.get(8)?,
        detail: row.get(9)?,
    };
    event.open(vault)
}

pub(super) fn events(
    connection: &Connection,
    vault: &Vault,
    id: Uuid,
) -> Result<Vec<pb::ApplicationEvent>, StoreError> {
    let sql = format!("{EVENT} WHERE a.id = ?1 AND a.purged IS NULL ORDER BY e.sequence");
    let mut query = connection.prepare_cached(&sql)?;
    let mut rows = query.query([id.as_bytes()])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(event(row, vault)?);
    }
    Ok(events)
}

pub(super) fn event_of(
    connection: &Connection,
    vault: &Vault,
    application: i64,
    sequence: i64,
) -> Result<pb::ApplicationEvent, StoreError> {
    let sql = format!("{EVENT} WHERE e.application = ?1 AND e.sequence = ?2");
    let mut query = connection.prepare_cached(&sql)?;
    let mut rows = query.query([application, sequence])?;
    match rows.next()? {
        Some(row) => event(row, vault),
        None => Err(StoreError::Corrupt(format!("event {sequence} of row {application} is gone"))),
    }
}

pub(super) fn events_after(
    connection: &Connection,
    vault: &Vault,
    party: &str,
    after: i64,
    limit: usize,
) -> Result<(Vec<pb::ApplicationEvent>, i64), StoreError> {
    // A window by event number keeps a party with few events from reading the whole table at once.
    let window = i64::try_from(limit).unwrap_or(i64::MAX).saturating_mul(8);
    let end: i64 = connection
        .prepare_cached("SELECT coalesce(max(seq), 0) FROM events")?
        .query_row([], |row| row.get(0))?;
    let end = end.min(after.saturating_add(window));
    let sql = format!(
        "{EVENT} WHERE e.seq > ?1 AND e.seq <= ?2 AND (a.submitter = ?3 OR a.handler = ?3) \
         AND a.purged IS NULL ORDER BY e.seq LIMIT ?4"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = query.query(params![after, end, party, limit])?;
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let last = row.get(0)?;
        let event = event(row, vault)?;
        bytes += event.encoded_len();
        events.push(event);
        if bytes >= PAGE_BYTES || i64::try_from(events.len()).is_ok_and(|count| count == limit) {
            return Ok((events, last));
        }
    }
    Ok((events, end.max(after)))
}

pub(super) fn parked(connection: &Connection) -> Result<Vec<ParkedDelivery>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT d.seq, a.id, d.party, d.kind, d.message, d.attempts, d.note, d.created, a.trace \
         FROM deliveries d JOIN applications a ON a.seq = d.application \
         WHERE d.state = 3 ORDER BY d.seq",
    )?;
    let rows = query.query_map([], |row| {
        let trace: String = row.get(8)?;
        Ok(ParkedDelivery {
            delivery: row.get(0)?,
            application: Uuid::from_bytes(row.get(1)?),
            party: row.get(2)?,
            kind: DeliveryKind::from_number(row.get(3)?).unwrap_or(DeliveryKind::Event),
            message_number: hex::encode(row.get::<_, [u8; 16]>(4)?),
            attempts: row.get(5)?,
            note: row.get(6)?,
            created: row.get(7)?,
            trace_id: TraceContext::parse(&trace).unwrap_or_default().trace_id_hex(),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn totals(connection: &Connection) -> Result<Totals, StoreError> {
    let leaves = connection
        .prepare_cached("SELECT coalesce(max(position) + 1, 0) FROM leaves")?
        .query_row([], |row| row.get(0))?;
    let now = clock::now_micros();
    let mut query = connection.prepare_cached(
        "SELECT o.party, o.waiting, o.parked, (SELECT created FROM deliveries d \
         WHERE d.party = o.party AND d.state IN (0, 1) ORDER BY d.seq LIMIT 1) FROM outbox o",
    )?;
    let rows = query.query_map([], |row| {
        let oldest: Option<i64> = row.get(3)?;
        Ok(Outbox {
            party: row.get(0)?,
            due: row.get(1)?,
            parked: row.get(2)?,
            oldest: oldest.map_or(0, |oldest| now - oldest),
        })
    })?;
    Ok(Totals { outboxes: rows.collect::<rusqlite::Result<_>>()?, leaves })
}
