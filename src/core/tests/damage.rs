//! Bytes that are not what they were: nothing wrong is handed out, and a check names the place.

use super::*;

#[cfg_attr(miri, ignore = "takes Miri minutes")]
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
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
    assert_eq!(report.sound, [1..=9, 11..=30]);
    assert_eq!(report.issues.len(), 1);
    assert_eq!(report.issues[0].seq, Some(10));
}

#[test]
fn a_search_ends_where_it_is_told_to() {
    let pool = pool_with(Some(0));
    fill(&pool, 2);
    let (first, second) = (frame_of(&pool, 1), frame_of(&pool, 2));
    let behind_first = first.position + WORD;
    assert_eq!(pool.resync(behind_first..second.position, u64::MAX), None);
    let found = pool.resync(behind_first..second.position + WORD, u64::MAX);
    assert_eq!(found, Some(second));
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_frame_that_does_not_follow_the_one_before_is_told_to_who_checks_and_who_reads() {
    let pool = pool_with(Some(0));
    fill(&pool, 9);
    let at_end = Cursor::newest(&pool).unwrap();
    fill(&pool, 1);
    let newest = frame_of(&pool, 10);
    // One of the impostors says that seqs are missing before it.
    pool.memory()
        .store(NEWEST_HOLE / WORD, newest.position, Relaxed);
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
        assert_eq!(report.sound, [1..=9, header.seq..=header.seq]);
        let mut cursor = at_end;
        let read = cursor.next(&pool, &mut Frame::default());
        if header.link != newest.link || header.seq > newest.seq {
            let error = read.unwrap_err();
            assert_eq!((error.kind(), error.message()), (ErrorKind::Corrupt, what));
        }
    }
}

