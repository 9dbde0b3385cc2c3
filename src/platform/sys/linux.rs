//! Linux.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
#[cfg(not(feature = "no-wake"))]
use std::sync::atomic::AtomicU32;
#[cfg(not(feature = "no-wake"))]
use std::time::Duration;

use memmap2::{Advice, MmapRaw};

/// The `f_type` of file systems behind which there may be another machine, from `statfs(2)` and the kernel's headers.
/// FUSE is not among them: most of what uses it is local.
const NETWORK: [(u32, &str); 17] = [
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x0000_564c, "NCP"),
    (0x0102_1997, "9P"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x2003_0528, "OrangeFS"),
    (0x786f_4256, "VirtualBox shared folder"),
];

pub(crate) fn boot_id() -> io::Result<Option<String>> {
    match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Since Linux 5.14; before, it fails and nothing happens.
pub(crate) fn populate(map: &MmapRaw, offset: usize, length: usize) {
    let _ = map.advise_range(Advice::PopulateWrite, offset, length);
}

pub(crate) fn network_file_system(file: &File) -> io::Result<Option<&'static str>> {
    // SAFETY: all-zero bytes are a valid `statfs`.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and `found` is a live value to write to.
    if unsafe { libc::fstatfs(file.as_raw_fd(), &mut found) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // The field's type and sign differ between machines; the numbers have 32 bits.
    Ok(network_name(found.f_type as u32))
}

pub(crate) fn network_name(kind: u32) -> Option<&'static str> {
    NETWORK
        .iter()
        .find(|(k, _)| *k == kind)
        .map(|(_, name)| *name)
}

/// `msync` already waits for the drive.
pub(crate) fn flush_drive(_file: &File) -> io::Result<()> {
    Ok(())
}

/// A file without a name, or `None` where the system cannot make one or could not name it afterwards.
pub(crate) fn open_unnamed(directory: &Path) -> io::Result<Option<File>> {
    if !Path::new("/proc/self/fd").exists() {
        return Ok(None);
    }
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .open(directory);
    match opened {
        // What file systems and kernels without O_TMPFILE answer.
        Err(e)
            if matches!(
                e.raw_os_error(),
                Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)
            ) =>
        {
            Ok(None)
        }
        opened => opened.map(Some),
    }
}

/// Gives a file its name that has none.
pub(crate) fn name_unnamed(file: &File, path: &Path) -> io::Result<()> {
    let from = c_string(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))?;
    let to = c_string(path)?;
    // SAFETY: both strings live until the call returns and end in NUL.
    let status = unsafe {
        libc::linkat(
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::AT_SYMLINK_FOLLOW,
        )
    };
    match status {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn c_string(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

pub(crate) fn reserve(file: &File, size: u64) -> io::Result<()> {
    let size = size
        .try_into()
        .map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
    loop {
        // SAFETY: the descriptor is open for as long as `file` is borrowed. (The call returns its error number.)
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, size) } {
            0 => return Ok(()),
            libc::EINTR => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

pub(crate) fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        // SAFETY: the pointer and the length are those of one exclusive slice.
        let count = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(count) {
            Ok(count) => filled += count,
            Err(_) => match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::Interrupted => {}
                e => return Err(e),
            },
        }
    }
    Ok(())
}

/// Futexes are shared between processes: the kernel knows them by file and offset, not by address.
#[cfg(not(feature = "no-wake"))]
pub(crate) fn wake_all(word: &AtomicU32) {
    // SAFETY: the word is borrowed, hence mapped, for the whole call, and a wake takes no other pointer.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE,
            libc::c_int::MAX,
        );
    }
}

/// Every outcome is a reason to return: woken, timed out, interrupted, or the word has changed.
#[cfg(not(feature = "no-wake"))]
pub(crate) fn sleep_on(word: &AtomicU32, seen: u32, bound: Duration) {
    // SAFETY: all-zero bytes are a valid `timespec`.
    let mut timeout: libc::timespec = unsafe { std::mem::zeroed() };
    timeout.tv_sec = bound.as_secs().try_into().unwrap_or(libc::time_t::MAX);
    // Less than a thousand million, which any C long holds.
    timeout.tv_nsec = bound.subsec_nanos() as _;
    // SAFETY: the word is borrowed, hence mapped, for the whole call, and `timeout` outlives it.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            seen,
            &raw const timeout,
            std::ptr::null::<u32>(),
            0,
        );
    }
}
