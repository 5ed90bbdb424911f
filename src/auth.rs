//! Who calls: a verified certificate makes a [`PeerIdentity`], and a token bound to that
//! certificate (RFC 8705) makes a [`Caller`]. The only maker of both. Depends on model and config.
//!
//! A signature costs some 45 µs to verify, so verified tokens are remembered by their digest
//! until they expire; the binding to the connection's certificate is checked on every request.

mod claims;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use x509_parser::{extensions::GeneralName, prelude::*};

use crate::{
    auth::claims::Claims,
    config::{Party, PartyKind, TokenKey},
    model::{
        clock,
        fault::Fault,
        problem::{Problem, Reason},
    },
};

/// What a token may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `applications:submit`: hand in, supplement, withdraw.
    Submit,
    /// `applications:read`: read, list, watch.
    Read,
    /// `applications:decide`: accept, ask for papers, decide.
    Decide,
    /// `verifications:read`: ask the national libraries about people.
    Verify,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Submit, Self::Read, Self::Decide, Self::Verify];

    /// The scope as tokens write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submit => "applications:submit",
            Self::Read => "applications:read",
            Self::Decide => "applications:decide",
            Self::Verify => "verifications:read",
        }
    }
}

/// The party a verified certificate belongs to; lives as long as its connection.
#[derive(Clone, Debug)]
pub struct PeerIdentity {
    party: Arc<Entry>,
    thumbprint: String,
}

impl PeerIdentity {
    /// Code of the party.
    pub fn party(&self) -> &str {
        &self.party.code
    }
}

/// An authenticated system of a party. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Verified>);

#[derive(Debug)]
struct Verified {
    party: Arc<Entry>,
    system: String,
    token_id: String,
    scopes: Vec<Scope>,
    thumbprint: String,
    expires: i64,
}

impl Caller {
    /// Code of the party, e.g. `23`.
    pub fn party(&self) -> &str {
        &self.0.party.code
    }

    /// What kind of system the party is.
    pub fn kind(&self) -> PartyKind {
        self.0.party.kind
    }

    /// The system or operator (`sub`); for the audit log.
    pub fn system(&self) -> &str {
        &self.0.system
    }

    /// Id of the token (`jti`); for the audit log.
    pub fn token_id(&self) -> &str {
        &self.0.token_id
    }

    /// Whether the token allows `scope`.
    pub fn may(&self, scope: Scope) -> bool {
        self.0.scopes.contains(&scope)
    }

    /// A caller with every scope, whom nobody has authenticated.
    #[cfg(test)]
    pub(crate) fn simulated(party: &str, kind: PartyKind) -> Self {
        let party = Arc::new(Entry { code: party.to_owned(), kind, keys: Vec::new() });
        Self(Arc::new(Verified {
            party,
            system: "simulated".into(),
            token_id: String::new(),
            scopes: Scope::ALL.to_vec(),
            thumbprint: String::new(),
            expires: i64::MAX,
        }))
    }

    /// Refuses when the token does not allow `scope`.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, naming the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.may(scope) {
            return Ok(());
        }
        let detail =
            format!("the token lacks the scope `{}`; ask for one that has it", scope.name());
        Err(Problem::new(Reason::PermissionDenied, detail))
    }
}

/// Knows the parties' certificates and keys.
pub struct Auth {
    audience: String,
    by_uri: HashMap<String, Arc<Entry>>,
    by_fingerprint: HashMap<String, Arc<Entry>>,
    verified: Mutex<HashMap<[u8; 32], Caller>>,
}

struct Entry {
    code: String,
    kind: PartyKind,
    keys: Vec<Key>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.code)
    }
}

