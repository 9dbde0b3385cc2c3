//! What the fuzzers reach of the suite. Nothing here does more than call the part that it is named for.

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::LazyLock;

use anyhow::Result;
use serde_json::Value;

use crate::vars::{Bound, Names, fill_step};
use crate::{case, ledger, message, pattern, surface};

static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema = include_str!("../case.schema.json");
    let schema = serde_json::from_str(schema).expect("the schema is JSON");
    jsonschema::validator_for(&schema).expect("the schema is one")
});

/// Reads the text of a case as the runner does, and returns its steps with their variables filled in.
///
/// # Errors
///
/// Why it is no case.
pub fn read_case(text: &[u8]) -> Result<Vec<Value>> {
    let case = case::parse(text, &SCHEMA)?;
    let _ = (
        case.implied_needs(),
        case.wants_own_server(),
        case.is_live(),
    );
    let bound = Bound::from([("i".to_owned(), 1.into())]);
    let steps = case.steps.iter();
    Ok(steps
        .map(|step| fill_step(step, &bound, &Nowhere).into())
        .collect())
}

/// Where `value` does not match `pattern`, and why; nothing if it does.
pub fn mismatch(pattern: &Value, value: Option<&Value>) -> Option<String> {
    pattern::mismatch(pattern, value)
}

/// Reads the text of an envelope: what the patterns see of a message.
///
/// # Errors
///
/// What about it is not as the specification says.
pub fn envelope(text: &str) -> Result<Value> {
    message::parse(text)
}

/// JSON text without the white space outside its strings.
pub fn compact(text: &str) -> String {
    message::compact(text)
}

/// Answers the adapter protocol by the library, on the pools in a directory: one line of `answers` for each of `requests`.
///
/// # Errors
///
/// A line that is no request, after which nothing is answered.
pub fn answer(pools: &Path, requests: impl BufRead, answers: impl Write) -> Result<()> {
    surface::answer_by_library(pools, requests, answers)
}

/// Holds the error of an answer against what always holds.
///
/// # Errors
///
/// What does not.
pub fn check_error(error: &Value, code: Option<&Value>) -> Result<()> {
    ledger::check_error(error, code, false)
}

/// Holds a PoolInfo against what always holds.
///
/// # Errors
///
/// What does not.
pub fn check_info(info: &Value) -> Result<()> {
    ledger::check_info(info)
}

/// Names of a case that takes place nowhere.
struct Nowhere;

impl Names for Nowhere {
    fn pool(&self, name: &str) -> String {
        name.to_owned()
    }

    fn file(&self, name: &str) -> String {
        name.to_owned()
    }

    fn dir(&self) -> String {
        "/".to_owned()
    }

    fn url(&self, _server: Option<&str>) -> String {
        "http://127.0.0.1".to_owned()
    }
}
