//! Copies of the store that the configuration names: made, put back, and held against the audit
//! log. Depends on the stores themselves.

use std::path::{Path, PathBuf};

use crate::{
    config,
    store::{
        postgres,
        proof::Report,
        sqlite::{backup, proof},
        vault::Vault,
    },
};

/// Is told what is being done and how far it is: so many of so many.
pub type Tell<'a> = dyn FnMut(&'static str, u64, u64) + 'a;

/// A copy that was made.
#[derive(Clone, Debug)]
pub struct Copied {
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// What the verification found; nothing wrong.
    pub report: Report,
}

/// A copy that was put in the store's place.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the verification of the copy found; nothing wrong.
    pub report: Report,
    /// How many deliveries may have been made since: their receivers are asked first.
    pub asked_first: usize,
    /// Where the store that stood there is kept.
    pub replaced: Option<PathBuf>,
}

/// Copies the store to `to` beside a gateway that may be running, and verifies the copy.
///
/// # Errors
/// What is wrong, in words for the operator; nothing stands at `to` then.
pub fn back_up(settings: &config::Store, to: &Path, tell: &mut Tell<'_>) -> Result<Copied, String> {
    let (store, vault) = (embedded(settings)?, Vault::open(&settings.key_file)?);
    backup::back_up(store, to, &vault, tell)
}

/// Verifies the copy `from` and puts it in the store's place. Refuses while a gateway holds the
/// store, and, unless `discard_newer`, when the store holds what the copy does not.
///
/// # Errors
/// What is wrong, in words for the operator; the store is as it was then.
pub fn restore(
    settings: &config::Store,
    from: &Path,
    discard_newer: bool,
    tell: &mut Tell<'_>,
) -> Result<Restored, String> {
    let (store, vault) = (embedded(settings)?, Vault::open(&settings.key_file)?);
    backup::restore(from, store, &vault, discard_newer, tell)
}

/// Holds the store, or a copy of it, against its audit log.
///
/// # Errors
/// It cannot be read; what is wrong with what was read is in the report.
pub async fn verify(settings: &config::Store, tell: &mut Tell<'_>) -> Result<Report, String> {
    let vault = Vault::open(&settings.key_file)?;
    if settings.is_shared() {
        return postgres::proof::prove(&settings.url, &vault, tell).await;
    }
    let store = settings.path();
    let connection = proof::open(store, &vault)?;
    proof::prove(&connection, &vault, tell).map_err(|error| format!("{}: {error}", store.display()))
}

fn embedded(settings: &config::Store) -> Result<&Path, String> {
    if settings.is_shared() {
        return Err("PostgreSQL is backed up and restored by its own tools: docs/operations.md, \
                    Backup"
            .into());
    }
    Ok(settings.path())
}
