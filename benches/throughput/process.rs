//! Child processes of the bench: started, watched, always ended with it.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{self, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;

use crate::servers::Role;

/// A process that ends with its owner.
pub(crate) struct Child {
    process: process::Child,
    pub(crate) port: u16,
}

impl Child {
    /// Watches over a process that listens on `port`.
    pub(crate) const fn new(process: process::Child, port: u16) -> Self {
        Self { process, port }
    }

    /// Starts this binary again as one of the servers.
    pub(crate) fn server(role: Role, certs: &Path, port: u16) -> anyhow::Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .args(["--serve", role.name(), "--port", &port.to_string(), "--folder"])
            .arg(certs)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let told = process.stdout.take().context("the server has no output")?;
        let mut line = String::new();
        BufReader::new(told).read_line(&mut line)?;
        let port = line.trim().parse().context("the server told no port")?;
        Ok(Self { process, port })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SIGKILL, and that it is gone already does not matter.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// Time that a process has had on the cores, from `/proc/PID/stat`.
pub(crate) fn cpu(id: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name in brackets may hold blanks; after it the third field comes first.
    let rest = stat.rsplit_once(')').context("stat")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(ticks_long(ticks))
}

/// Time that everything has had on the cores, from `/proc/stat`.
pub(crate) fn cpu_of_all() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("stat")?;
    let fields: Vec<u64> = line.split_whitespace().skip(1).flat_map(str::parse).collect();
    // user, nice, system; irq, softirq, steal. Idle and waiting for the disk stand between.
    Ok(ticks_long(fields[..3].iter().sum::<u64>() + fields[5..8].iter().sum::<u64>()))
}

/// Linux tells times to user space in hundredths of a second.
const fn ticks_long(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 10)
}
