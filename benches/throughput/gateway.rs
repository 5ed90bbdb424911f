//! The gateway under measurement: its certificates, configuration, process and counters. Depends
//! on the binary's command line and configuration only.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::process::Child;

/// The party that submits.
const PARTY: &str = "23";

pub(crate) struct Gateway {
    binary: PathBuf,
    folder: PathBuf,
    /// Its configuration's folder, beside that of the certificates.
    named: &'static str,
    /// Its store, when not the embedded one.
    database: Option<String>,
    edge: u16,
    metrics: u16,
    receiver: u16,
    process: Option<Child>,
}

impl Gateway {
    /// Makes certificates, and a copy of `config/` with free ports.
    pub(crate) fn prepare(binary: &Path, folder: &Path) -> anyhow::Result<Self> {
        let made = Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            named: "config",
            database: None,
            edge: free_port()?,
            metrics: free_port()?,
            receiver: free_port()?,
            process: None,
        };
        fs::create_dir_all(folder)?;
        if !made.certs().join("ca.key").exists() {
            made.run(&["certs", "new", "certs"])?;
        }
        made.configure()?;
        Ok(made)
    }

    /// Another one with the same certificates, that keeps what it takes in a schema of its own.
    pub(crate) async fn on(&self, database: &str) -> anyhow::Result<Self> {
        let schema = format!("tongban_bench_{}", std::process::id());
        let url = tongban::store::Postgres::apart(database, &schema).await;
        let made = Self {
            binary: self.binary.clone(),
            folder: self.folder.clone(),
            named: "config-shared",
            database: Some(url.map_err(anyhow::Error::msg)?),
            edge: free_port()?,
            metrics: free_port()?,
            receiver: self.receiver,
            process: None,
        };
        made.configure()?;
        Ok(made)
    }

    fn configure(&self) -> anyhow::Result<()> {
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config"), &self.config())?;
        self.rewrite("tongban.toml", "0.0.0.0:8443", &format!("127.0.0.1:{}", self.edge))?;
        self.rewrite("tongban.toml", "127.0.0.1:9464", &format!("127.0.0.1:{}", self.metrics))?;
        let address = format!("127.0.0.1:{}", self.receiver);
        self.rewrite("parties/national/party.toml", "127.0.0.1:7601", &address)
    }

    pub(crate) fn certs(&self) -> PathBuf {
        self.folder.join("certs")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join(self.named)
    }

    pub(crate) const fn edge(&self) -> u16 {
        self.edge
    }

    /// Port of the party that handles the applications.
    pub(crate) const fn receiver(&self) -> u16 {
        self.receiver
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().map_or(0, Child::id)
    }

    /// A token of the submitting party.
    pub(crate) fn token(&self) -> anyhow::Result<String> {
        self.token_of(PARTY)
    }

    /// A token of any party.
    pub(crate) fn token_of(&self, party: &str) -> anyhow::Result<String> {
        let token = self.run(&["token", "--party", party, "--certs", "certs", "--ttl", "3600"])?;
        Ok(token.trim().to_owned())
    }

    /// Starts it on its store; returns how long it took until it listened.
    pub(crate) async fn start(&mut self) -> anyhow::Result<Duration> {
        let began = self.spawn()?;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.edge)).await.is_err() {
            ensure!(began.elapsed() < START, "the gateway did not start; see its log");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(began.elapsed())
    }

    /// Begins to start it; what happens next is for the caller to see.
    pub(crate) fn spawn(&mut self) -> anyhow::Result<Instant> {
        let log = File::options().create(true).append(true).open(self.folder.join("log"))?;
        let began = Instant::now();
        let process = Command::new(&self.binary)
            .args(["serve", "--config", &format!("{}/tongban.toml", self.named)])
            .args(self.database.iter().flat_map(|url| ["--database", url]))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| self.binary.display().to_string())?;
        self.process = Some(Child::new(process, self.edge));
        Ok(began)
    }

    /// Kills it, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// How many entries its log has: one for each application stored, and more for each delivered.
    pub(crate) async fn logged(&self) -> anyhow::Result<u64> {
        self.metric("tongban_audit_leaves ").await
    }

    /// How many deliveries were made since it started.
    pub(crate) async fn delivered(&self) -> anyhow::Result<u64> {
        self.metric("tongban_delivery_attempts_total{outcome=\"delivered\",party=\"national\"} ")
            .await
    }

    /// What waits to be delivered.
    pub(crate) async fn counters(&self) -> anyhow::Result<String> {
        let due = self.metric("tongban_outbox_due ").await?;
        let parked = self.metric("tongban_outbox_parked ").await?;
        Ok(format!("{due} deliveries wait, {parked} are parked"))
    }

    /// Memory in use.
    pub(crate) fn resident_mb(&self) -> anyhow::Result<u64> {
        self.memory_mb("VmRSS:")
    }

    /// The most memory that was ever in use.
    pub(crate) fn peak_mb(&self) -> anyhow::Result<u64> {
        self.memory_mb("VmHWM:")
    }

    fn memory_mb(&self, name: &'static str) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()).context(name)?;
        Ok(number.parse::<u64>()? / 1024)
    }

    /// The folder of its store.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// One counter or gauge, named with its labels and a blank.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<u64> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.metrics)).await?;
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        // A counter that nothing has counted yet is not there.
        value.map_or(Ok(0), |value| value.trim().parse().context("metric"))
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.binary)
            .args(arguments)
            .current_dir(&self.folder)
            .stderr(Stdio::inherit())
            .output()?;
        ensure!(output.status.success(), "tongban {} failed", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Replaces a text in a file of its configuration.
    pub(crate) fn rewrite(&self, file: &str, from: &str, to: &str) -> anyhow::Result<()> {
        let file = self.config().join(file);
        let text = fs::read_to_string(&file)?;
        ensure!(text.contains(from), "{} does not name {from}", file.display());
        Ok(fs::write(file, text.replace(from, to))?)
    }
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A port that nobody has now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Longest a start may take, with an index to rebuild.
const START: Duration = Duration::from_secs(120);
