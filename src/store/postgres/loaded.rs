//! What a batch reads before anything is decided: the keys, applications, benefits and deliveries
//! that its requests name. Applications are locked in the order of their ids and stay so until the
//! commit; what is read after the locks is as it will be then. SQL, but no rule of the business.

use std::collections::{BTreeSet, HashMap, HashSet};

use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    model::{
        clock,
        pb::{Business, EventType, State},
        trace::TraceContext,
    },
    store::{
        advance::Open,
        by_hand::ByHand,
        postgres::{
            alike::Alike,
            connection::{Connection, Trouble, Value},
            writer::{Item, Request},
        },
        record::ApplicationRow,
        rows::Settlement,
        take,
    },
};

/// A row id or a digest of person and benefit.
pub(super) type Short = [u8; 16];

/// What is known before deciding.
#[derive(Default)]
pub(super) struct Loaded {
    /// Idempotency keys that were used.
    pub(super) keys: HashMap<[u8; 32], Used>,
    /// Applications, locked; `None` for an id that there is none of.
    pub(super) rows: HashMap<Short, Option<ApplicationRow>>,
    /// Who holds a benefit; `None` when nobody does.
    pub(super) holders: HashMap<Short, Option<Short>>,
    /// Those of the holders that were told of a second application.
    pub(super) told: HashSet<Short>,
    /// Numbers for new applications.
    pub(super) numbers: Vec<i64>,
    /// Leases that ended now: delivery and fence.
    pub(super) settled: HashSet<(i64, i64)>,
    /// Deliveries that operations did something with, and row and party of each.
    pub(super) by_hand: HashMap<i64, (i64, String)>,
    /// Applications whose clocks are due.
    pub(super) due: Vec<Short>,
    /// Who new ones may be like.
    pub(super) alike: Alike,
}

/// What a key was used for.
#[derive(Clone)]
pub(super) struct Used {
    pub(super) content: [u8; 32],
    pub(super) application: Short,
    /// Sealed; none for the application as it was first answered.
    pub(super) answer: Option<Vec<u8>>,
}

/// What a request lacks to be decided.
#[derive(Debug)]
pub(super) enum Lack {
    Row(Short),
    Holder(Short),
}

pub(super) type Step = (&'static str, Vec<Value<'static>>);

impl Loaded {
    /// Begins the transaction and reads what the requests name.
    pub(super) async fn begin(
        connection: &mut Connection,
        items: &[Item],
    ) -> Result<Self, Trouble> {
        let mut loaded = Self::default();
        let mut ids = loaded.find(connection, items).await?;
        ids.extend(loaded.keys.values().map(|used| used.application));
        ids.extend(loaded.due.iter().copied());
        ids.extend(loaded.alike.ids());
        let first: Vec<Short> = loaded.holders.values().flatten().copied().collect();
        ids.extend(first.iter().copied());
        let settles = |item: &Item| matches!(item.request, Request::Settle(..));
        // Without either there is nothing to lock: what the requests bring is all new.
        if !ids.is_empty() || items.iter().any(settles) {
            loaded.lock(connection, &ids, first, items).await?;
        }
        Ok(loaded)
    }

