//! Connections to the database: where it is, how one is made and what is set on it, and the few
//! that reads share. Each connection owns the task that drives it. Knows no table.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{
    AsyncMessage, Client, Config, Statement,
    config::{Host, SslMode},
    error::SqlState,
    types::ToSql,
};

use crate::store::{StoreError, postgres::tls::Tls};

/// Longest that connecting may take.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest that a read or a lease may take, above the server's own limit.
const READ: Duration = Duration::from_secs(12);
/// Longest that a caller waits for a free connection.
const FREE: Duration = Duration::from_secs(5);
/// Connections that reads and leases share.
const READERS: usize = 8;

/// What is set on each connection. A transaction that waits longer for a lock is run again; an
/// answer is given only for what the server says is on its disk.
const SESSION: &str = "SET statement_timeout = '10s'; SET lock_timeout = '4s'; \
     SET idle_in_transaction_session_timeout = '20s'; SET synchronous_commit = 'on'; \
     SET client_min_messages = 'warning'";

/// Every statement that matters goes by an index. A plan made while the tables were empty, before
/// the server has counted them, must do so too; without these a first hour's load reads whole
/// tables. A database that does not know these settings plans as it likes.
const PLANS: [&str; 5] = [
    "SET enable_seqscan = off",
    "SET enable_bitmapscan = off",
    "SET enable_mergejoin = off",
    "SET enable_hashjoin = off",
    "SET jit = off",
];

/// A column of values or one value, for a statement.
pub(super) type Value<'a> = Box<dyn ToSql + Sync + Send + 'a>;

/// Where the database is.
pub(super) struct Address {
    config: Config,
    tls: Option<Tls>,
    /// Host and database for people; no password.
    pub(super) name: String,
}

impl Address {
    /// # Errors
    /// What is wrong with the URL, in words for the operator.
    pub(super) fn read(url: &str) -> Result<Self, String> {
        let (url, mode, authorities) = split(url);
        let mut config: Config =
            url.parse().map_err(|error| format!("the database's URL: {error}"))?;
        config.application_name("tongban").connect_timeout(CONNECT);
        config.keepalives_idle(Duration::from_secs(10)).tcp_user_timeout(READ);
        let hosts: Vec<String> = config.get_hosts().iter().map(host).collect();
        let away = config.get_hosts().iter().any(is_away);
        // A password does not cross the network in the clear unless somebody asked for that.
        let encrypted = match mode.as_deref() {
            None => away || authorities.is_some(),
            Some("disable") => false,
            Some("require" | "verify-ca" | "verify-full") => true,
            Some(other) => {
                return Err(format!(
                    "sslmode `{other}` in the database's URL: must be disable or require"
                ));
            }
        };
        config.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
        let tls = encrypted.then(|| Tls::new(authorities.as_deref())).transpose()?;
        let name = format!("{}/{}", hosts.join(","), config.get_dbname().unwrap_or_default());
        Ok(Self { config, tls, name })
    }

    /// A new connection; notifications go to `ear`.
    ///
    /// # Errors
    /// The driver's.
    pub(super) async fn connect(
        &self,
        ear: Option<mpsc::Sender<String>>,
    ) -> Result<Connection, Trouble> {
        let connecting = async {
            match &self.tls {
                Some(tls) => {
                    let (client, driver) = self.config.connect(tls.clone()).await?;
                    Ok((client, drive(driver, ear)))
                }
                None => {
                    let (client, driver) = self.config.connect(tokio_postgres::NoTls).await?;
                    Ok((client, drive(driver, ear)))
                }
            }
        };
        // Name and socket have a limit of their own; this one is for a server that says nothing.
        let made: Result<_, tokio_postgres::Error> =
            timeout(CONNECT * 2, connecting).await.map_err(|_| Trouble::silent())?;
        let (client, driver) = made?;
        let connection = Connection { client, driver, statements: HashMap::new() };
        timeout(CONNECT, connection.client.batch_execute(SESSION))
            .await
            .map_err(|_| Trouble::silent())??;
        for setting in PLANS {
            let set = connection.client.batch_execute(setting);
            if let Err(error) = timeout(CONNECT, set).await.map_err(|_| Trouble::silent())? {
                tracing::debug!(%error, setting, "the database does not know a setting");
            }
        }
        Ok(connection)
    }
}

/// Takes `sslmode` and `sslrootcert` out of the URL: the driver knows fewer modes and no file.
fn split(url: &str) -> (String, Option<String>, Option<PathBuf>) {
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), None, None) };
    let (mut mode, mut authorities, mut rest) = (None, None, Vec::new());
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value.to_owned()),
            Some(("sslrootcert", value)) => authorities = Some(PathBuf::from(value)),
            _ => rest.push(pair),
        }
    }
    let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    (url, mode, authorities)
}

fn host(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

fn is_away(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            let address = name.parse::<std::net::IpAddr>();
            name != "localhost" && !address.is_ok_and(|address| address.is_loopback())
        }
        Host::Unix(_) => false,
    }
}

fn drive<S>(
    mut driver: tokio_postgres::Connection<tokio_postgres::Socket, S>,
    ear: Option<mpsc::Sender<String>>,
) -> JoinHandle<()>
where
    S: tokio_postgres::tls::TlsStream + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        while let Some(Ok(message)) =
            std::future::poll_fn(|context| driver.poll_message(context)).await
        {
            if let (AsyncMessage::Notification(told), Some(ear)) = (message, &ear) {
                // Only a hint: whoever misses it looks by itself.
                _ = ear.try_send(told.payload().to_owned());
            }
        }
    })
}

