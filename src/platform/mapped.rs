//! A pool file in memory: every access is one atomic word, checked against the bounds of the mapping.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence, fence};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use memmap2::{MmapOptions, MmapRaw};

use super::copy;
use super::os_error::os_error;
use super::place::Place;
use super::prefault::Prefault;
use super::sigbus::Registration;
use super::sys;
use crate::core::error::{Error, ErrorKind, Result};
use crate::core::memory::Memory;

const WORD: usize = 8;
/// How long an answer of the operating system about the file is good for, in nanoseconds.
const CHECK_INTERVAL: u64 = 1_000_000;

/// What a pool file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading and writing.
    ReadWrite,
    /// Reading.
    ReadOnly,
    /// Reading and writing where that is permitted, else reading.
    Either,
}

/// Which file it is, for as long as the system runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// The device the file is on.
    pub device: u64,
    /// The file's number on that device.
    pub inode: u64,
}

/// A mapping of a whole pool file, as long as the file was when it was opened.
///
/// A clone is cheap, and shares the mapping and the descriptor.
#[derive(Clone)]
pub struct MappedFile {
    // Copies of what `shared` knows: one load less on each access.
    base: NonNull<u64>,
    words: usize,
    writable: bool,
    shared: Arc<Shared>,
}

struct Shared {
    // Dropped first: a page that is no longer mapped must not be guarded.
    registration: Registration,
    map: MmapRaw,
    file: Arc<File>,
    path: PathBuf,
    size: u64,
    identity: FileIdentity,
    /// Where its name is; not known before it has one.
    place: OnceLock<Place>,
    /// When the system was last asked about the file, by whoever held the writers' lock and by others.
    asked: AtomicU64,
    asked_unlocked: AtomicU64,
    prefault: Prefault,
}

// SAFETY: `base` points into `shared.map`, which lives as long as any clone and may be used from any thread; the words
// behind it are only accessed as atomics (`MappedFile::word`, `word32` and the copies are the only dereferences).
unsafe impl Send for MappedFile {}
// SAFETY: as above; no method needs exclusive access.
unsafe impl Sync for MappedFile {}

impl MappedFile {
    /// Opens and maps a pool file of at least `min_size` bytes.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Permission`; `Usage` for what is not a regular file; `Corrupt` for a file that is too small; `Io`.
    pub fn open(path: &Path, access: Access, min_size: u64) -> Result<MappedFile> {
        // Asked by name first, because opening a FIFO or a device already has effects on others.
        let metadata = std::fs::metadata(path).map_err(|e| os_error("open", path, e))?;
        refuse_special(&metadata, path)?;
        let (file, writable) = open_file(path, access).map_err(|e| os_error("open", path, e))?;
        let mapped = MappedFile::map(file, writable, path, min_size)?;
        mapped.remember_place(path)?;
        Ok(mapped)
    }

    /// Maps a file that is already open; `path` is what errors call it.
    pub(super) fn map(
        file: File,
        writable: bool,
        path: &Path,
        min_size: u64,
    ) -> Result<MappedFile> {
        let metadata = file.metadata().map_err(|e| os_error("inspect", path, e))?;
        refuse_special(&metadata, path)?;
        let found = sys::found(&file).map_err(|e| os_error("inspect", path, e))?;
        let size = found.size;
        refuse_short(size, min_size, path)?;

        let map = map_words(&file, size, writable).map_err(|e| os_error("map", path, e))?;
        let registration = Registration::new(map.as_ptr() as usize, map.len(), writable)
            .map_err(|e| e.path(path))?;
        let base = NonNull::new(map.as_mut_ptr().cast())
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a mapping begins at address zero"))?;
        let words = map.len() / WORD;
        Ok(MappedFile {
            base,
            words,
            writable,
            shared: Arc::new(Shared {
                registration,
                map,
                file: Arc::new(file),
                path: path.to_owned(),
                size,
                identity: found.identity,
                place: OnceLock::new(),
                asked: AtomicU64::new(0),
                asked_unlocked: AtomicU64::new(0),
                prefault: Prefault::new(words),
            }),
        })
    }

    /// Notes where the file's name is, so that [`check`](Memory::check) sees when it goes away from there.
    pub(super) fn remember_place(&self, path: &Path) -> Result<()> {
        if let Some(place) = Place::of(path)? {
            self.shared.place.get_or_init(|| place);
        }
        Ok(())
    }

    /// As [`check`](Memory::check), for whoever does not hold the writers' lock: its answers spare no writer a look.
    ///
    /// # Errors
    ///
    /// As for `check`.
    pub fn check_unlocked(&self, now: u64) -> Result<()> {
        let shared = &self.shared;
        let found = shared.inspect_unless_asked(&shared.asked_unlocked, Some(now));
        if found.is_err() {
            // Whoever writes next sees it too, however short a time ago they looked.
            shared.asked.store(0, Ordering::Relaxed);
        }
        found
    }

