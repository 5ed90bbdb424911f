//! `tongban backup` and `tongban restore`: a verified copy of the embedded store made beside the
//! running gateway, and putting one back while none runs.

use std::path::PathBuf;

use serde_json::json;

use crate::{
    cli::{
        Database,
        audit::{as_json, as_text},
        configuration, progress, say,
    },
    model::clock,
    store::copies,
};

/// Arguments of `tongban backup`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where the copy goes; must not exist.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    database: Database,
    /// The configuration.
    #[arg(long, default_value = "config/tongban.toml")]
    config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `tongban restore`.
#[derive(clap::Args)]
pub(super) struct RestoreArguments {
    /// The copy, as `tongban backup` made it.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Also when the store that stands there holds what the copy does not; it is kept beside.
    #[arg(long)]
    discard_newer: bool,
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
    let mut settings = configuration(&arguments.config)?.store;
    arguments.database.lay_over(&mut settings)?;
    let copied = copies::back_up(&settings, &arguments.to, &mut progress::bar()?)
        .map_err(anyhow::Error::msg)?;
    let sha256 = hex::encode(copied.sha256);
    if arguments.json {
        let mut out = as_json(&copied.report);
        out["file"] = arguments.to.display().to_string().into();
        out["bytes"] = copied.bytes.into();
        out["sha256"] = sha256.into();
        return say(&format!("{out}\n"));
    }
    let (file, bytes) = (arguments.to.display(), copied.bytes);
    say(&as_text(&copied.report))?;
    say(&format!("sha256     {sha256}\n{file}: {bytes} bytes, verified against its audit log\n"))
}

pub(super) fn restore(arguments: RestoreArguments) -> anyhow::Result<()> {
    let mut settings = configuration(&arguments.config)?.store;
    arguments.database.lay_over(&mut settings)?;
    let RestoreArguments { from, discard_newer, .. } = &arguments;
    let restored = copies::restore(&settings, from, *discard_newer, &mut progress::bar()?)
        .map_err(anyhow::Error::msg)?;
    let replaced = restored.replaced.as_ref().map(|file| file.display().to_string());
    let since = clock::china_date(restored.report.last_time);
    if arguments.json {
        let mut out = as_json(&restored.report);
        out["askedFirst"] = restored.asked_first.into();
        out["replaced"] = json!(replaced);
        out["reconcileFrom"] = since.to_string().into();
        return say(&format!("{out}\n"));
    }
    say(&as_text(&restored.report))?;
    if let Some(replaced) = replaced {
        say(&format!("the store that stood there is kept as {replaced}\n"))?;
    }
    say(&format!(
        "{} deliveries may have been made since: their receivers are asked first\n\
         restored; start the gateway, then for each day from {since} on:\n  \
         tongban reconcile --repair --day {since}\n",
        restored.asked_first
    ))
}
