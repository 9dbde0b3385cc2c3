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

use super::os_error::os_error;
use super::place::Place;
use super::sigbus::Registration;
use super::sys;
use crate::core::error::{Error, ErrorKind, Result};
use crate::core::memory::Memory;

const WORD: usize = 8;
/// Words that one step of a bulk copy moves, enough for the loop itself to cost nothing.
const STEP: usize = 8;
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
        Ok(MappedFile {
            base,
            words: map.len() / WORD,
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
        let mut from = self.run(word, into.len() / WORD);
        let mut steps = into.chunks_exact_mut(STEP * WORD);
        for step in &mut steps {
            // SAFETY: `run` has checked all words of `into`, and `from` moves on by as many as each chunk holds.
            from = unsafe { load_words(from, step) };
        }
        // SAFETY: as above, for the words that are left.
        unsafe { load_words(from, steps.into_remainder()) };
    }

    #[inline]
    fn copy_in(&self, word: u64, from: &[u8]) {
        self.assert_writable();
        let mut into = self.run(word, from.len().div_ceil(WORD));
        let mut steps = from.chunks_exact(STEP * WORD);
        for step in &mut steps {
            // SAFETY: `run` has checked all words of `from`, the last and partial one included, and `into` moves on by
            // as many as each chunk holds; `assert_writable` has checked that the mapping may be stored to.
            into = unsafe { store_words(into, step) };
        }
        let (whole, rest) = split_last_word(steps.remainder());
        // SAFETY: as above, for the words that are left.
        into = unsafe { store_words(into, whole) };
        if !rest.is_empty() {
            let mut last = [0; WORD];
            last[..rest.len()].copy_from_slice(rest);
            // SAFETY: as above, for the last word.
            unsafe { store_words(into, &last) };
        }
    }

    fn persist(&self, words: Range<u64>) -> Result<()> {
        let Some(count) = words.end.checked_sub(words.start).filter(|&n| n > 0) else {
            return Ok(());
        };
        self.run(words.start, usize::try_from(count).unwrap_or(usize::MAX));
        let (first, count) = (words.start as usize, count as usize);
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

/// Loads as many words as `into` has room for, and returns where the next one is.
///
/// # Safety
///
/// The words from `from` on, as many as `into` holds, are inside one live mapping and aligned.
#[inline]
unsafe fn load_words(from: *mut u64, into: &mut [u8]) -> *mut u64 {
    let mut next = from;
    for bytes in into.chunks_exact_mut(WORD) {
        // SAFETY: the caller vouches for as many words as there are chunks; all parties access them as atomics.
        let value = unsafe { AtomicU64::from_ptr(next) }.load(Ordering::Relaxed);
        // Bytes in memory order are what the file holds, whatever the byte order of the machine.
        bytes.copy_from_slice(&value.to_ne_bytes());
        // SAFETY: at most one past the last word that the caller vouches for.
        next = unsafe { next.add(1) };
    }
    next
}

/// Stores the whole words of `from`, and returns where the next one is.
///
/// # Safety
///
/// The words from `into` on, as many as `from` holds, are inside one live, writable mapping and aligned.
#[inline]
unsafe fn store_words(into: *mut u64, from: &[u8]) -> *mut u64 {
    let mut next = into;
    for bytes in from.chunks_exact(WORD) {
        let mut value = [0; WORD];
        value.copy_from_slice(bytes);
        // SAFETY: the caller vouches for as many words as there are chunks; all parties access them as atomics.
        unsafe { AtomicU64::from_ptr(next) }.store(u64::from_ne_bytes(value), Ordering::Relaxed);
        // SAFETY: at most one past the last word that the caller vouches for.
        next = unsafe { next.add(1) };
    }
    next
}

/// Splits off the bytes that do not fill a word.
#[inline]
fn split_last_word(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.len() / WORD * WORD)
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
mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    const SIZE: u64 = 8192;

    fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    fn zeros() -> (tempfile::NamedTempFile, MappedFile) {
        let file = file_of(&[0; SIZE as usize]);
        let map = MappedFile::open(file.path(), Access::ReadWrite, SIZE).unwrap();
        (file, map)
    }

    fn kind_of(path: &Path, access: Access) -> ErrorKind {
        let error = MappedFile::open(path, access, SIZE).err().unwrap();
        assert!(error.hint_text().is_some(), "{error} has no hint");
        assert_eq!(error.path_ref(), Some(path));
        error.kind()
    }

    #[test]
    fn words_are_little_endian_in_the_file() {
        let (file, map) = zeros();
        map.store(3, 0x0102_0304_0506_0708, Ordering::Release);
        assert_eq!(map.load(3, Ordering::Acquire), 0x0102_0304_0506_0708);
        let bytes = std::fs::read(file.path()).unwrap();
        assert_eq!(bytes[24..32], [8, 7, 6, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn copies_move_bytes_of_every_length_and_fill_up_the_last_word() {
        let (_file, map) = zeros();
        for len in 0..300_usize {
            for first in [0, 1, 7] {
                (0..64).for_each(|word| map.store(word, u64::MAX, Ordering::Relaxed));
                let bytes: Vec<u8> = (0..len).map(|i| i as u8 ^ 0x5a).collect();
                map.copy_in(first, &bytes);

                let words = len.div_ceil(8);
                let mut copy = vec![0; words * 8];
                map.copy_out(first, &mut copy);
                assert_eq!(copy[..len], bytes);
                assert!(copy[len..].iter().all(|&byte| byte == 0));
                assert_eq!(map.load(first + words as u64, Ordering::Relaxed), u64::MAX);
            }
        }
    }

    #[test]
    fn every_access_out_of_bounds_panics() {
        let (_file, map) = zeros();
        let end = map.words();
        let attempts: [&dyn Fn(); 9] = [
            &|| _ = map.load(end, Ordering::Relaxed),
            &|| _ = map.load(u64::MAX, Ordering::Relaxed),
            &|| map.store(end, 0, Ordering::Relaxed),
            &|| map.copy_out(end - 1, &mut [0; 16]),
            &|| map.copy_out(u64::MAX, &mut [0; 8]),
            &|| map.copy_in(end - 1, &[0; 9]),
            &|| map.copy_in(end + 1, &[]),
            &|| _ = map.persist(end - 1..end + 1),
            &|| _ = map.word32(SIZE as usize),
        ];
        for (i, attempt) in attempts.into_iter().enumerate() {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt));
            assert!(outcome.is_err(), "attempt {i} was let through");
        }
        map.copy_in(end - 1, &[1; 8]);
        map.copy_in(end, &[]);
    }

    #[test]
    fn mappings_of_one_file_share_its_bytes_and_its_identity() {
        let (file, a) = zeros();
        let b = MappedFile::open(file.path(), Access::ReadOnly, SIZE).unwrap();
        a.store(9, 42, Ordering::Release);
        assert_eq!(b.load(9, Ordering::Acquire), 42);
        assert_eq!(a.shared.identity, b.shared.identity);
        assert_ne!(a.shared.identity, zeros().1.shared.identity);
        assert!(a.writable() && !b.writable());
    }

    #[test]
    #[should_panic(expected = "read-only")]
    fn a_store_into_a_read_only_mapping_panics() {
        let (file, _) = zeros();
        let map = MappedFile::open(file.path(), Access::ReadOnly, SIZE).unwrap();
        map.store(0, 1, Ordering::Relaxed);
    }

    #[test]
    fn what_is_not_a_regular_file_is_refused_without_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        let name = CString::new(fifo.as_os_str().as_bytes()).unwrap();
        // SAFETY: the name is a live string that ends in NUL.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let socket = directory.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();

        for access in [Access::ReadWrite, Access::ReadOnly, Access::Either] {
            for path in [directory.path(), &fifo, &socket, Path::new("/dev/null")] {
                assert_eq!(kind_of(path, access), ErrorKind::Usage, "{path:?}");
            }
        }
    }

    #[test]
    fn a_missing_or_unnameable_file_has_its_own_kind() {
        let directory = tempfile::tempdir().unwrap();
        let plain = file_of(b"x");
        let cases = [
            (directory.path().join("none"), ErrorKind::NotFound),
            (plain.path().join("below"), ErrorKind::NotFound),
            (directory.path().join("x".repeat(300)), ErrorKind::Usage),
            (directory.path().join("nul\0"), ErrorKind::Usage),
        ];
        for (path, kind) in cases {
            assert_eq!(kind_of(&path, Access::ReadWrite), kind, "{path:?}");
        }
    }

    #[test]
    fn a_file_that_is_too_short_is_corrupt() {
        for len in [0, 1, 7, 8, SIZE - 1] {
            let file = file_of(&vec![0; len as usize]);
            assert_eq!(kind_of(file.path(), Access::Either), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn an_odd_size_is_told_and_its_whole_words_are_mapped() {
        let file = file_of(&vec![7; SIZE as usize + 5]);
        let map = MappedFile::open(file.path(), Access::ReadWrite, SIZE).unwrap();
        assert_eq!((map.size(), map.words()), (SIZE + 5, SIZE / 8));
        map.check(None).unwrap();
    }

    #[test]
    fn a_check_finds_a_deleted_file() {
        let (file, map) = zeros();
        map.check(None).unwrap();
        file.close().unwrap();
        assert_eq!(map.check(None).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_check_finds_a_replaced_file() {
        let (file, map) = zeros();
        let other = file_of(&[0; SIZE as usize]);
        std::fs::rename(other.path(), file.path()).unwrap();
        assert_eq!(map.check(None).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_check_finds_another_size_and_names_both() {
        for size in [100, SIZE * 2] {
            let (file, map) = zeros();
            file.as_file().set_len(size).unwrap();
            let error = map.check(None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.message().contains(&SIZE.to_string()));
            assert!(error.message().contains(&size.to_string()));
        }
    }

    #[test]
    fn a_look_without_the_lock_spares_no_writer_its_own() {
        let now = 5_000_000_000;
        let (file, map) = zeros();
        map.check_unlocked(now).unwrap();
        file.close().unwrap();
        map.check_unlocked(now + CHECK_INTERVAL - 1).unwrap();
        assert!(map.check(Some(now)).is_err());
    }

    #[test]
    fn what_is_found_without_the_lock_concerns_the_next_writer() {
        let now = 5_000_000_000;
        let (file, map) = zeros();
        map.check(Some(now)).unwrap();
        file.close().unwrap();
        map.check(Some(now)).unwrap();
        assert!(map.check_unlocked(now).is_err());
        assert!(map.check(Some(now)).is_err());
    }

    #[test]
    fn a_check_asks_once_a_millisecond_and_whenever_the_clock_jumps_back() {
        let now = 5_000_000_000;
        let (file, map) = zeros();
        map.check(Some(now)).unwrap();
        file.as_file().set_len(1).unwrap();
        map.check(Some(now + CHECK_INTERVAL - 1)).unwrap();
        assert!(map.check(Some(now + CHECK_INTERVAL)).is_err());
        assert!(
            map.check(Some(now + CHECK_INTERVAL)).is_err(),
            "a failure lasts"
        );
        assert!(map.check(Some(now - CHECK_INTERVAL)).is_err());
        assert!(map.check(None).is_err());
    }

    #[test]
    fn persist_takes_any_range_inside_the_mapping() {
        let (_file, map) = zeros();
        map.store(700, 1, Ordering::Relaxed);
        for range in [0..0, 700..701, 511..513, 0..map.words()] {
            map.persist(range).unwrap();
        }
    }

    #[test]
    fn a_clone_keeps_the_mapping_alive() {
        let (_file, map) = zeros();
        let clone = map.clone();
        map.store(1, 7, Ordering::Relaxed);
        drop(map);
        assert_eq!(clone.load(1, Ordering::Relaxed), 7);
    }
}
