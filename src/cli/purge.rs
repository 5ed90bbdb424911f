//! Retention (保存期限): what policy says is over loses its content. `tongban purge` does it by hand,
//! and [`keep`] hourly within the gateway, together with old idempotency keys.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use jiff::civil::Date;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{Database, configuration, say},
    config::Retention,
    model::clock,
    store::{self, Store, StoreError, rows::Expired},
};

/// Applications purged within one transaction; others write in between.
const PAGE: usize = 100;
/// Keys that one call of the store forgets at most.
const KEYS: usize = 1000;
const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;
/// How often policy is looked at, and how soon again after a failure.
const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(60);
/// Between two transactions, so that callers hardly notice.
const PAUSE: Duration = Duration::from_millis(20);

/// Arguments of `tongban purge`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// What ended before this day in China; otherwise as `retention.content_days` says.
    #[arg(long, value_name = "DATE")]
    before: Option<Date>,
    /// Only say how much it would be.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    database: Database,
    /// The configuration.
    #[arg(long, default_value = "config/tongban.toml")]
    config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut config = configuration(&arguments.config)?;
    arguments.database.lay_over(&mut config.store)?;
    let now = clock::now_micros();
    let before = match arguments.before {
        Some(day) => clock::midnight(day),
        None => horizon(now, config.retention.content_days)
            .context("retention.content_days is 0: content is kept for ever; give --before")?,
    };
    anyhow::ensure!(before <= now, "--before must be a day that has come");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (purged, expired) = runtime.block_on(async {
        let store = store::open_beside(&config.store).await.map_err(anyhow::Error::msg)?;
        let purged = match arguments.dry_run {
            true => 0,
            false => purge(&*store, before, &CancellationToken::new()).await?,
        };
        anyhow::Ok((purged, store.expired(before).await?))
    })?;
    let Expired { due, held_back } = expired;
    if arguments.json {
        return say(&format!("{}\n", json!({"purged": purged, "due": due, "heldBack": held_back})));
    }
    say(&format!(
        "{purged} purged, {due} left to purge, {held_back} held back: something is still to be \
         sent, a clock runs or a key is kept\n"
    ))
}

/// Keeps to the policy until `stop`.
pub(super) async fn keep(store: Arc<dyn Store>, policy: Retention, stop: CancellationToken) {
    loop {
        let pause = match look(&*store, &policy, &stop).await {
            Ok(()) => HOUR,
            Err(error) => {
                tracing::warn!(%error, "what is past its retention cannot be purged");
                SOON
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn look(
    store: &dyn Store,
    policy: &Retention,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let now = clock::now_micros();
    let keys = now - i64::from(policy.keys_days) * DAY_MICROS;
    while store.forget(keys).await? == KEYS && !stop.is_cancelled() {}
    let Some(before) = horizon(now, policy.content_days) else { return Ok(()) };
    let purged = purge(store, before, stop).await?;
    if purged > 0 {
        tracing::info!(purged, "the content of applications past their retention was purged");
    }
    Ok(())
}

async fn purge(
    store: &dyn Store,
    before: i64,
    stop: &CancellationToken,
) -> Result<usize, StoreError> {
    let mut purged = 0;
    loop {
        let count = store.purge(before, PAGE).await?;
        purged += count;
        if count < PAGE || stop.is_cancelled() {
            return Ok(purged);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What ended before this is over; `None` when content is kept for ever.
fn horizon(now: i64, days: u32) -> Option<i64> {
    (days > 0).then(|| now - i64::from(days) * DAY_MICROS)
}
