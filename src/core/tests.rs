//! The core over memory on the heap: what a single party sees. Parties at once are loom's and the torture run's.

use super::append::{Appended, When};
use super::cursor::{Cursor, Extent, Step};
use super::error::{Error, ErrorKind, Result};
use super::frame::{Entry, FrameHeader, STATE_WORD};
use super::geometry::Geometry;
use super::header::Header;
use super::heap::{HeapLock, HeapMemory, NoBell};
use super::index::{Found, Key};
use super::layout::*;
use super::memory::{Bell, LockWait, Memory};
use super::pool::{Pool, Recovery, delete};
use super::read::Frame;
use super::recover::Anchor;
use super::verify::{IssueCode, Report};
use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

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

/// Memory whose mark says that bytes went astray, from store number `stray` on, counted from 0.
struct Stray {
    memory: HeapMemory,
    stray: u64,
    stores: Cell<u64>,
}

impl Memory for Stray {
    fn words(&self) -> u64 {
        self.memory.words()
    }

    fn load(&self, word: u64, order: Ordering) -> u64 {
        self.memory.load(word, order)
    }

    fn store(&self, word: u64, value: u64, order: Ordering) {
        self.stores.set(self.stores.get() + 1);
        self.memory.store(word, value, order);
    }

    fn fence(&self, order: Ordering) {
        self.memory.fence(order);
    }

    fn persist(&self, words: Range<u64>) -> Result<()> {
        self.memory.persist(words)
    }

    fn check(&self, now: Option<u64>) -> Result<()> {
        self.memory.check(now)
    }

    fn poisoned(&self) -> bool {
        self.stores.get() > self.stray
    }
}

#[test]
fn an_append_that_may_have_gone_astray_is_not_acknowledged() {
    for stray in 0.. {
        let whole = pool_with(Some(64));
        append(&whole, &["1"]);
        let header = *whole.header();
        let memory = Stray {
            memory: HeapMemory::from_bytes(&whole.memory().to_bytes()),
            stray,
            stores: Cell::new(0),
        };
        let pool = Pool::attach(memory, header);
        let last = pool.memory.load(LAST / WORD, Relaxed);
        let entries = [Entry {
            tags: b"",
            data: b"2",
        }];
        let lock = HeapLock::default();
        let when = When::Now(|| 1000);
        let appended = pool.append(&lock, &NoBell, LockWait::Forever, entries.into_iter(), when);
        if !pool.memory.poisoned() {
            assert_eq!(appended.unwrap().last_seq, 2);
            assert!(stray > 8, "there were only {stray} stores");
            return;
        }
        assert_eq!(appended.unwrap_err().kind(), ErrorKind::Corrupt, "{stray}");
        // The store that publishes is the last one.
        let published = pool.memory.load(LAST / WORD, Relaxed) != last;
        let went_astray_before = stray + 1 < pool.memory.stores.get();
        assert!(!(published && went_astray_before), "{stray} is published");
    }
}

/// A bell that notes how long its sleepers would sleep.
#[derive(Default)]
struct Bedside(Cell<Duration>);

impl Bell for Bedside {
    fn word(&self, _order: Ordering) -> u32 {
        0
    }

    fn advance_word(&self, _order: Ordering) {}

    fn flag(&self) -> bool {
        false
    }

    fn set_flag(&self, _raised: bool) {}

    fn wake_all(&self) {}

    fn sleep(&self, _seen: u32, bound: Duration) {
        self.0.set(bound);
    }
}

