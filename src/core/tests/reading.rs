//! Fetching, following, searching and counting what a pool retains.

use super::contested::loads_of;
use super::*;

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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
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
        let entry = Entry::new(tags.as_bytes(), data.as_bytes());
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
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
fn a_hint_at_no_place_of_the_ring_is_a_miss() {
    let pool = pool_with(Some(512));
    fill(&pool, 20);
    let slot = |seq: u64| HEADER_SIZE / WORD + seq * 2 + 1;
    let newest = frame_of(&pool, 20);
    for position in [
        0,
        1,
        newest.position + 1,
        newest.end(),
        u64::MAX - 7,
        u64::MAX,
    ] {
        pool.memory().store(slot(7), position, Relaxed);
        assert_eq!(get(&pool, 7).unwrap(), filler(7), "{position}");
    }
}

#[cfg_attr(miri, ignore = "takes Miri minutes")]
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
        let entry = std::iter::once(Entry::new(b"", data.as_bytes()));
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

/// A step for each seq that is missing would be for ever.
#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn the_last_messages_are_found_beyond_any_hole() {
    const FAR: u64 = 1 << 60;
    let pool = pool_with(None);
    let seqs = [1, 2, FAR, FAR + 1, 2 * FAR, 3 * FAR, 3 * FAR + 5];
    append_at(&pool, &seqs.map(|seq| (seq, 1000))).unwrap();
    for count in 1..=seqs.len() + 2 {
        let cursor = Cursor::last_messages(&pool, count as u64).unwrap();
        let seen = read_all(&pool, cursor);
        let messages = seen.iter().filter(|(_, text)| !text.starts_with("missed"));
        let seen: Vec<u64> = messages.map(|(seq, _)| *seq).collect();
        assert_eq!(seen, seqs[seqs.len().saturating_sub(count)..], "{count}");
    }
}

#[test]
fn the_last_messages_without_holes_are_just_so_many() {
    let pool = pool_with(None);
    fill(&pool, 20);
    for count in 1..=20 {
        let cursor = Cursor::last_messages(&pool, count).unwrap();
        let seen = read_all(&pool, cursor).into_iter().map(|(seq, _)| seq);
        assert!(seen.eq(21 - count..=20), "{count}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
fn more_last_messages_than_are_retained_are_all_that_are() {
    let pool = pool_with(None);
    fill(&pool, 300);
    let oldest = pool.bounds().unwrap().unwrap().0.seq;
    for count in [301 - oldest, 302 - oldest, 299, 300, 301, u64::MAX] {
        let cursor = Cursor::last_messages(&pool, count).unwrap();
        let seen = read_all(&pool, cursor).into_iter().map(|(seq, _)| seq);
        assert!(seen.eq(oldest..=300), "{count}");
    }
}

/// A search that is led back to where it was, by frames out of place and slots that name them, has to end.
#[test]
fn the_last_messages_of_a_pool_whose_seqs_go_down_are_found_or_not() {
    let pool = pool_with(Some(128));
    for seq in (1..=60).chain(64..=66) {
        append_at(&pool, &[(seq, 1000)]).unwrap();
    }
    // The seqs at which a bisection of what is before 64 looks, but for 61, which is the sixth from the end.
    let misplaced = [(62, 2), (63, 3)].map(|(seq, place)| FrameHeader {
        seq,
        ..frame_of(&pool, place)
    });
    for header in misplaced {
        forge(&pool, &header);
        pool.store_hint(header.seq, header.position);
    }
    let cursor = Cursor::last_messages(&pool, 6).unwrap();
    assert!(cursor.next_seq() <= 64);
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
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

/// A thousand messages of a few bytes.
fn many_messages(index_capacity: u64) -> Pool<HeapMemory> {
    let pool = pool_with(Some(index_capacity));
    for _ in 0..30 {
        append(&pool, &["0"; 50]);
    }
    pool
}

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_search_looks_at_few_frames_and_a_count_without_holes_at_none_between() {
    let pool = many_messages(0);
    let (oldest, newest) = pool.bounds().unwrap().unwrap();
    assert!(newest.seq - oldest.seq > 1000);
    for seq in (oldest.seq..=newest.seq).step_by(7) {
        let loads = loads_of(&pool, |pool| {
            let found = pool.find(Key::Seq(seq)).unwrap();
            assert!(matches!(found, Found::Frame(frame) if frame.seq == seq));
        });
        assert!(loads < 500, "{loads} for message {seq}");
    }
    let loads = loads_of(&pool, |pool| {
        let extent = pool.extent().unwrap().unwrap();
        assert_eq!(extent.messages, newest.seq - oldest.seq + 1);
    });
    assert!(loads < 100, "{loads}");
}

#[cfg(not(feature = "noisy-index"))]
#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_hint_leads_to_its_message_without_a_search() {
    let pool = many_messages(2048);
    let (oldest, newest) = pool.bounds().unwrap().unwrap();
    for seq in [oldest.seq, oldest.seq + 1, newest.seq - 300, newest.seq] {
        let loads = loads_of(&pool, |pool| {
            let found = pool.find(Key::Seq(seq)).unwrap();
            assert!(matches!(found, Found::Frame(frame) if frame.seq == seq));
        });
        assert!(loads < 15, "{loads} for message {seq}");
    }
}

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_ring_that_is_full_to_the_last_byte_is_read_to_the_last_byte() {
    let pool = pool_with(Some(0));
    let data = "\"sixteen bytes.\"";
    for _ in 0..2000 {
        append(&pool, &[data]);
    }
    let ring = pool.geometry().ring_size;
    let control = pool.control().unwrap();
    assert_eq!(control.intent - control.oldest, ring);
    let extent = pool.extent().unwrap().unwrap();
    assert_eq!((extent.messages, extent.bytes()), (ring / 64, ring));
    assert_eq!(get(&pool, extent.oldest.seq).unwrap(), data);
    assert_eq!(seqs(&pool).len() as u64, ring / 64);
    assert!(!pool.verify(|| u64::MAX).unwrap().is_corrupt());
    assert_eq!(reboot(&pool, 8).unwrap().extent().unwrap(), Some(extent));
}
