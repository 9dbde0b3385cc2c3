//! `Pool::export`: what is retained, as an archive.

use std::io::Write;

use super::format::{Header, HeaderLine, Seal, TrailerLine, VERSION, line};
use crate::api::walk::Walk;
use crate::api::{Bounds, Pool};
use crate::{Error, ErrorKind, Result};

/// The archive is handed on in pieces of whole lines and about so many bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// What was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// How many messages the archive holds.
    pub messages: u64,
    /// The seqs of the first and the last of them.
    pub bounds: Bounds,
    /// The size of the archive in bytes.
    pub bytes: u64,
}

impl Pool {
    /// Writes an archive of the pool to `out`: every message from the oldest to the one that is newest now, as JSON
    /// Lines (section *Archives* of `spec/v0`). Whole lines are written at a time. `progress` is told after each message
    /// how many have been done.
    ///
    /// Takes no lock. An archive without its last line is one of an export that failed, and no import accepts it.
    ///
    /// # Errors
    ///
    /// `RetentionGap` if writers overwrite a message before it could be read; `Corrupt` if one is damaged; `NotFound`
    /// once the pool was deleted; `Io` if `out` cannot be written.
    pub fn export(&self, out: &mut impl Write, progress: impl FnMut(u64)) -> Result<Exported> {
        let mut progress = progress;
        let info = self.info()?;
        let mut writer = ArchiveWriter::new(out);
        writer.line(|buffer| {
            buffer.extend(line(&HeaderLine {
                archive: Header {
                    format: "plasmite",
                    version: VERSION,
                    file_size: info.file_size,
                    index_capacity: info.index_capacity,
                    created: info.created,
                },
            }));
        })?;
        let mut bounds = Bounds::default();
        let mut done = 0;
        Walk::default().go_on(self, |message| {
            writer.line(|buffer| {
                message.write_envelope(buffer);
                buffer.push(b'\n');
            })?;
            bounds.oldest.get_or_insert(message.seq());
            bounds.newest = Some(message.seq());
            done += 1;
            progress(done);
            Ok(())
        })?;
        writer.finish(bounds)
    }
}

struct ArchiveWriter<'a, W> {
    out: &'a mut W,
    seal: Seal,
    /// Whole lines that are still to be written.
    buffer: Vec<u8>,
    written: u64,
}

impl<W: Write> ArchiveWriter<'_, W> {
    fn new(out: &mut W) -> ArchiveWriter<'_, W> {
        ArchiveWriter {
            out,
            seal: Seal::default(),
            buffer: Vec::new(),
            written: 0,
        }
    }

    /// Adds the line that `fill` appends to the buffer.
    fn line(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let start = self.buffer.len();
        fill(&mut self.buffer);
        self.seal.add(&self.buffer[start..]);
        match self.buffer.len() < PIECE_BYTES {
            true => Ok(()),
            false => self.write(),
        }
    }

    fn write(&mut self) -> Result<()> {
        self.out.write_all(&self.buffer).map_err(unwritten)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self, bounds: Bounds) -> Result<Exported> {
        let trailer = std::mem::take(&mut self.seal).trailer();
        let messages = trailer.messages;
        self.buffer.extend(line(&TrailerLine {
            archive_end: trailer,
        }));
        self.write()?;
        self.out.flush().map_err(unwritten)?;
        Ok(Exported {
            messages,
            bounds,
            bytes: self.written,
        })
    }
}

fn unwritten(cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "the archive cannot be written")
        .hint("check the space where it goes, and export again")
        .caused_by(cause)
}
