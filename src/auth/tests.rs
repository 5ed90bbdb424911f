//! Tests of `auth`: each claim wrong, one by one. Depends on auth.

use jsonwebtoken::{EncodingKey, Header};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType};
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_800_000_000;

struct Bench {
    auth: Auth,
    certificate: Vec<u8>,
    signer: EncodingKey,
    ec_signer: EncodingKey,
}

impl Bench {
    fn new() -> Self {
        let ed = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let ec = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let ed_public = ed.public_key_pem();
        let ec_public = ec.public_key_pem();
        let keys = vec![
            Key {
                id: "ed".into(),
                algorithm: Algorithm::EdDSA,
                key: DecodingKey::from_ed_pem(ed_public.as_bytes()).unwrap(),
            },
            Key {
                id: "ec".into(),
                algorithm: Algorithm::ES256,
                key: DecodingKey::from_ec_pem(ec_public.as_bytes()).unwrap(),
            },
        ];
        let party = Arc::new(Entry { code: "44".into(), kind: PartyKind::Province, keys });
        let other =
            Arc::new(Entry { code: "23".into(), kind: PartyKind::Platform, keys: Vec::new() });
        let auth = Auth {
            audience: "tongban-23".into(),
            by_uri: HashMap::from([
                ("urn:tongban:party:44".to_owned(), party),
                ("urn:tongban:party:23".to_owned(), other),
            ]),
            by_fingerprint: HashMap::new(),
            verified: Mutex::default(),
        };
        Self {
            auth,
            certificate: certificate(&["urn:tongban:party:44"]),
            signer: EncodingKey::from_ed_pem(ed.serialize_pem().as_bytes()).unwrap(),
            ec_signer: EncodingKey::from_ec_pem(ec.serialize_pem().as_bytes()).unwrap(),
        }
    }

    fn peer(&self) -> PeerIdentity {
        self.auth.identify(&self.certificate).unwrap()
    }

    fn claims(&self) -> Value {
        json!({
            "iss": "44", "sub": "intake-1", "aud": "tongban-23", "exp": NOW + 600, "iat": NOW,
            "jti": "1", "scope": "applications:submit audit:read",
            "cnf": {"x5t#S256": self.peer().thumbprint},
        })
    }

    fn ask(&self, claims: &Value) -> Result<Caller, String> {
        self.ask_with("ed", Algorithm::EdDSA, &self.signer, claims)
    }

    fn ask_with(
        &self,
        kid: &str,
        algorithm: Algorithm,
        signer: &EncodingKey,
        claims: &Value,
    ) -> Result<Caller, String> {
        let mut header = Header::new(algorithm);
        header.kid = (!kid.is_empty()).then(|| kid.to_owned());
        let token = jsonwebtoken::encode(&header, claims, signer).unwrap();
        self.send(&format!("Bearer {token}"), NOW)
    }

    fn send(&self, header: &str, now: i64) -> Result<Caller, String> {
        let answer = self.auth.authenticate_at(Some(&self.peer()), Some(header.as_bytes()), now);
        answer.map_err(|problem| {
            assert_eq!(problem.reason, Reason::Unauthenticated);
            problem.detail
        })
    }
}

fn certificate(uris: &[&str]) -> Vec<u8> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    for uri in uris {
        params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
    }
    params.self_signed(&key).unwrap().der().to_vec()
}

#[test]
fn a_good_token_makes_a_caller_with_its_scopes() {
    let bench = Bench::new();
    let caller = bench.ask(&bench.claims()).unwrap();
    assert_eq!((caller.party(), caller.system(), caller.token_id()), ("44", "intake-1", "1"));
    assert!(caller.require(Scope::Submit).is_ok());
    assert_eq!(caller.require(Scope::Read).unwrap_err().reason, Reason::PermissionDenied);
    let with_ec = bench.ask_with("ec", Algorithm::ES256, &bench.ec_signer, &bench.claims());
    assert!(with_ec.is_ok());
    let without_kid = bench.ask_with("", Algorithm::ES256, &bench.ec_signer, &bench.claims());
    assert!(without_kid.is_ok());
}

