//! What is wrong with a record, told by its place in the whole input.

use crate::cli::ingest::{Place, Record};
use crate::core::error::Error;

/// What to do about a record where its error does not say.
const HINT: &str = "correct the record, or pass over bad ones with feed -e skip";

/// What is wrong with a record, told by its place in the whole input.
pub(super) fn in_record(error: &Error, record: &Record<'_>) -> Error {
    let start = record.place;
    let fault = match (&record.text, error.offset_value()) {
        (Ok(text), Some(within)) if record.is_verbatim => Some(place_after(start, text, within)),
        _ => None,
    };
    let (message, place) = split_place(error.message());
    let place = match fault {
        Some(fault) if fault.line == start.line => format!(" at column {}", fault.column),
        Some(fault) => format!(" at line {}, column {}", fault.line, fault.column),
        None if record.is_verbatim => place.to_owned(),
        None => String::new(),
    };
    let message = format!("line {}: {}{place}", start.line, lower_case_start(message));
    reworded(error, message).offset(fault.unwrap_or(start).offset)
}

pub(super) fn reworded(error: &Error, message: String) -> Error {
    let hint = error.hint_text().unwrap_or(HINT);
    let reworded = Error::new(error.kind(), message).hint(hint.to_owned());
    match error.offset_value() {
        Some(offset) => reworded.offset(offset),
        None => reworded,
    }
}

/// Where in the input the byte at `within` of a record's text is.
fn place_after(start: Place, text: &[u8], within: u64) -> Place {
    let offset = start.offset + within;
    let at = usize::try_from(within).map_or(text.len(), |at| at.min(text.len()));
    let before = String::from_utf8_lossy(&text[..at]);
    let lines = before.matches('\n').count() as u64;
    let (line, column) = match before.rsplit_once('\n') {
        Some((_, before)) => (start.line + lines, 1 + before.chars().count() as u64),
        None => (start.line, start.column + before.chars().count() as u64),
    };
    Place {
        line,
        column,
        offset,
    }
}

/// Takes the place within the record from the end of a message.
fn split_place(message: &str) -> (&str, &str) {
    let begin = message
        .rfind(" at line ")
        .or_else(|| message.rfind(" at column "));
    let is_place = |text: &str| {
        let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
        words.all(|word| {
            ["at", "line", "column"].contains(&word)
                || word.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    match begin {
        Some(begin) if is_place(&message[begin..]) => message.split_at(begin),
        _ => (message, ""),
    }
}

pub(in crate::cli) fn lower_case_start(message: &str) -> String {
    let mut chars = message.chars();
    match (chars.next(), chars.clone().next()) {
        // An acronym keeps its capitals.
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => message.to_owned(),
    }
}