    /// Has the system make these words ready to be stored to, as it else does page by page, each at its first store.
    /// Where it cannot, or does not know how, the stores are as they would have been.
    pub fn expect_stores(&self, words: Range<u64>) {
        let count = words.end.saturating_sub(words.start) as usize;
        self.run(words.start, count);
        let first = words.start as usize;
        self.make_ready(first..first + count);
        self.shared.prefault.note(first..first + count);
    }

    /// These words are inside the mapping.
    fn make_ready(&self, words: Range<usize>) {
        sys::populate(&self.shared.map, words.start * WORD, words.len() * WORD);
    }

    #[cold]
    fn enter_part(&self, word: usize, count: usize) {
        if let Some(words) = self.shared.prefault.enter(word, count) {
            self.make_ready(words);
        }
    }

    /// Waits until every writer has to look at the file again. The caller has held the writers' lock since `locked`, and
    /// what a writer saw before then is good for [`CHECK_INTERVAL`].
    pub(super) fn outlast_answers(locked: Instant) {
        let good = Duration::from_nanos(2 * CHECK_INTERVAL);
        std::thread::sleep(good.saturating_sub(locked.elapsed()));
    }

    /// Which file it is.
    pub(super) fn identity(&self) -> FileIdentity {
        self.shared.identity
    }

    /// Whether words may be stored.
    pub fn writable(&self) -> bool {
        self.writable
    }

    /// The size of the file in bytes when it was opened.
    pub fn size(&self) -> u64 {
        self.shared.size
    }

    /// How many names the file has.
    ///
    /// # Errors
    ///
    /// What the system says if it cannot be asked.
    pub fn names(&self) -> io::Result<u64> {
        sys::found(&self.shared.file).map(|found| found.names)
    }

    /// Whether `path` leads to this file.
    pub fn is_at(&self, path: &Path) -> bool {
        sys::found_at(path).is_ok_and(|found| found.identity == self.shared.identity)
    }

    /// The open file that is mapped; whoever locks it locks for this mapping.
    pub fn file(&self) -> &Arc<File> {
        &self.shared.file
    }

    /// Half a word, for the futex. `offset` is in bytes; words used this way are never accessed as `u64`.
    ///
    /// # Panics
    ///
    /// If `offset` is outside the mapping or not a multiple of 4.
    pub(super) fn word32(&self, offset: usize) -> &AtomicU32 {
        assert!(
            offset.is_multiple_of(4) && offset < self.words * WORD,
            "there is no 32-bit word at byte {offset}"
        );
        // SAFETY: the check above keeps all four bytes inside the mapping, which `self` keeps alive, and aligned, as a
        // mapping begins at a page. Other processes access these bytes as 32-bit atomics as well.
        unsafe { AtomicU32::from_ptr(self.base.as_ptr().cast::<u8>().add(offset).cast()) }
    }

    #[inline]
    fn word(&self, word: u64) -> &AtomicU64 {
        self.run(word, 1);
        // SAFETY: `run` has checked that the word is inside the mapping, which `self` keeps alive; it is aligned, as a
        // mapping begins at a page. Every party accesses it as a 64-bit atomic.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(word as usize)) }
    }

    /// A pointer to the first of `count` words that are all inside the mapping.
    #[inline]
    fn run(&self, word: u64, count: usize) -> *mut u64 {
        let first = usize::try_from(word).unwrap_or(usize::MAX);
        if first > self.words || count > self.words - first {
            out_of_bounds(word, count, self.words);
        }
        // SAFETY: `first` is at most the number of words, so the result is inside the mapping or just at its end.
        unsafe { self.base.as_ptr().add(first) }
    }

    #[inline]
    fn assert_writable(&self) {
        assert!(self.writable, "a store into a read-only mapping");
    }
}

impl Memory for MappedFile {
    #[inline]
    fn words(&self) -> u64 {
        self.words as u64
    }

    #[inline]
    fn load(&self, word: u64, order: Ordering) -> u64 {
        u64::from_le(self.word(word).load(order))
    }

    #[inline]
    fn store(&self, word: u64, value: u64, order: Ordering) {
        self.assert_writable();
        self.word(word).store(value.to_le(), order);
    }

    #[inline]
    fn fence(&self, order: Ordering) {
        fence(order);
    }

    #[inline]
    fn copy_out(&self, word: u64, into: &mut [u8]) {
        assert!(into.len().is_multiple_of(WORD), "a copy of whole words");
        let from = self.run(word, into.len() / WORD);
        // SAFETY: `run` has checked all words of `into`.
        unsafe { copy::load(from, into) };
    }

