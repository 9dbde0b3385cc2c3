//! Words and a lock that loom watches.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, Ordering::Relaxed};

use loom::sync::atomic::{AtomicU64, fence};
use plasmite::Result;
use plasmite::core::geometry::Geometry;
use plasmite::core::layout::{INTENT, LAST, OLDEST, WORD};
use plasmite::core::memory::{LockWait, Memory, WriterLock};

use crate::sites::{weakened, weakened_fence};

/// The control words that an append stores.
const CONTROL: [u64; 3] = [INTENT / WORD, LAST / WORD, OLDEST / WORD];

/// The words of a pool, of which some are loom's atomics. A clone is the same memory.
///
/// All other words keep the value that they have in the image: a load of one is no step of the model, and a store
/// to one is a bug of the model, which then panics.
#[derive(Clone)]
pub struct LoomMemory(Arc<Words>);

struct Words {
    image: Arc<[u64]>,
    shared: Vec<Option<Shared>>,
}

struct Shared {
    value: AtomicU64,
    /// The initial value counts as one: it, too, takes a place in what loom remembers.
    stores: AtomicUsize,
}

/// The words that an append to a pool of this geometry may store.
pub fn stored_by_appends(geometry: &Geometry) -> impl Iterator<Item = u64> {
    let index = geometry.index_offset / WORD..geometry.ring_word();
    let ring = geometry.ring_word()..geometry.ring_word() + geometry.ring_words();
    CONTROL.into_iter().chain(index).chain(ring)
}

impl LoomMemory {
    /// Inside a model: a memory that holds `image`, one value for each word of a file, and in which the words
    /// `shared` may change.
    pub fn new(image: Arc<[u64]>, shared: impl IntoIterator<Item = u64>) -> LoomMemory {
        let mut words: Vec<_> = image.iter().map(|_| None).collect();
        for word in shared {
            words[word as usize] = Some(Shared {
                value: AtomicU64::new(image[word as usize]),
                stores: AtomicUsize::new(1),
            });
        }
        LoomMemory(Arc::new(Words {
            image,
            shared: words,
        }))
    }

    /// The largest number of values that any one word has had.
    pub fn most_stores(&self) -> usize {
        let counts = self
            .0
            .shared
            .iter()
            .flatten()
            .map(|word| word.stores.load(Relaxed));
        counts.max().unwrap_or(0)
    }

    /// The words as they are in the end. No other thread may have a store to make, which loom checks.
    pub fn settled(&self) -> Vec<u64> {
        (0..self.words())
            .map(|word| self.load_exclusive(word))
            .collect()
    }

    fn shared(&self, word: u64) -> Option<&Shared> {
        self.0.shared[word as usize].as_ref()
    }
}

impl Memory for LoomMemory {
    fn words(&self) -> u64 {
        self.0.image.len() as u64
    }

    #[track_caller]
    fn load(&self, word: u64, order: Ordering) -> u64 {
        match self.shared(word) {
            Some(shared) => shared.value.load(weakened(order)),
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

    #[track_caller]
    fn store(&self, word: u64, value: u64, order: Ordering) {
        let shared = self
            .shared(word)
            .unwrap_or_else(|| panic!("word {word} is stored but not modelled"));
        shared.stores.fetch_add(1, Relaxed);
        shared.value.store(value, weakened(order));
    }

    #[track_caller]
    fn fence(&self, order: Ordering) {
        if let Some(order) = weakened_fence(order) {
            fence(order);
        }
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