#[test]
fn nobody_sleeps_for_longer_than_allowed() {
    let pool = pool_with(None);
    append(&pool, &["1"]);
    for bound in [
        Duration::MAX,
        Duration::from_secs(1),
        Duration::from_millis(2),
    ] {
        let bell = Bedside::default();
        let seen = pool.seen().unwrap();
        pool.wait(&bell, seen, bound).unwrap();
        let longest = Duration::from_millis(50);
        assert_eq!(bell.0.get(), bound.min(longest));
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

#[test]
fn a_cursor_put_among_missing_seqs_tells_of_those_from_there_on() {
    let pool = pool_with(None);
    append_at(&pool, &[(1, 1000), (5, 1000)]).unwrap();
    let from = |seq| read_all(&pool, Cursor::at_seq(&pool, seq).unwrap());
    assert_eq!(from(3), [(3, "missed 2".into()), (5, "0".into())]);
    assert_eq!(from(4), [(4, "missed 1".into()), (5, "0".into())]);
    assert_eq!(from(5), [(5, "0".into())]);
    fill(&pool, 300);
    let oldest = pool.bounds().unwrap().unwrap().0.seq;
    assert_eq!(from(5)[0], (5, format!("missed {}", oldest - 5)));
}

#[test]
fn a_cursor_at_the_end_sees_what_comes_after_and_nothing_missing() {
    let pool = pool_with(None);
    fill(&pool, 3);
    let cursor = Cursor::newest(&pool).unwrap();
    assert_eq!(cursor.next_seq(), 4);
    append(&pool, &["4", "5"]);
    assert_eq!(read_all(&pool, cursor), [(4, "4".into()), (5, "5".into())]);
}

#[test]
fn a_search_by_time_tells_nothing_of_seqs_that_are_missing_before() {
    let pool = pool_with(None);
    append_at(&pool, &[(5, 1000), (9, 2000)]).unwrap();
    let from = |time| read_all(&pool, Cursor::at_time(&pool, time).unwrap());
    assert_eq!(from(0)[0], (5, "0".into()));
    assert_eq!(from(1001), [(9, "0".into())]);
}

#[test]
fn more_messages_than_are_retained_are_all_that_are_retained() {
    let pool = pool_with(None);
    fill(&pool, 300);
    let retained = seqs(&pool);
    let cursor = Cursor::last_messages(&pool, 1000).unwrap();
    let all = read_all(&pool, cursor);
    assert_eq!(
        all.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        retained
    );
}

#[test]
fn an_extent_counts_messages_and_seqs_and_bytes() {
    let pool = pool_with(None);
    assert_eq!(pool.extent().unwrap(), None);
    let count = || {
        let extent = pool.extent().unwrap().unwrap();
        (extent.messages, extent.seq_span(), extent.bytes())
    };
    append_at(&pool, &[(4, 1000), (5, 1000), (6, 1000)]).unwrap();
    assert_eq!(count(), (3, 3, 3 * 56));
    append_at(&pool, &[(9, 1000), (10, 1000)]).unwrap();
    assert_eq!(count(), (5, 7, 5 * 56));
}

#[test]
fn what_is_not_found_says_why_and_what_there_is() {
    let pool = pool_with(None);
    let why = |seq| {
        let error = get(&pool, seq).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.seq_value(), Some(seq));
        format!("{error}; {}", error.hint_text().unwrap())
    };
    assert!(why(1).ends_with("has not been written yet; the pool is empty"));
    append_at(&pool, &[(1, 1000), (4, 1000)]).unwrap();
    let bounds = "; the oldest message is 1, the newest 4";
    assert!(why(0).ends_with(&format!("seqs start at 1{bounds}")));
    assert!(why(2).ends_with(&format!("was never used{bounds}")));
    assert!(why(5).ends_with(&format!("has not been written yet{bounds}")));
    fill(&pool, 300);
    assert!(why(1).contains("has been overwritten"));
}

#[test]
fn a_last_word_that_went_back_is_corrupt_to_who_has_seen_more() {
    let pool = pool_with(None);
    fill(&pool, 5);
    let mut cursor = Cursor::newest(&pool).unwrap();
    let earlier = frame_of(&pool, 4).position;
    pool.memory().store(LAST / WORD, earlier, Relaxed);
    let error = cursor.next(&pool, &mut Frame::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.offset_value(), Some(LAST));
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

#[test]
fn a_frame_that_does_not_follow_the_one_before_is_told_to_who_checks_and_who_reads() {
    let pool = pool_with(Some(0));
    fill(&pool, 9);
    let cursor = Cursor::newest(&pool).unwrap();
    fill(&pool, 1);
    let newest = frame_of(&pool, 10);
    for (what, header) in impostors(&newest) {
        forge(&pool, &header);
        let report = pool.verify(|| u64::MAX).unwrap();
        let [issue] = &report.issues[..] else {
            panic!("{report:?}")
        };
        assert_eq!((issue.code, &issue.message[..]), (IssueCode::Frame, what));
        assert_eq!(issue.seq, Some(header.seq));
        let offset = pool.geometry().offset_at(newest.position);
        assert_eq!(issue.offset, Some(offset));
        assert_eq!((report.messages, report.last_good_seq), (10, Some(9)));
        let read = cursor.clone().next(&pool, &mut Frame::default());
        if header.link != newest.link || header.seq > newest.seq {
            let error = read.unwrap_err();
            assert_eq!((error.kind(), error.message()), (ErrorKind::Corrupt, what));
        }
    }
}

#[test]
fn a_recovery_ends_before_a_frame_that_does_not_follow() {
    let pool = pool_with(Some(0));
    fill(&pool, 10);
    let newest = frame_of(&pool, 10);
    for (what, header) in impostors(&newest) {
        forge(&pool, &header);
        let kept = pool.examine().unwrap();
        assert_eq!(kept.newest_seq, 9, "{what}");
        assert_eq!(kept.seq_floor, header.seq.max(9), "{what}");
    }
    // What does follow is kept: one that repeats the time, one that flags the seqs that are missing before it.
    forge(&pool, &newest);
    assert_eq!(pool.examine().unwrap().newest_seq, 10);
    let behind_a_hole = FrameHeader {
        seq: 12,
        hole: true,
        ..newest
    };
    forge(&pool, &behind_a_hole);
    assert_eq!(pool.examine().unwrap().newest_seq, 12);
}

#[test]
fn a_frame_longer_than_any_may_be_is_corrupt_and_ends_a_recovery() {
    let pool = pool_with(Some(0));
    fill(&pool, 10);
    let newest = frame_of(&pool, 10);
    let longer = |data_len| FrameHeader { data_len, ..newest };
    let most = (pool.geometry().max_batch() - FRAME_HEADER_SIZE) as u32;
    for (data_len, what) in [
        (most + 1, "the frame's length is out of bounds"),
        (u32::MAX, "the frame's length is out of bounds"),
        (most, "the payload's checksum does not match"),
    ] {
        forge(&pool, &longer(data_len));
        assert_eq!(get(&pool, 10).unwrap_err().message(), what);
        assert_eq!(pool.examine().unwrap().newest_seq, 9);
    }
    // Nor may a frame go beyond what is committed, unless it is the newest.
    forge(&pool, &newest);
    let ninth = frame_of(&pool, 9);
    forge(
        &pool,
        &FrameHeader {
            data_len: ninth.data_len + newest.size() as u32,
            ..ninth
        },
    );
    assert_eq!(
        get(&pool, 9).unwrap_err().message(),
        "the frame's length is out of bounds"
    );
}

#[test]
fn a_damaged_frame_header_is_named_by_the_seq_that_should_be_there() {
    let pool = pool_with(Some(0));
    fill(&pool, 30);
    let hurt = frame_of(&pool, 10);
    damage(&pool, &hurt, 2);
    let report = pool.verify(|| u64::MAX).unwrap();
    let [issue] = &report.issues[..] else {
        panic!("{report:?}")
    };
    assert_eq!((issue.code, issue.seq), (IssueCode::Frame, Some(10)));
    assert_eq!(issue.offset, Some(pool.geometry().offset_at(hurt.position)));
    assert_eq!((report.messages, report.last_good_seq), (29, Some(9)));
    let error = get(&pool, 10).unwrap_err();
    assert_eq!(
        (error.kind(), error.seq_value()),
        (ErrorKind::Corrupt, Some(10))
    );
    for seq in [9, 11, 30] {
        assert_eq!(get(&pool, seq).unwrap(), filler(seq));
    }
}

#[test]
fn a_report_on_what_is_no_pool_says_what_it_is_and_what_to_do() {
    let error = open(HeapMemory::new(MIN_FILE_SIZE), BOOT_NOW)
        .map(drop)
        .unwrap_err();
    let report = Report::of_unusable(&error);
    let [issue] = &report.issues[..] else {
        panic!("{report:?}")
    };
    assert_eq!(
        (issue.code, &issue.message[..]),
        (IssueCode::Header, error.message())
    );
    assert_eq!(report.hint.as_deref(), error.hint_text());
    assert!(report.hint.is_some() && report.is_corrupt());
}

#[test]
fn a_recovery_goes_by_the_best_evidence_that_is_left() {
    let pool = pool_with(Some(0));
    let lock = HeapLock::default();
    for _ in 0..2 {
        fill(&pool, 5);
        pool.flush(&lock, LockWait::Forever).unwrap();
    }
    fill(&pool, 5);
    let (tenth, fifth, first) = (frame_of(&pool, 10), frame_of(&pool, 5), frame_of(&pool, 11));
    let found = || {
        let kept = pool.examine().unwrap();
        (
            kept.anchor,
            kept.control.oldest,
            kept.newest_seq,
            kept.seq_floor,
        )
    };
    let start = pool.geometry().first_position();
    assert_eq!(found(), (Anchor::Checkpoint, start, 15, 15));
    damage(&pool, &tenth, 8);
    assert_eq!(found(), (Anchor::OlderCheckpoint, start, 9, 15));
    damage(&pool, &fifth, 8);
    assert_eq!(found(), (Anchor::Last, first.position, 15, 15));
    pool.memory().store(LAST / WORD, 0, Relaxed);
    assert_eq!(found(), (Anchor::Highest, first.position, 15, 15));
    pool.memory()
        .store(LAST / WORD, frame_of_position(&pool, 3), Relaxed);
    assert_eq!(found(), (Anchor::Last, start, 4, 15));
}

/// The position of a frame near the start, found without a control word.
fn frame_of_position(pool: &Pool<HeapMemory>, seq: u64) -> u64 {
    let start = pool.geometry().first_position();
    let frame = std::iter::successors(pool.resync(start, u64::MAX), |frame| {
        pool.resync(frame.end(), u64::MAX)
    });
    frame
        .take(20)
        .find(|frame| frame.seq == seq)
        .unwrap()
        .position
}

/// Guards against seqs that are given out twice after a crash, because the index, which alone had reached the disk with
/// them, was not looked at, and against noise there that uses up seqs by the million.
#[cfg(not(feature = "noisy-index"))]
#[test]
fn a_recovery_believes_an_index_slot_that_is_plausible_and_no_other() {
    let pool = pool_with(Some(64));
    fill(&pool, 10);
    let end = frame_of(&pool, 10).position;
    let floor_with = |slot: u64, seq: u64, position: u64| {
        let word = HEADER_SIZE / WORD + slot * 2;
        pool.memory().store(word, seq, Relaxed);
        pool.memory().store(word + 1, position, Relaxed);
        let floor = pool.examine().unwrap().seq_floor;
        pool.memory().store(word, 0, Relaxed);
        pool.memory().store(word + 1, 0, Relaxed);
        floor
    };
    let farthest = 1 << 44;
    assert_eq!(floor_with(12, 12, end + 2 * 48), 12);
    assert_eq!(floor_with(12, 12, end + farthest), 12);
    assert_eq!(floor_with(12, 12, end + farthest + 8), 10);
    assert_eq!(floor_with(12, 12, end + 2 * 48 - 8), 10);
    assert_eq!(floor_with(12, 12, end + 2 * 48 + 4), 10);
    assert_eq!(floor_with(13, 12, end + 2 * 48), 10);
    assert_eq!(floor_with(12, 12, end - 48), 10);
    assert_eq!(floor_with(12, 12 + 64, end + 66 * 48), 76);
    assert_eq!(floor_with(12, 12 + 64, end + 65 * 48), 10);
}

/// Memory that loses power: only what was persisted is left then.
struct Durable {
    memory: HeapMemory,
    medium: HeapMemory,
    persisted: Cell<u64>,
}

impl Memory for Durable {
    fn words(&self) -> u64 {
        self.memory.words()
    }

    fn load(&self, word: u64, order: Ordering) -> u64 {
        self.memory.load(word, order)
    }

    fn store(&self, word: u64, value: u64, order: Ordering) {
        self.memory.store(word, value, order);
    }

    fn fence(&self, order: Ordering) {
        self.memory.fence(order);
    }

    fn persist(&self, words: Range<u64>) -> Result<()> {
        self.persisted
            .set(self.persisted.get() + (words.end - words.start));
        for word in words {
            let value = self.memory.load(word, Relaxed);
            self.medium.store(word, value, Relaxed);
        }
        Ok(())
    }

    fn check(&self, _now: Option<u64>) -> Result<()> {
        Ok(())
    }

    fn poisoned(&self) -> bool {
        false
    }
}

#[test]
fn what_was_flushed_survives_the_loss_of_all_that_was_not_synced() {
    let whole = pool_with(Some(64));
    let bytes = whole.memory().to_bytes();
    let memory = Durable {
        memory: HeapMemory::from_bytes(&bytes),
        medium: HeapMemory::from_bytes(&bytes),
        persisted: Cell::new(0),
    };
    let pool = Pool::attach(memory, *whole.header());
    let lock = HeapLock::default();
    let mut seq = 0;
    for round in 0..120 {
        for _ in 0..[1, 3, 0, 7, 80][round % 5] {
            seq += 1;
            let data = filler(seq);
            let entry = std::iter::once(Entry {
                tags: b"",
                data: data.as_bytes(),
            });
            let when = When::Now(|| 1000);
            pool.append(&lock, &NoBell, LockWait::Forever, entry, when)
                .unwrap();
        }
        pool.memory.persisted.set(0);
        pool.flush(&lock, LockWait::Forever).unwrap();
        let persisted = pool.memory.persisted.get() * WORD;
        // The header, twice, and what is new with the frame before it: no more than a lap of that.
        let most = 2 * HEADER_SIZE + ([1, 3, 0, 7, 80][round % 5] + 1) * 1056;
        let lap = 2 * HEADER_SIZE + pool.geometry().ring_size;
        assert!(persisted <= most.min(lap), "{persisted} in round {round}");
        let left = open(HeapMemory::from_bytes(&pool.memory.medium.to_bytes()), 8).unwrap();
        let (oldest, newest) = left.bounds().unwrap().unwrap();
        assert_eq!(newest.seq, seq, "round {round}");
        let (first, _) = pool.bounds().unwrap().unwrap();
        assert_eq!(oldest.seq, first.seq, "round {round}");
        assert_eq!(get(&left, seq).unwrap(), filler(seq));
    }
}

#[test]
fn a_reclaimed_frame_that_is_damaged_takes_no_other_with_it() {
    let pool = pool_with(None);
    fill(&pool, 300);
    let image = pool.memory().to_bytes();
    let retained: Vec<_> = seqs(&pool)
        .into_iter()
        .map(|seq| frame_of(&pool, seq))
        .collect();
    let oldest = retained[0];
    let longer = FrameHeader {
        data_len: 100_000,
        ..oldest
    };
    let ways: [&dyn Fn(&Pool<HeapMemory>); 2] = [&|pool| damage(pool, &oldest, 2), &|pool| {
        forge(pool, &longer)
    }];
    for spoil in ways {
        let pool = open(HeapMemory::from_bytes(&image), BOOT_NOW).unwrap();
        spoil(&pool);
        append(&pool, &[&filler(7)]);
        let control = pool.control().unwrap();
        let floor = control.intent - pool.geometry().ring_size;
        let stays = retained.iter().find(|frame| frame.position >= floor);
        assert_eq!(control.oldest, stays.unwrap().position);
        assert!(control.oldest > oldest.position);
    }
}

/// Memory on which somebody else gets in before a load; he is told which word it is that would be loaded.
struct Contested<'a> {
    memory: &'a HeapMemory,
    before_load: &'a dyn Fn(u64),
}

impl Memory for Contested<'_> {
    fn words(&self) -> u64 {
        self.memory.words()
    }

    fn load(&self, word: u64, order: Ordering) -> u64 {
        (self.before_load)(word);
        self.memory.load(word, order)
    }

    fn store(&self, word: u64, value: u64, order: Ordering) {
        self.memory.store(word, value, order);
    }

    fn fence(&self, order: Ordering) {
        self.memory.fence(order);
    }

    fn persist(&self, words: Range<u64>) -> Result<()> {
        self.memory.persist(words)
    }

    fn check(&self, now: Option<u64>) -> Result<()> {
        self.memory.check(now)
    }

    fn poisoned(&self) -> bool {
        self.memory.poisoned()
    }
}

