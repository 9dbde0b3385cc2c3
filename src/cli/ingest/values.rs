//! JSON values one after another, each over as many lines as it likes.

use memchr::{memchr, memrchr};

use super::buffer::{Buffer, trimmed_len};
use super::scan::{Scan, Scanner};
use super::{Found, Text, too_long};

pub(super) struct Values {
    state: State,
    scanner: Scanner,
    /// How many bytes of `rest` have been looked at.
    seen: usize,
}

#[derive(Clone, Copy)]
enum State {
    /// Before or within a value.
    Value,
    /// Within a value that is too long and was reported.
    Discarding { at_line_start: bool },
    /// Within a bad record, which goes on to a boundary.
    Bad { boundary: Boundary, reported: bool },
}

/// Where the next record may begin after a bad one.
#[derive(Clone, Copy)]
enum Boundary {
    /// At the next line: what is bad stands outside of any array or object.
    AnyLine,
    /// At the next line that begins with an opening bracket.
    BracketLine,
}

impl Values {
    pub(super) fn new() -> Values {
        Values {
            state: State::Value,
            scanner: Scanner::new(),
            seen: 0,
        }
    }

    pub(super) fn next(&mut self, input: &mut Buffer) -> Option<Found> {
        loop {
            let found = match self.state {
                State::Value => self.value(input)?,
                State::Discarding { at_line_start } => self.discard(input, at_line_start)?,
                State::Bad { boundary, reported } => self.bad(input, boundary, reported)?,
            };
            if found.is_some() {
                return found;
            }
        }
    }

    /// `None`: more input is needed. `Some(None)`: another state has more to say.
    fn value(&mut self, input: &mut Buffer) -> Option<Option<Found>> {
        if self.seen == 0 && !input.skip_space() {
            return None;
        }
        // One byte more than a record may have tells that it is too long, and ends a number that is not.
        let window = input.limit().saturating_add(1).min(input.rest().len());
        let text = &input.rest()[..window];
        let mut scan = self.scanner.scan(text, self.seen);
        if scan == Scan::More && input.has_ended() && window <= input.limit() {
            scan = self.scanner.finish(text);
        }
        match scan {
            Scan::End(end) if end <= input.limit() => Some(Some(self.hand_out(input, end, end))),
            Scan::Wrong(at) => {
                self.give_up(input, at);
                Some(None)
            }
            Scan::More if window <= input.limit() && input.has_ended() => {
                let length = trimmed_len(text);
                Some(Some(self.hand_out(input, length, window)))
            }
            Scan::More if window <= input.limit() => {
                self.seen = window;
                None
            }
            Scan::End(end) => Some(Some(self.report_end(input, end))),
            Scan::More => {
                let at_line_start = text.ends_with(b"\n");
                let then = State::Discarding { at_line_start };
                Some(Some(self.report(input, window, then)))
            }
        }
    }

    fn discard(&mut self, input: &mut Buffer, at_line_start: bool) -> Option<Option<Found>> {
        let rest = input.rest();
        match self.scanner.scan(rest, 0) {
            Scan::More => {
                let at_line_start = rest.last().map_or(at_line_start, |last| *last == b'\n');
                self.state = State::Discarding { at_line_start };
                input.consume(rest.len());
                return None;
            }
            Scan::End(end) => {
                input.consume(end);
                self.begin();
            }
            Scan::Wrong(at) => {
                let at_line_start = match at {
                    0 => at_line_start,
                    _ => rest[at - 1] == b'\n',
                };
                let is_boundary = at_line_start && matches!(rest[at], b'{' | b'[');
                input.consume(at);
                self.skip_or_begin(is_boundary);
            }
        }
        Some(None)
    }

    /// Goes on after a reported record, at a boundary or on the way to one.
    fn skip_or_begin(&mut self, is_boundary: bool) {
        if is_boundary {
            return self.begin();
        }
        self.seen = 0;
        self.state = State::Bad {
            boundary: self.boundary(),
            reported: true,
        };
    }

    fn bad(
        &mut self,
        input: &mut Buffer,
        boundary: Boundary,
        reported: bool,
    ) -> Option<Option<Found>> {
        let end = self.find(input, boundary);
        match end {
            Some(end) if reported => {
                input.consume(end);
                self.begin();
                Some(None)
            }
            Some(end) if end <= input.limit() => {
                let length = trimmed_len(&input.rest()[..end]);
                Some(Some(self.hand_out(input, length, end)))
            }
            Some(end) => Some(Some(self.report_end(input, end))),
            None if reported => {
                input.consume(self.seen);
                self.seen = 0;
                None
            }
            None if input.rest().len() > input.limit() => {
                let reported = State::Bad {
                    boundary,
                    reported: true,
                };
                Some(Some(self.report(input, self.seen, reported)))
            }
            None => None,
        }
    }

    /// Looks for the boundary from `seen` on, which never passes a newline whose next byte has not come.
    fn find(&mut self, input: &Buffer, boundary: Boundary) -> Option<usize> {
        let rest = input.rest();
        while let Some(found) = memchr(b'\n', &rest[self.seen..]) {
            let newline = self.seen + found;
            match (boundary, rest.get(newline + 1)) {
                (Boundary::AnyLine, _) | (_, Some(b'{' | b'[')) => return Some(newline + 1),
                (_, Some(_)) => self.seen = newline + 1,
                (_, None) => {
                    self.seen = newline;
                    return input.has_ended().then_some(rest.len());
                }
            }
        }
        self.seen = rest.len();
        input.has_ended().then_some(rest.len())
    }

    /// The record is bad because of the byte at `at`. If that byte's line looks like the beginning of
    /// another record, it is one: this record was cut off before it.
    fn give_up(&mut self, input: &mut Buffer, at: usize) {
        let boundary = self.boundary();
        let newline = memrchr(b'\n', &input.rest()[..at]);
        self.seen = match (boundary, newline) {
            (Boundary::BracketLine, Some(newline)) => newline,
            _ => at,
        };
        self.state = State::Bad {
            boundary,
            reported: false,
        };
    }

    fn boundary(&self) -> Boundary {
        match self.scanner.is_at_top() {
            true => Boundary::AnyLine,
            false => Boundary::BracketLine,
        }
    }

    /// Hands out `length` bytes of the `end` bytes that this record takes up.
    fn hand_out(&mut self, input: &mut Buffer, length: usize, end: usize) -> Found {
        let found = Found {
            place: input.here(),
            text: Text::Input(input.locate(0..length)),
        };
        input.consume(end);
        self.begin();
        found
    }

    /// Reports a record that is too long, of which `count` bytes were seen.
    fn report(&mut self, input: &mut Buffer, count: usize, then: State) -> Found {
        let place = input.here();
        input.consume(count);
        self.seen = 0;
        self.state = then;
        self.scanner.behead();
        Found {
            place,
            text: Text::Bad(too_long(input.limit())),
        }
    }

    fn report_end(&mut self, input: &mut Buffer, end: usize) -> Found {
        let found = self.report(input, end, State::Value);
        self.begin();
        found
    }

    fn begin(&mut self) {
        self.state = State::Value;
        self.scanner.restart();
        self.seen = 0;
    }
}
