//! From the bytes of a stream to its lines, in pieces that fit a message each.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// The member that holds bytes, but for the bytes.
const BASE64_MEMBER: usize = r#","base64":"""#.len();
/// No byte of text takes more in JSON.
const MOST_ESCAPED: usize = 6;
/// No part of a character, and so nothing that looks like bad UTF-8 for want of its end, is longer.
const MOST_OF_A_CHAR: usize = 4;

/// A message of kind `line`: a line, or a part of one that is too long for one message.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    kind: &'static str,
    stream: &'static str,
    line: Cow<'a, str>,
    /// All bytes of it, where `line` is not all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// What ended it, where that was no line feed alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    newline: Option<&'static str>,
    /// Whether the line goes on in the next message of the stream.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
}

impl<'a> Line<'a> {
    pub(super) fn new(stream: &'static str, piece: Piece<'a>) -> Line<'a> {
        let line = String::from_utf8_lossy(piece.bytes);
        let is_lossy = matches!(line, Cow::Owned(_));
        Line {
            kind: "line",
            stream,
            line,
            base64: is_lossy.then(|| STANDARD.encode(piece.bytes)),
            newline: piece.end.shown(),
            partial: piece.end == End::Cut,
        }
    }

    /// More than its text takes as JSON.
    pub(super) fn most_bytes(&self) -> u64 {
        let base64 = self.base64.as_ref().map_or(0, String::len);
        (self.line.len() * MOST_ESCAPED + base64) as u64
    }

    /// With every member that there can be, and nothing in them.
    pub(super) fn empty(stream: &'static str) -> Line<'a> {
        Line {
            kind: "line",
            stream,
            line: "".into(),
            base64: Some(String::new()),
            newline: End::CrLf.shown(),
            partial: true,
        }
    }
}

/// What one message tells of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) end: End,
}

/// What comes after a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Lf,
    CrLf,
    /// The end of the stream.
    Missing,
    /// More of the line.
    Cut,
}

impl End {
    fn shown(self) -> Option<&'static str> {
        match self {
            End::Lf => None,
            End::CrLf => Some("\r\n"),
            End::Missing | End::Cut => Some(""),
        }
    }
}

/// Finds the lines of one stream.
pub(super) struct Lines {
    /// The beginning of a line.
    held: Vec<u8>,
    /// How long the text of a piece may be once it is written as JSON, with the bytes beside it where need be.
    room: usize,
}

impl Lines {
    pub(super) fn new(room: usize) -> Lines {
        Lines {
            held: Vec::new(),
            room,
        }
    }

    /// Takes what was read, and hands on what that completes: lines, and parts of what is too long already.
    pub(super) fn push(&mut self, bytes: &[u8], mut take: impl FnMut(Piece<'_>)) {
        let mut rest = bytes;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            if self.held.is_empty() {
                self.cut(&rest[..at], true, &mut take);
            } else {
                self.held.extend_from_slice(&rest[..at]);
                self.cut(&self.held, true, &mut take);
                self.held.clear();
            }
            rest = &rest[at + 1..];
        }
        self.held.extend_from_slice(rest);
        // A byte takes a byte at least, so this cannot fit, whatever comes; and the part ends before what may yet turn
        // out to be a character.
        while self.held.len() > self.room + MOST_OF_A_CHAR {
            let length = prefix_within(self.room, &self.held);
            take(Piece {
                bytes: &self.held[..length],
                end: End::Cut,
            });
            self.held.drain(..length);
        }
    }

    /// Hands on the last line, if that has no end.
    pub(super) fn finish(&mut self, mut take: impl FnMut(Piece<'_>)) {
        if !self.held.is_empty() {
            self.cut(&self.held, false, &mut take);
            self.held = Vec::new();
        }
    }

    /// Hands on a line, in as few pieces as it takes.
    fn cut(&self, line: &[u8], has_end: bool, mut take: impl FnMut(Piece<'_>)) {
        let (mut rest, end) = match line.strip_suffix(b"\r") {
            Some(line) if has_end => (line, End::CrLf),
            _ if has_end => (line, End::Lf),
            _ => (line, End::Missing),
        };
        loop {
            let (bytes, after) = rest.split_at(prefix_within(self.room, rest));
            if after.is_empty() {
                return take(Piece { bytes, end });
            }
            take(Piece {
                bytes,
                end: End::Cut,
            });
            rest = after;
        }
    }
}

/// How much of `bytes` fits `room`, without cutting a character.
fn prefix_within(room: usize, bytes: &[u8]) -> usize {
    // With two more for its share of the base64.
    if bytes.len() * (MOST_ESCAPED + 2) + BASE64_MEMBER + 4 <= room {
        return bytes.len();
    }
    let mut prefix = Prefix::default();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let longer = prefix.with(c.len_utf8(), escaped_len(c), false);
            if longer.written() > room {
                return prefix.length;
            }
            prefix = longer;
        }
        let bad = chunk.invalid();
        if !bad.is_empty() {
            let longer = prefix.with(bad.len(), char::REPLACEMENT_CHARACTER.len_utf8(), true);
            if longer.written() > room {
                return prefix.length;
            }
            prefix = longer;
        }
    }
    prefix.length
}

/// The beginning of a line, and what it takes as JSON.
#[derive(Clone, Copy, Default)]
struct Prefix {
    length: usize,
    text: usize,
    is_lossy: bool,
}

