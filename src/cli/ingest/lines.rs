//! JSON Lines.

use memchr::{memchr, memchr_iter};
use serde_json::value::RawValue;

use super::buffer::{Buffer, is_space, trimmed_len};
use super::{Found, Text, too_long};

pub(super) struct Lines {
    /// Whether a line may hold several values.
    several: bool,
    /// How many bytes are known to hold no newline.
    seen: usize,
    /// How many bytes are left of a line that holds several values, up to its newline.
    values: Option<usize>,
    /// Whether what follows the `seen` bytes was white space so far, and too much of it to keep.
    trailing: bool,
    /// Within a line that is too long and was reported.
    discarding: bool,
}

impl Lines {
    pub(super) fn new(several: bool) -> Lines {
        Lines {
            several,
            seen: 0,
            values: None,
            trailing: false,
            discarding: false,
        }
    }

    /// Whether the next line may show that these are not JSON Lines after all.
    pub(super) fn may_turn_out_otherwise(&self) -> bool {
        self.several
            && self.values.is_none()
            && !self.trailing
            && !self.discarding
            && self.seen == 0
    }

    pub(super) fn next(&mut self, input: &mut Buffer) -> Option<Found> {
        if let Some(left) = self.values {
            return Some(self.value(input, left));
        }
        if self.discarding {
            self.discard(input)?;
        }
        if self.trailing {
            return self.trail(input);
        }
        if self.seen == 0 && !input.skip_space() {
            return None;
        }
        match memchr(b'\n', &input.rest()[self.seen..]) {
            Some(found) => Some(self.line(input, self.seen + found, true)),
            None if input.has_ended() => Some(self.line(input, input.rest().len(), false)),
            None => {
                self.seen = input.rest().len();
                self.cut_short(input)
            }
        }
    }

    /// Hands out the line of `length` bytes.
    fn line(&mut self, input: &mut Buffer, length: usize, has_newline: bool) -> Found {
        self.seen = 0;
        let place = input.here();
        let text = &input.rest()[..length];
        let text = &text[..trimmed_len(text)];
        let fits = text.len() <= input.limit();
        if fits && self.several && holds_several(text) {
            return self.value(input, text.len());
        }
        let found = match fits {
            true => Text::Input(input.locate(0..text.len())),
            false => Text::Bad(too_long(input.limit())),
        };
        match has_newline {
            true => input.consume_line(length + 1),
            false => input.consume(length),
        }
        Found { place, text: found }
    }

    /// Hands out the first value of the `left` bytes, which hold nothing but values.
    fn value(&mut self, input: &mut Buffer, left: usize) -> Found {
        let text = &input.rest()[..left];
        let begin = text.iter().take_while(|byte| is_space(**byte)).count();
        let place = input.place(begin);
        let mut values = values_of(&text[begin..]);
        let end = match values.next() {
            Some(Ok(_)) => begin + values.byte_offset(),
            _ => left,
        };
        let found = Text::Input(input.locate(begin..end));
        input.consume(end);
        self.values = (end < left).then_some(left - end);
        Found { place, text: found }
    }

    /// Reports a line that is too long although its end has not come; drops the white space that it ends with so far.
    fn cut_short(&mut self, input: &mut Buffer) -> Option<Found> {
        if self.seen <= input.limit() {
            return None;
        }
        let length = trimmed_len(input.rest());
        if length > input.limit() {
            return Some(self.report(input));
        }
        input.drop_after(length);
        self.seen = length;
        self.trailing = true;
        None
    }

    /// Goes on in the white space after a text of `seen` bytes. Anything but the line's end makes the line too long.
    fn trail(&mut self, input: &mut Buffer) -> Option<Found> {
        let more = &input.rest()[self.seen..];
        let next = more
            .iter()
            .position(|byte| *byte == b'\n' || !is_space(*byte));
        match next.map(|at| (self.seen + at, more[at])) {
            None if !input.has_ended() => {
                input.drop_after(self.seen);
                None
            }
            Some((_, byte)) if byte != b'\n' => {
                self.trailing = false;
                Some(self.report(input))
            }
            end => {
                self.trailing = false;
                let length = end.map_or(input.rest().len(), |(at, _)| at);
                Some(self.line(input, length, end.is_some()))
            }
        }
    }

    /// Reports the line as too long, and discards its beginning.
    fn report(&mut self, input: &mut Buffer) -> Found {
        let place = input.here();
        let text = Text::Bad(too_long(input.limit()));
        input.consume(self.seen);
        self.seen = 0;
        self.discarding = true;
        Found { place, text }
    }

    fn discard(&mut self, input: &mut Buffer) -> Option<()> {
        match memchr(b'\n', input.rest()) {
            Some(found) => {
                input.consume_line(found + 1);
                self.discarding = false;
                Some(())
            }
            None => {
                input.consume(input.rest().len());
                None
            }
        }
    }
}

/// Whether `line` is several complete values and nothing else.
fn holds_several(line: &[u8]) -> bool {
    if is_surely_one(line) {
        return false;
    }
    let mut count = 0;
    for value in values_of(line) {
        match value {
            Ok(_) => count += 1,
            Err(_) => return false,
        }
    }
    count > 1
}

/// Tells most lines that hold one value without a look at their tokens: after a bracket that closes, only a
/// comma, another such bracket or the end continues a value.
fn is_surely_one(line: &[u8]) -> bool {
    let close = match line.first() {
        Some(b'{') => b'}',
        Some(b'[') => b']',
        _ => {
            return !line
                .iter()
                .any(|byte| is_space(*byte) || b"\"[{".contains(byte));
        }
    };
    memchr_iter(close, line).all(|at| {
        let next = line[at + 1..].iter().find(|byte| !is_space(**byte));
        matches!(next, None | Some(b',' | b']' | b'}'))
    })
}

fn values_of(
    text: &[u8],
) -> serde_json::StreamDeserializer<'_, serde_json::de::SliceRead<'_>, &RawValue> {
    serde_json::Deserializer::from_slice(text).into_iter()
}
