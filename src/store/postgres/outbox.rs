//! Leasing deliveries: one statement takes them, by the database's clock and past what other
//! gateways have locked; then what they carry is read. Each lease counts up the delivery's fence.

use std::collections::HashMap;

use crate::store::{
    StoreError,
    postgres::{
        connection::{Connection, Value},
        loaded::{application, application_bytes, application_columns, array},
        read::{PAGE, event, event_columns},
    },
    rows::{DeliveryKind, Lease},
    vault::Vault,
};

/// Leases up to `limit` due deliveries of `party` for so many microseconds.
pub(super) async fn lease(
    connection: &mut Connection,
    vault: &Vault,
    party: &str,
    (limit, length): (usize, i64),
    longest_wait: Option<i64>,
) -> Result<Vec<Lease>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut steps: Vec<(_, Vec<Value<'_>>)> = Vec::new();
    if let Some(longest) = longest_wait {
        steps.push((SET_RIGHT, vec![Box::new(party), Box::new(longest)]));
    }
    let values: Vec<Value<'_>> =
        vec![Box::new(party), Box::new(limit), Box::new(length), Box::new(PAGE)];
    steps.push((LEASE, values));
    let rows = connection.script(&steps).await?.pop().unwrap_or_default();
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let (mut applications, mut events) = (Vec::new(), (Vec::new(), Vec::new()));
    for row in &rows {
        let of: i64 = row.try_get(1)?;
        applications.push(of);
        if row.try_get::<_, i32>(2)? == EVENT {
            events.0.push(of);
            events.1.push(row.try_get::<_, i64>(3)?);
        }
    }
    let steps: Vec<(_, Vec<Value<'_>>)> = vec![
        (APPLICATIONS, vec![Box::new(applications)]),
        (EVENTS, vec![Box::new(events.0), Box::new(events.1)]),
    ];
    let carried = connection.script(&steps).await?;
    let mut applications = HashMap::new();
    for row in &carried[0] {
        let row = application(row)?;
        applications.insert(row.seq, row);
    }
    let mut events = HashMap::new();
    for row in &carried[1] {
        events.insert((row.try_get::<_, i64>(10)?, row.try_get::<_, i64>(4)?), event(row, vault)?);
    }
    let gone = |what: &str| StoreError::Corrupt(format!("a delivery of no {what}"));
    let mut leases = Vec::with_capacity(rows.len());
    for row in rows {
        let (of, sequence): (i64, i64) = (row.try_get(1)?, row.try_get(3)?);
        let application = applications.get(&of).ok_or_else(|| gone("application"))?;
        let kind = DeliveryKind::from_number(row.try_get::<_, i32>(2)?.into());
        let kind = kind.ok_or_else(|| gone("known kind"))?;
        let event = match kind {
            DeliveryKind::Event => {
                let event = events.get(&(of, sequence)).cloned();
                Some(Box::new(event.ok_or_else(|| gone("event"))?))
            }
            DeliveryKind::Application | DeliveryKind::Result => None,
        };
        leases.push(Lease {
            delivery: row.try_get(0)?,
            fence: row.try_get(5)?,
            attempt: u32::try_from(row.try_get::<_, i32>(6)?).unwrap_or_default(),
            kind,
            message: array(&row, 4)?,
            unknown: row.try_get(7)?,
            created: row.try_get(8)?,
            application: Box::new(application.application(vault)?),
            event,
            sequence,
            trace: application.trace,
            party: party.to_owned(),
        });
    }
    Ok(leases)
}

/// The number of [`DeliveryKind::Event`].
const EVENT: i32 = 2;

// What would wait longer than anything does was put off by a clock that was ahead.
const SET_RIGHT: &str = "UPDATE deliveries SET due = statement_timestamp() + \
     CASE state WHEN 0 THEN interval '0' ELSE $2::bigint * interval '1 microsecond' END \
     WHERE party = $1 AND state IN (0, 1) \
     AND due > statement_timestamp() + $2::bigint * interval '1 microsecond'";
// Only the head of each application's line is due; what waits behind it is in no index read here.
// An array, since a plan that does not know the limit would join by reading the table. What is too
// much for one page is locked until the statement ends, and stays due.
const LEASE: &str = concat!(
    "UPDATE deliveries d SET unknown = d.unknown OR d.state = 1, state = 1, \
     attempts = d.attempts + 1, fence = d.fence + 1, \
     due = statement_timestamp() + $3::bigint * interval '1 microsecond' \
     WHERE d.seq = ANY(ARRAY(SELECT p.seq FROM (SELECT o.seq, \
       sum(o.bytes) OVER (ORDER BY o.due, o.seq) - o.bytes AS before \
       FROM (SELECT l.seq, l.due, coalesce((SELECT ",
    application_bytes!(),
    " FROM applications a WHERE a.seq = l.application), 0) AS bytes \
         FROM (SELECT seq, due, application FROM deliveries \
           WHERE party = $1 AND state IN (0, 1) AND due <= statement_timestamp() \
           ORDER BY due, seq LIMIT $2 FOR UPDATE SKIP LOCKED) l) o) p \
       WHERE p.before < $4::bigint)) \
     RETURNING d.seq, d.application, d.kind, d.event, d.message, d.fence, d.attempts, \
     d.unknown, d.created"
);
const APPLICATIONS: &str = concat!(application_columns!(), "WHERE a.seq = ANY($1)");
const EVENTS: &str = concat!(
    event_columns!(),
    "JOIN unnest($1::bigint[], $2::bigint[]) AS n(application, sequence) \
     ON n.application = e.application AND n.sequence = e.sequence"
);
