//! The routes: each reads its request, asks the library, and shapes what came of it. No storage rule is here.
//!
//! The paths in the attributes are the routes; axum matches by the same text.
#![expect(
    unused_qualifications,
    reason = "utoipa's macros qualify what they name"
)]

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, RawQuery, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::openapi::OpenApi;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Server;
use super::access::{Caller, Verb};
use super::answer::{Answer, POOL_HEADER, Refusal, json, json_text};
use super::body;
use super::openapi::{self, schema};
use super::pools::{OpenPool, PoolName};
use super::query::{self, EventsQuery, StreamOptions, TailQuery};
use super::stream::{self, Held};
use super::url_path::UrlPath;
use crate::api::{
    Batch, Bounds, CreateOptions, Durability, Pool, PoolFile, PoolInfo, Receipt, Tags,
};
use crate::wire::{ErrorFields, error_fields};
use crate::{Error, ErrorKind};

/// All routes, and their description. [ROUTE-10]
pub(super) fn all() -> (Router<Arc<Server>>, OpenApi) {
    let (router, mut description) = OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(health))
        .routes(routes!(metrics))
        .routes(routes!(describe))
        .routes(routes!(list_pools, create_pool))
        .routes(routes!(open_pool))
        .routes(routes!(pool_info))
        .routes(routes!(delete_pool))
        .routes(routes!(append))
        .routes(routes!(append_batch))
        .routes(routes!(message))
        .routes(routes!(tail))
        .routes(routes!(ui_pools))
        .routes(routes!(ui_events))
        .split_for_parts();
    openapi::complete(&mut description);
    (router, description)
}

/// That the server answers, whatever it is busy with.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = schema::Done)))]
async fn health() -> Answer {
    Ok(json(&schema::Done { ok: true }))
}

/// Counters and gauges in Prometheus' text form.
#[utoipa::path(get, path = "/metrics", responses((status = 200, content_type = "text/plain", body = String)))]
async fn metrics(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
) -> Answer {
    caller.may_list()?;
    let client = server.pools.client().clone();
    let (pools, not_shown) = server
        .pools
        .on_storage(move || {
            let files = client.pool_files()?.into_iter();
            let mut seen = files.filter(|file| caller.sees(&file.name));
            let shown: Vec<PoolInfo> = seen
                .by_ref()
                .take(super::metrics::MOST_POOLS)
                .filter_map(|file| client.look_at(&file, Pool::info)?.ok())
                .collect();
            Ok((shown, seen.count()))
        })
        .await?;
    let text = server.metrics.text(&pools, not_shown)?;
    let mut response = Response::new(text.into());
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    Ok(response)
}

/// This description.
#[utoipa::path(get, path = "/v0/openapi.json", responses((status = 200, body = Object)))]
async fn describe(State(server): State<Arc<Server>>) -> Answer {
    Ok(json_text(server.description.as_bytes().to_vec()))
}

/// The pools that the caller may read.
#[utoipa::path(get, path = "/v0/pools", responses((status = 200, body = schema::PoolList)))]
async fn list_pools(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
) -> Answer {
    list(&server, caller).await
}

/// The pools that the caller may read, for pages in a browser.
#[utoipa::path(get, path = "/v0/ui/pools", responses((status = 200, body = schema::PoolList)))]
async fn ui_pools(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
) -> Answer {
    list(&server, caller).await
}

async fn list(server: &Server, caller: Caller) -> Answer {
    caller.may_list()?;
    let client = server.pools.client().clone();
    let pools = server
        .pools
        .on_storage(move || {
            let files = client.pool_files()?.into_iter();
            let seen = files.filter(|file| caller.sees(&file.name));
            let listed = seen.filter_map(|file| {
                Some(match client.look_at(&file, Pool::info)? {
                    Ok(info) => Listed::Readable(Box::new(info)),
                    Err(error) => Listed::unreadable(file, &error),
                })
            });
            Ok(listed.collect::<Vec<_>>())
        })
        .await?;
    Ok(json(&PoolList { pools }))
}

#[derive(Serialize)]
struct PoolList {
    pools: Vec<Listed>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Listed {
    Readable(Box<PoolInfo>),
    Unreadable(Box<Unreadable>),
}

#[derive(Serialize)]
struct Unreadable {
    name: String,
    path: String,
    file_size: u64,
    bounds: Bounds,
    error: ErrorFields,
}

impl Listed {
    fn unreadable(file: PoolFile, error: &Error) -> Listed {
        Listed::Unreadable(Box::new(Unreadable {
            name: file.name,
            path: file.path.to_string_lossy().into_owned(),
            file_size: file.file_size,
            bounds: Bounds::default(),
            error: error_fields(error),
        }))
    }
}

/// A pool to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    /// Its name.
    #[schema(value_type = schema::Name)]
    pool: String,
    /// The size of its file in bytes; 1 MiB if absent.
    #[schema(minimum = 65536)]
    size_bytes: Option<u64>,
    /// How many index slots; one for every 512 bytes if absent.
    index_capacity: Option<u64>,
}

