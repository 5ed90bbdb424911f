//! A database for a world of gateways: a SQLite file, or a PostgreSQL database of its own that goes
//! when the world ends, reached over a line that the test can cut. The server is the one that
//! `TONGBAN_TEST_POSTGRES` names (`tests/postgres start` prints it), or one started for a test that
//! breaks the server itself. Depends on line, and on ledger for what is read.

use std::{env, path::PathBuf, process::Command};

use rusqlite::{Connection, OpenFlags};
use tokio_postgres::{Client, Config, NoTls, config::Host};

use crate::{
    harness::{Plan, repository},
    ledger::Rows,
    line::Line,
};

/// Which kind of store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// Where the gateways keep everything.
pub(crate) enum Database {
    /// A file.
    Sqlite(PathBuf),
    /// A database, and what leads to it.
    Postgres(Postgres),
}

/// A database of its own.
pub(crate) struct Postgres {
    /// Of the server's own database, and of ours on it.
    admin: String,
    name: String,
    /// From the gateways to the server.
    pub(crate) line: Line,
    server: Option<Server>,
}

impl Postgres {
    /// On the server of all tests.
    pub(crate) async fn shared() -> Self {
        let admin = env::var("TONGBAN_TEST_POSTGRES")
            .expect("TONGBAN_TEST_POSTGRES=$(tests/postgres start) names a database for tests");
        Self::on(admin, None).await
    }

    /// On a server of its own, which can be restarted.
    pub(crate) async fn alone() -> Self {
        let server = Server::start();
        Self::on(server.url.clone(), Some(server)).await
    }

    async fn on(admin: String, server: Option<Server>) -> Self {
        let name = format!("tongban_it_{}", uuid::Uuid::new_v4().simple());
        let client = connect(&admin).await.expect("the server of TONGBAN_TEST_POSTGRES answers");
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let config: Config = admin.parse().unwrap();
        let Some(Host::Tcp(host)) = config.get_hosts().first() else { panic!("{admin}: no host") };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let address = tokio::net::lookup_host((host.as_str(), port)).await.unwrap().next().unwrap();
        Self { admin, name, line: Line::to(address).await, server }
    }

    /// As the gateways reach it.
    pub(crate) fn over_line(&self) -> String {
        let (user, _) = self.admin.split_once('@').unwrap();
        format!("{user}@{}/{}", self.line.address, self.name)
    }

    /// As the tests reach it, past the line.
    pub(crate) async fn connect(&self) -> Option<Client> {
        let (server, _) = self.admin.rsplit_once('/').unwrap();
        connect(&format!("{server}/{}", self.name)).await
    }

    /// Kills the server as a crash would, and starts it again.
    pub(crate) async fn restart(&self) {
        let folder = self.server.as_ref().expect("a server of its own").folder.clone();
        let restarted = tokio::task::spawn_blocking(move || script("restart", &folder));
        restarted.await.unwrap();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.server.is_some() {
            return; // It goes as a whole.
        }
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let admin = self.admin.clone();
        // Not on the runtime that is about to end.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .unwrap()
                .block_on(async { connect(&admin).await?.batch_execute(&drop).await.ok() })
        });
        if !matches!(dropped.join(), Ok(Some(()))) {
            eprintln!("the test database {} could not be dropped", self.name);
        }
    }
}

async fn connect(url: &str) -> Option<Client> {
    let (client, driver) = tokio_postgres::connect(url, NoTls).await.ok()?;
    tokio::spawn(driver);
    Some(client)
}

/// A server in a folder of its own.
pub(crate) struct Server {
    pub(crate) folder: PathBuf,
    pub(crate) url: String,
}

impl Server {
    fn start() -> Self {
        Self::started(Self::place(), &[])
    }

    /// Where one may be made.
    pub(crate) fn place() -> PathBuf {
        env::temp_dir().join(format!("tongban-postgres-{}", uuid::Uuid::new_v4()))
    }

    /// Starts the one in the folder; makes it, with these lines of configuration.
    pub(crate) fn started(folder: PathBuf, lines: &[&str]) -> Self {
        let url = script_with("start", &folder, lines);
        Self { folder, url }
    }

    /// A base backup of it in a folder of its own, to be started with these lines of
    /// configuration.
    pub(crate) fn base_backup(&self, lines: &[&str]) -> PathBuf {
        let to = Self::place();
        let arguments = [&[to.to_str().unwrap()], lines].concat();
        script_with("copy", &self.folder, &arguments);
        to
    }
}

/// One of the server's programs.
pub(crate) fn program(name: &str) -> Command {
    let found = Command::new(repository().join("tests/postgres")).arg("programs").output().unwrap();
    Command::new(PathBuf::from(String::from_utf8(found.stdout).unwrap().trim()).join(name))
}

impl Drop for Server {
    fn drop(&mut self) {
        script("stop", &self.folder);
        std::fs::remove_dir_all(&self.folder).unwrap_or_default();
    }
}

fn script(action: &str, folder: &PathBuf) -> String {
    script_with(action, folder, &[])
}

fn script_with(action: &str, folder: &PathBuf, more: &[&str]) -> String {
    let script = repository().join("tests/postgres");
    let done = Command::new(script).arg(action).arg(folder).args(more).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "tests/postgres {action}: {said}");
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

impl Database {
    pub(crate) const fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// The plan with this store in it.
    pub(crate) fn planned(&self, plan: Plan) -> Plan {
        let url = match self {
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
            Self::Postgres(postgres) => postgres.over_line(),
        };
        plan.set("store", "url", format!("\"{url}\""))
    }

    /// How many deliveries are on their way, and how many events there are; none while it cannot be
    /// read.
    pub(crate) async fn open(&self) -> Option<(i64, i64)> {
        let sql = "SELECT (SELECT count(*) FROM deliveries WHERE state NOT IN (2, 3)), \
                   (SELECT count(*) FROM events)";
        match self {
            Self::Sqlite(path) => {
                let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
                database.ok()?.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).ok()
            }
            Self::Postgres(postgres) => {
                let row = postgres.connect().await?.query_one(sql, &[]).await.ok()?;
                Some((row.get(0), row.get(1)))
            }
        }
    }

    /// Everything that it holds; none while it cannot be read.
    pub(crate) async fn rows(&self) -> Option<Rows> {
        match self {
            Self::Sqlite(path) => Rows::of_sqlite(path).ok(),
            Self::Postgres(postgres) => {
                Rows::of_postgres(&mut postgres.connect().await?).await.ok()
            }
        }
    }
}
