//! A million deliveries wait: how soon the first goes out after a start, how much memory it takes,
//! and whether new applications are taken as fast as into an empty store:
//! `cargo bench --bench backlog -- [--pending N] [--rounds N] [--seconds N] [--folder F]`.
//!
//! The store is filled through the gateway itself while the receiver is dead. Then a second
//! gateway on an empty store takes turns with the full one, the receiver still dead, and the
//! ratios of their rates are told: of intake, and of intake with delivery to another party, which
//! lives. At last the full one is killed and started again, with the page cache dropped, beside a
//! receiver that answers at once. With `--parked` what waits is parked before the last two.
//! Depends on the files of the throughput bench and on the `tongban` crate; measures its binary.

#[path = "../throughput/application.rs"]
#[allow(dead_code, reason = "the throughput bench uses the rest")]
mod application;
#[path = "../throughput/gateway.rs"]
#[allow(dead_code, reason = "the throughput bench uses the rest")]
mod gateway;
#[path = "../throughput/load.rs"]
#[allow(dead_code, reason = "the throughput bench uses the rest")]
mod load;
#[path = "../throughput/process.rs"]
#[allow(dead_code, reason = "the throughput bench uses the rest")]
mod process;
mod receiver;
#[path = "../throughput/servers.rs"]
#[allow(dead_code, reason = "the throughput bench uses the rest")]
mod servers;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::Parser;

use crate::{
    application::Applicants,
    gateway::Gateway,
    load::{Load, Target},
    process::cpu,
    receiver::{Party, Receiver},
};

/// Measures start, memory and intake with a great backlog, against an empty store in the same run.
#[derive(Parser)]
struct Arguments {
    /// Given by `cargo bench`; without it nothing is measured.
    #[arg(long, hide = true)]
    bench: bool,
    /// Deliveries that wait.
    #[arg(long, default_value_t = 1_000_000)]
    pending: u64,
    /// Rounds of intake.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds measured of each gateway in a round.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Parks what waits once intake is measured, and starts with nothing due.
    #[arg(long)]
    parked: bool,
    /// Starts, each after a kill.
    #[arg(long, default_value_t = 3)]
    starts: usize,
    /// Seconds of delivering after a start.
    #[arg(long, default_value_t = 20)]
    drain: u64,
    /// The gateway's binary, when not the one built for the bench.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_tongban"))]
    gateway: PathBuf,
    /// Folder for certificates, configuration, stores and logs; kept. A store found there is used.
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    if !env::args().any(|argument| argument == "--bench") {
        println!("backlog measures only under `cargo bench`");
        return Ok(());
    }
    let arguments = Arguments::parse();
    tongban::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Box::pin(measure(&arguments)))
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = arguments.folder.clone().unwrap_or_else(|| {
        let name = format!("backlog-{}", std::process::id());
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
    });
    let mut full = Gateway::prepare(&arguments.gateway, &folder.join("full"))?;
    let mut empty = Gateway::prepare(&arguments.gateway, &folder.join("empty"))?;
    let others = [neighbour(&full)?, neighbour(&empty)?];
    let divisions = full.config().join("divisions.csv");
    let applicants = Applicants::new(&divisions)?;
    let neighbours = Applicants::living(&divisions, |code| code.starts_with("44"))?;
    // Other keys than those of the others.
    neighbours.skip(1_000_000_000_000);
    fill(&mut full, &applicants, arguments).await?;
    let (now, most) = (full.resident_mb()?, full.peak_mb()?);
    println!("{now} MB resident with the backlog, {most} MB at most while it was stored");
    let ratio = intake(&full, &mut empty, &applicants, arguments).await?;
    if arguments.parked {
        park(&mut full).await?;
    }
    let both = (&applicants, &neighbours);
    let other = beside(&full, &mut empty, both, &others, arguments).await?;
    empty.kill();
    let idle = idle_cores(&full).await?;
    let began = Instant::now();
    let counters = full.counters().await?;
    // Two scrapes.
    let scrape = began.elapsed().as_secs_f64() * 1e3 / 2.0;
    println!(
        "receiver dead: {counters}; idle {idle:.3} cores, a scrape {scrape:.0} ms, {} MB resident",
        full.resident_mb()?
    );
    let receiver = Receiver::start(Party::National, &full.certs(), full.receiver())?;
    let mut starts = Vec::new();
    for _ in 0..arguments.starts {
        let started = start(&mut full, &receiver, &applicants, arguments.drain).await?;
        println!("{}", started.line());
        starts.push(started);
    }
    let worst = |pick: fn(&Start) -> f64| starts.iter().map(pick).fold(f64::NAN, f64::max);
    println!(
        "{{\"pending\":{},\"intake_ratio\":{ratio:.3},\
         \"other_party_ratio\":{other:.3},\"idle_cores\":{idle:.3},\
         \"scrape_ms\":{scrape:.0},\"first_delivery_s\":{:.3},\"first_intake_s\":{:.3},\
         \"peak_mb\":{:.0}}}",
        arguments.pending,
        worst(|start| start.delivered.as_secs_f64()),
        worst(|start| start.taken.as_secs_f64()),
        worst(|start| start.peak as f64),
    );
    drop(full);
    if arguments.folder.is_none() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    Ok(())
}

