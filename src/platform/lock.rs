//! The writers' lock: a mutex for threads that share a handle, then `flock` for everybody else.

use std::fs::File;
use std::hint;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fs2::FileExt;
use parking_lot::{Mutex, MutexGuard};

use super::fork::fork_count;
use crate::core::error::{Error, ErrorKind, Result};
use crate::core::memory::{LockWait, WriterLock};

/// How often a writer that waits goes round before it tries for the first time again, about as long as an append takes.
const SPINS: u32 = 50;
/// Few appends take that long. Whoever sleeps leaves the pool to one writer at a time, to whom it costs the least: the
/// next one finds nothing of what it needs in its processor's caches, which is some 30 appends lost.
const FIRST_SLEEP: Duration = Duration::from_micros(400);
/// Each writer that wakes up takes the processor from one that writes: of eight on two processors, too much of it if they
/// all look once a millisecond.
const LONGEST_SLEEP: Duration = Duration::from_millis(2);

/// The lock on a pool file. Threads that share one `FileLock` exclude each other, and so do all that opened the file.
pub struct FileLock {
    threads: Mutex<()>,
    file: Arc<File>,
}

impl FileLock {
    /// A lock on `file`. All users of one open file must share one `FileLock`, because `flock` does not keep users of
    /// the same open file apart.
    pub fn new(file: Arc<File>) -> FileLock {
        FileLock {
            threads: Mutex::new(()),
            file,
        }
    }
}

impl WriterLock for FileLock {
    type Guard<'a> = FileLockGuard<'a>;

    fn acquire(&self, wait: LockWait) -> Result<FileLockGuard<'_>> {
        let mut deadline = Deadline::new(wait);
        let thread = lock_threads(&self.threads, &mut deadline)?;
        lock_file(&self.file, &mut deadline)?;
        Ok(FileLockGuard {
            file: &self.file,
            fork_count: fork_count(),
            _thread: thread,
        })
    }
}

/// Holds the lock. Dropping it, also in a panic, lets the next writer in.
pub struct FileLockGuard<'a> {
    file: &'a File,
    fork_count: u64,
    _thread: MutexGuard<'a, ()>,
}

impl Drop for FileLockGuard<'_> {
    fn drop(&mut self) {
        // A forked child shares the parent's lock, and must not release it.
        if self.fork_count == fork_count() {
            // Nothing can be done about a failure, which only an invalid descriptor could cause.
            let _ = FileExt::unlock(self.file);
        }
    }
}

fn lock_threads<'a>(threads: &'a Mutex<()>, deadline: &mut Deadline) -> Result<MutexGuard<'a, ()>> {
    // The clock is looked at once there is something to wait for.
    if let Some(thread) = threads.try_lock() {
        return Ok(thread);
    }
    loop {
        if let Some(thread) = threads.try_lock_for(deadline.remaining()?) {
            return Ok(thread);
        }
    }
}

fn lock_file(file: &File, deadline: &mut Deadline) -> Result<()> {
    let mut attempts = 0;
    loop {
        match deadline.wait {
            LockWait::AtMost(_) => match FileExt::try_lock_exclusive(file) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    back_off(attempts, deadline.remaining()?);
                    attempts += 1;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done.map_err(unlockable),
            },
            LockWait::Forever => match FileExt::lock_exclusive(file) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done.map_err(unlockable),
            },
        }
    }
}

/// Waits as long as an append takes on another processor, then lets others run, then sleeps for longer and longer.
fn back_off(attempts: u32, remaining: Duration) {
    match attempts {
        0 => (0..SPINS).for_each(|_| hint::spin_loop()),
        1 => thread::yield_now(),
        _ => {
            let sleep = FIRST_SLEEP.saturating_mul(1 << (attempts - 2).min(16));
            thread::sleep(sleep.min(LONGEST_SLEEP).min(remaining));
        }
    }
}

#[cold]
fn unlockable(cause: io::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot lock the pool file")
        .hint("put the pool on a local file system that supports flock")
        .caused_by(cause)
}

/// A bound on a wait that looks at the clock only once there is something to wait for.
struct Deadline {
    wait: LockWait,
    started: Option<Instant>,
}

impl Deadline {
    fn new(wait: LockWait) -> Deadline {
        Deadline {
            wait,
            started: None,
        }
    }

    /// How long there is still to wait, or `Busy`.
    fn remaining(&mut self) -> Result<Duration> {
        let LockWait::AtMost(bound) = self.wait else {
            return Ok(Duration::MAX);
        };
        let waited = self.started.get_or_insert_with(Instant::now).elapsed();
        match bound.checked_sub(waited) {
            Some(remaining) if !remaining.is_zero() => Ok(remaining),
            _ => Err(busy(bound)),
        }
    }
}

