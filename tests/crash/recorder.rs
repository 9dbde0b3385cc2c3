//! A memory that remembers what was done to it.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::atomic::Ordering;

use plasmite::core::memory::Memory;
use plasmite::{Error, ErrorKind, Result};

/// What happened, in order.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A word was stored.
    Stored { word: u64, value: u64 },
    /// These words were synced: they are on the medium.
    Persisted(Range<u64>),
    /// A writer was told that everything up to this seq is there.
    Acknowledged(u64),
    /// A writer was told that everything up to this seq survives power loss.
    Flushed(u64),
}

/// What others do while a sync is under way.
pub(crate) struct Meanwhile {
    /// So many syncs come before that one.
    pub(crate) after: u64,
    /// Whether what they store is on the medium when the sync returns. It may be, and may not.
    pub(crate) is_covered: bool,
    pub(crate) act: Box<dyn FnOnce(&Recorder)>,
}

/// The words of a pool, and all that was stored and synced since.
pub(crate) struct Recorder {
    words: Box<[Cell<u64>]>,
    log: RefCell<Vec<Event>>,
    /// How many syncs succeed from here on.
    syncs: Cell<u64>,
    meanwhile: RefCell<Option<Meanwhile>>,
}

impl Recorder {
    /// A memory that holds this, with nothing recorded yet.
    pub(crate) fn of(image: &[u64]) -> Recorder {
        Recorder {
            words: image.iter().copied().map(Cell::new).collect(),
            log: RefCell::default(),
            syncs: Cell::new(u64::MAX),
            meanwhile: RefCell::default(),
        }
    }

    /// The same, on a medium on which only so many syncs succeed.
    pub(crate) fn failing_after(image: &[u64], syncs: u64) -> Recorder {
        let memory = Recorder::of(image);
        memory.syncs.set(syncs);
        memory
    }

    /// Has others at work during a sync to come.
    pub(crate) fn disturb(&self, meanwhile: Meanwhile) {
        self.meanwhile.replace(Some(meanwhile));
    }

    /// Whoever was to be at work during this sync.
    fn disturber(&self) -> Option<Meanwhile> {
        let mut meanwhile = self.meanwhile.take()?;
        let Some(after) = meanwhile.after.checked_sub(1) else {
            return Some(meanwhile);
        };
        meanwhile.after = after;
        self.disturb(meanwhile);
        None
    }

    /// All words as they are now.
    pub(crate) fn image(&self) -> Vec<u64> {
        self.words.iter().map(Cell::get).collect()
    }

    /// Notes what the memory itself cannot see.
    pub(crate) fn note(&self, event: Event) {
        self.log.borrow_mut().push(event);
    }

    /// What was recorded; from here on it is recorded anew.
    pub(crate) fn take_log(&self) -> Vec<Event> {
        self.log.take()
    }
}

impl Memory for Recorder {
    fn words(&self) -> u64 {
        self.words.len() as u64
    }

    fn load(&self, word: u64, _order: Ordering) -> u64 {
        self.words[word as usize].get()
    }

    fn store(&self, word: u64, value: u64, _order: Ordering) {
        self.note(Event::Stored { word, value });
        self.words[word as usize].set(value);
    }

    fn fence(&self, _order: Ordering) {}

    fn persist(&self, words: Range<u64>) -> Result<()> {
        let Some(left) = self.syncs.get().checked_sub(1) else {
            return Err(Error::new(ErrorKind::Io, "the medium is broken"));
        };
        self.syncs.set(left);
        let Some(meanwhile) = self.disturber() else {
            self.note(Event::Persisted(words));
            return Ok(());
        };
        if meanwhile.is_covered {
            (meanwhile.act)(self);
            self.note(Event::Persisted(words));
        } else {
            self.note(Event::Persisted(words));
            (meanwhile.act)(self);
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

impl Memory for &Recorder {
    fn words(&self) -> u64 {
        (*self).words()
    }

    fn load(&self, word: u64, order: Ordering) -> u64 {
        (*self).load(word, order)
    }

    fn store(&self, word: u64, value: u64, order: Ordering) {
        (*self).store(word, value, order);
    }

    fn fence(&self, order: Ordering) {
        (*self).fence(order);
    }

    fn persist(&self, words: Range<u64>) -> Result<()> {
        (*self).persist(words)
    }

    fn check(&self, now: Option<u64>) -> Result<()> {
        (*self).check(now)
    }

    fn poisoned(&self) -> bool {
        (*self).poisoned()
    }
}
