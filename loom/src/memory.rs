//! Words and a lock that loom watches.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, Ordering::Relaxed};

use loom::sync::atomic::{AtomicU64, fence};
use plasmite::Result;
use plasmite::core::geometry::Geometry;
use plasmite::core::layout::{INTENT, LAST, OLDEST, WORD};
use plasmite::core::memory::{LockWait, Memory, WriterLock};

/// The control words that an append stores.
const CONTROL: [u64; 3] = [INTENT / WORD, LAST / WORD, OLDEST / WORD];

/// The words of a pool, of which the control words and the ring are loom's atomics. A clone is the same memory.
///
/// All other words keep the value that they have in the image: a load of one is no step of the model, and a store
/// to one is a bug of the model, which then panics.
#[derive(Clone)]
pub struct LoomMemory(Arc<Words>);

struct Words {
    image: Arc<[u64]>,
    ring: Range<u64>,
    shared: Vec<Shared>,
}

struct Shared {
    value: AtomicU64,
    /// The initial value counts as one: it, too, takes a place in what loom remembers.
    stores: AtomicUsize,
}

impl LoomMemory {
    /// Inside a model: a memory that holds `image`, one value for each word of a file with this geometry.
    pub fn new(image: Arc<[u64]>, geometry: &Geometry) -> LoomMemory {
        let ring = geometry.ring_word()..geometry.ring_word() + geometry.ring_words();
        let shared = CONTROL
            .into_iter()
            .chain(ring.clone())
            .map(|word| Shared {
                value: AtomicU64::new(image[word as usize]),
                stores: AtomicUsize::new(1),
            })
            .collect();
        LoomMemory(Arc::new(Words {
            image,
            ring,
            shared,
        }))
    }

    /// The largest number of values that any one word has had.
    pub fn most_stores(&self) -> usize {
        let counts = self.0.shared.iter().map(|word| word.stores.load(Relaxed));
        counts.max().unwrap_or(0)
    }

    /// The words as they are in the end. No other thread may have a store to make, which loom checks.
    pub fn settled(&self) -> Vec<u64> {
        (0..self.words())
            .map(|word| self.load_exclusive(word))
            .collect()
    }

    fn shared(&self, word: u64) -> Option<&Shared> {
        let index = if self.0.ring.contains(&word) {
            CONTROL.len() + (word - self.0.ring.start) as usize
        } else {
            CONTROL.iter().position(|control| *control == word)?
        };
        Some(&self.0.shared[index])
    }
}

impl Memory for LoomMemory {
    fn words(&self) -> u64 {
        self.0.image.len() as u64
    }

    fn load(&self, word: u64, order: Ordering) -> u64 {
        match self.shared(word) {
            Some(shared) => shared.value.load(order),
            None => self.0.image[word as usize],
        }
    }

    fn load_exclusive(&self, word: u64) -> u64 {
        match self.shared(word) {
            // SAFETY: the caller holds the writer lock, so no store is concurrent; loom checks that and panics if
            // one is. It takes no step of the model, which keeps the search small.
            Some(shared) => unsafe { shared.value.unsync_load() },
            None => self.0.image[word as usize],
        }
    }

    fn store(&self, word: u64, value: u64, order: Ordering) {
        let shared = self
            .shared(word)
            .unwrap_or_else(|| panic!("word {word} is stored but not modelled"));
        shared.stores.fetch_add(1, Relaxed);
        shared.value.store(value, order);
    }

    fn fence(&self, order: Ordering) {
        fence(order);
    }

    fn persist(&self, _words: Range<u64>) -> Result<()> {
        Ok(())
    }

    fn check(&self, _now: Option<u64>) -> Result<()> {
        Ok(())
    }

    fn poisoned(&self) -> bool {
        false
    }
}

/// The writer lock, as threads of a model see it.
#[derive(Clone)]
pub struct LoomLock(Arc<loom::sync::Mutex<()>>);

impl LoomLock {
    /// Inside a model: a lock that nobody holds.
    pub fn new() -> LoomLock {
        LoomLock(Arc::new(loom::sync::Mutex::new(())))
    }
}

impl Default for LoomLock {
    fn default() -> LoomLock {
        LoomLock::new()
    }
}

impl WriterLock for LoomLock {
    type Guard<'a> = loom::sync::MutexGuard<'a, ()>;

    fn acquire(&self, _wait: LockWait) -> Result<Self::Guard<'_>> {
        Ok(self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}