    /// Finds out which applications the requests are about; locks only those whose clocks are due.
    async fn find(
        &mut self,
        connection: &mut Connection,
        items: &[Item],
    ) -> Result<BTreeSet<Short>, Trouble> {
        let (mut benefits, mut by_hand) = (BTreeSet::new(), Vec::new());
        let (mut ids, mut fresh, mut strike) = (BTreeSet::new(), 0_i32, None);
        for item in items {
            match &item.request {
                Request::Accept(prepared) => {
                    benefits.extend(prepared.new.benefits.iter().copied());
                    if let Some(likeness) = &prepared.new.likeness {
                        self.alike.expect(likeness);
                    }
                    fresh += 1;
                }
                Request::Apply(change) => {
                    ids.insert(*change.id.as_bytes());
                }
                Request::Settle(_, Settlement::Again { .. }) | Request::Record(_) => {}
                Request::Settle(lease, _) => {
                    ids.insert(*lease.id()?.as_bytes());
                }
                Request::Strike(now, limit) => {
                    strike = Some((*now, i64::try_from(*limit).unwrap_or(i64::MAX)));
                }
                Request::ByHand(_, deliveries) => by_hand.extend_from_slice(deliveries),
            }
        }
        let asked: Vec<Short> = benefits.into_iter().collect();
        let mut steps: Vec<Step> = vec![
            ("BEGIN", vec![]),
            (KEYS, vec![Box::new(keys(items))]),
            (HOLDERS, vec![Box::new(bytes(&asked))]),
            (NUMBERS, vec![Box::new(fresh)]),
            (OF_DELIVERIES, vec![Box::new(by_hand)]),
        ];
        if let Some((now, limit)) = strike {
            steps.push((DUE, vec![Box::new(now), Box::new(limit)]));
        }
        let alike = self.alike.steps().map(|[take, read]| {
            steps.insert(1, take);
            steps.push(read);
        });
        let mut answers = connection.script(&steps).await?;
        if alike.is_some() {
            answers.remove(1);
            self.alike.note(&answers.pop().unwrap_or_default())?;
        }
        self.note_keys(&answers[1])?;
        self.note_holders(&asked, &answers[2])?;
        self.numbers = column(&answers[3])?;
        ids.extend(uuids(&answers[4])?);
        self.due = answers.get(5).map_or_else(|| Ok(Vec::new()), |rows| uuids(rows))?;
        Ok(ids)
    }

    /// Locks the applications, then reads what their locks hold still.
    async fn lock(
        &mut self,
        connection: &mut Connection,
        ids: &BTreeSet<Short>,
        first: Vec<Short>,
        items: &[Item],
    ) -> Result<(), Trouble> {
        let held: Vec<Short> = self.holders.keys().copied().collect();
        let sorted: Vec<Uuid> = ids.iter().copied().map(Uuid::from_bytes).collect();
        let first: Vec<Uuid> = first.into_iter().map(Uuid::from_bytes).collect();
        let refused = EventType::DuplicateRefused as i32;
        let mut steps: Vec<Step> = vec![
            (ROWS, vec![Box::new(sorted)]),
            // Before the locks somebody may have been about to use the same key. Keys are read after
            // holders: who holds a benefit has used a key.
            (HOLDERS, vec![Box::new(bytes(&held))]),
            (KEYS, vec![Box::new(keys(items))]),
            (TOLD, vec![Box::new(first), Box::new(refused)]),
            settle(items),
        ];
        for item in items {
            let Request::ByHand(act, list) = &item.request else { continue };
            let sql = match act {
                ByHand::Revive => REVIVE,
                ByHand::Resend => RESEND,
                ByHand::Discard(_) => DISCARD,
            };
            steps.push((sql, vec![Box::new(list.clone())]));
        }
        let answers = connection.script(&steps).await?;
        self.note_rows(ids, &answers[0])?;
        self.note_holders(&held, &answers[1])?;
        self.note_keys(&answers[2])?;
        self.told.extend(uuids(&answers[3])?);
        for row in &answers[4] {
            self.settled.insert((row.try_get(0)?, row.try_get(1)?));
        }
        for row in answers[5..].iter().flatten() {
            self.by_hand.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
        }
        Ok(())
    }

    /// Reads what turned out to be needed besides.
    pub(super) async fn more(
        &mut self,
        connection: &mut Connection,
        items: &[Item],
        lack: Lack,
    ) -> Result<(), Trouble> {
        let mut held: Vec<Short> = self.holders.keys().copied().collect();
        let mut ids = BTreeSet::new();
        match lack {
            Lack::Row(id) => _ = ids.insert(id),
            Lack::Holder(benefit) => held.push(benefit),
        }
        let sorted: Vec<Uuid> = ids.iter().copied().map(Uuid::from_bytes).collect();
        // Only now that it is locked is it certain what it holds; and whoever turns up as a holder
        // may have used one of the keys.
        let steps: Vec<Step> = vec![
            (ROWS, vec![Box::new(sorted)]),
            (HOLDERS, vec![Box::new(bytes(&held))]),
            (KEYS, vec![Box::new(keys(items))]),
        ];
        let answers = connection.script(&steps).await?;
        self.note_rows(&ids, &answers[0])?;
        self.note_holders(&held, &answers[1])?;
        self.note_keys(&answers[2])
    }

