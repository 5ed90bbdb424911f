//! One party floods, another goes on as always: what the second one's calls take with and without
//! the flood, how soon the first one's excess is turned away, and how much memory it all takes:
//! `cargo bench --bench flood -- [--rounds N] [--seconds N] [--in-flight N] [--store-queue N]`.
//!
//! Party 44 keeps `in-flight` submissions going and sends the next one as soon as one is answered,
//! however it is answered. Party 23 submits at a steady pace; a call counts from the moment it was
//! to be sent. Rounds with and without the flood take turns. With a small `--store-queue` the
//! store turns away as well. Depends on the files of the throughput bench and on the `tongban`
//! crate; measures its binary.

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
#[path = "../backlog/receiver.rs"]
#[allow(dead_code, reason = "the backlog bench uses the rest")]
mod receiver;
#[path = "../throughput/servers.rs"]
#[allow(dead_code, reason = "the throughput bench uses the rest")]
mod servers;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Parser;
use futures::{StreamExt as _, stream::FuturesUnordered};

use crate::{
    application::Applicants,
    gateway::Gateway,
    load::{Load, Target},
    receiver::{Party, Receiver},
};

/// Measures one party's calls while another party floods, against without, in the same run.
#[derive(Parser)]
struct Arguments {
    /// Given by `cargo bench`; without it nothing is measured.
    #[arg(long, hide = true)]
    bench: bool,
    /// Rounds.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each half of a round.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Calls that the flooding party keeps in flight.
    #[arg(long, default_value_t = 3000)]
    in_flight: usize,
    /// Calls a second of the other party.
    #[arg(long, default_value_t = 50)]
    pace: u32,
    /// `limits.store_queue`.
    #[arg(long, default_value_t = 4096)]
    store_queue: usize,
    /// `limits.calls_per_party`.
    #[arg(long, default_value_t = 1024)]
    calls: usize,
    /// The gateway's binary, when not the one built for the bench.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_tongban"))]
    gateway: PathBuf,
}

fn main() -> anyhow::Result<()> {
    if !env::args().any(|argument| argument == "--bench") {
        println!("flood measures only under `cargo bench`");
        return Ok(());
    }
    let arguments = Arguments::parse();
    tongban::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Box::pin(measure(&arguments)))
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let name = format!("flood-{}", std::process::id());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut gateway = Gateway::prepare(&arguments.gateway, &folder)?;
    let set = |key: &str, was: usize, is: usize| {
        gateway.rewrite("tongban.toml", &format!("{key} = {was}\n"), &format!("{key} = {is}\n"))
    };
    set("store_queue", 4096, arguments.store_queue)?;
    set("calls_per_party", 1024, arguments.calls)?;
    let _receiver = Receiver::start(Party::National, &gateway.certs(), gateway.receiver())?;
    gateway.start().await?;
    let (mut quiet, mut loud, mut shed) = (Times::default(), Times::default(), Shed::default());
    for round in 0..arguments.rounds {
        for flooded in if round % 2 == 0 { [false, true] } else { [true, false] } {
            let began = Instant::now();
            let steady = Steady::new(&gateway, arguments, round as u64 + 1)?;
            let steady = thread::spawn(move || steady.run());
            if flooded {
                shed.add(flood(&gateway, arguments, began).await?);
            } else {
                tokio::time::sleep(Duration::from_secs(arguments.seconds)).await;
            }
            let times = tokio::task::spawn_blocking(move || steady.join()).await?;
            let times = times.map_err(|_| anyhow::anyhow!("the steady party failed"))??;
            [&mut quiet, &mut loud][usize::from(flooded)].0.extend(times);
        }
    }
    println!("steady party, no flood:  {}", quiet.line());
    println!("steady party, the flood: {}", loud.line());
    for (status, times) in &mut shed.answers {
        println!("flooding party, {status}: {}", times.line());
    }
    let peak = gateway.peak_mb()?;
    println!("{peak} MB at most");
    println!(
        "{{\"p50_ratio\":{:.2},\"p99_ratio\":{:.2},\"p99_flooded_ms\":{:.1},\"shed_p99_ms\":{:.1},\
         \"peak_mb\":{peak}}}",
        loud.at(50) / quiet.at(50),
        loud.at(99) / quiet.at(99),
        loud.at(99),
        shed.refused().at(99),
    );
    drop(gateway);
    fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())
}

/// How long calls took.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    /// Milliseconds that so many of 100 calls stayed below.
    fn at(&mut self, percent: usize) -> f64 {
        self.0.sort_unstable();
        let place = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(place).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
    }

    fn line(&mut self) -> String {
        let count = self.0.len();
        let [p50, p99, most] = [50, 99, 100].map(|percent| self.at(percent));
        format!("{count} calls, p50 {p50:.1} ms, p99 {p99:.1} ms, at most {most:.1} ms")
    }
}

