//! What a disk may hold after a loss of power.

use plasmite::core::layout::{ANCHORED, BOOT};

use crate::reference::Ring;

const PAGE: usize = 4096;

/// A file as it was flushed, as it is, and as it is found after the crash.
pub(crate) struct Disk<'f> {
    pub(crate) flushed: &'f [u8],
    pub(crate) now: &'f [u8],
    pub(crate) found: Vec<u8>,
}

impl Disk<'_> {
    /// Each page is as it was flushed or as it is now. A change to the boot word stands for the boot that follows.
    pub(crate) fn torn<'f>(flushed: &'f [u8], now: &'f [u8], is_newer: &[bool]) -> Disk<'f> {
        assert_eq!(flushed.len(), now.len());
        let mut found = flushed.to_vec();
        // A writer that moves the anchor syncs the header before it takes the place of the old one. [FLUSH-7]
        let anchored = ANCHORED as usize..ANCHORED as usize + 8;
        if flushed[anchored.clone()] != now[anchored] {
            found[..PAGE].copy_from_slice(&now[..PAGE]);
        }
        let pages = found.chunks_mut(PAGE).zip(now.chunks(PAGE));
        for ((page, newer), _) in pages.zip(is_newer).filter(|(_, is_newer)| **is_newer) {
            page.copy_from_slice(newer);
        }
        found[BOOT as usize] ^= 1;
        Disk {
            flushed,
            now,
            found,
        }
    }

    /// Whether the bytes from a position on are found as they are in `whole`.
    pub(crate) fn has(&self, ring: Ring, whole: &[u8], position: u64, len: u64) -> bool {
        let at = position % ring.size;
        let to_wrap = len.min(ring.size - at);
        [(at, to_wrap), (0, len - to_wrap)]
            .into_iter()
            .all(|(at, len)| {
                let bytes = (ring.offset + at) as usize..(ring.offset + at + len) as usize;
                self.found[bytes.clone()] == whole[bytes]
            })
    }
}
