//! The queries of streams: the structs that the OpenAPI description shows are the ones that are read.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer};
use utoipa::{IntoParams, ToSchema};

use super::answer::Refusal;
use super::stream::Form;
use crate::api::{GapPolicy, Start, TailOptions, Timestamp};
use crate::moment::parse_moment;

/// Makes the queries of both streams of the parameters that these share: serde cannot refuse an unknown parameter of a
/// struct that it flattens.
macro_rules! stream_queries {
    ($($(#[$about:meta])* $name:ident: $type:ty,)*) => {
        /// The parameters of a tail.
        #[derive(Debug, Default, Deserialize, IntoParams)]
        #[serde(deny_unknown_fields, default)]
        #[into_params(parameter_in = Query)]
        pub(super) struct TailQuery {
            $($(#[$about])* $name: $type,)*
            /// Also send lines that are no messages: `{"gap":...}` and `{"next_seq":...,"end":...}`.
            notices: Option<bool>,
        }

        /// The parameters of events.
        #[derive(Debug, Default, Deserialize, IntoParams)]
        #[serde(deny_unknown_fields, default)]
        #[into_params(parameter_in = Query)]
        pub(super) struct EventsQuery {
            $($(#[$about])* $name: $type,)*
        }

        impl TailQuery {
            fn without_notices(self) -> EventsQuery {
                EventsQuery { $($name: self.$name,)* }
            }
        }
    };
}

stream_queries! {
    /// Start at this seq, inclusive; 0 means 1.
    #[param(value_type = Option<u64>, format = "uint64")]
    since_seq: Option<Whole>,
    /// Start at the newest so many messages, counted before any filter.
    #[param(value_type = Option<u64>, format = "uint64")]
    last: Option<Whole>,
    /// Start at the first message of this time or later: RFC 3339, or a duration back from now such as `5m`.
    since: Option<String>,
    /// End before the first message of this time or later.
    until: Option<String>,
    /// End after so many messages.
    #[param(value_type = Option<u64>, format = "uint64")]
    max: Option<Whole>,
    /// End so many milliseconds after the start; at most the server's limit, which holds if this is absent.
    #[param(value_type = Option<u64>, format = "uint64")]
    timeout_ms: Option<Whole>,
    /// Only messages with this tag; repeatable, and all have to be there.
    tag: Vec<String>,
    /// What to do where messages are missing.
    #[param(inline)]
    gap_policy: Option<Policy>,
}

/// What to do where messages are missing.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Policy {
    Continue,
    Error,
}

/// A whole number in decimal digits, and nothing else. [QUERY-3]
#[derive(Clone, Copy, Debug)]
struct Whole(u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Whole, D::Error> {
        let text = String::deserialize(deserializer)?;
        whole(&text)
            .map(Whole)
            .ok_or_else(|| de::Error::custom("not a whole number from 0 to 18446744073709551615"))
    }
}

/// Reads decimal digits; a sign is none.
pub(super) fn whole(text: &str) -> Option<u64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| text.parse().ok()).flatten()
}

/// Reads a query as parameters of this shape. [QUERY-1] [QUERY-2]
pub(super) fn parse<T: DeserializeOwned>(query: Option<&str>) -> Result<T, Refusal> {
    let reader =
        serde_html_form::Deserializer::new(form_urlencoded::parse(query.unwrap_or("").as_bytes()));
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        let hint = "GET /v0/openapi.json describes the parameters";
        match path.as_str() {
            "." => Refusal::usage(format!("the query cannot be read: {cause}"), hint),
            _ => Refusal::usage(
                format!("the query parameter `{path}` cannot be read: {cause}"),
                hint,
            ),
        }
    })
}

/// What a stream asked for.
pub(super) struct StreamOptions {
    pub(super) tail: TailOptions,
    pub(super) form: Form,
}

impl TailQuery {
    /// The options of a JSON Lines tail.
    pub(super) fn options(self, longest: Option<Duration>) -> Result<StreamOptions, Refusal> {
        let form = Form::Lines {
            notices: self.notices.unwrap_or(false),
        };
        self.without_notices().with_form(form, None, longest)
    }
}

impl EventsQuery {
    /// The options of a stream of events, which goes on after `last_event` if the query says no start. [SSE-2]
    pub(super) fn options(
        self,
        last_event: Option<u64>,
        longest: Option<Duration>,
    ) -> Result<StreamOptions, Refusal> {
        self.with_form(Form::Events, last_event, longest)
    }

    fn with_form(
        self,
        form: Form,
        last_event: Option<u64>,
        longest: Option<Duration>,
    ) -> Result<StreamOptions, Refusal> {
        let now = Timestamp::now();
        let since = self
            .since
            .as_deref()
            .map(|text| moment("since", text, now))
            .transpose()?;
        let starts = [
            self.since_seq.map(|seq| Start::Seq(seq.0.max(1))),
            self.last.map(|count| Start::Last(count.0)),
            since.map(Start::Time),
        ];
        let mut starts = starts.into_iter().flatten();
        let start = starts.next();
        if starts.next().is_some() {
            return Err(Refusal::usage(
                "since_seq, last and since exclude each other",
                "give one of them",
            ));
        }
        let resumed = last_event.map(|seq| Start::Seq(seq.saturating_add(1)));
        let tail = TailOptions {
            start: start.or(resumed).unwrap_or(Start::Oldest),
            until: self
                .until
                .as_deref()
                .map(|text| moment("until", text, now))
                .transpose()?,
            tags: self.tag,
            max: self.max.map(|max| max.0),
            timeout: timeout(self.timeout_ms, longest)?,
            gap_policy: match self.gap_policy {
                Some(Policy::Error) => GapPolicy::Error,
                Some(Policy::Continue) | None => GapPolicy::Continue,
            },
            ..TailOptions::default()
        };
        Ok(StreamOptions { tail, form })
    }
}

/// How long a stream may last, given the server's limit. [STREAM-5] [STREAM-6]
fn timeout(asked: Option<Whole>, longest: Option<Duration>) -> Result<Option<Duration>, Refusal> {
    let asked = asked.map(|ms| Duration::from_millis(ms.0));
    match (asked, longest) {
        (Some(asked), Some(longest)) if asked > longest => Err(Refusal::usage(
            format!(
                "timeout_ms is {}, and this server allows at most {}",
                asked.as_millis(),
                longest.as_millis()
            ),
            "ask for less, and resume with since_seq",
        )),
        (asked, longest) => Ok(asked.or(longest)),
    }
}

fn moment(name: &str, text: &str, now: Timestamp) -> Result<Timestamp, Refusal> {
    parse_moment(text, now.as_nanos())
        .map(Timestamp::from_nanos)
        .map_err(|what| {
            Refusal::usage(
                format!("the query parameter `{name}` is no moment: {what}"),
                "write a time like 2026-11-24T00:27:44Z, or a duration like 5m",
            )
        })
}
