//! Where every byte of a pool file is. Stated here once; `spec/format/SPEC.md` is tested against it.
//!
//! ```text
//!        0 +--------------------------------------------------+
//!          | immutable part   512 B, under its own CRC-32C    |
//!      512 | intent           one cache line each             |
//!      576 | last             the word that commits           |
//!      640 | oldest                                           |
//!      704 | deleted                                          |
//!      768 | checkpoint 0     position, seq, CRC-32C          |
//!      832 | checkpoint 1                                     |
//!      896 | boot                                             |
//!      960 | generation                                       |
//!     1024 | seq floor        seq, CRC-32C                    |
//!     1088 | wake word u32, waiter flag u32 (never as a u64)  |
//!     1152 | newest hole      a hint, lets messages be counted |
//!     1216 | anchored         for durability, of this boot     |
//!     1280 | flushed          position, CRC-32C               |
//!     1344 | checkpoint count                                 |
//!          | reserved, zero                                   |
//!     4096 +--------------------------------------------------+
//!          | index            capacity x (seq, position)      |
//!          +--------------------------------------------------+
//!          | ring             frames, 8-byte aligned          |
//!          +--------------------------------------------------+
//! ```
//!
//! All words are little-endian `u64`. An offset here is in bytes from the start of the file.

/// The first four bytes of a pool file, as they read in a hex dump.
pub const MAGIC: [u8; 4] = *b"PLSM";
/// The format version that this build writes, and the only one that it opens.
pub const FORMAT_VERSION: u32 = 4;
/// Bytes in a word.
pub const WORD: u64 = 8;
/// Bytes of the header: everything before the index.
pub const HEADER_SIZE: u64 = 4096;

/// Bytes of the immutable part of the header.
pub const IMMUTABLE_SIZE: u64 = 512;
/// `MAGIC` in the low half, `FORMAT_VERSION` in the high half.
pub const MAGIC_VERSION: u64 = 0;
/// [`ENDIAN_MARK`], to refuse a file that was written in the wrong byte order.
pub const ENDIANNESS: u64 = 8;
/// The pool's UUID, 16 bytes.
pub const UUID: u64 = 16;
/// When the pool was created, nanoseconds since the Unix epoch.
pub const CREATED: u64 = 32;
/// The size of the whole file in bytes.
pub const FILE_SIZE: u64 = 40;
/// Where the index begins.
pub const INDEX_OFFSET: u64 = 48;
/// How many slots the index has; may be 0.
pub const INDEX_CAPACITY: u64 = 56;
/// Where the ring begins.
pub const RING_OFFSET: u64 = 64;
/// The size of the ring in bytes.
pub const RING_SIZE: u64 = 72;
/// CRC-32C of the immutable bytes before this word, in its low half; the high half is zero.
pub const IMMUTABLE_CRC: u64 = 504;

/// The end of all that a writer has ever begun to store.
pub const INTENT: u64 = 512;
/// The position of the newest committed frame: the word that commits.
pub const LAST: u64 = 576;
/// The position of the oldest frame that no writer has begun to overwrite.
pub const OLDEST: u64 = 640;
/// [`DELETED_MARK`] once the pool has been deleted, else 0.
pub const DELETED: u64 = 704;
/// The two flush checkpoints, each `position, seq, CRC-32C of both`.
pub const CHECKPOINTS: [u64; 2] = [768, 832];
/// A hash of the boot, device and inode under which the control words are valid; 0 is never valid.
pub const BOOT: u64 = 896;
/// How often the pool has been recovered.
pub const GENERATION: u64 = 960;
/// The highest seq that a recovery found evidence of, `seq, CRC-32C of it`.
pub const SEQ_FLOOR: u64 = 1024;
/// The futex word, 32 bits.
pub const WAKE_WORD: u64 = 1088;
/// The waiter flag, 32 bits.
pub const WAITER_FLAG: u64 = 1092;

/// The position of the newest frame with [`FLAG_HOLE`]; 0 if there was none. Only ever too high, never too low.
pub const NEWEST_HOLE: u64 = 1152;
/// The position of the checkpoint that is known to be on the medium; 0 while none is.
pub const ANCHORED: u64 = 1216;
/// The newest frame that is known to be on the medium: `position, CRC-32C of it`.
pub const FLUSHED: u64 = 1280;
/// How often a checkpoint has been stored since the last recovery, begun ones included.
pub const CHECKPOINT_COUNT: u64 = 1344;

/// What a deletion stores in `DELETED`. No accident that flips a few bits turns 0 into it.
pub const DELETED_MARK: u64 = u64::from_le_bytes(*b"deleted!");

/// Reads as itself only in the right byte order.
pub const ENDIAN_MARK: u64 = 0x0102_0304_0506_0708;

