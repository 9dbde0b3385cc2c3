//! What every request passes through on its way in, and every response on its way out.
//!
//! One function after another, and not so many layers of a router: of those, each is cloned, and boxes a future, for
//! each request.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use hyper::body::{Frame, SizeHint};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa::openapi::OpenApi;

use super::Server;
use super::access::Caller;
use super::answer::{POOL_HEADER, Refusal, unexpected};
use super::listen::UnderWay;
use crate::echo::echo;
use crate::{Error, ErrorKind, Result};

const VERSION: HeaderName = HeaderName::from_static("plasmite-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What stands for a path that is no route, wherever routes are counted. [MEASURE-3]
const NO_ROUTE: &str = "none";

/// The routes with all that is around them.
pub(super) struct Stages {
    server: Arc<Server>,
    router: Router,
    /// The routes once more, to be told which of them a path is before it is taken.
    patterns: matchit::Router<String>,
    ids: Ids,
    cors: CorsLayer,
    /// What `cors` adds to every answer to a request that no page makes.
    no_page: HeaderMap,
}

impl Stages {
    /// Puts the stages around the routes, which `description` describes.
    pub(super) async fn around(
        router: Router<Arc<Server>>,
        description: &OpenApi,
        server: Arc<Server>,
    ) -> Result<Stages> {
        let mut patterns = matchit::Router::new();
        for path in description.paths.paths.keys() {
            let inserted = patterns.insert(path, path.clone());
            inserted.map_err(|cause| unexpected("cannot tell the routes apart", cause))?;
        }
        let router = router
            .fallback(no_such_route)
            .method_not_allowed_fallback(no_such_method)
            .with_state(Arc::clone(&server));
        let cors = cors(&server.options.cors_origins);
        let nothing =
            service_fn(async |_: Request| Ok::<_, Infallible>(Response::new(Body::empty())));
        let Ok(no_page) = cors.layer(nothing).oneshot(Request::default()).await;
        Ok(Stages {
            server,
            router,
            patterns,
            ids: Ids::new()?,
            no_page: no_page.headers().clone(),
            cors,
        })
    }

    /// Answers a request. Counts it, logs it, gives it its id, and says which protocol this is. [LOG-1] [HTTP-8] [HTTP-1]
    pub(super) async fn answer(&self, request: Request) -> Response<Body> {
        let started = Instant::now();
        let id = self.ids.of(&request);
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let pattern = self.patterns.at(uri.path()).ok();
        let pattern = pattern.map(|matched| matched.value.as_str());
        let (mut response, caller) = self.let_in(request, pattern).await;
        if method == Method::HEAD {
            take_body(&mut response);
        }
        let status = response.status().as_u16();
        let route = pattern.unwrap_or(NO_ROUTE);
        self.server.metrics.answered(route, known(&method), status);
        tracing::info!(
            method = known(&method),
            route,
            pool = pool_of(route, uri.path()),
            status,
            duration_us = started.elapsed().as_micros() as u64,
            credential = caller.as_ref().and_then(Caller::name).unwrap_or("-"),
            request_id = id.to_str().unwrap_or_default(),
            "request"
        );
        response.headers_mut().insert(REQUEST_ID, id);
        with_version(response)
    }

    /// Answers a request if its origin may make it, and tells browsers which pages may read the answer; and who made it,
    /// as far as that was asked. [ORIGIN-3] [ORIGIN-4]
    async fn let_in(
        &self,
        request: Request,
        pattern: Option<&str>,
    ) -> (Response<Body>, Option<Caller>) {
        let (method, headers) = (request.method(), request.headers());
        if let Err(refusal) = self.server.origins.check(method, request.uri(), headers) {
            return (refusal.into_response(), None);
        }
        if method != Method::OPTIONS && !headers.contains_key(ORIGIN) {
            let (mut response, caller) = self.identify(request, pattern).await;
            for (name, value) in &self.no_page {
                response.headers_mut().append(name, value.clone());
            }
            return (response, caller);
        }
        let known = OnceLock::new();
        let identify = service_fn(async |request| {
            let (response, caller) = self.identify(request, pattern).await;
            known.set(caller).ok();
            Ok::<_, Infallible>(response)
        });
        let Ok(response) = self.cors.layer(identify).oneshot(request).await;
        (response, known.into_inner().flatten())
    }

    /// Finds out who makes the request, and answers it. [AUTH-1]
    async fn identify(
        &self,
        mut request: Request,
        pattern: Option<&str>,
    ) -> (Response<Body>, Option<Caller>) {
        let is_open = matches!(request.uri().path(), "/healthz" | "/v0/openapi.json");
        let mut known = None;
        if !is_open {
            let shown = request.headers().get(AUTHORIZATION);
            match self.server.access().caller(shown) {
                Ok(caller) => {
                    request.extensions_mut().insert(caller.clone());
                    known = Some(caller);
                }
                Err(refusal) => return (refusal.into_response(), None),
            }
        }
        let refused = pattern.and_then(|pattern| check_query(pattern, request.uri()).err());
        if let Some(refusal) = refused {
            return (refusal.into_response(), known);
        }
        let Ok(response) = self.router.clone().call(request).await;
        (response, known)
    }
}

/// Routes that take a query read it themselves; to all others any parameter is unknown. [QUERY-1]
fn check_query(pattern: &str, uri: &Uri) -> std::result::Result<(), Refusal> {
    let takes = ["/tail", "/events"];
    let query = uri.query().unwrap_or_default();
    if query.is_empty() || takes.iter().any(|end| pattern.ends_with(end)) {
        return Ok(());
    }
    let name = form_urlencoded::parse(query.as_bytes()).next();
    let name = name.map(|(name, _)| echo(&name)).unwrap_or_default();
    let message = format!("this route does not know the parameter `{name}`");
    Err(Refusal::usage(
        message,
        "GET /v0/openapi.json describes the parameters",
    ))
}

async fn no_such_route() -> Refusal {
    let error = Error::new(ErrorKind::NotFound, "there is no such route")
        .hint("GET /v0/openapi.json describes the routes");
    error.into()
}

async fn no_such_method() -> Refusal {
    let error = Error::new(ErrorKind::Usage, "this route does not have that method")
        .hint("GET /v0/openapi.json describes the routes");
    Refusal::with_status(StatusCode::METHOD_NOT_ALLOWED, error)
}

fn cors(origins: &[String]) -> CorsLayer {
    let origins = origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            AUTHORIZATION,
            axum::http::header::CONTENT_TYPE,
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([VERSION, REQUEST_ID, POOL_HEADER])
}

pub(super) fn with_version(response: impl IntoResponse) -> Response<Body> {
    let mut response = response.into_response();
    response
        .headers_mut()
        .insert(VERSION, HeaderValue::from_static("0"));
    response
}

/// Leaves of a response to HEAD what says how long its body would be.
fn take_body(response: &mut Response<Body>) {
    let body = std::mem::take(response.body_mut());
    if let Some(length) = body.size_hint().exact() {
        let headers = response.headers_mut();
        headers.entry(CONTENT_LENGTH).or_insert(length.into());
    }
}

/// A body, and something that lives as long as it does.
pub(super) struct Holding {
    body: Body,
    _held: UnderWay,
}

impl Holding {
    pub(super) fn new(body: Body, held: UnderWay) -> Holding {
        Holding { body, _held: held }
    }
}

impl HttpBody for Holding {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A method that has a name of its own; there may be any number of others.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

/// The pool in a path, as it was written.
fn pool_of(route: &str, path: &str) -> String {
    let place = route.split('/').position(|part| part == "{pool}");
    let pool = place.and_then(|place| path.split('/').nth(place));
    pool.unwrap_or("-").to_owned()
}

/// The ids of requests that bring none: each another one, and those of each server unlike those of others.
struct Ids {
    first: u64,
    given: AtomicU64,
}

impl Ids {
    fn new() -> Result<Ids> {
        let random = crate::platform::create::random_bytes::<8>()?;
        Ok(Ids {
            first: u64::from_le_bytes(random),
            given: AtomicU64::new(0),
        })
    }

    /// The request's own id, or a new one.
    fn of(&self, request: &Request) -> HeaderValue {
        let is_fit = |id: &&HeaderValue| {
            let id = id.as_bytes();
            (1..=64).contains(&id.len())
                && id
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        };
        match request.headers().get(REQUEST_ID).filter(is_fit) {
            Some(id) => id.clone(),
            None => self.next(),
        }
    }

    /// A step that is odd meets every number once before it meets one again.
    fn next(&self) -> HeaderValue {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let given = self.given.fetch_add(1, Ordering::Relaxed);
        let id = self.first.wrapping_add(given.wrapping_mul(STEP));
        let digit = |at: usize| b"0123456789abcdef"[(id >> (60 - 4 * at)) as usize & 0xf];
        let digits: [u8; 16] = std::array::from_fn(digit);
        HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards HTTP/2, where whoever answers has to know that HEAD has no body.
    #[test]
    fn of_a_response_to_head_the_length_of_its_body_is_left() {
        for (body, length) in [("abc", "3"), ("", "0")] {
            let mut response = Response::new(Body::from(body));
            take_body(&mut response);
            assert_eq!(response.body().size_hint().exact(), Some(0));
            assert_eq!(response.headers()[CONTENT_LENGTH], length);
        }
    }
}