/// Stores applications through the gateway until `pending` deliveries wait.
async fn fill(
    full: &mut Gateway,
    applicants: &Applicants,
    arguments: &Arguments,
) -> anyhow::Result<()> {
    full.start().await?;
    let waiting = full.metric("tongban_outbox_due ").await?;
    let missing = arguments.pending.saturating_sub(waiting);
    if missing > 0 {
        let certs = full.certs();
        let (load, target) = (load(full, &certs, applicants, 3)?, Target::grpc(full.edge()));
        let took = load.fill(&target, missing).await?.as_secs_f64();
        println!("stored {missing} applications in {took:.1} s, {:.0}/s", missing as f64 / took);
    }
    Ok(())
}

/// Another party's receiver, in the gateway's configuration and running.
fn neighbour(gateway: &Gateway) -> anyhow::Result<Receiver> {
    let port = gateway::free_port()?;
    let file = "parties/44-guangdong/party.toml";
    gateway.rewrite(file, "127.0.0.1:7603", &format!("127.0.0.1:{port}"))?;
    Receiver::start(Party::P44, &gateway.certs(), port)
}

/// Starts it on an empty store.
async fn fresh(empty: &mut Gateway) -> anyhow::Result<()> {
    empty.kill();
    _ = fs::remove_dir_all(empty.data());
    empty.start().await?;
    Ok(())
}

/// Warms a gateway up before it is measured, until its log file is written over again, which is quicker
/// than making it longer, and what the kernel took from it while it was idle (DAMON) is back.
async fn warm(gateway: &Gateway, certs: &Path, applicants: &Applicants) -> anyhow::Result<()> {
    let load = load(gateway, certs, applicants, 1)?;
    load.fill(&Target::grpc(gateway.edge()), WARM).await?;
    Ok(())
}

/// Applications that fill the write-ahead log of 64 MB more than once.
const WARM: u64 = 20_000;

/// Parks what waits, as retries that came to nothing would have done in some hours.
async fn park(full: &mut Gateway) -> anyhow::Result<()> {
    full.kill();
    let store = rusqlite::Connection::open(full.data().join("tongban.db"))?;
    let parked = store.execute("UPDATE deliveries SET state = 3 WHERE state IN (0, 1)", [])?;
    drop(store);
    full.start().await?;
    println!("{parked} deliveries parked");
    Ok(())
}

/// Applications for a party that lives, taken and delivered: beside the backlog of a dead one
/// against without; the median of the rounds' ratios of deliveries a second.
async fn beside(
    full: &Gateway,
    empty: &mut Gateway,
    (others, applicants): (&Applicants, &Applicants),
    receivers: &[Receiver; 2],
    arguments: &Arguments,
) -> anyhow::Result<f64> {
    let mut ratios = Vec::new();
    let certs = [full.certs(), empty.certs()];
    for round in 0..arguments.rounds {
        fresh(empty).await?;
        let mut rates = [0.0; 2];
        for at in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let gateway = [full, empty][at];
            warm(gateway, &certs[at], others).await?;
            let load = load(gateway, &certs[at], applicants, arguments.seconds)?;
            let (before, began) = (receivers[at].count(), Instant::now());
            load.run(&Target::grpc(gateway.edge()), gateway.id(), &[]).await?;
            // Until the last one has arrived.
            let mut last = receivers[at].count();
            let mut ended = began.elapsed();
            loop {
                tokio::time::sleep(Duration::from_millis(500)).await;
                let now = receivers[at].count();
                if now == last {
                    break;
                }
                (last, ended) = (now, began.elapsed());
            }
            rates[at] = (last - before) as f64 / ended.as_secs_f64();
        }
        let [with, without] = rates;
        println!("  another party: {with:.0} delivered/s with the backlog, {without:.0}/s without");
        ratios.push(with / without);
    }
    Ok(spread("another party's deliveries", ratios))
}