/// Bytes of an index slot: `seq, position`.
pub const SLOT_SIZE: u64 = 16;

/// Bytes of a frame header. All offsets below are from the start of the frame.
pub const FRAME_HEADER_SIZE: u64 = 48;
/// The frame's own position.
pub const FRAME_POSITION: u64 = 0;
/// The message's seq; 0 in the genesis frame.
pub const FRAME_SEQ: u64 = 8;
/// The message's time, nanoseconds since the Unix epoch.
pub const FRAME_TIME: u64 = 16;
/// Length of the tag section in bytes (u32), without padding.
pub const FRAME_TAGS_LEN: u64 = 24;
/// Length of the data in bytes (u32), without padding.
pub const FRAME_DATA_LEN: u64 = 28;
/// CRC-32C of all words after the header, padding included (u32).
pub const FRAME_PAYLOAD_CRC: u64 = 32;
/// The header CRC of the frame before this one (u32).
pub const FRAME_LINK: u64 = 36;
/// CRC-32C of the other 44 header bytes, computed as if the state were Committed (u32).
pub const FRAME_HEADER_CRC: u64 = 40;
/// The state (u8).
pub const FRAME_STATE: u64 = 44;
/// The flags (u8).
pub const FRAME_FLAGS: u64 = 45;
/// Reserved, zero (u8).
pub const FRAME_RESERVED: u64 = 46;
/// Always 0xFF, a byte that JSON text cannot contain (u8).
pub const FRAME_MARK: u64 = 47;

/// The state of a frame whose words are still being stored.
pub const STATE_WRITING: u8 = 1;
/// The state of a frame that is complete.
pub const STATE_COMMITTED: u8 = 2;
/// Seqs are missing, on purpose, between the frame before and this one.
pub const FLAG_HOLE: u8 = 1;
/// More frames of the same batch follow.
pub const FLAG_MORE: u8 = 2;
/// The value of the mark byte.
pub const MARK: u8 = 0xFF;

/// The smallest pool file, in bytes.
pub const MIN_FILE_SIZE: u64 = 64 * 1024;
/// The file size that a pool has when nobody asks for another, in bytes.
pub const DEFAULT_FILE_SIZE: u64 = 1024 * 1024;
/// A pool has one index slot for every so many bytes of the file unless told otherwise.
pub const DEFAULT_BYTES_PER_SLOT: u64 = 512;

/// The cache line that control words keep to themselves.
const LINE: u64 = 64;

const _: () = {
    assert!(HEADER_SIZE.is_multiple_of(4096));
    assert!(IMMUTABLE_CRC + WORD == IMMUTABLE_SIZE);
    assert!(RING_SIZE + WORD <= IMMUTABLE_CRC);
    assert!(INTENT >= IMMUTABLE_SIZE && INTENT.is_multiple_of(LINE));
    assert!(LAST == INTENT + LINE && OLDEST == LAST + LINE && DELETED == OLDEST + LINE);
    assert!(CHECKPOINTS[0] == DELETED + LINE && CHECKPOINTS[1] == CHECKPOINTS[0] + LINE);
    assert!(BOOT == CHECKPOINTS[1] + LINE && GENERATION == BOOT + LINE);
    assert!(SEQ_FLOOR == GENERATION + LINE && WAKE_WORD == SEQ_FLOOR + LINE);
    assert!(WAITER_FLAG == WAKE_WORD + 4 && WAITER_FLAG + 4 <= NEWEST_HOLE);
    assert!(NEWEST_HOLE == WAKE_WORD + LINE && ANCHORED == NEWEST_HOLE + LINE);
    assert!(FLUSHED == ANCHORED + LINE && CHECKPOINT_COUNT == FLUSHED + LINE);
    assert!(CHECKPOINT_COUNT + WORD <= HEADER_SIZE);
    assert!(FRAME_HEADER_SIZE.is_multiple_of(WORD));
    assert!(FRAME_SEQ == FRAME_POSITION + WORD && FRAME_TIME == FRAME_SEQ + WORD);
    assert!(FRAME_TAGS_LEN == FRAME_TIME + WORD && FRAME_DATA_LEN == FRAME_TAGS_LEN + 4);
    assert!(FRAME_PAYLOAD_CRC == FRAME_DATA_LEN + 4 && FRAME_LINK == FRAME_PAYLOAD_CRC + 4);
    assert!(FRAME_HEADER_CRC == FRAME_LINK + 4 && FRAME_STATE == FRAME_HEADER_CRC + 4);
    assert!(FRAME_FLAGS == FRAME_STATE + 1 && FRAME_RESERVED == FRAME_FLAGS + 1);
    assert!(FRAME_MARK == FRAME_RESERVED + 1 && FRAME_MARK + 1 == FRAME_HEADER_SIZE);
    assert!(SLOT_SIZE == 2 * WORD);
};
