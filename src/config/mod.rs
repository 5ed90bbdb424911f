//! Reads the configuration: `tongban.toml` and each party's `party.toml`, all faults at once.
//!
//! A party's `[format]` table belongs to `translate`; here it is passed over. Paths in a file are
//! relative to that file's folder. Depends on model only.

mod read;
pub mod routes;
mod verification;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

pub use crate::config::{
    read::party_folders,
    verification::{
        Exchange, Identity as QuestionIdentity, KeyCipher, Registry, Services, Verification,
    },
};
use crate::model::fault::Fault;

/// Everything `serve` needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of `tongban.toml`; `codes/`, `parties/`, `divisions.csv` stand beside it.
    pub folder: PathBuf,
    /// Who we are.
    pub gateway: Gateway,
    /// Where we listen.
    pub listen: Listen,
    /// Our certificates.
    pub tls: Tls,
    /// Where state is kept.
    pub store: Store,
    /// Limits on callers.
    pub limits: Limits,
    /// How deliveries are made.
    pub dispatch: Dispatch,
    /// How long what is kept is kept.
    pub retention: Retention,
    /// Traces and logs.
    pub telemetry: Telemetry,
    /// The parties, by code.
    pub parties: BTreeMap<String, Party>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    gateway: Gateway,
    listen: Listen,
    tls: Tls,
    store: Store,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    dispatch: Dispatch,
    #[serde(default)]
    retention: Retention,
    #[serde(default)]
    telemetry: Telemetry,
}

/// `[gateway]`: who we are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// The `aud` of tokens for this gateway, e.g. `tongban-23`.
    pub id: String,
    /// Province code of the own province, two digits, e.g. `23`.
    pub province: String,
}

/// `[listen]`: where we listen.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// gRPC and REST over mutual TLS, e.g. `0.0.0.0:8443`.
    pub edge: String,
    /// Plain HTTP for `/metrics`, `/livez`, `/readyz`; loopback.
    pub metrics: String,
}

/// `[tls]`: our certificate chain, its key, and who signs the others' (PEM files).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain, for serving and for calling partners.
    pub certificate: PathBuf,
    /// Private key, PKCS #8.
    pub key: PathBuf,
    /// Certificate authorities that sign the parties' certificates.
    pub authorities: PathBuf,
}

/// `[store]`: where state is kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `sqlite://path`, relative to the working folder, or `postgres://user@host/database`.
    pub url: String,
    /// File with the 32-byte key (64 hexadecimal digits) that encrypts personal columns.
    pub key_file: PathBuf,
    /// PostgreSQL only: transactions of this gateway at once.
    #[serde(default = "two")]
    pub writers: usize,
}

const fn two() -> usize {
    2
}

impl Store {
    /// Whether several gateways may share it.
    pub fn is_shared(&self) -> bool {
        SHARED.iter().any(|scheme| self.url.starts_with(scheme))
    }

    /// Whether its URL begins as one that is known.
    pub fn is_known(&self) -> bool {
        self.is_shared() || self.url.starts_with("sqlite://")
    }

    /// The embedded store's file.
    pub fn path(&self) -> &Path {
        Path::new(self.url.strip_prefix("sqlite://").unwrap_or(&self.url))
    }
}

const SHARED: [&str; 2] = ["postgres://", "postgresql://"];

/// `[limits]`: limits on callers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Greatest request body, bytes.
    pub body_bytes: usize,
    /// Bytes of bodies in memory at once, of all parties.
    pub body_bytes_in_flight: usize,
    /// Longest a call may take, seconds; a watch is not limited.
    pub call_seconds: u64,
    /// Calls of one party in progress at once.
    pub calls_per_party: usize,
    /// Calls a party may start a second, on average; 0 for no limit.
    pub rate_per_second: u32,
    /// Connections at once.
    pub connections: usize,
    /// Connections of one party at once.
    pub connections_per_party: usize,
    /// Writes waiting for the store before new work is shed; one party alone may have half.
    pub store_queue: usize,
    /// Longest a stop may take, seconds; what is not done by then is handed over.
    pub stop_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            body_bytes_in_flight: 128 << 20,
            call_seconds: 30,
            calls_per_party: 512,
            rate_per_second: 0,
            connections: 4096,
            connections_per_party: 1024,
            store_queue: 4096,
            stop_seconds: 40,
        }
    }
}

impl Limits {
    /// How long calls and deliveries in progress may go on once the gateway is told to stop; the
    /// rest of `stop_seconds` is for handing over what has not ended by then.
    pub fn draining(&self) -> Duration {
        let most = Duration::from_secs(self.stop_seconds) * 3 / 4;
        Duration::from_secs(self.call_seconds).min(most)
    }
}

/// `[dispatch]`: how deliveries are made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dispatch {
    /// Deliveries to one party in progress at once.
    pub in_flight: usize,
    /// Longest one attempt may take, milliseconds.
    pub attempt_ms: u64,
    /// How long a lease lasts, milliseconds; above `attempt_ms`.
    pub lease_ms: u64,
    /// First wait after a failure, milliseconds; doubles with each failure.
    pub backoff_ms: u64,
    /// Longest wait between attempts, milliseconds; also the most a `Retry-After` may ask.
    pub backoff_cap_ms: u64,
    /// Attempts before a delivery is parked.
    pub attempts: u32,
    /// Failures in a row that open a party's breaker.
    pub breaker_failures: u32,
    /// How long an open breaker waits before it lets one probe through, milliseconds.
    pub breaker_open_ms: u64,
}