/// Makes a pool.
#[utoipa::path(post, path = "/v0/pools", request_body = CreateBody, responses((status = 200, body = schema::PoolAnswer)))]
async fn create_pool(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let body = body::read(request, server.body_limits).await?;
    let asked: CreateBody = body::parse(&body)?;
    let name = PoolName::parse(&asked.pool)?;
    caller.may(Verb::Create, &name)?;
    let options = CreateOptions {
        size_bytes: asked.size_bytes,
        index_capacity: asked.index_capacity,
    };
    let (client, pool) = (server.pools.client().clone(), name.reference());
    let info = server
        .pools
        .on_storage(move || client.create_pool(&pool, options)?.info())
        .await?;
    // If another file had that name, whatever became of it, nobody is to be told of it any more.
    server.pools.forget(&name);
    Ok(pool_answer(info))
}

/// A pool to be opened.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OpenBody {
    /// Its name.
    #[schema(value_type = schema::Name)]
    pool: String,
}

/// Tells about a pool that is there.
#[utoipa::path(post, path = "/v0/pools/open", request_body = OpenBody, responses((status = 200, body = schema::PoolAnswer)))]
async fn open_pool(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let body = body::read(request, server.body_limits).await?;
    let asked: OpenBody = body::parse(&body)?;
    let name = PoolName::parse(&asked.pool)?;
    caller.may(Verb::Read, &name)?;
    info(&server, &name).await
}

/// Tells about a pool that is there.
#[utoipa::path(get, path = "/v0/pools/{pool}/info", params(PoolPath), responses((status = 200, body = schema::PoolAnswer)))]
async fn pool_info(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    UrlPath(pool): UrlPath<String>,
) -> Answer {
    let name = PoolName::parse(&pool)?;
    caller.may(Verb::Read, &name)?;
    info(&server, &name).await
}

async fn info(server: &Server, name: &PoolName) -> Answer {
    let open = server.pools.to_read(name).await?;
    // Counting messages around holes may take a while.
    let info = server.pools.on_storage(move || open.pool.info()).await?;
    Ok(pool_answer(info))
}

fn pool_answer(info: PoolInfo) -> Response {
    #[derive(Serialize)]
    struct PoolAnswer {
        pool: PoolInfo,
    }
    let uuid = HeaderValue::try_from(&info.uuid);
    let answer = json(&PoolAnswer { pool: info });
    match uuid {
        Ok(uuid) => of_pool(uuid, answer),
        Err(_) => answer,
    }
}

/// Says which pool a response is about. [HTTP-9]
fn of_pool(uuid: HeaderValue, mut response: Response) -> Response {
    response.headers_mut().insert(POOL_HEADER, uuid);
    response
}

/// The name of a pool in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path; axum reads it")]
struct PoolPath {
    /// The pool's name.
    #[param(value_type = schema::Name)]
    pool: String,
}

/// Deletes a pool.
#[utoipa::path(delete, path = "/v0/pools/{pool}", params(PoolPath), responses((status = 200, body = schema::Done)))]
async fn delete_pool(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    UrlPath(pool): UrlPath<String>,
) -> Answer {
    let name = PoolName::parse(&pool)?;
    caller.may(Verb::Delete, &name)?;
    let (client, pool) = (server.pools.client().clone(), name.reference());
    server
        .pools
        .on_storage(move || client.delete_pool(&pool))
        .await?;
    server.pools.forget(&name);
    Ok(json(&schema::Done { ok: true }))
}

/// A message to be appended.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AppendBody<'a> {
    /// Any JSON value; kept to the byte but for white space.
    #[serde(borrow)]
    #[schema(value_type = Value)]
    data: &'a RawValue,
    /// The message's tags.
    tags: Option<Vec<String>>,
    #[schema(value_type = Option<schema::Durability>)]
    durability: Option<String>,
}

