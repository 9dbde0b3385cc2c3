//! Splits a stream of bytes into records, for `feed`: one record becomes one message.
//!
//! Bytes are pushed in whatever pieces they come, and each piece yields the records that it completes; how the
//! stream is cut never changes which records come out. Nothing here judges whether a record is JSON: that is
//! [`core::json`](crate::core::json), which refuses, with a reason, every bad record that is handed out as text.
//! No byte gets lost: each is in a record, in what a reported error is about, or is white space or framing.
//!
//! **All formats.** A byte order mark at the start of the stream is dropped. White space around a record is not
//! part of it, however much there is, blank lines yield nothing, and a line may end in CR LF. A last record needs no newline. What the
//! end of the stream cuts short is one bad record. A record longer than the limit is one bad record, reported as
//! soon as it exceeds it; its bytes are discarded as they come. Lines count from 1; a record's is the one where
//! it starts.
//!
//! **`auto`** looks at the first line that is not blank, or at 8 KiB of it, and at no more than has come (IN-6 to IN-9):
//!
//! 1. The byte 0x1e comes first: `seq`.
//! 2. The line starts with `data:`, `event:`, `id:` or `:`: server-sent events.
//! 3. The line ends within a value that may go on, outside of any string: `json`. So do 8 KiB without a newline
//!    that hold at least one complete value and nothing that is not JSON.
//! 4. Anything else: JSON Lines, in which a line may hold several values.
//!
//! JSON Lines may still turn out to be `json`: at the first of the stream's first 8 lines, within its first 8 KiB,
//! that is as in 3. What was handed out before stays as it was.
//!
//! **`jsonl`**: each line is one record. Under `auto`, a line that consists of several complete values, with or
//! without white space between them (`{"a":1}{"b":2}`, `1 2 3`), is as many records; any other line is one,
//! good or bad. The limit holds for the line, less the white space around it.
//!
//! **`json`**: values follow one another, with or without white space between them, over any number of lines.
//! Numbers and names end at white space, a bracket, a quote, a comma or a colon. Input that no value can begin with or go on
//! with (a newline within a string, too) makes a bad record, which goes on to the next boundary:
//!
//! - outside of any array or object, the start of the next line;
//! - within one, the next line whose first byte is `{` or `[`; the line that holds the error counts, unless the
//!   record starts there. So a document that was cut off costs itself, not the document after it.
//!
//! **`seq`** (RFC 7464): a text stands between 0x1e and the next 0x1e, and is handed out when the newline after
//! it has come. A number or a name (`true`, `false`, `null`) that white space does not follow may have been cut off and is a bad record; so is text
//! that no 0x1e precedes. A bad record goes on to the next 0x1e. Nothing between two 0x1e is no record.
//!
//! **Server-sent events**: the `data` lines of an event, joined by newlines, are one record, handed out at the
//! blank line. Other fields and comments are ignored, and so is an event whose data is blank. An event that the
//! stream's end cuts off before its blank line is handed out all the same: a browser would drop it, a pool
//! would lose it.

mod buffer;
mod lines;
mod scan;
mod seq;
mod sse;
mod values;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use memchr::memchr;

use crate::core::error::{Error, ErrorKind, Result};
pub use buffer::Place;
use buffer::{Buffer, is_space};
use lines::Lines;
use scan::{Scan, Scanner};
use seq::Seq;
use sse::Sse;
use values::Values;

/// How the stream is divided into records: the values of `--in`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Found out from the first line.
    #[default]
    Auto,
    /// JSON Lines: one value a line.
    Jsonl,
    /// Values one after another, each over as many lines as it likes.
    Json,
    /// JSON text sequences, RFC 7464.
    Seq,
}

impl Format {
    /// Every format, with the name that `--in` takes.
    pub const ALL: [(&'static str, Format); 4] = [
        ("auto", Format::Auto),
        ("jsonl", Format::Jsonl),
        ("json", Format::Json),
        ("seq", Format::Seq),
    ];
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Format> {
        Format::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, format)| *format)
            .ok_or_else(|| {
                let message = format!("there is no input format `{name}`");
                Error::new(ErrorKind::Usage, message).hint("use auto, jsonl, json or seq")
            })
    }
}

