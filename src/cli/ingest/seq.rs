//! JSON text sequences, RFC 7464: each text stands between a record separator and a newline.

use memchr::memchr;

use super::buffer::{Buffer, trimmed_len};
use super::scan::{Scan, Scanner};
use super::{Found, Text, too_long};
use crate::core::error::{Error, ErrorKind};

pub(super) const SEPARATOR: u8 = 0x1e;

pub(super) struct Seq {
    state: State,
    scanner: Scanner,
    /// How many bytes of `rest` have been looked at.
    seen: usize,
}

#[derive(Clone, Copy)]
enum State {
    /// Where nothing but a separator may come.
    Between,
    /// After a separator, before or within its text.
    Text,
    /// After a complete text of this many bytes, before the newline that confirms it.
    Complete(usize),
    /// Within a bad record, which goes on to the next separator.
    Bad(Fault),
}

#[derive(Clone, Copy)]
enum Fault {
    /// The text is no JSON value, as the core will say.
    Text,
    /// It may be JSON, yet no separator is before it.
    Stray,
    /// It was reported and is to be discarded.
    Reported,
}

impl Seq {
    pub(super) fn new() -> Seq {
        Seq {
            state: State::Between,
            scanner: Scanner::new(),
            seen: 0,
        }
    }

    pub(super) fn next(&mut self, input: &mut Buffer) -> Option<Found> {
        loop {
            let found = match self.state {
                State::Between => self.between(input)?,
                State::Text => self.text(input)?,
                State::Complete(end) => self.complete(input, end)?,
                State::Bad(fault) => self.bad(input, fault)?,
            };
            if found.is_some() {
                return found;
            }
        }
    }

    /// `None`: more input is needed. `Some(None)`: another state has more to say.
    fn between(&mut self, input: &mut Buffer) -> Option<Option<Found>> {
        if !input.skip_space() {
            return None;
        }
        if input.rest()[0] == SEPARATOR {
            input.consume(1);
            self.begin(State::Text);
        } else {
            self.begin(State::Bad(Fault::Stray));
        }
        Some(None)
    }

    fn text(&mut self, input: &mut Buffer) -> Option<Option<Found>> {
        if self.seen == 0 && !input.skip_space() {
            return None;
        }
        let rest = input.rest();
        if self.seen == 0 && rest[0] == SEPARATOR {
            self.state = State::Between;
            return Some(None);
        }
        let separator = memchr(SEPARATOR, &rest[self.seen..]).map(|found| self.seen + found);
        let end = separator.unwrap_or(rest.len());
        let window = end.min(input.limit().saturating_add(1));
        match self.scanner.scan(&rest[..window], self.seen) {
            Scan::End(length) => {
                self.seen = length;
                self.state = State::Complete(length);
            }
            Scan::Wrong(at) => {
                self.seen = at;
                self.state = State::Bad(Fault::Text);
            }
            Scan::More if window > input.limit() => {
                self.seen = window;
                self.state = State::Bad(Fault::Text);
            }
            Scan::More if separator.is_some() || input.has_ended() => {
                return Some(Some(self.cut_off(input, end)));
            }
            Scan::More => {
                self.seen = end;
                return None;
            }
        }
        Some(None)
    }

    /// Hands out a text that no newline confirms: an incomplete one, which the core will refuse, or a number
    /// or name that may have been longer.
    fn cut_off(&mut self, input: &mut Buffer, end: usize) -> Found {
        if self.scanner.is_at_top() && !input.rest().starts_with(b"\"") {
            return self.report(input, end, State::Between, unconfirmed());
        }
        let length = trimmed_len(&input.rest()[..end]);
        self.hand_out(input, length, end)
    }

    fn complete(&mut self, input: &mut Buffer, length: usize) -> Option<Option<Found>> {
        let rest = input.rest();
        let next = rest[self.seen..]
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b'\r'))
            .map(|found| self.seen + found);
        self.seen = next.unwrap_or(rest.len());
        if length > input.limit() {
            self.state = State::Bad(Fault::Text);
            return Some(None);
        }
        if self.seen > input.limit() {
            // So much white space confirms the text as well as a newline does; it need not be kept.
            return Some(Some(self.hand_out(input, length, self.seen)));
        }
        match next.map(|next| rest[next]) {
            Some(b'\n') => Some(Some(self.hand_out(input, length, self.seen + 1))),
            Some(SEPARATOR) => Some(Some(self.hand_out(input, length, self.seen))),
            None if input.has_ended() => Some(Some(self.hand_out(input, length, self.seen))),
            None => None,
            Some(_) => {
                self.state = State::Bad(Fault::Text);
                Some(None)
            }
        }
    }

    fn bad(&mut self, input: &mut Buffer, fault: Fault) -> Option<Option<Found>> {
        let rest = input.rest();
        let separator = memchr(SEPARATOR, &rest[self.seen..]).map(|found| self.seen + found);
        self.seen = separator.unwrap_or(rest.len());
        let end = self.seen;
        let is_over = separator.is_some() || input.has_ended();
        let then = match is_over {
            true => State::Between,
            false => State::Bad(Fault::Reported),
        };
        match fault {
            Fault::Reported => {
                input.consume(end);
                self.begin(then);
                is_over.then_some(None)
            }
            _ if end > input.limit() => {
                let error = too_long(input.limit());
                Some(Some(self.report(input, end, then, error)))
            }
            _ if !is_over => None,
            Fault::Stray => Some(Some(self.report(input, end, then, stray()))),
            Fault::Text => {
                let length = trimmed_len(&rest[..end]);
                Some(Some(self.hand_out(input, length, end)))
            }
        }
    }

    /// Hands out `length` bytes of the `end` bytes that this record takes up.
    fn hand_out(&mut self, input: &mut Buffer, length: usize, end: usize) -> Found {
        let found = Found {
            place: input.here(),
            text: Text::Input(input.locate(0..length)),
        };
        input.consume(end);
        self.begin(State::Between);
        found
    }

    fn report(&mut self, input: &mut Buffer, end: usize, then: State, error: Error) -> Found {
        let found = Found {
            place: input.here(),
            text: Text::Bad(error),
        };
        input.consume(end);
        self.begin(then);
        found
    }

    fn begin(&mut self, state: State) {
        self.state = state;
        self.scanner.restart();
        self.seen = 0;
    }
}

fn unconfirmed() -> Error {
    let message =
        "the number or name may be incomplete: no white space follows it before the record ends";
    Error::new(ErrorKind::Usage, message)
        .hint("end every text of a JSON sequence with a newline, as RFC 7464 asks")
}

fn stray() -> Error {
    let message = "the text has no record separator (the byte 0x1e) before it";
    Error::new(ErrorKind::Usage, message).hint(
        "put one before every text of a JSON sequence, or read the input with --in jsonl or --in json",
    )
}
