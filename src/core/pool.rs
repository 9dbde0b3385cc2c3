//! One open pool: its memory, its header, and how its control words may be believed.

use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::checkpoint::Checkpoint;
use super::error::{Error, ErrorKind, Result};
use super::frame::{FrameHeader, STATE_WORD};
use super::geometry::Geometry;
use super::header::{Control, Header, RawHeader};
use super::index::noise;
use super::layout::{
    BOOT, DELETED, DELETED_MARK, GENERATION, INTENT, LAST, NEWEST_HOLE, OLDEST, WORD,
};
use super::memory::{Bell, LockWait, Memory, WriterLock};
use super::wait::ring_if_heard;

/// An open pool over some memory. Every storage rule is a method of this type.
pub struct Pool<M> {
    pub(super) memory: M,
    pub(super) header: Header,
    frozen: Option<Frozen>,
}

/// What a read-only opener makes of a pool that was left by an OS crash and that it cannot repair.
struct Frozen {
    control: Control,
    boot: u64,
    /// Set once a writer has recovered the pool; from then on its control words count.
    thawed: AtomicBool,
}

/// How an opener may treat a pool whose control words are of another boot.
pub enum Recovery<'a, L> {
    /// Take the lock and rebuild the control words.
    Write(&'a L, LockWait),
    /// Store nothing: work out what a recovery would keep, and read that.
    ReadOnly,
}

impl<M: Memory> Pool<M> {
    /// Formats `memory` as an empty pool. The caller makes it durable and gives it a name.
    pub fn format(memory: &M, header: &Header, boot: u64) {
        let words = header.encode();
        for (i, word) in (0..).zip(words) {
            memory.store(i, word, Relaxed);
        }
        let start = header.geometry.first_position();
        let genesis = genesis(header);
        let encoded = genesis.encode();
        let mut frame = encoded.words;
        frame[STATE_WORD as usize] = encoded.committed;
        for (i, word) in (header.geometry.word_at(start)..).zip(frame) {
            memory.store(i, word, Relaxed);
        }
        memory.store(OLDEST / WORD, start, Relaxed);
        memory.store(INTENT / WORD, genesis.end(), Relaxed);
        memory.store(LAST / WORD, start, Relaxed);
        Checkpoint {
            position: start,
            seq: 0,
        }
        .store(memory, 0);
        memory.store(BOOT / WORD, boot, Relaxed);
        if cfg!(feature = "noisy-index") {
            fill_with_noise(memory, &header.geometry);
        }
    }

    /// Opens the pool in `memory`, a file of `file_size` bytes, and recovers it first where its control words are
    /// not of the present `boot`.
    pub fn open<L: WriterLock>(
        memory: M,
        file_size: u64,
        boot: u64,
        recovery: Recovery<'_, L>,
    ) -> Result<Pool<M>> {
        Pool::with_header(memory, file_size)?.enter(boot, recovery)
    }

    /// What opening comes to once the header has been checked, or is vouched for as in [`attach`](Pool::attach).
    pub fn enter<L: WriterLock>(mut self, boot: u64, recovery: Recovery<'_, L>) -> Result<Pool<M>> {
        self.check_deleted()?;
        if !self.is_of_boot(boot) {
            match recovery {
                Recovery::Write(lock, wait) => {
                    let _guard = lock.acquire(wait)?;
                    self.recover_unless_done(boot)?;
                }
                Recovery::ReadOnly => self.freeze()?,
            }
        }
        self.newest()?;
        Ok(self)
    }

    /// Opens the pool in `memory` to verify it: as a read-only opener would see it, but with no look at its frames.
    pub fn open_to_verify(memory: M, file_size: u64, boot: u64) -> Result<Pool<M>> {
        let mut pool = Pool::with_header(memory, file_size)?;
        if !pool.is_of_boot(boot) {
            pool.freeze()?;
        }
        Ok(pool)
    }

    fn with_header(memory: M, file_size: u64) -> Result<Pool<M>> {
        let header = RawHeader::read(&memory)?.check(file_size)?;
        Ok(Pool::attach(memory, header))
    }

    /// The pool that `memory` holds according to a header that the caller vouches for, its control words taken to be
    /// of this boot. Everything but a model goes through [`open`](Pool::open), which checks both.
    pub fn attach(memory: M, header: Header) -> Pool<M> {
        Pool {
            memory,
            header,
            frozen: None,
        }
    }

    fn is_of_boot(&self, boot: u64) -> bool {
        self.memory.load(BOOT / WORD, Acquire) == boot // RECOVERED
    }