/// Divides a stream that is pushed into it into records.
///
/// Take all records with [`next`](Ingest::next) before the next [`push`](Ingest::push): then it holds no more
/// than the longest record and what one push brought.
pub struct Ingest {
    input: Buffer,
    has_begun: bool,
    mode: Mode,
    /// The last line that was looked at to find out the format; those after it may change it.
    looked_at: u64,
}

/// One record of the stream.
#[derive(Debug)]
pub struct Record<'a> {
    /// Where the record starts.
    pub place: Place,
    /// Whether the text stands in the stream as it stands here, and was not put together from several lines.
    pub is_verbatim: bool,
    /// The record's bytes, which may turn out not to be JSON; `Usage` where they are known to be no record.
    pub text: Result<&'a [u8]>,
}

enum Mode {
    Undecided,
    Lines(Lines),
    Values(Values),
    Seq(Seq),
    Sse(Sse),
}

/// A record, before it is lent out.
struct Found {
    place: Place,
    text: Text,
}

enum Text {
    /// A part of the buffer.
    Input(Range<usize>),
    /// The data of the event.
    Joined {
        is_one_line: bool,
    },
    Bad(Error),
}

impl Ingest {
    /// Takes a stream in `format`, with records of at most `max_record` bytes.
    pub fn new(format: Format, max_record: usize) -> Ingest {
        Ingest {
            input: Buffer::new(max_record),
            has_begun: false,
            looked_at: 0,
            mode: match format {
                Format::Auto => Mode::Undecided,
                Format::Jsonl => Mode::Lines(Lines::new(false)),
                Format::Json => Mode::Values(Values::new()),
                Format::Seq => Mode::Seq(Seq::new()),
            },
        }
    }

    /// Adds the stream's next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.push(bytes);
    }

    /// Says that the stream has ended: what is left is complete, or truncated.
    pub fn finish(&mut self) {
        self.input.end();
    }

    /// The next record that is complete.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator cannot lend, and ends where this one may go on after a push"
    )]
    pub fn next(&mut self) -> Option<Record<'_>> {
        if !self.has_begun && !self.begin() {
            return None;
        }
        if matches!(self.mode, Mode::Undecided) {
            self.mode = detect(&mut self.input)?;
            self.looked_at = self.input.here().line;
        } else if let Mode::Lines(lines) = &self.mode
            && lines.may_turn_out_otherwise()
        {
            self.look_again()?;
        }
        let found = match &mut self.mode {
            Mode::Undecided => None,
            Mode::Lines(lines) => lines.next(&mut self.input),
            Mode::Values(values) => values.next(&mut self.input),
            Mode::Seq(seq) => seq.next(&mut self.input),
            Mode::Sse(sse) => sse.next(&mut self.input),
        };
        found.map(|found| self.lend(found))
    }

    /// The format in use, once it is known: `jsonl`, `json`, `seq` or `sse`.
    pub fn format(&self) -> Option<&'static str> {
        match self.mode {
            Mode::Undecided => None,
            Mode::Lines(_) => Some("jsonl"),
            Mode::Values(_) => Some("json"),
            Mode::Seq(_) => Some("seq"),
            Mode::Sse(_) => Some("sse"),
        }
    }

    /// Drops the byte order mark; false as long as there may be one of which not all has come.
    fn begin(&mut self) -> bool {
        const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
        let rest = self.input.rest();
        if rest.starts_with(BYTE_ORDER_MARK) {
            self.input.consume(BYTE_ORDER_MARK.len());
        } else if BYTE_ORDER_MARK.starts_with(rest) && !self.input.has_ended() {
            return false;
        }
        self.has_begun = true;
        true
    }

    /// Looks at one more of the first lines; `None` until it has come, or enough of it.
    fn look_again(&mut self) -> Option<()> {
        if !self.input.skip_space() {
            return None;
        }
        let Place { line, offset, .. } = self.input.here();
        let room = LOOK_AT_MOST.saturating_sub(usize::try_from(offset).unwrap_or(usize::MAX));
        if line > LOOK_AT_LINES || room == 0 || line == self.looked_at {
            return Some(());
        }
        if spans_lines(&self.input, room)? {
            self.mode = Mode::Values(Values::new());
        }
        self.looked_at = line;
        Some(())
    }

    fn lend(&self, found: Found) -> Record<'_> {
        Record {
            place: found.place,
            is_verbatim: !matches!(found.text, Text::Joined { is_one_line: false }),
            text: match (found.text, &self.mode) {
                (Text::Input(part), _) => Ok(self.input.get(part)),
                (Text::Joined { .. }, Mode::Sse(sse)) => Ok(sse.data()),
                (Text::Joined { .. }, _) => Ok(&[]),
                (Text::Bad(error), _) => Err(error),
            },
        }
    }
}

