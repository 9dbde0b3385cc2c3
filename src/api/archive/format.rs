//! The lines of an archive that are no messages, and the checksums over all of them. [ARCHIVE-1]

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::api::Timestamp;

/// The version of the format that this program writes, and the only one that it reads.
pub(super) const VERSION: u32 = 1;
/// So many lines share a checksum that says where an archive was altered. [ARCHIVE-5]
pub(super) const BLOCK_LINES: u64 = 1000;
/// How the first line of an archive begins, of any version.
pub(super) const HEADER_START: &[u8] = b"{\"archive\":{\"format\":\"plasmite\",";
/// How the last line of an archive begins. No envelope does.
pub(super) const TRAILER_START: &[u8] = b"{\"archive_end\":";

/// The first line: what to make the pool of.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderLine<'a> {
    #[serde(borrow)]
    pub(super) archive: Header<'a>,
}

/// What stands in a [`HeaderLine`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header<'a> {
    /// `plasmite`.
    pub(super) format: &'a str,
    pub(super) version: u32,
    pub(super) file_size: u64,
    pub(super) index_capacity: u64,
    /// When the pool was created, before which no message of it can be.
    pub(super) created: Timestamp,
}

/// The last line: what all lines before it come to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrailerLine {
    pub(super) archive_end: Trailer,
}

/// What stands in a [`TrailerLine`].
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trailer {
    pub(super) messages: u64,
    /// SHA-256 over all lines before this one, line feeds included, as 64 hexadecimal digits.
    pub(super) sha256: String,
    /// CRC32C over each block of [`BLOCK_LINES`] lines, the last of which may be shorter.
    pub(super) crc32c: Vec<u32>,
}

/// The checksums over the lines so far.
#[derive(Default)]
pub(super) struct Seal {
    sha: Sha256,
    lines: u64,
    crc: u32,
    blocks: Vec<u32>,
}

impl Seal {
    /// Counts in the next line, its line feed included.
    pub(super) fn add(&mut self, line: &[u8]) {
        self.sha.update(line);
        self.crc = crc32c::crc32c_append(self.crc, line);
        self.lines += 1;
        if self.lines.is_multiple_of(BLOCK_LINES) {
            self.blocks.push(self.crc);
            self.crc = 0;
        }
    }

    /// How many lines there were.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// What the last line has to say.
    pub(super) fn trailer(mut self) -> Trailer {
        if !self.lines.is_multiple_of(BLOCK_LINES) {
            self.blocks.push(self.crc);
        }
        let digest = self.sha.finalize();
        Trailer {
            messages: self.lines.saturating_sub(1),
            sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            crc32c: self.blocks,
        }
    }
}

/// A line of JSON with its line feed. The shapes here are plain numbers and text, which always have a JSON form.
pub(super) fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}
