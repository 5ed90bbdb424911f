//! One party floods, another goes on as always: what the second one's calls take beside the flood,
//! how soon the first one's excess is turned away, and how much memory it all takes:
//! `cargo bench --bench flood -- [--rounds N] [--seconds N] [--in-flight N] [--pause MS]
//! [--store-queue N]`.
//!
//! Party 44 keeps `in-flight` submissions going and sends the next one as soon as one is answered;
//! who was refused pauses first, for far less than it is told to. Party 23 submits at a steady pace;
//! a call counts from the moment it was to be sent. Three parts of a round take turns: no flood; the
//! flood at another gateway on this machine, which is what processors and disk alone cost; the flood
//! at the same gateway. How soon excess is refused is told three times: by the gateway from the
//! request's head to its refusal; by a probe of party 44 that calls at a pace, which adds the
//! gateway's sockets; and by the flood itself, which adds its own queues. With a small
//! `--store-queue` the store turns away as well. Depends on the files of the throughput bench and on
//! the `tongban` crate; measures its binary.

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
    /// Milliseconds that who was refused waits before it sends again; `Retry-After` says 1000.
    #[arg(long, default_value_t = 100)]
    pause: u64,
    /// Calls a second of the other party.
    #[arg(long, default_value_t = 50)]
    pace: u32,
    /// `limits.store_queue`.
    #[arg(long, default_value_t = 4096)]
    store_queue: usize,
    /// `limits.calls_per_party`.
    #[arg(long, default_value_t = 512)]
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

/// Where the flood goes in a part of a round.
#[derive(Clone, Copy, PartialEq)]
enum Flood {
    Nowhere,
    Elsewhere,
    Here,
}

const PARTS: [(Flood, &str); 3] = [
    (Flood::Nowhere, "no flood"),
    (Flood::Elsewhere, "flood at another gateway"),
    (Flood::Here, "flood at the same gateway"),
];

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let name = format!("flood-{}", std::process::id());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (gateway, _receiver) = started(arguments, &folder.join("here")).await?;
    let (other, _other_receiver) = started(arguments, &folder.join("elsewhere")).await?;
    let mut steady: [Times; 3] = Default::default();
    let (mut shed, mut probe) = (Shed::default(), Times::default());
    for round in 0..arguments.rounds {
        for part in 0..PARTS.len() {
            let at = (part + round) % PARTS.len();
            let (began, skip) = (Instant::now(), (round * PARTS.len() + part + 1) as u64);
            let calls = Paced::start(&gateway, arguments, "23", skip)?;
            match PARTS[at].0 {
                Flood::Nowhere => {
                    tokio::time::sleep(Duration::from_secs(arguments.seconds)).await;
                }
                Flood::Elsewhere => drop(flood(&other, arguments, began).await?),
                Flood::Here => {
                    let probing = Paced::start(&gateway, arguments, "44", skip)?;
                    shed.add(flood(&gateway, arguments, began).await?);
                    let answers = joined(probing).await?;
                    let refused = answers.into_iter().filter(|(_, refused)| refused.is_some());
                    probe.0.extend(refused.map(|(took, _)| took));
                }
            }
            for answer in joined(calls).await? {
                steady[at].0.push(good(answer)?);
            }
        }
    }
    for (at, (_, name)) in PARTS.iter().enumerate() {
        println!("{:<44} {}", format!("steady party, {name}:"), steady[at].line());
    }
    for (status, times) in &mut shed.answers {
        println!("{:<44} {}", format!("flooding party, {status}:"), times.line());
    }
    println!("{:<44} {}", "refused probe of the flooding party:", probe.line());
    let (refusals, in_time) = refusals(&gateway).await?;
    println!("{:<44} {refusals}, {in_time:.2} % of them within 50 ms", "refusals, at the gateway:");
    let peak = gateway.peak_mb()?;
    println!("{peak} MB at most");
    let [mut alone, mut elsewhere, mut here] = steady;
    println!(
        "{{\"p50_ms\":{:.1},\"p50_ratio\":{:.2},\"p50_ratio_to_elsewhere\":{:.2},\
         \"p99_ms\":{:.1},\"p99_ratio\":{:.2},\"p99_ratio_to_elsewhere\":{:.2},\
         \"refused\":{refusals},\"refused_within_50ms_percent\":{in_time:.3},\
         \"probe_refused_p99_ms\":{:.1},\"flood_refused_p99_ms\":{:.1},\"peak_mb\":{peak}}}",
        here.at(50),
        here.at(50) / alone.at(50),
        here.at(50) / elsewhere.at(50),
        here.at(99),
        here.at(99) / alone.at(99),
        here.at(99) / elsewhere.at(99),
        probe.at(99),
        shed.refused().at(99),
    );
    drop((gateway, other));
    fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())
}

