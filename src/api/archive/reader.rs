//! Reads an archive line by line, and believes none before its last line has vouched for it.

use std::io::{BufRead, BufReader, Read};
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::format::{
    BLOCK_LINES, HEADER_START, HeaderLine, Seal, TRAILER_START, TrailerLine, VERSION, line,
};
use crate::api::{Batch, Timestamp};
use crate::core::geometry::Geometry;
use crate::{Error, ErrorKind, Result, wire};

const BUFFER_BYTES: usize = 256 * 1024;
/// The most that a header line takes, in bytes.
const HEADER_LINE: u64 = 1024;
/// What an envelope takes beside its tags and data, or a trailer beside its checksums; at most, in bytes.
const LINE_OVERHEAD: u64 = 512;
/// What a checksum takes in a trailer; at most, in bytes.
const CRC_TEXT: u64 = 11;

/// What an envelope says beside tags and data.
pub(super) struct Envelope {
    pub(super) seq: u64,
    pub(super) time: Timestamp,
}

/// An archive that is read from `R`.
pub(super) struct ArchiveReader<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    /// Which line that is, from 1 on, and at which bytes of the input.
    number: u64,
    span: Range<u64>,
    seal: Seal,
    /// Where each block of lines begins.
    blocks: Vec<u64>,
    file_size: u64,
    index_capacity: u64,
    created: Timestamp,
    /// The longest line that the exported pool could give, in bytes.
    longest: u64,
    seq: u64,
    time: Timestamp,
    /// The envelope as it would be written.
    written: Vec<u8>,
}

#[derive(Deserialize)]
struct EnvelopeLine<'a> {
    seq: u64,
    time: Timestamp,
    #[serde(borrow)]
    meta: Meta<'a>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow)]
    tags: &'a RawValue,
}

impl<R: Read> ArchiveReader<R> {
    /// Reads the first line.
    pub(super) fn open(input: R) -> Result<ArchiveReader<R>> {
        let mut reader = ArchiveReader {
            input: BufReader::with_capacity(BUFFER_BYTES, input),
            line: Vec::new(),
            number: 0,
            span: 0..0,
            seal: Seal::default(),
            blocks: Vec::new(),
            file_size: 0,
            index_capacity: 0,
            created: Timestamp::default(),
            longest: HEADER_LINE,
            seq: 0,
            time: Timestamp::default(),
            written: Vec::new(),
        };
        reader.read_line()?;
        reader.take_header()?;
        reader.count();
        Ok(reader)
    }

    /// The size of the pool that was exported, in bytes.
    pub(super) fn file_size(&self) -> u64 {
        self.file_size
    }

    /// How many index slots it had.
    pub(super) fn index_capacity(&self) -> u64 {
        self.index_capacity
    }

    /// When it was created.
    pub(super) fn created(&self) -> Timestamp {
        self.created
    }

    /// The next message: its tags and data alone in `into`. Nothing once the last line was read and all is as it says.
    pub(super) fn next(&mut self, into: &mut Batch) -> Result<Option<Envelope>> {
        let crcs = CRC_TEXT * (self.seal.lines() / BLOCK_LINES + 1);
        self.read_line_up_to(self.longest.max(crcs + LINE_OVERHEAD))?;
        if !self.line.ends_with(b"\n") {
            return Err(self.cut());
        }
        if self.line.starts_with(TRAILER_START) {
            self.check_trailer()?;
            return Ok(None);
        }
        let envelope = self.take_message(into)?;
        self.count();
        Ok(Some(envelope))
    }

    fn take_header(&mut self) -> Result<()> {
        if !self.line.starts_with(HEADER_START) {
            return Err(no_archive());
        }
        if !self.line.ends_with(b"\n") {
            return Err(self.cut());
        }
        let no_header = |cause| self.damaged("is no header of an archive").caused_by(cause);
        let version = serde_json::from_slice::<AnyHeaderLine>(&self.line)
            .map_err(no_header)?
            .archive
            .version;
        if version != u64::from(VERSION) {
            return Err(other_version(version));
        }
        let header = serde_json::from_slice::<HeaderLine<'_>>(&self.line).map_err(no_header)?;
        if self.line != line(&header) {
            return Err(self.damaged("is no header as an archive has it"));
        }
        let (file_size, slots) = (header.archive.file_size, header.archive.index_capacity);
        let geometry = Geometry::for_file(file_size, Some(slots))
            .map_err(|error| self.damaged("describes no possible pool").caused_by(error))?;
        (self.file_size, self.index_capacity) = (file_size, slots);
        (self.created, self.time) = (header.archive.created, header.archive.created);
        self.longest = geometry.max_batch().saturating_add(LINE_OVERHEAD);
        Ok(())
    }

