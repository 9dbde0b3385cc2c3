//! Whole pools, made by the library's core, for the targets to damage.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use plasmite::core::append::When;
use plasmite::core::frame::Entry;
use plasmite::core::geometry::Geometry;
use plasmite::core::header::Header;
use plasmite::core::heap::{HeapLock, HeapMemory, NoBell};
use plasmite::core::layout::{FRAME_POSITION, LAST, MIN_FILE_SIZE, OLDEST};
use plasmite::core::memory::{LockWait, Memory};
use plasmite::core::pool::{Pool, Recovery};
use tempfile::TempDir;

use crate::reference::{self, HEADER};

/// The boot under which the control words of every base are valid.
pub const BOOT: u64 = 7;
/// The size of every base, in bytes.
pub const SIZE: u64 = MIN_FILE_SIZE;

/// An index that leaves half of the file to the ring, which then is sooner read than a larger one.
const MOST_SLOTS: u64 = 2048;

/// A message that a base holds, or held before it was overwritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Nanoseconds since the Unix epoch.
    pub time: u64,
    /// A compact JSON array of strings, or nothing.
    pub tags: Vec<u8>,
    /// Compact JSON text.
    pub data: Vec<u8>,
}

/// A whole pool.
pub struct Base {
    /// The bytes of its file.
    pub bytes: Vec<u8>,
    /// Everything that was ever appended, by seq.
    pub messages: BTreeMap<u64, Message>,
    /// The positions of the frames that it retains, oldest first.
    pub frames: Vec<u64>,
    /// Its dimensions.
    pub geometry: Geometry,
}

impl Base {
    /// Where in the file the byte at a position of the ring is.
    pub fn offset(&self, position: u64) -> usize {
        self.geometry.offset_at(position) as usize
    }
}

/// Every base: an empty pool; a few messages; one that has been lapped; batches, tags and no index; seqs that are
/// missing; one that was flushed, with a writer that died later.
pub static BASES: LazyLock<Vec<Base>> = LazyLock::new(|| {
    vec![
        Maker::new(None).finish(),
        Maker::new(None).append(&["1", "\"two\"", "[3]"]).finish(),
        lapped(Maker::new(Some(MOST_SLOTS)), 220).finish(),
        batches(),
        holes(),
        flushed(),
    ]
});

/// A pool that is being made.
struct Maker {
    pool: Pool<HeapMemory>,
    messages: BTreeMap<u64, Message>,
    time: u64,
}

impl Maker {
    fn new(slots: Option<u64>) -> Maker {
        let geometry = Geometry::for_file(SIZE, slots).expect("dimensions that are possible");
        let header = Header {
            uuid: [9; 16],
            created: 1,
            geometry,
        };
        let memory = HeapMemory::new(SIZE);
        Pool::format(&memory, &header, BOOT);
        Maker {
            pool: Pool::attach(memory, header),
            messages: BTreeMap::new(),
            time: 1000,
        }
    }

    /// Appends each text as a message of its own.
    fn append(mut self, data: &[&str]) -> Maker {
        for data in data {
            self.batch(&[("", data)], None);
        }
        self
    }

    fn batch(&mut self, entries: &[(&str, &str)], stamps: Option<&[(u64, u64)]>) {
        self.time += 10;
        let time = self.time;
        let texts = entries
            .iter()
            .map(|(tags, data)| Entry::new(tags.as_bytes(), data.as_bytes()));
        let when = match stamps {
            None => When::Now(|| time),
            Some(stamps) => When::Given(stamps),
        };
        let lock = HeapLock::default();
        let appended = self
            .pool
            .append(&lock, &NoBell, LockWait::Forever, texts, when);
        let first = appended.expect("a message that fits").first_seq;
        let numbered = (first..).map(|seq| (seq, time));
        let given = stamps.map(<[_]>::to_vec);
        let stamps = given.unwrap_or_else(|| numbered.take(entries.len()).collect());
        for ((seq, time), (tags, data)) in stamps.into_iter().zip(entries) {
            let message = Message {
                time,
                tags: tags.as_bytes().to_vec(),
                data: data.as_bytes().to_vec(),
            };
            self.messages.insert(seq, message);
            self.time = self.time.max(time);
        }
    }

    fn finish(self) -> Base {
        let geometry = *self.pool.geometry();
        let bytes = self.pool.memory().to_bytes();
        let mut base = Base {
            frames: Vec::new(),
            messages: self.messages,
            bytes,
            geometry,
        };
        let word = |offset: u64| reference::word64(&base.bytes, offset as usize);
        let (mut position, last) = (word(OLDEST), word(LAST));
        while position <= last {
            base.frames.push(position);
            let header = frame_header(&base.bytes, &geometry, position);
            assert_eq!(
                reference::word64(&header, FRAME_POSITION as usize),
                position
            );
            let [tags, data] = [24, 28].map(|at| u64::from(reference::word32(&header, at)));
            position += 48 + tags.next_multiple_of(8) + data.next_multiple_of(8);
        }
        base
    }
}

/// The bytes of the header at a position, which may wrap around the ring's end.
pub(crate) fn frame_header(bytes: &[u8], geometry: &Geometry, position: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    for (at, into) in (position..).step_by(8).zip(header.chunks_exact_mut(8)) {
        let offset = geometry.offset_at(at) as usize;
        into.copy_from_slice(&bytes[offset..offset + 8]);
    }
    header
}