    fn note_keys(&mut self, rows: &[Row]) -> Result<(), Trouble> {
        for row in rows {
            let used = Used {
                content: array(row, 1)?,
                application: *row.try_get::<_, Uuid>(2)?.as_bytes(),
                answer: row.try_get(3)?,
            };
            self.keys.insert(array(row, 0)?, used);
        }
        Ok(())
    }

    fn note_rows(&mut self, ids: &BTreeSet<Short>, rows: &[Row]) -> Result<(), Trouble> {
        self.rows.extend(ids.iter().map(|id| (*id, None)));
        for row in rows {
            let row = application(row)?;
            self.rows.insert(row.id, Some(row));
        }
        Ok(())
    }

    fn note_holders(&mut self, asked: &[Short], rows: &[Row]) -> Result<(), Trouble> {
        self.holders.extend(asked.iter().map(|benefit| (*benefit, None)));
        for row in rows {
            let holder = *row.try_get::<_, Uuid>(1)?.as_bytes();
            self.holders.insert(array(row, 0)?, Some(holder));
        }
        Ok(())
    }
}

/// The idempotency keys of the requests.
fn keys(items: &[Item]) -> Vec<Vec<u8>> {
    let key = |item: &Item| match &item.request {
        Request::Accept(prepared) => Some(prepared.new.key.key.to_vec()),
        Request::Apply(change) => Some(change.key.key.to_vec()),
        Request::Record(_) | Request::Settle(..) | Request::Strike(..) | Request::ByHand(..) => {
            None
        }
    };
    items.iter().filter_map(key).collect()
}

/// The ends of leases. Only the holder of the last lease settles.
fn settle(items: &[Item]) -> Step {
    let (mut deliveries, mut fences, mut states) = (Vec::new(), Vec::new(), Vec::new());
    let (mut waits, mut uncounted) = (Vec::new(), Vec::new());
    let (mut unknown, mut notes) = (Vec::new(), Vec::new());
    let now = clock::now_micros();
    for item in items {
        let Request::Settle(lease, settlement) = &item.request else { continue };
        let ended = take::ended(lease, settlement);
        deliveries.push(lease.delivery);
        fences.push(lease.fence);
        states.push(i32::try_from(ended.state).unwrap_or_default());
        // The database's clock says when it is due, so that those of the gateways need not agree.
        waits.push(ended.due.map_or(0, |due| due.saturating_sub(now).max(0)));
        uncounted.push(i32::from(ended.uncounted));
        unknown.push(ended.unknown);
        notes.push(ended.note.to_owned());
    }
    let values: Vec<Value<'static>> = vec![
        Box::new(deliveries),
        Box::new(fences),
        Box::new(states),
        Box::new(waits),
        Box::new(uncounted),
        Box::new(unknown),
        Box::new(notes),
    ];
    (SETTLE, values)
}

/// The row of [`application_columns`].
pub(super) fn application(row: &Row) -> Result<ApplicationRow, Trouble> {
    let trace: &str = row.try_get(10)?;
    Ok(ApplicationRow {
        seq: row.try_get(0)?,
        id: *row.try_get::<_, Uuid>(1)?.as_bytes(),
        business: Business::try_from(row.try_get::<_, i32>(2)?).unwrap_or_default(),
        state: State::try_from(row.try_get::<_, i32>(3)?).unwrap_or_default(),
        version: row.try_get(4)?,
        submitter: row.try_get(5)?,
        handler: row.try_get(6)?,
        home_name: row.try_get(7)?,
        benefits: row.try_get(8)?,
        salt: array(row, 9)?,
        trace: TraceContext::parse(trace).unwrap_or_default(),
        created: row.try_get(11)?,
        updated: row.try_get(12)?,
        body: row.try_get(13)?,
        revised: row.try_get(14)?,
        kept: row.try_get(15)?,
        open: Open::from_number(row.try_get::<_, i32>(16)?.into()),
        wake: row.try_get(17)?,
    })
}