/// Intake with the backlog against intake without, in turns; the median of the rounds' ratios.
async fn intake(
    full: &Gateway,
    empty: &mut Gateway,
    applicants: &Applicants,
    arguments: &Arguments,
) -> anyhow::Result<f64> {
    let mut ratios = Vec::new();
    let (full_certs, empty_certs) = (full.certs(), empty.certs());
    for round in 0..arguments.rounds {
        // As empty in every round.
        fresh(empty).await?;
        let all = [full.id(), empty.id()];
        let mut rates = [0.0; 2];
        for at in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let (gateway, certs) = [(full, &full_certs), (&*empty, &empty_certs)][at];
            warm(gateway, certs, applicants).await?;
            let load = load(gateway, certs, applicants, arguments.seconds)?;
            let run = load.run(&Target::grpc(gateway.edge()), gateway.id(), &all).await?;
            rates[at] = run.rate;
        }
        let [with, without] = rates;
        println!("  intake: {with:.0}/s with the backlog, {without:.0}/s without");
        ratios.push(with / without);
    }
    Ok(spread("intake", ratios))
}

/// Tells the least, the median and the greatest; returns the median.
fn spread(what: &str, mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    let at = |place: usize| ratios.get(place).copied().unwrap_or(f64::NAN);
    let (least, median, most) = (at(0), at(ratios.len() / 2), at(ratios.len().wrapping_sub(1)));
    println!("{what}, with the backlog ÷ without: {least:.2} / {median:.2} / {most:.2}");
    median
}

fn load<'a>(
    gateway: &Gateway,
    certs: &'a Path,
    applicants: &'a Applicants,
    seconds: u64,
) -> anyhow::Result<Load<'a>> {
    Ok(Load {
        applicants,
        certs,
        party: "23",
        token: format!("Bearer {}", gateway.token()?).try_into()?,
        connections: 8,
        in_flight: 64,
        seconds: Duration::from_secs(seconds),
    })
}

/// Cores that the gateway uses when nobody calls and the receiver is dead.
async fn idle_cores(gateway: &Gateway) -> anyhow::Result<f64> {
    let (before, pause) = (cpu(gateway.id())?, Duration::from_secs(6));
    tokio::time::sleep(pause).await;
    Ok((cpu(gateway.id())? - before).as_secs_f64() / pause.as_secs_f64())
}

/// What was seen of a start.
struct Start {
    waiting: u64,
    listening: Duration,
    delivered: Duration,
    taken: Duration,
    rate: f64,
    peak: u64,
}

impl Start {
    fn line(&self) -> String {
        let Self { waiting, listening, delivered, taken, rate, peak } = self;
        let [listening, delivered, taken] =
            [listening, delivered, taken].map(Duration::as_secs_f64);
        format!(
            "start with {waiting} waiting, cold: listens after {listening:.2} s, first delivery \
             after {delivered:.2} s, first application taken after {taken:.2} s; then {rate:.0} \
             deliveries/s, {peak} MB at most"
        )
    }
}

/// Kills it, drops what the kernel has cached of its store, starts it, and lets it deliver.
async fn start(
    gateway: &mut Gateway,
    receiver: &Receiver,
    applicants: &Applicants,
    drain: u64,
) -> anyhow::Result<Start> {
    let waiting = gateway.metric("tongban_outbox_due ").await?;
    let certs = gateway.certs();
    let load = load(gateway, &certs, applicants, 3)?;
    let target = Target::grpc(gateway.edge());
    gateway.kill();
    cool(&gateway.data())?;
    receiver.begin();
    let began = gateway.spawn()?;
    let (mut listening, mut taken) = (None, None);
    // With nothing due there is something to deliver once an application was taken.
    while receiver.first().is_none() || taken.is_none() {
        ensure!(began.elapsed() < Duration::from_secs(120), "nothing happens; see the log");
        tokio::time::sleep(Duration::from_millis(2)).await;
        if taken.is_none() && load.one(&target).await.is_ok() {
            taken = Some(began.elapsed());
        }
        if listening.is_none() {
            let address = ("127.0.0.1", gateway.edge());
            listening = std::net::TcpStream::connect(address).ok().map(|_| began.elapsed());
        }
    }
    let (count, counting) = (receiver.count(), Instant::now());
    tokio::time::sleep(Duration::from_secs(drain)).await;
    Ok(Start {
        waiting,
        listening: listening.unwrap_or_default(),
        delivered: receiver.first().map(|first| first - began).unwrap_or_default(),
        taken: taken.unwrap_or_default(),
        rate: (receiver.count() - count) as f64 / counting.elapsed().as_secs_f64(),
        peak: gateway.peak_mb()?,
    })
}

/// Has the kernel forget what it cached of the files.
fn cool(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        fs::File::open(&path)?.sync_all()?;
        let file = format!("if={}", path.display());
        let mut drop = Command::new("dd");
        drop.args([file.as_str(), "iflag=nocache", "count=0", "status=none"]);
        ensure!(drop.status()?.success(), "dd cannot drop {}", path.display());
    }
    Ok(())
}
