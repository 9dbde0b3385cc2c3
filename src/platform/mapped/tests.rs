//! A mapped file: what is stored, what is found out about the file, and what is refused.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;

use super::*;

const SIZE: u64 = 8192;

fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

fn zeros() -> (tempfile::NamedTempFile, MappedFile) {
    let file = file_of(&[0; SIZE as usize]);
    let map = MappedFile::open(file.path(), Access::ReadWrite, SIZE).unwrap();
    (file, map)
}

fn kind_of(path: &Path, access: Access) -> ErrorKind {
    let error = MappedFile::open(path, access, SIZE).err().unwrap();
    assert!(error.hint_text().is_some(), "{error} has no hint");
    assert_eq!(error.path_ref(), Some(path));
    error.kind()
}

#[test]
fn words_are_little_endian_in_the_file() {
    let (file, map) = zeros();
    map.store(3, 0x0102_0304_0506_0708, Ordering::Release);
    assert_eq!(map.load(3, Ordering::Acquire), 0x0102_0304_0506_0708);
    let bytes = std::fs::read(file.path()).unwrap();
    assert_eq!(bytes[24..32], [8, 7, 6, 5, 4, 3, 2, 1]);
}

#[test]
fn copies_move_bytes_of_every_length_and_fill_up_the_last_word() {
    let (_file, map) = zeros();
    for len in 0..1000_usize {
        for first in [0, 1, 7] {
            (0..140).for_each(|word| map.store(word, u64::MAX, Ordering::Relaxed));
            let bytes: Vec<u8> = (0..len).map(|i| i as u8 ^ 0x5a).collect();
            map.copy_in(first, &bytes);

            let words = len.div_ceil(8);
            let mut copy = vec![0; words * 8];
            map.copy_out(first, &mut copy);
            assert_eq!(copy[..len], bytes);
            assert!(copy[len..].iter().all(|&byte| byte == 0));
            assert_eq!(map.load(first + words as u64, Ordering::Relaxed), u64::MAX);
        }
    }
}

#[test]
fn every_access_out_of_bounds_panics() {
    let (_file, map) = zeros();
    let end = map.words();
    let attempts: [&dyn Fn(); 10] = [
        &|| _ = map.load(end, Ordering::Relaxed),
        &|| _ = map.load(u64::MAX, Ordering::Relaxed),
        &|| map.store(end, 0, Ordering::Relaxed),
        &|| map.copy_out(end - 1, &mut [0; 16]),
        &|| map.copy_out(u64::MAX, &mut [0; 8]),
        &|| map.copy_in(end - 1, &[0; 9]),
        &|| map.copy_in(end + 1, &[]),
        &|| _ = map.persist(end - 1..end + 1),
        &|| map.expect_stores(end - 1..end + 1),
        &|| _ = map.word32(SIZE as usize),
    ];
    for (i, attempt) in attempts.into_iter().enumerate() {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(attempt));
        assert!(outcome.is_err(), "attempt {i} was let through");
    }
    map.copy_in(end - 1, &[1; 8]);
    map.copy_in(end, &[]);
}

#[test]
fn mappings_of_one_file_share_its_bytes_and_its_identity() {
    let (file, a) = zeros();
    let b = MappedFile::open(file.path(), Access::ReadOnly, SIZE).unwrap();
    a.store(9, 42, Ordering::Release);
    assert_eq!(b.load(9, Ordering::Acquire), 42);
    assert_eq!(a.shared.identity, b.shared.identity);
    assert_ne!(a.shared.identity, zeros().1.shared.identity);
    assert!(a.writable() && !b.writable());
}

#[test]
#[should_panic(expected = "read-only")]
fn a_store_into_a_read_only_mapping_panics() {
    let (file, _) = zeros();
    let map = MappedFile::open(file.path(), Access::ReadOnly, SIZE).unwrap();
    map.store(0, 1, Ordering::Relaxed);
}

#[test]
fn what_is_not_a_regular_file_is_refused_without_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    let name = CString::new(fifo.as_os_str().as_bytes()).unwrap();
    // SAFETY: the name is a live string that ends in NUL.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let socket = directory.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();

    for access in [Access::ReadWrite, Access::ReadOnly, Access::Either] {
        for path in [directory.path(), &fifo, &socket, Path::new("/dev/null")] {
            assert_eq!(kind_of(path, access), ErrorKind::Usage, "{path:?}");
        }
    }
}

#[test]
fn a_missing_or_unnameable_file_has_its_own_kind() {
    let directory = tempfile::tempdir().unwrap();
    let plain = file_of(b"x");
    let cases = [
        (directory.path().join("none"), ErrorKind::NotFound),
        (plain.path().join("below"), ErrorKind::NotFound),
        (directory.path().join("x".repeat(300)), ErrorKind::Usage),
        (directory.path().join("nul\0"), ErrorKind::Usage),
    ];
    for (path, kind) in cases {
        assert_eq!(kind_of(&path, Access::ReadWrite), kind, "{path:?}");
    }
}

#[test]
fn a_file_that_is_too_short_is_corrupt() {
    for len in [0, 1, 7, 8, SIZE - 1] {
        let file = file_of(&vec![0; len as usize]);
        assert_eq!(kind_of(file.path(), Access::Either), ErrorKind::Corrupt);
    }
}

