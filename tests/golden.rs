//! A pool of format version 4, byte for byte.
//!
//! Guards against a change of the format that nobody meant to make. `golden/v4.plasmite` was written once; writing the
//! same messages anew has to give the same bytes, and what is in `golden/v4.jsonl` has to come out of it. Both files
//! change only with the format version, and then under another name, beside these.
#![cfg(not(feature = "noisy-index"))]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which the lint does not tell from other code"
)]

use std::fs;
use std::path::{Path, PathBuf};

use plasmite::core::append::When;
use plasmite::core::cursor::{Cursor, Step};
use plasmite::core::error::Result;
use plasmite::core::frame::Entry;
use plasmite::core::geometry::Geometry;
use plasmite::core::header::Header;
use plasmite::core::heap::{HeapLock, HeapMemory, NoBell};
use plasmite::core::layout::FORMAT_VERSION;
use plasmite::core::memory::{LockWait, Memory};
use plasmite::core::pool::{Pool, Recovery};
use plasmite::core::read::Frame;
use plasmite::platform::mapped::{Access, MappedFile};
use plasmite::{Client, ErrorKind, PoolRef, Start, TailOptions, Timestamp};

const SIZE: u64 = 64 * 1024;
/// 2026-01-02T03:04:05.000000006Z
const CREATED: u64 = 1_767_323_045_000_000_006;
/// That of no boot there ever was.
const BOOT: u64 = 0x0123_4567_89AB_CDEF;
const UUID: [u8; 16] = [
    0x70, 0x6c, 0x61, 0x73, 0x6d, 0x69, 0x44, 0x65, 0x80, 0x2e, 0x67, 0x6f, 0x6c, 0x64, 0x65, 0x6e,
];

#[test]
fn the_same_messages_give_the_same_bytes() {
    let expected = fs::read(golden("v4.plasmite")).unwrap_or_default();
    let found = write_anew();
    if found == expected {
        return;
    }
    let first = found.iter().zip(&expected).position(|(a, b)| a != b);
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("v4.plasmite");
    fs::write(&kept, &found).unwrap();
    panic!(
        "the bytes of a pool are no longer those of format version {FORMAT_VERSION}: they differ from byte {first:?} on.\n\
         The golden file changes only with the format version, and so with spec/format and docs/decisions.\n\
         What is written now is in {}.",
        kept.display()
    );
}

#[test]
fn a_reader_that_may_not_recover_it_reads_all_of_it_and_stores_nothing() {
    let before = fs::read(golden("v4.plasmite")).unwrap();
    let file = MappedFile::open(&golden("v4.plasmite"), Access::ReadOnly, SIZE).unwrap();
    let pool = Pool::open(file, SIZE, 1, Recovery::<HeapLock>::ReadOnly).unwrap();
    assert_eq!(read_all(&pool), expected());
    assert_eq!(pool.generation(), 0);
    assert_eq!(fs::read(golden("v4.plasmite")).unwrap(), before);
}

#[test]
fn a_reader_of_the_same_boot_believes_the_control_words() {
    let bytes = fs::read(golden("v4.plasmite")).unwrap();
    let pool = open(HeapMemory::from_bytes(&bytes)).unwrap();
    assert_eq!(read_all(&pool), expected());
    assert_eq!(pool.memory().to_bytes(), bytes);
    let report = pool.verify(|| u64::MAX).unwrap();
    assert_eq!(
        (report.issues, report.messages),
        (vec![], expected().len() as u64)
    );
}

#[test]
fn a_copy_is_recovered_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("copy.plasmite");
    // Not `fs::copy`, which would copy the permissions of a read-only checkout as well.
    fs::write(&path, fs::read(golden("v4.plasmite")).unwrap()).unwrap();
    let pool = Client::new(dir.path())
        .open_pool(&PoolRef::parse("copy").unwrap())
        .unwrap();
    let info = pool.info().unwrap();
    assert_eq!((info.generation, info.format_version), (1, 4));
    assert_eq!(info.uuid, "706c6173-6d69-4465-802e-676f6c64656e");
    assert_eq!(info.created, Timestamp::from_nanos(CREATED));
    let all = TailOptions {
        start: Start::Oldest,
        follow: false,
        ..TailOptions::default()
    };
    let lines: Vec<String> = pool
        .tail(all)
        .unwrap()
        .map(|message| serde_json::to_string(&message.unwrap()).unwrap())
        .collect();
    assert_eq!(lines, expected());
    let newest = pool.bounds().unwrap().newest.unwrap();
    let next = pool
        .append(
            &"next",
            &plasmite::Tags::none(),
            plasmite::Durability::Flush,
        )
        .unwrap();
    assert_eq!(next.first_seq, newest + 1);
}

