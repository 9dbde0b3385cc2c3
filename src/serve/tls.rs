//! Certificates and keys: read, made, and replaced while the server runs.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use super::access::read_secret;
use super::answer::unexpected;
use crate::{Error, ErrorKind, Result};

/// Where certificate and key come from.
#[derive(Clone, Debug, Default)]
pub enum Tls {
    /// Nowhere: the server speaks in the clear.
    #[default]
    Off,
    /// PEM files.
    Files {
        /// The certificate, and those between it and a root.
        cert: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// Made at the start, for as long as the server runs.
    SelfSigned,
}

/// The configuration in force; a reload replaces it for connections to come.
pub(super) struct TlsNow(RwLock<Arc<ServerConfig>>);

/// A certificate with its key, in PEM.
pub(super) struct Made {
    pub(super) cert: String,
    pub(super) key: String,
    pub(super) fingerprint: String,
}

impl TlsNow {
    pub(super) fn new(config: ServerConfig) -> TlsNow {
        TlsNow(RwLock::new(Arc::new(config)))
    }

    pub(super) fn get(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace(&self, config: ServerConfig) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }
}

/// The configuration for a certificate and a key in files. [TLS-1]
pub(super) fn from_files(cert: &Path, key: &Path) -> Result<ServerConfig> {
    let text = fs::read(cert).map_err(|cause| unreadable(cert, cause))?;
    let key_text = read_secret(key)?;
    from_pem(&text, key_text.as_bytes()).map_err(|error| error.path(cert))
}

/// The configuration for a certificate that is made now, and its fingerprint. [TLS-2]
pub(super) fn self_signed(addresses: &[IpAddr]) -> Result<(ServerConfig, String)> {
    let made = make(addresses)?;
    let config = from_pem(made.cert.as_bytes(), made.key.as_bytes())?;
    Ok((config, made.fingerprint))
}

/// Makes a certificate for this machine's loopback names and these addresses.
pub(super) fn make(addresses: &[IpAddr]) -> Result<Made> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    for address in addresses {
        let name = address.to_string();
        if !address.is_unspecified() && !names.contains(&name) {
            names.push(name);
        }
    }
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names)
        .map_err(|cause| unexpected("cannot make a certificate", cause))?;
    Ok(Made {
        fingerprint: fingerprint(cert.der()),
        cert: cert.pem(),
        key: signing_key.serialize_pem(),
    })
}

fn from_pem(cert: &[u8], key: &[u8]) -> Result<ServerConfig> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(cert)
        .collect::<Result<_, _>>()
        .map_err(|cause| refused("the certificate file is not PEM", cause))?;
    if chain.is_empty() {
        return Err(Error::new(
            ErrorKind::Usage,
            "the certificate file holds no certificate",
        )
        .hint("give a PEM file with the server's certificate first"));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|cause| refused("the key file holds no private key", cause))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|cause| refused("TLS cannot be configured", cause))?;
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|cause| refused("certificate and key do not go together", cause))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// SHA-256 over the certificate, as browsers and openssl show it.
fn fingerprint(der: &[u8]) -> String {
    let bytes: Vec<String> = Sha256::digest(der)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    bytes.join(":")
}

fn refused(what: &'static str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Usage, what)
        .hint("`plasmite serve init` writes a certificate and a key that go together")
        .caused_by(cause)
}

fn unreadable(path: &Path, cause: io::Error) -> Error {
    let kind = match cause.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::Permission,
        _ => ErrorKind::Io,
    };
    Error::new(kind, "the certificate file cannot be read")
        .hint("check its path and who may read it")
        .path(path)
        .caused_by(cause)
}
