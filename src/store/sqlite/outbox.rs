//! The deliveries: adding, leasing and settling them, and what is done by hand, within the transaction.

use rusqlite::params;

use crate::{
    model::{clock, pb},
    store::{
        StoreError,
        advance::{self, By},
        by_hand::ByHand,
        record::{NewDelivery, PAGE_BYTES},
        rows::{DeliveryKind, Lease, Settlement},
        sqlite::{
            read,
            write::{self, Cause, leaf},
            writer::Scope,
        },
        take,
    },
};

/// Adds a delivery, due at once.
pub(super) fn add(scope: &Scope<'_>, delivery: &NewDelivery) -> Result<(), StoreError> {
    let NewDelivery { application, party, kind, event, message, created } = delivery;
    scope
        .transaction
        .prepare_cached(
            "INSERT INTO deliveries (application, party, kind, event, message, state, attempts, \
             due, unknown, note, created) VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, \
             iif(EXISTS (SELECT 1 FROM deliveries e WHERE e.application = ?1 AND e.party = ?2 \
               AND e.state IN (0, 1, 3)), ?7, ?6), 0, '', ?6)",
        )?
        .execute(params![application, party, kind.number(), event, message, created, HELD])?;
    Ok(())
}

/// Lets go what waited behind a delivery that is delivered or discarded now: due as if it had not waited.
fn release(scope: &Scope<'_>, delivery: i64) -> Result<(), StoreError> {
    scope
        .transaction
        .prepare_cached(
            "UPDATE deliveries SET due = created WHERE seq = ( \
               SELECT e.seq FROM deliveries d JOIN deliveries e \
               ON e.application = d.application AND e.party = d.party AND e.state IN (0, 1, 3) \
               WHERE d.seq = ?1 ORDER BY e.seq LIMIT 1) AND state = 0 AND due = ?2",
        )?
        .execute(params![delivery, HELD])?;
    Ok(())
}

pub(super) fn lease(
    scope: &mut Scope<'_>,
    party: &str,
    limit: usize,
    until: i64,
) -> Result<Vec<Lease>, StoreError> {
    let now = clock::now_micros();
    set_right(scope, party, now)?;
    struct Due {
        seq: i64,
        application: i64,
        kind: i64,
        event: i64,
        message: [u8; 16],
        leased: bool,
        attempts: u32,
        unknown: bool,
        created: i64,
    }
    // What is held back is not due, but for what came before a delivery that was made due again.
    let mut query = scope.transaction.prepare_cached(
        "SELECT d.seq, d.application, d.kind, d.event, d.message, d.state = 1, d.attempts, \
         d.unknown, d.created FROM deliveries d \
         WHERE d.party = ?1 AND d.due <= ?2 AND d.state IN (0, 1) AND NOT EXISTS ( \
           SELECT 1 FROM deliveries e WHERE e.application = d.application \
           AND e.party = d.party AND e.seq < d.seq AND e.state IN (0, 1, 3)) \
         ORDER BY d.due, d.seq LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let due = query.query_map(params![party, now, limit], |row| {
        Ok(Due {
            seq: row.get(0)?,
            application: row.get(1)?,
            kind: row.get(2)?,
            event: row.get(3)?,
            message: row.get(4)?,
            leased: row.get(5)?,
            attempts: row.get(6)?,
            unknown: row.get(7)?,
            created: row.get(8)?,
        })
    })?;
    let due = due.collect::<rusqlite::Result<Vec<Due>>>()?;
    let (mut leases, mut bytes) = (Vec::with_capacity(due.len()), 0);
    for delivery in due {
        if bytes >= PAGE_BYTES {
            break; // The rest stays due.
        }
        let attempt = delivery.attempts + 1;
        let unknown = delivery.unknown || delivery.leased;
        scope
            .transaction
            .prepare_cached(
                "UPDATE deliveries SET state = 1, attempts = ?2, due = ?3, unknown = ?4 \
                 WHERE seq = ?1",
            )?
            .execute(params![delivery.seq, attempt, until, unknown])?;
        let row = read::by_seq(scope.transaction, delivery.application)?;
        bytes += row.bytes();
        let kind = DeliveryKind::from_number(delivery.kind)
            .ok_or_else(|| StoreError::Corrupt("a delivery of no known kind".into()))?;
        let event = match kind {
            DeliveryKind::Event => {
                let (seq, event) = (delivery.application, delivery.event);
                Some(Box::new(read::event_of(scope.transaction, scope.vault, seq, event)?))
            }
            DeliveryKind::Application | DeliveryKind::Result => None,
        };
        leases.push(Lease {
            delivery: delivery.seq,
            fence: until,
            attempt,
            kind,
            message: delivery.message,
            unknown,
            created: delivery.created,
            application: Box::new(row.application(scope.vault)?),
            event,
            sequence: delivery.event,
            trace: row.trace,
            party: party.to_owned(),
        });
    }
    Ok(leases)
}

