//! Messages that vouch for themselves: all of their content follows from who wrote them and how many came before.

use std::fmt::Write;

use plasmite::Message;
use serde::Deserialize;

/// Digits of noise in one chunk.
const CHUNK: usize = 16;

/// Who wrote a message, and which of theirs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Identity {
    /// The number of the writer process; every restart gets a new one.
    pub(crate) writer: u32,
    /// How many messages that process had begun before.
    pub(crate) count: u32,
    /// Which message of its batch it is, from 0 on.
    pub(crate) part: u8,
    /// How many messages the batch has.
    pub(crate) parts: u8,
}

impl Identity {
    /// The data of this message: JSON text of 8 to 24 KiB, 16 KiB on average.
    ///
    /// The sizes differ because equal ones would hide a writer that leaves torn bytes behind its successor's frame.
    pub(crate) fn write_data(self, text: &mut String) {
        let Identity {
            writer,
            count,
            part,
            parts,
        } = self;
        text.clear();
        let written = write!(
            text,
            "{{\"writer\":{writer},\"count\":{count},\"part\":{part},\"parts\":{parts},\"noise\":\""
        );
        assert!(written.is_ok());
        let seed = mix(u64::from(writer) << 32 | u64::from(count));
        for chunk in 0..512 + seed % 1024 {
            text.push_str(std::str::from_utf8(&hex(mix(seed ^ chunk))).unwrap_or_default());
        }
        text.push_str("\"}");
    }

    /// The only tag of this message.
    pub(crate) fn tag(self) -> String {
        format!("writer-{}", self.writer)
    }
}

/// Checks messages, in a buffer of its own.
#[derive(Default)]
pub(crate) struct Inspector {
    expected: String,
}

impl Inspector {
    /// The identity of a message, if all of its content follows from it.
    pub(crate) fn inspect(&mut self, message: &Message) -> Result<Identity, String> {
        let seq = message.seq();
        let identity: Identity = message
            .decode()
            .map_err(|error| format!("message {seq} is not one of ours: {error}"))?;
        identity.write_data(&mut self.expected);
        if self.expected != message.data_json() {
            return Err(format!("message {seq} is a mix: it says {identity:?}"));
        }
        if message.tags() != [identity.tag()] {
            return Err(format!("message {seq} has the tags of another"));
        }
        Ok(identity)
    }
}

/// A bijection that leaves no pattern (the finaliser of splitmix64).
pub(crate) fn mix(number: u64) -> u64 {
    let mut n = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

fn hex(number: u64) -> [u8; CHUNK] {
    let mut digits = [0; CHUNK];
    for (i, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * i) & 15) as usize];
    }
    digits
}
