//! What operating systems do in ways of their own. The rest of the platform is the same on all of them, and nothing
//! outside of the platform knows which one it runs on.
//!
//! | | Linux | macOS | other Unix | Windows |
//! |---|---|---|---|---|
//! | which file it is | device and inode | the same | the same | missing: volume and file index |
//! | a new file | without a name, then linked | under a temporary name, then linked | as macOS | missing: as macOS |
//! | space for it | `posix_fallocate` | `F_PREALLOCATE` | zeros are written | missing: `SetEndOfFile`, zeros |
//! | durable | `msync`, `fsync` | `msync`, `F_FULLFSYNC` | as Linux | `FlushViewOfFile`, `FlushFileBuffers` |
//! | pages to be stored to | `MADV_POPULATE_WRITE` | faults | faults | faults |
//! | writers' lock | `flock` | `flock` | `flock` | `LockFileEx`, by fs2 |
//! | sleep until woken | futex | polls | polls | polls |
//! | a file that is cut while mapped | SIGBUS | SIGBUS | SIGBUS | missing: `EXCEPTION_IN_PAGE_ERROR` |
//! | which boot it is | `boot_id` | `kern.bootsessionuuid` | none: pools open for reading only | missing |
//! | forks | are counted | are counted | are counted | do not happen |
//!
//! Tests run on Linux. `make check-systems` compiles the library and the command line for macOS, and the library for
//! FreeBSD and Windows. On Windows every pool is refused with `Usage`: what is missing answers
//! [`io::ErrorKind::Unsupported`].
//! Whoever writes it changes `windows.rs`, and no file outside of this directory.
//!
//! [`io::ErrorKind::Unsupported`]: std::io::ErrorKind::Unsupported

#[cfg(target_vendor = "apple")]
mod apple;
#[cfg(all(unix, feature = "cli"))]
mod child;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(all(unix, not(target_os = "linux")))]
mod not_linux;
#[cfg(all(unix, not(any(target_os = "linux", target_vendor = "apple"))))]
mod other_unix;
#[cfg(all(not(target_os = "linux"), not(feature = "no-wake")))]
mod polling;
#[cfg(all(unix, feature = "cli"))]
mod process;
#[cfg(unix)]
mod sigbus;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(target_vendor = "apple")]
pub(crate) use apple::*;
#[cfg(all(unix, feature = "cli"))]
pub(crate) use child::*;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) use not_linux::*;
#[cfg(all(unix, not(any(target_os = "linux", target_vendor = "apple"))))]
pub(crate) use other_unix::*;
#[cfg(all(not(target_os = "linux"), not(feature = "no-wake")))]
pub(crate) use polling::*;
#[cfg(all(unix, feature = "cli"))]
pub(crate) use process::*;
#[cfg(unix)]
pub(crate) use sigbus::*;
#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

#[cfg(not(any(unix, windows)))]
compile_error!(
    "there is no platform layer for this system: see src/platform/sys/mod.rs for what it has to do"
);

use super::mapped::FileIdentity;

/// What the system tells of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Which file it is.
    pub(crate) identity: FileIdentity,
    /// How many names it has.
    pub(crate) names: u64,
    /// Its size in bytes.
    pub(crate) size: u64,
}

/// What to do about a fault at an address: `None` if it is in no mapping of ours, else whether that may be written. It is
/// called while the fault is handled, where nothing may be allocated or waited for.
pub(crate) type Judge = fn(usize) -> Option<bool>;
