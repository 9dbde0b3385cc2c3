//! JSON text as a message carries it: checked against RFC 8259, less its insignificant white space.
//!
//! Nothing is parsed into values, so whatever the grammar allows survives byte for byte: the order of
//! keys, keys that occur twice, numbers of any length in any spelling, escapes of any kind.

mod scan;

use std::str;

use memchr::memchr2;
use serde_json::value::RawValue;

use self::scan::{Between, scan};
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
    match scan(text) {
        Some(Between::Nothing) => out.extend_from_slice(text),
        Some(Between::Space) => squeeze(text, out),
        None => {
            check(text)?;
            squeeze(text, out);
        }
    }
    Ok(())
}

/// Says what is wrong with text that the scan did not let through.
#[cold]
fn check(text: &[u8]) -> Result<()> {
    if let Err(error) = serde_json::from_slice::<&RawValue>(text) {
        return Err(explain(text, &error));
    }
    match too_deep_at(text) {
        Some(at) => Err(too_deep(text, at)),
        None => Ok(()),
    }
}

/// Appends valid JSON without the white space between its tokens.
///
/// Sixty-four bytes at a time: one bit per byte tells quotes, from them what is inside of a string, and from
/// that what is to go. With the short tokens of real messages this is much faster than a walk over them.
fn squeeze(text: &[u8], out: &mut Vec<u8>) {
    let mut end = out.len();
    out.resize(end + text.len() + BLOCK, 0);
    let mut strings = Strings::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (string, after) = rest.split_at(strings.leap(rest));
        out[end..end + string.len()].copy_from_slice(string);
        end += string.len();
        let (block, after) = first_block(after);
        end += copy_without(&block, strings.space_outside(&block), &mut out[end..]);
        rest = after;
    }
    out.truncate(end);
}

/// The first block and what is after it. The last one is filled up with white space, which is dropped since
/// valid JSON does not end within a string.
fn first_block(text: &[u8]) -> ([u8; BLOCK], &[u8]) {
    if let Some((block, after)) = text.split_first_chunk() {
        return (*block, after);
    }
    let mut block = [b' '; BLOCK];
    block[..text.len()].copy_from_slice(text);
    (block, &[])
}

const BLOCK: usize = 64;

const QUOTE: u32 = 0;
const SPACE: u32 = 1;
const BACKSLASH: u32 = 2;

#[inline(always)]
fn class_of(byte: u8) -> u8 {
    u8::from(byte == b'"') << QUOTE
        | u8::from(byte <= b' ') << SPACE
        | u8::from(byte == b'\\') << BACKSLASH
}

/// One bit for each byte of the block: whether it has `class`.
fn bits(classes: &[u8; BLOCK], class: u32) -> u64 {
    let (words, _) = classes.as_chunks::<8>();
    words.iter().rev().fold(0, |bits, word| {
        let word = (u64::from_le_bytes(*word) >> class) & 0x0101_0101_0101_0101;
        // The product's top byte collects the lowest bit of every byte.
        bits << 8 | word.wrapping_mul(0x0102_0408_1020_4080) >> 56
    })
}

/// Keeps track of strings from one block to the next.
#[derive(Default)]
struct Strings {
    /// All ones when the next block begins within a string.
    within: u64,
    /// The lowest bit: the next block's first byte is escaped.
    escaped: u64,
    /// The last block was all string.
    is_long: bool,
}

impl Strings {
    /// How many bytes of `text` surely belong to a long string.
    fn leap(&self, text: &[u8]) -> usize {
        match self.is_long {
            true => memchr2(b'"', b'\\', text).unwrap_or(text.len()),
            false => 0,
        }
    }

    /// The white space in the next block that is outside of strings.
    fn space_outside(&mut self, block: &[u8; BLOCK]) -> u64 {
        let mut classes = [0; BLOCK];
        for (class, byte) in classes.iter_mut().zip(block) {
            *class = class_of(*byte);
        }
        let found = classes.iter().fold(0, |found, class| found | class);
        let inside = self.inside(&classes, found);
        match found & 1 << SPACE != 0 && inside != u64::MAX {
            true => bits(&classes, SPACE) & !inside,
            false => 0,
        }
    }

    /// The bytes of the next block that are in a string, its opening quote included. `found` are the classes
    /// that the block has.
    fn inside(&mut self, classes: &[u8; BLOCK], found: u8) -> u64 {
        self.is_long = false;
        if found & (1 << QUOTE | 1 << BACKSLASH) == 0 {
            self.is_long = self.within != 0;
            self.escaped = 0;
            return self.within;
        }
        let mut quotes = bits(classes, QUOTE);
        if self.escaped != 0 || found & 1 << BACKSLASH != 0 {
            quotes &= !self.escaped(bits(classes, BACKSLASH));
        }
        let inside = parity(quotes) ^ self.within;
        self.within = match inside >> (BLOCK - 1) {
            0 => 0,
            _ => u64::MAX,
        };
        inside
    }

    /// The bytes of the next block that a backslash precedes which is not itself escaped.
    fn escaped(&mut self, backslashes: u64) -> u64 {
        let mut escaped = self.escaped;
        let mut left = backslashes & !escaped;
        self.escaped = 0;
        while left != 0 {
            let backslash = left & left.wrapping_neg();
            self.escaped = backslash >> (BLOCK - 1);
            escaped |= backslash << 1;
            left &= !(backslash | backslash << 1);
        }
        escaped
    }
}

/// Sets each bit of which, with those below it, an odd number is set.
fn parity(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// Copies the bytes of `block` whose bit in `dropped` is not set, and returns how many. `out` has room for all.
fn copy_without(block: &[u8; BLOCK], dropped: u64, out: &mut [u8]) -> usize {
    if dropped == 0 {
        out[..BLOCK].copy_from_slice(block);
        return BLOCK;
    }
    let (words, _) = block.as_chunks::<8>();
    let mut end = 0;
    for (word, dropped) in words.iter().zip(dropped.to_le_bytes()) {
        let (word, kept) = squeeze_word(u64::from_le_bytes(*word), dropped);
        out[end..end + 8].copy_from_slice(&word.to_le_bytes());
        end += kept;
    }
    end
}

/// Moves the bytes of `word` that are not dropped to its low end, and counts them.
#[inline(always)]
fn squeeze_word(mut word: u64, mut dropped: u8) -> (u64, usize) {
    if dropped == u8::MAX {
        return (word, 0);
    }
    // Most words lose none or one, which is done without a branch.
    let mut kept = 8 - usize::from(dropped != 0);
    loop {
        let below = BELOW[dropped.trailing_zeros() as usize];
        word = word & below | word >> 8 & !below;
        dropped = (dropped & dropped.wrapping_sub(1)) >> 1;
        if dropped == 0 {
            return (word, kept);
        }
        kept -= 1;
    }
}

/// The bytes of a word below each index.
const BELOW: [u64; 9] = {
    let mut below = [u64::MAX; 9];
    let mut index = 0;
    while index < 8 {
        below[index] = (1 << (8 * index)) - 1;
        index += 1;
    }
    below
};

/// The offset of the first bracket that is nested too deep in valid JSON.
fn too_deep_at(text: &[u8]) -> Option<usize> {
    let mut depth = 0;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at = string_end(text, at + 1);
                continue;
            }
            b'{' | b'[' if depth == MAX_DEPTH => return Some(at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
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

#[cfg(test)]
mod tests;
