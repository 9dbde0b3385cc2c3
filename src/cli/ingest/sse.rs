//! Server-sent events: the `data` of each event is one record.

use memchr::memchr;

use super::buffer::{Buffer, FRAMING, Place, trimmed_len};
use super::{Found, Text, too_long};

pub(super) struct Sse {
    /// The data of the event so far, its lines joined by newlines.
    data: Vec<u8>,
    /// Where the first of them begins.
    first: Option<Place>,
    /// How many they are.
    lines: usize,
    /// How many bytes are known to hold no newline.
    seen: usize,
    /// The event's data is too long, as was reported: the rest goes up to the blank line.
    reported: bool,
    /// The line's beginning was discarded, and so is the rest of it.
    headless: bool,
}

impl Sse {
    pub(super) fn new() -> Sse {
        Sse {
            data: Vec::new(),
            first: None,
            lines: 0,
            seen: 0,
            reported: false,
            headless: false,
        }
    }

    /// The record that was handed out last, until the next call of `next`.
    pub(super) fn data(&self) -> &[u8] {
        &self.data
    }

    pub(super) fn next(&mut self, input: &mut Buffer) -> Option<Found> {
        if self.first.is_none() {
            self.data.clear();
        }
        loop {
            let found = match memchr(b'\n', &input.rest()[self.seen..]) {
                Some(found) => self.line(input, self.seen + found, true),
                None if !input.has_ended() => return self.cut_short(input),
                None if input.rest().is_empty() => return self.dispatch(),
                None => self.line(input, input.rest().len(), false),
            };
            if found.is_some() {
                return found;
            }
        }
    }

    fn line(&mut self, input: &mut Buffer, length: usize, has_newline: bool) -> Option<Found> {
        let text = &input.rest()[..length];
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let found = match self.headless {
            true => None,
            false if text.is_empty() => self.dispatch(),
            false => data_of(text).and_then(|data| {
                let place = input.place(text.len() - data.len());
                self.add(data, place, input.limit())
            }),
        };
        self.headless = false;
        self.seen = 0;
        match has_newline {
            true => input.consume_line(length + 1),
            false => input.consume(length),
        }
        found
    }

    fn add(&mut self, data: &[u8], place: Place, limit: usize) -> Option<Found> {
        if self.reported {
            return None;
        }
        match self.first {
            Some(_) => self.data.push(b'\n'),
            None => self.first = Some(place),
        }
        self.lines += 1;
        if data.len() > limit.saturating_sub(self.data.len()) {
            return self.report(limit);
        }
        self.data.extend_from_slice(data);
        None
    }

    /// Ends the event, whose data is a record unless it is blank.
    fn dispatch(&mut self) -> Option<Found> {
        self.reported = false;
        let place = self.first.take()?;
        let is_one_line = std::mem::take(&mut self.lines) == 1;
        self.data.truncate(trimmed_len(&self.data));
        (!self.data.is_empty()).then_some(Found {
            place,
            text: Text::Joined { is_one_line },
        })
    }

    fn report(&mut self, limit: usize) -> Option<Found> {
        let place = self.first.take()?;
        self.lines = 0;
        self.data.clear();
        self.reported = true;
        let text = Text::Bad(too_long(limit));
        Some(Found { place, text })
    }

    /// Discards what has come of a line that is too long for any record.
    fn cut_short(&mut self, input: &mut Buffer) -> Option<Found> {
        self.seen = input.rest().len();
        if !self.headless && self.seen <= input.limit().saturating_add(FRAMING) {
            return None;
        }
        let data = data_of(input.rest()).filter(|_| !self.headless);
        let place = data.map(|data| input.place(input.rest().len() - data.len()));
        let limit = input.limit();
        input.consume(self.seen);
        self.seen = 0;
        self.headless = true;
        let place = place.filter(|_| !self.reported)?;
        self.first.get_or_insert(place);
        self.report(limit)
    }
}

/// Whether a stream with this first line is one of events.
pub(super) fn begins(line: &[u8]) -> bool {
    [&b"data:"[..], b"event:", b"id:", b":"]
        .iter()
        .any(|field| line.starts_with(field))
}

/// The value of a line's `data` field.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(b"data")?;
    match value {
        [] => Some(value),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}
