//! Connections: taken, bounded, and brought to their end.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::Server;
use super::again::Again;
use super::answer::{Refusal, json};
use super::openapi::schema;
use super::stages::{self, Holding, Stages};

/// How many connections beyond the limit are told so at once; the oldest of them goes when another comes.
const CROWD: usize = 256;
/// A pause after a connection could not be taken, which mostly means that there are too many.
const BREATH: Duration = Duration::from_millis(50);

/// Takes connections until `over`, then waits for those that are open, within limits.
pub(super) async fn run(
    listener: TcpListener,
    stages: Stages,
    server: Arc<Server>,
    over: impl Future<Output = ()>,
) {
    let stages = Arc::new(stages);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(server.options.limits.connections));
    let crowd = Crowd::default();
    let mut over = std::pin::pin!(over);
    loop {
        let stream = tokio::select! {
            taken = listener.accept() => match taken {
                Ok((stream, _)) => stream,
                Err(_) => {
                    sleep(BREATH).await;
                    continue;
                }
            },
            () = &mut over => break,
        };
        // A line typed by hand is answered at once.
        stream.set_nodelay(true).ok();
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let connection = Connection::new(&stages, &server, graceful.watcher());
                tokio::spawn(async move {
                    connection.serve(stream).await;
                    drop(place);
                });
            }
            Err(_) => crowd.tell(stream, &server),
        }
    }
    drop(listener);
    server.shutdown.send_replace(true);
    timeout(server.options.limits.shutdown_timeout, graceful.shutdown())
        .await
        .ok();
}

/// One connection, and how long it has had no request under way.
struct Connection {
    stages: Arc<Stages>,
    server: Arc<Server>,
    watcher: Watcher,
    activity: Arc<Activity>,
}

/// The requests under way on one connection.
struct Activity {
    under_way: AtomicUsize,
    idle_since: Mutex<Instant>,
}

impl Connection {
    fn new(stages: &Arc<Stages>, server: &Arc<Server>, watcher: Watcher) -> Connection {
        Connection {
            stages: Arc::clone(stages),
            server: Arc::clone(server),
            watcher,
            activity: Arc::new(Activity {
                under_way: AtomicUsize::new(0),
                idle_since: Mutex::new(Instant::now()),
            }),
        }
    }

    async fn serve(self, stream: TcpStream) {
        let limit = self.server.options.limits.header_timeout;
        match &self.server.tls {
            None => self.serve_http(stream).await,
            Some(tls) => {
                let acceptor = TlsAcceptor::from(tls.get());
                if let Ok(Ok(stream)) = timeout(limit, acceptor.accept(stream)).await {
                    self.serve_http(stream).await;
                }
            }
        }
    }

    async fn serve_http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let limit = self.server.options.limits.header_timeout;
        let (stages, activity) = (self.stages, Arc::clone(&self.activity));
        let service = service_fn(move |request: Request<Incoming>| {
            let request_under_way = UnderWay::new(&activity);
            let stages = Arc::clone(&stages);
            async move {
                let response = stages.answer(request.map(Body::new)).await;
                // The request ends when its body does, which for a stream may be long after.
                Ok::<_, Infallible>(response.map(|body| Holding::new(body, request_under_way)))
            }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // A head that does not come is told by `idle_for`, with one timer for all requests of the connection.
        builder.http1().header_read_timeout(None);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(limit)
            .max_concurrent_streams(256);
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = std::pin::pin!(self.watcher.watch(connection));
        tokio::select! {
            _ = Again::new(connection) => {}
            () = self.activity.idle_for(limit) => {}
        }
    }
}

impl Activity {
    /// Waits until no request has been under way for so long. [QUOTA-1]
    async fn idle_for(&self, limit: Duration) {
        loop {
            let idle = match self.under_way.load(Ordering::Acquire) {
                0 => self.idle_since().elapsed(),
                _ => Duration::ZERO,
            };
            if idle >= limit {
                return;
            }
            sleep(limit - idle).await;
        }
    }

    fn idle_since(&self) -> Instant {
        *self
            .idle_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request under way, until this is dropped.
pub(super) struct UnderWay(Arc<Activity>);

impl UnderWay {
    fn new(activity: &Arc<Activity>) -> UnderWay {
        activity.under_way.fetch_add(1, Ordering::AcqRel);
        UnderWay(Arc::clone(activity))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        *self
            .0
            .idle_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Connections beyond the limit: each is told so, or that the server is healthy, and closed. [QUOTA-3]
#[derive(Default)]
struct Crowd(Mutex<VecDeque<AbortHandle>>);

impl Crowd {
    fn tell(&self, stream: TcpStream, server: &Arc<Server>) {
        let server = Arc::clone(server);
        let told = tokio::spawn(async move {
            let limit = server.options.limits.header_timeout;
            let answer = async {
                match &server.tls {
                    None => tell(stream, limit).await,
                    Some(tls) => {
                        if let Ok(stream) = TlsAcceptor::from(tls.get()).accept(stream).await {
                            tell(stream, limit).await;
                        }
                    }
                }
            };
            timeout(limit, answer).await.ok();
        });
        let mut crowd = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        crowd.retain(|other| !other.is_finished());
        crowd.push_back(told.abort_handle());
        if crowd.len() > CROWD
            && let Some(oldest) = crowd.pop_front()
        {
            oldest.abort();
        }
    }
}

async fn tell<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, limit: Duration) {
    let service =
        service_fn(
            |request: Request<Incoming>| async move { Ok::<_, Infallible>(crowded(&request)) },
        );
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limit)
        .keep_alive(false);
    builder
        .serve_connection(TokioIo::new(stream), service)
        .await
        .ok();
}

fn crowded(request: &Request<Incoming>) -> Response<Body> {
    let response = match request.uri().path() {
        "/healthz" => json(&schema::Done { ok: true }),
        _ => Refusal::overloaded("too many connections are open").into_response(),
    };
    stages::with_version(response)
}
