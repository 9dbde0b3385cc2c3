//! SIGINT and SIGTERM: end cleanly, and always end.
//!
//! A thread holds its share of the *work* lock while it has something in hand that should be finished, a batch for
//! example, and lets go of it while it waits for input. The first signal asks for an end; as soon as nobody holds the
//! lock, or after [`PATIENCE`], the process exits, whatever its threads are doing. A second signal exits at once.
//!
//! A command that runs another one has signals [diverted](divert): they are that one's then, and end nothing here.

use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use super::output;
use crate::core::error::{Error, ErrorKind, Result};
use crate::platform::{Ending, SIGTERM, endings};

/// How long the work in hand may take once a signal asked for the end.
const PATIENCE: Duration = Duration::from_secs(1);

/// The signal that came, or 0. Set by the handler itself, so that nothing the process does after it goes unaware.
static REQUESTED: AtomicUsize = AtomicUsize::new(0);
/// Shared by all that work, and taken whole by the end.
static WORK: RwLock<()> = RwLock::new(());
/// Whether the command ends by itself once it was asked to, and SIGTERM is how it is meant to end.
static GRACEFUL: AtomicBool = AtomicBool::new(false);
static CANCEL: Mutex<Option<Box<dyn Fn() + Send>>> = Mutex::new(None);
/// Where signals go instead, if anywhere.
static DIVERSION: Mutex<Option<Diversion>> = Mutex::new(None);

type Diversion = Box<dyn FnMut(&Ending) + Send>;

/// A thread's share of the work lock.
pub(crate) struct Work {
    guard: Option<RwLockReadGuard<'static, ()>>,
}

/// Starts to listen, with a share of the work lock for this thread.
pub(crate) fn install() -> Result<Work> {
    let failed = |cause| {
        Error::new(ErrorKind::Io, "cannot listen for signals")
            .hint("check the limits on open files and processes")
            .caused_by(cause)
    };
    let endings = endings(&REQUESTED).map_err(failed)?;
    let listen = move || {
        let mut is_first = true;
        for ending in endings {
            if let Some(handle) = &mut *diversion() {
                handle(&ending);
            } else if is_first {
                is_first = false;
                on_first(ending.signal);
            } else {
                // A second one is not patient.
                process::exit(i32::from(code_of(ending.signal)));
            }
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(listen)
        .map_err(failed)?;
    Ok(work())
}

/// A share of the work lock for this thread.
pub(crate) fn work() -> Work {
    Work {
        guard: Some(share()),
    }
}

/// Whether a signal asked for the end.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst) != 0
}

/// The exit code: that of the signal that asked for the end, else `code`.
pub(crate) fn exit_code(code: u8) -> u8 {
    match i32::try_from(REQUESTED.load(Ordering::SeqCst)) {
        _ if diversion().is_some() => code,
        Ok(0) | Err(_) => code,
        Ok(SIGTERM) if GRACEFUL.load(Ordering::SeqCst) => code,
        Ok(signal) => code_of(signal),
    }
}

/// Has `cancel` called when a signal comes, or now if one came already.
pub(crate) fn on_cancel(cancel: impl Fn() + Send + 'static) {
    let mut slot = CANCEL.lock().unwrap_or_else(PoisonError::into_inner);
    if requested() {
        cancel();
    }
    *slot = Some(Box::new(cancel));
}

/// Leaves the end to the command, which `end` asks for it; only a second signal exits at once.
#[cfg(feature = "serve")]
pub(crate) fn end_gracefully(end: impl Fn() + Send + 'static) {
    GRACEFUL.store(true, Ordering::SeqCst);
    on_cancel(end);
}

/// Leaves all signals from here on to `handle`, which a thread of its own calls with one after the other: none of them
/// ends the process. Not so, and `false`, if one came before and is ending the process.
pub(crate) fn divert(handle: impl FnMut(&Ending) + Send + 'static) -> bool {
    let mut diversion = diversion();
    if requested() {
        return false;
    }
    *diversion = Some(Box::new(handle));
    true
}

impl Work {
    /// Runs `wait` with no work in hand: a signal meanwhile ends the process at once.
    pub(crate) fn pause<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        self.guard = None;
        let result = wait();
        self.guard = Some(share());
        result
    }
}

fn on_first(signal: i32) {
    let is_graceful = GRACEFUL.load(Ordering::SeqCst);
    if !is_graceful
        && thread::Builder::new()
            .spawn(move || end_when_idle(signal))
            .is_err()
    {
        process::exit(i32::from(code_of(signal)));
    }
    if let Some(cancel) = &*CANCEL.lock().unwrap_or_else(PoisonError::into_inner) {
        cancel();
    }
}

fn end_when_idle(signal: i32) {
    let deadline = Instant::now() + PATIENCE;
    let _work = loop {
        match WORK.try_write() {
            Ok(guard) => break Some(guard),
            Err(TryLockError::Poisoned(guard)) => break Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => break None,
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(5)),
        }
    };
    output::flush_for_exit();
    process::exit(i32::from(code_of(signal)));
}

fn diversion() -> MutexGuard<'static, Option<Diversion>> {
    DIVERSION.lock().unwrap_or_else(PoisonError::into_inner)
}

fn share() -> RwLockReadGuard<'static, ()> {
    WORK.read().unwrap_or_else(PoisonError::into_inner)
}

fn code_of(signal: i32) -> u8 {
    match signal {
        SIGTERM => 143,
        _ => 130,
    }
}