/// Appends a message.
#[utoipa::path(post, path = "/v0/pools/{pool}/append", params(PoolPath), request_body = AppendBody, responses((status = 200, body = schema::Appended)))]
async fn append(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    UrlPath(pool): UrlPath<String>,
    request: Request,
) -> Answer {
    let (name, body) = asked_to_append(&server, &caller, &pool, request).await?;
    let asked: AppendBody<'_> = body::parse(&body)?;
    let durability = durability(asked.durability.as_deref())?;
    let tags = Tags::new(asked.tags.unwrap_or_default());
    let mut batch = Batch::new();
    batch
        .push_json(asked.data.get().as_bytes(), &tags)
        .map_err(|error| body::within(&body, asked.data, error))?;
    let open = server.pools.to_write(&name).await?;
    let (receipt, batch) = append_to(&server, &open, batch, durability).await?;
    let mut text = Vec::with_capacity(batch.text_bytes() + ENVELOPE);
    text.extend_from_slice(b"{\"message\":");
    batch.write_envelope(&receipt, &mut text);
    end_receipt(durability, &mut text);
    Ok(of_pool(open.uuid.clone(), json_text(text)))
}

/// What an answer has beside a message's own text, about.
const ENVELOPE: usize = 160;

fn end_receipt(durability: Durability, text: &mut Vec<u8>) {
    for part in [",\"durability\":\"", durability.name(), "\"}"] {
        text.extend_from_slice(part.as_bytes());
    }
}

/// Messages to be appended together.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BatchBody<'a> {
    /// All of them are appended, or none.
    #[serde(borrow, deserialize_with = "body::objects")]
    #[schema(min_items = 1)]
    messages: Vec<BatchMessage<'a>>,
    #[schema(value_type = Option<schema::Durability>)]
    durability: Option<String>,
}

/// A message of a batch.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BatchMessage<'a> {
    /// Any JSON value; kept to the byte but for white space.
    #[serde(borrow)]
    #[schema(value_type = Value)]
    data: &'a RawValue,
    /// The message's tags.
    tags: Option<Vec<String>>,
}

/// Appends messages, all of them or none.
#[utoipa::path(post, path = "/v0/pools/{pool}/append_batch", params(PoolPath), request_body = BatchBody, responses((status = 200, body = schema::BatchAppended)))]
async fn append_batch(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    UrlPath(pool): UrlPath<String>,
    request: Request,
) -> Answer {
    let (name, body) = asked_to_append(&server, &caller, &pool, request).await?;
    let asked: BatchBody<'_> = body::parse(&body)?;
    let durability = durability(asked.durability.as_deref())?;
    let mut batch = Batch::new();
    for (place, message) in asked.messages.into_iter().enumerate() {
        let tags = Tags::new(message.tags.unwrap_or_default());
        batch
            .push_json(message.data.get().as_bytes(), &tags)
            .map_err(|error| body::within(&body, message.data, in_batch(place, &error)))?;
    }
    let open = server.pools.to_write(&name).await?;
    let (receipt, batch) = append_to(&server, &open, batch, durability).await?;
    let mut text = b"{\"messages\":[".to_vec();
    for (seq, (tags, _)) in (receipt.first_seq..).zip(batch.texts()) {
        if seq > receipt.first_seq {
            text.push(b',');
        }
        let message = format!(
            "{{\"seq\":{seq},\"time\":\"{}\",\"meta\":{{\"tags\":{tags}}}}}",
            receipt.time
        );
        text.extend_from_slice(message.as_bytes());
    }
    text.push(b']');
    end_receipt(durability, &mut text);
    Ok(of_pool(open.uuid.clone(), json_text(text)))
}

/// The pool that may be appended to, and the body that says what. Nothing is read of who may not.
async fn asked_to_append(
    server: &Server,
    caller: &Caller,
    pool: &str,
    request: Request,
) -> Result<(PoolName, Bytes), Refusal> {
    let name = PoolName::parse(pool)?;
    caller.may(Verb::Append, &name)?;
    let body = body::read(request, server.body_limits).await?;
    Ok((name, body))
}

/// Says which message of a batch is refused. [POST-7]
fn in_batch(place: usize, error: &Error) -> Error {
    let message = format!(
        "message {place} of the batch is refused: {}",
        error.message()
    );
    let hint = error
        .hint_text()
        .unwrap_or("correct that message")
        .to_owned();
    let refused = Error::new(error.kind(), message).hint(hint);
    match error.offset_value() {
        Some(offset) => refused.offset(offset),
        None => refused,
    }
}

/// How often an append that finds the lock taken lets other requests have their turn before it takes a thread to wait
/// on. The lock is held for microseconds, less than it takes to change threads; and each thread that waits makes every
/// release of it longer.
const TRIES: usize = 16;