/// The answers to the flood, by status.
#[derive(Default)]
struct Shed {
    answers: BTreeMap<u16, Times>,
}

impl Shed {
    fn add(&mut self, more: Self) {
        for (status, times) in more.answers {
            self.answers.entry(status).or_default().0.extend(times.0);
        }
    }

    fn refused(&self) -> Times {
        let refused = self.answers.iter().filter(|(status, _)| **status >= 400);
        Times(refused.flat_map(|(_, times)| times.0.iter().copied()).collect())
    }
}

/// Keeps calls of party 44 in flight until the half of the round is over.
async fn flood(gateway: &Gateway, arguments: &Arguments, began: Instant) -> anyhow::Result<Shed> {
    let certs = gateway.certs();
    let applicants = Applicants::new(&gateway.config().join("divisions.csv"))?;
    let load = Load {
        applicants: &applicants,
        certs: &certs,
        party: "44",
        token: format!("Bearer {}", gateway.token_of("44")?).try_into()?,
        connections: 8,
        in_flight: arguments.in_flight,
        seconds: Duration::from_secs(arguments.seconds),
    };
    let target = Target::rest(gateway.edge());
    let connections = load.connect(&target).await?;
    let (end, shed) = (began + load.seconds, RefCell::new(Shed::default()));
    let calls = (0..load.in_flight).map(|n| {
        let (load, target, shed) = (&load, &target, &shed);
        let connection = &connections[n % connections.len()];
        async move {
            while Instant::now() < end {
                let asked = load.ask(target, connection).await?;
                let status = asked.refused.map_or(201, |(status, _)| status);
                shed.borrow_mut().answers.entry(status).or_default().0.push(asked.took);
            }
            anyhow::Ok(())
        }
    });
    let mut calls: FuturesUnordered<_> = calls.collect();
    while let Some(done) = calls.next().await {
        done?;
    }
    drop(calls);
    Ok(shed.into_inner())
}

/// Party 23 at its pace, on a thread of its own.
struct Steady {
    divisions: PathBuf,
    certs: PathBuf,
    token: String,
    edge: u16,
    pace: u32,
    seconds: u64,
    skip: u64,
}

impl Steady {
    fn new(gateway: &Gateway, arguments: &Arguments, round: u64) -> anyhow::Result<Self> {
        Ok(Self {
            divisions: gateway.config().join("divisions.csv"),
            certs: gateway.certs(),
            token: gateway.token()?,
            edge: gateway.edge(),
            pace: arguments.pace,
            seconds: arguments.seconds,
            // Far from the flood's people.
            skip: round * 1_000_000_000,
        })
    }

    fn run(self) -> anyhow::Result<Vec<Duration>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(Box::pin(self.calls()))
    }

    async fn calls(&self) -> anyhow::Result<Vec<Duration>> {
        let applicants = Applicants::new(&self.divisions)?;
        applicants.skip(self.skip);
        let load = self.load(&applicants, &self.certs)?;
        let target = Target::grpc(self.edge);
        let connections = load.connect(&target).await?;
        let (load, target, connections) = (&load, &target, &connections);
        let mut tick = tokio::time::interval(Duration::from_secs(1) / self.pace);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let end = tokio::time::Instant::now() + load.seconds;
        let (mut calls, mut times) = (FuturesUnordered::new(), Vec::new());
        loop {
            tokio::select! {
                due = tick.tick() => {
                    if due >= end {
                        break;
                    }
                    calls.push(async move {
                        let asked = load.ask(target, &connections[0]).await?;
                        // From when it was to be sent: a late start is a wait as well.
                        anyhow::Ok((due.elapsed(), asked.refused))
                    });
                }
                Some(done) = calls.next() => times.push(good(done?)?),
            }
        }
        while let Some(done) = calls.next().await {
            times.push(good(done?)?);
        }
        Ok(times)
    }

    fn load<'a>(&self, applicants: &'a Applicants, certs: &'a Path) -> anyhow::Result<Load<'a>> {
        Ok(Load {
            applicants,
            certs,
            party: "23",
            token: format!("Bearer {}", self.token).try_into()?,
            connections: 1,
            in_flight: 1,
            seconds: Duration::from_secs(self.seconds),
        })
    }
}

/// The steady party is within its limits: whoever refuses it takes its room.
fn good(answer: (Duration, Option<(u16, bytes::Bytes)>)) -> anyhow::Result<Duration> {
    match answer {
        (took, None) => Ok(took),
        (_, Some((status, body))) => {
            anyhow::bail!("refused: {status} {}", String::from_utf8_lossy(&body))
        }
    }
}
