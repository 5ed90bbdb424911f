//! `tongban simulate`: one stand-in for a system that no one outside can reach.

use std::{path::PathBuf, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    cli::serve::terminated,
    config::Telemetry,
    sim::{
        self,
        settings::{Role, Settings},
    },
    telemetry,
};

/// Arguments of `tongban simulate`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Which system.
    role: System,
    /// Its settings (TOML); without, those that fit the committed configuration and `certs/`.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Faults to make: `none`, `all`, or a list like `delay=0.1:50-500,drop_answer=0.05`.
    #[arg(long)]
    faults: Option<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum System {
    /// The national hub (金民工程).
    National,
    /// The own province's platform.
    Platform,
    /// A neighbouring province.
    Province,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let role = match arguments.role {
        System::National => Role::National,
        System::Platform => Role::Platform,
        System::Province => Role::Province,
    };
    let mut settings = match &arguments.config {
        Some(file) => Settings::load(file)?,
        None => Settings::standard(role),
    };
    anyhow::ensure!(settings.role == role, "the settings are those of another system");
    if let Some(faults) = arguments.faults {
        settings.faults = faults;
    }
    telemetry::start(&Telemetry::default()).map_err(anyhow::Error::msg)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::select! {
            outcome = sim::run(settings, stop.clone()) => outcome,
            signal = terminated() => {
                stop.cancel();
                Ok(signal?)
            }
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}
