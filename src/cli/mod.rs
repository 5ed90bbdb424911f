//! The command line: one file per subcommand. May depend on every room.

mod audit;
mod backup;
mod certs;
mod check;
mod compare;
mod deliveries;
mod demo;
mod progress;
mod purge;
mod reconcile;
mod serve;
mod simulate;
mod token;
mod translate;

use std::{io::Write as _, path::Path, process::ExitCode};

use clap::{Parser, Subcommand};

#[cfg(test)]
pub(crate) use crate::cli::serve::checked;
use crate::{
    config::{self, Config},
    model::fault::Fault,
};

/// Tongban (通办): the inter-provincial gateway for civil-affairs applications.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything on this machine: simulators, gateway, applications in both directions.
    Demo(demo::Arguments),
    /// Run the gateway.
    Serve(serve::Arguments),
    /// Check configuration and mapping tables; print the coverage, or every fault.
    Check(check::Arguments),
    /// Translate one document from standard input to standard output.
    Translate(translate::Arguments),
    /// Run one simulator.
    Simulate(simulate::Arguments),
    /// Make development certificates and keys.
    Certs(certs::Arguments),
    /// Make a development token.
    Token(token::Arguments),
    /// List parked deliveries, replay or discard them.
    Deliveries(deliveries::Arguments),
    /// Hold the store, or a copy, against its audit log.
    Audit(audit::Arguments),
    /// Copy the embedded store beside the running gateway, and verify the copy.
    Backup(backup::Arguments),
    /// Put a copy back in the embedded store's place.
    Restore(backup::RestoreArguments),
    /// Erase the content of what ended long ago, as the gateway does hourly.
    Purge(purge::Arguments),
    /// Hold a day of messages against the parties' books, and send again what they lost.
    Reconcile(reconcile::Arguments),
    /// Compare a month's paid subsidies with the national list (错保、漏保).
    Compare(compare::Arguments),
}

/// Parses the command line, runs the command and says how it ended.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Demo(arguments) => demo::run(arguments),
        Command::Serve(arguments) => serve::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Translate(arguments) => translate::run(arguments),
        Command::Simulate(arguments) => simulate::run(arguments),
        Command::Certs(arguments) => certs::run(arguments),
        Command::Token(arguments) => token::run(arguments),
        Command::Deliveries(arguments) => deliveries::run(arguments),
        Command::Audit(arguments) => audit::run(arguments),
        Command::Backup(arguments) => backup::run(arguments),
        Command::Restore(arguments) => backup::restore(arguments),
        Command::Purge(arguments) => purge::run(arguments),
        Command::Reconcile(arguments) => reconcile::run(arguments),
        Command::Compare(arguments) => compare::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tongban: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Which store, other than the configuration's.
#[derive(clap::Args)]
struct Database {
    /// The store to use instead of `store.url`: `sqlite://PATH` or `postgres://USER@HOST/NAME`.
    #[arg(long, global = true, value_name = "URL")]
    database: Option<String>,
}

impl Database {
    fn lay_over(&self, settings: &mut config::Store) -> anyhow::Result<()> {
        if let Some(url) = &self.database {
            settings.url.clone_from(url);
            let known = "--database must begin with sqlite:// or postgres://";
            anyhow::ensure!(settings.is_known(), known);
        }
        Ok(())
    }
}

/// Reads the configuration; its faults, one a line, are the error.
fn configuration(path: &Path) -> anyhow::Result<Config> {
    Config::load(path).map_err(|faults| faulty(&faults))
}

/// Every fault on a line of its own, `file:line: what`.
fn faulty(faults: &[Fault]) -> anyhow::Error {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let count = match lines.len() {
        1 => "1 fault".to_owned(),
        n => format!("{n} faults"),
    };
    anyhow::anyhow!("the configuration has {count}\n{}", lines.join("\n"))
}

/// Writes to standard output; a reader that has seen enough (`| head`) is no error.
fn say(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