/// One connection and the task that drives it, which ends with it.
pub(super) struct Connection {
    pub(super) client: Client,
    driver: JoinHandle<()>,
    statements: HashMap<&'static str, Statement>,
}

impl Connection {
    /// The statement, prepared once.
    pub(super) async fn prepare(&mut self, sql: &'static str) -> Result<Statement, Trouble> {
        if let Some(known) = self.statements.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    /// Runs a statement.
    pub(super) async fn query(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, Trouble> {
        let statement = self.prepare(sql).await?;
        Ok(self.client.query(&statement, values).await?)
    }

    /// Runs statements without waiting for one before the next is sent; the first error counts,
    /// what is sent after it is refused by the server.
    pub(super) async fn script(
        &mut self,
        steps: &[(&'static str, Vec<Value<'_>>)],
    ) -> Result<Vec<Vec<tokio_postgres::Row>>, Trouble> {
        let mut prepared = Vec::with_capacity(steps.len());
        for (sql, values) in steps {
            let values: Vec<&(dyn ToSql + Sync)> =
                values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
            prepared.push((self.prepare(sql).await?, values));
        }
        let sent = prepared.iter().map(|(statement, values)| self.client.query(statement, values));
        let rows = futures::future::join_all(sent).await;
        Ok(rows.into_iter().collect::<Result<_, _>>()?)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed() || self.driver.is_finished()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Connections for reads and leases.
pub(super) struct Pool {
    address: Arc<Address>,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

/// A connection of the pool; goes back by [`Held::keep`], else it is closed.
pub(super) struct Held {
    pub(super) connection: Connection,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(address: Arc<Address>) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(READERS));
        Arc::new(Self { address, idle: Mutex::default(), permits })
    }

    pub(super) async fn take(self: &Arc<Self>) -> Result<Held, StoreError> {
        let permit = timeout(FREE, Arc::clone(&self.permits).acquire_owned()).await;
        let busy = || StoreError::Unavailable("every connection to the database is busy".into());
        let permit = permit.map_err(|_| busy())?.map_err(|_| busy())?;
        let idle = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|connection| !connection.is_closed());
            idle.pop()
        };
        let connection = match idle {
            Some(connection) => connection,
            None => self.address.connect(None).await.map_err(StoreError::from)?,
        };
        Ok(Held { connection, pool: Arc::clone(self), _permit: permit })
    }
}

impl Held {
    /// Keeps the connection for the next, unless it failed.
    pub(super) fn keep<T>(self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if !matches!(outcome, Err(StoreError::Unavailable(_))) && !self.connection.is_closed() {
            let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(self.connection);
        }
        outcome
    }
}

/// Waits for a read no longer than is good.
pub(super) async fn in_time<T>(
    query: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(READ, query).await.unwrap_or_else(|_| Err(Trouble::silent().into()))
}

/// Why the database did not do it.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Somebody else was quicker or stood in the way: run the transaction again.
    Again(String),
    /// The connection is gone.
    Lost(String),
    /// Anything else.
    Other(StoreError),
}

impl Trouble {
    pub(super) fn silent() -> Self {
        Self::Lost("the database does not answer".into())
    }
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        // The server's details may hold values; its message and code do not.
        let Some(told) = error.as_db_error() else {
            return match error.is_closed() {
                true => Self::Lost("the connection to the database was cut".into()),
                false => Self::Lost(chain(&error)),
            };
        };
        let text = format!("{} (SQLSTATE {})", told.message(), told.code().code());
        match told.code() {
            code if *code == SqlState::UNIQUE_VIOLATION
                || *code == SqlState::T_R_SERIALIZATION_FAILURE
                || *code == SqlState::T_R_DEADLOCK_DETECTED
                || *code == SqlState::LOCK_NOT_AVAILABLE =>
            {
                Self::Again(text)
            }
            code if *code == SqlState::DATA_CORRUPTED || *code == SqlState::INDEX_CORRUPTED => {
                Self::Other(StoreError::Corrupt(text))
            }
            // 57P: the server is stopping or starting; 25006: it is no longer the one that writes.
            code if code.code().starts_with("57P")
                || code.code().starts_with("08")
                || *code == SqlState::READ_ONLY_SQL_TRANSACTION =>
            {
                Self::Lost(text)
            }
            _ => Self::Other(StoreError::Unavailable(text)),
        }
    }
}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Again(text) | Trouble::Lost(text) => Self::Unavailable(text),
            Trouble::Other(error) => error,
        }
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        Trouble::from(error).into()
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Other(error)
    }
}

/// The error and what caused it: the driver's own says only `error connecting to server`.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_taken_for_granted_away_from_home() {
        let mode = |url: &str| Address::read(url).unwrap().config.get_ssl_mode();
        assert_eq!(mode("postgres://u@127.0.0.1/t"), SslMode::Disable);
        assert_eq!(mode("postgres://u@%2Fvar%2Frun/t"), SslMode::Disable);
        assert_eq!(mode("postgres://u@db.example/t?sslmode=disable"), SslMode::Disable);
        assert!(Address::read("postgres://u@db.example/t?sslmode=prefer").is_err());
        let wrong = Address::read("postgres://u:secret@db.example/t?sslrootcert=/no/such.pem");
        let told = wrong.err().unwrap();
        assert!(told.contains("/no/such.pem") && !told.contains("secret"), "{told}");
    }

    #[test]
    fn the_name_for_people_holds_no_password() {
        let address = Address::read("postgres://u:secret@127.0.0.1:5433/tongban").unwrap();
        assert_eq!(address.name, "127.0.0.1/tongban");
    }
}