    /// Reads what a recovery would keep from now on.
    fn freeze(&mut self) -> Result<()> {
        let boot = self.memory.load(BOOT / WORD, Acquire);
        let control = self.examine()?.control;
        self.frozen = Some(Frozen {
            control,
            boot,
            thawed: AtomicBool::new(false),
        });
        Ok(())
    }

    /// The memory under this pool.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// The immutable header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The pool's dimensions.
    pub fn geometry(&self) -> &Geometry {
        &self.header.geometry
    }

    /// How often the pool has been recovered.
    pub fn generation(&self) -> u64 {
        self.memory.load(GENERATION / WORD, Relaxed)
    }

    /// `NotFound` once the pool has been deleted; `Corrupt` for a mark that no deletion stores.
    pub fn check_deleted(&self) -> Result<()> {
        match is_marked(&self.memory)? {
            false => Ok(()),
            true => Err(gone()),
        }
    }

    /// `Corrupt` once any byte may have come from, or gone to, somewhere else than the file.
    pub(super) fn check_poison(&self) -> Result<()> {
        if self.memory.poisoned() {
            Err(poisoned())
        } else {
            Ok(())
        }
    }

    /// The position of the newest frame that has seqs missing before it, or higher.
    pub(super) fn newest_hole(&self) -> u64 {
        match self.frozen_view() {
            None => self.memory.load(NEWEST_HOLE / WORD, Relaxed),
            Some(_) => u64::MAX,
        }
    }

    /// The position of the newest committed frame.
    pub(super) fn last(&self) -> Result<u64> {
        let last = match self.frozen_view() {
            None => self.memory.load(LAST / WORD, Acquire), // PUBLISH
            Some(frozen) => frozen.control.last,
        };
        if self.geometry().is_position(last) {
            Ok(last)
        } else {
            Err(bad_last(last))
        }
    }

    /// `last` stays where it was seen, or goes on. Else the file was replaced or cut, and no wait for more has an end.
    pub(super) fn check_last(&self, last: u64, seen: u64) -> Result<()> {
        self.check_poison()?;
        match last < seen {
            true => Err(corrupt("the control word `last` went back", LAST)),
            false => Ok(()),
        }
    }

    /// The control words, consistent for a reader.
    pub(super) fn control(&self) -> Result<Control> {
        let control = match self.frozen_view() {
            None => Control::load_shared(&self.memory),
            Some(frozen) => frozen.control,
        };
        let g = self.geometry();
        if !g.is_position(control.last) {
            return Err(bad_last(control.last));
        }
        if !g.is_position(control.oldest) || control.oldest > control.last {
            return Err(corrupt(
                "the control word `oldest` is out of bounds",
                OLDEST,
            ));
        }
        // `oldest` was loaded after `intent`, so however far writers have got, it is not behind it by more.
        if control.intent.saturating_sub(control.oldest) > g.ring_size {
            return Err(corrupt(
                "the control word `intent` is out of bounds",
                INTENT,
            ));
        }
        Ok(control)
    }

    /// Whether no writer has begun to overwrite `position` by now: what was copied from there before is whole.
    pub(super) fn is_intact(&self, position: u64) -> Result<bool> {
        self.memory.fence(Acquire); // OVERWRITE
        if let Some(frozen) = &self.frozen
            && !frozen.thawed.load(Relaxed)
        {
            return Ok(self.frozen_view().is_some());
        }
        let intent = self.memory.load(INTENT / WORD, Relaxed);
        match intent.checked_sub(position) {
            Some(distance) if distance > self.geometry().ring_size => self.control().map(|_| false),
            Some(distance) if distance > 0 => Ok(true),
            _ => Err(corrupt(
                "the control word `intent` is out of bounds",
                INTENT,
            )),
        }
    }

    /// The view of a read-only opener, for as long as no writer has recovered the pool.
    fn frozen_view(&self) -> Option<&Frozen> {
        let frozen = self
            .frozen
            .as_ref()
            .filter(|frozen| !frozen.thawed.load(Relaxed))?;
        if self.memory.load(BOOT / WORD, Acquire) == frozen.boot {
            return Some(frozen);
        }
        frozen.thawed.store(true, Relaxed);
        None
    }

    /// The header of the newest committed frame. That there is one is what makes a pool whole.
    pub fn newest(&self) -> Result<FrameHeader> {
        loop {
            let last = self.last()?;
            if let Some(header) = self.read_header(last, last)? {
                return Ok(header);
            }
        }
    }

    /// The words that the next frames, of so many bytes together, go to unless another writer comes first; none behind
    /// the ring's end.
    pub fn next_words(&self, bytes: u64) -> Result<Range<u64>> {
        let g = self.geometry();
        let first = g.word_at(self.newest()?.end());
        let ring_end = g.ring_word() + g.ring_words();
        Ok(first..ring_end.min(first + bytes / WORD))
    }
}

