//! What goes back: results as JSON, refusals as error bodies with the status of their kind.

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::{Error, ErrorKind, policy, wire};

/// The UUID of the pool that a response concerns. [HTTP-9]
pub(super) const POOL_HEADER: HeaderName = HeaderName::from_static("plasmite-pool");

/// What a handler comes to.
pub(super) type Answer = Result<Response, Refusal>;

/// A request that was not honoured. Boxed, since most are.
#[derive(Debug)]
pub(super) struct Refusal(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    error: Error,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// A refusal whose status is finer than its kind. [HTTP-6]
    pub(super) fn with_status(status: StatusCode, error: Error) -> Refusal {
        let header = match status {
            StatusCode::UNAUTHORIZED => {
                Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
            }
            StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, HeaderValue::from_static("1"))),
            _ => None,
        };
        Refusal(Box::new(Parts {
            status,
            error,
            header,
        }))
    }

    /// A route that does not have the method asked for. [HTTP-7]
    pub(super) fn method(allowed: &'static str) -> Refusal {
        let error = Error::new(ErrorKind::Usage, "this route does not have that method")
            .hint(format!("use {allowed}"));
        let mut refusal = Refusal::with_status(StatusCode::METHOD_NOT_ALLOWED, error);
        refusal.0.header = Some((ALLOW, HeaderValue::from_static(allowed)));
        refusal
    }

    /// A limit on what the server does at once. [HTTP-6]
    pub(super) fn overloaded(what: &'static str) -> Refusal {
        let error = Error::new(ErrorKind::Busy, what).hint("try again in a moment");
        Refusal::with_status(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    /// A request that cannot be honoured as it stands.
    pub(super) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Refusal {
        Error::new(ErrorKind::Usage, message.into())
            .hint(hint.into())
            .into()
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        let status = StatusCode::from_u16(policy::http_status(error.kind()))
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Refusal::with_status(status, error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Parts {
            status,
            error,
            header,
        } = *self.0;
        let mut response = json(&wire::error_body(&error));
        *response.status_mut() = status;
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// A result.
pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => json_text(text),
        Err(cause) => {
            Refusal::from(unexpected("cannot write this result as JSON", cause)).into_response()
        }
    }
}

/// A result that is JSON text already.
pub(super) fn json_text(text: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(text));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A condition that this program should have ruled out.
pub(super) fn unexpected(
    what: &'static str,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::new(ErrorKind::Internal, what).caused_by(cause)
}
