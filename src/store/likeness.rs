//! What is asked of applications that are like each other: of the new one in its first answer, of
//! the earlier one while it is open. Pure but for the vault; every store finds who is like whom
//! within the transaction that takes the new one in. Depends on model and business; knows no SQL.

use uuid::Uuid;

use crate::{
    business::likeness,
    model::pb,
    store::{
        StoreError, advance,
        advance::Open,
        holding::split,
        record::{ApplicationRow, seal},
        rows::NewApplication,
        vault::Vault,
    },
};

/// Keyed digests by which an application is found to be like others; see `business::likeness`.
#[derive(Clone)]
pub struct Likeness {
    /// Under what it is found itself.
    pub own: [u8; 16],
    /// What it is like.
    pub sought: Vec<[u8; 16]>,
    /// Claims of the same person, about whom nothing is asked.
    pub same: Vec<[u8; 16]>,
}

/// Most others that one application is asked about.
pub(super) const MOST: usize = 5;

/// A new application that is like others, with the questions.
pub(super) struct Asked {
    pub(super) application: Box<pb::Application>,
    /// Sealed: what stands beside the content.
    pub(super) kept: Vec<u8>,
    /// Sealed: the first answer, which the content alone does not give.
    pub(super) answer: Vec<u8>,
}

/// Under what an application of an earlier release is found.
pub(super) fn own(row: &ApplicationRow, vault: &Vault) -> Result<Option<[u8; 16]>, StoreError> {
    let likeness = likeness::of(&row.content(vault)?);
    Ok(likeness.map(|likeness| vault.digest(&likeness.own)))
}

/// Whether who holds `benefits` is known to be the same person: nothing is asked about them.
pub(super) fn is_same(new: &Likeness, benefits: &[u8]) -> bool {
    split(benefits).any(|held| new.same.contains(&held))
}

/// The new application with a question about each that it is like; `None` when it is like none.
pub(super) fn asked(
    new: &NewApplication,
    like: impl Iterator<Item = [u8; 16]>,
    vault: &Vault,
) -> Result<Option<Asked>, StoreError> {
    let others = like.map(|id| Uuid::from_bytes(id).to_string());
    let questions: Vec<_> = others.map(likeness::question).collect();
    if questions.is_empty() {
        return Ok(None);
    }
    let mut application = new.application.clone();
    application.checks.extend(questions);
    let id = new.id.as_bytes();
    let kept = seal(vault, id, "kept", &advance::kept(&application))?;
    let answer = seal(vault, id, "answer", &application)?;
    Ok(Some(Asked { application, kept, answer }))
}

/// Asks an earlier application about a new one that is like it, once, and only while it is open;
/// whether its `kept` has changed.
pub(super) fn note(
    earlier: &mut ApplicationRow,
    new: Uuid,
    vault: &Vault,
) -> Result<bool, StoreError> {
    if earlier.open != Open::Open {
        return Ok(false);
    }
    let mut content = earlier.content(vault)?;
    if content.checks.iter().any(likeness::is_question) {
        return Ok(false);
    }
    content.checks.push(likeness::question(new.to_string()));
    earlier.kept = Some(seal(vault, &earlier.id, "kept", &advance::kept(&content))?);
    Ok(true)
}
