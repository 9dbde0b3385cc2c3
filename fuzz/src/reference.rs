//! Frames, read by the tables of `spec/format` and by nothing of the product.

/// A frame header as the tables have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) position: u64,
    pub(crate) seq: u64,
    pub(crate) time: u64,
    pub(crate) tags_len: u32,
    pub(crate) data_len: u32,
    pub(crate) payload_crc: u32,
    pub(crate) link: u32,
    pub(crate) flags: u8,
}

/// Bytes of a frame header.
pub(crate) const HEADER: usize = 48;

/// The header in these bytes, if they are that of a complete frame.
pub(crate) fn header(bytes: &[u8; HEADER]) -> Option<Header> {
    let [state, flags, reserved, mark] = bytes[44..].try_into().ok()?;
    let is_sound = state == 2
        && flags < 4
        && reserved == 0
        && mark == 0xFF
        && word64(bytes, 8) != u64::MAX
        && word32(bytes, 40) == seal(bytes);
    is_sound.then(|| Header {
        position: word64(bytes, 0),
        seq: word64(bytes, 8),
        time: word64(bytes, 16),
        tags_len: word32(bytes, 24),
        data_len: word32(bytes, 28),
        payload_crc: word32(bytes, 32),
        link: word32(bytes, 36),
        flags,
    })
}

/// The checksum of a header, computed as if the frame were complete.
pub(crate) fn seal(bytes: &[u8; HEADER]) -> u32 {
    let mut summed = [0; 44];
    summed[..40].copy_from_slice(&bytes[..40]);
    summed[40..].copy_from_slice(&[2, bytes[45], bytes[46], bytes[47]]);
    crc(&summed)
}

/// CRC-32C, from its polynomial.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)]
    })
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = crc >> 1 ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

pub(crate) fn word32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

pub(crate) fn word64(bytes: &[u8], at: usize) -> u64 {
    u64::from(word32(bytes, at)) | u64::from(word32(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_crc_32c() {
        assert_eq!(super::crc(b"123456789"), 0xE306_9283);
    }
}