/// Appends messages of about a kilobyte to the pool in `memory`, as another process would.
fn append_beside(memory: &HeapMemory, header: Header, count: u64) {
    let undisturbed = |_| ();
    let memory = Contested {
        memory,
        before_load: &undisturbed,
    };
    let pool = Pool::attach(memory, header);
    let mut seq = pool.newest().unwrap().seq;
    for _ in 0..count {
        seq += 1;
        let data = filler(seq);
        let entry = std::iter::once(Entry {
            tags: b"",
            data: data.as_bytes(),
        });
        let when = When::Now(|| 1000);
        pool.append(
            &HeapLock::default(),
            &NoBell,
            LockWait::Forever,
            entry,
            when,
        )
        .unwrap();
    }
}

/// Does something with a full pool, and again for every `stride`th load that it makes: there a writer gets in, who
/// overwrites the oldest messages.
fn overtaken(
    index_capacity: u64,
    stride: usize,
    mut act: impl FnMut(&Pool<Contested<'_>>, Extent),
) {
    let pool = pool_with(Some(index_capacity));
    fill(&pool, 300);
    let extent = pool.extent().unwrap().unwrap();
    let image = pool.memory().to_bytes();
    let times = (0..).step_by(stride).take_while(|&after| {
        let memory = HeapMemory::from_bytes(&image);
        let loads = Cell::new(0);
        let strike = |_| {
            if loads.replace(loads.get() + 1) == after {
                append_beside(&memory, *pool.header(), 3);
            }
        };
        let memory = Contested {
            memory: &memory,
            before_load: &strike,
        };
        act(&Pool::attach(memory, *pool.header()), extent);
        loads.get() > after
    });
    let times = times.count();
    assert!(times > 20, "a writer got in {times} times only");
}

#[test]
fn whoever_fetches_a_message_while_it_is_overwritten_gets_it_whole_or_not_at_all() {
    for index_capacity in [0, 64] {
        overtaken(index_capacity, 1, |pool, extent| {
            let mut frame = Frame::default();
            let seq = extent.oldest.seq + 1;
            match pool.get(seq, &mut frame) {
                Ok(()) => assert_eq!(frame.data(), filler(seq).as_bytes()),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                    assert!(error.message().ends_with("has been overwritten"), "{error}");
                }
            }
        });
    }
}

