//! JSON text as a message carries it: checked against RFC 8259, less its insignificant white space.
//!
//! Nothing is parsed into values, so whatever the grammar allows survives byte for byte: the order of
//! keys, keys that occur twice, numbers of any length in any spelling, escapes of any kind.

use std::str;

use memchr::memchr2;
use serde_json::value::RawValue;

use crate::core::error::{Error, ErrorKind, Result};

/// The deepest nesting of arrays and objects that a message may have.
///
/// What lies below it is read by recursive parsers everywhere; this keeps every reader's stack safe.
pub const MAX_DEPTH: usize = 100;

/// Appends `text` to `out` less its insignificant white space; on error `out` is as it was.
///
/// # Errors
///
/// `Usage`, with the byte offset in `text`, unless `text` is one JSON value in UTF-8 that is nested at
/// most [`MAX_DEPTH`] deep.
pub fn compact_into(text: &[u8], out: &mut Vec<u8>) -> Result<()> {
    if let Err(error) = serde_json::from_slice::<&RawValue>(text) {
        return Err(explain(text, &error));
    }
    let before = out.len();
    squeeze(text, out).map_err(|offset| {
        out.truncate(before);
        too_deep(text, offset)
    })
}

/// Copies valid JSON without the white space between its tokens; fails with the offset of the bracket
/// that is one too deep.
fn squeeze(text: &[u8], out: &mut Vec<u8>) -> Result<(), usize> {
    out.reserve(text.len());
    let mut depth = 0;
    let mut copied = 0;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at = string_end(text, at + 1),
            b' ' | b'\t' | b'\n' | b'\r' => {
                out.extend_from_slice(&text[copied..at]);
                at += 1;
                while text.get(at).is_some_and(is_space) {
                    at += 1;
                }
                copied = at;
            }
            b'{' | b'[' if depth == MAX_DEPTH => return Err(at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            _ => at += 1,
        }
    }
    out.extend_from_slice(&text[copied..]);
    Ok(())
}