#[cfg_attr(miri, ignore = "takes Miri minutes")]
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
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
    assert_eq!(report.sound, [1..=9, 11..=30]);
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn behind_a_damaged_oldest_frame_everything_is_found() {
    let pool = pool_with(Some(0));
    fill(&pool, 300);
    for retained in [50, 3, 2] {
        let newest = pool.newest().unwrap();
        let oldest = frame_of(&pool, newest.seq - retained + 1);
        pool.memory().store(OLDEST / WORD, oldest.position, Relaxed);
        damage(&pool, &oldest, 1);
        for seq in oldest.seq + 1..=newest.seq {
            assert_eq!(get(&pool, seq).unwrap(), filler(seq), "{retained}");
        }
        for seq in [1, oldest.seq] {
            let error = get(&pool, seq).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
        let error = Cursor::at_time(&pool, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        damage(&pool, &oldest, 1);
    }
}

#[test]
fn a_search_by_time_goes_past_damage_unless_that_may_be_what_it_is_for() {
    let pool = pool_with(Some(0));
    for seq in 1..=20 {
        append_at(&pool, &[(seq, 1000 * seq)]).unwrap();
    }
    damage(&pool, &frame_of(&pool, 10), 1);
    let first = |time| pool.find(Key::Time(time));
    assert!(matches!(first(9000), Ok(Found::Frame(frame)) if frame.seq == 9));
    assert!(matches!(first(11_001), Ok(Found::Frame(frame)) if frame.seq == 12));
    assert!(matches!(first(20_001), Ok(Found::Beyond(frame)) if frame.seq == 20));
    for time in [9001, 10_000, 11_000] {
        let error = first(time).unwrap_err();
        assert_eq!(
            (error.kind(), error.seq_value()),
            (ErrorKind::Corrupt, None)
        );
    }
}

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn control_words_that_cannot_be_are_corrupt_to_readers_and_writers() {
    let pool = pool_with(Some(0));
    fill(&pool, 100);
    let image = pool.memory().to_bytes();
    let Control {
        oldest,
        last,
        intent,
    } = pool.control().unwrap();
    let start = pool.geometry().first_position();
    for (word, value, blamed) in [
        (LAST, 0, LAST),
        (LAST, last + 4, LAST),
        (LAST, start - 8, LAST),
        (OLDEST, start - 8, OLDEST),
        (OLDEST, oldest + 4, OLDEST),
        (OLDEST, last + 8, OLDEST),
        (INTENT, last, INTENT),
        (INTENT, oldest + pool.geometry().ring_size + 8, INTENT),
    ] {
        let pool = Pool::attach(HeapMemory::from_bytes(&image), *pool.header());
        pool.memory().store(word / WORD, value, Relaxed);
        let case = format!("{value} at {word}");
        let read = Cursor::oldest(&pool).map(drop).unwrap_err();
        assert_eq!(read.kind(), ErrorKind::Corrupt, "{case}");
        assert_eq!(read.offset_value(), Some(blamed), "{case}");
        assert!(read.hint_text().is_some());
        let written = append_at(&pool, &[(101, 1000)]).unwrap_err();
        assert_eq!(written.kind(), ErrorKind::Corrupt, "{case}");
        assert_eq!(written.offset_value(), Some(blamed), "{case}");
        let report = pool.verify(|| u64::MAX).unwrap();
        assert!(report.is_corrupt(), "{case}");
        assert_eq!(report.issues[0].code, IssueCode::Control, "{case}");
    }
    let zeroed = |value| {
        pool.memory().store(LAST / WORD, value, Relaxed);
        let hint = pool.newest().unwrap_err().hint_text().map(str::to_owned);
        hint.unwrap().contains("zeroed")
    };
    assert_eq!([0, 4].map(zeroed), [true, false]);
    pool.memory().store(LAST / WORD, last, Relaxed);
    assert_eq!(pool.control().unwrap().intent, intent);
}

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_check_tells_of_reserved_bytes_that_are_not_zero() {
    let pool = pool_with(Some(0));
    fill(&pool, 3);
    pool.flush(&HeapLock::default(), LockWait::Forever).unwrap();
    let used = [
        &[INTENT, LAST, OLDEST, DELETED, BOOT, GENERATION][..],
        &[
            SEQ_FLOOR,
            SEQ_FLOOR + 8,
            WAKE_WORD,
            NEWEST_HOLE,
            ANCHORED,
            FLUSHED,
            FLUSHED + 8,
            CHECKPOINT_COUNT,
        ],
        &CHECKPOINTS.map(|at| [at, at + 8, at + 16]).concat(),
    ]
    .concat();
    for offset in (IMMUTABLE_SIZE..HEADER_SIZE).step_by(8) {
        if used.contains(&offset) {
            continue;
        }
        pool.memory().store(offset / WORD, 1 << 63, Relaxed);
        let report = pool.verify(|| u64::MAX).unwrap();
        let found = report.issues.iter().map(|issue| (issue.code, issue.offset));
        assert!(found.eq([(IssueCode::Header, Some(offset))]), "{report:?}");
        assert!(report.is_corrupt());
        pool.memory().store(offset / WORD, 0, Relaxed);
    }
    assert_eq!(pool.verify(|| u64::MAX).unwrap().issues, []);
}

#[test]
fn a_check_tells_of_holes_that_the_header_does_not_know_of() {
    let pool = pool_with(None);
    append_at(&pool, &[(1, 1000), (5, 1000), (6, 1000), (9, 1000)]).unwrap();
    let newest_hole = frame_of(&pool, 9).position;
    assert_eq!(pool.newest_hole(), newest_hole);
    for (stored, expected) in [
        (0, 1),
        (newest_hole - 8, 1),
        (newest_hole, 0),
        (u64::MAX, 0),
    ] {
        pool.memory().store(NEWEST_HOLE / WORD, stored, Relaxed);
        let report = pool.verify(|| u64::MAX).unwrap();
        assert_eq!(report.issues.len(), expected, "{report:?}");
        assert_eq!(report.is_corrupt(), expected == 1);
        for issue in report.issues {
            let found = (issue.code, issue.seq, issue.offset);
            assert_eq!(found, (IssueCode::Control, Some(9), Some(NEWEST_HOLE)));
        }
        assert_eq!(report.messages, 4);
    }
}

#[test]
fn a_check_tells_of_a_clock_that_is_behind_and_calls_nothing_damaged() {
    let pool = pool_with(None);
    append_at(&pool, &[(1, 1000), (2, 2000)]).unwrap();
    assert_eq!(pool.verify(|| 2000).unwrap().issues, []);
    let report = pool.verify(|| 1999).unwrap();
    let [issue] = &report.issues[..] else {
        panic!("{report:?}")
    };
    assert_eq!((issue.code, issue.seq), (IssueCode::ClockBehind, Some(2)));
    assert!(!report.is_corrupt());
    assert_eq!((report.messages, report.last_good_seq), (2, Some(2)));
}

#[test]
fn a_check_tells_of_text_that_is_not_what_a_message_has() {
    let pool = pool_with(Some(0));
    let lock = HeapLock::default();
    let texts: [(&[u8], &[u8]); 6] = [
        (b"", b"1"),
        (b"[\"a\"]", b"2"),
        (b"", b"{3"),
        (b"[4]", b"4"),
        (b"{}", b"5"),
        (b"[\"\\n\"]", b"6"),
    ];
    let entries = texts.iter().map(|(tags, data)| Entry::new(tags, data));
    let when = When::Now(|| 1000);
    pool.append(&lock, &NoBell, LockWait::Forever, entries, when)
        .unwrap();
    let report = pool.verify(|| u64::MAX).unwrap();
    let issues: Vec<_> = report
        .issues
        .iter()
        .map(|issue| (issue.code, issue.seq, &issue.message[..]))
        .collect();
    let tags = "the tags are not a JSON array of strings";
    assert_eq!(
        issues,
        [
            (IssueCode::Payload, Some(3), "the data is not JSON"),
            (IssueCode::Payload, Some(4), tags),
            (IssueCode::Payload, Some(5), tags),
        ]
    );
    assert_eq!((report.messages, report.last_good_seq), (3, Some(2)));
    assert_eq!(report.sound, [1..=2, 6..=6]);
}

/// Where slot number `seq` of an index of 128 is, in words.
fn slot_word(seq: u64) -> u64 {
    HEADER_SIZE / WORD + seq % 128 * 2
}

/// What a check tells of these slots while they hold this seq and this position: how many are wrong, the seq, and where
/// the first is.
fn found_in_slots(pool: &Pool<HeapMemory>, slots: &[(u64, u64, u64)]) -> Vec<(u64, u64, u64)> {
    let words: Vec<u64> = slots.iter().map(|(slot, ..)| slot_word(*slot)).collect();
    let load = |at| pool.memory().load(at, Relaxed);
    let before: Vec<_> = words.iter().map(|&at| (load(at), load(at + 1))).collect();
    for (&at, (_, seq, position)) in words.iter().zip(slots) {
        pool.memory().store(at, *seq, Relaxed);
        pool.memory().store(at + 1, *position, Relaxed);
    }
    let report = pool.verify(|| u64::MAX).unwrap();
    for (&at, (seq, position)) in words.iter().zip(before) {
        pool.memory().store(at, seq, Relaxed);
        pool.memory().store(at + 1, position, Relaxed);
    }
    assert!(!report.is_corrupt());
    let issues = report.issues.into_iter().map(|issue| {
        assert_eq!(issue.code, IssueCode::IndexHint);
        let count = issue.message.split(' ').next().unwrap().parse().unwrap();
        (count, issue.seq.unwrap(), issue.offset.unwrap())
    });
    issues.collect()
}

#[test]
#[cfg_attr(feature = "noisy-index", ignore = "every slot is wrong on purpose")]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn a_check_tells_of_index_slots_that_are_neither_right_nor_stale_nor_empty() {
    let pool = pool_with(Some(128));
    fill(&pool, 300);
    let (oldest, newest) = pool.bounds().unwrap().unwrap();
    let control = pool.control().unwrap();
    let (first, second) = (oldest.seq, oldest.seq + 1);
    let next = newest.seq + 1;
    let stale = next - 128;
    for good in [
        (second, 0, 0),
        (next, next, control.intent - 8),
        (next, stale, oldest.position - 8),
    ] {
        assert_eq!(found_in_slots(&pool, &[good]), [], "{good:?}");
    }
    let position_of = |seq| frame_of(&pool, seq).position;
    for bad in [
        (second, second, position_of(first)),
        (second, second, position_of(second) + 4),
        (second, second, newest.end()),
        (second, second, 8),
        (newest.seq, newest.seq, position_of(first)),
        (second, first, position_of(first)),
        (second, 0, 8),
        (second, second + 128, control.intent),
        (next, stale, oldest.position),
    ] {
        let expected = [(1, bad.1, slot_word(bad.0) * WORD)];
        assert_eq!(found_in_slots(&pool, &[bad]), expected, "{bad:?}");
    }
    let (a, b) = (
        (second, second, newest.end()),
        (second + 1, second + 1, newest.end()),
    );
    let at = slot_word(second).min(slot_word(second + 1));
    let seq = if at == slot_word(second) {
        second
    } else {
        second + 1
    };
    assert_eq!(found_in_slots(&pool, &[a, b]), [(2, seq, at * WORD)]);
}

#[test]
#[cfg_attr(feature = "noisy-index", ignore = "every slot is wrong on purpose")]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn a_check_says_of_how_many_index_slots_it_speaks() {
    let pool = pool_with(Some(128));
    fill(&pool, 9);
    let first = frame_of(&pool, 1);
    let of_slots = || {
        let report = pool.verify(|| u64::MAX).unwrap();
        let issues = report.issues.into_iter();
        let of_slots = issues.filter(|issue| issue.code == IssueCode::IndexHint);
        of_slots.map(|issue| issue.message).collect::<Vec<_>>()
    };
    assert!(of_slots().is_empty());
    pool.memory()
        .store(slot_word(3) + 1, first.position, Relaxed);
    let one = "1 index slot names the wrong place; reads of its message take the longer way";
    assert_eq!(of_slots(), [one]);
    pool.memory()
        .store(slot_word(4) + 1, first.position, Relaxed);
    let two = "2 index slots name the wrong place; reads of their messages take the longer way";
    assert_eq!(of_slots(), [two]);
}

/// Its checksums hold, so that it is a frame to whoever looks for one word by word.
#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_frame_of_a_length_that_cannot_be_hides_no_other() {
    let pool = pool_with(Some(0));
    fill(&pool, 300);
    let (oldest, newest) = pool.bounds().unwrap().unwrap();
    for victim in [oldest.seq, oldest.seq + 1, 280] {
        let sound = frame_of(&pool, victim);
        forge(
            &pool,
            &FrameHeader {
                data_len: u32::MAX,
                ..sound
            },
        );
        for seq in oldest.seq..=newest.seq {
            match get(&pool, seq) {
                Err(error) if seq == victim => assert_eq!(error.kind(), ErrorKind::Corrupt),
                found => assert_eq!(found.unwrap(), filler(seq), "{seq} beside {victim}"),
            }
        }
        forge(&pool, &sound);
    }
}
