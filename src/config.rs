//! Reads the configuration: `tongban.toml` and each party's `party.toml`, all faults at once.
//!
//! A party's `[format]` table belongs to `translate`; here it is passed over. Paths in a file are
//! relative to that file's folder. Depends on model only.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::model::fault::{Fault, line_at};

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
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `sqlite://path`, relative to the working folder.
    pub url: String,
    /// File with the 32-byte key (64 hexadecimal digits) that encrypts personal columns.
    pub key_file: PathBuf,
}

/// `[limits]`: limits on callers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Greatest request body, bytes.
    pub body_bytes: usize,
    /// Longest a call may take, seconds; a watch is not limited.
    pub call_seconds: u64,
    /// Calls of one party in progress at once.
    pub calls_per_party: usize,
    /// Calls a party may start a second, on average; 0 for no limit.
    pub rate_per_second: u32,
    /// Connections at once.
    pub connections: usize,
    /// Writes waiting for the store before new work is shed.
    pub store_queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            call_seconds: 30,
            calls_per_party: 1024,
            rate_per_second: 0,
            connections: 4096,
            store_queue: 4096,
        }
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

impl Config {
    /// Reads `tongban.toml` and every `parties/*/party.toml` beside it. Any scalar of
    /// `tongban.toml` is overridden by the environment variable `TONGBAN__SECTION__KEY`.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn load(path: &Path) -> Result<Self, Vec<Fault>> {
        Self::load_with(path, std::env::vars())
    }

    fn load_with(
        path: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Fault>> {
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let parties = load_parties(&folder.join("parties"));
        let file = read_file(path, environment);
        let (parties, file) = match (parties, file) {
            (Ok(parties), Ok(file)) => (parties, file),
            (parties, file) => {
                let mut faults = file.err().unwrap_or_default();
                faults.extend(parties.err().unwrap_or_default());
                return Err(faults);
            }
        };
        let mut config = Self {
            gateway: file.gateway,
            listen: file.listen,
            tls: file.tls,
            store: file.store,
            limits: file.limits,
            dispatch: file.dispatch,
            telemetry: file.telemetry,
            parties,
            folder,
        };
        config.resolve_paths();
        let faults = config.faults(path);
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    fn resolve_paths(&mut self) {
        let tls = &mut self.tls;
        let paths = [&mut tls.certificate, &mut tls.key, &mut tls.authorities];
        for path in paths.into_iter().chain([&mut self.store.key_file]) {
            *path = self.folder.join(&*path);
        }
        for party in self.parties.values_mut() {
            let entry = &mut party.entry;
            for key in &mut entry.token_keys {
                key.public_key = party.path.join(&key.public_key);
            }
            let seal = entry.delivery.as_mut().and_then(|delivery| delivery.seal.key_file.as_mut());
            if let Some(file) = seal {
                *file = party.path.join(&*file);
            }
        }
    }

    fn faults(&self, path: &Path) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut say = |message: &str| faults.push(Fault::new(path, 0, message));
        if self.gateway.province.len() != 2 {
            say("gateway.province: must be two digits, e.g. \"23\"");
        }
        for (name, address) in [("edge", &self.listen.edge), ("metrics", &self.listen.metrics)] {
            if address.parse::<std::net::SocketAddr>().is_err() {
                say(&format!("listen.{name}: must be ADDRESS:PORT, e.g. \"0.0.0.0:8443\""));
            }
        }
        if !self.store.url.starts_with("sqlite://") {
            say("store.url: must begin with sqlite://");
        }
        if self.dispatch.lease_ms <= self.dispatch.attempt_ms {
            say(
                "dispatch.lease_ms: must be above dispatch.attempt_ms, or a slow attempt is repeated",
            );
        }
        if self.dispatch.attempts == 0 || self.dispatch.in_flight == 0 {
            say("dispatch.attempts and dispatch.in_flight: must be at least 1");
        }
        if !matches!(self.telemetry.log_format.as_str(), "json" | "text") {
            say("telemetry.log_format: must be \"json\" or \"text\"");
        }
        faults
    }
}

