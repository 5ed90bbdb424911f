//! Writes what was decided, and commits: one statement a table, all sent at once. Keys and benefits
//! are written in their order, so that two gateways wait for each other in one direction only; the
//! row of `log` is taken last. SQL, but no rule of the business.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::store::{
    postgres::{
        alike::END_TURNS,
        connection::{Connection, Trouble, Value},
        loaded::Loaded,
        writes::Writes,
    },
    record::Prepared,
};

type Step<'a> = (&'static str, Vec<Value<'a>>);

/// Writes and commits; returns the number of the last event, if there was one.
pub(super) async fn flush(
    connection: &mut Connection,
    loaded: &Loaded,
    writes: &Writes,
) -> Result<Option<i64>, Trouble> {
    let mut steps = Vec::new();
    applications(&mut steps, writes);
    keys(&mut steps, writes);
    holds(&mut steps, loaded, writes);
    deliveries(&mut steps, writes);
    let turns = loaded.alike.turns();
    if !turns.is_empty() {
        steps.push((END_TURNS, vec![Box::new(turns)]));
    }
    let logged = !(writes.events.is_empty() && writes.leaves.is_empty());
    if logged {
        steps.push((LOG, log(writes)));
    }
    steps.push(("COMMIT", vec![]));
    let answers = connection.script(&steps).await?;
    let last = answers.iter().rev().nth(1).and_then(|rows| rows.first());
    let last = last.filter(|_| logged).map(|row| row.try_get(0)).transpose()?;
    Ok(last.filter(|_| !writes.events.is_empty()))
}

/// A statement that can be known before anything is to be written.
pub(super) const ALL: [&str; 11] = [
    INSERT_APPLICATIONS,
    UPDATE_APPLICATIONS,
    REVISE_APPLICATIONS,
    INSERT_KEYS,
    DELETE_HOLDS,
    INSERT_HOLDS,
    INSERT_DELIVERIES,
    ORDER_DELIVERIES,
    LOG,
    "BEGIN",
    "COMMIT",
];

fn applications<'a>(steps: &mut Vec<Step<'a>>, writes: &'a Writes) {
    if !writes.fresh.is_empty() {
        let fresh = || writes.fresh.iter().map(|fresh| &*fresh.prepared);
        let new = || fresh().map(|prepared| &prepared.new);
        let application = || new().map(|new| &new.application);
        steps.push((
            INSERT_APPLICATIONS,
            vec![
                column(writes.fresh.iter().map(|fresh| fresh.number)),
                column(new().map(|new| new.id)),
                column(application().map(|one| one.business)),
                column(application().map(|one| one.state)),
                column(application().map(|one| one.submitting_party.as_str())),
                column(application().map(|one| one.handling_party.as_str())),
                column(application().map(|one| one.acceptance_number.as_str())),
                column(application().map(|one| one.home_division.as_str())),
                column(application().map(|one| one.home_division_name.as_str())),
                column(new().map(|new| new.benefits.concat())),
                column(fresh().map(|prepared| &prepared.salt[..])),
                column(new().map(|new| new.trace.to_string())),
                column(new().map(|new| new.now)),
                column(fresh().map(|prepared| &prepared.body[..])),
                column(fresh().map(Prepared::wake)),
                column(writes.fresh.iter().map(|fresh| fresh.kept.as_deref())),
                column(new().map(|new| new.likeness.as_ref().map(|like| &like.own[..]))),
            ],
        ));
    }
    if !writes.changed.is_empty() {
        let rows = || writes.changed.values();
        steps.push((
            UPDATE_APPLICATIONS,
            vec![
                column(rows().map(|row| row.seq)),
                column(rows().map(|row| row.state as i32)),
                column(rows().map(|row| row.version)),
                column(rows().map(|row| row.updated)),
                column(rows().map(|row| row.open as i32)),
                column(rows().map(|row| &row.benefits[..])),
                column(rows().map(|row| row.kept.as_deref())),
                column(rows().map(|row| row.wake)),
            ],
        ));
    }
    if !writes.revised.is_empty() {
        let rows = || writes.revised.iter().filter_map(|id| writes.changed.get(id));
        let values = vec![
            column(rows().map(|row| row.seq)),
            column(rows().map(|row| row.revised.as_deref())),
        ];
        steps.push((REVISE_APPLICATIONS, values));
    }
}

