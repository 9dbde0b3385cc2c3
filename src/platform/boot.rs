//! What tells one boot of the system, and one file system, from another.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use crate::core::error::{Error, ErrorKind, Result};

/// A hash of the present boot and of the file's device and inode; never 0. `None` where the system has no boot id.
///
/// It differs after a reboot, and for a copied or restored file. It is FNV-1a of 64 bits over the text of the boot id and
/// the two numbers as little-endian words.
///
/// # Errors
///
/// `Io` if the file cannot be inspected or the boot id cannot be read.
pub fn boot_word(file: &File) -> Result<Option<u64>> {
    let Some(boot_id) = boot_id().map_err(|e| {
        Error::new(ErrorKind::Io, "cannot read the system's boot id")
            .hint("check that /proc is mounted and can be read")
            .caused_by(e)
    })?
    else {
        return Ok(None);
    };
    let metadata = file.metadata().map_err(cannot_inspect)?;
    Ok(Some(hash(&boot_id, metadata.dev(), metadata.ino())))
}

/// The name of the file's file system if its bytes may be those of another machine: memory shared through it is not
/// shared with everybody who has it mounted.
///
/// # Errors
///
/// `Io` if the file system cannot be inspected.
pub fn network_file_system(file: &File) -> Result<Option<&'static str>> {
    sys::network_file_system(file).map_err(cannot_inspect)
}

#[cold]
fn cannot_inspect(cause: io::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot inspect the pool file")
        .hint("check the disk and the system log, then try again")
        .caused_by(cause)
}

fn hash(boot_id: &str, device: u64, inode: u64) -> u64 {
    let numbers = [device.to_le_bytes(), inode.to_le_bytes()];
    let bytes = boot_id.bytes().chain(numbers.into_iter().flatten());
    fnv1a(bytes).max(1)
}

fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn boot_id() -> io::Result<Option<String>> {
    let id = sys::boot_id()?;
    Ok(id
        .map(|id| id.trim().to_owned())
        .filter(|id| !id.is_empty()))
}

#[cfg(target_os = "linux")]
mod sys {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;

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

    pub(super) fn boot_id() -> io::Result<Option<String>> {
        match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    pub(super) fn network_file_system(file: &File) -> io::Result<Option<&'static str>> {
        // SAFETY: all-zero bytes are a valid `statfs`.
        let mut found: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open for as long as `file` is borrowed, and `found` is a live value to write to.
        if unsafe { libc::fstatfs(file.as_raw_fd(), &mut found) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // The field's type and sign differ between machines; the numbers have 32 bits.
        let kind = found.f_type as u32;
        Ok(name(kind))
    }

    pub(super) fn name(kind: u32) -> Option<&'static str> {
        NETWORK
            .iter()
            .find(|(k, _)| *k == kind)
            .map(|(_, name)| *name)
    }
}

#[cfg(target_vendor = "apple")]
mod sys {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;

    pub(super) fn boot_id() -> io::Result<Option<String>> {
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

    pub(super) fn network_file_system(file: &File) -> io::Result<Option<&'static str>> {
        // SAFETY: all-zero bytes are a valid `statfs`.
        let mut found: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open for as long as `file` is borrowed, and `found` is a live value to write to.
        if unsafe { libc::fstatfs(file.as_raw_fd(), &mut found) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let local = found.f_flags & libc::MNT_LOCAL as u32 != 0;
        Ok((!local).then_some("network"))
    }
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
mod sys {
    use std::fs::File;
    use std::io;

    pub(super) fn boot_id() -> io::Result<Option<String>> {
        Ok(None)
    }

    pub(super) fn network_file_system(_file: &File) -> io::Result<Option<&'static str>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        // The published test vectors.
        assert_eq!(fnv1a("".bytes()), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a".bytes()), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a("foobar".bytes()), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn boot_device_and_inode_all_count() {
        let words = [
            hash("boot", 1, 2),
            hash("toob", 1, 2),
            hash("boot", 2, 2),
            hash("boot", 1, 1),
            hash("boot", 2, 1),
        ];
        for (i, word) in words.iter().enumerate() {
            assert!(!words[..i].contains(word));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_keeps_its_word_and_a_copy_has_another() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let other = tempfile::tempfile().unwrap();
        let word = boot_word(file.as_file()).unwrap().unwrap();
        assert_ne!(word, 0);
        assert_eq!(boot_word(&file.reopen().unwrap()).unwrap(), Some(word));
        assert_ne!(boot_word(&other).unwrap(), Some(word));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn network_file_systems_are_told_from_local_ones() {
        assert_eq!(sys::name(0x6969), Some("NFS"));
        assert_eq!(sys::name(libc::TMPFS_MAGIC as u32), None);
        // Virtual, hence local, on every machine.
        let proc = File::open("/proc/self/stat").unwrap();
        assert_eq!(network_file_system(&proc).unwrap(), None);
    }
}
