//! `tongban token`: a development token bound to a certificate of `tongban certs`. Depends on
//! nothing but the disk.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::json;

use crate::model::clock;

/// Arguments of `tongban token`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Code of the party: `23`, `44`, `national`.
    #[arg(long)]
    party: String,
    /// What the token allows, separated by spaces.
    #[arg(long, default_value = "applications:submit applications:read applications:decide")]
    scope: String,
    /// Name of the calling system (`sub`).
    #[arg(long, default_value = "developer")]
    sub: String,
    /// Seconds until it expires, at most 3600.
    #[arg(long, default_value_t = 3600)]
    ttl: i64,
    /// Folder made by `tongban certs new`.
    #[arg(long, default_value = "certs")]
    certs: PathBuf,
    /// Id of the gateway the token is for (`[gateway] id`).
    #[arg(long, default_value = "tongban-23")]
    audience: String,
    /// Name of the key (`kid`), as the party's `[[token_keys]]` has it; left out when not given.
    #[arg(long)]
    kid: Option<String>,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    println!("{}", make(&arguments)?);
    Ok(())
}

fn make(arguments: &Arguments) -> anyhow::Result<String> {
    ensure!((1..=3600).contains(&arguments.ttl), "--ttl must be 1 to 3600 seconds");
    let party = &arguments.party;
    let certificate = arguments.certs.join(format!("{party}.pem"));
    let certificate = CertificateDer::from_pem_file(&certificate)
        .with_context(|| format!("{} can't be read as a certificate", certificate.display()))?;
    let key = arguments.certs.join(format!("{party}.token.key"));
    let pem = fs::read(&key).with_context(|| format!("{} can't be read", key.display()))?;
    let signer = EncodingKey::from_ed_pem(&pem)
        .with_context(|| format!("{} is no Ed25519 key in PKCS #8", key.display()))?;
    let now = clock::now_micros() / 1_000_000;
    let claims = json!({
        "iss": party,
        "sub": arguments.sub,
        "aud": arguments.audience,
        "iat": now,
        "exp": now + arguments.ttl,
        "jti": uuid::Uuid::new_v4().to_string(),
        "scope": arguments.scope,
        "cnf": {"x5t#S256": URL_SAFE_NO_PAD.encode(digest(&SHA256, &certificate))},
    });
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid.clone_from(&arguments.kid);
    jsonwebtoken::encode(&header, &claims, &signer).context("the token can't be signed")
}
