//! The conformance suite: cases, patterns, and the adapter protocol as the library answers it.
//!
//! Promised: no text makes the reader of cases, the patterns or the adapter panic; each request gets exactly one answer,
//! with its id, and of a form that the protocol has; errors and PoolInfos are as the specification has them; a message
//! is what was appended, and stays so; patterns that say the same of a value agree.

use std::collections::BTreeMap;

use plasmite_conformance::parts;
use serde_json::{Map, Value, json};

use crate::base;
use crate::input::Input;

/// More requests than this tell nothing new.
const MOST_REQUESTS: usize = 24;
/// Pools larger than this take time and tell nothing new, in bytes.
const MOST_BYTES: u64 = 1 << 20;
/// Longer than this nothing waits, in milliseconds.
const MOST_PATIENCE: u64 = 2;

/// Checks one input: what it is, and then a text, or what requests are put together from.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    match input.u8() % 4 {
        0 => read_case(input.rest()),
        1 => patterns(input.rest()),
        2 => requests_of_text(input.rest()),
        _ => requests_of_grammar(&mut input),
    }
}

fn read_case(text: &[u8]) {
    match parts::read_case(text) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(steps) => assert!(steps.iter().all(Value::is_object)),
    }
}

/// A pattern and a value, as `{"pattern":..., "value":...}`.
fn patterns(text: &[u8]) {
    let Ok(Value::Object(given)) = serde_json::from_slice::<Value>(text) else {
        return;
    };
    let pattern = given.get("pattern").unwrap_or(&Value::Null);
    let value = given.get("value");
    let matches = |pattern: Value, value: Option<&Value>| {
        let why = parts::mismatch(&pattern, value);
        assert_ne!(why.as_deref(), Some(""), "a mismatch without a reason");
        why.is_none()
    };
    let holds = matches(pattern.clone(), value);
    assert_eq!(matches(json!({"$not": pattern}), value), !holds, "$not");
    assert_eq!(
        matches(json!({"$any": [pattern]}), value),
        holds,
        "$any of one"
    );
    assert!(!matches(json!({"$any": []}), value), "$any of none");
    assert_eq!(matches(json!({"$absent": true}), value), value.is_none());
    let Some(value) = value else { return };
    assert_eq!(
        matches(json!({"$all": [pattern]}), Some(value)),
        holds,
        "$all of one"
    );
    let pair = json!([value, value]);
    assert_eq!(
        matches(json!({"$each": pattern}), Some(&pair)),
        holds,
        "$each"
    );
    assert!(matches(json!({"$count": 2}), Some(&pair)), "$count");
    assert!(matches(json!({"$literal": value}), Some(value)), "$literal");
    if !has_operator(value) {
        assert!(
            matches(value.clone(), Some(value)),
            "a value is not as itself"
        );
    }
}

fn has_operator(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_operator),
        Value::Object(members) => {
            let mut members = members.iter();
            members.any(|(key, value)| key.starts_with('$') || has_operator(value))
        }
        _ => false,
    }
}

/// Each line is a request; what is none ends the conversation.
fn requests_of_text(text: &[u8]) {
    let (mut lines, mut requests) = (Vec::new(), Vec::new());
    let given = text.split(|byte| *byte == b'\n');
    for line in given.filter(|line| !line.is_empty()).take(MOST_REQUESTS) {
        match serde_json::from_slice(line) {
            Ok(Value::Object(mut request)) => {
                restrain(&mut request);
                lines.extend_from_slice(Value::from(request.clone()).to_string().as_bytes());
                requests.push(request);
            }
            _ => {
                lines.extend_from_slice(line);
                lines.push(b'\n');
                converse(&lines, &requests, false, false);
                return;
            }
        }
        lines.push(b'\n');
    }
    converse(&lines, &requests, true, false);
}

/// Requests that the protocol has, put together from the input.
fn requests_of_grammar(input: &mut Input<'_>) {
    let mut requests = Vec::new();
    while !input.is_empty() && requests.len() < MOST_REQUESTS {
        let mut request = request_of(input);
        request.insert("id".into(), requests.len().into());
        restrain(&mut request);
        requests.push(request);
    }
    let lines: String = requests
        .iter()
        .map(|r| format!("{}\n", Value::from(r.clone())))
        .collect();
    converse(lines.as_bytes(), &requests, true, true);
}