#[cold]
fn busy(bound: Duration) -> Error {
    let message = if bound.is_zero() {
        "another writer holds the pool".to_owned()
    } else {
        format!("another writer held the pool for {bound:?}")
    };
    Error::new(ErrorKind::Busy, message)
        .hint("try again; if it lasts, look for a writer that is stopped or stuck")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const AT_ONCE: LockWait = LockWait::AtMost(Duration::ZERO);

    /// Two locks that share nothing but the file, as two processes would; `flock` belongs to the open file.
    fn two_openers() -> (FileLock, FileLock) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || FileLock::new(Arc::new(File::open(file.path()).unwrap()));
        (open(), open())
    }

    fn one_opener() -> FileLock {
        FileLock::new(Arc::new(tempfile::tempfile().unwrap()))
    }

    fn is_busy(attempt: Result<FileLockGuard<'_>>) -> bool {
        matches!(attempt, Err(e) if e.kind() == ErrorKind::Busy)
    }

    #[test]
    fn openers_of_one_file_exclude_each_other() {
        let (a, b) = two_openers();
        let held = a.acquire(AT_ONCE).unwrap();
        assert!(is_busy(b.acquire(AT_ONCE)));
        drop(held);
        let held = b.acquire(AT_ONCE).unwrap();
        assert!(is_busy(a.acquire(AT_ONCE)));
        drop(held);
        a.acquire(LockWait::Forever).unwrap();
    }

    #[test]
    fn threads_that_share_a_lock_exclude_each_other() {
        let lock = one_opener();
        let _held = lock.acquire(AT_ONCE).unwrap();
        let busy = thread::scope(|s| s.spawn(|| is_busy(lock.acquire(AT_ONCE))).join().unwrap());
        assert!(busy);
    }

    #[test]
    fn a_bounded_wait_ends_in_busy_that_names_the_bound() {
        let (a, b) = two_openers();
        let _held = a.acquire(AT_ONCE).unwrap();
        let bound = LockWait::AtMost(Duration::from_millis(20));
        for lock in [&a, &b] {
            let error = lock.acquire(bound).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Busy);
            assert!(error.message().contains("20ms"), "{error}");
            assert!(error.hint_text().is_some());
        }
    }

    #[test]
    fn whoever_waits_gets_the_lock_once_it_is_free() {
        let (a, b) = two_openers();
        for wait in [LockWait::Forever, LockWait::AtMost(Duration::from_secs(60))] {
            for waiter in [&a, &b] {
                let held = a.acquire(AT_ONCE).unwrap();
                thread::scope(|s| {
                    let (started, starts) = mpsc::channel();
                    let waiting = s.spawn(move || {
                        started.send(()).unwrap();
                        waiter.acquire(wait).is_ok()
                    });
                    starts.recv().unwrap();
                    thread::sleep(Duration::from_millis(10));
                    drop(held);
                    assert!(waiting.join().unwrap());
                });
            }
        }
    }

    #[test]
    fn the_lock_protects_a_counter_from_lost_updates() {
        let (a, b) = two_openers();
        let counter = std::sync::atomic::AtomicU64::new(0);
        let order = std::sync::atomic::Ordering::Relaxed;
        thread::scope(|s| {
            for lock in [&a, &a, &b, &b] {
                s.spawn(|| {
                    for _ in 0..200 {
                        let _held = lock.acquire(LockWait::Forever).unwrap();
                        let seen = counter.load(order);
                        thread::yield_now();
                        counter.store(seen + 1, order);
                    }
                });
            }
        });
        assert_eq!(counter.into_inner(), 800);
    }

    #[test]
    fn a_panic_under_the_lock_lets_the_next_writer_in() {
        let (a, b) = two_openers();
        let panicked = thread::scope(|s| {
            s.spawn(|| {
                let _held = a.acquire(AT_ONCE).unwrap();
                panic!("a writer dies");
            })
            .join()
        });
        assert!(panicked.is_err());
        drop(b.acquire(AT_ONCE).unwrap());
        drop(a.acquire(AT_ONCE).unwrap());
    }

    #[test]
    fn a_forked_child_does_not_release_its_parents_lock() {
        let (a, b) = two_openers();
        let held = a.acquire(AT_ONCE).unwrap();
        // SAFETY: the child only makes system calls and changes its own copy of a mutex that is free, then leaves.
        unsafe {
            match libc::fork() {
                0 => {
                    drop(held);
                    libc::_exit(0);
                }
                child => assert_eq!(libc::waitpid(child, std::ptr::null_mut(), 0), child),
            }
        }
        assert!(is_busy(b.acquire(AT_ONCE)));
        drop(held);
        drop(b.acquire(AT_ONCE).unwrap());
    }
}
