//! Survives the truncation of a mapped file.
//!
//! Touching a page that the file no longer has raises SIGBUS. The guard puts a page of zeros there instead and marks the
//! mapping as poisoned, for good, *before* any thread can see the zeros; whoever hands out bytes checks the mark.
//!
//! Mappings are known to the handler through a fixed table of atomics. It allocates nothing, waits for nothing, and never
//! refers to memory that could have been freed.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, PoisonError};

use super::sys;
use crate::core::error::{Error, ErrorKind, Result};

/// How many mappings can be guarded at once.
const SLOTS: usize = 1024;

static REGISTRY: Registry<SLOTS> = Registry::new();
static GUARD: Guard = Guard {
    installing: Mutex::new(()),
    installed: AtomicBool::new(false),
};

struct Guard {
    installing: Mutex<()>,
    installed: AtomicBool,
}

/// Installs the guard for the whole process, once. SIGBUS for any other reason goes to the handler there was before.
///
/// # Errors
///
/// `Io` if the system refuses, or if so many pools are already open that some have no place in the table.
pub fn install_guard() -> Result<()> {
    let _one_at_a_time = GUARD
        .installing
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if !GUARD.installed.load(Ordering::SeqCst) {
        sys::catch_faults(poison).map_err(cannot_catch)?;
        GUARD.installed.store(true, Ordering::SeqCst);
    }
    match REGISTRY.unguarded.load(Ordering::SeqCst) {
        0 => Ok(()),
        _ => Err(table_full()),
    }
}

/// A mapping's place in the table, from just after it was made until just before it is unmapped.
pub(super) struct Registration {
    slot: Option<usize>,
}

impl Registration {
    /// Registers `len` bytes from `address` on.
    pub(super) fn new(address: usize, len: usize, writable: bool) -> Result<Registration> {
        let slot = REGISTRY.add(address, len, writable);
        let registration = Registration { slot };
        if slot.is_none() && GUARD.installed.load(Ordering::SeqCst) {
            return Err(table_full());
        }
        Ok(registration)
    }

    #[inline]
    pub(super) fn poisoned(&self) -> bool {
        self.slot
            .is_some_and(|slot| REGISTRY.slots[slot].poisoned.load(Ordering::Relaxed))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        REGISTRY.remove(self.slot);
    }
}

#[cold]
fn cannot_catch(cause: io::Error) -> Error {
    if cause.kind() == io::ErrorKind::Unsupported {
        return Error::new(ErrorKind::Usage, "pools are not supported on this system")
            .hint(sys::UNSUPPORTED_HINT)
            .caused_by(cause);
    }
    Error::new(ErrorKind::Io, "cannot install the handler for SIGBUS")
        .hint("check what restricts signals in this process")
        .caused_by(cause)
}

#[cold]
fn table_full() -> Error {
    Error::new(
        ErrorKind::Io,
        format!(
            "more than {SLOTS} pools are open, and the guard against truncated files covers no more"
        ),
    )
    .hint("close some pools first")
}

/// The table of live mappings.
struct Registry<const N: usize> {
    slots: [Slot; N],
    /// How many live mappings found no slot.
    unguarded: AtomicUsize,
}

/// One mapping. `version` is odd while a slot is being changed, and another number afterwards.
struct Slot {
    used: AtomicBool,
    version: AtomicU64,
    start: AtomicUsize,
    end: AtomicUsize,
    writable: AtomicBool,
    poisoned: AtomicBool,
}

impl<const N: usize> Registry<N> {
    const fn new() -> Registry<N> {
        Registry {
            slots: [const { Slot::new() }; N],
            unguarded: AtomicUsize::new(0),
        }
    }

    /// The slot that was filled, or none if all are in use; the mapping then counts as unguarded.
    fn add(&self, address: usize, len: usize, writable: bool) -> Option<usize> {
        let Some(slot) = self.slots.iter().position(Slot::claim) else {
            self.unguarded.fetch_add(1, Ordering::SeqCst);
            return None;
        };
        self.slots[slot].change(address, address + len, writable);
        Some(slot)
    }