fn keys<'a>(steps: &mut Vec<Step<'a>>, writes: &'a Writes) {
    let keys = || writes.keys.iter();
    if !writes.keys.is_empty() {
        let values = vec![
            column(keys().map(|one| &one.key.key[..])),
            column(keys().map(|one| &one.key.content[..])),
            column(keys().map(|one| one.application)),
            column(keys().map(|one| one.created)),
            column(keys().map(|one| one.answer.as_deref())),
        ];
        steps.push((INSERT_KEYS, values));
    }
}

fn holds<'a>(steps: &mut Vec<Step<'a>>, loaded: &Loaded, writes: &'a Writes) {
    let was_held = |benefit: &[u8; 16]| loaded.holders.get(benefit) != Some(&None);
    let gone = writes.holders.keys().filter(|benefit| was_held(benefit));
    let gone: Vec<&[u8]> = gone.map(|benefit| &benefit[..]).collect();
    if !gone.is_empty() {
        steps.push((DELETE_HOLDS, vec![Box::new(gone)]));
    }
    let held = || writes.holders.iter().filter_map(|(benefit, holder)| Some((benefit, (*holder)?)));
    if held().next().is_some() {
        let values = vec![
            column(held().map(|(benefit, _)| &benefit[..])),
            column(held().map(|(_, holder)| Uuid::from_bytes(holder))),
        ];
        steps.push((INSERT_HOLDS, values));
    }
}

fn deliveries<'a>(steps: &mut Vec<Step<'a>>, writes: &'a Writes) {
    let new = || writes.deliveries.iter();
    if !writes.deliveries.is_empty() {
        let number = |number: i64| i32::try_from(number).unwrap_or_default();
        let values = vec![
            column(new().map(|one| one.application)),
            column(new().map(|one| one.party.as_str())),
            column(new().map(|one| number(one.kind.number()))),
            column(new().map(|one| one.event)),
            column(new().map(|one| &one.message[..])),
            column(new().map(|one| one.created)),
        ];
        steps.push((INSERT_DELIVERIES, values));
    }
    if !writes.order.is_empty() {
        let values = vec![
            column(writes.order.iter().map(|(row, _)| *row)),
            column(writes.order.iter().map(|(_, party)| party.as_str())),
        ];
        steps.push((ORDER_DELIVERIES, values));
    }
}

