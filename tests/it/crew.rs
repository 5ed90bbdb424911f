//! Gateways under a supervisor, as systemd would keep them: each `serve` is a process of its own on
//! the house's configuration, started again whenever it ends; killed, armed with faults and asked
//! by the test. Several on one SQLite file take turns: one serves, the others wait for its lock.
//! Depends on harness.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

use crate::{
    harness::{House, SOON, TONGBAN, until},
    world::COURSE,
};

/// The processes of a house; they end when it is dropped.
pub(crate) struct Crew {
    replicas: Vec<Arc<Replica>>,
    supervisors: Vec<JoinHandle<()>>,
}

struct Replica {
    root: PathBuf,
    number: usize,
    process: Mutex<Process>,
    /// How often it came to serve.
    served: AtomicUsize,
    ending: AtomicBool,
    held: AtomicBool,
}

#[derive(Default)]
struct Process {
    id: Option<u32>,
    edge: Option<String>,
}

impl Crew {
    /// Starts so many processes in the house and waits until one of them serves.
    pub(crate) async fn start(house: &House, processes: usize) -> Self {
        let replica = |number| {
            Arc::new(Replica {
                root: house.root().to_owned(),
                number,
                process: Mutex::default(),
                served: AtomicUsize::new(0),
                ending: AtomicBool::new(false),
                held: AtomicBool::new(false),
            })
        };
        let replicas: Vec<_> = (0..processes).map(replica).collect();
        let supervise = |replica: &Arc<Replica>| tokio::spawn(Arc::clone(replica).supervise());
        let supervisors = replicas.iter().map(supervise).collect();
        let crew = Self { replicas, supervisors };
        crew.serves().await;
        crew
    }

    /// Waits until one serves.
    pub(crate) async fn serves(&self) {
        let what = "a gateway to serve";
        until(what, COURSE, || async { (!self.edges().is_empty()).then_some(()) }).await;
    }

    /// Where those that serve listen.
    pub(crate) fn edges(&self) -> Vec<String> {
        self.replicas.iter().filter_map(|one| one.process.lock().unwrap().edge.clone()).collect()
    }

    /// How many processes there are.
    pub(crate) fn size(&self) -> usize {
        self.replicas.len()
    }

    /// How often a process came to serve.
    pub(crate) fn starts(&self) -> usize {
        self.replicas.iter().map(|one| one.served.load(Ordering::Relaxed)).sum()
    }

    /// SIGKILL to one of them.
    pub(crate) fn kill(&self, number: usize) {
        self.replicas[number % self.replicas.len()].signal("-KILL");
    }

    /// SIGKILL to all of them, and none is started again before [`Crew::release`].
    pub(crate) async fn hold(&self) {
        self.replicas.iter().for_each(|one| one.held.store(true, Ordering::Relaxed));
        until("all processes to end", SOON, || async {
            (0..self.replicas.len()).for_each(|number| self.kill(number));
            self.replicas.iter().all(|one| one.process.lock().unwrap().id.is_none()).then_some(())
        })
        .await;
    }

    /// SIGSTOP to all of them; returns when none of their threads is at anything any more.
    pub(crate) async fn freeze(&self) {
        self.replicas.iter().for_each(|one| one.signal("-STOP"));
        until("all threads to stand still", SOON, || async {
            self.replicas.iter().all(|one| one.stands_still()).then_some(())
        })
        .await;
    }

    /// They go on.
    pub(crate) fn thaw(&self) {
        self.replicas.iter().for_each(|one| one.signal("-CONT"));
    }

    /// They are started again.
    pub(crate) fn release(&self) {
        self.replicas.iter().for_each(|one| one.held.store(false, Ordering::Relaxed));
    }

    /// SIGKILL to all of them, and waits until one serves again.
    pub(crate) async fn restart(&self) {
        let before = self.starts();
        (0..self.replicas.len()).for_each(|number| self.kill(number));
        let again = || async { (self.starts() > before && !self.edges().is_empty()).then_some(()) };
        until("a gateway to serve again", COURSE, again).await;
    }

