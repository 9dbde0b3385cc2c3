//! What comes back: the protocol's answers, and everything else that can happen on the way.

use std::error::Error as StdError;
use std::io;

use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;

use super::error::{ReportedError, read_error};
use crate::api::Timestamp;
use crate::{Error, ErrorKind, Result};

/// The most that is read of an answer that is no stream.
const LARGEST: usize = 1 << 30;

/// Whether a request that failed like this cannot have changed anything, and so may be repeated: it was answered with
/// 423 or 503, or its connection was refused. [REMOTE-7]
pub fn was_not_taken(error: &Error) -> bool {
    error.kind() == ErrorKind::Busy
        || find_cause::<io::Error>(error)
            .is_some_and(|cause| cause.kind() == io::ErrorKind::ConnectionRefused)
}

/// A server that is asked, and what to call it.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) server: &'a Url,
    /// What may have happened if the answer does not come, for a request that changes something.
    pub(super) effect: Option<&'static str>,
}

impl Asked<'_> {
    /// Sends a request and reads its answer whole.
    pub(super) async fn whole(self, request: RequestBuilder) -> Result<Vec<u8>> {
        let response = self.head(request).await?;
        self.body(response).await
    }

    /// Sends a request, and returns with the head of an answer that is no failure.
    pub(super) async fn head(self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|cause| self.failed(cause))?;
        let status = response.status();
        if !speaks_the_protocol(response.headers()) {
            return Err(self.no_answer_of_ours(status));
        }
        if status == StatusCode::OK {
            return Ok(response);
        }
        let body = self.body(response).await?;
        match read_error(&body) {
            Some(error) => Err(error),
            None if matches!(status.as_u16(), 423 | 503) => {
                Err(Error::new(ErrorKind::Busy, "the server has too much to do")
                    .hint("try again in a moment"))
            }
            None => Err(self.no_answer_of_ours(status)),
        }
    }

    async fn body(self, mut response: Response) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|cause| self.failed(cause))? {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST {
                return Err(self.not_understood());
            }
        }
        Ok(body)
    }

    /// What a failure to get an answer means.
    fn failed(self, cause: reqwest::Error) -> Error {
        let cause = cause.without_url();
        let server = self.server;
        if find_cause::<rustls::Error>(&cause).is_some() {
            return Error::new(ErrorKind::Io, format!("there is no secure connection to {server}"))
                .hint("name the server's certificate with --tls-ca, and check that the URL's scheme and host are right")
                .caused_by(cause);
        }
        if cause.is_connect() {
            return Error::new(
                ErrorKind::Io,
                format!("the server at {server} cannot be reached"),
            )
            .hint("check the address, and that `plasmite serve` runs there")
            .caused_by(cause);
        }
        let error = match self.effect {
            Some(effect) => Error::new(
                ErrorKind::Io,
                format!("the answer of {server} did not come, so {effect}"),
            )
            .hint("look at the pool before doing it again"),
            None => Error::new(
                ErrorKind::Io,
                format!("the answer of {server} did not come whole"),
            )
            .hint("check the network, and try again"),
        };
        error.caused_by(cause)
    }

    fn no_answer_of_ours(self, status: StatusCode) -> Error {
        let so = self
            .effect
            .map(|effect| format!(", so {effect}"))
            .unwrap_or_default();
        let message = format!(
            "{} answered {} and not as a server of pools does{so}",
            self.server,
            status.as_u16()
        );
        Error::new(ErrorKind::Io, message)
            .hint("check the URL, and what stands between here and the server")
    }

    /// An answer of the right status that is not what it should be.
    pub(super) fn not_understood(self) -> Error {
        let so = self
            .effect
            .map(|effect| format!(", so {effect}"))
            .unwrap_or_default();
        Error::new(
            ErrorKind::Io,
            format!("{} answered what cannot be understood{so}", self.server),
        )
        .hint("check which program answers there, and its version")
    }

    /// Reads an answer of this shape.
    pub(super) fn parse<'a, T: Deserialize<'a>>(self, body: &'a [u8]) -> Result<T> {
        serde_json::from_slice(body).map_err(|cause| self.not_understood().caused_by(cause))
    }
}

fn speaks_the_protocol(headers: &HeaderMap) -> bool {
    headers
        .get("plasmite-version")
        .is_some_and(|version| version == "0")
}

/// The first cause of this type, also where an `io::Error` wraps it.
fn find_cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// A line of a tail: one of these, by the members that are there.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    pub(super) seq: Option<u64>,
    pub(super) time: Option<Timestamp>,
    #[serde(borrow)]
    pub(super) meta: Option<Meta<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) data: Option<&'a RawValue>,
    pub(super) gap: Option<Range>,
    pub(super) next_seq: Option<u64>,
    /// Why the tail ends with this line.
    pub(super) end: Option<&'a str>,
    pub(super) error: Option<ReportedError>,
}

#[derive(Deserialize)]
pub(super) struct Meta<'a> {
    #[serde(borrow)]
    pub(super) tags: &'a RawValue,
}

#[derive(Clone, Copy, Deserialize)]
pub(super) struct Range {
    pub(super) first: u64,
    pub(super) last: u64,
}

/// Any value, `null` too; without this, `null` would be none.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// `{"message":Envelope}`.
#[derive(Deserialize)]
pub(super) struct MessageAnswer<'a> {
    #[serde(borrow)]
    pub(super) message: Envelope<'a>,
}

#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    pub(super) seq: u64,
    pub(super) time: Timestamp,
    #[serde(borrow)]
    pub(super) meta: Meta<'a>,
    #[serde(borrow)]
    pub(super) data: &'a RawValue,
}

/// What an append answers, as far as it is needed: of one message or of several.
#[derive(Deserialize)]
pub(super) struct Appended {
    pub(super) message: Option<Stamp>,
    #[serde(default)]
    pub(super) messages: Vec<Stamp>,
    pub(super) durability: String,
}

#[derive(Clone, Copy, Deserialize)]
pub(super) struct Stamp {
    pub(super) seq: u64,
    pub(super) time: Timestamp,
}