/// A column of so many bytes.
pub(super) fn array<const N: usize>(row: &Row, at: usize) -> Result<[u8; N], Trouble> {
    let bytes: &[u8] = row.try_get(at)?;
    let wrong = || crate::store::StoreError::Corrupt(format!("a column of {} bytes", bytes.len()));
    Ok(bytes.try_into().map_err(|_| wrong())?)
}

pub(super) fn bytes(digests: &[Short]) -> Vec<Vec<u8>> {
    digests.iter().map(|digest| digest.to_vec()).collect()
}

fn column(rows: &[Row]) -> Result<Vec<i64>, Trouble> {
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

fn uuids(rows: &[Row]) -> Result<Vec<Short>, Trouble> {
    let ids = rows.iter().map(|row| row.try_get::<_, Uuid>(0).map(Uuid::into_bytes));
    Ok(ids.collect::<Result<_, _>>()?)
}

/// The columns that [`application`] reads, in its order, and `more` behind them.
macro_rules! application_columns {
    ($($more:literal)?) => {
        concat!(
            "SELECT a.seq, a.id, a.business, a.state, a.version, a.submitter, a.handler, \
             a.home_name, a.benefits, a.salt, a.trace, a.created, a.updated, a.body, a.revised, \
             a.kept, a.open, a.wake",
            $($more,)?
            " FROM applications a "
        )
    };
}
pub(super) use application_columns;

/// About how much one takes in memory, as `ApplicationRow::bytes` says.
macro_rules! application_bytes {
    () => {
        "(octet_length(a.body) + coalesce(octet_length(a.revised), 0))::bigint"
    };
}
pub(super) use application_bytes;

const KEYS: &str = "SELECT i.key, i.content, a.id, i.answer \
     FROM idempotency i JOIN applications a ON a.seq = i.application WHERE i.key = ANY($1) \
     AND a.purged IS NULL";
const HOLDERS: &str = "SELECT benefit, application FROM holds WHERE benefit = ANY($1)";
const NUMBERS: &str = "SELECT nextval('applications_seq') FROM generate_series(1, $1)";
const OF_DELIVERIES: &str = "SELECT DISTINCT a.id \
     FROM deliveries d JOIN applications a ON a.seq = d.application WHERE d.seq = ANY($1)";
// Locked out of order, but never waited for; such a transaction waits for no other application.
const DUE: &str = "SELECT id FROM applications WHERE wake <= $1 ORDER BY wake, seq LIMIT $2 \
     FOR UPDATE SKIP LOCKED";
const ROWS: &str = concat!(
    application_columns!(),
    "WHERE a.id = ANY($1) AND a.purged IS NULL \
     ORDER BY a.id FOR UPDATE OF a"
);
const TOLD: &str = "SELECT DISTINCT a.id FROM applications a \
     JOIN events e ON e.application = a.seq WHERE a.id = ANY($1) AND e.type = $2";
const SETTLE: &str = "UPDATE deliveries d SET state = n.state, \
     due = statement_timestamp() + n.wait * interval '1 microsecond', \
     attempts = d.attempts - n.uncounted, unknown = n.unknown, note = n.note \
     FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::bigint[], $5::integer[], \
     $6::boolean[], $7::text[]) AS n(seq, fence, state, wait, uncounted, unknown, note) \
     WHERE d.seq = n.seq AND d.fence = n.fence AND d.state = 1 RETURNING d.seq, d.fence";
const REVIVE: &str = "UPDATE deliveries SET state = 0, attempts = 0, \
     due = statement_timestamp() WHERE seq = ANY($1) AND state = 3 \
     RETURNING seq, application, party";
const RESEND: &str = "UPDATE deliveries SET state = 0, attempts = 0, unknown = true, \
     due = statement_timestamp() WHERE seq = ANY($1) AND state = 2 \
     AND EXISTS (SELECT 1 FROM applications a WHERE a.seq = deliveries.application \
       AND a.purged IS NULL) \
     RETURNING seq, application, party";
const DISCARD: &str = "UPDATE deliveries SET state = 5 WHERE seq = ANY($1) AND state = 3 \
     RETURNING seq, application, party";