/// The values of [`LOG`].
pub(super) fn log(writes: &Writes) -> Vec<Value<'_>> {
    let (events, leaves) = (|| writes.events.iter(), || writes.leaves.iter());
    let outbox = writes.outbox();
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    vec![
        Box::new(count(writes.events.len())),
        Box::new(count(writes.leaves.len())),
        column(events().map(|event| event.application)),
        column(events().map(|event| event.sequence)),
        column(events().map(|event| event.r#type as i32)),
        column(events().map(|event| event.state as i32)),
        column(events().map(|event| event.party.as_str())),
        column(events().map(|event| event.time)),
        column(events().map(|event| event.detail.as_deref())),
        column(leaves().map(|leaf| &leaf.hash[..])),
        column(leaves().map(|leaf| &leaf.entry[..])),
        column(outbox.keys().copied()),
        column(outbox.values().map(|moved| moved.waiting)),
        column(outbox.values().map(|moved| moved.parked)),
    ]
}

fn column<'a, T>(values: impl Iterator<Item = T>) -> Value<'a>
where
    T: ToSql + Sync + Send + 'a,
{
    Box::new(values.collect::<Vec<T>>())
}

const INSERT_APPLICATIONS: &str = "INSERT INTO applications (seq, id, business, state, version, \
     submitter, handler, acceptance_number, home_division, home_name, open, benefits, salt, \
     trace, created, updated, body, wake, kept, alike) \
     SELECT n.seq, n.id, n.business, n.state, 1, n.submitter, n.handler, n.number, n.division, \
     n.name, 1, n.benefits, n.salt, n.trace, n.created, n.created, n.body, n.wake, \
     n.kept, n.alike \
     FROM unnest($1::bigint[], $2::uuid[], $3::integer[], $4::integer[], $5::text[], $6::text[], \
     $7::text[], $8::text[], $9::text[], $10::bytea[], $11::bytea[], $12::text[], $13::bigint[], \
     $14::bytea[], $15::bigint[], $16::bytea[], $17::bytea[]) AS n(seq, id, business, state, \
     submitter, handler, number, division, name, benefits, salt, trace, created, body, wake, kept, \
     alike)";
const UPDATE_APPLICATIONS: &str = "UPDATE applications a SET state = n.state, \
     version = n.version, updated = n.updated, open = n.open, benefits = n.benefits, \
     kept = n.kept, wake = n.wake \
     FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[], $5::integer[], \
     $6::bytea[], $7::bytea[], $8::bigint[]) \
     AS n(seq, state, version, updated, open, benefits, kept, wake) WHERE a.seq = n.seq";
const REVISE_APPLICATIONS: &str = "UPDATE applications a SET revised = n.revised \
     FROM unnest($1::bigint[], $2::bytea[]) AS n(seq, revised) WHERE a.seq = n.seq";
const INSERT_KEYS: &str = "INSERT INTO idempotency (key, content, application, created, answer) \
     SELECT n.* FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bytea[]) \
     AS n(key, content, application, created, answer) ORDER BY n.key";
const DELETE_HOLDS: &str = "DELETE FROM holds WHERE benefit = ANY($1)";
const INSERT_HOLDS: &str = "INSERT INTO holds (benefit, application) \
     SELECT n.* FROM unnest($1::bytea[], $2::uuid[]) AS n(benefit, application) \
     ORDER BY n.benefit";
// The first delivery of a new application waits for none; of the others the next statement says
// which may go.
const INSERT_DELIVERIES: &str = "INSERT INTO deliveries (application, party, kind, event, \
     message, state, attempts, fence, due, unknown, note, created) \
     SELECT n.application, n.party, n.kind, n.event, n.message, \
     CASE WHEN n.event = 1 THEN 0 ELSE 4 END, 0, 0, statement_timestamp(), false, '', n.created \
     FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::bigint[], $5::bytea[], \
     $6::bigint[]) AS n(application, party, kind, event, message, created)";
// Of one application to one party the earliest that is not delivered may go, the others wait.
const ORDER_DELIVERIES: &str = "UPDATE deliveries d \
     SET state = CASE WHEN d.event = n.first THEN 0 ELSE 4 END \
     FROM (SELECT o.application, o.party, (SELECT min(e.event) FROM deliveries e \
       WHERE e.application = o.application AND e.party = o.party \
       AND e.state <> 2 AND e.state <> 5) AS first \
       FROM unnest($1::bigint[], $2::text[]) AS o(application, party)) n \
     WHERE d.application = n.application AND d.party = n.party \
     AND d.state <> 2 AND d.state <> 5 \
     AND d.state = CASE WHEN d.event = n.first THEN 4 ELSE 0 END";
/// Appends events and leaves, in the order of commits; the last statement before it. What waits
/// changes with a leaf or an event only, and is counted here: behind the one row that is taken anyway.
pub(super) const LOG: &str = "WITH taken AS (UPDATE log SET events = events + $1, leaves = leaves + $2 \
       RETURNING events - $1 AS event, leaves - $2 AS leaf), \
     e AS (INSERT INTO events (seq, application, sequence, type, state, party, time, detail) \
       SELECT taken.event + n.place, n.application, n.sequence, n.type, n.state, n.party, \
       n.time, n.detail FROM taken, unnest($3::bigint[], $4::bigint[], $5::integer[], \
       $6::integer[], $7::text[], $8::bigint[], $9::bytea[]) WITH ORDINALITY \
       AS n(application, sequence, type, state, party, time, detail, place)), \
     l AS (INSERT INTO leaves (position, hash, entry) \
       SELECT taken.leaf + n.place - 1, n.hash, n.entry FROM taken, \
       unnest($10::bytea[], $11::bytea[]) WITH ORDINALITY AS n(hash, entry, place)), \
     w AS (INSERT INTO outbox AS o (party, waiting, parked) \
       SELECT n.party, n.waiting, n.parked FROM taken, unnest($12::text[], $13::bigint[], \
       $14::bigint[]) AS n(party, waiting, parked) ON CONFLICT (party) DO UPDATE \
       SET waiting = o.waiting + excluded.waiting, parked = o.parked + excluded.parked) \
     SELECT event + $1 FROM taken";
