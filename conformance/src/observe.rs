//! Observations in the one form that all surfaces are compared in.

use serde_json::{Map, Value};

use crate::message;

/// An answer with each envelope read, or why one cannot be.
pub(crate) fn normalise(answer: &Value) -> Result<Value, String> {
    match answer {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| {
                let value = match value {
                    Value::String(text)
                        if key == "message"
                            && !members.contains_key("kind")
                            && !members.contains_key("code") =>
                    {
                        message::parse(text).map_err(|error| format!("{error:#}"))?
                    }
                    other => normalise(other)?,
                };
                Ok((key.clone(), value))
            })
            .collect::<Result<Map<_, _>, String>>()
            .map(Value::Object),
        Value::Array(items) => items
            .iter()
            .map(normalise)
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        other => Ok(other.clone()),
    }
}

/// What of an observation is the same on every surface: without times, paths, UUIDs and wording.
pub(crate) fn trace(observed: &Value) -> Value {
    match observed {
        Value::Object(members) => members
            .iter()
            .filter(|(key, _)| {
                !matches!(key.as_str(), "code" | "causes" | "path" | "hint")
                    || !members.contains_key("kind") && *key != "code"
            })
            .map(|(key, value)| {
                let left_out = matches!(
                    key.as_str(),
                    "time"
                        | "path"
                        | "uuid"
                        | "created"
                        | "hint"
                        | "oldest_time"
                        | "newest_time"
                        | "oldest_age_ms"
                        | "clock_behind_ms"
                        | "newest_age_ms"
                ) || key == "message" && value.is_string()
                    || key == "end" && value == "ended";
                (
                    key.clone(),
                    if left_out && !value.is_null() {
                        "...".into()
                    } else {
                        trace(value)
                    },
                )
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(trace).collect(),
        other => other.clone(),
    }
}

/// Whether two traces are equal, where a surface that cannot say why a tail ended agrees with all.
pub(crate) fn agree(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| {
                    b.get(key).is_some_and(|other| {
                        key == "end" && (value == "..." || other == "...") || agree(value, other)
                    })
                })
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agree(a, b))
        }
        _ => one == other,
    }
}