#[test]
fn it_has_a_wrap_a_batch_tags_and_a_hole() {
    let pool = open(HeapMemory::from_bytes(&write_anew())).unwrap();
    let (oldest, newest) = pool.bounds().unwrap().unwrap();
    let g = pool.geometry();
    assert!(newest.position >= 2 * g.ring_size && oldest.position > g.ring_size);
    let mut frame = Frame::default();
    let mut headers = Vec::new();
    for seq in oldest.seq..=newest.seq {
        match pool.get(seq, &mut frame) {
            Ok(()) => headers.push(*frame.header().unwrap()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
        }
    }
    assert!(headers.iter().any(|h| h.hole) && headers.iter().any(|h| h.more));
    assert!(headers.iter().any(|h| h.tags_len == 0) && headers.iter().any(|h| h.tags_len > 0));
    assert!(
        headers
            .iter()
            .any(|h| g.bytes_to_wrap(h.position) < h.size())
    );
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// The retained messages, as lines of JSON.
fn expected() -> Vec<String> {
    let text = fs::read_to_string(golden("v4.jsonl")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn open(memory: HeapMemory) -> Result<Pool<HeapMemory>> {
    Pool::open(memory, SIZE, BOOT, Recovery::<HeapLock>::ReadOnly)
}

/// The bytes of a pool after everything that a format has to be able to hold.
fn write_anew() -> Vec<u8> {
    let header = Header {
        uuid: UUID,
        created: CREATED,
        geometry: Geometry::for_file(SIZE, Some(64)).unwrap(),
    };
    let memory = HeapMemory::new(SIZE);
    Pool::format(&memory, &header, BOOT);
    let pool = open(memory).unwrap();
    for n in 1..=200 {
        let data = format!(r#"{{"n":{n},"filler":"{}"}}"#, "abcdefgh".repeat(n % 80));
        append(&pool, &[("", &data)], n as u64);
    }
    let lock = HeapLock::default();
    pool.flush(&lock, LockWait::Forever).unwrap();
    append(
        &pool,
        &[
            (r#"["one"]"#, "1"),
            (r#"["a","ü","a"]"#, r#"{"k":1,"k":2}"#),
            ("", "123456789012345678901234567890.5e-3"),
        ],
        201,
    );
    append_at(&pool, &[(210, 500), (211, 500), (300, 501)]);
    append(&pool, &[("", "[null,true,\"\\u00e9\",{}]")], 502);
    pool.memory().to_bytes()
}

fn append(pool: &Pool<HeapMemory>, messages: &[(&str, &str)], nanos: u64) {
    let clock = || CREATED + nanos;
    let lock = HeapLock::default();
    pool.append(
        &lock,
        &NoBell,
        LockWait::Forever,
        entries(messages),
        When::Now(clock),
    )
    .unwrap();
}

fn append_at(pool: &Pool<HeapMemory>, stamps: &[(u64, u64)]) {
    let stamps: Vec<_> = stamps
        .iter()
        .map(|(seq, nanos)| (*seq, CREATED + nanos))
        .collect();
    let messages = vec![(r#"["import"]"#, r#""imported""#); stamps.len()];
    let when = When::<fn() -> u64>::Given(&stamps);
    let lock = HeapLock::default();
    pool.append(&lock, &NoBell, LockWait::Forever, entries(&messages), when)
        .unwrap();
}

fn entries<'a>(messages: &'a [(&str, &str)]) -> impl ExactSizeIterator<Item = Entry<'a>> + Clone {
    messages
        .iter()
        .map(|(tags, data)| Entry::new(tags.as_bytes(), data.as_bytes()))
}

/// Every retained message as a line of JSON, made here from what the core hands out.
fn read_all<M: Memory>(pool: &Pool<M>) -> Vec<String> {
    let mut cursor = Cursor::oldest(pool).unwrap();
    let mut frame = Frame::default();
    let mut lines = Vec::new();
    loop {
        match cursor.next(pool, &mut frame).unwrap() {
            Step::Message => lines.push(line(&frame)),
            Step::Lapped { .. } => {}
            Step::Empty => return lines,
        }
    }
}

fn line(frame: &Frame) -> String {
    let header = frame.header().unwrap();
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    let tags = match text(frame.tags()) {
        "" => "[]",
        tags => tags,
    };
    format!(
        r#"{{"seq":{},"time":"{}","meta":{{"tags":{tags}}},"data":{}}}"#,
        header.seq,
        Timestamp::from_nanos(header.time),
        text(frame.data())
    )
}
