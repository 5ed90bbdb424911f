//! `tongban demo`: everything on this machine, each system its own process, applications of every
//! business in both directions. What it says is counted from the simulators' own books.

mod books;
mod cell;
mod crew;
mod show;
mod stage;

use std::{
    collections::HashSet,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::{
    cli::{
        Database,
        demo::{books::Outcome, crew::Crew, show::Progress, stage::Stage},
        serve::terminated,
    },
    config,
    sim::faults::Spec,
    store::Postgres,
    tls,
};

/// How often the books are read.
const LOOK: Duration = Duration::from_millis(250);
/// How long to look for late repetitions after everything has arrived.
const AFTERMATH: Duration = Duration::from_millis(1500);

/// Arguments of `tongban demo`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// How many applications are sent, over all businesses and both directions.
    #[arg(long, default_value_t = 120)]
    applications: usize,
    /// Stop everything at the end; exit 0 only when nothing was lost and nothing doubled.
    #[arg(long)]
    once: bool,
    /// Print the outcome as one JSON object.
    #[arg(long)]
    json: bool,
    /// Make faults: every kind, or a list like `delay=0.1:50-500,drop_answer=0.05`.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    faults: Option<String>,
    /// Folder to work in; a fresh one under the system's temporary folder unless given.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Kill the gateway so many times (SIGKILL), spread over the run.
    #[arg(long, default_value_t = 0)]
    kill_gateway: usize,
    #[command(flatten)]
    database: Database,
    /// The configuration that is copied.
    #[arg(long, default_value = "config/tongban.toml")]
    config: PathBuf,
    /// Seconds until the demo gives up and says what is missing.
    #[arg(long, default_value_t = 900)]
    timeout: u64,
    /// Applications begun a second by each system.
    #[arg(long, default_value_t = 25)]
    rate: u32,
    /// Seed of the people and the faults that are made up.
    #[arg(long, default_value_t = 20_250_510)]
    seed: u32,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(faults) = &arguments.faults {
        faults.parse::<Spec>().map_err(anyhow::Error::msg)?;
    }
    tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let store = runtime.block_on(store(&arguments.database))?;
    let stage = Stage::set(&arguments, store)?;
    let outcome = runtime.block_on(play(&arguments, &stage));
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// The store that was asked for. In a shared database the demo has a schema of its own, as it has
/// a folder of its own: its keys are new ones.
async fn store(database: &Database) -> anyhow::Result<Option<String>> {
    let Some(url) = &database.database else { return Ok(None) };
    let mut settings = config::Store { url: url.clone(), ..Default::default() };
    database.lay_over(&mut settings)?;
    if !settings.is_shared() {
        return Ok(Some(settings.url));
    }
    let id = uuid::Uuid::new_v4().simple().to_string();
    let schema = format!("tongban_demo_{}", &id[..8]);
    let url = Postgres::apart(url, &schema).await.map_err(anyhow::Error::msg)?;
    if url.contains(&schema) {
        eprintln!("storing in the schema {schema} of the database, which stays");
    }
    Ok(Some(url))
}

async fn play(arguments: &Arguments, stage: &Stage) -> anyhow::Result<()> {
    eprintln!("working in {}", stage.dir.display());
    let mut crew = Crew::start(stage)?;
    let played = tokio::select! {
        played = watch(arguments, stage, &mut crew) => played,
        signal = terminated() => {
            signal?;
            eprintln!("stopping");
            Err(anyhow::anyhow!("stopped before the end"))
        }
    };
    let finished = match &played {
        Ok(outcome) => {
            tell(arguments, outcome);
            outcome.verdict()
        }
        Err(_) => Ok(()),
    };
    if played.is_ok() && !arguments.once {
        eprintln!("{}\nrunning on; Ctrl-C stops everything", stage.addresses());
        terminated().await?;
    }
    crew.stop().await;
    played?;
    finished
}

fn tell(arguments: &Arguments, outcome: &Outcome) {
    if arguments.json {
        println!("{}", outcome.to_json());
    } else {
        println!("{}", show::table(outcome));
    }
    for problem in outcome.problems.iter().take(20) {
        eprintln!("problem: {problem}");
    }
    if let Err(why) = outcome.verdict() {
        // At the end of `--once` the error itself says it.
        if !arguments.once {
            eprintln!("{why:#}");
        }
        outcome.open.iter().take(20).for_each(|case| eprintln!("not finished: {case}"));
    }
}

/// Looks at the books until everything has arrived, or the time is up.
async fn watch(arguments: &Arguments, stage: &Stage, crew: &mut Crew) -> anyhow::Result<Outcome> {
    crew.ready(stage).await?;
    if !arguments.once {
        eprintln!("{}", stage.addresses());
    }
    let began = Instant::now();
    let deadline = began + Duration::from_secs(arguments.timeout);
    let progress = Progress::new(arguments.applications);
    let mut killed = 0;
    let mut parked = HashSet::new();
    let mut asked = Instant::now();
    loop {
        // Reading long books often would slow down what they are about.
        let look = LOOK.max(LOOK * u32::try_from(arguments.applications / 1000).unwrap_or(40));
        tokio::time::sleep(look).await;
        if asked.elapsed() > Duration::from_secs(5) {
            parked = crew.parked(stage).await.unwrap_or_default();
            asked = Instant::now();
        }
        let outcome = read(arguments, stage, crew, &parked, began).await?;
        progress.show(&outcome);
        let settled = outcome.settled();
        let way = outcome.total.accepted + settled;
        // The k-th of K kills comes at k/(K+1) of the way.
        if killed < arguments.kill_gateway
            && way * (arguments.kill_gateway + 1) >= (killed + 1) * 2 * arguments.applications
        {
            killed += 1;
            crew.kill_gateway();
        }
        let sent = outcome.total.submitted + outcome.refused >= arguments.applications;
        let done = sent && outcome.over();
        if done || Instant::now() > deadline {
            progress.finish();
            tokio::time::sleep(AFTERMATH).await;
            parked = crew.parked(stage).await.context("parked deliveries can't be listed")?;
            let mut outcome = read(arguments, stage, crew, &parked, began).await?;
            outcome.late = !done;
            return Ok(outcome);
        }
    }
}

async fn read(
    arguments: &Arguments,
    stage: &Stage,
    crew: &mut Crew,
    parked: &HashSet<String>,
    began: Instant,
) -> anyhow::Result<Outcome> {
    let mut books = Vec::new();
    for one in &stage.simulators {
        match crew.books(one).await {
            Ok(read) => books.push(read),
            Err(error) => bail!("the simulator of {} has died: {error:#}", one.role.party()),
        }
    }
    let mut outcome = Outcome::count(&books, parked, arguments.applications);
    outcome.restarts = crew.restarts();
    outcome.seconds = began.elapsed().as_secs_f64();
    Ok(outcome)
}
