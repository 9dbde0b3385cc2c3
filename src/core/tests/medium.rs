//! A memory that loses power: what was synced is left.

use super::*;

/// Memory before a medium, which has what was synced. Others may get in during a sync.
pub(super) struct Medium {
    pub(super) memory: HeapMemory,
    pub(super) medium: HeapMemory,
    /// The words of each sync.
    pub(super) syncs: RefCell<Vec<Range<u64>>>,
    /// What there was on it after each of them, if that is kept.
    pub(super) media: RefCell<Option<Vec<Vec<u8>>>>,
    pub(super) is_broken: Cell<bool>,
    /// What others do during the sync after so many.
    pub(super) meanwhile: RefCell<Option<(usize, Act)>>,
}

pub(super) type Act = Box<dyn FnOnce(&Medium)>;

impl Medium {
    /// With these bytes, all of them on the medium.
    pub(super) fn holding(bytes: &[u8]) -> Medium {
        Medium {
            memory: HeapMemory::from_bytes(bytes),
            medium: HeapMemory::from_bytes(bytes),
            syncs: RefCell::default(),
            media: RefCell::default(),
            is_broken: Cell::new(false),
            meanwhile: RefCell::default(),
        }
    }

    /// The words of each sync since this was asked last.
    pub(super) fn take_syncs(&self) -> Vec<Range<u64>> {
        self.syncs.take()
    }
}

impl Memory for &Medium {
    fn words(&self) -> u64 {
        self.memory.words()
    }

    fn load(&self, word: u64, order: Ordering) -> u64 {
        self.memory.load(word, order)
    }

    fn store(&self, word: u64, value: u64, order: Ordering) {
        self.memory.store(word, value, order);
    }

    fn fence(&self, order: Ordering) {
        self.memory.fence(order);
    }

    fn persist(&self, words: Range<u64>) -> Result<()> {
        if self.is_broken.get() {
            return Err(Error::new(ErrorKind::Io, "the medium is broken"));
        }
        for word in words.clone() {
            let value = self.memory.load(word, Relaxed);
            self.medium.store(word, value, Relaxed);
        }
        self.syncs.borrow_mut().push(words);
        if let Some(media) = &mut *self.media.borrow_mut() {
            media.push(self.medium.to_bytes());
        }
        let meanwhile = self.meanwhile.take();
        match meanwhile {
            Some((0, act)) => act(self),
            Some((after, act)) => {
                self.meanwhile.replace(Some((after - 1, act)));
            }
            None => {}
        }
        Ok(())
    }

    fn check(&self, _now: Option<u64>) -> Result<()> {
        Ok(())
    }

    fn poisoned(&self) -> bool {
        false
    }
}
