//! What is left after a crash of the system, and what becomes of it.

use super::contested::{Contested, append_beside};
use super::medium::Medium;
use super::*;

#[cfg_attr(miri, ignore = "takes Miri minutes")]
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_recovery_goes_up_to_the_first_break_and_never_reuses_a_seq() {
    let pool = pool_with(None);
    fill(&pool, 30);
    pool.flush(&HeapLock::default(), LockWait::Forever).unwrap();
    fill(&pool, 10);
    let Found::Frame(torn) = pool.find(Key::Seq(35)).unwrap() else {
        panic!()
    };
    let places = [1, 34, 36, 38, 40].map(|seq| {
        let position = frame_of(&pool, seq).position;
        (seq, pool.geometry().word_at(position))
    });
    pool.memory()
        .store(pool.geometry().word_at(torn.position + 64), 0, Relaxed);
    let pool = reboot(&pool, 8).unwrap();
    assert_eq!(*seqs(&pool).last().unwrap(), 34);
    assert_eq!(append(&pool, &["0"]).first_seq, 41);
    assert!(!pool.verify(|| u64::MAX).unwrap().is_corrupt());
    for (seq, place) in places {
        let is_there = pool.memory().load(place, Relaxed) != 0;
        assert_eq!(is_there, seq < 35 || seq == 41, "{seq}");
    }
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_recovery_ends_before_a_frame_that_does_not_follow() {
    let pool = pool_with(Some(0));
    fill(&pool, 10);
    let newest = frame_of(&pool, 10);
    for (what, header) in impostors(&newest) {
        forge(&pool, &header);
        let kept = pool.examine().unwrap();
        assert_eq!(kept.newest_seq, 9, "{what}");
        assert_eq!(kept.control.intent, newest.position, "{what}");
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_recovery_goes_by_the_best_evidence_that_is_left() {
    let pool = pool_with(Some(0));
    for _ in 0..2 {
        fill(&pool, 5);
        pool.vouch_for_draft().unwrap();
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

/// Words of a payload are anybody's: one that is the position of a frame is no frame.
#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_recovery_is_not_led_astray_by_a_payload_that_names_a_frame() {
    let pool = pool_with(Some(0));
    fill(&pool, 20);
    pool.flush(&HeapLock::default(), LockWait::Forever).unwrap();
    fill(&pool, 10);
    let (first, tenth, next) = (frame_of(&pool, 1), frame_of(&pool, 10), frame_of(&pool, 11));
    damage(&pool, &tenth, 1);
    let payload = pool.geometry().word_at(tenth.position + FRAME_HEADER_SIZE);
    pool.memory().store(payload, first.position, Relaxed);
    let kept = pool.examine().unwrap();
    assert_eq!(kept.control.oldest, next.position);
    assert_eq!(kept.newest_seq, 30);
}

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_checkpoint_counts_only_with_the_frame_that_it_names() {
    let pool = pool_with(Some(0));
    fill(&pool, 5);
    append(&pool, &["6", "7"]);
    fill(&pool, 2);
    let found_with = |seq, named| {
        let position = frame_of(&pool, named).position;
        Checkpoint { position, seq }.store(pool.memory(), 0);
        pool.examine().unwrap().anchor
    };
    assert_eq!(found_with(5, 5), Anchor::Checkpoint);
    assert_eq!(found_with(4, 5), Anchor::Last, "another seq");
    assert_eq!(found_with(6, 6), Anchor::Last, "not the end of a batch");
}

/// The position of a frame near the start, found without a control word.
fn frame_of_position(pool: &Pool<HeapMemory>, seq: u64) -> u64 {
    let start = pool.geometry().first_position();
    let frame = std::iter::successors(pool.resync(start..u64::MAX, u64::MAX), |frame| {
        pool.resync(frame.end()..u64::MAX, u64::MAX)
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
#[cfg_attr(miri, ignore = "takes Miri minutes")]
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn what_was_flushed_survives_the_loss_of_all_that_was_not_synced() {
    let whole = pool_with(Some(64));
    let bytes = whole.memory().to_bytes();
    let medium = Medium::holding(&bytes);
    let pool = Pool::attach(&medium, *whole.header());
    let lock = HeapLock::default();
    let mut seq = 0;
    for round in 0..120 {
        for _ in 0..[1, 3, 0, 7, 80][round % 5] {
            seq += 1;
            let data = filler(seq);
            let entry = std::iter::once(Entry::new(b"", data.as_bytes()));
            let when = When::Now(|| 1000);
            pool.append(&lock, &NoBell, LockWait::Forever, entry, when)
                .unwrap();
        }
        medium.take_syncs();
        pool.flush(&lock, LockWait::Forever).unwrap();
        let syncs = medium.take_syncs().into_iter();
        let persisted = WORD * syncs.map(|words| words.end - words.start).sum::<u64>();
        // The header, twice, and what is new since the anchor: no more than a lap of that.
        let ring = pool.geometry().ring_size;
        let most = ring / 4 + ([1, 3, 0, 7, 80][round % 5] + 1) * 1056;
        assert!(
            persisted <= 2 * HEADER_SIZE + most.min(ring),
            "{persisted} in round {round}"
        );
        pool.flush(&lock, LockWait::Forever).unwrap();
        assert_eq!(medium.take_syncs(), [], "synced what is on the medium");
        let left = open(HeapMemory::from_bytes(&medium.medium.to_bytes()), 8).unwrap();
        let (oldest, newest) = left.bounds().unwrap().unwrap();
        assert_eq!(newest.seq, seq, "round {round}");
        let (first, _) = pool.bounds().unwrap().unwrap();
        assert_eq!(oldest.seq, first.seq, "round {round}");
        assert_eq!(get(&left, seq).unwrap(), filler(seq));
    }
}

/// What a pool that an OS crash left is to a reader who cannot repair it, and to whom a writer gets in who does.
#[cfg_attr(miri, ignore = "takes Miri minutes")]
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
                let repairing = Contested {
                    memory: &memory,
                    before_load: &undisturbed,
                };
                let lock = HeapLock::default();
                let recovery = Recovery::Write(&lock, LockWait::Forever);
                Pool::open(repairing, MIN_FILE_SIZE, 8, recovery).unwrap();
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
        if loads.take() <= Some(after) {
            assert_eq!((retained.newest.seq, pool.generation()), (200, 0));
            assert!(after > 100, "there were only {after} loads");
            return;
        }
        pool.get(203, &mut frame).unwrap();
        assert_eq!(pool.generation(), 1);
    }
}

#[test]
fn a_recovery_forgets_what_was_known_to_be_on_the_medium() {
    const WORDS: [u64; 4] = [ANCHORED, FLUSHED, FLUSHED + WORD, CHECKPOINT_COUNT];
    let words = |pool: &Pool<HeapMemory>| WORDS.map(|at| pool.memory().load(at / WORD, Relaxed));
    let pool = pool_with(None);
    for _ in 0..2 {
        fill(&pool, 20);
        pool.flush(&HeapLock::default(), LockWait::Forever).unwrap();
    }
    assert!(!words(&pool).contains(&0));
    assert_eq!(words(&reboot(&pool, 8).unwrap()), [0; 4]);
}

#[test]
fn a_reader_of_a_pool_that_it_cannot_repair_counts_past_holes() {
    let pool = pool_with(None);
    append_at(&pool, &[(1, 1000), (5, 1000), (6, 1000)]).unwrap();
    pool.memory().store(NEWEST_HOLE / WORD, 0, Relaxed);
    let image = HeapMemory::from_bytes(&pool.memory().to_bytes());
    let recovery = Recovery::<HeapLock>::ReadOnly;
    let left = Pool::open(image, MIN_FILE_SIZE, 8, recovery).unwrap();
    assert_eq!(left.extent().unwrap().unwrap().messages, 3);
    assert_eq!(
        reboot(&pool, 8)
            .unwrap()
            .extent()
            .unwrap()
            .unwrap()
            .messages,
        3
    );
}

/// A lock that somebody else holds first, who does something meanwhile.
struct TakenFirst<'a>(HeapLock, &'a dyn Fn());

impl WriterLock for TakenFirst<'_> {
    type Guard<'a>
        = std::sync::MutexGuard<'a, ()>
    where
        Self: 'a;

    fn acquire(&self, wait: LockWait) -> Result<Self::Guard<'_>> {
        (self.1)();
        self.0.acquire(wait)
    }
}

#[test]
fn a_pool_of_this_boot_is_opened_without_its_lock() {
    let pool = pool_with(None);
    fill(&pool, 3);
    let memory = HeapMemory::from_bytes(&pool.memory().to_bytes());
    let lock = TakenFirst(HeapLock::default(), &|| panic!("nobody has to be kept out"));
    let recovery = Recovery::Write(&lock, LockWait::Forever);
    let pool = Pool::open(memory, MIN_FILE_SIZE, BOOT_NOW, recovery).unwrap();
    assert_eq!(pool.newest().unwrap().seq, 3);
}

#[test]
fn of_two_who_would_recover_a_pool_the_second_leaves_it_as_it_is() {
    let crashed = pool_with(None);
    fill(&crashed, 3);
    let undisturbed = |_| ();
    let shared = || Contested {
        memory: crashed.memory(),
        before_load: &undisturbed,
    };
    let open = |lock: &TakenFirst<'_>| {
        let recovery = Recovery::Write(lock, LockWait::Forever);
        Pool::open(shared(), MIN_FILE_SIZE, 8, recovery).unwrap()
    };
    let other = || {
        open(&TakenFirst(HeapLock::default(), &|| ()));
        append_beside(crashed.memory(), *crashed.header(), 1);
    };
    let pool = open(&TakenFirst(HeapLock::default(), &other));
    assert_eq!(pool.generation(), 1);
    assert_eq!(pool.newest().unwrap().seq, 4);
}

/// Guards against a checkpoint that names a frame which a recovery has given up, when power is lost just after it.
#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn no_checkpoint_on_the_medium_is_beyond_what_a_recovery_kept() {
    let pool = pool_with(Some(0));
    for _ in 0..2 {
        fill(&pool, 5);
        pool.vouch_for_draft().unwrap();
    }
    for seq in [5, 10] {
        damage(&pool, &frame_of(&pool, seq), 8);
    }
    let kept = frame_of(&pool, 4).position;
    pool.memory().store(LAST / WORD, kept, Relaxed);
    let bytes = pool.memory().to_bytes();
    let medium = Medium::holding(&bytes);
    let lock = HeapLock::default();
    let recovery = Recovery::Write(&lock, LockWait::Forever);
    let pool = Pool::open(&medium, MIN_FILE_SIZE, 8, recovery).unwrap();
    assert_eq!(pool.newest().unwrap().position, kept);
    let found = Checkpoint::load_all(&medium.medium);
    assert_eq!(
        found.map(|found| found.map(|found| found.position)),
        [Some(kept); 2]
    );
}