/// Keeps a request from files that are not its own, and from waiting.
fn restrain(request: &mut Map<String, Value>) {
    if let Some(Value::String(pool)) = request.get_mut("pool")
        && let Some((_, name)) = pool.rsplit_once('/')
    {
        *pool = name.to_owned();
    }
    let number =
        |request: &Map<String, Value>, name: &str| request.get(name).and_then(Value::as_u64);
    let is_large = |size: &u64| (MOST_BYTES..i64::MAX as u64).contains(size);
    if let Some(size) = number(request, "size_bytes").filter(is_large) {
        request.insert("size_bytes".into(), (size % MOST_BYTES).into());
    }
    let follows = request.get("follow") == Some(&Value::Bool(true));
    let waits: &[&str] = match request.get("op").and_then(Value::as_str) {
        Some("read") => &["patience_ms"],
        Some("tail") if follows => &["timeout_ms"],
        _ => &[],
    };
    for name in waits {
        let patience = number(request, name).unwrap_or(MOST_PATIENCE);
        request.insert((*name).into(), patience.min(MOST_PATIENCE).into());
    }
}

/// Asks all of it, and judges the answers. Nothing but a line that is no request may end the conversation early.
fn converse(lines: &[u8], requests: &[Map<String, Value>], to_the_end: bool, is_proper: bool) {
    let dir = base::directory();
    let mut answers = Vec::new();
    let ended = parts::answer(dir.path(), lines, &mut answers);
    assert_eq!(ended.is_ok(), to_the_end, "how it ended: {ended:?}");
    assert!(
        answers.is_empty() || answers.ends_with(b"\n"),
        "an answer that is cut off"
    );
    let answers = answers
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let answers: Vec<Value> = answers
        .map(|line| serde_json::from_slice(line).expect("an answer is JSON"))
        .collect();
    assert_eq!(
        answers.len(),
        requests.len(),
        "not one answer to each request"
    );
    let mut known = Known::default();
    for (request, answer) in requests.iter().zip(&answers) {
        is_legal(request, answer);
        if is_proper {
            let broken = answer.get("broken");
            let excused = broken
                .and_then(Value::as_str)
                .is_some_and(|why| why.contains("no such tail"));
            assert!(
                broken.is_none() || excused,
                "{request:?} was answered {answer}"
            );
        }
        known.judge(request, answer);
    }
}

fn is_legal(request: &Map<String, Value>, answer: &Value) {
    let members = answer.as_object().expect("an answer is an object");
    assert_eq!(answer["id"], request.get("id").cloned().unwrap_or_default());
    let forms = ["ok", "error", "unimplemented", "broken"];
    let found = forms
        .iter()
        .filter(|form| members.contains_key(**form))
        .count();
    assert_eq!(found, 1, "not one form of answer: {answer}");
    let allowed: &[&str] = match members.contains_key("error") {
        true => &["id", "error", "code", "items"],
        false => &["id", "ok", "unimplemented", "broken"],
    };
    for name in members.keys() {
        assert!(allowed.contains(&name.as_str()), "`{name}` in {answer}");
    }
    if let Some(error) = members.get("error") {
        let checked = parts::check_error(error, members.get("code"));
        assert!(checked.is_ok(), "{checked:?} of {request:?}");
        assert_ne!(
            error["kind"], "Internal",
            "{request:?} was answered {answer}"
        );
    }
}

/// What is known of each pool's messages: the envelope, as the patterns see it.
#[derive(Default)]
struct Known {
    pools: BTreeMap<String, BTreeMap<u64, Value>>,
    /// Which pool each tail is of.
    tails: BTreeMap<String, String>,
}

