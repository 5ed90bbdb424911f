//! Queries of reconciliation. They read a day of a party's traffic by its time, for which there is
//! no index: once a day and party a scan is cheaper than another index on every write.

use std::{collections::BTreeSet, ops::Range};

use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use crate::{
    model::pb::Business,
    store::{
        StoreError,
        rows::{DeliveryKind, Exchanged, Progress},
    },
};

/// The columns [`delivery`] reads, in its order.
const DELIVERY: &str = "SELECT d.seq, a.id, a.business, d.kind, d.message, d.state, d.note, \
     d.created FROM deliveries d JOIN applications a ON a.seq = d.application";

fn delivery(row: &Row<'_>) -> rusqlite::Result<Exchanged> {
    Ok(Exchanged {
        delivery: row.get(0)?,
        application: Uuid::from_bytes(row.get(1)?),
        business: Business::try_from(row.get::<_, i32>(2)?).unwrap_or_default(),
        kind: DeliveryKind::from_number(row.get(3)?).unwrap_or(DeliveryKind::Event),
        message_number: hex::encode(row.get::<_, [u8; 16]>(4)?),
        progress: match row.get::<_, i64>(5)? {
            0 => Progress::Due,
            1 => Progress::Leased,
            2 => Progress::Delivered,
            5 => Progress::Discarded,
            _ => Progress::Parked,
        },
        note: row.get(6)?,
        created: row.get(7)?,
    })
}

pub(super) fn exchanged(
    connection: &Connection,
    party: &str,
    time: Range<i64>,
) -> Result<Vec<Exchanged>, StoreError> {
    let mut query = connection.prepare_cached(&format!(
        "{DELIVERY} WHERE d.party = ?1 AND d.created >= ?2 AND d.created < ?3 ORDER BY d.seq"
    ))?;
    let rows = query.query_map(params![party, time.start, time.end], delivery)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Years of deliveries pass by; only those asked for are kept.
pub(super) fn sent(
    connection: &Connection,
    party: &str,
    numbers: &BTreeSet<String>,
) -> Result<Vec<Exchanged>, StoreError> {
    let mut query = connection
        .prepare_cached("SELECT seq, message FROM deliveries WHERE party = ?1 ORDER BY seq")?;
    let mut one = connection.prepare_cached(&format!("{DELIVERY} WHERE d.seq = ?1"))?;
    let mut out = Vec::new();
    let mut rows = query.query([party])?;
    while let Some(row) = rows.next()? {
        if numbers.contains(&hex::encode(row.get::<_, [u8; 16]>(1)?)) {
            out.push(one.query_row([row.get::<_, i64>(0)?], delivery)?);
        }
    }
    Ok(out)
}

pub(super) fn submitted(
    connection: &Connection,
    party: &str,
    time: Range<i64>,
) -> Result<Vec<Uuid>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT id FROM applications WHERE submitter = ?1 AND created >= ?2 AND created < ?3 \
         ORDER BY seq",
    )?;
    let rows = query
        .query_map(params![party, time.start, time.end], |row| Ok(Uuid::from_bytes(row.get(0)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