/// Messages of many lengths, until they have overwritten each other.
fn lapped(mut maker: Maker, count: usize) -> Maker {
    for n in 0..count {
        let tags = ["", "[\"a\"]", "[\"a\",\"tag\"]"][n % 3];
        let data = format!("{{\"n\":{n},\"fill\":\"{}\"}}", "x".repeat(n * 37 % 400));
        maker.batch(&[(tags, &data)], None);
    }
    maker
}

fn batches() -> Base {
    let mut maker = lapped(Maker::new(Some(0)), 20);
    for n in 0..80 {
        let texts: Vec<String> = (0..n % 7 + 2).map(|i| format!("[{n},{i}]")).collect();
        let entries: Vec<(&str, &str)> = texts
            .iter()
            .map(|text| ("[\"b\"]", text.as_str()))
            .collect();
        maker.batch(&entries, None);
    }
    let large = format!("\"{}\"", "y".repeat(20_000));
    maker.batch(&[("", &large)], None);
    lapped(maker, 50).finish()
}

/// Seqs and times that were given, with some missing.
fn holes() -> Base {
    let mut maker = lapped(Maker::new(Some(16)), 5);
    let time = maker.time;
    maker.batch(
        &[("", "\"a\""), ("", "\"b\"")],
        Some(&[(9, time + 1), (12, time + 1)]),
    );
    maker = maker.append(&["\"c\"", "\"d\""]);
    let time = maker.time;
    maker.batch(&[("[\"far\"]", "\"e\"")], Some(&[(400, time + 1_000_000)]));
    maker.append(&["\"f\"", "\"g\"", "\"h\""]).finish()
}

/// Flushed in the middle, and left by a writer that had announced a frame and died.
fn flushed() -> Base {
    let maker = lapped(Maker::new(Some(MOST_SLOTS - 1)), 150);
    let flush = |maker: &Maker| {
        let flushed = maker.pool.flush(&HeapLock::default(), LockWait::Forever);
        flushed.expect("memory that cannot fail");
    };
    flush(&maker);
    let maker = lapped(maker, 20);
    flush(&maker);
    let maker = lapped(maker, 10);
    let memory = maker.pool.memory();
    let (intent, oldest) = (64, OLDEST / 8);
    let claimed = memory.load(intent, Ordering::Relaxed) + 64;
    let room = memory.load(oldest, Ordering::Relaxed) + maker.pool.geometry().ring_size;
    memory.store(intent, claimed.min(room), Ordering::Relaxed);
    maker.finish()
}

/// Memory of one thread that ends whoever loads from it for ever.
pub(crate) struct Finite {
    words: Box<[Cell<u64>]>,
    left: Cell<u64>,
}

/// Far more words than any one operation on a pool of this size needs.
const MOST_LOADS: u64 = 50_000_000;

impl Finite {
    pub(crate) fn new(bytes: &[u8]) -> Finite {
        let word = |bytes: &[u8]| {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            Cell::new(u64::from_le_bytes(whole))
        };
        Finite {
            words: bytes.chunks(8).map(word).collect(),
            left: Cell::new(MOST_LOADS),
        }
    }

    /// Counts from here on.
    pub(crate) fn begin(&self) {
        self.left.set(MOST_LOADS);
    }

    fn count(&self, words: u64) {
        let left = self.left.get().checked_sub(words);
        self.left.set(left.expect("an operation that does not end"));
    }
}

// Nobody else is there, so no order matters.
impl Memory for Finite {
    fn words(&self) -> u64 {
        self.words.len() as u64
    }

    fn load(&self, word: u64, _order: Ordering) -> u64 {
        self.count(1);
        self.words[word as usize].get()
    }

    fn store(&self, word: u64, value: u64, _order: Ordering) {
        self.words[word as usize].set(value);
    }

    fn fence(&self, _order: Ordering) {}

    fn copy_out(&self, word: u64, into: &mut [u8]) {
        self.count(into.len() as u64 / 8);
        let words = &self.words[word as usize..][..into.len() / 8];
        for (bytes, word) in into.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.get().to_le_bytes());
        }
    }

    fn persist(&self, _words: Range<u64>) -> plasmite::Result<()> {
        Ok(())
    }

    fn check(&self, _now: Option<u64>) -> plasmite::Result<()> {
        Ok(())
    }

    fn poisoned(&self) -> bool {
        false
    }
}

/// How a pool may be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Write,
    Read,
    Verify,
}

pub(crate) fn open(
    bytes: &[u8],
    file_size: u64,
    boot: u64,
    how: How,
) -> plasmite::Result<Pool<Finite>> {
    let memory = Finite::new(bytes);
    let lock = HeapLock::default();
    match how {
        How::Write => {
            let recovery = Recovery::Write(&lock, LockWait::Forever);
            Pool::open(memory, file_size, boot, recovery)
        }
        How::Read => Pool::open(memory, file_size, boot, Recovery::<HeapLock>::ReadOnly),
        How::Verify => Pool::open_to_verify(memory, file_size, boot),
    }
}

/// A directory for a moment, in memory where there is a file system of that kind: pools are synced when created.
pub(crate) fn directory() -> TempDir {
    let shared = Path::new("/dev/shm");
    let made = match shared.is_dir() {
        true => tempfile::tempdir_in(shared),
        false => tempfile::tempdir(),
    };
    made.expect("a temporary directory")
}
