//! The parts of a path, refused as everything else is: axum's own extractor answers in plain text. [HTTP-10]

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::answer::Refusal;

/// As [`Path`], for handlers whose refusals are error bodies.
pub(super) struct UrlPath<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for UrlPath<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(UrlPath(value)),
            Err(refused) => Err(Refusal::usage(
                format!("the path cannot be read: {}", refused.body_text()),
                "percent-encode names as UTF-8",
            )),
        }
    }
}
