//! What a server is started with, and what keeps it from starting.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::access::{Credentials, Mode};
use super::tls::Tls;
use crate::{Error, ErrorKind};

/// How to serve the pools of one directory. `ServeOptions::new` has the defaults of `spec/remote/v0`.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The pool directory.
    pub dir: PathBuf,
    /// Where to listen; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// What is allowed at all.
    pub access: Mode,
    /// Who may use it.
    pub credentials: Credentials,
    /// Certificate and key.
    pub tls: Tls,
    /// Origins of pages that may use the server, to the letter.
    pub cors_origins: Vec<String>,
    /// Whether an address beyond loopback may be bound.
    pub allow_non_loopback: bool,
    /// Whether writes may travel in the clear beyond loopback.
    pub insecure_no_tls: bool,
    /// What is too much.
    pub limits: Limits,
}

/// What is too much. [QUOTA-1] to [QUOTA-6]
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub body_bytes: u64,
    /// The longest that a tail may ask to last; zero for no limit.
    pub tail_timeout: Duration,
    /// How many tails and events may be open at once.
    pub tails: usize,
    /// How many connections may be open at once.
    pub connections: usize,
    /// How many requests may wait for storage at once.
    pub storage: usize,
    /// How long a request's head may take.
    pub header_timeout: Duration,
    /// How long a request's body may make no progress.
    pub body_timeout: Duration,
    /// How long requests may take to end once the server shuts down.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes: 1 << 20,
            tail_timeout: Duration::from_secs(30),
            tails: 64,
            connections: 1024,
            storage: 64,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

impl ServeOptions {
    /// Serves `dir` on `127.0.0.1:9700`, to everybody on this machine.
    pub fn new(dir: impl Into<PathBuf>) -> ServeOptions {
        ServeOptions {
            dir: dir.into(),
            bind: SocketAddr::from(([127, 0, 0, 1], 9700)),
            access: Mode::default(),
            credentials: Credentials::default(),
            tls: Tls::default(),
            cors_origins: Vec::new(),
            allow_non_loopback: false,
            insecure_no_tls: false,
            limits: Limits::default(),
        }
    }

    /// Everything about these options that is refused, whatever is in the files that they name. [BIND-2] [BIND-3]
    pub fn problems(&self) -> Vec<Error> {
        let mut problems = Vec::new();
        let mut refuse = |what: &'static str, hint: &'static str| {
            problems.push(Error::new(ErrorKind::Usage, what).hint(hint));
        };
        if !self.is_loopback() {
            if !self.allow_non_loopback {
                refuse(
                    "the address to bind is reachable from other machines",
                    "give --allow-non-loopback if that is meant, or bind to 127.0.0.1",
                );
            }
            if self.access.can_write() && matches!(self.credentials, Credentials::Open) {
                refuse(
                    "writes from other machines need a credential",
                    "give --token-file or --credentials-file, or --access read-only",
                );
            }
            if self.access.can_write() && matches!(self.tls, Tls::Off) && !self.insecure_no_tls {
                refuse(
                    "writes from other machines need TLS",
                    "give --tls-cert and --tls-key, or --tls-self-signed; `plasmite serve init` writes both",
                );
            }
        }
        for origin in &self.cors_origins {
            if !is_origin(origin) {
                problems.push(
                    Error::new(ErrorKind::Usage, format!("`{origin}` is not an origin"))
                        .hint("write it as a browser sends it, like https://example.com:8443"),
                );
            }
        }
        problems
    }

    /// Whether only this machine can reach the server.
    pub(super) fn is_loopback(&self) -> bool {
        self.bind.ip().is_loopback()
    }

    /// The address bound, for the certificate.
    pub(super) fn addresses(&self) -> [IpAddr; 1] {
        [self.bind.ip()]
    }
}

/// A scheme and an authority, and nothing behind them.
fn is_origin(text: &str) -> bool {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.contains(['/', '?', '#', '@', '*'])
            && rest.bytes().all(|byte| byte.is_ascii_graphic())
    })
}
