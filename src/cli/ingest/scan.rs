//! Finds where a JSON value ends, or where it can no longer become one, however it is cut into pieces.
//!
//! It knows how tokens follow one another, and that a string holds no newline. It leaves the rest (escapes,
//! control characters, UTF-8, depth) to the core: what it refuses is no JSON, what it accepts may still not be.

use memchr::memchr3;
use serde::de::IgnoredAny;

use super::buffer::is_space;

pub(super) struct Scanner {
    /// The brackets that are open.
    open: Vec<u8>,
    expect: Expect,
    token: Token,
    /// The beginning is gone, so that numbers and names can no longer be checked.
    headless: bool,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Value,
    ItemOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
}

/// The token within which the text seen so far ends.
#[derive(Clone, Copy)]
enum Token {
    None,
    String,
    Escape,
    /// A number, `true`, `false`, `null`, or what is none of them, with its offset in the record.
    Bare(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scan {
    /// The value is not complete.
    More,
    /// The value ends before this offset.
    End(usize),
    /// The byte, or the bare word, at this offset cannot follow what is before it.
    Wrong(usize),
}

impl Scanner {
    pub(super) fn new() -> Scanner {
        Scanner {
            open: Vec::new(),
            expect: Expect::Value,
            token: Token::None,
            headless: false,
        }
    }

    pub(super) fn restart(&mut self) {
        self.open.clear();
        self.expect = Expect::Value;
        self.token = Token::None;
        self.headless = false;
    }

    /// Goes on although the bytes so far are discarded; offsets count from what comes next.
    pub(super) fn behead(&mut self) {
        self.headless = true;
    }

    /// Whether the value, so far as seen, is neither array nor object.
    pub(super) fn is_at_top(&self) -> bool {
        self.open.is_empty()
    }

    /// The record's text ends here: the bare word at its end, if any, is complete.
    pub(super) fn finish(&mut self, text: &[u8]) -> Scan {
        match self.token {
            Token::Bare(start) if self.open.is_empty() => self.end_bare(text, start, text.len()),
            _ => Scan::More,
        }
    }

    /// Goes on at `at` in `text`, which is the record from its beginning.
    pub(super) fn scan(&mut self, text: &[u8], mut at: usize) -> Scan {
        while at < text.len() {
            let step = match self.token {
                Token::None => self.structure(text[at], at),
                Token::String => self.string(text, at),
                Token::Escape if text[at] == b'\n' => return Scan::Wrong(at),
                Token::Escape => {
                    self.token = Token::String;
                    Step::To(at + 1)
                }
                Token::Bare(start) => self.bare(text, start, at),
            };
            match step {
                Step::To(next) => at = next,
                Step::Out(scan) => return scan,
            }
        }
        Scan::More
    }

    fn structure(&mut self, byte: u8, at: usize) -> Step {
        use Expect::{Colon, CommaOrEnd, ItemOrEnd, Key, KeyOrEnd, Value};
        let innermost = self.open.last().copied();
        match (byte, self.expect) {
            (b' ' | b'\t' | b'\n' | b'\r', _) => Step::To(at + 1),
            (b'{', Value | ItemOrEnd) => self.begin(byte, KeyOrEnd, at),
            (b'[', Value | ItemOrEnd) => self.begin(byte, ItemOrEnd, at),
            (b'}', KeyOrEnd) => self.end(at),
            (b'}', CommaOrEnd) if innermost == Some(b'{') => self.end(at),
            (b']', ItemOrEnd) => self.end(at),
            (b']', CommaOrEnd) if innermost == Some(b'[') => self.end(at),
            (b',', CommaOrEnd) => {
                self.expect = if innermost == Some(b'{') { Key } else { Value };
                Step::To(at + 1)
            }
            (b':', Colon) => {
                self.expect = Value;
                Step::To(at + 1)
            }
            (b'"', Value | ItemOrEnd | Key | KeyOrEnd) => {
                self.token = Token::String;
                Step::To(at + 1)
            }
            (_, Value | ItemOrEnd) if !is_delimiter(byte) => {
                self.token = Token::Bare(at);
                Step::To(at + 1)
            }
            _ => Step::Out(Scan::Wrong(at)),
        }
    }

    fn begin(&mut self, bracket: u8, expect: Expect, at: usize) -> Step {
        self.open.push(bracket);
        self.expect = expect;
        Step::To(at + 1)
    }

    fn end(&mut self, at: usize) -> Step {
        self.open.pop();
        self.after_value(at + 1)
    }

    fn after_value(&mut self, end: usize) -> Step {
        self.token = Token::None;
        self.expect = Expect::CommaOrEnd;
        match self.open.is_empty() {
            true => Step::Out(Scan::End(end)),
            false => Step::To(end),
        }
    }

    fn string(&mut self, text: &[u8], at: usize) -> Step {
        let Some(found) = memchr3(b'"', b'\\', b'\n', &text[at..]) else {
            return Step::To(text.len());
        };
        let at = at + found;
        match text[at] {
            b'\\' => {
                self.token = Token::Escape;
                Step::To(at + 1)
            }
            b'\n' => Step::Out(Scan::Wrong(at)),
            _ if matches!(self.expect, Expect::Key | Expect::KeyOrEnd) => {
                self.token = Token::None;
                self.expect = Expect::Colon;
                Step::To(at + 1)
            }
            _ => self.after_value(at + 1),
        }
    }

    fn bare(&mut self, text: &[u8], start: usize, at: usize) -> Step {
        match text[at..].iter().position(|byte| is_delimiter(*byte)) {
            None => Step::To(text.len()),
            Some(length) => match self.end_bare(text, start, at + length) {
                Scan::End(_) => self.after_value(at + length),
                wrong => Step::Out(wrong),
            },
        }
    }

    fn end_bare(&self, text: &[u8], start: usize, end: usize) -> Scan {
        match self.headless || serde_json::from_slice::<IgnoredAny>(&text[start..end]).is_ok() {
            true => Scan::End(end),
            false => Scan::Wrong(start),
        }
    }
}

enum Step {
    To(usize),
    Out(Scan),
}

/// Whether `byte` ends a bare word.
fn is_delimiter(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b',' | b':' | b'[' | b']' | b'{' | b'}' | b'"')
}