/// The offset after the quote that ends the string whose contents begin at `at`.
fn string_end(text: &[u8], mut at: usize) -> usize {
    while let Some(found) = memchr2(b'"', b'\\', &text[at..]) {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cold]
fn explain(text: &[u8], error: &serde_json::Error) -> Error {
    if text.iter().all(is_space) {
        return usage("There is no JSON value: the input is empty", text.len())
            .hint("give one JSON value, such as {\"a\":1} or \"text\"");
    }
    let at = offset_of(text, error);
    match str::from_utf8(text) {
        Err(bad) if bad.valid_up_to() <= at => not_utf8(text, bad.valid_up_to()),
        _ if error.is_eof() || ends_within_number(text, at) => truncated(text),
        _ => not_json(text, at, &reason(error)),
    }
}

/// The offset of the byte at which serde_json stopped; its columns count bytes.
fn offset_of(text: &[u8], error: &serde_json::Error) -> usize {
    if error.is_eof() {
        return text.len();
    }
    let line_start = match error.line() {
        0 | 1 => 0,
        line => memchr::memchr_iter(b'\n', text)
            .nth(line - 2)
            .map_or(0, |newline| newline + 1),
    };
    let after = line_start + error.column();
    // It names the byte it has passed, except for control characters, before which it stops.
    let before = usize::from(!reason(error).starts_with("control character"));
    after.saturating_sub(before).min(text.len() - 1)
}

/// What serde_json says, less its own idea of where.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// serde_json calls a number that the input's end cuts short invalid, not incomplete.
fn ends_within_number(text: &[u8], at: usize) -> bool {
    if at + 1 != text.len() {
        return false;
    }
    let before = at.checked_sub(1).map(|before| text[before]);
    match text[at] {
        b'.' | b'e' | b'E' => before.is_some_and(|byte| byte.is_ascii_digit()),
        b'+' => matches!(before, Some(b'e' | b'E')),
        b'-' => before.is_none_or(|byte| is_space(&byte) || b"eE[,:".contains(&byte)),
        _ => false,
    }
}

#[cold]
fn too_deep(text: &[u8], at: usize) -> Error {
    let place = place(text, at);
    usage(
        format!("The JSON is nested more than {MAX_DEPTH} levels deep {place}"),
        at,
    )
    .hint("flatten the value, or carry its inner part as a string")
}

fn not_utf8(text: &[u8], at: usize) -> Error {
    let (byte, place) = (text[at], place(text, at));
    usage(
        format!("The text is not valid UTF-8: found the byte 0x{byte:02x} {place}"),
        at,
    )
    .hint("convert the input to UTF-8 first; iconv does that")
}

fn truncated(text: &[u8]) -> Error {
    let place = place(text, text.len());
    usage(
        format!("The JSON ends before its value is complete {place}"),
        text.len(),
    )
    .hint("complete the value; its end may have been lost on the way")
}

fn not_json(text: &[u8], at: usize, reason: &str) -> Error {
    let (found, place) = (found(text, at), place(text, at));
    let message = match reason {
        "trailing characters" => {
            format!("The JSON value is complete, yet more follows it: found {found} {place}")
        }
        _ => {
            let problem = problem(reason);
            format!("The text is not JSON: {problem}, found {found} {place}")
        }
    };
    usage(message, at).hint(advice(text, at, reason))
}

/// serde_json's reason in plain words.
fn problem(reason: &str) -> &str {
    match reason {
        "expected value" => "expected a value",
        "expected ident" => "expected true, false or null",
        "key must be a string" => "expected a key in double quotes",
        "expected `:`" => "expected `:` after a key",
        "invalid number" => "expected another form of number",
        "invalid escape" => "expected a known escape after the backslash",
        reason if reason.starts_with("control character") => "expected the rest of a string",
        reason => reason,
    }
}

fn advice(text: &[u8], at: usize, reason: &str) -> &'static str {
    let last_token = text[..at].iter().rfind(|byte| !is_space(byte));
    match (text[at], reason) {
        (_, "trailing characters") => {
            "give one value at a time, put several into an array, or quote plain text"
        }
        (b']' | b'}', _) if last_token == Some(&b',') => "remove the comma before it",
        (b'\'', _) => "put strings and keys into double quotes",
        (b'N' | b'I', _) => "JSON has no NaN and no Infinity; send null or a string",
        (_, "invalid number") => {
            "write numbers as 1, -0.5 or 1e9, without leading zeros or plus sign"
        }
        (_, "invalid escape") => "write a literal backslash as \\\\",
        (_, reason) if reason.starts_with("control character") => {
            "close the string, or write the character as an escape such as \\n or \\t"
        }
        _ if text[at..].starts_with(BYTE_ORDER_MARK) => "remove the byte order mark",
        _ if last_token.is_none() => "to send plain text, put it into double quotes",
        _ => "correct the JSON at that place",
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The character at `at`, as a message shows it.
fn found(text: &[u8], at: usize) -> String {
    let valid = match str::from_utf8(&text[at..]) {
        Ok(valid) => valid,
        Err(bad) => str::from_utf8(&text[at..at + bad.valid_up_to()]).unwrap_or_default(),
    };
    match valid.chars().next() {
        Some('\n') => "the end of the line".to_owned(),
        Some(found) if found.is_control() => format!("the character U+{:04X}", found as u32),
        Some('`') => "a back quote".to_owned(),
        Some(found) => format!("`{found}`"),
        None => format!("the byte 0x{:02x}", text[at]),
    }
}

/// Where `at` is, for a person: characters count from 1, and the line is named when there are several.
fn place(text: &[u8], at: usize) -> String {
    let before = &text[..at];
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    let column = String::from_utf8_lossy(&before[line_start..])
        .chars()
        .count()
        + 1;
    if memchr::memchr(b'\n', text.trim_ascii_end()).is_none() {
        return format!("at column {column}");
    }
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    format!("at line {line}, column {column}")
}

fn usage(message: impl Into<std::borrow::Cow<'static, str>>, at: usize) -> Error {
    Error::new(ErrorKind::Usage, message).offset(at as u64)
}
