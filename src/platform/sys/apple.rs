//! macOS and its kin.
//!
//! There is no file without a name here, so a new pool is made under a temporary one. `msync` does not wait for the
//! drive: `F_FULLFSYNC` does, which is what the standard library's `sync_all` asks for. `flock` belongs to the open file
//! as on Linux, and is inherited by a fork. Sleepers poll: `os_sync_wait_on_address` with its flag for shared memory
//! would wake them, from macOS 14.4 on, and is left until somebody can run it. Pages that a file no longer has raise
//! SIGBUS as on Linux.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

pub(crate) fn boot_id() -> io::Result<Option<String>> {
    let mut id = [0u8; 64];
    let mut len = id.len();
    // SAFETY: the name ends in NUL, and `len` is the length of the live buffer `id`.
    let status = unsafe {
        libc::sysctlbyname(
            c"kern.bootsessionuuid".as_ptr(),
            id.as_mut_ptr().cast(),
            &mut len,
            std::ptr::null_mut(),
            0,
        )
    };
    if status != 0 {
        return Ok(None);
    }
    let id = id.split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(std::str::from_utf8(id).ok().map(str::to_owned))
}

pub(crate) fn network_file_system(file: &File) -> io::Result<Option<&'static str>> {
    // SAFETY: all-zero bytes are a valid `statfs`.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and `found` is a live value to write to.
    if unsafe { libc::fstatfs(file.as_raw_fd(), &mut found) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let local = found.f_flags & libc::MNT_LOCAL as u32 != 0;
    Ok((!local).then_some("network"))
}

/// `msync` leaves what it writes with the drive.
pub(crate) fn flush_drive(file: &File) -> io::Result<()> {
    file.sync_all()
}