fn read_file(
    path: &Path,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<File, Vec<Fault>> {
    let text = read(path)?;
    let mut document: toml::Table =
        toml::from_str(&text).map_err(|e| vec![fault(path, &text, &e)])?;
    // Faults are reported against the file's own text, before the environment is laid over it.
    let file: File = toml::from_str(&text).map_err(|error| vec![fault(path, &text, &error)])?;
    let mut changed = false;
    for (name, value) in environment {
        let Some(rest) = name.strip_prefix("TONGBAN__") else { continue };
        let rest = rest.to_ascii_lowercase();
        let Some((section, key)) = rest.split_once("__") else { continue };
        let section = document.entry(section).or_insert_with(|| toml::Table::new().into());
        if let Some(section) = section.as_table_mut() {
            let text_now = section.get(key).is_some_and(toml::Value::is_str);
            let parsed = toml::from_str::<toml::Table>(&format!("v = {value}")).ok();
            let scalar = parsed.and_then(|mut table| table.remove("v")).filter(|_| !text_now);
            section.insert(key.to_owned(), scalar.unwrap_or(toml::Value::String(value)));
            changed = true;
        }
    }
    if !changed {
        return Ok(file);
    }
    document.try_into().map_err(|error: toml::de::Error| {
        vec![Fault::new(
            path,
            0,
            format!("with TONGBAN__… from the environment: {}", error.message()),
        )]
    })
}

fn load_parties(folder: &Path) -> Result<BTreeMap<String, Party>, Vec<Fault>> {
    let entries = fs::read_dir(folder)
        .map_err(|error| vec![Fault::new(folder, 0, format!("cannot be read: {error}"))])?;
    let mut folders: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    let mut parties: BTreeMap<String, Party> = BTreeMap::new();
    let mut faults = Vec::new();
    for path in folders {
        match load_party(&path) {
            Err(more) => faults.extend(more),
            Ok(party) => {
                let file = path.join("party.toml");
                faults.extend(clashes(&file, &party, &parties));
                parties.insert(party.entry.code.clone(), party);
            }
        }
    }
    if parties.is_empty() && faults.is_empty() {
        faults.push(Fault::new(folder, 0, "holds no party; add a folder with a party.toml"));
    }
    if faults.is_empty() { Ok(parties) } else { Err(faults) }
}

fn load_party(path: &Path) -> Result<Party, Vec<Fault>> {
    let file = path.join("party.toml");
    let text = read(&file)?;
    let entry: PartyEntry = toml::from_str(&text).map_err(|e| vec![fault(&file, &text, &e)])?;
    let mut faults = Vec::new();
    let mut say = |key: &str, message: String| {
        let line = text.lines().position(|l| l.trim_start().starts_with(key)).map_or(0, |n| n + 1);
        faults.push(Fault::new(&file, line, message));
    };
    for business in &entry.businesses {
        if crate::model::pb::Business::from_code(business).is_none() {
            say("businesses", format!("businesses: `{business}` is no business of this gateway"));
        }
    }
    if entry.identity.san_uris.is_empty() && entry.identity.fingerprints.is_empty() {
        say("[identity]", "identity: name a SAN URI or a fingerprint, or nobody can call".into());
    }
    for key in &entry.token_keys {
        if !matches!(key.algorithm.as_str(), "EdDSA" | "ES256") {
            say("algorithm", format!("token key `{}`: algorithm must be EdDSA or ES256", key.kid));
        }
    }
    if let Some(delivery) = &entry.delivery {
        if !delivery.endpoint.starts_with("https://") {
            say("endpoint", "delivery.endpoint: must begin with https://".into());
        }
        if !delivery.status_path.contains("{message_number}") {
            say("status_path", "delivery.status_path: must hold {message_number}".into());
        }
        match delivery.seal.algorithm.as_str() {
            "" | "none" => {}
            "hmac-sha256" if delivery.seal.key_file.is_some() => {}
            "hmac-sha256" => say("[delivery.seal]", "delivery.seal.key_file: is missing".into()),
            _ => say(
                "[delivery.seal]",
                "delivery.seal.algorithm: must be none or hmac-sha256".into(),
            ),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let folder = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Party { folder, path: path.to_owned(), entry })
}

/// Two parties must not share a code, a certificate identity or a province.
fn clashes(file: &Path, party: &Party, others: &BTreeMap<String, Party>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for other in others.values() {
        let mut say = |what: String| {
            faults.push(Fault::new(file, 0, format!("{what} is also that of {}", other.folder)));
        };
        let (ours, theirs) = (&party.entry, &other.entry);
        if ours.code == theirs.code {
            say(format!("code `{}`", ours.code));
        }
        for uri in ours.identity.san_uris.iter().filter(|u| theirs.identity.san_uris.contains(u)) {
            say(format!("identity `{uri}`"));
        }
        for province in ours.covers.iter().filter(|p| theirs.covers.contains(p)) {
            say(format!("covered province `{province}`"));
        }
    }
    faults
}

fn read(path: &Path) -> Result<String, Vec<Fault>> {
    fs::read_to_string(path)
        .map_err(|error| vec![Fault::new(path, 0, format!("cannot be read: {error}"))])
}

fn fault(path: &Path, text: &str, error: &toml::de::Error) -> Fault {
    let line = error.span().map_or(0, |span| line_at(text, span.start));
    Fault::new(path, line, error.message().to_owned())
}
