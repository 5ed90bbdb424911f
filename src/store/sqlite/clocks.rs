//! Statutory clocks within the transaction: each step lets them take note, and a clock whose hour
//! has come causes an event of its own.

use prost::Message as _;
use rusqlite::params;

use crate::{
    business::{self, clock},
    model::{lifecycle::Step, pb},
    store::{
        StoreError,
        advance::{self, By},
        sqlite::{
            read::{self, ApplicationRow},
            write::{standing, take},
            writer::Scope,
        },
    },
    telemetry,
};

/// Lets the application's clocks take note of the step, and writes them when they did.
pub(super) fn keep(
    scope: &mut Scope<'_>,
    row: &ApplicationRow,
    content: &mut pb::Application,
    step: Step,
    now: i64,
) -> Result<(), StoreError> {
    let limits = business::limits(row.business);
    let mut deadlines = content.deadlines.clone();
    let event = (step.event, step.to);
    clock::advance(limits, &mut deadlines, event, now, &scope.terms.calendar);
    // A limit may wait for a state: the same deadlines can have something to say in another.
    if deadlines == content.deadlines && clock::wake(limits, &deadlines, step.to) == row.wake {
        return Ok(());
    }
    content.deadlines = deadlines;
    let wake = clock::wake(limits, &content.deadlines, step.to);
    write_clocks(scope, row, content, wake)
}

/// Writes what stands beside the content: the clocks, and when they next have something to say.
fn write_clocks(
    scope: &Scope<'_>,
    row: &ApplicationRow,
    content: &pb::Application,
    wake: Option<i64>,
) -> Result<(), StoreError> {
    let kept = advance::kept(content);
    let sealed = scope.vault.seal(&row.id, "kept", &kept.encode_to_vec())?;
    scope
        .transaction
        .prepare_cached("UPDATE applications SET kept = ?2, wake = ?3 WHERE seq = ?1")?
        .execute(params![row.seq, sealed, wake])?;
    Ok(())
}

/// Lets every clock that is due at `now` speak, at most `limit` applications; returns how many.
pub(super) fn strike(scope: &mut Scope<'_>, now: i64, limit: usize) -> Result<usize, StoreError> {
    let due = {
        let mut query = scope.transaction.prepare_cached(
            "SELECT seq FROM applications WHERE wake <= ?1 ORDER BY wake, seq LIMIT ?2",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = query.query_map([now, limit], |row| row.get::<_, i64>(0))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()?
    };
    for seq in &due {
        strike_one(scope, *seq, now)?;
    }
    Ok(due.len())
}

/// Lets the clocks of one application speak.
pub(super) fn strike_one(scope: &mut Scope<'_>, seq: i64, now: i64) -> Result<(), StoreError> {
    // Each limit speaks at most twice and causes at most one step; a business has a handful.
    for _ in 0..32 {
        let row = read::by_seq(scope.transaction, seq)?;
        let mut content = row.content(scope.vault)?;
        let limits = business::limits(row.business);
        let struck =
            clock::strike(limits, &mut content.deadlines, row.state, now, &scope.terms.calendar);
        if struck.is_some() {
            let wake = clock::wake(limits, &content.deadlines, row.state);
            write_clocks(scope, &row, &content, wake)?;
        }
        let Some(struck) = struck else {
            // Nothing to say: it must not be due again at once.
            let wake = clock::wake(limits, &content.deadlines, row.state);
            return write_clocks(scope, &row, &content, clock::wake_later(wake, now));
        };
        let (limit, said) = (struck.deadline.kind().as_str_name(), struck.event.as_str_name());
        telemetry::count_limit(&row.business.code(), limit, said);
        let application = uuid::Uuid::from_bytes(row.id);
        tracing::warn!(application.id = %application, limit, said, "a limit spoke");
        let event = pb::ApplicationEvent {
            r#type: struck.event as i32,
            deadline: Some(struck.deadline),
            ..Default::default()
        };
        let row = read::by_seq(scope.transaction, seq)?;
        if let Ok(step) = advance::step(standing(&row), &event, 0) {
            let by = By { party: "gateway", system: "", time: now };
            take(scope, &row, step, &event, by)?;
        }
    }
    Ok(())
}