impl fmt::Debug for Ingest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingest")
            .field("format", &self.format())
            .field("line", &self.input.here().line)
            .finish_non_exhaustive()
    }
}

/// How many bytes are looked at to find out the format.
const LOOK_AT_MOST: usize = 8 * 1024;
/// How many lines are looked at to find out the format.
const LOOK_AT_LINES: u64 = 8;

/// Decides from the first line that is not blank; `None` until it has come, or enough of it.
fn detect(input: &mut Buffer) -> Option<Mode> {
    if !input.skip_space() {
        return None;
    }
    let rest = input.rest();
    if rest[0] == seq::SEPARATOR {
        return Some(Mode::Seq(Seq::new()));
    }
    let spans_lines = spans_lines(input, LOOK_AT_MOST)?;
    if sse::begins(first_line(input.rest())) {
        return Some(Mode::Sse(Sse::new()));
    }
    Some(match spans_lines {
        true => Mode::Values(Values::new()),
        false => Mode::Lines(Lines::new(true)),
    })
}

/// Whether the line that comes next is a part of a value that goes on; `None` until it has come, or `most` bytes of it.
fn spans_lines(input: &Buffer, most: usize) -> Option<bool> {
    let rest = input.rest();
    let head = &rest[..rest.len().min(most)];
    // With its newline, which completes a number.
    let line = first_line(head);
    let is_whole = line.ends_with(b"\n");
    let is_cut = !is_whole && head.len() == most;
    if !is_whole && !is_cut && !input.has_ended() {
        return None;
    }
    Some(match outline(line) {
        Outline::Open { complete } => is_whole || complete > 0,
        Outline::Closed => is_cut,
        Outline::Other => false,
    })
}

/// The text up to the first newline, and with it if it has come.
fn first_line(text: &[u8]) -> &[u8] {
    memchr(b'\n', text).map_or(text, |newline| &text[..=newline])
}

/// What a piece of text looks like.
enum Outline {
    /// Complete values.
    Closed,
    /// As many complete values, and one that may go on.
    Open { complete: usize },
    /// Not JSON.
    Other,
}

fn outline(text: &[u8]) -> Outline {
    let mut complete = 0;
    let mut scanner = Scanner::new();
    let mut rest = text.trim_ascii_start();
    while !rest.is_empty() {
        match scanner.scan(rest, 0) {
            Scan::End(end) => rest = &rest[end..],
            Scan::More => return Outline::Open { complete },
            Scan::Wrong(_) => return Outline::Other,
        }
        let space = rest.iter().take_while(|byte| is_space(**byte)).count();
        rest = &rest[space..];
        complete += 1;
        scanner.restart();
    }
    Outline::Closed
}

#[cold]
fn too_long(limit: usize) -> Error {
    let message = format!("the record is longer than {limit} bytes, half of the pool's ring");
    Error::new(ErrorKind::Usage, message)
        .hint("send it in several messages, or to a larger pool; a message may take up half of one")
}

#[cfg(test)]
mod tests;
