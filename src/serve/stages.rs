//! What every request passes through on its way in, and every response on its way out.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use http_body_util::BodyExt;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::Server;
use super::access::Caller;
use super::answer::{POOL_HEADER, Refusal};
use super::listen::UnderWay;
use crate::echo::echo;
use crate::{Error, ErrorKind};

const VERSION: HeaderName = HeaderName::from_static("plasmite-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What stands for a path that is no route, wherever routes are counted. [MEASURE-3]
const NO_ROUTE: &str = "none";

/// Puts the stages around the routes.
pub(super) fn around(router: Router<Arc<Server>>, server: &Arc<Server>) -> Router<Arc<Server>> {
    router
        .route_layer(from_fn(check_query))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn_with_state(Arc::clone(server), identify))
        .layer(cors(&server.options.cors_origins))
        .layer(from_fn_with_state(Arc::clone(server), check_origin))
        .layer(from_fn_with_state(Arc::clone(server), record))
        .layer(from_fn(version))
}

/// Routes that take a query read it themselves; to all others any parameter is unknown. [QUERY-1]
async fn check_query(route: MatchedPath, request: Request, next: Next) -> Response<Body> {
    let takes = ["/tail", "/events"];
    let query = request.uri().query().unwrap_or_default();
    if query.is_empty() || takes.iter().any(|end| route.as_str().ends_with(end)) {
        return next.run(request).await;
    }
    let name = form_urlencoded::parse(query.as_bytes()).next();
    let name = name.map(|(name, _)| echo(&name)).unwrap_or_default();
    let message = format!("this route does not know the parameter `{name}`");
    Refusal::usage(message, "GET /v0/openapi.json describes the parameters").into_response()
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

/// Finds out who makes the request. [AUTH-1]
async fn identify(
    State(server): State<Arc<Server>>,
    mut request: Request,
    next: Next,
) -> Result<Response<Body>, Refusal> {
    let is_open = matches!(request.uri().path(), "/healthz" | "/v0/openapi.json");
    if !is_open {
        let caller = server
            .access()
            .caller(request.headers().get(AUTHORIZATION))?;
        let known = caller.clone();
        request.extensions_mut().insert(caller);
        let mut response = next.run(request).await;
        response.extensions_mut().insert(known);
        return Ok(response);
    }
    Ok(next.run(request).await)
}

async fn check_origin(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Result<Response<Body>, Refusal> {
    server
        .origins
        .check(request.method(), request.uri(), request.headers())?;
    Ok(next.run(request).await)
}

/// Tells browsers which pages may read the answers. [ORIGIN-3] [ORIGIN-4]
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

/// Counts the request, logs it, and gives it its id. [LOG-1] [HTTP-8]
async fn record(
    State(server): State<Arc<Server>>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let started = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let route = route
        .as_ref()
        .map_or(NO_ROUTE, MatchedPath::as_str)
        .to_owned();
    let pool = pool_of(&route, request.uri().path());
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    server.metrics.answered(&route, known(&method), status);
    let credential = response
        .extensions()
        .get::<Caller>()
        .and_then(Caller::name)
        .unwrap_or("-");
    tracing::info!(
        method = known(&method),
        route,
        pool,
        status,
        duration_us = started.elapsed().as_micros() as u64,
        credential,
        request_id = id.to_str().unwrap_or_default(),
        "request"
    );
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Says which protocol this is, on every response. [HTTP-1]
async fn version(request: Request, next: Next) -> Response<Body> {
    with_version(next.run(request).await)
}

pub(super) fn with_version(response: impl IntoResponse) -> Response<Body> {
    let mut response = response.into_response();
    response
        .headers_mut()
        .insert(VERSION, HeaderValue::from_static("0"));
    response
}

/// The body, and something that lives as long as it does.
pub(super) fn holding(body: Body, held: UnderWay) -> Body {
    Body::new(body.map_frame(move |frame| {
        let _held = &held;
        frame
    }))
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

fn request_id(request: &Request) -> HeaderValue {
    let is_fit = |id: &&HeaderValue| {
        let id = id.as_bytes();
        (1..=64).contains(&id.len())
            && id
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    match request.headers().get(REQUEST_ID).filter(is_fit) {
        Some(id) => id.clone(),
        None => new_id(),
    }
}

fn new_id() -> HeaderValue {
    let random = crate::platform::create::random_bytes::<8>().unwrap_or_default();
    let text = format!("{:016x}", u64::from_le_bytes(random));
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("none"))
}