/// Makes due what would wait longer than anything does. One that is leased is offered again after
/// the longest wait, unless who holds it settles it before.
fn set_right(scope: &Scope<'_>, party: &str, now: i64) -> Result<(), StoreError> {
    let Some(longest) = scope.terms.longest_wait else { return Ok(()) };
    scope
        .transaction
        .prepare_cached(
            "UPDATE deliveries SET due = iif(state = 0, ?2, ?3) \
             WHERE party = ?1 AND state IN (0, 1) AND due > ?3 AND due < ?4",
        )?
        .execute(params![party, now, now.saturating_add(longest), HELD])?;
    Ok(())
}

pub(super) fn settle(
    scope: &mut Scope<'_>,
    lease: &Lease,
    settlement: &Settlement,
) -> Result<(), StoreError> {
    let now = clock::now_micros();
    let ended = take::ended(lease, settlement);
    let (due, uncounted) = (ended.due.unwrap_or(now), i64::from(ended.uncounted));
    // Only the holder of the lease settles: `due` is when it ends and names it.
    let settled = scope
        .transaction
        .prepare_cached(
            "UPDATE deliveries SET state = ?3, due = ?4, attempts = attempts - ?5, unknown = ?6, \
             note = ?7 WHERE seq = ?1 AND state = 1 AND due = ?2",
        )?
        .execute(params![
            lease.delivery,
            lease.fence,
            ended.state,
            due,
            uncounted,
            ended.unknown,
            ended.note
        ])?;
    if settled == 0 {
        return Ok(()); // The lease had expired; whoever holds it now asks the receiver.
    }
    scope.news = true; // What waited behind it in the application's order may go.
    if ended.state == 2 {
        release(scope, lease.delivery)?;
    }
    if let Some(what) = ended.what {
        leaf(scope, &take::ended_leaf(lease, what, now))?;
    }
    let Some(r#type) = ended.step else { return Ok(()) };
    let row = read::by_id(scope.transaction, lease.id()?)?;
    let mut row =
        row.ok_or_else(|| StoreError::Corrupt("a delivery without application".into()))?;
    let event = pb::ApplicationEvent { r#type: r#type as i32, ..Default::default() };
    // No step: the handling side was quicker than our record, or it was withdrawn meanwhile.
    if let Ok(step) = advance::step(row.standing(), &event, 0) {
        write::take(scope, &mut row, Cause { step, event: &event, by: By::gateway(now) })?;
    }
    Ok(())
}

/// What operations do by hand, each with its leaf; returns how many there were.
pub(super) fn by_hand(
    scope: &mut Scope<'_>,
    act: &ByHand,
    deliveries: &[i64],
) -> Result<usize, StoreError> {
    let sql = match act {
        ByHand::Revive => REVIVE,
        ByHand::Resend => RESEND,
        ByHand::Discard(_) => DISCARD,
    };
    let mut changed = 0;
    let now = clock::now_micros();
    for delivery in deliveries {
        if scope.transaction.prepare_cached(sql)?.execute(params![delivery, now, HELD])? == 0 {
            continue;
        }
        changed += 1;
        scope.news = true;
        if matches!(act, ByHand::Discard(_)) {
            release(scope, *delivery)?;
        }
        leaf(scope, &act.leaf(*delivery, now))?;
    }
    Ok(changed)
}

const REVIVE: &str = "UPDATE deliveries AS d SET state = 0, attempts = 0, \
     due = iif(EXISTS (SELECT 1 FROM deliveries e WHERE e.application = d.application \
       AND e.party = d.party AND e.seq < d.seq AND e.state IN (0, 1, 3)), ?3, ?2) \
     WHERE seq = ?1 AND state = 3";
const RESEND: &str = "UPDATE deliveries AS d SET state = 0, attempts = 0, unknown = 1, \
     due = iif(EXISTS (SELECT 1 FROM deliveries e WHERE e.application = d.application \
       AND e.party = d.party AND e.seq < d.seq AND e.state IN (0, 1, 3)), ?3, ?2) \
     WHERE seq = ?1 AND state = 2 AND EXISTS (SELECT 1 FROM applications a \
       WHERE a.seq = d.application AND a.purged IS NULL)";
// Ended now, as one that is delivered is.
const DISCARD: &str =
    "UPDATE deliveries SET state = 5, due = min(?2, ?3) WHERE seq = ?1 AND state = 3";

/// When a delivery is due that waits for an earlier one of its application to its party.
pub(super) const HELD: i64 = i64::MAX;
