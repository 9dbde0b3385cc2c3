//! Answers, put together the same way by every surface.

use plasmite::{Error, ErrorKind};
use serde_json::{Map, Value, json};

/// The kinds with their exit code, and the statuses that HTTP has for them.
pub(crate) const CODES: [(&str, u64, &[u64]); 9] = [
    ("Internal", 1, &[500]),
    ("Usage", 2, &[400, 405, 408, 413, 415, 431]),
    ("NotFound", 3, &[404]),
    ("AlreadyExists", 4, &[409]),
    ("Busy", 5, &[423, 503]),
    ("Permission", 6, &[401, 403]),
    ("Corrupt", 7, &[500]),
    ("Io", 8, &[500]),
    ("RetentionGap", 9, &[410]),
];

pub(crate) fn ok(value: Value) -> Value {
    json!({"ok": value})
}

pub(crate) fn unimplemented() -> Value {
    json!({"unimplemented": true})
}

/// The surface did not do what a surface does, whatever was asked.
pub(crate) fn broken(why: impl std::fmt::Display) -> Value {
    json!({"broken": why.to_string()})
}

/// What went wrong in a call: the product's error, or the surface itself.
pub(crate) enum Failure {
    Error(Error),
    Broken(anyhow::Error),
    Unimplemented,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Broken(error)
    }
}

/// The answer of a surface that calls the library.
pub(crate) fn of(result: Result<Value, Failure>) -> Value {
    match result {
        Ok(value) => ok(value),
        Err(Failure::Error(error)) => failed(&error, None),
        Err(Failure::Broken(error)) => broken(format!("{error:#}")),
        Err(Failure::Unimplemented) => unimplemented(),
    }
}

/// An error of the library as an answer, with what a tail had delivered before it.
pub(crate) fn failed(error: &Error, items: Option<Vec<Value>>) -> Value {
    let code = 1 + ErrorKind::ALL
        .iter()
        .position(|kind| *kind == error.kind())
        .unwrap_or(0) as u64;
    let mut answer = json!({"error": body(error), "code": code});
    if let Some(items) = items {
        answer["items"] = items.into();
    }
    answer
}

pub(crate) fn body(error: &Error) -> Value {
    let mut body = Map::new();
    body.insert("kind".into(), error.kind().name().into());
    body.insert("message".into(), error.message().into());
    let mut more = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.into(), value);
        }
    };
    more("hint", error.hint_text().map(Value::from));
    more(
        "path",
        error.path_ref().map(|path| path.to_string_lossy().into()),
    );
    more("seq", error.seq_value().map(Value::from));
    more("offset", error.offset_value().map(Value::from));
    let causes = error.causes();
    more("causes", (!causes.is_empty()).then(|| causes.into()));
    body.into()
}
