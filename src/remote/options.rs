//! How a server is reached: credential, certificates, and limits on waiting.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::platform::is_for_others;
use crate::{Error, ErrorKind, Result};

/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest silence of a server. A stream says every 15 s that it is alive.
const SILENCE: Duration = Duration::from_secs(45);
/// How long a connection is kept for the next request; a server ends idle ones after 10 s.
const KEPT: Duration = Duration::from_secs(5);

/// How to reach a server. The default shows no credential and trusts whom the system trusts.
#[derive(Clone, Debug, Default)]
pub struct RemoteOptions {
    /// The credential that requests carry.
    pub token: Option<Token>,
    /// A PEM file whose certificates are trusted as well. [REMOTE-10]
    pub tls_ca: Option<PathBuf>,
    /// Accepts any certificate: whoever is in between can read and change everything. [REMOTE-11]
    pub danger_skip_verify: bool,
}

/// A secret that requests show. It is in no debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// This token.
    ///
    /// # Errors
    ///
    /// `Usage` if it is empty, or holds what a header cannot.
    pub fn new(text: &str) -> Result<Token> {
        let refuse = |what: &'static str| {
            Err(Error::new(ErrorKind::Usage, what).hint("give the token that the server was given"))
        };
        match text {
            "" => refuse("the token is empty"),
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                refuse("the token has characters in it that no token has")
            }
            _ => Ok(Token(text.to_owned())),
        }
    }

    /// The token in a file: its first line. [REMOTE-9]
    ///
    /// # Errors
    ///
    /// `NotFound`, `Permission` or `Io` if the file cannot be read; `Permission` also if others than its owner may read
    /// it; `Usage` as [`new`](Token::new).
    pub fn from_file(path: &Path) -> Result<Token> {
        let text = read(path, "the token file")?;
        let found =
            fs::metadata(path).map_err(|cause| unreadable(path, "the token file", cause))?;
        if found.is_file() && is_for_others(&found) {
            return Err(Error::new(
                ErrorKind::Permission,
                "others than its owner may use the token file",
            )
            .hint("run chmod 600 on it")
            .path(path));
        }
        let text = String::from_utf8_lossy(&text);
        Token::new(text.lines().next().unwrap_or_default().trim()).map_err(|error| error.path(path))
    }

    /// What the header `authorization` is.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl RemoteOptions {
    /// An HTTP client for the server at `base`. [REMOTE-12]
    pub(super) fn connect(&self, base: &Url) -> Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls(base)?)
            .http1_only()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .pool_idle_timeout(KEPT);
        if is_loopback(base) {
            builder = builder.no_proxy();
        }
        builder.build().map_err(|cause| {
            Error::new(ErrorKind::Io, "cannot set up a client for HTTP")
                .hint("check the variables that name a proxy")
                .caused_by(cause)
        })
    }

    fn tls(&self, base: &Url) -> Result<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let extra = self
            .tls_ca
            .as_deref()
            .map(certificates)
            .transpose()?
            .unwrap_or_default();
        let verifier: Arc<dyn ServerCertVerifier> = match base.scheme() {
            "https" if !self.danger_skip_verify => Arc::new(
                Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).map_err(no_tls)?,
            ),
            // Without TLS no certificate is ever seen.
            _ => Arc::new(Anybody(Arc::clone(&provider))),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(no_tls)?;
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Whether the server is on this machine; no proxy stands between.
fn is_loopback(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = read(path, "the file of certificates")?;
    let found = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        other => {
            let error = Error::new(
                ErrorKind::Usage,
                "there is no certificate in PEM in the file",
            )
            .hint("give the file that `plasmite serve init` wrote, or that of your authority")
            .path(path);
            Err(match other {
                Err(cause) => error.caused_by(cause),
                Ok(_) => error,
            })
        }
    }
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>> {
    fs::read(path).map_err(|cause| unreadable(path, what, cause))
}

fn unreadable(path: &Path, what: &str, cause: std::io::Error) -> Error {
    let kind = match cause.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        std::io::ErrorKind::PermissionDenied => ErrorKind::Permission,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("cannot read {what} {}", path.display()))
        .hint("check the path, and who may read it")
        .path(path)
        .caused_by(cause)
}

fn no_tls(cause: rustls::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot set up TLS")
        .hint("check the system's certificates, or name a file of them with --tls-ca")
        .caused_by(cause)
}

/// Takes any certificate, as was asked for. Signatures are still checked, so that the connection is with its owner.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_shows_in_no_debug_output() {
        let options = RemoteOptions {
            token: Some(Token::new("hush").unwrap()),
            ..RemoteOptions::default()
        };
        assert!(
            !format!(
                "{options:?} {:?}",
                options.token.as_ref().and_then(Token::header)
            )
            .contains("hush")
        );
    }
}