/// Whenever the power goes while a recovery is at work, the next one finds what this one went by, and gives no seq out
/// that was given out before.
#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_recovery_that_is_cut_off_leaves_what_it_went_by() {
    // The newest checkpoint is in either slot.
    for flushes in [1, 2] {
        let pool = pool_with(Some(0));
        for _ in 0..flushes {
            fill(&pool, 5);
            pool.vouch_for_draft().unwrap();
        }
        fill(&pool, 5);
        let newest = 5 * flushes + 5;
        let torn = frame_of(&pool, newest - 1);
        damage(&pool, &torn, 8);
        let (anchor, _) = Checkpoint::newest(pool.memory());
        let kept = frame_of(&pool, newest - 2);
        pool.memory().store(LAST / WORD, 0, Relaxed);
        let medium = Medium::holding(&pool.memory().to_bytes());
        medium.media.replace(Some(Vec::new()));
        let lock = HeapLock::default();
        let pool = Pool::open(
            &medium,
            MIN_FILE_SIZE,
            8,
            Recovery::Write(&lock, LockWait::Forever),
        );
        let pool = pool.unwrap();
        assert_eq!(pool.newest().unwrap(), kept);
        let media = medium.media.take().unwrap();
        assert!(media.len() > 1);
        // What is about to be erased is noted first.
        let noted = HeapMemory::from_bytes(&media[0]).load(SEQ_FLOOR / WORD, Relaxed);
        assert_eq!(noted, newest);
        for (i, medium) in media.iter().enumerate() {
            let medium = HeapMemory::from_bytes(medium);
            let found = Checkpoint::load_all(&medium);
            assert!(found.contains(&anchor), "{flushes}, {i}: {found:?}");
            let left = open(medium, 9).unwrap();
            assert_eq!(left.newest().unwrap().seq, newest - 2);
            assert_eq!(
                append(&left, &["0"]).first_seq,
                newest + 1,
                "{flushes}, {i}"
            );
        }
    }
}

