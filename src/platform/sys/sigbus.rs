//! The signal that a page raises which its file no longer has.

use std::io;
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Judge;

/// What to do about a fault.
static JUDGE: OnceLock<Judge> = OnceLock::new();
/// Who handled the signal before.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();
static PAGE_SIZE: AtomicUsize = AtomicUsize::new(0);

/// What there is to do where pools are not supported.
pub(crate) const UNSUPPORTED_HINT: &str = "use Linux or macOS";

/// Installs the handler. A fault for which `judge` finds no mapping goes to the handler there was before.
pub(crate) fn catch_faults(judge: Judge) -> io::Result<()> {
    // SAFETY: `sysconf` has no preconditions.
    let page_size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let page_size = usize::try_from(page_size).map_err(|_| io::Error::last_os_error())?;
    PAGE_SIZE.store(page_size, Ordering::Relaxed);
    JUDGE.get_or_init(|| judge);

    // The handler may run as soon as it is in place, so what it falls back to must be known before.
    let previous = current_action()?;
    PREVIOUS.get_or_init(|| previous);

    // SAFETY: all-zero bytes are a valid `sigaction`; the handler has the signature that SA_SIGINFO asks for, and is
    // safe in a signal handler as described there.
    let status = unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = on_sigbus as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut())
    };
    done(status)
}

fn current_action() -> io::Result<libc::sigaction> {
    // SAFETY: all-zero bytes are a valid `sigaction`, which the call overwrites.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: a null pointer asks for no change, and `action` is a live value to write to.
    done(unsafe { libc::sigaction(libc::SIGBUS, std::ptr::null(), &mut action) })?;
    Ok(action)
}

fn done(status: libc::c_int) -> io::Result<()> {
    match status {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs on the thread that touched the missing page. Only atomics and the system calls `mmap`, `sigaction` and `raise`
/// are used from here on.
extern "C" fn on_sigbus(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid `info`, and for a fault its address field is the one that is set.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    let fault = code > 0;
    if fault && replace_page(address) {
        return;
    }
    pass_on(signal, info, context, fault);
}

/// Puts a page of zeros at `address` if it is in a mapping of ours, whose mark is set before. False if it is in none.
fn replace_page(address: usize) -> bool {
    let Some(is_writable) = JUDGE.get().and_then(|judge| judge(address)) else {
        return false;
    };
    let page_size = PAGE_SIZE.load(Ordering::Relaxed);
    let protection = if is_writable {
        libc::PROT_READ | libc::PROT_WRITE
    } else {
        libc::PROT_READ
    };
    // SAFETY: the page is part of a mapping that `judge` has just seen registered, and which stays mapped while the
    // faulting access is in progress; only that mapping's page is replaced, and `munmap` later takes it along.
    let page = unsafe {
        libc::mmap(
            (address - address % page_size) as *mut libc::c_void,
            page_size,
            protection,
            libc::MAP_FIXED | libc::MAP_ANONYMOUS | libc::MAP_PRIVATE,
            -1,
            0,
        )
    };
    page != libc::MAP_FAILED
}

/// Does what would have happened without the guard.
fn pass_on(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
    fault: bool,
) {
    let handler = PREVIOUS
        .get()
        .map_or(libc::SIG_DFL, |action| action.sa_sigaction);
    let with_info = PREVIOUS
        .get()
        .is_some_and(|action| action.sa_flags & libc::SA_SIGINFO != 0);
    match handler {
        libc::SIG_IGN if !fault => {}
        libc::SIG_DFL | libc::SIG_IGN => die_of(signal),
        _ if with_info => {
            // SAFETY: the previous owner registered this address as a handler of three arguments.
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        _ => {
            // SAFETY: the previous owner registered this address as a handler of one argument.
            let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}

/// Restores the default, and raises the signal anew for when this handler returns.
fn die_of(signal: libc::c_int) {
    // SAFETY: both calls are safe in a signal handler, and SIG_DFL is a valid disposition.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}
