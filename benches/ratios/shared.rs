//! A page that processes share, and a bare futex on it.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::{SystemTime, UNIX_EPOCH};

use memmap2::MmapMut;

use crate::settings::Result;

/// Nanoseconds on a clock that all processes share.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_nanos() as u64)
}

/// A page that several processes share.
pub(crate) struct Page(MmapMut);

impl Page {
    const SIZE: u64 = 4096;

    pub(crate) fn create(path: &Path) -> Result<Page> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        file.set_len(Page::SIZE)?;
        Page::map(&file)
    }

    pub(crate) fn open(path: &Path) -> Result<Page> {
        Page::map(&OpenOptions::new().read(true).write(true).open(path)?)
    }

    fn map(file: &File) -> Result<Page> {
        // SAFETY: the mapping is only ever accessed as the atomics below, by all processes, and the file, which is in
        // a directory of this run, keeps the size that `create` gave it.
        Ok(Page(unsafe { MmapMut::map_mut(file)? }))
    }

    /// What is slept on: how many hand-offs there have been.
    pub(crate) fn word(&self) -> &AtomicU32 {
        // SAFETY: bytes 0 to 3 of the page, which is mapped as long as `self` lives; no other width touches them.
        unsafe { AtomicU32::from_ptr(self.0.as_ptr().cast_mut().cast()) }
    }

    /// When the last hand-off began.
    pub(crate) fn sent(&self) -> &AtomicU64 {
        self.long(1)
    }

    /// How often a process has said that it is ready for the next hand-off.
    pub(crate) fn answered(&self) -> &AtomicU64 {
        self.long(2)
    }

    /// A word on a cache line of its own.
    fn long(&self, line: usize) -> &AtomicU64 {
        assert!(line < Page::SIZE as usize / 64);
        // SAFETY: the check above keeps the word in the page, which is mapped as long as `self` lives; no other width
        // touches it.
        unsafe { AtomicU64::from_ptr(self.0.as_ptr().cast_mut().add(line * 64).cast()) }
    }
}

pub(crate) mod processors {
    //! Where this thread may run.

    use std::io;
    use std::mem::{size_of, zeroed};

    /// All that it may run on now.
    pub(crate) fn usable() -> io::Result<Vec<usize>> {
        // SAFETY: all-zero bytes are an empty set, which is a live value of the size that is told; 0 is this thread.
        let set: libc::cpu_set_t = unsafe {
            let mut set = zeroed();
            if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) != 0 {
                return Err(io::Error::last_os_error());
            }
            set
        };
        let is_in = |nth: &usize| {
            // SAFETY: the numbers are below the set's size.
            unsafe { libc::CPU_ISSET(*nth, &set) }
        };
        Ok((0..libc::CPU_SETSIZE as usize).filter(is_in).collect())
    }

    /// From now on, it runs on one of these only.
    pub(crate) fn stay_on(processors: &[usize]) -> io::Result<()> {
        // SAFETY: as above; `usable` has told these numbers.
        let outcome = unsafe {
            let mut set = zeroed();
            for nth in processors {
                libc::CPU_SET(*nth, &mut set);
            }
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
        };
        match outcome {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

pub(crate) mod futex {
    //! Two system calls.

    use std::ptr;
    use std::sync::atomic::AtomicU32;

    pub(crate) fn wake(word: &AtomicU32) {
        // SAFETY: the word is borrowed, hence mapped, for the whole call, which takes no other pointer.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAKE,
                libc::c_int::MAX,
            )
        };
    }

    pub(crate) fn wait(word: &AtomicU32, seen: u32) {
        // SAFETY: the word is borrowed, hence mapped, for the whole call; a null timeout means none.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAIT,
                seen,
                ptr::null::<libc::timespec>(),
            )
        };
    }
}
