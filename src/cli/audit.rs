//! `tongban audit verify`: a store, or a copy of one, held against its audit log. Works beside a
//! running gateway.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::{
    cli::{Database, configuration, progress, say},
    store::{copies, proof::Report},
};

/// Arguments of `tongban audit`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The configuration; it names the store and its key.
    #[arg(long, global = true, default_value = "config/tongban.toml")]
    config: PathBuf,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    database: Database,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Hold every leaf, event, commitment and delivery against each other.
    Verify,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Action::Verify = arguments.action;
    let mut settings = configuration(&arguments.config)?.store;
    arguments.database.lay_over(&mut settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut bar = progress::bar()?;
    let verifying = copies::verify(&settings, &mut bar);
    let report = runtime.block_on(verifying).map_err(anyhow::Error::msg)?;
    if arguments.json {
        say(&format!("{}\n", as_json(&report)))?;
    } else {
        say(&as_text(&report))?;
        for finding in &report.findings {
            say(&format!("  {finding}\n"))?;
        }
    }
    anyhow::ensure!(report.wrong == 0, "the store does not agree with its audit log");
    if !arguments.json {
        say("the store agrees with its audit log\n")?;
    }
    Ok(())
}

/// What was held against what, for people.
pub(super) fn as_text(report: &Report) -> String {
    let Report { applications, purged, events, deliveries, leaves, .. } = report;
    let last = report.last_leaf.map_or_else(|| "none".to_owned(), hex::encode);
    format!(
        "{applications} applications ({purged} purged), {events} events, {deliveries} deliveries, \
         {leaves} leaves\nlast leaf  {last}  {}\nroot       {}\n{} wrong\n",
        time(report.last_time),
        hex::encode(report.root),
        report.wrong
    )
}

/// The same for machines.
pub(super) fn as_json(report: &Report) -> Value {
    json!({
        "applications": report.applications,
        "purged": report.purged,
        "events": report.events,
        "deliveries": report.deliveries,
        "leaves": report.leaves,
        "lastLeaf": report.last_leaf.map(hex::encode),
        "lastTime": time(report.last_time),
        "root": hex::encode(report.root),
        "wrong": report.wrong,
        "findings": report.findings,
    })
}

fn time(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).unwrap_or_default().to_string()
}