impl Known {
    fn judge(&mut self, request: &Map<String, Value>, answer: &Value) {
        let text = |name: &str| {
            request
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let pool = text("pool");
        let pool = pool.strip_suffix(".plasmite").unwrap_or(pool).to_owned();
        let ok = &answer["ok"];
        match text("op") {
            "create" | "delete" if ok.is_object() => {
                self.pools.remove(&pool);
                self.tails.retain(|_, of| *of != pool);
                if let Some(info) = ok.get("info") {
                    is_sound(info);
                }
            }
            "info" if ok.is_object() => is_sound(&ok["info"]),
            "append" if ok.is_object() => self.appended(&pool, request, &ok["receipt"]),
            "append_batch" if ok.is_object() => {
                let [messages, receipts] = [request.get("messages"), ok.get("receipts")]
                    .map(|all| all.and_then(Value::as_array).cloned().unwrap_or_default());
                assert_eq!(messages.len(), receipts.len(), "a receipt for each message");
                for (message, receipt) in messages.iter().zip(&receipts) {
                    let message = message.as_object().expect("it was accepted");
                    self.appended(&pool, message, receipt);
                }
            }
            "get" if ok.is_object() => {
                let seq = self.message(&pool, &ok["message"]);
                assert_eq!(Some(seq), request.get("seq").and_then(Value::as_u64));
            }
            "open_tail" if ok.is_object() => {
                self.tails.insert(text("tail").to_owned(), pool);
            }
            "read" => {
                if let Some(pool) = self.tails.get(text("tail")).cloned() {
                    self.items(&pool, answer);
                }
            }
            "tail" => self.items(&pool, answer),
            "reset" | "reopen" => self.tails.clear(),
            _ => {}
        }
    }

    fn appended(&mut self, pool: &str, message: &Map<String, Value>, receipt: &Value) {
        let seq = receipt["seq"].as_u64().expect("a receipt has a seq");
        let tags = message
            .get("tags")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let tags: Vec<Value> = tags.into_iter().filter(Value::is_string).collect();
        assert_eq!(
            receipt["tags"],
            Value::from(tags),
            "not the tags that were given"
        );
        let messages = self.pools.entry(pool.to_owned()).or_default();
        let newest = messages.last_key_value().map_or(0, |(newest, _)| *newest);
        assert!(seq > newest, "seq {seq} was given out after {newest}");
        let data = message.get("data").and_then(Value::as_str);
        if let Some(data) = data.filter(|_| !message.contains_key("data_base64")) {
            let data = parts::compact(data);
            let envelope =
                json!({"seq": seq, "time": receipt["time"], "tags": receipt["tags"], "data": data});
            messages.insert(seq, envelope);
        }
    }

    /// Holds a message against what is known, and returns its seq.
    fn message(&mut self, pool: &str, envelope: &Value) -> u64 {
        let text = envelope.as_str().expect("an envelope crosses as text");
        let envelope = parts::envelope(text).expect("an envelope is written as MSG-1 says");
        let seq = envelope["seq"].as_u64().expect("an envelope has a seq");
        let messages = self.pools.entry(pool.to_owned()).or_default();
        let known = messages.entry(seq).or_insert_with(|| envelope.clone());
        assert_eq!(*known, envelope, "message {seq} is not what it was");
        seq
    }

    fn items(&mut self, pool: &str, answer: &Value) {
        let items = answer["ok"].get("items").or_else(|| answer.get("items"));
        let mut next = 0;
        for item in items.and_then(Value::as_array).into_iter().flatten() {
            let (first, last) = match item.get("gap") {
                Some(gap) => (gap["first"].as_u64(), gap["last"].as_u64()),
                None => {
                    let seq = self.message(pool, &item["message"]);
                    (Some(seq), Some(seq))
                }
            };
            let ends = first
                .zip(last)
                .filter(|(first, last)| next <= *first && first <= last);
            let (_, last) = ends.unwrap_or_else(|| panic!("{item} where {next} is due"));
            next = last + 1;
        }
    }
}

fn is_sound(info: &Value) {
    let checked = parts::check_info(info);
    assert!(checked.is_ok(), "{checked:?}: {info}");
}

const POOLS: [&str; 5] = ["p", "q", "p.plasmite", "no pool: \u{1f4a7}", ""];
const TAILS: [&str; 3] = ["t", "u", "v"];
const DATA: [&str; 12] = [
    "1",
    "{\"a\": 1.0, \"a\": 1e999}",
    "\"\u{00e9}\\ud800\"",
    "[ 1 , 2 ]",
    "",
    "{",
    "nul",
    "12345678901234567890123",
    "\"tab\there\"",
    "[[[[]]]]",
    "true false",
    " null\n",
];
const TAGS: [&str; 5] = ["a", "b", "", "\u{2028}", "with \"quotes\""];
const TIMES: [&str; 5] = [
    "2026-11-24T00:27:44.105076723Z",
    "1970-01-01T00:00:00Z",
    "2200-01-01T00:00:00+01:00",
    "2500-01-01T00:00:00Z",
    "2026-11-24T00:27:45Z",
];
const OPS: [&str; 15] = [
    "create",
    "append",
    "append",
    "append",
    "append_batch",
    "get",
    "tail",
    "open_tail",
    "read",
    "close",
    "info",
    "list",
    "verify",
    "delete",
    "reopen",
];

/// A request as the protocol has it.
fn request_of(input: &mut Input<'_>) -> Map<String, Value> {
    let op = pick(input, &OPS);
    let mut request = Map::new();
    request.insert("op".into(), op.into());
    if !matches!(op, "list" | "reopen" | "read" | "close") {
        // Mostly the same one, or nothing would ever be in it.
        let pool = POOLS[usize::from(input.u8().saturating_sub(200)) % POOLS.len()];
        request.insert("pool".into(), pool.into());
    }
    match op {
        "create" => create(&mut request, input),
        "append" => {
            message(&mut request, input);
            durability(&mut request, input);
        }
        "append_batch" => batch(&mut request, input),
        "get" => {
            request.insert("seq".into(), seq(input).into());
        }
        "tail" => tail(&mut request, input),
        "open_tail" => {
            request.insert("tail".into(), pick(input, &TAILS).into());
            tail(&mut request, input);
        }
        "read" | "close" => {
            request.insert("tail".into(), pick(input, &TAILS).into());
            request.insert("count".into(), (input.u8() % 8).into());
        }
        _ => {}
    }
    request
}

fn pick(input: &mut Input<'_>, all: &[&'static str]) -> &'static str {
    all[usize::from(input.u8()) % all.len()]
}

