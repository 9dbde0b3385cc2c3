//! The saboteurs there are.

use serde_json::{Map, Value, json};

use super::{Breaks, Saboteur};
use crate::message;
use crate::surface::{Kind, Request};

const ALL: &[Kind] = &Kind::OWN;
/// Surfaces with batches.
const BATCH: &[Kind] = &[Kind::Api, Kind::Http, Kind::ApiRemote, Kind::Abi];
/// Surfaces that look into a pool's damage.
const LOCAL: &[Kind] = &[Kind::Cli, Kind::Api, Kind::Abi];
const COMMANDS: &[Kind] = &[Kind::Cli, Kind::CliRemote];

macro_rules! saboteurs {
    ($($name:literal, $does:literal, $surfaces:expr, $cases:expr, $breaks:expr;)*) => {
        /// Every saboteur.
        pub(crate) static SABOTEURS: &[Saboteur] = &[$(Saboteur {
            name: $name, does: $does, surfaces: $surfaces, cases: &$cases, breaks: $breaks,
        }),*];
    };
}

use Breaks::{Answer, Request as Asking};

saboteurs! {
    "drops", "leaves out the last message of every read", ALL, ["tails/", "messages/"], Answer(|_, answer| items(answer, |items| { items.pop(); }));
    "drops-the-first", "leaves out the first message of every read", ALL, ["tails/", "messages/"], Answer(|_, answer| items(answer, |items| { if items.len() > 1 { items.remove(0); } }));
    "repeats", "delivers the last message twice", ALL, ["tails/", "messages/"], Answer(|_, answer| items(answer, |items| items.extend(items.last().cloned())));
    "reorders", "delivers messages the other way round", ALL, ["tails/", "messages/"], Answer(|_, answer| items(answer, |items| items.reverse()));
    "renumbers", "counts seqs from 0", ALL, ["messages/"], Answer(|_, answer| { seqs(answer, |seq| seq.saturating_sub(1)); });
    "skips-a-seq", "counts in steps of two", ALL, ["messages/"], Answer(|_, answer| { seqs(answer, |seq| seq * 2 - 1); });
    "loses-tags", "forgets all tags", ALL, ["messages/"], Answer(|_, answer| tags(answer, |tags| tags.clear()));
    "sorts-tags", "puts tags in order", ALL, ["messages/"], Answer(|_, answer| tags(answer, |tags| tags.sort_by_key(Value::to_string)));
    "merges-tags", "drops tags that are there twice", ALL, ["messages/"], Answer(|_, answer| tags(answer, |tags| tags.dedup()));
    "rounds", "reads numbers as double precision", ALL, ["messages/"], Answer(|_, answer| data(answer, rounded));
    "re-encodes", "writes strings anew", ALL, ["messages/"], Answer(|_, answer| data(answer, unescaped));
    "sorts-keys", "puts members of objects in order, the last of a name winning", ALL, ["messages/"], Answer(|_, answer| data(answer, sorted));
    "keeps-spaces", "writes data with a space after each comma", ALL, ["messages/"], Answer(|_, answer| data(answer, |text| text.replace(',', ", ")));
    "truncates", "cuts strings at 64 KiB", ALL, ["messages/", "appending/"], Answer(|_, answer| data(answer, |text| if text.len() > 65_536 { format!("{}\"", text.chars().take(65_535).collect::<String>()) } else { text.to_owned() }));
    "stale-time", "shows times of an hour ago", ALL, ["messages/"], Answer(|_, answer| times(answer, hour_ago));
    "future-time", "shows times of tomorrow", ALL, ["messages/"], Answer(|_, answer| times(answer, |time| time.replacen("202", "203", 1)));
    "coarse-time", "shows milliseconds", ALL, ["messages/"], Answer(|_, answer| times(answer, |time| format!("{}Z", &time[..23])));
    "swallows-gaps", "never reports a gap", ALL, ["gaps/"], Answer(|_, answer| items(answer, |items| items.retain(|item| item.get("gap").is_none())));
    "hides-gaps-behind-filters", "reports no gap to a tail with tags", ALL, ["gaps/"], Answer(|request, answer| if request.contains_key("tags") { items(answer, |items| items.retain(|item| item.get("gap").is_none())) });
    "gap-too-short", "reports one seq too few", ALL, ["gaps/"], Answer(|_, answer| items(answer, |items| for item in items { if let Some(last) = item.pointer_mut("/gap/last") { *last = (last.as_u64().unwrap_or(1) - 1).into(); } }));
    "gap-too-late", "reports a gap after the message behind it", ALL, ["gaps/"], Answer(|_, answer| items(answer, |items| if let Some(i) = items.iter().position(|item| item.get("gap").is_some()) && i + 1 < items.len() { items.swap(i, i + 1); }));
    "continues-over-gaps", "takes `gap: error` for `continue`", ALL, ["gaps/"], Asking(|request| { request.remove("gap"); });
    "wrong-kind", "answers NotFound as Io", ALL, ["errors/"], Answer(|_, answer| kind(answer, "NotFound", "Io", 8));
    "wrong-refusal", "answers Usage as Internal", ALL, ["errors/", "messages/"], Answer(|_, answer| kind(answer, "Usage", "Internal", 1));
    "wrong-code", "answers every error with code 1", ALL, ["errors/"], Answer(|_, answer| if answer.get("error").is_some() { answer["code"] = 1.into(); });
    "no-hint", "gives no hints", ALL, ["errors/"], Answer(|_, answer| error(answer, |error| { error.remove("hint"); }));
    "no-context", "leaves seq out of errors", ALL, ["errors/", "reading/"], Answer(|_, answer| error(answer, |error| { error.remove("seq"); }));
    "no-path", "leaves the path out of errors", ALL, ["errors/"], Answer(|_, answer| error(answer, |error| { error.remove("path"); }));
    "no-offset", "leaves offset out of errors", ALL, ["errors/", "messages/"], Answer(|_, answer| error(answer, |error| { error.remove("offset"); }));
    "wrong-seq", "names the seq after the right one in errors", ALL, ["errors/", "reading/"], Answer(|_, answer| error(answer, |error| if let Some(seq) = error.get_mut("seq") { *seq = (seq.as_u64().unwrap_or(0) + 1).into(); }));
    "ignores-max", "goes on after `max` messages", BATCH, ["tails/"], Asking(|request| { request.remove("max"); if request["op"] == "open_tail" { request.insert("follow".into(), false.into()); } });
    "max-and-one", "delivers one more than `max`", BATCH, ["tails/"], Asking(|request| add(request, "max", 1));
    "ignores-until", "delivers what is later than `until`", ALL, ["tails/"], Asking(|request| { if request.remove("until").is_some() { request.insert("follow".into(), false.into()); } });
    "off-by-one-start", "starts one message late", ALL, ["tails/"], Asking(|request| start(request, "seq", 1));
    "start-too-early", "starts one message early", ALL, ["tails/"], Asking(|request| start(request, "last", 1));
    "ignores-start-time", "starts at the oldest message whatever the time", ALL, ["tails/"], Asking(|request| { if request.get("start").is_some_and(|start| start.get("time").is_some()) { request.remove("start"); } });
    "ignores-tags", "delivers what lacks a tag", ALL, ["tails/"], Asking(|request| { if matches!(request["op"].as_str(), Some("tail" | "open_tail")) { request.remove("tags"); } });
    "any-tag", "filters by the first tag only", ALL, ["tails/"], Asking(|request| { if matches!(request["op"].as_str(), Some("tail" | "open_tail")) && let Some(tags) = request.get_mut("tags").and_then(Value::as_array_mut) { tags.truncate(1); } });
    "partial-batch", "loses the last message of a batch", BATCH, ["appending/"], Asking(|request| if let Some(messages) = request.get_mut("messages").and_then(Value::as_array_mut) { messages.pop(); });
    "batch-out-of-order", "appends a batch the other way round", BATCH, ["appending/"], Asking(|request| if let Some(messages) = request.get_mut("messages").and_then(Value::as_array_mut) { messages.reverse(); });
    "late-error", "appends, and says that it could not", ALL, ["messages/"], Answer(|request, answer| if request["op"] == "append" && answer.get("ok").is_some() { *answer = json!({"error": {"kind": "Io", "message": "an error", "hint": "a hint"}, "code": 8}); });
    "early-success", "says that it appended what it refused", ALL, ["messages/", "errors/"], Answer(|request, answer| if request["op"] == "append" && answer.get("error").is_some() { *answer = json!({"ok": {"receipt": {"seq": 1, "time": "2026-01-01T00:00:00.000000000Z", "tags": [], "durability": "fast"}}}); });
    "forgets-appends", "acknowledges what it then appends twice", ALL, ["messages/"], Answer(|request, answer| if request["op"] == "append" && let Some(seq) = answer.pointer_mut("/ok/receipt/seq") { *seq = 1.into(); });
    "always-fast", "names `fast` whatever was reached", ALL, ["appending/"], Asking(|request| { request.remove("durability"); });
    "creates-twice", "creates a pool that is there", ALL, ["pools/"], Answer(|request, answer| if request["op"] == "create" && answer["error"]["kind"] == "AlreadyExists" { *answer = json!({"ok": {"info": {}}}); });
    "deletes-nothing", "says that it deleted what is not there", ALL, ["pools/"], Answer(|request, answer| if request["op"] == "delete" { *answer = json!({"ok": {}}); });
    "wrong-size", "creates pools of twice the size", ALL, ["pools/"], Asking(|request| if let Some(size) = request.get_mut("size_bytes") { *size = (size.as_u64().unwrap_or(0) * 2).into(); });
    "hides-bad-pools", "lists no pool that cannot be read", ALL, ["pools/"], Answer(|_, answer| if let Some(pools) = answer.pointer_mut("/ok/pools").and_then(Value::as_array_mut) { pools.retain(|pool| pool.get("error").is_none()); });
    "unsorted-list", "lists pools the other way round", ALL, ["pools/"], Answer(|_, answer| if let Some(pools) = answer.pointer_mut("/ok/pools").and_then(Value::as_array_mut) { pools.reverse(); });
    "stale-bounds", "shows a newest message that was newest before", ALL, ["pools/"], Answer(|_, answer| if let Some(newest) = answer.pointer_mut("/ok/info/bounds/newest") { *newest = newest.as_u64().unwrap_or(1).saturating_sub(1).into(); });
    "miscounts", "counts one message too many", ALL, ["pools/"], Answer(|_, answer| if let Some(count) = answer.pointer_mut("/ok/info/metrics/message_count") { *count = (count.as_u64().unwrap_or(0) + 1).into(); });
    "fetches-the-neighbour", "fetches the message after the one asked for", ALL, ["reading/"], Asking(|request| if request["op"] == "get" { add(request, "seq", 1); });
    "another-end", "says that a tail ended for another reason", &[Kind::Api, Kind::ApiRemote, Kind::Abi], ["tails/"], Answer(|_, answer| if let Some(end) = answer.pointer_mut("/ok/end") { *end = "cancelled".into(); });
    "swaps-members", "writes `seq` after `time` in envelopes", ALL, ["messages/"], Answer(|_, answer| raw(answer, swap));
    "adds-a-member", "writes a fifth member into envelopes", ALL, ["messages/"], Answer(|_, answer| raw(answer, |text| format!("{},\"more\":1}}", &text[..text.len() - 1])));
    "leaves-out-meta", "writes no `meta` where there are no tags", ALL, ["messages/"], Answer(|_, answer| raw(answer, |text| text.replace("\"meta\":{\"tags\":[]},", "")));
    "accepts-version-5", "takes a file of format version 5 for a pool", LOCAL, ["damage/"], Answer(|_, answer| if answer["error"]["message"].as_str().is_some_and(|text| text.contains('5') && text.contains('4')) && answer["error"]["kind"] == "Corrupt" { *answer = json!({"ok": {"info": {}, "items": [], "end": "caught-up"}}); });
    "ignores-damage", "takes a damaged message for one that is not there", ALL, ["damage/"], Answer(|_, answer| kind(answer, "Corrupt", "NotFound", 3));
    "never-corrupt", "calls every pool sound", LOCAL, ["damage/", "doctor/"], Answer(|_, answer| if let Some(status) = answer.pointer_mut("/ok/report/status") { *status = "ok".into(); });
    "noise-on-stdout", "prints a word of its own before the output", COMMANDS, ["commands/", "feed/"], Answer(|_, answer| if let Some(Value::String(text)) = answer.pointer_mut("/ok/stdout") { text.insert_str(0, "done\n"); });
    "always-0", "exits with 0 whatever happens", COMMANDS, ["commands/", "feed/"], Answer(|_, answer| if let Some(exit) = answer.pointer_mut("/ok/exit") { *exit = 0.into(); });
    "silent-failure", "writes nothing to standard error", COMMANDS, ["commands/", "feed/"], Answer(|_, answer| if let Some(Value::String(text)) = answer.pointer_mut("/ok/stderr") { text.clear(); });
    "always-200", "answers every request with status 200", &[Kind::Http], ["http/"], Answer(|_, answer| if let Some(status) = answer.pointer_mut("/ok/status") { *status = 200.into(); });
    "no-version-header", "leaves out `plasmite-version`", &[Kind::Http], ["http/"], Answer(|_, answer| if let Some(Value::Object(headers)) = answer.pointer_mut("/ok/headers") { headers.remove("plasmite-version"); });
    "plain-type", "calls every body text/plain", &[Kind::Http], ["http/", "streams/"], Answer(|_, answer| if let Some(Value::Object(headers)) = answer.pointer_mut("/ok/headers") { headers.insert("content-type".into(), "text/plain".into()); });
}

