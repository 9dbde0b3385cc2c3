//! Finds out in one pass that text is JSON, and whether there is white space between its tokens.
//!
//! This is a filter and no judge: what it lets through is one JSON value by RFC 8259, nested at most [`MAX_DEPTH`] deep;
//! what it does not is looked at again by somebody slower, who says why. So only one kind of mistake could do harm, to
//! let through too much.

use super::{MAX_DEPTH, is_space};

/// What stands between the tokens of JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Between {
    /// Nothing.
    Nothing,
    /// White space, in one place at least.
    Space,
}

/// What is between the tokens of `text`, or `None` if it is not JSON in UTF-8, or is nested too deep.
pub(super) fn scan(text: &[u8]) -> Option<Between> {
    if !text.is_ascii() {
        str::from_utf8(text).ok()?;
    }
    let mut scan = Scan {
        text,
        at: 0,
        between: Between::Nothing,
    };
    let mut open = Open::default();
    loop {
        scan.value(&mut open)?;
        // What follows a value: a comma and the next one, or ends of what the value is in.
        while scan.is_behind_last(&mut open)? {
            if open.depth == 0 {
                return scan.end();
            }
        }
    }
}

/// The arrays and objects that are not complete yet.
#[derive(Default)]
struct Open {
    depth: usize,
    /// The lowest bit: the innermost one is an object. The next bit is for the one around it, and so on.
    objects: u128,
}

impl Open {
    fn enter(&mut self, is_object: bool) -> Option<()> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(is_object);
        Some(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
    }

    fn is_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

// One bit for each level.
const _: () = assert!(MAX_DEPTH <= 128);

/// Reads from left to right. Each method is called where the thing it is named after has to be, and is behind it then;
/// or says `None`, after which nothing more is read.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    between: Between,
}

impl Scan<'_> {
    /// A value; of an array or object that is not empty only the beginning, up to its first value.
    #[inline(always)]
    fn value(&mut self, open: &mut Open) -> Option<()> {
        loop {
            match self.token()? {
                b'"' => return self.string(),
                b't' => return self.word(b"rue"),
                b'f' => return self.word(b"alse"),
                b'n' => return self.word(b"ull"),
                b'-' => {
                    let digit = self.byte()?;
                    return self.number(digit);
                }
                digit @ b'0'..=b'9' => return self.number(digit),
                b'[' => open.enter(false)?,
                b'{' => open.enter(true)?,
                _ => return None,
            }
            // Both closing brackets are two behind the opening ones.
            let closing = self.text[self.at - 1] + 2;
            let next = self.token()?;
            if next == closing {
                open.leave();
                return Some(());
            }
            self.at -= 1;
            if open.is_object() {
                self.key()?;
            }
        }
    }

    /// After a value: whether it is the last one of what it is in, whose end is passed then. Else what comes next is
    /// another value.
    #[inline(always)]
    fn is_behind_last(&mut self, open: &mut Open) -> Option<bool> {
        if open.depth == 0 {
            return Some(true);
        }
        match (self.token()?, open.is_object()) {
            (b',', false) => return Some(false),
            (b',', true) => {
                self.key()?;
                return Some(false);
            }
            (b']', false) | (b'}', true) => {}
            _ => return None,
        }
        open.leave();
        Some(true)
    }

    /// The end of the text.
    fn end(&mut self) -> Option<Between> {
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return Some(self.between);
        }
        rest.iter().all(is_space).then_some(Between::Space)
    }

    #[inline(always)]
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.text.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// The first byte of a token.
    #[inline(always)]
    fn token(&mut self) -> Option<u8> {
        match self.byte()? {
            space @ ..=b' ' => self.token_after(space),
            byte => Some(byte),
        }
    }

    fn token_after(&mut self, mut byte: u8) -> Option<u8> {
        self.between = Between::Space;
        while is_space(&byte) {
            byte = self.byte()?;
        }
        Some(byte)
    }

    /// A key, and the colon.
    #[inline(always)]
    fn key(&mut self) -> Option<()> {
        if self.token()? != b'"' {
            return None;
        }
        self.string()?;
        (self.token()? == b':').then_some(())
    }

    #[inline(always)]
    fn word(&mut self, rest: &[u8]) -> Option<()> {
        let end = self.at + rest.len();
        (self.text.get(self.at..end)? == rest).then(|| self.at = end)
    }

    /// A string, behind its opening quote.
    #[inline(always)]
    fn string(&mut self) -> Option<()> {
        loop {
            let rest = self.text.get(self.at..)?;
            let plain = plain_bytes(rest);
            self.at += plain + 1;
            match rest.get(plain)? {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Option<()> {
        match self.byte()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    /// A number, behind its first digit.
    #[inline(always)]
    fn number(&mut self, first: u8) -> Option<()> {
        match first {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return None,
        }
        if self.is_next(b".") {
            self.some_digits()?;
        }
        if self.is_next(b"eE") {
            self.is_next(b"+-");
            self.some_digits()?;
        }
        Some(())
    }

    /// Whether one of these bytes comes next, which is passed then.
    #[inline(always)]
    fn is_next(&mut self, bytes: &[u8]) -> bool {
        let is_next = self
            .text
            .get(self.at)
            .is_some_and(|byte| bytes.contains(byte));
        self.at += usize::from(is_next);
        is_next
    }

    #[inline(always)]
    fn some_digits(&mut self) -> Option<()> {
        let is_digit = self.byte()?.is_ascii_digit();
        self.digits();
        is_digit.then_some(())
    }

    #[inline(always)]
    fn digits(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }
}

/// How many bytes there are before the first one that is not simply a part of a string: a quote, a backslash or a
/// control character.
#[inline(always)]
fn plain_bytes(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some((word, after)) = rest.split_first_chunk() {
        let found = not_plain(u64::from_le_bytes(*word));
        if found != 0 {
            return text.len() - rest.len() + found.trailing_zeros() as usize / 8;
        }
        rest = after;
    }
    let is_plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | ..b' ');
    text.len() - rest.len() + rest.iter().take_while(is_plain).count()
}

/// Marks the bytes of a word that end a run of plain ones, each by its highest bit. Only the lowest mark is to be relied
/// on: a borrow from a byte that is marked may mark those above it as well.
#[inline(always)]
fn not_plain(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let below = |word: u64, least: u8| word.wrapping_sub(ONES * u64::from(least)) & !word;
    let quotes = below(word ^ (ONES * u64::from(b'"')), 1);
    let backslashes = below(word ^ (ONES * u64::from(b'\\')), 1);
    (quotes | backslashes | below(word, b' ')) & HIGH
}
