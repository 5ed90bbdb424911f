//! `tongban serve`: wires the rooms; starts bottom first, stops top first, each with a deadline.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::Auth,
    business::rules::Rulebook,
    cli::{Database, faulty, purge},
    config::{Config, party_folders, routes::Routes},
    dispatch::Dispatch,
    edge,
    intake::{Intake, Means, Questions},
    model::{
        calendar::Calendar, clock, codes::Codes, divisions::Divisions, fault::Fault, shape::Shapes,
    },
    store::{self, Terms},
    telemetry, tls,
    translate::Translator,
    verify::Verifier,
};

/// How long, after the stop, the last spans may take to be sent, and threads to end.
const LAST: Duration = Duration::from_secs(2);

/// Arguments of `tongban serve`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The configuration.
    #[arg(long, default_value = "config/tongban.toml")]
    config: PathBuf,
    #[command(flatten)]
    database: Database,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut checked = checked(&arguments.config).map_err(|faults| faulty(&faults))?;
    arguments.database.lay_over(&mut checked.config.store)?;
    tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        // The span exporter's channel lives on the runtime.
        telemetry::start(&checked.config.telemetry).map_err(anyhow::Error::msg)?;
        let outcome = serve(checked).await;
        let last = tokio::task::spawn_blocking(telemetry::stop);
        _ = tokio::time::timeout(LAST, last).await;
        outcome
    });
    runtime.shutdown_timeout(LAST);
    outcome
}

/// Everything that is read from the configuration folder.
pub(crate) struct Checked {
    pub(crate) config: Config,
    pub(crate) translator: Translator,
    pub(crate) shapes: Shapes,
    pub(crate) calendar: Calendar,
    pub(crate) rulebook: Rulebook,
    pub(crate) authorities: Routes,
}

impl Checked {
    /// What of the tables has grown old, in words for operations.
    pub(super) fn dated(&self) -> Vec<String> {
        let today = clock::china_date(clock::now_micros());
        let calendar = self.calendar.missing(today);
        calendar.into_iter().chain(self.shapes.divisions().stale(today)).collect()
    }
}

/// Reads the configuration folder; every fault of every file at once.
pub(crate) fn checked(path: &Path) -> Result<Checked, Vec<Fault>> {
    let config = Config::load(path);
    // The tables are looked at even when another file is at fault: all faults are told at once.
    let folder = folder_of(path);
    let translator = Translator::load(folder, &party_folders(folder));
    let (shapes, calendar) = (shapes(folder), Calendar::load(&folder.join("calendar")));
    let mut faults = Vec::new();
    let config = keep(config, &mut faults);
    let translator = keep(translator, &mut faults);
    let shapes = keep(shapes, &mut faults);
    let calendar = keep(calendar, &mut faults);
    let rulebook = keep(
        rulebook(folder, config.as_ref(), shapes.as_ref().map(Shapes::divisions)),
        &mut faults,
    );
    // Without divisions nothing can be said of routes.
    let authorities = shapes.as_ref().and_then(|shapes| {
        keep(Routes::load(&folder.join("routes.toml"), shapes.divisions()), &mut faults)
    });
    faults.sort();
    faults.dedup();
    match (config, translator, shapes, calendar, rulebook, authorities) {
        (
            Some(config),
            Some(translator),
            Some(shapes),
            Some(calendar),
            Some(rulebook),
            Some(authorities),
        ) => Ok(Checked { config, translator, shapes, calendar, rulebook, authorities }),
        _ => Err(faults),
    }
}

/// The configuration and its rules alone; nothing else of the folder is read.
pub(crate) fn rules(path: &Path) -> Result<(Config, Rulebook), Vec<Fault>> {
    let config = Config::load(path)?;
    let folder = folder_of(path);
    let divisions = Arc::new(Divisions::load(&folder.join("divisions.csv"))?);
    let rulebook = rulebook(folder, Some(&config), Some(&divisions))?;
    Ok((config, rulebook))
}

/// The folder that a configuration stands in.
fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|parent| *parent != Path::new(""));
    folder.unwrap_or_else(|| Path::new("."))
}

fn keep<T>(loaded: Result<T, Vec<Fault>>, faults: &mut Vec<Fault>) -> Option<T> {
    loaded.map_err(|more| faults.extend(more)).ok()
}

/// The rules of the country, and of the provinces whose parties have some.
fn rulebook(
    folder: &Path,
    config: Option<&Config>,
    divisions: Option<&Arc<Divisions>>,
) -> Result<Rulebook, Vec<Fault>> {
    // Faulty code lists are told by the rules of form.
    let codes = Codes::load(&folder.join("codes")).unwrap_or_default();
    let parties = config.iter().flat_map(|config| config.parties.values());
    let provinces: Vec<_> = parties
        .flat_map(|party| party.entry.covers.iter().map(|code| (code.clone(), party.path.clone())))
        .collect();
    Rulebook::load(folder, &provinces, &codes, divisions)
}

