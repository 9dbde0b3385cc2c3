//! Patterns: what a case expects of an observation.

use std::fmt::Write as _;

use regex::Regex;
use serde_json::Value;

/// Where a value does not match, and why; nothing if it does.
pub(crate) fn mismatch(pattern: &Value, value: Option<&Value>) -> Option<String> {
    at("", pattern, value)
}

fn at(place: &str, pattern: &Value, value: Option<&Value>) -> Option<String> {
    if let Value::Object(members) = pattern
        && members.keys().any(|key| key.starts_with('$'))
    {
        let mut failures = members
            .iter()
            .filter_map(|(key, argument)| operator(place, key, argument, value));
        return failures.next();
    }
    let Some(value) = value else {
        return Some(format!(
            "{}: expected {pattern}, there is nothing",
            shown(place)
        ));
    };
    match (pattern, value) {
        (Value::Object(members), Value::Object(found)) => {
            members.iter().find_map(|(key, pattern)| {
                let found = found.get(key);
                // A surface that does not tell why a tail ended says `ended`.
                let untold = key == "end" && found.is_some_and(|end| end == "ended");
                if untold {
                    None
                } else {
                    at(&format!("{place}/{key}"), pattern, found)
                }
            })
        }
        (Value::Array(patterns), Value::Array(found)) => elements(place, patterns, found),
        _ if same(pattern, value) => None,
        _ => Some(format!(
            "{}: expected {pattern}, observed {}",
            shown(place),
            short(value)
        )),
    }
}

fn elements(place: &str, patterns: &[Value], found: &[Value]) -> Option<String> {
    let first = patterns
        .iter()
        .zip(found)
        .enumerate()
        .find_map(|(i, (pattern, value))| at(&format!("{place}/{i}"), pattern, Some(value)));
    first.or_else(|| {
        (patterns.len() != found.len()).then(|| {
            let mut text = format!(
                "{}: expected {} elements, observed {}",
                shown(place),
                patterns.len(),
                found.len()
            );
            let _ = write!(text, ": {}", short(&Value::Array(found.to_vec())));
            text
        })
    })
}

fn same(pattern: &Value, value: &Value) -> bool {
    match (pattern, value) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || a.as_f64() == b.as_f64() && !(a.is_u64() && b.is_u64())
        }
        _ => pattern == value,
    }
}

fn operator(place: &str, key: &str, argument: &Value, value: Option<&Value>) -> Option<String> {
    if key == "$absent" {
        let wanted = argument.as_bool().unwrap_or(true);
        return (value.is_none() != wanted).then(|| match value {
            Some(value) => format!(
                "{}: expected nothing, observed {}",
                shown(place),
                short(value)
            ),
            None => format!("{}: there is nothing", shown(place)),
        });
    }
    if key == "$any" {
        let any = argument.as_array().into_iter().flatten();
        let mut any = any.map(|pattern| at(place, pattern, value));
        return (!any.any(|why| why.is_none())).then(|| {
            let observed = value.map_or_else(|| "nothing".to_owned(), short);
            format!(
                "{}: expected one of {argument}, observed {observed}",
                shown(place)
            )
        });
    }
    if key == "$not" {
        let inner = at(place, argument, value);
        return inner
            .is_none()
            .then(|| format!("{}: matches {argument}, and must not", shown(place)));
    }
    let Some(value) = value else {
        return Some(format!(
            "{}: expected {key} {argument}, there is nothing",
            shown(place)
        ));
    };
    let fail = |holds: bool| {
        (!holds).then(|| {
            format!(
                "{}: expected {key} {argument}, observed {}",
                shown(place),
                short(value)
            )
        })
    };
    match key {
        "$literal" => fail(argument == value),
        "$is" => fail(argument.as_str().is_some_and(|kind| is(kind, value))),
        "$has" => fail(texts(argument).iter().all(|text| has(value, text))),
        "$lacks" => fail(texts(argument).iter().all(|text| !has(value, text))),
        "$regex" => fail(matches_regex(argument, value)),
        "$min" => fail(compare(value, argument).is_some_and(std::cmp::Ordering::is_ge)),
        "$max" => fail(compare(value, argument).is_some_and(std::cmp::Ordering::is_le)),
        "$count" => fail(value.as_array().map(|items| items.len() as u64) == argument.as_u64()),
        "$only" => only(place, argument, value),
        "$json" => match value.as_str().map(serde_json::from_str::<Value>) {
            Some(Ok(inner)) => at(&format!("{place}<json>"), argument, Some(&inner)),
            _ => fail(false),
        },
        "$jsonl" => match lines(value) {
            Some(inner) => at(&format!("{place}<jsonl>"), argument, Some(&inner)),
            None => fail(false),
        },
        "$all" => argument.as_array().and_then(|all| {
            all.iter()
                .find_map(|pattern| at(place, pattern, Some(value)))
        }),
        "$each" => match value.as_array() {
            Some(items) => items
                .iter()
                .enumerate()
                .find_map(|(i, item)| at(&format!("{place}/{i}"), argument, Some(item))),
            None => fail(false),
        },
        _ => Some(format!("{}: there is no pattern {key}", shown(place))),
    }
}

fn only(place: &str, argument: &Value, value: &Value) -> Option<String> {
    let (Value::Object(patterns), Value::Object(found)) = (argument, value) else {
        return Some(format!(
            "{}: expected an object, observed {}",
            shown(place),
            short(value)
        ));
    };
    let more = found.keys().find(|key| !patterns.contains_key(*key));
    if let Some(more) = more {
        return Some(format!("{}: `{more}` is not to be there", shown(place)));
    }
    at(place, &Value::Object(patterns.clone()), Some(value))
}

fn texts(argument: &Value) -> Vec<&str> {
    match argument {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    }
}

fn has(value: &Value, text: &str) -> bool {
    match value {
        Value::String(value) => value.contains(text),
        Value::Array(items) => items.iter().any(|item| has(item, text)),
        _ => false,
    }
}

fn matches_regex(argument: &Value, value: &Value) -> bool {
    let (Some(expression), Some(text)) = (argument.as_str(), value.as_str()) else {
        return false;
    };
    Regex::new(expression).is_ok_and(|expression| expression.is_match(text))
}

fn compare(value: &Value, argument: &Value) -> Option<std::cmp::Ordering> {
    match (value, argument) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => match (value.as_u64(), argument.as_u64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => value.as_f64()?.partial_cmp(&argument.as_f64()?),
        },
    }
}

fn is(kind: &str, value: &Value) -> bool {
    let text = value.as_str();
    match kind {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        "time" => text.is_some_and(crate::message::is_time),
        "uuid" => text.is_some_and(|text| {
            let form = r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$";
            matches_regex(&form.into(), &text.into())
        }),
        _ => false,
    }
}

fn lines(value: &Value) -> Option<Value> {
    let values = match value {
        Value::String(text) => text.lines().map(serde_json::from_str).collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| serde_json::from_str(item.as_str().unwrap_or_default()))
            .collect(),
        _ => return None,
    };
    let values: Result<Vec<Value>, _> = values;
    values.ok().map(Value::Array)
}

fn shown(place: &str) -> &str {
    if place.is_empty() { "the whole" } else { place }
}

/// A value, cut to what a person wants to see of it.
pub(crate) fn short(value: &Value) -> String {
    const MOST: usize = 600;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}