#[test]
fn whoever_follows_while_messages_are_overwritten_learns_which_ones_went() {
    overtaken(0, 1, |pool, extent| {
        let mut cursor = Cursor::at_seq(pool, extent.oldest.seq).unwrap();
        let mut frame = Frame::default();
        let mut next = extent.oldest.seq;
        for _ in 0..3 {
            match cursor.next(pool, &mut frame).unwrap() {
                Step::Message => {
                    assert_eq!(frame.header().unwrap().seq, next);
                    assert_eq!(frame.data(), filler(next).as_bytes());
                    next += 1;
                }
                Step::Lapped { first, missed } => {
                    assert_eq!(first, next);
                    assert!((1..=4).contains(&missed), "{missed}");
                    next += missed;
                }
                Step::Empty => panic!("there are more"),
            }
        }
    });
}

#[test]
fn bounds_and_counts_are_right_while_messages_are_overwritten() {
    overtaken(0, 1, |pool, before| {
        let extent = pool.extent().unwrap().unwrap();
        let (oldest, newest) = (extent.oldest.seq, extent.newest.seq);
        assert!((before.oldest.seq..=before.oldest.seq + 4).contains(&oldest));
        assert!((before.newest.seq..=before.newest.seq + 3).contains(&newest));
        assert_eq!(extent.messages, newest - oldest + 1);
        assert!(extent.bytes() <= pool.geometry().ring_size);
        Cursor::oldest(pool).unwrap();
    });
}