    /// Arms every process with these lines of `src/failpoint.rs`, whatever was armed before.
    pub(crate) fn arm(&self, lines: &str) {
        /// Makes the file another one, so that what was used up counts anew.
        static CELL: AtomicUsize = AtomicUsize::new(0);
        let cell = CELL.fetch_add(1, Ordering::Relaxed);
        for one in &self.replicas {
            // Whole or not at all, also for who is just reading it.
            let draft = one.faults().with_extension("draft");
            fs::write(&draft, format!("{lines}\n# {cell}\n")).unwrap();
            fs::rename(draft, one.faults()).unwrap();
        }
    }

    /// Waits until something armed was hit once more.
    pub(crate) async fn hit(&self) {
        let hits = || self.replicas.iter().map(|one| one.hits()).sum::<usize>();
        let before = hits();
        until("a fault to be hit", SOON * 2, || async { (hits() > before).then_some(()) }).await;
    }

    /// Disarms every process; returns how often something armed was hit since the last time.
    pub(crate) fn disarm(&self) -> usize {
        self.arm("");
        let hits = |one: &Arc<Replica>| {
            let hits = one.hits();
            fs::remove_file(one.faults().with_extension("hits")).unwrap_or_default();
            hits
        };
        self.replicas.iter().map(hits).sum()
    }

    /// SIGKILL to all of them, and none is started again.
    pub(crate) fn end(&self) {
        for one in &self.replicas {
            one.ending.store(true, Ordering::Relaxed);
            one.signal("-KILL");
        }
        // A process that a supervisor was just starting ends with its task.
        self.supervisors.iter().for_each(JoinHandle::abort);
    }

    /// Everything the processes ever wrote to standard error.
    pub(crate) fn log(&self) -> String {
        self.replicas.iter().map(|one| fs::read_to_string(one.log()).unwrap_or_default()).collect()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().filter(|line| !line.contains("\"DEBUG\"")).collect();
            let last = lines[lines.len().saturating_sub(15)..].join("\n");
            eprintln!("the end of the gateways' logs:\n{last}");
        }
    }
}

impl Replica {
    fn faults(&self) -> PathBuf {
        self.root.join(format!("faults-{}", self.number))
    }

    fn hits(&self) -> usize {
        let hits = fs::read_to_string(self.faults().with_extension("hits"));
        hits.unwrap_or_default().lines().count()
    }

    fn log(&self) -> PathBuf {
        self.root.join(format!("gateway-{}.log", self.number))
    }

    fn signal(&self, signal: &str) {
        // Not after it was waited for: the number may be another's then.
        let process = self.process.lock().unwrap();
        let Some(id) = process.id else { return };
        let mut kill = std::process::Command::new("kill");
        // It may have ended by itself already.
        let sent = kill.args([signal, &id.to_string()]).stderr(Stdio::null()).status();
        assert!(sent.is_ok());
    }

    /// Whether all of its threads are stopped (`proc_pid_stat(5)`); so is what does not run.
    fn stands_still(&self) -> bool {
        let Some(id) = self.process.lock().unwrap().id else { return true };
        let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else { return true };
        threads.flatten().all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_none_or(|state| state.starts_with('T') || state.is_empty())
        })
    }

    async fn supervise(self: Arc<Self>) {
        while !self.ending.load(Ordering::Relaxed) {
            let mut child = self.spawn();
            self.listen(&mut child).await;
            // Its standard error has ended, so it has, or is about to.
            child.wait().await.unwrap();
            *self.process.lock().unwrap() = Process::default();
            let held = || async { (!self.held.load(Ordering::Relaxed)).then_some(()) };
            tokio::time::sleep(Duration::from_millis(50)).await;
            until("to be started again", COURSE, held).await;
        }
    }

    fn spawn(&self) -> Child {
        let child = Command::new(TONGBAN)
            .args(["serve", "--config", "config/tongban.toml"])
            .env("TONGBAN_FAILPOINTS", self.faults())
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.process.lock().unwrap().id = child.id();
        child
    }

    /// Copies what the process says into its log until it ends, and notes where it listens.
    async fn listen(&self, child: &mut Child) {
        use std::io::Write as _;

        let mut log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            writeln!(log, "{line}").unwrap();
            if !line.contains("\"serving\"") {
                continue;
            }
            let said: Value = serde_json::from_str(&line).unwrap();
            self.process.lock().unwrap().edge = said["edge"].as_str().map(str::to_owned);
            self.served.fetch_add(1, Ordering::Relaxed);
        }
        self.process.lock().unwrap().edge = None;
    }
}
