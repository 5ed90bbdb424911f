//! What a step, a clock or the end of a lease makes of an application's row, and what is to be
//! written because of it. Pure but for the vault; every store writes what comes out. Depends on
//! model, audit and business; knows no SQL.

use crate::{
    audit::{Entry, Kind, Leaf},
    business::{self, clock, opinion},
    model::{
        clock::china_date,
        lifecycle::Step,
        pb::{self, EventType},
    },
    store::{
        StoreError, Terms,
        advance::{self, By},
        holding::{self, Holding},
        record::{ApplicationRow, NewDelivery, NewEvent, seal},
        rows::{DeliveryKind, Lease, Settlement},
        vault::Vault,
    },
    telemetry,
};

/// Most things the clocks of one application say at once: each limit speaks at most twice and
/// causes at most one step; a business has a handful.
pub(super) const SAYINGS: usize = 32;

/// What a step writes, besides state, version and time.
pub(super) struct Taken {
    /// The application as it then stands.
    pub(super) application: pb::Application,
    pub(super) event: NewEvent,
    pub(super) leaf: Leaf,
    pub(super) deliveries: Vec<NewDelivery>,
    /// What becomes of benefits; `None` when nothing does.
    pub(super) holding: Option<Holding>,
    /// `revised` has changed.
    pub(super) revised: bool,
    /// `kept` and `wake` have changed.
    pub(super) kept: bool,
}

/// Takes the step: new state and version, event, leaf, deliveries.
pub(super) fn take(
    row: &mut ApplicationRow,
    step: Step,
    cause: &pb::ApplicationEvent,
    by: By<'_>,
    (vault, terms): (&Vault, &Terms),
) -> Result<Taken, StoreError> {
    let mut content = row.content(vault)?;
    let cause = &advance::completed(&content, cause);
    let revised = advance::revise(&content, cause, by.time);
    let is_revised = revised.is_some();
    if let Some(revised) = revised {
        content = revised;
        row.revised = Some(seal(vault, &row.id, "revised", &content)?);
    }
    // What stands beside the content comes before it when it is read.
    let stale = is_revised && row.kept.is_some();
    let kept = note(row, &mut content, (step, stale), by.time, (vault, terms))?;
    (row.state, row.version, row.updated) = (step.to, row.version + 1, by.time);
    let holding = holding::hold(row, step, &content, vault);
    let detail = advance::detail(cause);
    let sealed = match detail.is_empty() {
        true => None,
        false => Some(vault.seal(&row.id, "detail", &detail)?),
    };
    let event = NewEvent {
        application: row.seq,
        sequence: row.version,
        r#type: step.event,
        state: step.to,
        party: by.party.to_owned(),
        time: by.time,
        detail: sealed,
    };
    let id = uuid::Uuid::from_bytes(row.id).to_string();
    let entry = advance::event_entry(&id, row.version, step.event, step.to, by, &row.salt, &detail);
    Ok(Taken {
        application: row.with_header(content, row.state, row.version, row.updated),
        event,
        leaf: entry.leaf(),
        deliveries: deliveries(row, step, by, terms),
        holding,
        revised: is_revised,
        kept,
    })
}

fn deliveries(row: &ApplicationRow, step: Step, by: By<'_>, terms: &Terms) -> Vec<NewDelivery> {
    let sides = (row.submitter.as_str(), row.handler.as_str());
    let wanted = advance::deliveries(step.effect, terms, sides, by.party).into_iter();
    let delivery = |(kind, party): (DeliveryKind, &str)| NewDelivery {
        application: row.seq,
        party: party.to_owned(),
        kind,
        event: row.version,
        message: advance::message_number(&row.id, row.version, kind, party),
        created: by.time,
    };
    wanted.map(delivery).collect()
}

