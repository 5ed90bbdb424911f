//! How fast the gateway takes applications in, measured against bare servers that keep nothing:
//! `cargo bench --bench throughput -- [--prefill N] [--rounds N] [--seconds N] [--database URL]`.
//!
//! Every round runs the bare and the durable call one after the other over the same mutual TLS,
//! with the same client, headers and bodies, so that their ratio holds on a busy machine where
//! the numbers themselves do not. Case A: the receiver refuses connections. Case B: it answers,
//! and what was stored is delivered meanwhile, during the bare calls too: there the ratio says
//! little, and requests a second and deliveries say more. Between them the gateway is killed. Depends on
//! the `tongban` crate for certificates' paths, messages and TLS; measures its binary.

#[allow(dead_code, reason = "other benches use the rest")]
mod application;
#[allow(dead_code, reason = "other benches use the rest")]
mod gateway;
#[allow(dead_code, reason = "other benches use the rest")]
mod load;
mod process;
mod servers;
mod table;

use std::{env, fs, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Parser;

use crate::{
    application::Applicants,
    gateway::Gateway,
    load::{Load, Run, Target},
    process::Child,
    servers::Role,
    table::Table,
};

/// Measures durable submission against bare servers, in the same run.
#[derive(Parser)]
struct Arguments {
    /// Given by `cargo bench`; without it nothing is measured.
    #[arg(long, hide = true)]
    bench: bool,
    /// Applications stored before the first round.
    #[arg(long, default_value_t = 100_000)]
    prefill: u64,
    /// Rounds of each case.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds measured of each call in a round.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Connections; the calls in flight are spread over them.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Calls in flight.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Which cases: A, B or AB.
    #[arg(long, default_value = "AB")]
    cases: String,
    /// The gateway's binary, when not the one built for the bench.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_tongban"))]
    gateway: PathBuf,
    /// Folder for certificates, configuration, store and log; kept. A store found there is used.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// A PostgreSQL: a second gateway keeps what it takes in a schema there, and is measured in
    /// the same rounds.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Runs as one of the servers.
    #[arg(long, hide = true, requires = "port", requires = "folder")]
    serve: Option<Role>,
    /// Port of that server; 0 for any.
    #[arg(long, hide = true)]
    port: Option<u16>,
}

fn main() -> anyhow::Result<()> {
    if !env::args().any(|argument| argument == "--bench" || argument == "--serve") {
        println!("throughput measures only under `cargo bench`");
        return Ok(());
    }
    let arguments = Arguments::parse();
    tongban::tls::install_provider();
    if let (Some(role), Some(port)) = (arguments.serve, arguments.port) {
        let folder = arguments.folder.unwrap_or_default();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        return runtime.block_on(servers::serve(role, &folder, port));
    }
    // One thread for the client, as load generators have: the servers need the cores.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Box::pin(measure(&arguments)))
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = arguments.folder.clone().unwrap_or_else(|| {
        let name = format!("throughput-{}", std::process::id());
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
    });
    let gateway = Gateway::prepare(&arguments.gateway, &folder)?;
    let certs = gateway.certs();
    let grpc = Child::server(Role::Grpc, &certs, 0)?;
    let rest = Child::server(Role::Rest, &certs, 0)?;
    let applicants = Applicants::new(&gateway.config().join("divisions.csv"))?;
    println!("{}", applicants.sizes());
    let load = Load {
        applicants: &applicants,
        certs: &certs,
        party: "23",
        token: format!("Bearer {}", gateway.token()?).try_into()?,
        connections: arguments.connections,
        in_flight: arguments.in_flight,
        seconds: Duration::from_secs(arguments.seconds),
    };
    machine();
    let mut gateways = vec![gateway];
    if let Some(database) = &arguments.database {
        gateways.push(gateways[0].on(database).await?);
    }
    for gateway in &mut gateways {
        gateway.start().await?;
        prefill(&load, gateway, arguments.prefill).await?;
    }
    let bare = || (Target::grpc(grpc.port), grpc.id());
    let mut pairs = vec![
        ("gRPC", bare(), Target::grpc(gateways[0].edge()), 0),
        ("REST", (Target::rest(rest.port), rest.id()), Target::rest(gateways[0].edge()), 0),
    ];
    if let Some(shared) = gateways.get(1) {
        pairs.push(("gRPC on PostgreSQL", bare(), Target::grpc(shared.edge()), 1));
    }
    let mut table = Table::default();
    for case in arguments.cases.chars() {
        let receiver = match case {
            'B' => Some(Child::server(Role::Receiver, &certs, gateways[0].receiver())?),
            _ => None,
        };
        for gateway in &mut gateways {
            restart(case, gateway, &load).await?;
        }
        let all = gateways.iter().map(Gateway::id).chain([grpc.id(), rest.id()]);
        let all: Vec<u32> = all.chain(receiver.as_ref().map(Child::id)).collect();
        for round in 0..arguments.rounds {
            for (name, (bare, server), durable, at) in &pairs {
                let gateway = &gateways[*at];
                let delivered = gateway.delivered().await?;
                let mut runs: [Option<Run>; 2] = [None, None];
                // Every other round the other way about, so that a drift favours neither.
                for at in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                    let (target, id) = [(bare, *server), (durable, gateway.id())][at];
                    runs[at] = Some(load.run(target, id, &all).await?);
                }
                let [Some(bare), Some(durable)] = runs else { continue };
                let delivered = gateway.delivered().await?.saturating_sub(delivered);
                table.add(case, name, bare, durable, delivered);
            }
        }
        println!("{}", table.lines(case));
    }
    for gateway in &gateways {
        println!("{} MB resident, {}", gateway.resident_mb()?, gateway.counters().await?);
    }
    drop(gateways);
    if arguments.folder.is_none() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    Ok(())
}

async fn restart(case: char, gateway: &mut Gateway, load: &Load<'_>) -> anyhow::Result<()> {
    gateway.kill();
    let ready = gateway.start().await?;
    let (first, _) = load.one(&Target::grpc(gateway.edge())).await?;
    println!(
        "case {case}: after kill -9 ready in {:.2} s with {} log entries, the first new \
         application took {:.1} ms",
        ready.as_secs_f64(),
        gateway.logged().await?,
        first.as_secs_f64() * 1e3
    );
    Ok(())
}

/// Stores applications through the gateway until there are `wanted`.
async fn prefill(load: &Load<'_>, gateway: &Gateway, wanted: u64) -> anyhow::Result<()> {
    let missing = wanted.saturating_sub(gateway.logged().await?);
    if missing == 0 {
        return Ok(());
    }
    let took = load.fill(&Target::grpc(gateway.edge()), missing).await?;
    let rate = missing as f64 / took.as_secs_f64();
    println!("stored {missing} applications in {:.1} s, {rate:.0} a second", took.as_secs_f64());
    Ok(())
}

fn machine() {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{cores} cores, load average {}", load.trim());
}
