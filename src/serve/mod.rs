//! The HTTP server: an adapter over the library, by the contract in `spec/remote/v0`.
//!
//! It holds open pools and the place of each stream, and nothing else between requests. What a message, a seq or a gap
//! is, the library says.

mod access;
mod again;
mod answer;
mod body;
mod config;
mod listen;
mod metrics;
mod openapi;
mod origin;
mod pools;
mod query;
mod routes;
mod stages;
mod stream;
mod tls;
mod url_path;

pub mod init;

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

pub use access::{Credentials, Mode};
pub use config::{Limits, ServeOptions};
pub use tls::Tls;

use self::access::Access;
use self::answer::unexpected;
use self::body::BodyLimits;
use self::metrics::Metrics;
use self::origin::Origins;
use self::pools::Pools;
use self::stages::Stages;
use self::tls::TlsNow;
use crate::api::Client;
use crate::{Error, ErrorKind, Result};

/// How often pools that nobody uses any more are closed.
const SWEEP: Duration = Duration::from_secs(5);

/// What all requests share.
struct Server {
    options: ServeOptions,
    pools: Pools,
    access: RwLock<Arc<Access>>,
    origins: Origins,
    body_limits: BodyLimits,
    longest_tail: Option<Duration>,
    tails: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    /// The OpenAPI description, as JSON.
    description: String,
    /// Becomes true when the server shuts down.
    shutdown: watch::Sender<bool>,
    tls: Option<TlsNow>,
}

/// A server that has its address, and takes connections once it runs.
pub struct Bound {
    server: Arc<Server>,
    stages: Stages,
    listener: TcpListener,
    address: SocketAddr,
    fingerprint: Option<String>,
}

/// Reads a running server's files again.
#[derive(Clone)]
pub struct Reloader(Arc<Server>);

/// Everything that would keep a server with these options from serving, without binding anything. [SERVE-4]
pub fn check(options: &ServeOptions) -> Vec<Error> {
    let mut problems = options.problems();
    problems.extend(Access::load(options.access, &options.credentials).err());
    problems.extend(load_tls(options).err());
    problems
}

/// Binds the server's address.
///
/// # Errors
///
/// `Usage`, `Permission`, `NotFound` or `Io` for options or files that are refused, or an address that cannot be had.
pub async fn bind(options: ServeOptions) -> Result<Bound> {
    if let Some(problem) = options.problems().into_iter().next() {
        return Err(problem);
    }
    let access = Access::load(options.access, &options.credentials)?;
    let (tls, fingerprint) = load_tls(&options)?;
    let listener = TcpListener::bind(options.bind)
        .await
        .map_err(|cause| unbound(options.bind, cause))?;
    let address = listener
        .local_addr()
        .map_err(|cause| unbound(options.bind, cause))?;
    let (router, description) = routes::all();
    let server = Arc::new(Server::new(options, access, tls, &description)?);
    let stages = Stages::around(router, &description, Arc::clone(&server)).await?;
    Ok(Bound {
        server,
        stages,
        listener,
        address,
        fingerprint,
    })
}

impl Server {
    fn new(
        options: ServeOptions,
        access: Access,
        tls: Option<TlsNow>,
        description: &utoipa::openapi::OpenApi,
    ) -> Result<Server> {
        let limits = options.limits;
        let description = description
            .to_json()
            .map_err(|cause| unexpected("cannot write the description as JSON", cause))?;
        Ok(Server {
            pools: Pools::new(Client::new(&options.dir), limits.storage),
            access: RwLock::new(Arc::new(access)),
            origins: Origins::new(options.cors_origins.clone(), options.is_loopback()),
            body_limits: BodyLimits {
                bytes: limits.body_bytes,
                progress: limits.body_timeout,
            },
            longest_tail: (!limits.tail_timeout.is_zero()).then_some(limits.tail_timeout),
            tails: Arc::new(Semaphore::new(limits.tails)),
            metrics: Arc::new(Metrics::new()),
            description,
            shutdown: watch::Sender::new(false),
            tls,
            options,
        })
    }

    fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Bound {
    /// Where the server answers.
    pub fn url(&self) -> String {
        let scheme = match self.server.tls {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://{}", self.address)
    }

    /// The SHA-256 fingerprint of a certificate that was made for this run.
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// Reads token, credentials, certificate and key again when asked.
    pub fn reloader(&self) -> Reloader {
        Reloader(Arc::clone(&self.server))
    }

    /// Serves until `over`, then ends what is under way. [QUOTA-6]
    pub async fn run(self, over: impl Future<Output = ()>) {
        let sweeper = tokio::spawn(sweep(Arc::clone(&self.server)));
        listen::run(self.listener, self.stages, self.server, over).await;
        sweeper.abort();
    }
}

impl Reloader {
    /// Reads the files again, and keeps what is in force if one of them is refused. [AUTH-10]
    ///
    /// # Errors
    ///
    /// As [`bind`] for the files.
    pub fn reload(&self) -> Result<()> {
        let server = &self.0;
        let access = Access::load(server.options.access, &server.options.credentials)?;
        if let (Some(now), Tls::Files { cert, key }) = (&server.tls, &server.options.tls) {
            now.replace(tls::from_files(cert, key)?);
        }
        *server
            .access
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
        Ok(())
    }
}

async fn sweep(server: Arc<Server>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        server.pools.sweep();
    }
}

fn load_tls(options: &ServeOptions) -> Result<(Option<TlsNow>, Option<String>)> {
    match &options.tls {
        Tls::Off => Ok((None, None)),
        Tls::Files { cert, key } => Ok((Some(TlsNow::new(tls::from_files(cert, key)?)), None)),
        Tls::SelfSigned => {
            let (config, fingerprint) = tls::self_signed(&options.addresses())?;
            Ok((Some(TlsNow::new(config)), Some(fingerprint)))
        }
    }
}

fn unbound(address: SocketAddr, cause: std::io::Error) -> Error {
    let kind = match cause.kind() {
        std::io::ErrorKind::PermissionDenied => ErrorKind::Permission,
        std::io::ErrorKind::AddrInUse => ErrorKind::AlreadyExists,
        std::io::ErrorKind::AddrNotAvailable => ErrorKind::Usage,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("cannot listen on {address}"))
        .hint("see what else listens there, or give another --bind")
        .caused_by(cause)
}
