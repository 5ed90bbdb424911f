//! `tongban deliveries`: what could not be delivered, sending it again or giving it up. Works on the store
//! beside a running gateway, which notices by itself.

use std::{fmt::Write as _, path::PathBuf};

use clap::Subcommand;
use serde_json::json;

use crate::{
    cli::{Database, configuration, say},
    store::{self, Store, by_hand::Reason, rows::ParkedDelivery},
};

/// Arguments of `tongban deliveries`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The configuration.
    #[arg(long, global = true, default_value = "config/tongban.toml")]
    config: PathBuf,
    #[command(flatten)]
    database: Database,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List parked deliveries, oldest first.
    List,
    /// Make parked deliveries due again.
    Replay {
        /// Their numbers, as `list` shows them; `all` for all.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Give parked deliveries up for good. The audit log keeps each, with the reason.
    Discard {
        /// Their numbers, as `list` shows them.
        #[arg(required = true)]
        ids: Vec<i64>,
        /// A code or the number of a ticket; nothing about people.
        #[arg(long, value_name = "CODE")]
        reason: Reason,
    },
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut config = configuration(&arguments.config)?;
    arguments.database.lay_over(&mut config.store)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = store::open_beside(&config.store).await.map_err(anyhow::Error::msg)?;
        match arguments.action {
            Action::List => list(&*store, arguments.json).await,
            Action::Replay { ids } => replay(&*store, &ids, arguments.json).await,
            Action::Discard { ids, reason } => {
                let asked = ids.len();
                let discarded = store.discard(ids, reason).await?;
                told(arguments.json, ("discarded", "given up for good"), discarded, asked)
            }
        }
    })
}

async fn list(store: &dyn Store, as_json: bool) -> anyhow::Result<()> {
    let parked = store.parked().await?;
    if as_json {
        let rows: Vec<_> = parked.iter().map(row).collect();
        return say(&format!("{}\n", serde_json::Value::from(rows)));
    }
    let mut out = String::new();
    for delivery in &parked {
        // Writing to a String cannot fail.
        _ = writeln!(
            out,
            "{:>8}  {:<10}  {:<11}  {}  attempts {:<3}  {}",
            delivery.delivery,
            delivery.party,
            delivery.kind.word(),
            delivery.application,
            delivery.attempts,
            delivery.note
        );
    }
    say(&format!("{out}{} parked\n", parked.len()))
}

fn row(delivery: &ParkedDelivery) -> serde_json::Value {
    json!({
        "id": delivery.delivery,
        "applicationId": delivery.application.to_string(),
        "party": delivery.party,
        "kind": delivery.kind.word(),
        "messageNumber": delivery.message_number,
        "attempts": delivery.attempts,
        "note": delivery.note,
        "createTime": jiff::Timestamp::from_microsecond(delivery.created).map(|t| t.to_string()).ok(),
        "traceId": delivery.trace_id,
    })
}

async fn replay(store: &dyn Store, ids: &[String], as_json: bool) -> anyhow::Result<()> {
    let deliveries = if ids.iter().any(|id| id == "all") {
        store.parked().await?.iter().map(|delivery| delivery.delivery).collect()
    } else {
        let number = |id: &String| {
            id.parse::<i64>().map_err(|_| anyhow::anyhow!("`{id}` is no number of a delivery"))
        };
        ids.iter().map(number).collect::<anyhow::Result<Vec<i64>>>()?
    };
    let asked = deliveries.len();
    let revived = store.revive(deliveries).await?;
    told(as_json, ("replayed", "made due again"), revived, asked)
}

fn told(
    as_json: bool,
    (name, words): (&str, &str),
    done: usize,
    asked: usize,
) -> anyhow::Result<()> {
    if as_json {
        say(&format!("{}\n", json!({ "asked": asked, name: done })))?;
    } else {
        say(&format!("{done} of {asked} {words}\n"))?;
    }
    anyhow::ensure!(done == asked, "{} were not parked", asked - done);
    Ok(())
}