#[test]
fn a_check_finds_no_fault_with_messages_that_are_overwritten_meanwhile() {
    for index_capacity in [0, 64] {
        overtaken(index_capacity, 41, |pool, extent| {
            let report = pool.verify(|| u64::MAX).unwrap();
            assert_eq!(report.issues, []);
            let left = extent.messages - 4..=extent.messages + 3;
            assert!(left.contains(&report.messages), "{}", report.messages);
        });
    }
}

/// Guards against a reader that never comes to an end on a busy pool, and against one that gives up what it could have.
#[test]
fn a_reader_goes_on_at_the_oldest_message_and_if_overtaken_all_the_time_at_the_newest() {
    for (often, goes_on_at_newest) in [(1, false), (2, false), (14, false), (40, true)] {
        let whole = pool_with(Some(0));
        fill(&whole, 300);
        let left = Cell::new(0);
        // Whenever the newest frame is looked up, a writer has gone all the way round.
        let strike = |word| {
            if word == LAST / WORD && left.get() > 0 {
                left.set(left.get() - 1);
                append_beside(whole.memory(), *whole.header(), 70);
            }
        };
        let memory = Contested {
            memory: whole.memory(),
            before_load: &strike,
        };
        let pool = Pool::attach(memory, *whole.header());
        let mut cursor = Cursor::oldest(&pool).unwrap();
        left.set(often);
        let step = cursor.next(&pool, &mut Frame::default()).unwrap();
        assert!(matches!(step, Step::Lapped { .. }));
        let (oldest, newest) = whole.bounds().unwrap().unwrap();
        let expected = match goes_on_at_newest {
            true => newest.seq,
            false => oldest.seq,
        };
        assert_eq!(cursor.next_seq(), expected, "overtaken {often} times");
    }
}

