//! Mutual TLS for serving and calling: reads certificates, keys and authorities into rustls
//! configurations. Depends on model and config only.
//!
//! Certificate resumption is safe here because a reload builds a new `ServerConfig`: a session of
//! the old one can't be resumed against the new one, so every peer is verified again.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use crate::{config::Tls, model::fault::Fault};

/// Makes aws-lc-rs the TLS library of the process. Call once at the start of a command that
/// speaks TLS; later calls change nothing.
pub fn install_provider() {
    // An error only says that a provider is installed already, and we install no other.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}

/// The configuration for serving: TLS 1.3 and 1.2, client certificate required, h2 and http/1.1.
///
/// # Errors
/// Every file that can't be used, and why.
pub fn server(tls: &Tls) -> Result<Arc<ServerConfig>, Vec<Fault>> {
    let Material { chain, key, roots } = Material::read(tls)?;
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
        .build()
        .map_err(|error| vec![Fault::new(&tls.authorities, 0, error.to_string())])?;
    let mut config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| vec![unfit(tls, &error)])?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The configuration for calling: our certificate, the given authorities, h2 and http/1.1.
///
/// # Errors
/// Every file that can't be used, and why.
pub fn client(tls: &Tls) -> Result<ClientConfig, Vec<Fault>> {
    let Material { chain, key, roots } = Material::read(tls)?;
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| vec![unfit(tls, &error)])?;
    // reqwest adds no ALPN to a ready configuration and would silently speak HTTP/1.1.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

struct Material {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: RootCertStore,
}

impl Material {
    fn read(tls: &Tls) -> Result<Self, Vec<Fault>> {
        match (certificates(&tls.certificate), key(&tls.key), roots(&tls.authorities)) {
            (Ok(chain), Ok(key), Ok(roots)) => Ok(Self { chain, key, roots }),
            (chain, key, roots) => {
                Err([chain.err(), key.err(), roots.err()].into_iter().flatten().collect())
            }
        }
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match chain {
        Ok(chain) if chain.is_empty() => {
            Err(Fault::new(file, 0, "holds no certificate; expected PEM `CERTIFICATE` blocks"))
        }
        Ok(chain) => Ok(chain),
        Err(error) => Err(Fault::new(file, 0, format!("can't be read as certificates: {error}"))),
    }
}

fn key(file: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    PrivateKeyDer::from_pem_file(file)
        .map_err(|error| Fault::new(file, 0, format!("can't be read as a private key: {error}")))
}

fn roots(file: &Path) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| {
            Fault::new(file, 0, format!("holds a certificate that is no authority: {error}"))
        })?;
    }
    Ok(roots)
}

fn unfit(tls: &Tls, error: &rustls::Error) -> Fault {
    Fault::new(&tls.key, 0, format!("can't be used with the certificate: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_file_is_named_at_once() {
        let missing = Tls {
            certificate: "no/such.pem".into(),
            key: "no/such.key".into(),
            authorities: "no/ca.pem".into(),
        };
        let faults = server(&missing).unwrap_err();
        assert_eq!(faults.len(), 3, "{faults:?}");
    }
}
