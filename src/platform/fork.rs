//! Tells a handle that it crossed a `fork`, without a system call.
//!
//! A child inherits the parent's `flock` along with the descriptor, so the lock would not keep the two apart.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::sys;

static FORKS: AtomicU64 = AtomicU64::new(0);
static REGISTER: Once = Once::new();
static UNREGISTERED: AtomicBool = AtomicBool::new(false);

/// A number that is another one in a forked child than it was in its parent.
///
/// Only forks that come after the first call count. Children made by a bare `clone` system call, which runs no
/// handlers, are not seen.
pub fn fork_count() -> u64 {
    REGISTER.call_once(register);
    if UNREGISTERED.load(Ordering::Relaxed) {
        return u64::from(std::process::id());
    }
    FORKS.load(Ordering::Relaxed)
}

/// Registers the handler; where the system has no room for one, process ids serve instead.
fn register() {
    UNREGISTERED.store(!sys::on_fork_in_child(count_fork), Ordering::Relaxed);
}

/// Does nothing but add to a static atomic: a child of a threaded process may do no more.
extern "C" fn count_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_counts_one_more_and_the_parent_does_not() {
        let before = fork_count();
        // SAFETY: the child only loads an atomic and leaves by `_exit`, both allowed after a fork with threads.
        let status = unsafe {
            match libc::fork() {
                0 => libc::_exit(i32::from(fork_count() != before + 1)),
                child => {
                    assert!(child > 0, "fork failed");
                    let mut status = -1;
                    assert_eq!(libc::waitpid(child, &mut status, 0), child);
                    status
                }
            }
        };
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0);
        assert_eq!(fork_count(), before);
    }
}
