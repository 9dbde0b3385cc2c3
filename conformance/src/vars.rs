//! What stands for something else in a case: `$name`, `$name+2`, `$i`, `{pool:p}`, `{file:p}`, `{dir}`, `{url}`, `{$name}`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Map, Value};

static WHOLE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\$([a-z_][a-z0-9_]*)([+-][0-9]+)?$").expect("a fixed expression")
});
static INSIDE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\{(pool|file|url):([^{}]+)\}|\{(dir|url)\}|\{\$([a-z_][a-z0-9_]*)([+-][0-9]+)?\}")
        .expect("a fixed expression")
});

/// What the names in braces stand for on one surface.
pub(crate) trait Names {
    fn pool(&self, name: &str) -> String;
    fn file(&self, name: &str) -> String;
    fn dir(&self) -> String;
    fn url(&self, server: Option<&str>) -> String;
}

/// What `bind` has kept.
pub(crate) type Bound = BTreeMap<String, Value>;

/// The step with everything filled in, but for what its own substeps are to fill in later.
pub(crate) fn fill_step(
    step: &Map<String, Value>,
    bound: &Bound,
    names: &dyn Names,
) -> Map<String, Value> {
    step.iter()
        .map(|(key, value)| {
            let later = matches!(key.as_str(), "steps" | "bind" | "expect");
            let value = if later {
                value.clone()
            } else {
                fill(value, bound, names)
            };
            // A number that stands for the whole of a text is text.
            let text = matches!(key.as_str(), "data" | "text" | "stdin" | "tags");
            let value = match value {
                Value::Array(items) if key == "tags" => items.iter().map(textual).collect(),
                value if text => textual(&value),
                value => value,
            };
            (key.clone(), value)
        })
        .collect()
}

fn textual(value: &Value) -> Value {
    match value {
        Value::Number(_) => plain(value).into(),
        other => other.clone(),
    }
}

/// A value with everything filled in. What is not bound stays as it is, for the patterns to complain about.
pub(crate) fn fill(value: &Value, bound: &Bound, names: &dyn Names) -> Value {
    match value {
        Value::String(text) => fill_text(text, bound, names),
        Value::Array(items) => items.iter().map(|item| fill(item, bound, names)).collect(),
        Value::Object(members) if members.contains_key("$literal") => value.clone(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), fill(value, bound, names)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn fill_text(text: &str, bound: &Bound, names: &dyn Names) -> Value {
    if let Some(found) = WHOLE.captures(text)
        && let Some(value) = resolve(bound, &found[1], found.get(2).map(|more| more.as_str()))
    {
        return value;
    }
    let braces = INSIDE.replace_all(text, |found: &Captures<'_>| {
        if let Some(kind) = found.get(1) {
            return match kind.as_str() {
                "pool" => names.pool(&found[2]),
                "file" => names.file(&found[2]),
                _ => names.url(Some(&found[2])),
            };
        }
        match found.get(3).map(|word| word.as_str()) {
            Some("dir") => names.dir(),
            Some(_) => names.url(None),
            None => resolve(bound, &found[4], found.get(5).map(|more| more.as_str()))
                .map_or_else(|| found[0].to_owned(), |value| plain(&value)),
        }
    });
    match bound.get("i") {
        Some(i) => Value::String(braces.replace("$i", &plain(i))),
        None => Value::String(braces.into_owned()),
    }
}

fn resolve(bound: &Bound, name: &str, more: Option<&str>) -> Option<Value> {
    let value = bound.get(name)?;
    let Some(more) = more else {
        return Some(value.clone());
    };
    let sum = i128::from(value.as_u64()?) + more.parse::<i128>().ok()?;
    Some(u64::try_from(sum).ok()?.into())
}

/// A value as it is put into text.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