fn shapes(folder: &Path) -> Result<Shapes, Vec<Fault>> {
    let codes = Codes::load(&folder.join("codes"));
    let (codes, divisions) = match (codes, Divisions::load(&folder.join("divisions.csv"))) {
        (Ok(codes), Ok(divisions)) => (codes, divisions),
        (codes, divisions) => {
            let faults = [codes.err(), divisions.err()];
            return Err(faults.into_iter().flatten().flatten().collect());
        }
    };
    Shapes::compile(&codes, divisions).map_err(|missing| {
        let fault = |name: String| {
            let text = format!("code list `{name}.csv` is missing; proto/ names it");
            Fault::new(folder.join("codes"), 0, text)
        };
        missing.into_iter().map(fault).collect()
    })
}

async fn serve(checked: Checked) -> anyhow::Result<()> {
    let dated = checked.dated();
    let Checked { config, translator, shapes, calendar, rulebook, authorities } = checked;
    let calendar = Arc::new(calendar);
    for text in dated {
        tracing::error!("{text}");
    }
    let taking = config.parties.iter().filter(|(_, party)| party.entry.delivery.is_some());
    let takers = taking.map(|(code, _)| code.clone()).collect();
    let divisions = Arc::clone(shapes.divisions());
    let longest_wait = config.dispatch.backoff_cap_ms.max(config.dispatch.lease_ms);
    let longest_wait = i64::try_from(longest_wait).ok().and_then(|ms| ms.checked_mul(1000));
    let terms = Terms { calendar: Arc::clone(&calendar), divisions, takers, longest_wait };
    let store = store::open(&config.store, config.limits.store_queue, terms).await;
    let store = store.map_err(anyhow::Error::msg)?;
    let translator = Arc::new(translator);
    let auth = Auth::new(&config.gateway.id, &config.parties).map_err(|faults| faulty(&faults))?;
    let server = tls::server(&config.tls).map_err(|faults| faulty(&faults))?;
    let dispatch = Dispatch::start(&config, &store, &translator).map_err(|f| faulty(&f))?;
    let verifier = Verifier::new(&config.parties, &config.tls).map_err(|f| faulty(&f))?;
    let verifier = verifier.map(Arc::new);
    let intake = Intake::new(Means {
        store: Arc::clone(&store),
        shapes: Arc::new(shapes),
        translator,
        parties: config.parties.clone(),
        calendar,
        rulebook: Arc::new(rulebook),
        authorities,
        verifier: verifier.clone(),
    });
    let intake = Arc::new(intake.map_err(|fault| faulty(&[fault]))?);
    let questions = Arc::new(Questions::new(Arc::clone(&intake), verifier));
    let stop = CancellationToken::new();
    let bind = |address: &str| {
        let address = address.to_owned();
        async move {
            TcpListener::bind(&address).await.with_context(|| format!("cannot listen on {address}"))
        }
    };
    let monitor = bind(&config.listen.metrics).await?;
    let listener = bind(&config.listen.edge).await?;
    tracing::info!(
        edge = %listener.local_addr()?,
        metrics = %monitor.local_addr()?,
        parties = config.parties.len(),
        "serving"
    );
    let ended = CancellationToken::new();
    let stops = (stop.clone(), ended.clone());
    let monitor = tokio::spawn(edge::monitor::serve(monitor, Arc::clone(&store), stops));
    let policy = config.retention.clone();
    let keeper = tokio::spawn(purge::keep(Arc::clone(&store), policy, stop.clone()));
    let mut edge = tokio::spawn(edge::serve(
        listener,
        server,
        Arc::new(auth),
        (intake, questions),
        config.limits.clone(),
        stop.clone(),
    ));
    tokio::select! {
        ended = &mut edge => return ended?,
        told = terminated() => told?,
    }
    tracing::info!("stopping");
    stop.cancel();
    let patience = config.limits.draining().min(Duration::from_millis(config.dispatch.attempt_ms));
    // Calls and deliveries in progress end, then nobody looks any more, then the store closes.
    in_time(config.limits.stop_seconds, async {
        let (drained, ()) = tokio::join!(edge, dispatch.stop(patience));
        keeper.await?;
        ended.cancel();
        monitor.await??;
        drop(store);
        drained?
    })
    .await?;
    tracing::info!("stopped");
    Ok(())
}

/// Waits for the stop, not for ever. What is answered is on disk whenever this ends; what is in
/// progress is taken up by the next start, which asks its receiver first.
async fn in_time(
    seconds: u64,
    stopping: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    tokio::select! {
        ended = stopping => ended,
        () = tokio::time::sleep(Duration::from_secs(seconds)) => {
            bail!("not all had ended {seconds} s after the signal (limits.stop_seconds); stopped")
        }
        _ = terminated() => bail!("told to stop a second time; stopped at once"),
    }
}

/// One core is left to the store's writer: with as many workers as cores they and the writer keep
/// pushing each other aside (two cores: 8 to 10 % fewer submissions).
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

pub(super) async fn terminated() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