struct Key {
    id: String,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Auth {
    /// Reads the parties' token keys.
    ///
    /// # Errors
    /// Every key that can't be used, and every identity that two parties claim.
    pub fn new(audience: &str, parties: &BTreeMap<String, Party>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut by_uri = HashMap::new();
        let mut by_fingerprint = HashMap::new();
        for party in parties.values() {
            let mut keys = Vec::new();
            for key in &party.entry.token_keys {
                match read_key(key) {
                    Ok(key) => keys.push(key),
                    Err(message) => faults.push(Fault::new(&key.public_key, 0, message)),
                }
            }
            let (code, kind) = (party.entry.code.clone(), party.entry.kind);
            let entry = Arc::new(Entry { code, kind, keys });
            let identity = &party.entry.identity;
            let uris =
                identity.san_uris.iter().map(|uri| by_uri.insert(uri.clone(), entry.clone()));
            let taken_uris = uris.flatten().count();
            let prints = identity.fingerprints.iter();
            let prints =
                prints.map(|p| by_fingerprint.insert(p.to_ascii_lowercase(), entry.clone()));
            if taken_uris + prints.flatten().count() > 0 {
                let message = "[identity] claims a certificate that another party claims too";
                faults.push(Fault::new(party.path.join("party.toml"), 0, message));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let verified = Mutex::new(HashMap::new());
        Ok(Self { audience: audience.to_owned(), by_uri, by_fingerprint, verified })
    }

    /// The codes of the parties that may call.
    pub fn parties(&self) -> impl Iterator<Item = &str> {
        let entries = self.by_uri.values().chain(self.by_fingerprint.values());
        let codes: std::collections::BTreeSet<&str> =
            entries.map(|entry| entry.code.as_str()).collect();
        codes.into_iter()
    }

    /// The party that a certificate, already verified by TLS, belongs to. `None` when it names
    /// none, or more than one.
    pub fn identify(&self, certificate: &[u8]) -> Option<PeerIdentity> {
        let thumbprint = digest(&SHA256, certificate);
        let mut found: Vec<Arc<Entry>> = Vec::new();
        found.extend(self.by_fingerprint.get(&hex::encode(thumbprint.as_ref())).cloned());
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        if let Ok(Some(names)) = parsed.subject_alternative_name() {
            for name in &names.value.general_names {
                if let GeneralName::URI(uri) = name {
                    found.extend(self.by_uri.get(*uri).cloned());
                }
            }
        }
        let party = found.pop()?;
        if found.iter().any(|other| other.code != party.code) {
            return None;
        }
        Some(PeerIdentity { party, thumbprint: URL_SAFE_NO_PAD.encode(thumbprint.as_ref()) })
    }

    /// Makes the caller from the connection's certificate and the `Authorization` header.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, saying which check failed.
    pub fn authenticate(
        &self,
        peer: Option<&PeerIdentity>,
        authorization: Option<&[u8]>,
    ) -> Result<Caller, Problem> {
        self.authenticate_at(peer, authorization, clock::now_micros() / 1_000_000)
    }

    fn authenticate_at(
        &self,
        peer: Option<&PeerIdentity>,
        authorization: Option<&[u8]>,
        now: i64,
    ) -> Result<Caller, Problem> {
        let peer = peer.ok_or_else(|| {
            refusal("the client certificate belongs to no party of this gateway; have it entered")
        })?;
        let token = authorization.and_then(bearer).ok_or_else(|| {
            refusal("no token; send `Authorization: Bearer <JWT>` bound to the client certificate")
        })?;
        let mut id = [0; 32];
        id.copy_from_slice(digest(&SHA256, token).as_ref());
        let known = self.cache().get(&id).cloned();
        let caller = match known {
            Some(caller) => caller,
            None => {
                let caller = self.verify(peer, token, now)?;
                self.remember(id, &caller, now);
                caller
            }
        };
        if caller.0.expires <= now {
            return Err(refusal("the token has expired (`exp`); make a new one"));
        }
        // On every request: a remembered token is worth nothing on another's connection.
        let bound = caller.0.thumbprint == peer.thumbprint && caller.party() == peer.party();
        if !bound {
            return Err(refusal(
                "the token is bound to another certificate (`cnf.x5t#S256`); bind it to this one",
            ));
        }
        Ok(caller)
    }

    fn verify(&self, peer: &PeerIdentity, token: &[u8], now: i64) -> Result<Caller, Problem> {
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| refusal("the token is no JWT signed with EdDSA or ES256"))?;
        if header.crit.is_some() {
            return Err(refusal("the token's header has `crit`, which is not understood here"));
        }
        let key = choose(&peer.party.keys, header.kid.as_deref(), header.alg)?;
        let claims =
            jsonwebtoken::decode::<Claims>(token, &key.key, &signature_only(key.algorithm))
                .map_err(|error| match error.kind() {
                    ErrorKind::InvalidSignature => {
                        refusal("the token's signature is wrong; sign with the key of its `kid`")
                    }
                    ErrorKind::Json(_) => refusal(
                        "the token's claims can't be read; `iss`, `sub`, `aud`, `jti`, `scope` are \
                     texts, `exp`, `nbf`, `iat` whole seconds",
                    ),
                    _ => refusal("the token is malformed; send it as it was made"),
                })?
                .claims;
        claims.check(&self.audience, peer.party(), now)?;
        let granted: Vec<&str> = claims.scope.as_deref().unwrap_or("").split(' ').collect();
        let scopes = Scope::ALL.into_iter().filter(|s| granted.contains(&s.name())).collect();
        Ok(Caller(Arc::new(Verified {
            party: peer.party.clone(),
            system: claims.sub.unwrap_or_default(),
            token_id: claims.jti.unwrap_or_default(),
            scopes,
            thumbprint: claims.cnf.and_then(|cnf| cnf.thumbprint).unwrap_or_default(),
            expires: claims.exp.unwrap_or_default(),
        })))
    }

    fn remember(&self, id: [u8; 32], caller: &Caller, now: i64) {
        let mut cache = self.cache();
        if cache.len() >= REMEMBERED {
            cache.retain(|_, caller| caller.0.expires > now);
        }
        if cache.len() >= REMEMBERED
            && let Some(any) = cache.keys().next().copied()
        {
            cache.remove(&any);
        }
        cache.insert(id, caller.clone());
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Caller>> {
        // The map holds only whole entries, so a panic elsewhere leaves nothing half done.
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key a token asks for; its algorithm is the key's, never the token's choice.
fn choose<'a>(keys: &'a [Key], id: Option<&str>, algorithm: Algorithm) -> Result<&'a Key, Problem> {
    let mut fitting =
        keys.iter().filter(|key| key.algorithm == algorithm && id.is_none_or(|id| key.id == id));
    match (fitting.next(), fitting.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => Err(refusal("the token names no key; set `kid` in its header")),
        (None, _) => Err(refusal(
            "the party has no key entered with the token's `kid` and `alg` (EdDSA or ES256)",
        )),
    }
}

fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn read_key(key: &TokenKey) -> Result<Key, String> {
    let pem = fs::read(&key.public_key).map_err(|error| format!("can't be read: {error}"))?;
    let (algorithm, decoded) = match key.algorithm.as_str() {
        "EdDSA" => (Algorithm::EdDSA, DecodingKey::from_ed_pem(&pem)),
        "ES256" => (Algorithm::ES256, DecodingKey::from_ec_pem(&pem)),
        _ => return Err("its `algorithm` is neither EdDSA nor ES256".to_owned()),
    };
    let decoded = decoded.map_err(|_| format!("is no {} public key in PEM", key.algorithm))?;
    Ok(Key { id: key.kid.clone(), algorithm, key: decoded })
}

fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty() && token.len() <= 4096)
        .then_some(token)
}

fn refusal(detail: &str) -> Problem {
    Problem::new(Reason::Unauthenticated, detail)
}

/// Tokens remembered at once: one a system an hour, for more systems than a province has.
const REMEMBERED: usize = 4096;

#[cfg(test)]
mod tests;
