//! What tells one boot of the system, and one file system, from another.

use std::fs::File;
use std::io;
use std::sync::OnceLock;

use super::sys;
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
    let file = sys::found(file).map_err(cannot_inspect)?.identity;
    Ok(Some(hash(boot_id, file.device, file.inode)))
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

/// The id of the boot that this process lives in, which it asks for once.
fn boot_id() -> io::Result<Option<&'static str>> {
    static KNOWN: OnceLock<String> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(Some(known));
    }
    let id = sys::boot_id()?.map(|id| id.trim().to_owned());
    Ok(id
        .filter(|id| !id.is_empty())
        .map(|id| KNOWN.get_or_init(|| id).as_str()))
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
        assert_eq!(sys::network_name(0x6969), Some("NFS"));
        assert_eq!(sys::network_name(libc::TMPFS_MAGIC as u32), None);
        // Virtual, hence local, on every machine.
        let proc = File::open("/proc/self/stat").unwrap();
        assert_eq!(network_file_system(&proc).unwrap(), None);
    }
}