impl Prefix {
    fn with(self, length: usize, text: usize, is_lossy: bool) -> Prefix {
        Prefix {
            length: self.length + length,
            text: self.text + text,
            is_lossy: self.is_lossy || is_lossy,
        }
    }

    fn written(self) -> usize {
        match self.is_lossy {
            true => self.text + BASE64_MEMBER + self.length.div_ceil(3) * 4,
            false => self.text,
        }
    }
}

/// How long a character is in a JSON string, as serde_json writes it.
fn escaped_len(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOM: usize = 64;

    /// What comes of a stream that is read in these portions: the length of each message's text, and its members.
    fn messages(portions: &[&[u8]], room: usize) -> Vec<serde_json::Value> {
        let (mut lines, mut found) = (Lines::new(room), Vec::new());
        let mut take = |piece: Piece<'_>| {
            let message = serde_json::to_string(&Line::new("stdout", piece)).unwrap();
            let frame = serde_json::to_string(&Line::empty("stdout")).unwrap();
            assert!(message.len() <= frame.len() + room, "{message}");
            found.push(serde_json::from_str(&message).unwrap());
        };
        for portion in portions {
            lines.push(portion, &mut take);
            assert!(lines.held.len() <= room + MOST_OF_A_CHAR);
        }
        lines.finish(&mut take);
        found
    }

    /// The stream, made again from its messages.
    fn rebuilt(messages: &[serde_json::Value]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            match &message["base64"] {
                serde_json::Value::String(text) => bytes.extend(STANDARD.decode(text).unwrap()),
                _ => bytes.extend(message["line"].as_str().unwrap().bytes()),
            }
            bytes.extend(message["newline"].as_str().unwrap_or("\n").bytes());
        }
        bytes
    }

    fn line(message: &serde_json::Value) -> &str {
        message["line"].as_str().unwrap()
    }

    #[test]
    fn lines_end_as_they_ended() {
        let found = messages(&[b"a\nb\r", b"\n\n\r\nc\rd\r\r\ne\r"], ROOM);
        let shown: Vec<_> = found
            .iter()
            .map(|found| (line(found), found["newline"].as_str()))
            .collect();
        let (lf, crlf, none) = (None, Some("\r\n"), Some(""));
        let expected = [
            ("a", lf),
            ("b", crlf),
            ("", lf),
            ("", crlf),
            ("c\rd\r", crlf),
            ("e\r", none),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn members_are_there_where_they_are_needed_and_in_order() {
        let shown =
            |bytes, end| serde_json::to_string(&Line::new("stderr", Piece { bytes, end })).unwrap();
        assert_eq!(
            shown(b"x", End::Lf),
            r#"{"kind":"line","stream":"stderr","line":"x"}"#
        );
        assert_eq!(
            shown(b"\xffx", End::Cut),
            concat!(
                r#"{"kind":"line","stream":"stderr","line":"�x","#,
                r#""base64":"/3g=","newline":"","partial":true}"#
            )
        );
    }

    #[test]
    fn a_line_that_fits_is_one_message_and_a_longer_one_is_cut_behind_a_character() {
        let whole = "é".repeat(ROOM / 2);
        assert_eq!(messages(&[whole.as_bytes(), b"\n"], ROOM).len(), 1);
        let found = messages(&[b"x", whole.as_bytes(), b"\n"], ROOM);
        assert_eq!(found.len(), 2);
        assert_eq!(line(&found[0]), format!("x{}", "é".repeat(ROOM / 2 - 1)));
        assert_eq!(
            (line(&found[1]), &found[1]["newline"]),
            ("é", &serde_json::Value::Null)
        );
        assert!(found.iter().all(|part| part["base64"].is_null()));
        assert_eq!(
            (&found[0]["partial"], &found[1]["partial"]),
            (&true.into(), &serde_json::Value::Null)
        );
    }

    #[test]
    fn what_is_too_long_is_handed_on_before_it_ends() {
        let mut lines = Lines::new(ROOM);
        let mut count = 0;
        lines.push(&[0; 10 * ROOM], |piece| {
            assert_eq!(piece.end, End::Cut);
            count += 1;
        });
        assert!(count >= 50);
    }

    /// Bytes with much of what is hard in them.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            4 => any::<u8>(),
            4 => b'a'..=b'z',
            1 => Just(b'\n'),
            1 => Just(b'\r'),
            1 => Just(b'"'),
            2 => prop::sample::select("é日😀".as_bytes()),
        ];
        prop::collection::vec(byte, 0..600)
    }

    proptest! {
        #[test]
        fn a_stream_can_be_made_again_from_its_messages(
            bytes in stream(),
            portion in 1..300_usize,
            room in 40..200_usize,
        ) {
            let portions: Vec<_> = bytes.chunks(portion).collect();
            let found = messages(&portions, room);
            prop_assert_eq!(rebuilt(&found), bytes.clone());
            let whole = messages(&[&bytes], room);
            prop_assert_eq!(rebuilt(&whole), bytes);
        }

        #[test]
        fn text_needs_no_base64_however_it_is_cut(
            text in "[a-zé日😀\"\\x00-\\x1f]{0,300}",
            portion in 1..50_usize,
            room in 40..100_usize,
        ) {
            let portions: Vec<_> = text.as_bytes().chunks(portion).collect();
            let found = messages(&portions, room);
            prop_assert!(found.iter().all(|part| part["base64"].is_null()));
            prop_assert_eq!(rebuilt(&found), text.into_bytes());
        }
    }
}