/// The items of a tail, in whatever answer they are.
fn items(answer: &mut Value, change: impl FnOnce(&mut Vec<Value>)) {
    let at = if answer.get("items").is_some() {
        "/items"
    } else {
        "/ok/items"
    };
    if let Some(items) = answer.pointer_mut(at).and_then(Value::as_array_mut) {
        change(items);
    }
}

/// The text of every envelope.
fn raw(answer: &mut Value, change: impl Fn(&str) -> String) {
    if let Some(Value::String(text)) = answer.pointer_mut("/ok/message") {
        *text = change(text);
    }
    items(answer, |items| {
        for item in items {
            if let Some(Value::String(text)) = item.get_mut("message") {
                *text = change(text);
            }
        }
    });
}

/// Every envelope, by its parts, and every receipt.
fn parts(answer: &mut Value, change: impl Fn(&mut Map<String, Value>)) {
    raw(answer, |text| {
        let Ok(Value::Object(mut parts)) = message::parse(text) else {
            return text.to_owned();
        };
        change(&mut parts);
        let data = parts["data"].as_str().unwrap_or_default();
        let (seq, time, tags) = (&parts["seq"], &parts["time"], &parts["tags"]);
        format!("{{\"seq\":{seq},\"time\":{time},\"meta\":{{\"tags\":{tags}}},\"data\":{data}}}")
    });
    if let Some(Value::Object(receipt)) = answer.pointer_mut("/ok/receipt") {
        change(receipt);
    }
    for receipt in answer
        .pointer_mut("/ok/receipts")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Value::Object(receipt) = receipt {
            change(receipt);
        }
    }
}

