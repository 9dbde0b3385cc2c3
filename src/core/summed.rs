//! A word of the header with its own CRC-32C behind it: one that a flipped bit must not raise.

use std::sync::atomic::Ordering::Relaxed;

use super::frame::pair;
use super::layout::WORD;
use super::memory::Memory;

/// Loads the word at this byte offset; 0 if the CRC is not its own: damaged, never stored, or seen while it was stored.
pub(super) fn load(memory: &impl Memory, offset: u64) -> u64 {
    let [value, crc] = [0, WORD].map(|behind| memory.load((offset + behind) / WORD, Relaxed));
    match crc_word(value) == crc {
        true => value,
        false => 0,
    }
}

/// Stores the word at this byte offset, and its CRC.
pub(super) fn store(memory: &impl Memory, offset: u64, value: u64) {
    memory.store(offset / WORD, value, Relaxed);
    memory.store((offset + WORD) / WORD, crc_word(value), Relaxed);
}

fn crc_word(value: u64) -> u64 {
    pair(crc32c::crc32c(&value.to_le_bytes()), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::heap::HeapMemory;

    #[test]
    fn a_word_is_what_was_stored_or_nothing() {
        let memory = HeapMemory::new(64);
        assert_eq!(load(&memory, 16), 0);
        store(&memory, 16, 7);
        assert_eq!(load(&memory, 16), 7);
        assert_eq!([0, 1, 4].map(|word| memory.load(word, Relaxed)), [0; 3]);
        for bit in 0..128 {
            let word = 2 + bit / 64;
            let sound = memory.load(word, Relaxed);
            memory.store(word, sound ^ 1 << (bit % 64), Relaxed);
            assert_eq!(load(&memory, 16), 0, "bit {bit}");
            memory.store(word, sound, Relaxed);
        }
    }
}
