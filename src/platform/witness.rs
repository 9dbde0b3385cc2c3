//! Notes what a test's thread asks of the disk, in order: the calls below stand before the C library's own in the
//! test program, and pass on to the kernel.

use std::cell::RefCell;
use std::ffi::{c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::fs::MetadataExt;

/// What was asked of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To make so many bytes of a mapping durable.
    SyncMapping {
        bytes: usize,
    },
    /// To make the file or directory of this inode durable.
    Sync {
        inode: u64,
    },
    /// To give a file a name.
    Link,
    /// To give a file the name of another.
    Rename,
    /// To lock the file of this inode, and to let go of it.
    Lock {
        inode: u64,
    },
    Unlock {
        inode: u64,
    },
}

thread_local! {
    static ASKED: RefCell<Vec<Asked>> = const { RefCell::new(Vec::new()) };
}

/// What this thread has asked since it last called this.
pub(super) fn asked() -> Vec<Asked> {
    ASKED.take()
}

fn note(asked: Asked) {
    ASKED.with_borrow_mut(|all| all.push(asked));
}

fn inode(descriptor: RawFd) -> u64 {
    // SAFETY: the caller of a sync has the descriptor open, and `ManuallyDrop` leaves it so.
    let file = ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(descriptor) });
    file.metadata().map_or(0, |metadata| metadata.ino())
}

#[unsafe(no_mangle)]
extern "C" fn msync(address: *mut c_void, bytes: usize, flags: c_int) -> c_int {
    note(Asked::SyncMapping { bytes });
    // SAFETY: passes on what the caller vouches for.
    unsafe { libc::syscall(libc::SYS_msync, address, bytes, flags) as c_int }
}

#[unsafe(no_mangle)]
extern "C" fn fsync(descriptor: RawFd) -> c_int {
    note(Asked::Sync {
        inode: inode(descriptor),
    });
    // SAFETY: passes on what the caller vouches for.
    unsafe { libc::syscall(libc::SYS_fsync, descriptor) as c_int }
}

#[unsafe(no_mangle)]
extern "C" fn linkat(
    from_directory: RawFd,
    from: *const c_char,
    to_directory: RawFd,
    to: *const c_char,
    flags: c_int,
) -> c_int {
    note(Asked::Link);
    // SAFETY: passes on what the caller vouches for.
    let status = unsafe {
        libc::syscall(
            libc::SYS_linkat,
            from_directory,
            from,
            to_directory,
            to,
            flags,
        )
    };
    status as c_int
}

#[unsafe(no_mangle)]
extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    note(Asked::Rename);
    // SAFETY: passes on what the caller vouches for.
    let status = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            from,
            libc::AT_FDCWD,
            to,
            0,
        )
    };
    status as c_int
}

#[unsafe(no_mangle)]
extern "C" fn flock(descriptor: RawFd, operation: c_int) -> c_int {
    let inode = inode(descriptor);
    note(match operation & libc::LOCK_UN {
        0 => Asked::Lock { inode },
        _ => Asked::Unlock { inode },
    });
    // SAFETY: passes on what the caller vouches for.
    unsafe { libc::syscall(libc::SYS_flock, descriptor, operation) as c_int }
}