#[test]
fn a_check_of_a_pool_of_another_boot_is_of_what_a_recovery_would_keep() {
    let pool = pool_with(Some(0));
    fill(&pool, 10);
    damage(&pool, &frame_of(&pool, 10), 8);
    let bytes = pool.memory().to_bytes();
    let check = |boot| {
        let memory = HeapMemory::from_bytes(&bytes);
        let pool = Pool::open_to_verify(memory, MIN_FILE_SIZE, boot).unwrap();
        pool.verify(|| u64::MAX).unwrap()
    };
    assert!(check(BOOT_NOW).is_corrupt());
    let report = check(BOOT_NOW + 1);
    assert_eq!((report.is_corrupt(), report.messages), (false, 9));
}

/// The slots of what a recovery gave up stay as they are, and the frames may be sound.
#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn what_a_recovery_gave_up_is_not_found_by_its_slot() {
    let pool = pool_with(Some(64));
    fill(&pool, 10);
    damage(&pool, &frame_of(&pool, 4), 8);
    pool.vouch_for_draft().unwrap();
    let pool = reboot(&pool, 8).unwrap();
    assert_eq!(seqs(&pool), [5, 6, 7, 8, 9, 10]);
    for seq in 1..=4 {
        assert_eq!(get(&pool, seq).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