fn create(request: &mut Map<String, Value>, input: &mut Input<'_>) {
    let choice = input.u8();
    let size = match choice % 4 {
        0 => u64::from(input.u16()),
        1 => u64::MAX - u64::from(input.u8()),
        _ => 65_536 + u64::from(input.u8()) * 8,
    };
    request.insert("size_bytes".into(), size.into());
    if choice & 0x80 != 0 {
        request.insert(
            "index_capacity".into(),
            (u64::from(input.u16()) % 3000).into(),
        );
    }
}

fn message(request: &mut Map<String, Value>, input: &mut Input<'_>) {
    let choice = input.u8();
    let data = match choice % 4 {
        0 => format!("\"{}\"", "x".repeat(usize::from(input.u16()) % 40_000)),
        1 => String::from_utf8_lossy(input.bytes(usize::from(choice >> 2))).into_owned(),
        _ => pick(input, &DATA).to_owned(),
    };
    request.insert("data".into(), data.into());
    if choice & 0x40 != 0 {
        request.insert("tags".into(), tags(input));
    }
}

fn tags(input: &mut Input<'_>) -> Value {
    let count = input.u8() % 4;
    (0..count).map(|_| pick(input, &TAGS)).collect()
}

fn durability(request: &mut Map<String, Value>, input: &mut Input<'_>) {
    if let Some(name) = ["fast", "flush", "slow"].get(usize::from(input.u8()) % 16) {
        request.insert("durability".into(), (*name).into());
    }
}

fn batch(request: &mut Map<String, Value>, input: &mut Input<'_>) {
    let choice = input.u8();
    let messages: Vec<Value> = (0..choice % 5)
        .map(|_| {
            let mut one = Map::new();
            message(&mut one, input);
            one.into()
        })
        .collect();
    if choice & 0x80 != 0 {
        let stamps =
            (0..messages.len()).map(|_| json!({"seq": seq(input), "time": pick(input, &TIMES)}));
        request.insert("stamps".into(), stamps.collect());
    }
    request.insert("messages".into(), messages.into());
    durability(request, input);
}

fn seq(input: &mut Input<'_>) -> u64 {
    match input.u8() {
        near @ 0..250 => u64::from(near % 32),
        250..253 => u64::from(input.u32()),
        far => u64::MAX - u64::from(255 - far),
    }
}

fn tail(request: &mut Map<String, Value>, input: &mut Input<'_>) {
    let choice = input.u8();
    let start = match choice % 8 {
        0 => json!("newest"),
        1 => json!("oldest"),
        2 | 3 => json!({"seq": seq(input)}),
        4 | 5 => json!({"last": seq(input)}),
        6 => json!({"time": pick(input, &TIMES)}),
        _ => Value::Null,
    };
    if !start.is_null() {
        request.insert("start".into(), start);
    }
    let given = input.u8();
    let mut give = |bit: u8, name: &str, value: Value| {
        if given & bit != 0 {
            request.insert(name.into(), value);
        }
    };
    give(1, "until", pick(input, &TIMES).into());
    give(2, "tags", tags(input));
    give(4, "max", seq(input).into());
    give(8, "timeout_ms", (input.u8() % 3).into());
    give(16, "follow", (choice & 0x80 != 0).into());
    give(
        32,
        "gap",
        ["continue", "error"][usize::from(choice >> 6 & 1)].into(),
    );
}