fn seqs(answer: &mut Value, change: impl Fn(u64) -> u64) {
    parts(answer, |parts| {
        let seq = parts["seq"].as_u64().unwrap_or(1);
        parts.insert("seq".into(), change(seq).into());
    });
}

fn tags(answer: &mut Value, change: impl Fn(&mut Vec<Value>)) {
    parts(answer, |parts| {
        if let Some(tags) = parts.get_mut("tags").and_then(Value::as_array_mut) {
            change(tags);
        }
    });
}

fn times(answer: &mut Value, change: impl Fn(&str) -> String) {
    parts(answer, |parts| {
        if let Some(Value::String(time)) = parts.get_mut("time") {
            *time = change(time);
        }
    });
}

fn data(answer: &mut Value, change: impl Fn(&str) -> String) {
    parts(answer, |parts| {
        if let Some(Value::String(data)) = parts.get_mut("data") {
            *data = change(data);
        }
    });
}

fn error(answer: &mut Value, change: impl Fn(&mut Map<String, Value>)) {
    if let Some(Value::Object(error)) = answer.get_mut("error") {
        change(error);
    }
}

/// One kind for another, with the code of that other.
fn kind(answer: &mut Value, from: &str, to: &str, code: u64) {
    if answer["error"]["kind"] == from {
        answer["error"]["kind"] = to.into();
        answer["code"] = code.into();
    }
}

