//! `tongban certs`: development certificates and keys. Depends on model's clock.
//!
//! What is made here is for trying things out on one machine: one authority signs everything and
//! its key lies beside the rest. A real party makes its own keys and never sends them.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use aws_lc_rs::{
    encoding::AsDer as _,
    rand,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};

use crate::model::clock;

/// The parties whose certificates the committed configuration and the simulators use.
pub(super) const PARTIES: [&str; 3] = ["national", "23", "44"];

/// Arguments of `tongban certs`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make an authority, the gateway's and three parties' certificates and keys in DIR.
    New {
        /// Folder to write to; made when absent. Nothing in it is overwritten.
        dir: PathBuf,
    },
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Command::New { dir } = arguments.command;
    let files = new(&dir)?;
    println!("{files} files written to {}; for development only", dir.display());
    Ok(())
}

/// Writes the whole set to `dir` and says how many files it holds.
///
/// # Errors
/// When a file can't be written, or `dir` holds a set already.
pub(super) fn new(dir: &Path) -> anyhow::Result<usize> {
    let taken = dir.join("ca.key");
    ensure!(
        !taken.exists(),
        "{} holds certificates already; name another folder, or delete it first",
        dir.display()
    );
    fs::create_dir_all(dir).with_context(|| format!("{} can't be made", dir.display()))?;
    let mut files = Files { dir, count: 0 };

    let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let ca_params = authority()?;
    let ca = ca_params.self_signed(&ca_key)?;
    files.public("ca.pem", &ca.pem())?;
    let issuer = Issuer::new(ca_params, &ca_key);

    files.issue("gateway", "urn:tongban:gateway:tongban-23", &issuer)?;
    for party in PARTIES {
        files.issue(party, &format!("urn:tongban:party:{party}"), &issuer)?;
        files.token_key(party)?;
    }
    for name in ["store.key", "national.seal.key"] {
        let mut key = [0; 32];
        rand::fill(&mut key).context("no random numbers")?;
        files.secret(name, &format!("{}\n", hex::encode(key)))?;
    }
    // Text, as the exchange platform hands application keys out: 16 characters make AES-128.
    for (name, length) in [("national.exchange.key", 8), ("23.registry.password", 12)] {
        let mut key = vec![0; length];
        rand::fill(&mut key).context("no random numbers")?;
        files.secret(name, &format!("{}\n", hex::encode(key)))?;
    }
    // Last: its presence says that the set is whole.
    files.secret("ca.key", &ca_key.serialize_pem())?;
    Ok(files.count)
}

fn authority() -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "Tongban development authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for_years(&mut params, 10);
    Ok(params)
}

fn leaf(name: &str, uri: &str) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    params.subject_alt_names.push(SanType::URI(uri.try_into()?));
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    valid_for_years(&mut params, 2);
    Ok(params)
}

fn valid_for_years(params: &mut CertificateParams, years: i32) {
    let now = i32::from(clock::china_date(clock::now_micros()).year());
    // From last new year, so that a machine whose clock is behind accepts it too.
    params.not_before = rcgen::date_time_ymd(now - 1, 1, 1);
    params.not_after = rcgen::date_time_ymd(now + years, 12, 31);
}

struct Files<'a> {
    dir: &'a Path,
    count: usize,
}

impl Files<'_> {
    fn issue(
        &mut self,
        name: &str,
        uri: &str,
        issuer: &Issuer<'_, &KeyPair>,
    ) -> anyhow::Result<()> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = leaf(name, uri)?.signed_by(&key, issuer)?;
        self.public(&format!("{name}.pem"), &certificate.pem())?;
        self.secret(&format!("{name}.key"), &key.serialize_pem())
    }

    /// Ed25519, as PKCS #8 version 1: OpenSSL 3.0 reads no version 2.
    fn token_key(&mut self, party: &str) -> anyhow::Result<()> {
        let key = Ed25519KeyPair::generate().context("no key could be made")?;
        let private = key.to_pkcs8v1().context("the key can't be written")?;
        let public = key.public_key().as_der().context("the key can't be written")?;
        self.secret(&format!("{party}.token.key"), &pem("PRIVATE KEY", private.as_ref()))?;
        self.public(&format!("{party}.token.pub"), &pem("PUBLIC KEY", public.as_ref()))
    }

    fn public(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        self.write(name, text, 0o644)
    }

    fn secret(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        self.write(name, text, 0o600)
    }

    fn write(&mut self, name: &str, text: &str, mode: u32) -> anyhow::Result<()> {
        let path = self.dir.join(name);
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("{} can't be written", path.display()))?;
        self.count += 1;
        Ok(())
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Tls, tls};

    #[test]
    fn a_new_set_serves_and_calls_and_is_never_overwritten() {
        tls::install_provider();
        let dir = std::env::temp_dir().join(format!("tongban-certs-{}", uuid::Uuid::new_v4()));
        assert_eq!(new(&dir).unwrap(), 20);
        for name in ["gateway", "national", "23", "44"] {
            let paths = Tls {
                certificate: dir.join(format!("{name}.pem")),
                key: dir.join(format!("{name}.key")),
                authorities: dir.join("ca.pem"),
            };
            tls::server(&paths).unwrap();
            tls::client(&paths).unwrap();
        }
        assert!(new(&dir).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