/// A gateway with the limits to be measured, and whom it delivers to.
async fn started(arguments: &Arguments, folder: &Path) -> anyhow::Result<(Gateway, Receiver)> {
    let mut gateway = Gateway::prepare(&arguments.gateway, folder)?;
    let set = |key: &str, was: usize, is: usize| {
        gateway.rewrite("tongban.toml", &format!("{key} = {was}\n"), &format!("{key} = {is}\n"))
    };
    set("store_queue", 4096, arguments.store_queue)?;
    set("calls_per_party", 512, arguments.calls)?;
    let receiver = Receiver::start(Party::National, &gateway.certs(), gateway.receiver())?;
    gateway.start().await?;
    Ok((gateway, receiver))
}

/// How many calls the gateway turned away for want of room, and how many of 100 within 50 ms of
/// having read their heads. An older gateway does not count them.
async fn refusals(gateway: &Gateway) -> anyhow::Result<(u64, f64)> {
    let all = gateway.metric("tongban_refusal_seconds_count ").await?;
    let soon = gateway.metric("tongban_refusal_seconds_bucket{le=\"0.05\"} ").await?;
    Ok((all, soon as f64 * 100.0 / all as f64))
}

async fn joined(calls: Calls) -> anyhow::Result<Vec<Answer>> {
    let joined = tokio::task::spawn_blocking(move || calls.join()).await?;
    joined.map_err(|_| anyhow::anyhow!("a paced party failed"))?
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
                if status != 201 {
                    tokio::time::sleep(Duration::from_millis(arguments.pause)).await;
                }
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

/// A call's time, and status and body when it was refused.
type Answer = (Duration, Option<(u16, bytes::Bytes)>);
type Calls = thread::JoinHandle<anyhow::Result<Vec<Answer>>>;

/// A party that calls at a pace, on a thread of its own.
struct Paced {
    divisions: PathBuf,
    certs: PathBuf,
    party: &'static str,
    token: String,
    edge: u16,
    pace: u32,
    seconds: u64,
    skip: u64,
}

impl Paced {
    fn start(
        gateway: &Gateway,
        arguments: &Arguments,
        party: &'static str,
        round: u64,
    ) -> anyhow::Result<Calls> {
        let paced = Self {
            divisions: gateway.config().join("divisions.csv"),
            certs: gateway.certs(),
            party,
            token: gateway.token_of(party)?,
            edge: gateway.edge(),
            pace: arguments.pace,
            seconds: arguments.seconds,
            // Far from the flood's people, and from each other's.
            skip: (round * 2 + u64::from(party == "44")) * 1_000_000_000,
        };
        Ok(thread::spawn(move || paced.run()))
    }

    fn run(self) -> anyhow::Result<Vec<Answer>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(Box::pin(self.calls()))
    }

    async fn calls(&self) -> anyhow::Result<Vec<Answer>> {
        let applicants = Applicants::new(&self.divisions)?;
        applicants.skip(self.skip);
        let load = self.load(&applicants, &self.certs)?;
        let target = Target::grpc(self.edge);
        let connections = load.connect(&target).await?;
        let (load, target, connections) = (&load, &target, &connections);
        let mut tick = tokio::time::interval(Duration::from_secs(1) / self.pace);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let end = tokio::time::Instant::now() + load.seconds;
        let (mut calls, mut answers) = (FuturesUnordered::new(), Vec::new());
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
                Some(done) = calls.next() => answers.push(done?),
            }
        }
        while let Some(done) = calls.next().await {
            answers.push(done?);
        }
        Ok(answers)
    }

    fn load<'a>(&self, applicants: &'a Applicants, certs: &'a Path) -> anyhow::Result<Load<'a>> {
        Ok(Load {
            applicants,
            certs,
            party: self.party,
            token: format!("Bearer {}", self.token).try_into()?,
            connections: 1,
            in_flight: 1,
            seconds: Duration::from_secs(self.seconds),
        })
    }
}

/// The steady party is within its limits: whoever refuses it takes its room.
fn good(answer: Answer) -> anyhow::Result<Duration> {
    match answer {
        (took, None) => Ok(took),
        (_, Some((status, body))) => {
            anyhow::bail!("refused: {status} {}", String::from_utf8_lossy(&body))
        }
    }
}
