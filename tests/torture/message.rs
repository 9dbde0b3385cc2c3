//! Messages that can be told from each other by every byte: their content follows from who wrote them and which it is.

use std::fmt::Write;
use std::hash::Hasher;

use plasmite::Message;
use plasmite::core::geometry::frame_size;
use serde::Deserialize;

use crate::random::mix;

/// Digits of noise in one chunk.
const CHUNK: usize = 16;
/// Chunks of the longest message.
const MOST_CHUNKS: u64 = 1024;

/// Who wrote a message, and which of theirs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct Identity {
    /// The number of the writer process; every restart gets a new one.
    pub(crate) writer: u32,
    /// How many batches that process had begun before.
    pub(crate) batch: u32,
    /// Which message of its batch it is, from 0 on.
    pub(crate) part: u8,
}

impl Identity {
    /// The data of this message: JSON text of a few bytes to 16 KiB.
    ///
    /// The sizes differ because equal ones would hide a writer that leaves torn bytes behind its successor's frame.
    pub(crate) fn write_data(self, text: &mut String) {
        let Identity {
            writer,
            batch,
            part,
        } = self;
        text.clear();
        let written = write!(
            text,
            "{{\"writer\":{writer},\"batch\":{batch},\"part\":{part},\"noise\":\""
        );
        assert!(written.is_ok());
        let seed = mix(u64::from(writer) << 40 | u64::from(batch) << 8 | u64::from(part));
        for chunk in 0..chunks(seed) {
            text.push_str(std::str::from_utf8(&hex(mix(seed ^ chunk))).unwrap_or_default());
        }
        text.push_str("\"}");
    }

    /// The only tag of this message.
    pub(crate) fn tag(self) -> String {
        format!("writer-{}", self.writer)
    }

    /// Who a message says it is.
    pub(crate) fn of(message: &Message) -> Result<Identity, String> {
        let seq = message.seq();
        message
            .decode()
            .map_err(|error| format!("message {seq} is not one of ours: {error}"))
    }
}

/// What tells a message from every other: its tags as a JSON array, and its data.
pub(crate) fn digest(tags: &str, data: &str) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(tags.as_bytes());
    hasher.write(data.as_bytes());
    hasher.finish()
}

/// The bytes of ring that a message takes.
pub(crate) fn frame_bytes(tags: &str, data: &str) -> u64 {
    frame_size(tags.len() as u64, data.len() as u64)
}

/// The most bytes of ring that any of these messages takes.
pub(crate) fn most_frame_bytes() -> u64 {
    frame_size(64, 128 + MOST_CHUNKS * CHUNK as u64)
}

/// One in four is short.
fn chunks(seed: u64) -> u64 {
    match seed % 4 {
        0 => seed >> 8 & 31,
        _ => 128 + (seed >> 8) % (MOST_CHUNKS - 128),
    }
}

fn hex(number: u64) -> [u8; CHUNK] {
    let mut digits = [0; CHUNK];
    for (i, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * i) & 15) as usize];
    }
    digits
}
