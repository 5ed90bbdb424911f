//! One person, one benefit: what a step does to the benefits that people hold because of an open
//! application or because they are paid, and to whoever held them before. Pure but for the vault;
//! every store writes what comes out. Depends on model and business; knows no SQL.

use crate::{
    business::{self, Outcome, adjustment},
    model::{
        lifecycle::{self, Step},
        pb::{self, EventType},
    },
    store::{
        StoreError, Terms,
        advance::{self, Open},
        record::ApplicationRow,
        rows::Refusal,
        vault::Vault,
    },
};

/// A keyed digest of person and benefit.
pub(super) type Benefit = [u8; 16];

/// What becomes of benefits. The row's own `open` and `benefits` say it already.
#[derive(Default)]
pub(super) struct Holding {
    /// Nobody holds these any more.
    pub(super) freed: Vec<Benefit>,
    /// The application holds these from now on.
    pub(super) held: Vec<Benefit>,
    /// What the step takes from other applications; see [`lose`].
    pub(super) taken: Option<Taking>,
}

/// What a step takes from the applications that hold it.
pub(super) struct Taking {
    /// What is taken, the applicant's own first.
    benefits: Vec<Benefit>,
    /// Who holds the applicant's own loses all that is held with it.
    whole: bool,
    /// What they are told; nothing when they go on paying.
    notice: Option<pb::ApplicationEvent>,
}

impl Taking {
    /// What is taken: whoever holds one of these must [`lose`] it.
    pub(super) fn benefits(&self) -> &[Benefit] {
        &self.benefits
    }
}

/// What a step is about that other applications may hold: they must be asked of
/// [`refusal`] before it is taken. Empty for most steps.
pub(super) fn touched(
    row: &ApplicationRow,
    step: Step,
    cause: &pb::ApplicationEvent,
    vault: &Vault,
) -> Result<Vec<Benefit>, StoreError> {
    if !is_granted(step) {
        return Ok(Vec::new());
    }
    let content = decided(row, cause, vault)?;
    match business::grants(&content) {
        Outcome::Nothing | Outcome::Paid => Ok(Vec::new()),
        Outcome::Changed | Outcome::Kept | Outcome::Moved | Outcome::Ended => {
            Ok(digests(&content, vault))
        }
    }
}

/// Why the step may not be taken: one of the applications that hold what it is about is not of the
/// place that pays according to it, or is not decided itself.
pub(super) fn refusal(
    row: &ApplicationRow,
    cause: &pb::ApplicationEvent,
    holders: &[ApplicationRow],
    (vault, terms): (&Vault, &Terms),
) -> Result<Option<Refusal>, StoreError> {
    if holders.is_empty() {
        return Ok(None);
    }
    let content = decided(row, cause, vault)?;
    let (place, field) = adjustment::paid_in(&content);
    for holder in holders {
        let home = holder.content(vault)?.home_division;
        if holder.open != Open::Paid || !terms.divisions.same_county(&home, place) {
            return Ok(Some(Refusal::PaidElsewhere(field)));
        }
    }
    Ok(None)
}

/// Who holds the benefits after the step; writes the row's `open` and `benefits`. `None` when
/// nothing changes.
pub(super) fn hold(
    row: &mut ApplicationRow,
    step: Step,
    content: &pb::Application,
    vault: &Vault,
) -> Option<Holding> {
    let outcome = match is_granted(step) {
        true => business::grants(content),
        false => Outcome::Nothing,
    };
    let closed = row.open == Open::Open && lifecycle::is_closed(step.to);
    let paid = match outcome {
        Outcome::Nothing | Outcome::Kept if closed => Vec::new(),
        Outcome::Nothing | Outcome::Kept => return None,
        Outcome::Paid | Outcome::Changed | Outcome::Moved | Outcome::Ended => {
            digests(content, vault)
        }
    };
    let mut holding = Holding { freed: split(&row.benefits).collect(), ..Holding::default() };
    if matches!(outcome, Outcome::Changed | Outcome::Moved | Outcome::Ended) {
        holding.freed.extend_from_slice(&paid);
        holding.taken = Some(Taking {
            benefits: paid.clone(),
            whole: business::is_whole(content),
            notice: notice(outcome, content),
        });
    }
    row.open = Open::Closed;
    if matches!(outcome, Outcome::Paid | Outcome::Changed | Outcome::Moved) {
        row.open = Open::Paid;
        row.benefits = paid.concat();
        holding.held = paid;
    }
    Some(holding)
}

/// Takes from who held it; writes their `open` and `benefits`. What they held besides and hold no
/// more, and the notice that they are to take, if any.
pub(super) fn lose(
    holder: &mut ApplicationRow,
    taking: &Taking,
) -> (Vec<Benefit>, Option<(Step, pb::ApplicationEvent)>) {
    let held: Vec<Benefit> = split(&holder.benefits).collect();
    let all = taking.whole && taking.benefits.first().is_some_and(|own| held.contains(own));
    let (left, gone): (Vec<_>, Vec<_>) =
        held.into_iter().partition(|benefit| !all && !taking.benefits.contains(benefit));
    // The digests of what ended stay with the row, as those of any closed application.
    if left.is_empty() {
        holder.open = Open::Closed;
    } else {
        holder.benefits = left.concat();
    }
    let said = taking.notice.clone();
    (gone, said.map(|event| (lifecycle::notice(holder.state, event.r#type()), event)))
}

/// What the place that paid is told.
fn notice(outcome: Outcome, content: &pb::Application) -> Option<pb::ApplicationEvent> {
    let r#type = match outcome {
        Outcome::Moved => EventType::BenefitMoved,
        Outcome::Ended => EventType::BenefitEnded,
        Outcome::Nothing | Outcome::Paid | Outcome::Changed | Outcome::Kept => return None,
    };
    Some(pb::ApplicationEvent {
        r#type: r#type as i32,
        last_paid_month: adjustment::last_paid_month(content),
        ..Default::default()
    })
}

fn is_granted(step: Step) -> bool {
    step.event == EventType::DecisionMade && lifecycle::is_grant(step.to)
}

/// The application as the decision makes it.
fn decided(
    row: &ApplicationRow,
    cause: &pb::ApplicationEvent,
    vault: &Vault,
) -> Result<pb::Application, StoreError> {
    let content = row.content(vault)?;
    Ok(advance::revise(&content, cause, row.updated).unwrap_or(content))
}

fn digests(content: &pb::Application, vault: &Vault) -> Vec<Benefit> {
    business::held(content).iter().map(|text| vault.digest(text)).collect()
}

/// The digests in a row's `benefits`.
pub(super) fn split(benefits: &[u8]) -> impl Iterator<Item = Benefit> + '_ {
    benefits.as_chunks::<16>().0.iter().copied()
}