    fn remove(&self, slot: Option<usize>) {
        match slot {
            Some(slot) => {
                self.slots[slot].change(0, 0, false);
                self.slots[slot].used.store(false, Ordering::Release);
            }
            None => {
                self.unguarded.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    /// The slot of the mapping that `address` is in.
    fn find(&self, address: usize) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.holds(address))
    }
}

impl Slot {
    const fn new() -> Slot {
        Slot {
            used: AtomicBool::new(false),
            version: AtomicU64::new(0),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            writable: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
        }
    }

    fn claim(&self) -> bool {
        self.used
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Only by whoever claimed the slot.
    fn change(&self, start: usize, end: usize, writable: bool) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        self.poisoned.store(false, Ordering::Relaxed);
        self.start.store(start, Ordering::Relaxed);
        self.end.store(end, Ordering::Relaxed);
        self.writable.store(writable, Ordering::Relaxed);
        self.version.store(version + 2, Ordering::Release);
    }

    /// A slot that changes while it is looked at is not that of a mapping in which somebody is faulting.
    fn holds(&self, address: usize) -> bool {
        let version = self.version.load(Ordering::Acquire);
        let range = self.start.load(Ordering::Relaxed)..self.end.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        version.is_multiple_of(2)
            && version == self.version.load(Ordering::Relaxed)
            && range.contains(&address)
    }
}

/// Poisons the mapping that `address` is in, and tells whether it may be written; `None` if it is in none.
///
/// Runs on the thread that touched the missing page, wherever that was: only atomics are used.
fn poison(address: usize) -> Option<bool> {
    let slot = REGISTRY.find(address)?;
    slot.poisoned.store(true, Ordering::SeqCst);
    Some(slot.writable.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;
    use std::sync::atomic::Ordering::Relaxed;
    use std::thread;

    use memmap2::MmapOptions;

    use super::*;
    use crate::core::memory::Memory;
    use crate::platform::mapped::{Access, MappedFile};
    use crate::platform::spawned;

    const SIZE: u64 = 1 << 16;

    fn pool() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0xff; SIZE as usize]).unwrap();
        file
    }

    fn open(file: &tempfile::NamedTempFile, access: Access) -> MappedFile {
        MappedFile::open(file.path(), access, SIZE).unwrap()
    }

    #[test]
    fn a_truncated_file_reads_as_zeros_and_is_poisoned_and_no_other_is() {
        install_guard().unwrap();
        let (file, sound_file) = (pool(), pool());
        let (map, sound) = (
            open(&file, Access::ReadWrite),
            open(&sound_file, Access::ReadWrite),
        );
        let reader = open(&file, Access::ReadOnly);
        file.as_file().set_len(4096).unwrap();
        assert_eq!(map.load(0, Relaxed), u64::MAX);
        assert!(!map.poisoned());

        assert_eq!(map.load(SIZE / 8 - 1, Relaxed), 0);
        assert!(map.poisoned() && !reader.poisoned() && !sound.poisoned());
        map.store(SIZE / 16, 5, Relaxed);
        let mut bytes = vec![1; SIZE as usize];
        reader.copy_out(0, &mut bytes);
        assert!(reader.poisoned());
        assert!(bytes[..4096].iter().all(|&byte| byte == 0xff));
        assert!(bytes[4096..].iter().all(|&byte| byte == 0));
        assert_eq!(sound.load(SIZE / 8 - 1, Relaxed), u64::MAX);
    }

    #[test]
    fn poison_stays_when_the_file_grows_again_and_is_gone_in_a_new_mapping() {
        install_guard().unwrap();
        let file = pool();
        let map = open(&file, Access::ReadWrite);
        file.as_file().set_len(0).unwrap();
        assert_eq!(map.load(0, Relaxed), 0);
        file.as_file().set_len(SIZE).unwrap();
        assert!(map.poisoned());
        drop(map);
        assert!(!open(&file, Access::ReadWrite).poisoned());
    }

    #[test]
    fn threads_that_meet_the_same_missing_page_all_survive() {
        install_guard().unwrap();
        let file = pool();
        let map = open(&file, Access::ReadWrite);
        file.as_file().set_len(0).unwrap();
        thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for word in 0..map.words() {
                        assert_eq!(map.load(word, Relaxed), 0);
                        assert!(map.poisoned());
                    }
                });
            }
        });
    }

    #[test]
    fn a_fault_elsewhere_goes_to_the_handler_there_was_before() {
        match spawned::argument().as_deref() {
            Some("handler") => {
                let leave = leave as extern "C" fn(libc::c_int);
                // SAFETY: the handler has the signature asked for and only leaves the process.
                unsafe { libc::signal(libc::SIGBUS, leave as libc::sighandler_t) };
                fault_outside_the_table();
            }
            Some(_) => fault_outside_the_table(),
            None => {
                let run = |argument| {
                    let test = "a_fault_elsewhere_goes_to_the_handler_there_was_before";
                    spawned_status(test, argument)
                };
                assert_eq!(run("handler").code(), Some(77));
                assert_eq!(run("default").signal(), Some(libc::SIGBUS));
            }
        }
    }

    extern "C" fn leave(_signal: libc::c_int) {
        // SAFETY: `_exit` has no preconditions.
        unsafe { libc::_exit(77) }
    }

    fn fault_outside_the_table() {
        install_guard().unwrap();
        let file = pool();
        let map = MmapOptions::new().map_raw(file.as_file()).unwrap();
        file.as_file().set_len(0).unwrap();
        // SAFETY: the address is mapped; that the page behind it is gone is what this is about.
        unsafe { map.as_ptr().read_volatile() };
    }

    #[test]
    fn a_full_table_is_never_silent_under_the_guard() {
        let fill = || -> Vec<Registration> {
            let fake = |i| Registration::new(i * 4096, 4096, false).unwrap();
            (0..SLOTS).map(fake).collect()
        };
        let is_io = |e: Option<Error>| e.unwrap().kind() == ErrorKind::Io;
        match spawned::argument().as_deref() {
            Some("guard first") => {
                install_guard().unwrap();
                let mut all = fill();
                assert!(is_io(Registration::new(0, 4096, false).err()));
                all.pop();
                Registration::new(0, 4096, false).unwrap();
            }
            Some(_) => {
                let _all = fill();
                let unguarded = Registration::new(0, 4096, false).unwrap();
                assert!(!unguarded.poisoned());
                assert!(is_io(install_guard().err()));
                drop(unguarded);
                install_guard().unwrap();
            }
            None => {
                let run = |argument| {
                    spawned_status("a_full_table_is_never_silent_under_the_guard", argument)
                };
                assert!(run("guard first").success());
                assert!(run("guard last").success());
            }
        }
    }

    fn spawned_status(test: &str, argument: &str) -> ExitStatus {
        spawned::run(&format!("platform::sigbus::tests::{test}"), argument)
    }

    #[test]
    fn a_live_mapping_is_found_while_others_come_and_go() {
        let registry: Registry<8> = Registry::new();
        let own = registry.add(4096, 4096, true).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|s| {
            for thread in 1..3 {
                let (registry, done) = (&registry, &done);
                s.spawn(move || {
                    while !done.load(Relaxed) {
                        // Ranges that a mix of old and new ends would stretch over the live one.
                        let low = registry.add(thread, 8, false);
                        registry.remove(low);
                        let high = registry.add(1 << 20, 8, false);
                        registry.remove(high);
                    }
                });
            }
            for _ in 0..200_000 {
                let found = registry.find(5000).map(std::ptr::from_ref);
                assert_eq!(found, Some(std::ptr::from_ref(&registry.slots[own])));
            }
            done.store(true, Relaxed);
        });
        assert!(registry.find(8192).is_none() && registry.find(4095).is_none());
        assert!(registry.find(0).is_none());
    }
}