#[test]
fn an_odd_size_is_told_and_its_whole_words_are_mapped() {
    let file = file_of(&vec![7; SIZE as usize + 5]);
    let map = MappedFile::open(file.path(), Access::ReadWrite, SIZE).unwrap();
    assert_eq!((map.size(), map.words()), (SIZE + 5, SIZE / 8));
    map.check(None).unwrap();
}

#[test]
fn a_check_finds_a_deleted_file() {
    let (file, map) = zeros();
    map.check(None).unwrap();
    file.close().unwrap();
    assert_eq!(map.check(None).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_check_finds_a_replaced_file() {
    let (file, map) = zeros();
    let other = file_of(&[0; SIZE as usize]);
    std::fs::rename(other.path(), file.path()).unwrap();
    assert_eq!(map.check(None).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_check_finds_another_size_and_names_both() {
    for size in [100, SIZE * 2] {
        let (file, map) = zeros();
        file.as_file().set_len(size).unwrap();
        let error = map.check(None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.message().contains(&SIZE.to_string()));
        assert!(error.message().contains(&size.to_string()));
    }
}

#[test]
fn a_look_without_the_lock_spares_no_writer_its_own() {
    let now = 5_000_000_000;
    let (file, map) = zeros();
    map.check_unlocked(now).unwrap();
    file.close().unwrap();
    map.check_unlocked(now + CHECK_INTERVAL - 1).unwrap();
    assert!(map.check(Some(now)).is_err());
}

#[test]
fn what_is_found_without_the_lock_concerns_the_next_writer() {
    let now = 5_000_000_000;
    let (file, map) = zeros();
    map.check(Some(now)).unwrap();
    file.close().unwrap();
    map.check(Some(now)).unwrap();
    assert!(map.check_unlocked(now).is_err());
    assert!(map.check(Some(now)).is_err());
}

#[test]
fn a_check_asks_once_a_millisecond_and_whenever_the_clock_jumps_back() {
    let now = 5_000_000_000;
    let (file, map) = zeros();
    map.check(Some(now)).unwrap();
    file.as_file().set_len(1).unwrap();
    map.check(Some(now + CHECK_INTERVAL - 1)).unwrap();
    assert!(map.check(Some(now + CHECK_INTERVAL)).is_err());
    assert!(
        map.check(Some(now + CHECK_INTERVAL)).is_err(),
        "a failure lasts"
    );
    assert!(map.check(Some(now - CHECK_INTERVAL)).is_err());
    assert!(map.check(None).is_err());
}

#[test]
fn persist_takes_any_range_inside_the_mapping() {
    let (_file, map) = zeros();
    map.store(700, 1, Ordering::Relaxed);
    for range in [0..0, 700..701, 511..513, 0..map.words()] {
        map.persist(range).unwrap();
    }
}

#[test]
fn words_that_are_made_ready_keep_their_values() {
    let (file, map) = zeros();
    map.store(3, 7, Ordering::Relaxed);
    for words in [0..SIZE / 8, 3..4, 5..5, SIZE / 8..SIZE / 8] {
        map.expect_stores(words);
    }
    assert_eq!(map.load(3, Ordering::Relaxed), 7);
    // What is gone is nobody's fault yet.
    file.as_file().set_len(0).unwrap();
    map.expect_stores(0..SIZE / 8);
    assert!(!map.poisoned());
}

#[cfg(target_os = "linux")]
#[test]
fn whoever_stores_to_part_after_part_has_each_made_ready_whole() {
    use std::os::unix::fs::FileExt;
    const PART: usize = 64 << 10;
    // Of holes, so that each page comes on its own.
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(16 * PART as u64).unwrap();
    let map = MappedFile::open(file.path(), Access::ReadWrite, SIZE).unwrap();
    let pages = File::open("/proc/self/pagemap").unwrap();
    let is_ready = |byte: usize| {
        let mut entry = [0; 8];
        let page = (map.base.as_ptr() as usize + byte) / 4096;
        pages.read_exact_at(&mut entry, page as u64 * 8).unwrap();
        u64::from_ne_bytes(entry) >> 63 == 1
    };
    let store_to = |part: usize| {
        map.copy_in((part * PART / WORD) as u64, b"stored");
        assert!(is_ready(part * PART));
        is_ready((part + 1) * PART - 1)
    };

    assert_eq!([0, 1, 2, 3].map(store_to), [false, false, true, true]);
    assert!(!is_ready(4 * PART));
    map.persist(0..map.words()).unwrap();
    assert_eq!([5, 6, 7].map(store_to), [false, false, true]);
    let page = (8 * PART / WORD) as u64;
    map.expect_stores(page..page + 1);
    assert_eq!([8, 9].map(store_to), [false, true]);
}

#[test]
fn a_clone_keeps_the_mapping_alive() {
    let (_file, map) = zeros();
    let clone = map.clone();
    map.store(1, 7, Ordering::Relaxed);
    drop(map);
    assert_eq!(clone.load(1, Ordering::Relaxed), 7);
}
