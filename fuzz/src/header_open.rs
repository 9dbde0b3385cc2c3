//! The pool header: any bytes, damaged ones, other versions, torn ones.
//!
//! Promised: no panic; a header that is not whole is `Corrupt`, with what is wrong, where, and what to do; another
//! format version is named beside the one that is understood (ERR-15); what opens has dimensions that fit its file.

use std::io::Write;
use std::path::Path;

use plasmite::core::geometry::Geometry;
use plasmite::core::header::{Header, RawHeader};
use plasmite::core::heap::HeapMemory;
use plasmite::core::layout::{
    FORMAT_VERSION, HEADER_SIZE, IMMUTABLE_CRC, IMMUTABLE_SIZE, MAGIC, MIN_FILE_SIZE,
};
use plasmite::{Client, Error, ErrorKind, PoolRef};

use crate::input::Input;
use crate::{base, errors, reference};

/// Checks one input: how the header comes about, the size of the file, and what it is made of.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let how = input.u8();
    let size = MIN_FILE_SIZE + u64::from(input.u16()) * 8;
    let mut bytes = match how % 4 {
        0 => input.rest().to_vec(),
        1 => damaged(header(size, input.u16()), &mut input),
        2 => torn(size, &mut input),
        _ => of_another_version(size, &mut input),
    };
    // Memory is whole words.
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let file_size = match how & 0x10 {
        0 => size,
        _ => input.u64(),
    };
    check_header(&bytes, file_size);
    // Seldom: files cost a hundred times as much.
    if how & 0xE0 == 0xA0 {
        check_file(&bytes, size);
    }
}

/// A whole header for a file of this size.
pub fn header(size: u64, slots: u16) -> Vec<u8> {
    let geometry = Geometry::for_file(size, Some(u64::from(slots) % 2048))
        .expect("so many slots take less than half of any file");
    let header = Header {
        uuid: [9; 16],
        created: 1,
        geometry,
    };
    let mut bytes: Vec<u8> = header
        .encode()
        .iter()
        .flat_map(|w| w.to_le_bytes())
        .collect();
    bytes.resize(HEADER_SIZE as usize, 0);
    bytes
}

/// Bytes exchanged for others, with or without the checksum that belongs to them.
fn damaged(mut bytes: Vec<u8>, input: &mut Input<'_>) -> Vec<u8> {
    let changes = input.u8();
    for _ in 0..changes & 0x0F {
        let at = usize::from(input.u16()) % IMMUTABLE_SIZE as usize;
        bytes[at] = input.u8();
    }
    if changes & 0x80 != 0 {
        let at = IMMUTABLE_CRC as usize;
        let crc = reference::crc(&bytes[..at]);
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
    bytes
}

/// The beginning of one header, and then zero bytes or another one.
fn torn(size: u64, input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = header(size, input.u16());
    let mut other = header(size + 8 * u64::from(input.u8()), input.u16());
    let at = usize::from(input.u16()) % bytes.len();
    match input.u8() % 3 {
        0 => bytes[at..].fill(0),
        1 => bytes[at..].copy_from_slice(&other.split_off(at)),
        _ => bytes.truncate(at),
    }
    bytes
}

/// The magic, a version, and anything.
fn of_another_version(size: u64, input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = header(size, 0);
    bytes[4..8].copy_from_slice(&input.u32().to_le_bytes());
    damaged(bytes, input)
}

fn check_header(bytes: &[u8], file_size: u64) {
    let memory = HeapMemory::from_bytes(bytes);
    match RawHeader::read(&memory).and_then(|raw| raw.check(file_size)) {
        Err(error) => {
            check_error(&error, HEADER_SIZE);
            names_the_version(bytes, &error);
        }
        Ok(header) => {
            let g = header.geometry;
            assert_eq!(version(bytes), Some(FORMAT_VERSION));
            assert_eq!(g.file_size, file_size, "the header is for another file");
            assert!(g.ring_offset + g.ring_size <= file_size);
            assert!(g.index_offset + g.index_capacity * 16 <= g.ring_offset);
            assert!(g.max_batch() <= g.ring_size / 2 && g.ring_size >= 4096);
            let crc = reference::crc(&bytes[..IMMUTABLE_CRC as usize]);
            assert_eq!(reference::word32(bytes, IMMUTABLE_CRC as usize), crc);
            let again: Vec<u8> = header
                .encode()
                .iter()
                .flat_map(|w| w.to_le_bytes())
                .collect();
            assert_eq!(again[..80], bytes[..80], "encodes to other fields");
        }
    }
}

/// By the library, from a file: nothing is read of it, and the error names it as well.
fn check_file(bytes: &[u8], size: u64) {
    let dir = base::directory();
    let path = dir.path().join("p.plasmite");
    write(&path, bytes, size).expect("a file in a temporary directory");
    let reference = PoolRef::parse("p").expect("a name");
    let client = Client::new(dir.path());
    for opened in [
        client.open_pool(&reference),
        client.open_pool_to_read(&reference),
    ] {
        // There is no frame in this file, whatever its header says.
        let Err(error) = opened else {
            panic!("a pool without a frame was opened");
        };
        check_error(&error, size);
        names_the_version(bytes, &error);
        assert_eq!(error.path_ref(), Some(path.as_path()), "{error}");
    }
    let report = client
        .verify_pool(&reference)
        .expect("a report on any file");
    assert!(
        report.is_corrupt(),
        "a pool without a frame is reported whole"
    );
}

fn write(path: &Path, bytes: &[u8], size: u64) -> std::io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(bytes)?;
    file.set_len(size)
}

fn check_error(error: &Error, end: u64) {
    errors::check(error, &[ErrorKind::Corrupt]);
    let offset = error.offset_value();
    assert!(offset.is_none_or(|offset| offset < end), "{error}");
}

fn names_the_version(bytes: &[u8], error: &Error) {
    let Some(found) = version(bytes).filter(|found| *found != FORMAT_VERSION) else {
        return;
    };
    for version in [found, FORMAT_VERSION] {
        let is_named = error.message().contains(&format!("version {version}"));
        assert!(is_named, "version {version} is not named (ERR-15): {error}");
    }
}

/// The format version of what is large enough to be a header and begins as one.
fn version(bytes: &[u8]) -> Option<u32> {
    (bytes.len() >= HEADER_SIZE as usize && bytes.starts_with(&MAGIC))
        .then(|| reference::word32(bytes, 4))
}
