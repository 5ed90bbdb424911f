//! The processes of the demo: simulators and gateway, each its own, ended with the demo whatever
//! ends it. The gateway is supervised as systemd would: when it dies it is started again.

use std::{
    collections::HashSet,
    fs::{self, File},
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tokio::{
    process::{Child, Command},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::cli::demo::stage::{Simulator, Stage};

/// How long after its death the gateway is started again.
const RESTART: Duration = Duration::from_millis(500);
/// How long everything may take to be ready.
const READY: Duration = Duration::from_secs(60);
/// How long the gateway may take to stop.
const GOODBYE: Duration = Duration::from_secs(15);

/// The running processes.
pub(super) struct Crew {
    simulators: Vec<Child>,
    supervisor: Option<JoinHandle<()>>,
    /// Kills the gateway when the demo is killed itself.
    guard: Child,
    kill: mpsc::Sender<()>,
    restarts: Arc<AtomicUsize>,
    stop: CancellationToken,
    client: reqwest::Client,
    binary: PathBuf,
}

impl Crew {
    pub(super) fn start(stage: &Stage) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("the own binary can't be found")?;
        let mut simulators = Vec::new();
        for one in &stage.simulators {
            let mut command = Command::new(&binary);
            let settings = one.settings.display().to_string();
            command.args(["simulate", word(one), "--config", &settings]);
            command.stdin(Stdio::piped());
            simulators.push(spawn(stage, command, one.role.party())?);
        }
        let pid = stage.dir.join("gateway.pid");
        let mut guard = Command::new("sh");
        guard.args(["-c", "cat > /dev/null; kill -KILL $(cat \"$0\")"]).arg(&pid);
        guard.stdin(Stdio::piped());
        let guard = spawn(stage, guard, "guard")?;
        let (kill, orders) = mpsc::channel(8);
        let restarts = Arc::new(AtomicUsize::new(0));
        let stop = CancellationToken::new();
        let gateway = Gateway {
            binary: binary.clone(),
            config: stage.config.clone(),
            log: stage.dir.join("logs").join("gateway.log"),
            pid,
            restarts: Arc::clone(&restarts),
            stop: stop.clone(),
        };
        let supervisor = Some(tokio::spawn(gateway.supervise(orders)));
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build()?;
        Ok(Self { simulators, supervisor, guard, kill, restarts, stop, client, binary })
    }

    /// Waits until all answer.
    pub(super) async fn ready(&mut self, stage: &Stage) -> anyhow::Result<()> {
        let mut urls = vec![(format!("{}/readyz", stage.metrics), "gateway")];
        for one in &stage.simulators {
            urls.push((format!("{}/healthz", one.control), one.role.party()));
        }
        let deadline = Instant::now() + READY;
        for (url, name) in urls {
            loop {
                let answer = self.client.get(&url).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    break;
                }
                let dead = name == "gateway" && self.restarts() > 0;
                if dead || Instant::now() > deadline {
                    let log = stage.dir.join("logs").join(format!("{name}.log"));
                    let text = fs::read_to_string(&log).unwrap_or_default();
                    let tail: Vec<&str> = text.lines().rev().take(12).collect();
                    let tail: Vec<&str> = tail.into_iter().rev().collect();
                    bail!("{name} does not start; end of {}:\n{}", log.display(), tail.join("\n"));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    pub(super) async fn books(&self, one: &Simulator) -> anyhow::Result<Value> {
        let answer = self.client.get(format!("{}/books", one.control)).send().await?;
        Ok(answer.json().await?)
    }

    /// Ids of the applications that have a parked delivery.
    pub(super) async fn parked(&self, stage: &Stage) -> anyhow::Result<HashSet<String>> {
        let mut command = Command::new(&self.binary);
        command.args(["deliveries", "list", "--json", "--config"]).arg(&stage.config);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(20), command.output()).await??;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let rows: Vec<Value> = serde_json::from_slice(&output.stdout)?;
        let ids = rows.iter().filter_map(|row| row["applicationId"].as_str().map(str::to_owned));
        Ok(ids.collect())
    }

    pub(super) fn kill_gateway(&self) {
        // Full only when several kills wait already; one fewer is no loss.
        _ = self.kill.try_send(());
    }

    /// How often the gateway was started again.
    pub(super) fn restarts(&self) -> usize {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Stops everything: the gateway with time to finish, the simulators at once.
    pub(super) async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(supervisor) = self.supervisor.take() {
            drop(tokio::time::timeout(GOODBYE * 2, supervisor).await);
        }
        for child in self.simulators.iter_mut().chain([&mut self.guard]) {
            drop(child.kill().await);
        }
    }
}

struct Gateway {
    binary: PathBuf,
    config: PathBuf,
    log: PathBuf,
    pid: PathBuf,
    restarts: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl Gateway {
    async fn supervise(self, mut orders: mpsc::Receiver<()>) {
        loop {
            let mut child = match self.spawn() {
                Ok(child) => child,
                Err(error) => {
                    eprintln!("the gateway can't be started: {error:#}");
                    return;
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => {
                    self.end(&mut child).await;
                    return;
                }
                _ = child.wait() => {}
                Some(()) = orders.recv() => drop(child.kill().await),
            }
            self.restarts.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(RESTART) => {}
            }
        }
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--config").arg(&self.config).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log).kill_on_drop(true).process_group(0);
        let child = command.spawn()?;
        fs::write(&self.pid, format!("{}\n", child.id().unwrap_or_default()))?;
        Ok(child)
    }

    /// Asks it to stop, and insists after a while.
    async fn end(&self, child: &mut Child) {
        if let Some(id) = child.id() {
            let mut kill = Command::new("sh");
            kill.args(["-c", "kill -TERM \"$0\""]).arg(id.to_string());
            drop(kill.status().await);
        }
        if tokio::time::timeout(GOODBYE, child.wait()).await.is_err() {
            drop(child.kill().await);
        }
        drop(fs::remove_file(&self.pid));
    }
}

fn word(one: &Simulator) -> &'static str {
    match one.role.party() {
        "23" => "platform",
        "44" => "province",
        _ => "national",
    }
}

/// Starts a process of its own group: a Ctrl-C at the terminal is the demo's to handle.
fn spawn(stage: &Stage, mut command: Command, name: &str) -> anyhow::Result<Child> {
    let file = stage.dir.join("logs").join(format!("{name}.log"));
    let log = File::options().create(true).append(true).open(&file)?;
    command.stdout(log.try_clone()?).stderr(log).kill_on_drop(true).process_group(0);
    command.spawn().with_context(|| format!("{name} can't be started"))
}