#[test]
fn each_wrong_claim_is_refused_and_named() {
    let bench = Bench::new();
    let cases = [
        ("iss", json!("23"), "`iss`"),
        ("iss", Value::Null, "`iss`"),
        ("sub", Value::Null, "`sub`"),
        ("sub", json!(""), "`sub`"),
        ("aud", json!("tongban-44"), "`aud`"),
        ("aud", json!(["a", "b"]), "`aud`"),
        ("aud", Value::Null, "`aud`"),
        ("exp", Value::Null, "`exp`"),
        ("exp", json!(NOW), "expired"),
        ("exp", json!(NOW - 1), "expired"),
        ("exp", json!(NOW + 3661), "1 hour"),
        ("exp", json!("soon"), "can't be read"),
        ("nbf", json!(NOW + 61), "`nbf`"),
        ("iat", json!(NOW + 61), "`iat`"),
        ("jti", Value::Null, "`jti`"),
        ("cnf", Value::Null, "`cnf"),
        ("cnf", json!({}), "`cnf"),
        ("cnf", json!({"x5t#S256": "AAAA"}), "another certificate"),
    ];
    for (claim, value, expected) in cases {
        let mut claims = bench.claims();
        claims[claim] = value.clone();
        let detail = bench.ask(&claims).unwrap_err();
        assert!(detail.contains(expected), "{claim} = {value}: {detail}");
    }
    let mut many = bench.claims();
    many["aud"] = json!(["elsewhere", "tongban-23"]);
    assert!(bench.ask(&many).is_ok());
}

#[test]
fn the_key_decides_the_algorithm() {
    let bench = Bench::new();
    let claims = bench.claims();
    assert!(bench.ask_with("ed", Algorithm::ES256, &bench.ec_signer, &claims).is_err());
    assert!(bench.ask_with("none", Algorithm::EdDSA, &bench.signer, &claims).is_err());
    let secret = EncodingKey::from_secret(b"public key as secret");
    assert!(bench.ask_with("ed", Algorithm::HS256, &secret, &claims).is_err());
    let token = "eyJhbGciOiJub25lIn0.e30.";
    assert!(bench.send(&format!("Bearer {token}"), NOW).is_err());
}

#[test]
fn a_changed_signature_and_malformed_headers_are_refused() {
    let bench = Bench::new();
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some("ed".into());
    let token = jsonwebtoken::encode(&header, &bench.claims(), &bench.signer).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { 'B' } else { 'A' };
    let changed = format!("Bearer {signed}.{flipped}{}", &signature[1..]);
    assert!(bench.send(&changed, NOW).unwrap_err().contains("signature"));
    for header in ["", "Bearer", "Bearer ", "Basic abc", "Bearer a.b", "Bearer 好"] {
        assert!(bench.send(header, NOW).is_err(), "{header}");
    }
    assert!(bench.auth.authenticate_at(Some(&bench.peer()), None, NOW).is_err());
    let header = format!("bearer {token}");
    assert!(bench.auth.authenticate_at(None, Some(header.as_bytes()), NOW).is_err());
    assert!(bench.send(&header, NOW).is_ok());
}

#[test]
fn a_remembered_token_still_expires_and_stays_bound() {
    let bench = Bench::new();
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some("ed".into());
    let token = jsonwebtoken::encode(&header, &bench.claims(), &bench.signer).unwrap();
    let header = format!("Bearer {token}");
    assert!(bench.send(&header, NOW).is_ok());
    assert!(bench.send(&header, NOW + 599).is_ok());
    assert!(bench.send(&header, NOW + 600).unwrap_err().contains("expired"));
    for stranger in ["urn:tongban:party:44", "urn:tongban:party:23"] {
        let other = bench.auth.identify(&certificate(&[stranger])).unwrap();
        let answer = bench.auth.authenticate_at(Some(&other), Some(header.as_bytes()), NOW);
        assert_eq!(answer.unwrap_err().reason, Reason::Unauthenticated);
    }
}

#[test]
fn a_certificate_of_two_parties_or_none_is_nobody() {
    let bench = Bench::new();
    let both = certificate(&["urn:tongban:party:44", "urn:tongban:party:23"]);
    assert!(bench.auth.identify(&both).is_none());
    assert!(bench.auth.identify(&certificate(&["urn:other"])).is_none());
    assert!(bench.auth.identify(b"no certificate").is_none());
}

#[test]
fn the_memory_of_tokens_is_bounded() {
    let bench = Bench::new();
    let caller = bench.ask(&bench.claims()).unwrap();
    for number in 0..REMEMBERED + 100 {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        bench.auth.remember(id, &caller, NOW);
    }
    assert_eq!(bench.auth.cache().len(), REMEMBERED);
}
