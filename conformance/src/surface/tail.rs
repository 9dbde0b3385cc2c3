//! What a request says of a tail, as every surface needs it.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Request, number, texts};

/// Where a tail starts; times are text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Start {
    Oldest,
    Newest,
    Seq(u64),
    Last(u64),
    Time(String),
}

/// A tail as it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) start: Start,
    pub(crate) until: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) max: Option<u64>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) follow: bool,
    pub(crate) gap_is_error: bool,
}

impl Asked {
    pub(crate) fn read(request: &Request, follow: bool) -> Result<Asked> {
        let given = |name: &str| request.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Asked {
            start: start(request.get("start"))?,
            until: given("until"),
            tags: texts(request, "tags"),
            max: number(request, "max"),
            timeout_ms: number(request, "timeout_ms"),
            follow: request
                .get("follow")
                .and_then(Value::as_bool)
                .unwrap_or(follow),
            gap_is_error: match given("gap").as_deref() {
                None | Some("continue") => false,
                Some("error") => true,
                Some(other) => bail!("`gap` is {other}"),
            },
        })
    }

    /// Why a tail ended without a failure after so many messages, where that can be told from what was asked.
    pub(crate) fn end(&self, messages: u64) -> &'static str {
        if self.max.is_some_and(|max| messages >= max) {
            return "max";
        }
        match (&self.until, self.timeout_ms, self.follow) {
            (Some(_), None, true) => "until",
            (None, Some(_), true) => "timeout",
            (None, _, false) => "caught-up",
            _ => "ended",
        }
    }
}

fn start(value: Option<&Value>) -> Result<Start> {
    let Some(value) = value else {
        return Ok(Start::Oldest);
    };
    if let Some(name) = value.as_str() {
        return match name {
            "oldest" => Ok(Start::Oldest),
            "newest" => Ok(Start::Newest),
            other => bail!("`start` is {other}"),
        };
    }
    let unsigned = |name: &str| value.get(name).and_then(Value::as_u64);
    if let Some(seq) = unsigned("seq") {
        return Ok(Start::Seq(seq));
    }
    if let Some(count) = unsigned("last") {
        return Ok(Start::Last(count));
    }
    let time = value.get("time").and_then(Value::as_str);
    Ok(Start::Time(
        time.context("`start` is none that there is")?.to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn starts_are_read() {
        assert_eq!(start(None).unwrap(), Start::Oldest);
        assert_eq!(start(Some(&json!({"last": 2}))).unwrap(), Start::Last(2));
        assert!(start(Some(&json!("somewhere"))).is_err());
    }
}
