//! The core over memory on the heap: what a single party sees. Parties at once are loom's and the torture run's.

use super::append::{Appended, When};
use super::cursor::{Cursor, Step};
use super::error::{Error, ErrorKind, Result};
use super::frame::Entry;
use super::geometry::Geometry;
use super::header::Header;
use super::heap::{HeapLock, HeapMemory, NoBell};
use super::index::{Found, Key};
use super::layout::*;
use super::memory::{LockWait, Memory};
use super::pool::{Pool, Recovery, delete};
use super::read::Frame;
use super::verify::IssueCode;
use std::sync::atomic::Ordering::Relaxed;

const BOOT_NOW: u64 = 7;

fn pool_with(index_capacity: Option<u64>) -> Pool<HeapMemory> {
    let geometry = Geometry::for_file(MIN_FILE_SIZE, index_capacity).unwrap();
    let memory = HeapMemory::new(geometry.file_size);
    let header = Header {
        uuid: [9; 16],
        created: 1,
        geometry,
    };
    Pool::format(&memory, &header, BOOT_NOW);
    open(memory, BOOT_NOW).unwrap()
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
    let entries = data.iter().map(|data| Entry {
        tags: b"",
        data: data.as_bytes(),
    });
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
    let entries = stamps.iter().map(|_| Entry {
        tags: b"",
        data: b"0",
    });
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

#[test]
fn an_empty_pool_has_no_bounds_and_no_messages() {
    let pool = pool_with(None);
    assert!(pool.bounds().unwrap().is_none());
    assert!(seqs(&pool).is_empty());
    assert_eq!(get(&pool, 0).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(get(&pool, 1).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!pool.verify(|| u64::MAX).unwrap().is_corrupt());
}

#[test]
fn messages_come_back_in_order_and_numbered_from_one() {
    let pool = pool_with(None);
    assert_eq!(
        append(&pool, &["1"]),
        Appended {
            first_seq: 1,
            last_seq: 1,
            time: 1000
        }
    );
    assert_eq!(
        append(&pool, &["2", "[3]"]),
        Appended {
            first_seq: 2,
            last_seq: 3,
            time: 1000
        }
    );
    let all = read_all(&pool, Cursor::oldest(&pool).unwrap());
    assert_eq!(all, [(1, "1".into()), (2, "2".into()), (3, "[3]".into())]);
}

#[test]
fn tags_and_data_of_every_length_survive_every_wrap() {
    let pool = pool_with(None);
    let lock = HeapLock::default();
    let mut frame = Frame::default();
    for n in 0..3000usize {
        let tags = if n % 3 == 0 {
            String::new()
        } else {
            format!("[\"{}\"]", "t".repeat(n % 17))
        };
        let data = format!("\"{}\"", "d".repeat(n % 111));
        let entry = Entry {
            tags: tags.as_bytes(),
            data: data.as_bytes(),
        };
        pool.append(
            &lock,
            &NoBell,
            LockWait::Forever,
            std::iter::once(entry),
            When::Now(|| 1),
        )
        .unwrap();
        pool.get(n as u64 + 1, &mut frame).unwrap();
        assert_eq!(
            (frame.tags(), frame.data()),
            (tags.as_bytes(), data.as_bytes())
        );
    }
    assert!(!pool.verify(|| u64::MAX).unwrap().is_corrupt());
}

#[test]
fn every_retained_message_is_found_with_any_index() {
    for capacity in [Some(0), Some(1), Some(64), None] {
        let pool = pool_with(capacity);
        fill(&pool, 300);
        let (oldest, newest) = pool.bounds().unwrap().unwrap();
        assert_eq!(newest.seq, 300);
        assert!(oldest.seq > 230 && oldest.seq < 250, "{}", oldest.seq);
        for seq in oldest.seq..=newest.seq {
            assert_eq!(get(&pool, seq).unwrap(), filler(seq));
        }
        for seq in [0, 1, oldest.seq - 1, newest.seq + 1, u64::MAX] {
            assert_eq!(get(&pool, seq).unwrap_err().kind(), ErrorKind::NotFound);
        }
    }
}

#[test]
fn an_index_of_noise_costs_nothing_but_time() {
    let pool = pool_with(Some(512));
    fill(&pool, 200);
    let (oldest, newest) = pool.bounds().unwrap().unwrap();
    let mut noise = 0x9E37_79B9_7F4A_7C15u64;
    for word in 0..1024 {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        pool.memory()
            .store(HEADER_SIZE / WORD + word, noise, Relaxed);
    }
    for seq in oldest.seq..=newest.seq {
        assert_eq!(get(&pool, seq).unwrap(), filler(seq));
    }
    let report = pool.verify(|| u64::MAX).unwrap();
    assert!(!report.is_corrupt());
    let mut issues = report.issues.iter().map(|issue| issue.code);
    assert!(issues.any(|code| code == IssueCode::IndexHint) || cfg!(feature = "noisy-index"));
}

#[test]
fn a_hint_at_another_message_is_a_miss() {
    let pool = pool_with(Some(512));
    fill(&pool, 20);
    let slot = |seq: u64| HEADER_SIZE / WORD + seq * 2 + 1;
    let other = pool.memory().load(slot(3), Relaxed);
    pool.memory().store(slot(7), other, Relaxed);
    assert_eq!(get(&pool, 7).unwrap(), filler(7));
}

#[test]
fn a_lapped_cursor_learns_exactly_what_it_missed() {
    let pool = pool_with(None);
    fill(&pool, 3);
    let cursor = Cursor::at_seq(&pool, 2).unwrap();
    fill(&pool, 300);
    let oldest = pool.bounds().unwrap().unwrap().0.seq;
    let all = read_all(&pool, cursor);
    assert_eq!(all[0], (2, format!("missed {}", oldest - 2)));
    let rest: Vec<u64> = all[1..].iter().map(|(seq, _)| *seq).collect();
    assert_eq!(rest, (oldest..=303).collect::<Vec<_>>());
}

#[test]
fn a_cursor_above_the_newest_waits_for_its_seq() {
    let pool = pool_with(None);
    fill(&pool, 3);
    let cursor = Cursor::at_seq(&pool, 6).unwrap();
    fill(&pool, 4);
    assert_eq!(
        read_all(&pool, cursor)
            .into_iter()
            .map(|(seq, _)| seq)
            .collect::<Vec<_>>(),
        [6, 7]
    );
}

#[test]
fn time_is_searched_inclusively_and_never_goes_back() {
    let pool = pool_with(None);
    let lock = HeapLock::default();
    for (n, clock) in [10u64, 20, 15, 20, 30].into_iter().enumerate() {
        let data = n.to_string();
        let entry = std::iter::once(Entry {
            tags: b"",
            data: data.as_bytes(),
        });
        let done = pool
            .append(
                &lock,
                &NoBell,
                LockWait::Forever,
                entry,
                When::Now(|| clock),
            )
            .unwrap();
        assert_eq!(done.time, [10, 20, 20, 20, 30][n]);
    }
    let from = |time| {
        let cursor = Cursor::at_time(&pool, time).unwrap();
        read_all(&pool, cursor).first().map(|(seq, _)| *seq)
    };
    assert_eq!(
        [0, 10, 11, 20, 21, 30, 31].map(from),
        [Some(1), Some(1), Some(2), Some(2), Some(5), Some(5), None]
    );
}

#[test]
fn the_last_messages_are_counted_not_computed() {
    let pool = pool_with(None);
    append_at(
        &pool,
        &[(5, 1000), (6, 1000), (20, 1000), (21, 1000), (40, 1000)],
    )
    .unwrap();
    let last = |count| {
        let cursor = Cursor::last_messages(&pool, count).unwrap();
        let mut frame = Frame::default();
        let mut cursor = cursor;
        let mut seen = Vec::new();
        loop {
            match cursor.next(&pool, &mut frame).unwrap() {
                Step::Message => seen.push(frame.header().unwrap().seq),
                Step::Lapped { .. } => {}
                Step::Empty => return seen,
            }
        }
    };
    assert_eq!(last(0), [0; 0]);
    assert_eq!(last(1), [40]);
    assert_eq!(last(2), [21, 40]);
    assert_eq!(last(3), [20, 21, 40]);
    assert_eq!(last(4), [6, 20, 21, 40]);
    assert_eq!(last(9), [5, 6, 20, 21, 40]);
}

#[test]
fn a_hole_is_a_gap_to_a_cursor_and_not_found_to_a_fetch() {
    let pool = pool_with(None);
    append_at(&pool, &[(1, 1000), (4, 1000)]).unwrap();
    let all = read_all(&pool, Cursor::at_seq(&pool, 1).unwrap());
    assert_eq!(
        all,
        [(1, "0".into()), (2, "missed 2".into()), (4, "0".into())]
    );
    assert_eq!(get(&pool, 3).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(append_at(&pool, &[(4, 1000)]).is_err());
    assert!(!pool.verify(|| u64::MAX).unwrap().is_corrupt());
}

/// Guards against a batch that reclaims more than it has to, or leaves `oldest` between two frames, where it looks for
/// the first frame that stays rather than walking to it.
#[test]
fn what_a_batch_reclaims_ends_at_the_first_frame_that_stays() {
    let pool = pool_with(None);
    let ring = pool.geometry().ring_size;
    let (mut frames, mut seen) = (vec![pool.newest().unwrap()], 0);
    for round in 0..400usize {
        let data = "7".repeat(1 + round * 37 % 900);
        let batch = vec![data.as_str(); 1 + round * 7 % 19];
        let appended = append(&pool, &batch);
        frames.extend((appended.first_seq..=appended.last_seq).map(|seq| {
            match pool.find(Key::Seq(seq)).unwrap() {
                Found::Frame(frame) => frame,
                Found::Beyond(_) => panic!("message {seq} is not there"),
            }
        }));
        let floor = frames.last().unwrap().end().saturating_sub(ring);
        let expected = frames.iter().find(|frame| frame.position >= floor).unwrap();
        let oldest = pool.control().unwrap().oldest;
        assert_eq!(oldest, expected.position, "round {round}");
        seen += usize::from(
            frames
                .iter()
                .filter(|frame| frame.position < oldest)
                .count()
                > 5,
        );
        frames.retain(|frame| frame.position >= oldest);
    }
    assert!(
        seen > 50,
        "only {seen} rounds reclaimed more than five frames"
    );
}

#[test]
fn a_batch_too_large_is_refused_and_leaves_no_trace() {
    let pool = pool_with(None);
    append(&pool, &["1"]);
    let before = pool.memory().to_bytes();
    let big = format!("\"{}\"", "x".repeat(pool.geometry().max_batch() as usize));
    let entries = [
        Entry {
            tags: b"",
            data: b"2",
        },
        Entry {
            tags: b"",
            data: big.as_bytes(),
        },
    ];
    let lock = HeapLock::default();
    let error = pool
        .append(
            &lock,
            &NoBell,
            LockWait::Forever,
            entries.into_iter(),
            When::Now(|| 1),
        )
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(pool.memory().to_bytes(), before);
}

#[test]
fn any_flipped_bit_of_a_frame_is_an_error_or_the_right_message() {
    let pool = pool_with(Some(64));
    append(&pool, &["[1]", "{\"k\":\"v\"}", "[3]"]);
    let image = pool.memory().to_bytes();
    let ring = pool.geometry().ring_offset as usize;
    let right = ["[1]", "{\"k\":\"v\"}", "[3]"];
    for bit in ring * 8..(ring + 48 + 56 + 64 + 56) * 8 {
        let mut flipped = image.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let Ok(pool) = open(HeapMemory::from_bytes(&flipped), BOOT_NOW) else {
            continue;
        };
        let mut damaged = false;
        for seq in 1..=3 {
            match get(&pool, seq) {
                Ok(text) => assert_eq!(text, right[seq as usize - 1], "bit {bit}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}: {error}");
                    damaged = true;
                }
            }
        }
        let in_genesis = bit < (ring + 48) * 8;
        assert!(damaged || in_genesis, "bit {bit} went unseen");
        assert!(
            pool.verify(|| u64::MAX).unwrap().is_corrupt(),
            "bit {bit} unseen by verify"
        );
    }
}

#[test]
fn any_flipped_bit_of_the_index_leaves_every_message_what_it_is() {
    let pool = pool_with(Some(64));
    fill(&pool, 40);
    let image = pool.memory().to_bytes();
    let index = HEADER_SIZE as usize * 8;
    for bit in index..index + 64 * 16 * 8 {
        let mut flipped = image.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let pool = open(HeapMemory::from_bytes(&flipped), BOOT_NOW).unwrap();
        // The message whose slot it is, and one that is found without it.
        let seq = ((bit - index) / 128).clamp(1, 40) as u64;
        for seq in [seq, 41 - seq] {
            assert_eq!(get(&pool, seq).unwrap(), filler(seq), "bit {bit}");
        }
        assert!(!pool.verify(|| u64::MAX).unwrap().is_corrupt(), "bit {bit}");
    }
}

#[test]
fn any_flipped_bit_of_a_control_word_never_yields_a_wrong_message() {
    let pool = pool_with(Some(64));
    fill(&pool, 200);
    let image = pool.memory().to_bytes();
    for bit in IMMUTABLE_SIZE as usize * 8..(WAITER_FLAG as usize + 4) * 8 {
        let mut flipped = image.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let Ok(pool) = open(HeapMemory::from_bytes(&flipped), BOOT_NOW) else {
            continue;
        };
        for seq in [150, 170, 200] {
            if let Ok(text) = get(&pool, seq) {
                assert_eq!(text, filler(seq), "bit {bit}");
            }
        }
    }
}

#[test]
fn an_append_never_fails_because_of_an_old_frame() {
    let pool = pool_with(None);
    fill(&pool, 100);
    let (oldest, _) = pool.bounds().unwrap().unwrap();
    for frame in 0..4 {
        let word = pool.geometry().word_at(oldest.position + frame * 8);
        pool.memory()
            .store(word, !pool.memory().load(word, Relaxed), Relaxed);
    }
    fill(&pool, 100);
    assert!(!pool.verify(|| u64::MAX).unwrap().is_corrupt());
}

#[test]
fn damage_is_reported_where_it_is_and_the_rest_stays_readable() {
    let pool = pool_with(None);
    fill(&pool, 30);
    let Found::Frame(hurt) = pool.find(Key::Seq(10)).unwrap() else {
        panic!()
    };
    let word = pool.geometry().word_at(hurt.position + 100 / 8 * 8);
    pool.memory().store(word, 1, Relaxed);
    assert_eq!(get(&pool, 10).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(get(&pool, 10).unwrap_err().seq_value(), Some(10));
    assert_eq!(get(&pool, 11).unwrap(), filler(11));
    let report = pool.verify(|| u64::MAX).unwrap();
    assert_eq!(report.last_good_seq, Some(9));
    assert_eq!(report.messages, 29);
    assert_eq!(report.issues.len(), 1);
    assert_eq!(report.issues[0].seq, Some(10));
}

#[test]
fn zeros_where_a_pool_was_are_corrupt_and_not_empty() {
    let pool = pool_with(None);
    for word in IMMUTABLE_SIZE / WORD..MIN_FILE_SIZE / WORD {
        pool.memory().store(word, 0, Relaxed);
    }
    assert_eq!(pool.newest().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(
        reboot(&pool, 8).map(|_| ()).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
}

#[test]
fn a_recovery_keeps_everything_when_nothing_was_lost() {
    let pool = pool_with(None);
    fill(&pool, 200);
    let before = seqs(&pool);
    for word in [INTENT, LAST, OLDEST] {
        pool.memory().store(word / WORD, 0, Relaxed);
    }
    let pool = reboot(&pool, 8).unwrap();
    assert_eq!(seqs(&pool), before);
    assert_eq!(pool.generation(), 1);
    assert_eq!(append(&pool, &["0"]).first_seq, 201);
    assert!(!pool.verify(|| u64::MAX).unwrap().is_corrupt());
}

#[test]
fn a_recovery_goes_up_to_the_first_break_and_never_reuses_a_seq() {
    let pool = pool_with(None);
    fill(&pool, 30);
    pool.flush(&HeapLock::default(), LockWait::Forever).unwrap();
    fill(&pool, 10);
    let Found::Frame(torn) = pool.find(Key::Seq(35)).unwrap() else {
        panic!()
    };
    pool.memory()
        .store(pool.geometry().word_at(torn.position + 64), 0, Relaxed);
    let pool = reboot(&pool, 8).unwrap();
    assert_eq!(*seqs(&pool).last().unwrap(), 34);
    assert_eq!(append(&pool, &["0"]).first_seq, 41);
    assert!(!pool.verify(|| u64::MAX).unwrap().is_corrupt());
    // What was discarded stays so, also after another crash.
    let pool = reboot(&pool, 9).unwrap();
    assert_eq!(seqs(&pool)[32..], [33, 34, 41]);
}

#[test]
fn a_recovery_cuts_an_incomplete_batch() {
    let pool = pool_with(None);
    append(&pool, &["1"]);
    append(&pool, &["2", "3", "4"]);
    let Found::Frame(torn) = pool.find(Key::Seq(4)).unwrap() else {
        panic!()
    };
    pool.memory()
        .store(pool.geometry().word_at(torn.position + 40), 0, Relaxed);
    let pool = reboot(&pool, 8).unwrap();
    assert_eq!(seqs(&pool), [1]);
    // Only the index knows that there was a seq 4.
    let is_traced = !cfg!(any(feature = "no-index", feature = "noisy-index"));
    let next = if is_traced { 5 } else { 4 };
    assert_eq!(append(&pool, &["5"]).first_seq, next);
}

#[test]
fn a_read_only_opener_sees_what_a_recovery_would_keep_and_stores_nothing() {
    let pool = pool_with(None);
    fill(&pool, 200);
    let expected = seqs(&pool);
    pool.memory().store(LAST / WORD, 3, Relaxed);
    let image = pool.memory().to_bytes();
    let recovery = Recovery::<HeapLock>::ReadOnly;
    let pool = Pool::open(HeapMemory::from_bytes(&image), MIN_FILE_SIZE, 8, recovery).unwrap();
    assert_eq!(seqs(&pool), expected);
    assert_eq!(pool.memory().to_bytes(), image);
}

#[test]
fn a_mark_that_no_deletion_stores_is_corrupt_and_no_deletion() {
    let pool = pool_with(None);
    fill(&pool, 3);
    for bit in 0..64 {
        for mark in [0, DELETED_MARK].map(|mark| mark ^ 1 << bit) {
            pool.memory().store(DELETED / WORD, mark, Relaxed);
            let image = HeapMemory::from_bytes(&pool.memory().to_bytes());
            for boot in [BOOT_NOW, BOOT_NOW + 1] {
                let image = HeapMemory::from_bytes(&image.to_bytes());
                let error = open(image, boot).map(drop).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{mark:#x}");
                assert_eq!(error.offset_value(), Some(DELETED));
            }
            let refused = pool.check_deleted().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Corrupt);
            let report = pool.verify(|| u64::MAX).unwrap();
            let [issue] = &report.issues[..] else {
                panic!("{report:?}")
            };
            let found = (issue.code, issue.offset, report.messages);
            assert_eq!(found, (IssueCode::Control, Some(DELETED), 3));
        }
    }
}

#[test]
fn a_deletion_that_fails_leaves_the_mark_as_it_was() {
    let pool = pool_with(None);
    for mark in [0, 1, DELETED_MARK] {
        pool.memory().store(DELETED / WORD, mark, Relaxed);
        let lock = HeapLock::default();
        let failed = delete(pool.memory(), &lock, &NoBell, LockWait::Forever, || {
            assert_eq!(pool.memory().load(DELETED / WORD, Relaxed), DELETED_MARK);
            Err(Error::new(ErrorKind::Permission, "not allowed"))
        });
        assert!(failed.is_err());
        assert_eq!(pool.memory().load(DELETED / WORD, Relaxed), mark);
    }
}

#[test]
fn a_deleted_pool_takes_nothing_more() {
    let pool = pool_with(None);
    let lock = HeapLock::default();
    let refused = delete(pool.memory(), &lock, &NoBell, LockWait::Forever, || {
        Err(Error::new(ErrorKind::Io, "no"))
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Io);
    append(&pool, &["1"]);
    delete(pool.memory(), &lock, &NoBell, LockWait::Forever, || Ok(())).unwrap();
    let entry = std::iter::once(Entry {
        tags: b"",
        data: b"2",
    });
    let error = pool
        .append(&lock, &NoBell, LockWait::Forever, entry, When::Now(|| 1))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // A deletion that was killed half-way can be finished.
    delete(pool.memory(), &lock, &NoBell, LockWait::Forever, || Ok(())).unwrap();
}