fn add(request: &mut Request, name: &str, more: u64) {
    if let Some(value) = request.get(name).and_then(Value::as_u64) {
        request.insert(name.to_owned(), (value + more).into());
    }
}

fn start(request: &mut Request, name: &str, more: u64) {
    if let Some(value) = request
        .get_mut("start")
        .and_then(|start| start.get_mut(name))
    {
        *value = value.as_u64().unwrap_or(0).saturating_add(more).into();
    }
}

fn hour_ago(time: &str) -> String {
    let Ok(time) = time.parse::<jiff::Timestamp>() else {
        return time.to_owned();
    };
    format!("{:.9}", time - jiff::SignedDuration::from_hours(1))
}

/// Every number that JSON has, as a double is written.
fn rounded(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(value) => floats(&value).to_string(),
        Err(_) => text.to_owned(),
    }
}

fn floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Null, |double| {
            if double.fract() == 0.0 && double.abs() < 9e15 {
                (double as i64).into()
            } else {
                double.into()
            }
        }),
        Value::Array(items) => items.iter().map(floats).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), floats(value)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn unescaped(text: &str) -> String {
    text.replace("\\u00e9", "é")
        .replace("\\u0041", "A")
        .replace("\\/", "/")
}

fn sorted(text: &str) -> String {
    let value: Result<Value, _> = serde_json::from_str(text);
    match value {
        Ok(value @ Value::Object(_)) => value.to_string(),
        _ => text.to_owned(),
    }
}

fn swap(text: &str) -> String {
    let Some((seq, rest)) = text.strip_prefix('{').and_then(|text| text.split_once(',')) else {
        return text.to_owned();
    };
    let Some((time, rest)) = rest.split_once(',') else {
        return text.to_owned();
    };
    format!("{{{time},{seq},{rest}")
}
