//! The bytes that have come and have not been handed out yet.

use std::ops::Range;

use memchr::{memchr_iter, memrchr};

/// What may stand around a record on its line, as in `data: `, and not count.
pub(super) const FRAMING: usize = b"data: \r".len();

pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// Bytes before this one were handed out.
    start: usize,
    /// Where the first byte stands in the stream.
    base: u64,
    /// White space that was dropped: before which of the bytes it stood, and how much.
    dropped: (usize, u64),
    /// The line in which `start` is.
    line: u64,
    /// Where in the stream that line begins.
    line_start: u64,
    ended: bool,
    /// The longest record, in bytes.
    limit: usize,
}

/// A place in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: u64,
    /// The place within the line, in bytes, from 1.
    pub column: u64,
    /// The place within the stream, in bytes, from 0.
    pub offset: u64,
}

impl Buffer {
    pub(super) fn new(limit: usize) -> Buffer {
        Buffer {
            bytes: Vec::new(),
            start: 0,
            base: 0,
            dropped: (0, 0),
            line: 1,
            line_start: 0,
            ended: false,
            limit,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Where the next byte stands.
    pub(super) fn here(&self) -> Place {
        self.place(0)
    }

    /// Where the byte at `at` of `rest` stands, which is on the same line as the first.
    pub(super) fn place(&self, at: usize) -> Place {
        let offset = self.base + (self.start + at) as u64;
        Place {
            line: self.line,
            column: offset - self.line_start + 1,
            offset,
        }
    }

    /// What has not been handed out.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Gives up the next `count` bytes. They stay where they are until the next `push`.
    pub(super) fn consume(&mut self, count: usize) {
        let given_up = &self.bytes[self.start..self.start + count];
        let lines = memchr_iter(b'\n', given_up).count() as u64;
        let last = memrchr(b'\n', given_up).map(|last| self.start + last);
        self.go_on(count);
        self.line += lines;
        if let Some(last) = last {
            self.line_start = self.base + last as u64 + 1;
        }
    }

    /// As `consume`, for bytes of which the last and no other is a newline.
    pub(super) fn consume_line(&mut self, count: usize) {
        self.go_on(count);
        self.line += 1;
        self.line_start = self.base + self.start as u64;
    }

    fn go_on(&mut self, count: usize) {
        self.start += count;
        if self.start >= self.dropped.0 {
            self.base += std::mem::take(&mut self.dropped.1);
        }
    }

    /// Drops what follows the next `count` bytes, which is white space of the same line.
    pub(super) fn drop_after(&mut self, count: usize) {
        let end = self.start + count;
        self.dropped = (end, self.dropped.1 + (self.bytes.len() - end) as u64);
        self.bytes.truncate(end);
    }

    /// Gives up white space, and says whether anything else follows.
    pub(super) fn skip_space(&mut self) -> bool {
        let rest = self.rest();
        let count = rest
            .iter()
            .position(|byte| !is_space(*byte))
            .unwrap_or(rest.len());
        self.consume(count);
        self.start < self.bytes.len()
    }

    /// A part of `rest` in terms that outlive `consume`.
    pub(super) fn locate(&self, part: Range<usize>) -> Range<usize> {
        self.start + part.start..self.start + part.end
    }

    pub(super) fn get(&self, located: Range<usize>) -> &[u8] {
        &self.bytes[located]
    }

    /// Makes room for `count` bytes more.
    ///
    /// What is moved is at most what was handed out since the last move, or else a record's beginning,
    /// which is moved once: so all moves together are linear in the stream. Up to the limit the room
    /// doubles, but not beyond it: a caller that takes all records before it pushes again never makes
    /// the buffer outgrow the limit and one push.
    fn make_room(&mut self, count: usize) {
        let left = self.bytes.len() - self.start;
        let fits = self.bytes.capacity() - self.bytes.len() >= count;
        if self.start >= left || !fits {
            self.bytes.drain(..self.start);
            self.base += self.start as u64;
            self.dropped.0 = self.dropped.0.saturating_sub(self.start);
            self.start = 0;
        }
        let needed = left + count;
        if needed <= self.bytes.capacity() {
            return;
        }
        let enough = self.limit.saturating_add(FRAMING).saturating_add(count);
        let room = match needed <= enough {
            true => (2 * self.bytes.capacity()).clamp(needed, enough),
            false => needed.saturating_mul(2),
        };
        self.bytes.reserve_exact(room - self.bytes.len());
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// White space, as JSON has it.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// How many bytes of `text` there are before the white space at its end.
pub(super) fn trimmed_len(text: &[u8]) -> usize {
    text.iter()
        .rposition(|byte| !is_space(*byte))
        .map_or(0, |last| last + 1)
}
