//! Reading the files: every fault of every file at once, each with its line; the environment laid
//! over `tongban.toml`. Depends on model.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    config::{Config, File, Party, PartyEntry, Verification},
    model::{
        fault::{Fault, line_at},
        pb::Business,
    },
};

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
        let file = read_file(path, environment).and_then(|file| {
            let faults = faults_of(&file, path);
            if faults.is_empty() { Ok(file) } else { Err(faults) }
        });
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
            retention: file.retention,
            telemetry: file.telemetry,
            parties,
            folder,
        };
        config.resolve_paths();
        Ok(config)
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
            if let Some(verification) = &mut entry.verification {
                verification.resolve_paths(&party.path);
            }
        }
    }
}

/// What is wrong with the settings, each well-formed by itfile.
fn faults_of(file: &File, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut say = |message: &str| {
        // Each message begins with `section.key`.
        let key = message.split([':', ' ']).next().unwrap_or_default();
        let (section, key) = key.split_once('.').unwrap_or_default();
        faults.push(Fault::new(path, line_of(&text, section, key), message));
    };
    if file.gateway.province.len() != 2 {
        say("gateway.province: must be two digits, e.g. \"23\"");
    }
    for (name, address) in [("edge", &file.listen.edge), ("metrics", &file.listen.metrics)] {
        if address.parse::<std::net::SocketAddr>().is_err() {
            say(&format!("listen.{name}: must be ADDRESS:PORT, e.g. \"0.0.0.0:8443\""));
        }
    }
    if !file.store.is_known() {
        say("store.url: must begin with sqlite:// or postgres://");
    }
    if file.store.writers == 0 {
        say("store.writers: must be at least 1");
    }
    if file.dispatch.lease_ms <= file.dispatch.attempt_ms {
        say("dispatch.lease_ms: must be above dispatch.attempt_ms, or a slow attempt is repeated");
    }
    if file.dispatch.attempts == 0 || file.dispatch.in_flight == 0 {
        say("dispatch.attempts and dispatch.in_flight: must be at least 1");
    }
    let kept = &file.retention;
    if kept.keys_days == 0 {
        say("retention.keys_days: must be at least 1, or a repeated call is taken twice");
    }
    if kept.content_days != 0 && kept.content_days < kept.keys_days {
        say(
            "retention.content_days: must be 0 or at least retention.keys_days, whose answers need it",
        );
    }
    if file.limits.stop_seconds < 2 {
        say("limits.stop_seconds: must be at least 2");
    }
    if !matches!(file.telemetry.log_format.as_str(), "json" | "text") {
        say("telemetry.log_format: must be \"json\" or \"text\"");
    }
    faults
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

/// Every party's folder: its name, its path, and the businesses its `party.toml` names. Also where
/// a file is at fault, so that the faults of its tables are told with it.
pub fn party_folders(config: &Path) -> Vec<(String, PathBuf, Vec<String>)> {
    let folders = folders(&config.join("parties")).unwrap_or_default();
    let party = |path: PathBuf| {
        let text = fs::read_to_string(path.join("party.toml")).ok()?;
        let table: toml::Table = toml::from_str(&text).ok()?;
        let businesses = table.get("businesses")?.as_array()?;
        let businesses = businesses.iter().filter_map(|b| b.as_str().map(str::to_owned)).collect();
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some((name, path, businesses))
    };
    folders.into_iter().filter_map(party).collect()
}

fn folders(parties: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(parties)?.filter_map(|e| e.ok().map(|e| e.path())).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    Ok(folders)
}

fn load_parties(folder: &Path) -> Result<BTreeMap<String, Party>, Vec<Fault>> {
    let folders = folders(folder)
        .map_err(|error| vec![Fault::new(folder, 0, format!("cannot be read: {error}"))])?;
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
    let mut say = |section: &str, key: &str, message: String| {
        faults.push(Fault::new(&file, line_of(&text, section, key), message));
    };
    for business in &entry.businesses {
        if Business::from_code(business).is_none() {
            say(
                "",
                "businesses",
                format!("businesses: `{business}` is no business of this gateway"),
            );
        }
    }
    if entry.identity.san_uris.is_empty() && entry.identity.fingerprints.is_empty() {
        say("identity", "", "identity: name a SAN URI or a fingerprint, or nobody can call".into());
    }
    for key in &entry.token_keys {
        if !matches!(key.algorithm.as_str(), "EdDSA" | "ES256") {
            say(
                "token_keys",
                "algorithm",
                format!("token key `{}`: algorithm must be EdDSA or ES256", key.kid),
            );
        }
    }
    if let Some(delivery) = &entry.delivery {
        if !delivery.endpoint.starts_with("https://") {
            say("delivery", "endpoint", "delivery.endpoint: must begin with https://".into());
        }
        if !delivery.status_path.contains("{message_number}") {
            say(
                "delivery",
                "status_path",
                "delivery.status_path: must hold {message_number}".into(),
            );
        }
        if !delivery.reconcile_path.is_empty() && !delivery.reconcile_path.contains("{day}") {
            say("delivery", "reconcile_path", "delivery.reconcile_path: must hold {day}".into());
        }
        match delivery.seal.algorithm.as_str() {
            "" | "none" => {}
            "hmac-sha256" if delivery.seal.key_file.is_some() => {}
            "hmac-sha256" => say("delivery.seal", "", "delivery.seal.key_file: is missing".into()),
            _ => say(
                "delivery.seal",
                "algorithm",
                "delivery.seal.algorithm: must be none or hmac-sha256".into(),
            ),
        }
    }
    for (section, key, message) in entry.verification.iter().flat_map(Verification::faults) {
        say(section, key, message);
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
    let text = fs::read_to_string(file).unwrap_or_default();
    for other in others.values() {
        let mut say = |(section, key), what: String| {
            let line = line_of(&text, section, key);
            let what = format!("{what} is also that of {}", other.folder);
            faults.push(Fault::new(file, line, what));
        };
        let (ours, theirs) = (&party.entry, &other.entry);
        if ours.code == theirs.code {
            say(("", "code"), format!("code `{}`", ours.code));
        }
        for uri in ours.identity.san_uris.iter().filter(|u| theirs.identity.san_uris.contains(u)) {
            say(("identity", "san_uris"), format!("identity `{uri}`"));
        }
        for province in ours.covers.iter().filter(|p| theirs.covers.contains(p)) {
            say(("", "covers"), format!("covered province `{province}`"));
        }
    }
    faults
}

/// The line, from 1, of `key` in `[section]` (or `[[section]]`); of the section's own head when
/// the key is not there; 0 when neither is.
fn line_of(text: &str, section: &str, key: &str) -> usize {
    let (mut here, mut head) = (section.is_empty(), 0);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[') {
            here = name.trim_start_matches('[').split(']').next() == Some(section);
            if here && head == 0 {
                head = number + 1;
            }
        }
        let value = line.strip_prefix(key).filter(|_| here && !key.is_empty());
        if value.is_some_and(|rest| rest.trim_start().starts_with('=')) {
            return number + 1;
        }
    }
    head
}

fn read(path: &Path) -> Result<String, Vec<Fault>> {
    fs::read_to_string(path)
        .map_err(|error| vec![Fault::new(path, 0, format!("cannot be read: {error}"))])
}

fn fault(path: &Path, text: &str, error: &toml::de::Error) -> Fault {
    let line = error.span().map_or(0, |span| line_at(text, span.start));
    Fault::new(path, line, error.message().to_owned())
}
