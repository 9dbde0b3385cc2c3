//! Request bodies: read within their limits, and taken for exactly what they say.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::answer::Refusal;
use crate::{Batch, Error, ErrorKind, Tags};

/// What a request body may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    /// The largest body that is read, in bytes.
    pub(super) bytes: u64,
    /// The longest wait for more of it.
    pub(super) progress: Duration,
}

/// Reads the whole body of a request that says that it is JSON, or does not say what it is. [BODY-2] [BODY-5]
pub(super) async fn read(request: Request, limits: BodyLimits) -> Result<Bytes, Refusal> {
    check_type(&request)?;
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits.bytes) {
        return Err(too_large(limits.bytes));
    }
    collect(request.into_body(), limits).await
}

async fn collect(mut body: Body, limits: BodyLimits) -> Result<Bytes, Refusal> {
    let mut whole = Whole::default();
    while !body.is_end_stream() {
        let Ok(frame) = timeout(limits.progress, body.frame()).await else {
            return Err(too_slow());
        };
        let Some(frame) = frame else {
            break;
        };
        let frame = frame.map_err(|cause| {
            Error::new(ErrorKind::Usage, "the request's body was cut off")
                .hint("send the whole body, of the length that was announced")
                .caused_by(cause)
        })?;
        if let Ok(data) = frame.into_data() {
            if (whole.len() + data.len()) as u64 > limits.bytes {
                return Err(too_large(limits.bytes));
            }
            whole.add(data);
        }
    }
    Ok(whole.into_bytes())
}

/// The pieces of a body. A single one, as most bodies are, is not copied.
#[derive(Default)]
struct Whole {
    first: Bytes,
    all: Vec<u8>,
}

impl Whole {
    fn len(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    fn add(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.first = piece;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&piece);
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() {
            self.first
        } else {
            self.all.into()
        }
    }
}

/// Reads a body as one JSON object of this shape. [BODY-1] [BODY-3]
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    // To keep track of the path costs more than to read again what is refused.
    match serde_json::from_slice(body) {
        Ok(Object(value)) => Ok(value),
        Err(_) => explain(body),
    }
}

/// Reads a body that is refused once more, to say which part of it is.
#[cold]
fn explain<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut reader);
    let Object(value) = read.map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        let message = match path.as_str() {
            "." => format!("the request's body is not what this route takes: {cause}"),
            _ => format!("the request's body has a bad `{path}`: {cause}"),
        };
        at_fault(body, Error::new(ErrorKind::Usage, message).hint(HINT))
    })?;
    reader.end().map_err(|cause| {
        let message = format!("the request's body is not one JSON object: {cause}");
        at_fault(body, Error::new(ErrorKind::Usage, message).hint(HINT))
    })?;
    Ok(value)
}

/// The error with the place of the fault, where the body is not JSON at all. [BODY-7]
fn at_fault(body: &[u8], error: Error) -> Error {
    let whole = Batch::new().push_json(body, &Tags::none());
    match whole.err().and_then(|fault| fault.offset_value()) {
        Some(offset) => error.offset(offset),
        None => error,
    }
}

/// The error of a part of the body, with its offset counted from the body's start. [BODY-7]
pub(super) fn within(body: &[u8], part: &RawValue, error: Error) -> Error {
    let start = part.get().as_ptr().addr() - body.as_ptr().addr();
    match error.offset_value() {
        Some(offset) => error.offset(start as u64 + offset),
        None => error,
    }
}

/// A struct that is read from an object only: serde alone takes an array of the members for one, too. [BODY-3]
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// An array of objects of this shape.
pub(super) fn objects<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let objects = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

const HINT: &str = "GET /v0/openapi.json describes the body";

fn check_type(request: &Request) -> Result<(), Refusal> {
    let Some(given) = request.headers().get(CONTENT_TYPE) else {
        return Ok(());
    };
    let essence = given.to_str().unwrap_or_default().split(';').next();
    if essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let error = Error::new(
        ErrorKind::Usage,
        "the request's body is not of type application/json",
    )
    .hint("send JSON, with the header `content-type: application/json`");
    Err(Refusal::with_status(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        error,
    ))
}

fn too_large(limit: u64) -> Refusal {
    let error = Error::new(
        ErrorKind::Usage,
        format!("the request's body is larger than {limit} bytes"),
    )
    .hint("send less at once, or serve with a larger --max-body-bytes");
    Refusal::with_status(StatusCode::PAYLOAD_TOO_LARGE, error)
}

fn too_slow() -> Refusal {
    let error = Error::new(ErrorKind::Usage, "the request's body did not come in time")
        .hint("send the body without pauses");
    Refusal::with_status(StatusCode::REQUEST_TIMEOUT, error)
}
