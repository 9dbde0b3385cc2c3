//! What the OpenAPI description says beyond the routes: how every route fails, and how a credential is shown.

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};

/// The description before any route is in it.
pub(super) fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Plasmite")
        .version("0")
        .description(Some("Pools of JSON messages over HTTP"))
        .build();
    let components = ComponentsBuilder::new()
        .schema(schema::ErrorBody::name(), schema::ErrorBody::schema())
        .schema(schema::ErrorFields::name(), schema::ErrorFields::schema())
        .security_scheme(
            "token",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        )
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .build()
}

/// Adds what all routes share.
pub(super) fn complete(description: &mut OpenApi) {
    for (path, item) in &mut description.paths.paths {
        let is_open = matches!(path.as_str(), "/healthz" | "/v0/openapi.json");
        let operations = [
            (&mut item.get, false),
            (&mut item.post, true),
            (&mut item.delete, false),
        ];
        for (operation, has_body) in operations {
            if let Some(operation) = operation {
                add_failures(operation, is_open, has_body);
            }
        }
    }
}

/// A failure is an error body, whatever its status.
fn add_failures(operation: &mut Operation, is_open: bool, has_body: bool) {
    let mut statuses = vec![("403", "Not allowed, or from a host or page that may not")];
    if !is_open {
        operation.security = Some(vec![
            SecurityRequirement::default(),
            SecurityRequirement::new("token", [""; 0]),
        ]);
        statuses.extend([
            ("400", "Cannot be honoured as it stands"),
            ("401", "No credential, or one that is not known"),
            ("404", "No such pool or message"),
            ("409", "The pool is already there"),
            ("410", "Messages that were asked for are gone"),
            ("423", "The writer lock was not had in time"),
            ("500", "The pool is damaged, or the system failed"),
            ("503", "Too much at once"),
        ]);
    }
    if has_body {
        statuses.extend([
            ("408", "The body did not come in time"),
            ("413", "The body is over the limit"),
            ("415", "The body is not of type application/json"),
        ]);
    }
    for (status, what) in statuses {
        let body = ContentBuilder::new()
            .schema(Some(RefOr::Ref(Ref::from_schema_name(
                schema::ErrorBody::name(),
            ))))
            .build();
        let response = ResponseBuilder::new()
            .description(what)
            .content("application/json", body)
            .build();
        operation
            .responses
            .responses
            .insert(status.to_owned(), response.into());
    }
}

/// Shapes as they are described. What is written comes from `wire` and from the API's types; tests compare the two.
#[expect(dead_code, reason = "describes what others write")]
pub(super) mod schema {
    use serde::Serialize;
    use serde_json::Value;
    use utoipa::ToSchema;

    /// That it was done.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct Done {
        /// Always true.
        pub(crate) ok: bool,
    }

    /// A pool's name.
    #[derive(Serialize, ToSchema)]
    #[schema(value_type = String, min_length = 1, max_length = 200, pattern = r"^[^/\\\u0000-\u001f\u007f-\u009f]+$", example = "chat")]
    pub(crate) struct Name(String);

    /// What an append survives.
    #[derive(Serialize, ToSchema)]
    #[schema(rename_all = "lowercase")]
    pub(crate) enum Durability {
        /// The end of the process.
        Fast,
        /// Power loss.
        Flush,
    }

    /// A message.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct Envelope {
        /// Its number in its pool, from 1 on.
        seq: u64,
        /// When it was appended: RFC 3339, UTC, nanoseconds.
        #[schema(format = "date-time")]
        time: String,
        meta: Meta,
        /// Any JSON value.
        data: Value,
    }

    /// One event of a stream; `data` is JSON: an envelope, a gap or a failure.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct Event {
        #[schema(nullable = false)]
        id: Option<String>,
        #[schema(nullable = false)]
        event: Option<String>,
        data: String,
    }

    /// What is known of a message beside its data.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct Meta {
        tags: Vec<String>,
    }

    /// One message.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct MessageAnswer {
        message: Envelope,
    }

    /// A message that was appended.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct Appended {
        message: Envelope,
        durability: Durability,
    }

    /// Messages that were appended.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct BatchAppended {
        messages: Vec<Receipt>,
        durability: Durability,
    }

    /// A message that was appended, without its data.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct Receipt {
        seq: u64,
        #[schema(format = "date-time")]
        time: String,
        meta: Meta,
    }

    /// One pool.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct PoolAnswer {
        pool: PoolInfo,
    }

    /// Pools. One that cannot be read has `error` and few of the other members.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct PoolList {
        pools: Vec<Listed>,
    }

    /// A pool of a list.
    #[derive(Serialize, ToSchema)]
    #[serde(untagged)]
    pub(crate) enum Listed {
        /// A pool that can be read.
        Readable(PoolInfo),
        /// A pool that cannot be read.
        Unreadable(Unreadable),
    }

    /// A pool that cannot be read.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct Unreadable {
        name: String,
        path: String,
        file_size: u64,
        bounds: Bounds,
        error: ErrorFields,
    }

    /// A pool. Sizes and offsets are in bytes.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct PoolInfo {
        name: String,
        path: String,
        file_size: u64,
        index_offset: u64,
        index_capacity: u64,
        index_size_bytes: u64,
        ring_offset: u64,
        ring_size: u64,
        bounds: Bounds,
        metrics: Metrics,
        uuid: String,
        format_version: u32,
        generation: u64,
        #[schema(format = "date-time")]
        created: String,
    }

    /// The oldest and the newest seq; neither in an empty pool.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct Bounds {
        #[schema(nullable = false)]
        oldest: Option<u64>,
        #[schema(nullable = false)]
        newest: Option<u64>,
    }

    /// How full a pool is, and how old its messages are.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct Metrics {
        message_count: u64,
        seq_span: u64,
        utilization: Utilization,
        age: Age,
    }

    /// How much of the ring is used.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct Utilization {
        used_bytes: u64,
        free_bytes: u64,
        used_percent: f64,
    }

    /// Times of the oldest and the newest message.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct Age {
        oldest_time: Option<String>,
        newest_time: Option<String>,
        oldest_age_ms: Option<u64>,
        newest_age_ms: Option<u64>,
        /// How far the clock is behind the newest message.
        #[schema(nullable = false)]
        clock_behind_ms: Option<u64>,
    }

    /// Why a request was not honoured.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct ErrorBody {
        error: ErrorFields,
    }

    /// What is known of a failure.
    #[derive(Serialize, ToSchema)]
    pub(crate) struct ErrorFields {
        kind: ErrorKind,
        message: String,
        /// What to do next.
        #[schema(nullable = false)]
        hint: Option<String>,
        #[schema(nullable = false)]
        path: Option<String>,
        #[schema(nullable = false)]
        seq: Option<u64>,
        #[schema(nullable = false)]
        offset: Option<u64>,
        #[schema(nullable = false)]
        causes: Option<Vec<String>>,
    }

    /// The stable kinds of errors.
    #[derive(Serialize, ToSchema)]
    pub(crate) enum ErrorKind {
        Internal,
        Usage,
        NotFound,
        AlreadyExists,
        Busy,
        Permission,
        Corrupt,
        Io,
        RetentionGap,
    }
}