    #[inline]
    fn copy_in(&self, word: u64, from: &[u8]) {
        self.assert_writable();
        let count = from.len().div_ceil(WORD);
        let into = self.run(word, count);
        if !self.shared.prefault.goes_on(word as usize, count) {
            self.enter_part(word as usize, count);
        }
        // SAFETY: `run` has checked all words of `from`, the last and partial one included; `assert_writable` has checked
        // that the mapping may be stored to.
        unsafe { copy::store(into, from) };
    }

    fn persist(&self, words: Range<u64>) -> Result<()> {
        let Some(count) = words.end.checked_sub(words.start).filter(|&n| n > 0) else {
            return Ok(());
        };
        self.run(words.start, usize::try_from(count).unwrap_or(usize::MAX));
        let (first, count) = (words.start as usize, count as usize);
        self.shared.prefault.forget();
        self.shared
            .map
            .flush_range(first * WORD, count * WORD)
            .and_then(|()| sys::flush_drive(&self.shared.file))
            .map_err(|e| os_error("sync", &self.shared.path, e))
    }

    fn check(&self, now: Option<u64>) -> Result<()> {
        self.shared.inspect_unless_asked(&self.shared.asked, now)
    }

    #[inline]
    fn poisoned(&self) -> bool {
        // A signal handler on this thread, or on another one that met the same page, set the mark before any byte that
        // is not the file's could be seen. The fences keep this load behind the accesses that it vouches for.
        compiler_fence(Ordering::SeqCst);
        fence(Ordering::Acquire);
        self.shared.registration.poisoned()
    }
}

impl Shared {
    /// Asks the system, unless it was asked less than [`CHECK_INTERVAL`] before `now`.
    fn inspect_unless_asked(&self, asked: &AtomicU64, now: Option<u64>) -> Result<()> {
        if now.is_some_and(|now| now.abs_diff(asked.load(Ordering::Relaxed)) < CHECK_INTERVAL) {
            return Ok(());
        }
        self.inspect()?;
        if let Some(now) = now {
            asked.store(now, Ordering::Relaxed);
        }
        Ok(())
    }

    fn inspect(&self) -> Result<()> {
        let found = sys::found(&self.file).map_err(|e| os_error("inspect", &self.path, e))?;
        let is_elsewhere = |place: &Place| !place.may_hold(self.identity);
        if found.names == 0 || self.place.get().is_some_and(is_elsewhere) {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "{} was deleted, moved away or replaced while open",
                    self.path.display()
                ),
            )
            .hint("open the pool again where it is now, or create it anew with `plasmite pool create`")
            .path(&self.path));
        }
        if found.size != self.size {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "{} had {} bytes when it was opened and has {} now",
                    self.path.display(),
                    self.size,
                    found.size
                ),
            )
            .hint("restore the file from a copy, or delete the pool and create it anew")
            .path(&self.path));
        }
        Ok(())
    }
}

#[cold]
#[inline(never)]
fn out_of_bounds(word: u64, count: usize, words: usize) -> ! {
    panic!("{count} words from word {word} on are not inside a mapping of {words} words");
}

fn open_file(path: &Path, access: Access) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    sys::without_waiting(options.read(true));
    if access != Access::ReadOnly {
        match options.clone().write(true).open(path) {
            Err(e) if access == Access::Either && forbids_writing(&e) => {}
            opened => return Ok((opened?, true)),
        }
    }
    Ok((options.open(path)?, false))
}

fn forbids_writing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

fn refuse_special(metadata: &Metadata, path: &Path) -> Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let what = if metadata.is_dir() {
        "a directory"
    } else {
        "not a regular file"
    };
    Err(
        Error::new(ErrorKind::Usage, format!("{} is {what}", path.display()))
            .hint("name a pool file")
            .path(path),
    )
}

fn refuse_short(size: u64, min_size: u64, path: &Path) -> Result<()> {
    let min_size = min_size.max(WORD as u64);
    if size >= min_size {
        return Ok(());
    }
    let message = match size {
        0 => format!("{} is empty", path.display()),
        _ => format!(
            "{} has {size} bytes, and needs at least {min_size}",
            path.display()
        ),
    };
    Err(Error::new(ErrorKind::Corrupt, message)
        .hint("name another file, restore this one from a copy, or delete it and create the pool anew")
        .path(path))
}

/// Maps the whole words of a file.
fn map_words(file: &File, size: u64, writable: bool) -> io::Result<MmapRaw> {
    let len = usize::try_from(size).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    let mut options = MmapOptions::new();
    options.len(len / WORD * WORD);
    if writable {
        options.map_raw(file)
    } else {
        options.map_raw_read_only(file)
    }
}

#[cfg(test)]
mod tests;