    fn take_message(&mut self, into: &mut Batch) -> Result<Envelope> {
        into.clear();
        let parsed: Result<EnvelopeLine<'_>, _> = serde_json::from_slice(&self.line);
        let EnvelopeLine {
            seq,
            time,
            meta,
            data,
        } = parsed.map_err(|cause| self.damaged("is no envelope of a message").caused_by(cause))?;
        into.push_stored(meta.tags.get(), data.get())
            .map_err(|error| self.damaged("is no envelope of a message").caused_by(error))?;
        // What will be stored has to come out as the line that went in, or an export of it would be another archive.
        self.written.clear();
        for (tags, data) in into.texts() {
            wire::write_envelope(seq, time, tags, data, &mut self.written);
        }
        self.written.push(b'\n');
        if self.written != self.line {
            return Err(self.damaged("is no envelope as an archive holds it"));
        }
        if seq <= self.seq || seq == u64::MAX {
            let what = format!("has seq {seq}, which cannot follow seq {}", self.seq);
            return Err(self.damaged(&what).seq(seq));
        }
        if time < self.time {
            let what = format!(
                "has the time {time}, before the {} of what is above it",
                self.time
            );
            return Err(self.damaged(&what).seq(seq));
        }
        (self.seq, self.time) = (seq, time);
        Ok(Envelope { seq, time })
    }

    /// Counts the line in among those that the last one has to vouch for.
    fn count(&mut self) {
        if self.seal.lines().is_multiple_of(BLOCK_LINES) {
            self.blocks.push(self.span.start);
        }
        self.seal.add(&self.line);
    }

    fn check_trailer(&mut self) -> Result<()> {
        let said = serde_json::from_slice::<TrailerLine>(&self.line)
            .map_err(|cause| {
                self.damaged("is no last line of an archive")
                    .caused_by(cause)
            })?
            .archive_end;
        let lines = self.seal.lines();
        let found = std::mem::take(&mut self.seal).trailer();
        let differs = |(said, found): (&u32, &u32)| said != found;
        let crcs = said.crc32c.iter().zip(&found.crc32c);
        if let Some(block) = crcs.into_iter().position(differs) {
            return Err(self.altered_block(block, lines));
        }
        if said.messages != found.messages || said.crc32c.len() != found.crc32c.len() {
            let what = format!(
                "counts {} messages, and there are {} above it",
                said.messages, found.messages
            );
            return Err(self.damaged(&what));
        }
        if said != found {
            return Err(self.damaged("does not match the SHA-256 of the lines above it"));
        }
        if self.line != line(&TrailerLine { archive_end: found }) {
            return Err(self.damaged("is no last line as an archive has it"));
        }
        self.longest = 0;
        self.read_line()?;
        match self.line.is_empty() {
            true => Ok(()),
            false => Err(self.damaged("comes after the archive's last line")),
        }
    }

    fn altered_block(&self, block: usize, lines: u64) -> Error {
        let first = block as u64 * BLOCK_LINES + 1;
        let last = (first + BLOCK_LINES - 1).min(lines);
        let message = format!("the archive was altered somewhere in its lines {first} to {last}");
        Error::new(ErrorKind::Corrupt, message)
            .hint(DAMAGED_HINT)
            .offset(self.blocks.get(block).copied().unwrap_or(0))
    }

    fn read_line(&mut self) -> Result<()> {
        self.read_line_up_to(self.longest)
    }

    /// Reads a line with its line feed; less at the end of the input. One that is longer than can be is not read on.
    fn read_line_up_to(&mut self, longest: u64) -> Result<()> {
        self.line.clear();
        self.number += 1;
        let limit = longest.saturating_add(1);
        let read = (&mut self.input)
            .take(limit)
            .read_until(b'\n', &mut self.line)
            .map_err(unreadable)? as u64;
        self.span = self.span.end..self.span.end + read;
        if read == limit && longest > 0 && !self.line.ends_with(b"\n") && self.number > 1 {
            return Err(self.damaged("is longer than any message that the pool could hold"));
        }
        Ok(())
    }

    fn cut(&self) -> Error {
        let message = match self.line.is_empty() {
            true => format!("the archive is cut off behind line {}", self.number - 1),
            false => format!("the archive is cut off in line {}", self.number),
        };
        Error::new(ErrorKind::Corrupt, message)
            .hint(DAMAGED_HINT)
            .offset(self.span.start)
    }

    fn damaged(&self, what: &str) -> Error {
        let message = format!("line {} of the archive {what}", self.number);
        Error::new(ErrorKind::Corrupt, message)
            .hint(DAMAGED_HINT)
            .offset(self.span.start)
    }
}

const DAMAGED_HINT: &str = "take another copy of the archive, or export the pool again";

/// The header of an archive of any version.
#[derive(Deserialize)]
struct AnyHeaderLine {
    archive: AnyHeader,
}

#[derive(Deserialize)]
struct AnyHeader {
    version: u64,
}

#[cold]
fn no_archive() -> Error {
    Error::new(
        ErrorKind::Usage,
        "this is no archive: its first line is not the header of one",
    )
    .hint("name a file that `plasmite pool export` wrote; `plasmite feed` takes other JSON")
    .offset(0)
}

#[cold]
fn other_version(found: u64) -> Error {
    let message =
        format!("this archive is of version {found}, and this program reads version {VERSION}");
    Error::new(ErrorKind::Usage, message)
        .hint("import it with the version of plasmite that exported it, or a newer one")
        .offset(0)
}

#[cold]
fn unreadable(cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "the archive cannot be read")
        .hint("check that it is a file, and the disk that it is on")
        .caused_by(cause)
}