impl<M: Memory> Pool<M> {
    /// Puts another pool in the place of this one: `complete` copies what is not there yet and gives the other one this
    /// one's name, while no writer can append. Then no handle to this one accepts another append, and its sleepers are
    /// woken. If `complete` fails, all stays as it was.
    ///
    /// The mark comes last. Whoever is killed before it leaves a pool under the name that is whole and not marked; that
    /// handles to this one notice all the same is up to `complete` and to what [`Memory::check`] sees.
    pub fn replace<L: WriterLock, T>(
        &self,
        lock: &L,
        bell: &impl Bell,
        wait: LockWait,
        complete: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let _guard = lock.acquire(wait)?;
        self.check_deleted()?;
        self.memory.check(None)?;
        let completed = complete()?;
        self.memory.store(DELETED / WORD, DELETED_MARK, Relaxed);
        ring_if_heard(&self.memory, bell);
        Ok(completed)
    }

    /// Takes over what another pool, of which this is to be the continuation, knows beside its messages. Nobody else knows
    /// of this one yet.
    pub fn inherit(&self, old: &Pool<impl Memory>) {
        self.memory
            .store(GENERATION / WORD, old.generation(), Relaxed);
        self.store_seq_floor(old.seq_floor());
    }
}

/// Deletes the pool in `memory`: marks it, so that no handle accepts another append, takes its name away with
/// `unlink`, and wakes every sleeper. A mark whose `unlink` fails is taken back.
///
/// The pool need not be whole, only recognisable as one. One that is marked already, by a deletion that was killed
/// half-way, is unlinked all the same, and stays marked if that fails.
pub fn delete<M: Memory, L: WriterLock>(
    memory: &M,
    lock: &L,
    bell: &impl Bell,
    wait: LockWait,
    unlink: impl FnOnce() -> Result<()>,
) -> Result<()> {
    RawHeader::read(memory)?.check_version()?;
    let _guard = lock.acquire(wait)?;
    let before = memory.load_exclusive(DELETED / WORD);
    // The lock orders it for writers, the fence for sleepers; nobody else goes by what came before it.
    memory.store(DELETED / WORD, DELETED_MARK, Relaxed);
    let unlinked = unlink();
    if unlinked.is_err() {
        memory.store(DELETED / WORD, before, Relaxed);
    }
    ring_if_heard(memory, bell);
    unlinked
}

/// Whether `memory` holds a pool of this format version that is marked as deleted.
pub fn is_deleted(memory: &impl Memory) -> Result<bool> {
    RawHeader::read(memory)?.check_version()?;
    is_marked(memory)
}

fn is_marked(memory: &impl Memory) -> Result<bool> {
    let mark = memory.load(DELETED / WORD, Relaxed);
    match mark {
        0 => Ok(false),
        DELETED_MARK => Ok(true),
        _ => Err(corrupt(
            "the control word `deleted` has a value that no deletion stores",
            DELETED,
        )),
    }
}

/// The frame, seq 0, that a pool is created with, so that `last` always names one.
fn genesis(header: &Header) -> FrameHeader {
    FrameHeader {
        position: header.geometry.first_position(),
        seq: 0,
        time: header.created,
        tags_len: 0,
        data_len: 0,
        payload_crc: 0,
        link: 0,
        hole: false,
        more: false,
    }
}

/// Leaves no slot of the index empty, for the tests that want nothing there to be true.
fn fill_with_noise(memory: &impl Memory, geometry: &Geometry) {
    for slot in 0..geometry.index_capacity {
        if let Some(word) = geometry.slot_word(slot) {
            let (seq, position) = noise(slot, geometry.first_position());
            memory.store(word, seq, Relaxed);
            memory.store(word + 1, position, Relaxed);
        }
    }
}

/// An error of kind `Corrupt` at a byte offset of the pool file.
pub(super) fn corrupt(what: impl Into<std::borrow::Cow<'static, str>>, offset: u64) -> Error {
    Error::new(ErrorKind::Corrupt, what)
        .hint("run `plasmite doctor` on the pool to see what is damaged")
        .offset(offset)
}

fn bad_last(last: u64) -> Error {
    let error = corrupt("the control word `last` names no frame", LAST);
    if last == 0 {
        error.hint("the file was truncated or zeroed by another program; restore it from a copy")
    } else {
        error
    }
}

fn gone() -> Error {
    Error::new(
        ErrorKind::NotFound,
        "the pool was deleted or replaced while it was open",
    )
    .hint("open it anew if it is there again, or create it with `plasmite pool create`")
}

fn poisoned() -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "the pool's file was cut short, or failed to read, while it was open",
    )
    .hint("restore the file from a copy, then open the pool anew")
}