/// Lets the application's clocks take note of the step; whether what stands beside the content has
/// changed, or is `stale` without it.
fn note(
    row: &mut ApplicationRow,
    content: &mut pb::Application,
    (step, stale): (Step, bool),
    now: i64,
    (vault, terms): (&Vault, &Terms),
) -> Result<bool, StoreError> {
    let limits = business::limits(row.business);
    let before = content.deadlines.clone();
    let opinion = opinion::given(content, step.event, china_date(now));
    let event = (step.event, step.to, opinion);
    clock::advance(limits, &mut content.deadlines, event, now, &terms.calendar);
    let wake = clock::wake(limits, &content.deadlines, step.to);
    // A limit may wait for a state: the same deadlines can have something to say in another.
    if content.deadlines == before && wake == row.wake && !stale {
        return Ok(false);
    }
    row.kept = Some(seal(vault, &row.id, "kept", &advance::kept(content))?);
    row.wake = wake;
    Ok(true)
}

/// Lets the clocks of the application say the next thing; `None` when there is no more. The row's
/// `kept` and `wake` are written either way: what was said must not be due again.
pub(super) fn strike(
    row: &mut ApplicationRow,
    now: i64,
    (vault, terms): (&Vault, &Terms),
) -> Result<Option<pb::ApplicationEvent>, StoreError> {
    let mut content = row.content(vault)?;
    let limits = business::limits(row.business);
    let struck = clock::strike(limits, &mut content.deadlines, row.state, now, &terms.calendar);
    row.kept = Some(seal(vault, &row.id, "kept", &advance::kept(&content))?);
    let wake = clock::wake(limits, &content.deadlines, row.state);
    // Nothing to say: it must not be due again at once.
    row.wake = if struck.is_some() { wake } else { clock::wake_later(wake, now) };
    Ok(struck.map(|struck| pb::ApplicationEvent {
        r#type: struck.event as i32,
        deadline: Some(struck.deadline),
        ..Default::default()
    }))
}

/// Counts and logs what a clock said.
pub(super) fn tell(row: &ApplicationRow, event: &pb::ApplicationEvent) {
    let kind = event.deadline.as_ref().map(pb::Deadline::kind).unwrap_or_default();
    let (limit, said) = (kind.as_str_name(), event.r#type().as_str_name());
    telemetry::count_limit(&row.business.code(), limit, said);
    let application = uuid::Uuid::from_bytes(row.id);
    tracing::warn!(application.id = %application, limit, said, "a limit spoke");
}

/// How the end of a lease is written.
pub(super) struct Ended<'a> {
    /// 0 due, 2 delivered, 3 parked.
    pub(super) state: i64,
    /// When it is due again, microseconds UTC.
    pub(super) due: Option<i64>,
    /// The attempt does not count.
    pub(super) uncounted: bool,
    pub(super) unknown: bool,
    pub(super) note: &'a str,
    /// What the audit log says of it, if anything.
    pub(super) what: Option<&'static str>,
    /// The step that the application takes.
    pub(super) step: Option<EventType>,
}

/// How the end of a lease is written.
pub(super) fn ended<'a>(lease: &Lease, settlement: &'a Settlement) -> Ended<'a> {
    let failed = (lease.kind == DeliveryKind::Application).then_some(EventType::DeliveryFailed);
    let ended = |state, unknown, note, what, step| Ended {
        state,
        due: None,
        uncounted: false,
        unknown,
        note,
        what: Some(what),
        step,
    };
    match settlement {
        Settlement::Delivered => ended(2, false, "", "DELIVERED", lease.step_when_delivered()),
        Settlement::Refused { note } => ended(3, false, note, "REFUSED", failed),
        Settlement::Parked { unknown, note } => ended(3, *unknown, note, "PARKED", failed),
        Settlement::Again { due, unknown, counted, note } => Ended {
            state: 0,
            due: Some(*due),
            uncounted: !counted,
            unknown: *unknown,
            note,
            what: None,
            step: None,
        },
    }
}

/// The leaf of a delivery that ended.
pub(super) fn ended_leaf(lease: &Lease, what: &str, now: i64) -> Leaf {
    let entry = Entry {
        kind: Kind::Delivery,
        time: now,
        party: lease.party.clone(),
        system: String::new(),
        application: lease.application.id.clone(),
        sequence: lease.sequence,
        what: what.to_owned(),
        state: lease.kind.word().to_owned(),
        content: hex::encode(lease.message),
    };
    entry.leaf()
}