/// What a pool that an OS crash left is to a reader who cannot repair it, and to whom a writer gets in who does.
#[test]
fn a_read_only_opener_goes_over_to_what_a_writer_has_recovered() {
    let crashed = pool_with(None);
    fill(&crashed, 200);
    for word in [INTENT, LAST, OLDEST] {
        crashed.memory().store(word / WORD, 0, Relaxed);
    }
    let image = crashed.memory().to_bytes();
    for after in 0.. {
        let memory = HeapMemory::from_bytes(&image);
        let loads = Cell::new(None);
        let undisturbed = |_| ();
        let strike = |_| {
            let Some(load) = loads.get() else { return };
            loads.set(Some(load + 1));
            if load == after {
                let memory = Contested {
                    memory: &memory,
                    before_load: &undisturbed,
                };
                let lock = HeapLock::default();
                let recovery = Recovery::Write(&lock, LockWait::Forever);
                Pool::open(memory, MIN_FILE_SIZE, 8, recovery).unwrap();
            }
            if load == after {
                append_beside(&memory, *crashed.header(), 3);
            }
        };
        let reader = Contested {
            memory: &memory,
            before_load: &strike,
        };
        let recovery = Recovery::<HeapLock>::ReadOnly;
        let pool = Pool::open(reader, MIN_FILE_SIZE, 8, recovery).unwrap();
        let mut frame = Frame::default();
        pool.get(200, &mut frame).unwrap();
        loads.set(Some(0));
        for seq in [190, 150] {
            pool.get(seq, &mut frame).unwrap();
            assert_eq!(frame.data(), filler(seq).as_bytes());
        }
        let retained = pool.extent().unwrap().unwrap();
        assert_eq!(retained.messages, retained.seq_span());
        if loads.get() <= Some(after) {
            assert_eq!((retained.newest.seq, pool.generation()), (200, 0));
            assert!(after > 100, "there were only {after} loads");
            return;
        }
        pool.get(203, &mut frame).unwrap();
        assert_eq!(pool.generation(), 1);
    }
}
