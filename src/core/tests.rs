//! The core over memory on the heap: what a single party sees. Parties at once are loom's and the torture run's.

mod appending;
mod contention;
mod contested;
mod damage;
mod deletion;
mod flushing;
mod losses;
mod medium;
mod reading;
mod recovery;
mod salvage;
mod waking;

use super::append::{Appended, When};
use super::checkpoint::Checkpoint;
use super::cursor::{Cursor, Extent, Step};
use super::error::{Error, ErrorKind, Result};
use super::frame::{Entry, FrameHeader, STATE_WORD};
use super::geometry::Geometry;
use super::header::{Control, Header};
use super::heap::{HeapLock, HeapMemory, NoBell};
use super::index::{Found, Key};
use super::layout::*;
use super::memory::{Bell, LockWait, Memory, WriterLock};
use super::pool::{Pool, Recovery, delete, is_deleted};
use super::read::Frame;
use super::recover::Anchor;
use super::summed;
use super::verify::{IssueCode, Report};
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const BOOT_NOW: u64 = 7;

fn pool_with(index_capacity: Option<u64>) -> Pool<HeapMemory> {
    pool_of(MIN_FILE_SIZE, index_capacity)
}

fn pool_of(file_size: u64, index_capacity: Option<u64>) -> Pool<HeapMemory> {
    let geometry = Geometry::for_file(file_size, index_capacity).unwrap();
    let memory = HeapMemory::new(geometry.file_size);
    let header = Header {
        uuid: [9; 16],
        created: 1,
        geometry,
    };
    Pool::format(&memory, &header, BOOT_NOW);
    let recovery = Recovery::Write(&HeapLock::default(), LockWait::Forever);
    Pool::open(memory, file_size, BOOT_NOW, recovery).unwrap()
}

fn open(memory: HeapMemory, boot: u64) -> Result<Pool<HeapMemory>> {
    Pool::open(
        memory,
        MIN_FILE_SIZE,
        boot,
        Recovery::Write(&HeapLock::default(), LockWait::Forever),
    )
}

/// The pool after an OS crash at this very moment, with every store on the disk.
fn reboot(pool: &Pool<HeapMemory>, boot: u64) -> Result<Pool<HeapMemory>> {
    open(HeapMemory::from_bytes(&pool.memory().to_bytes()), boot)
}

fn append(pool: &Pool<HeapMemory>, data: &[&str]) -> Appended {
    let entries = data.iter().map(|data| Entry::new(b"", data.as_bytes()));
    let lock = HeapLock::default();
    pool.append(
        &lock,
        &NoBell,
        LockWait::Forever,
        entries,
        When::Now(|| 1000),
    )
    .unwrap()
}

fn append_at(pool: &Pool<HeapMemory>, stamps: &[(u64, u64)]) -> Result<Appended> {
    let entries = stamps.iter().map(|_| Entry::new(b"", b"0"));
    let lock = HeapLock::default();
    pool.append(
        &lock,
        &NoBell,
        LockWait::Forever,
        entries,
        When::<fn() -> u64>::Given(stamps),
    )
}

/// About a kilobyte of JSON that says its number.
fn filler(n: u64) -> String {
    format!("\"{n}:{}\"", "x".repeat(900 + n as usize % 100))
}

fn fill(pool: &Pool<HeapMemory>, count: u64) {
    for n in 1..=count {
        append(pool, &[&filler(n)]);
    }
}

fn read_all(pool: &Pool<HeapMemory>, mut cursor: Cursor) -> Vec<(u64, String)> {
    let mut frame = Frame::default();
    let mut seen = Vec::new();
    loop {
        match cursor.next(pool, &mut frame).unwrap() {
            Step::Message => {
                let text = String::from_utf8(frame.data().to_vec()).unwrap();
                seen.push((frame.header().unwrap().seq, text));
            }
            Step::Lapped { first, missed } => seen.push((first, format!("missed {missed}"))),
            Step::Empty => return seen,
        }
    }
}

fn seqs(pool: &Pool<HeapMemory>) -> Vec<u64> {
    read_all(pool, Cursor::oldest(pool).unwrap())
        .into_iter()
        .filter(|(_, text)| !text.starts_with("missed"))
        .map(|(seq, _)| seq)
        .collect()
}

fn get(pool: &Pool<HeapMemory>, seq: u64) -> Result<String> {
    let mut frame = Frame::default();
    pool.get(seq, &mut frame)?;
    assert_eq!(frame.header().unwrap().seq, seq);
    Ok(String::from_utf8(frame.data().to_vec()).unwrap())
}

fn frame_of(pool: &Pool<HeapMemory>, seq: u64) -> FrameHeader {
    match pool.find(Key::Seq(seq)).unwrap() {
        Found::Frame(frame) if frame.seq == seq => frame,
        found => panic!("message {seq} is not there: {found:?}"),
    }
}

/// Stores a header, with the checksum that it should have, where its frame is.
fn forge(pool: &Pool<HeapMemory>, header: &FrameHeader) {
    let encoded = header.encode();
    let mut words = encoded.words;
    words[STATE_WORD as usize] = encoded.committed;
    for (at, word) in (header.position..).step_by(WORD as usize).zip(words) {
        let at = pool.geometry().word_at(at);
        pool.memory().store(at, word, Relaxed);
    }
}

/// Changes one word of the frame, counted from its start.
fn damage(pool: &Pool<HeapMemory>, frame: &FrameHeader, word: u64) {
    let at = pool.geometry().word_at(frame.position + word * WORD);
    let value = pool.memory().load(at, Relaxed);
    pool.memory().store(at, !value, Relaxed);
}

/// What follows a frame and is not what its writer would have put there, its checksums being right.
fn impostors(newest: &FrameHeader) -> [(&'static str, FrameHeader); 4] {
    [
        (
            "the frame is not linked to the one before it",
            FrameHeader {
                link: newest.link ^ 1,
                ..*newest
            },
        ),
        (
            "seqs are missing before the frame, and it does not say so",
            FrameHeader {
                seq: newest.seq + 1,
                ..*newest
            },
        ),
        (
            "seqs are missing before the frame, and it does not say so",
            FrameHeader {
                seq: newest.seq - 1,
                hole: true,
                ..*newest
            },
        ),
        (
            "the frame is earlier than the one before it",
            FrameHeader {
                time: newest.time - 1,
                ..*newest
            },
        ),
    ]
}