/// Appends where the lock is soon free; otherwise, and for a flush, on a thread that may wait.
async fn append_to(
    server: &Server,
    open: &Arc<OpenPool>,
    batch: Batch,
    durability: Durability,
) -> Result<(Receipt, Batch), Refusal> {
    let (messages, bytes) = (batch.len(), batch.text_bytes());
    let soon = match durability {
        Durability::Fast => append_soon(&open.pool, &batch).await?,
        Durability::Flush => None,
    };
    let (receipt, batch) = match soon {
        Some(receipt) => (receipt, batch),
        None => {
            let pool = open.pool.clone();
            server
                .pools
                .on_storage(move || Ok((pool.append_batch(&batch, durability)?, batch)))
                .await?
        }
    };
    server.metrics.appended(messages, bytes);
    Ok((receipt, batch))
}

/// Appends at durability `fast`; nothing if the lock is never free when it is this request's turn.
async fn append_soon(pool: &Pool, batch: &Batch) -> crate::Result<Option<Receipt>> {
    for _ in 0..TRIES {
        match pool.append_batch_at_once(batch) {
            Err(busy) if busy.kind() == ErrorKind::Busy => tokio::task::yield_now().await,
            done => return done.map(Some),
        }
    }
    Ok(None)
}

fn durability(name: Option<&str>) -> Result<Durability, Refusal> {
    Ok(name.map_or(Ok(Durability::Fast), str::parse)?)
}

/// The seq of a message in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path; axum reads it")]
struct SeqPath {
    /// The message's seq.
    seq: u64,
}

/// One message.
#[utoipa::path(get, path = "/v0/pools/{pool}/messages/{seq}", params(PoolPath, SeqPath), responses((status = 200, body = schema::MessageAnswer)))]
async fn message(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    UrlPath((pool, seq)): UrlPath<(String, String)>,
) -> Answer {
    let name = PoolName::parse(&pool)?;
    caller.may(Verb::Read, &name)?;
    let seq = query::whole(&seq).ok_or_else(|| {
        Refusal::usage(
            "the seq in the path is not a whole number from 0 to 18446744073709551615",
            "write the seq in decimal digits",
        )
    })?;
    let open = server.pools.to_read(&name).await?;
    let message = open.pool.get(seq)?;
    let mut text = b"{\"message\":".to_vec();
    message.write_envelope(&mut text);
    text.push(b'}');
    Ok(of_pool(open.uuid.clone(), json_text(text)))
}

/// Messages as JSON Lines, from where the query says, as they come.
#[utoipa::path(get, path = "/v0/pools/{pool}/tail", params(PoolPath, TailQuery), responses((status = 200, content_type = "application/jsonl", body = schema::Envelope)))]
async fn tail(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    UrlPath(pool): UrlPath<String>,
    RawQuery(raw): RawQuery,
    method: Method,
) -> Answer {
    only_get(&method)?;
    let name = PoolName::parse(&pool)?;
    caller.may(Verb::Read, &name)?;
    let asked: TailQuery = query::parse(raw.as_deref())?;
    let options = asked.options(server.longest_tail)?;
    follow(&server, &name, options).await
}

/// Messages as server-sent events, for a browser's EventSource.
#[utoipa::path(get, path = "/v0/ui/pools/{pool}/events", params(PoolPath, EventsQuery), responses((status = 200, content_type = "text/event-stream", body = schema::Event)))]
async fn ui_events(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    UrlPath(pool): UrlPath<String>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    method: Method,
) -> Answer {
    only_get(&method)?;
    let name = PoolName::parse(&pool)?;
    caller.may(Verb::Read, &name)?;
    let asked: EventsQuery = query::parse(raw.as_deref())?;
    let last_event = headers
        .get("last-event-id")
        .and_then(|id| query::whole(id.to_str().ok()?));
    let options = asked.options(last_event, server.longest_tail)?;
    follow(&server, &name, options).await
}

/// A stream has no head without a body. [ROUTE-2]
fn only_get(method: &Method) -> Result<(), Refusal> {
    match *method {
        Method::GET => Ok(()),
        _ => Err(Refusal::method("GET")),
    }
}

async fn follow(server: &Server, name: &PoolName, options: StreamOptions) -> Answer {
    let Ok(place) = Arc::clone(&server.tails).try_acquire_owned() else {
        return Err(Refusal::overloaded("too many tails are open"));
    };
    let open = server.pools.to_read(name).await?;
    let uuid = open.uuid.clone();
    let held = Held {
        pool: open,
        place,
        metrics: Arc::clone(&server.metrics),
        shutdown: server.shutdown.subscribe(),
    };
    Ok(of_pool(
        uuid,
        stream::respond(held, options.tail, options.form)?,
    ))
}