impl Default for Dispatch {
    fn default() -> Self {
        Self {
            in_flight: 32,
            attempt_ms: 10_000,
            lease_ms: 30_000,
            backoff_ms: 500,
            backoff_cap_ms: 300_000,
            attempts: 40,
            breaker_failures: 8,
            breaker_open_ms: 5_000,
        }
    }
}

/// `[retention]`: how long what is kept is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Content of an application, in days after it has ended; 0 keeps it for ever.
    pub content_days: u32,
    /// Idempotency keys with their answers, days.
    pub keys_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { content_days: 1095, keys_days: 30 }
    }
}

/// `[telemetry]`: traces and logs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// OTLP/gRPC collector, e.g. `http://127.0.0.1:4317`; empty for none.
    pub otlp_endpoint: String,
    /// Log filter, e.g. `info` or `tongban=debug`.
    pub log: String,
    /// `json` or `text`.
    pub log_format: String,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp_endpoint: String::new(), log: "info".into(), log_format: "json".into() }
    }
}

/// What kind of system a party is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartyKind {
    /// The own province's platform (一体化应用平台).
    Platform,
    /// Another province's system.
    Province,
    /// The national hub (金民工程).
    National,
}

/// A party (接入方): `parties/<folder>/party.toml`.
#[derive(Clone, Debug)]
pub struct Party {
    /// Name of its folder, e.g. `23-heilongjiang`; the name of its format and its code columns.
    pub folder: String,
    /// Its folder.
    pub path: PathBuf,
    /// The rest, as the file says.
    pub entry: PartyEntry,
}

/// The part of `party.toml` that is no `[format]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyEntry {
    /// Code, the `iss` of its tokens: `23`, `44`, `national`.
    pub code: String,
    /// Name people know it by.
    pub name: String,
    /// What kind of system it is.
    pub kind: PartyKind,
    /// Province codes whose residents' cases it handles; the national hub takes all others.
    #[serde(default)]
    pub covers: Vec<String>,
    /// Businesses it takes part in.
    pub businesses: Vec<String>,
    /// How its certificate names it.
    pub identity: Identity,
    /// Keys that its tokens are signed with.
    #[serde(default)]
    pub token_keys: Vec<TokenKey>,
    /// Where messages for it are sent; absent for a party that only calls.
    pub delivery: Option<Delivery>,
    /// Where questions to it are asked; absent for a party that is asked nothing.
    pub verification: Option<Verification>,
    /// Belongs to `translate`.
    #[serde(rename = "format")]
    _format: serde::de::IgnoredAny,
}

/// `[identity]`: a certificate that matches any of these is the party's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// URIs in the certificate's subject alternative name, e.g. `urn:tongban:party:23`.
    #[serde(default)]
    pub san_uris: Vec<String>,
    /// SHA-256 fingerprints of the whole certificate, lower-case hexadecimal.
    #[serde(default)]
    pub fingerprints: Vec<String>,
}

/// `[[token_keys]]`: one public key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenKey {
    /// The token header's `kid`.
    pub kid: String,
    /// `EdDSA` or `ES256`.
    pub algorithm: String,
    /// PEM file with the public key (SubjectPublicKeyInfo).
    pub public_key: PathBuf,
}

/// `[delivery]`: where messages for the party are sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// Base URL, `https://host:port`.
    pub endpoint: String,
    /// Path that takes messages by POST.
    pub message_path: String,
    /// Path that says, by GET, what became of a message; `{message_number}` is replaced.
    pub status_path: String,
    /// Path that tells, by GET, what the party holds of a day; `{day}` is replaced. Empty for none.
    #[serde(default)]
    pub reconcile_path: String,
    /// How messages are sealed.
    #[serde(default)]
    pub seal: Seal,
}

/// `[delivery.seal]`: how messages to and from the party are signed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// `none` or `hmac-sha256`.
    #[serde(default)]
    pub algorithm: String,
    /// Name of the key, as it stands in the envelope.
    #[serde(default)]
    pub key_id: String,
    /// File with the key, hexadecimal.
    pub key_file: Option<PathBuf>,
}

impl Party {
    /// The bytes of the key that messages to and from the party are sealed with, if any.
    ///
    /// # Errors
    /// The file cannot be read or holds no hexadecimal digits.
    pub fn seal_key(&self) -> Result<Option<Vec<u8>>, Fault> {
        let seal = self.entry.delivery.as_ref().map(|delivery| &delivery.seal);
        let Some(file) = seal.and_then(|seal| seal.key_file.as_ref()) else { return Ok(None) };
        let text = fs::read_to_string(file)
            .map_err(|error| Fault::new(file, 0, format!("cannot be read: {error}")))?;
        let key = hex::decode(text.trim())
            .map_err(|_| Fault::new(file, 1, "must hold hexadecimal digits only"))?;
        Ok(Some(key))
    }
}
