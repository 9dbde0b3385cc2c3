//! What is found in a damaged pool, what is not taken for a message, and what is listed as lost.

use super::contested::{Contested, append_beside};
use super::*;
use crate::core::salvage::{Duplicate, Loss, Salvage};

pub(super) type Search = Salvage<HeapMemory>;

pub(super) fn search(bytes: &[u8]) -> Result<Search> {
    Salvage::search(HeapMemory::from_bytes(bytes), bytes.len() as u64, BOOT_NOW)
}

pub(super) fn found(bytes: &[u8]) -> (Vec<u64>, Search) {
    let mut search = search(bytes).unwrap();
    let mut seqs = Vec::new();
    search
        .messages(|frame| {
            seqs.push(frame.header().unwrap().seq);
            Ok(())
        })
        .unwrap();
    (seqs, search)
}

pub(super) fn set(bytes: &mut [u8], offset: u64, value: u64) {
    bytes[offset as usize..offset as usize + 8].copy_from_slice(&value.to_le_bytes());
}

/// The headers of all retained frames, the one of the genesis included.
pub(super) fn headers(pool: &Pool<HeapMemory>) -> Vec<FrameHeader> {
    let control = Control::load_exclusive(pool.memory());
    let first = pool.header_exclusive(control.oldest).unwrap();
    let next = |header: &FrameHeader| {
        (header.position < control.last).then(|| pool.header_exclusive(header.end()).unwrap())
    };
    std::iter::successors(Some(first), next).collect()
}

pub(super) fn at_seq(pool: &Pool<HeapMemory>, seq: u64) -> FrameHeader {
    let all = headers(pool);
    *all.iter().find(|header| header.seq == seq).unwrap()
}

pub(super) fn offset(pool: &Pool<HeapMemory>, seq: u64) -> usize {
    pool.geometry().offset_at(at_seq(pool, seq).position) as usize
}

/// Stores a frame whose checksums are right, and returns it.
pub(super) fn forge(
    bytes: &mut [u8],
    g: &Geometry,
    header: &FrameHeader,
    data: &[u8],
) -> FrameHeader {
    let entry = Entry::new(b"", data);
    let header = FrameHeader {
        data_len: data.len() as u32,
        tags_len: 0,
        payload_crc: entry.crc(),
        ..*header
    };
    let encoded = header.encode();
    let at = g.offset_at(header.position);
    for (i, word) in (0..).zip(encoded.words) {
        set(bytes, at + i * 8, word);
    }
    set(bytes, at + STATE_WORD * 8, encoded.committed);
    let payload = at as usize + 48;
    bytes[payload..payload + data.len().div_ceil(8) * 8].fill(0);
    bytes[payload..payload + data.len()].copy_from_slice(data);
    header
}

pub(super) fn loss(first: u64, last: u64, pool: &Pool<HeapMemory>, code: IssueCode) -> Loss {
    let (from, to) = (at_seq(pool, first), at_seq(pool, last));
    Loss {
        first_seq: Some(first),
        last_seq: Some(last),
        offset: pool.geometry().offset_at(from.position),
        bytes: to.end() - from.position,
        code,
        message: match code {
            IssueCode::Payload => "the payload does not match its checksum",
            _ => "no frame header there is whole",
        },
    }
}

#[test]
fn a_sound_pool_is_found_whole() {
    for (slots, count) in [(Some(64), 0), (Some(64), 5), (Some(0), 40), (None, 300)] {
        let pool = pool_with(slots);
        fill(&pool, count);
        let (seen, search) = found(&pool.memory().to_bytes());
        assert_eq!(seen, seqs(&pool));
        assert!(search.losses.is_empty() && search.duplicates.is_empty());
        assert!(search.assumed.is_empty() && search.header_is_sound);
        assert_eq!(
            (search.created, search.geometry()),
            (Some(1), pool.geometry())
        );
        assert_eq!(search.oldest_time(), (count > 0).then_some(1000));
    }
}

#[test]
fn damaged_messages_are_lost_one_by_one_and_the_rest_is_found() {
    let pool = pool_with(Some(64));
    fill(&pool, 200);
    let all = seqs(&pool);
    let (first, last) = (all[0], *all.last().unwrap());
    let mut bytes = pool.memory().to_bytes();
    let (a, b, c) = (first + 5, first + 9, last - 3);
    bytes[offset(&pool, a) + 60] ^= 1;
    for seq in [b, b + 1, c] {
        bytes[offset(&pool, seq) + 9] ^= 1;
    }
    let (seen, search) = found(&bytes);
    let lost = [a, b, b + 1, c];
    let left: Vec<u64> = all.into_iter().filter(|seq| !lost.contains(seq)).collect();
    assert_eq!(seen, left);
    let losses = [
        loss(a, a, &pool, IssueCode::Payload),
        loss(b, b + 1, &pool, IssueCode::Frame),
        loss(c, c, &pool, IssueCode::Frame),
    ];
    assert_eq!(search.losses, losses);
}

#[test]
fn no_control_word_is_needed() {
    for (slots, count) in [(Some(64), 7), (Some(0), 200)] {
        let pool = pool_with(slots);
        fill(&pool, count);
        let sound = pool.memory().to_bytes();
        let words = [
            INTENT,
            LAST,
            OLDEST,
            BOOT,
            GENERATION,
            SEQ_FLOOR,
            CHECKPOINTS[0],
        ];
        for value in [0, 1, u64::MAX, 1 << 40] {
            for word in words {
                let mut bytes = sound.clone();
                set(&mut bytes, word, value);
                assert_eq!(found(&bytes).0, seqs(&pool), "{value} at {word}");
            }
            let mut bytes = sound.clone();
            for word in words {
                set(&mut bytes, word, value);
            }
            assert_eq!(found(&bytes).0, seqs(&pool), "{value} everywhere");
        }
        // Each of them names another frame, or the word beside it.
        for word in [INTENT, LAST, OLDEST] {
            for header in headers(&pool) {
                let mut bytes = sound.clone();
                set(&mut bytes, word, header.position);
                assert_eq!(found(&bytes).0, seqs(&pool), "{header:?} at {word}");
                set(&mut bytes, word, header.position + 8);
                assert_eq!(found(&bytes).0, seqs(&pool), "{header:?} at {word}");
            }
        }
    }
}

#[test]
fn what_a_writer_had_claimed_is_stale() {
    let pool = pool_with(Some(64));
    fill(&pool, 200);
    let all = seqs(&pool);
    let mut bytes = pool.memory().to_bytes();
    // As a writer that died before it stored a byte of its frames.
    let stays = at_seq(&pool, all[7]);
    let newest = pool.newest().unwrap();
    set(&mut bytes, OLDEST, stays.position);
    set(
        &mut bytes,
        INTENT,
        stays.position + pool.geometry().ring_size,
    );
    assert!(stays.position + pool.geometry().ring_size > newest.end());
    let (seen, search) = found(&bytes);
    assert_eq!((seen, search.losses), (all[7..].to_vec(), vec![]));
}

#[test]
fn what_is_stale_speaks_for_nothing() {
    let pool = pool_with(Some(64));
    fill(&pool, 200);
    let all = seqs(&pool);
    let mut bytes = pool.memory().to_bytes();
    let stays = at_seq(&pool, all[7]);
    let claimed = stays.position + pool.geometry().ring_size;
    set(&mut bytes, OLDEST, stays.position);
    set(&mut bytes, INTENT, claimed);
    // Three messages that contradict the one that stays. With those that are stale it would outnumber them.
    let mut before = FrameHeader { seq: 0, ..stays };
    for seq in 1..=3 {
        let next = FrameHeader {
            position: before.end(),
            link: before.crc(),
            seq,
            ..stays
        };
        before = forge(&mut bytes, pool.geometry(), &next, b"\"?\"");
    }
    let is_left = |seq: &u64| at_seq(&pool, *seq).position > before.end();
    let left = all.into_iter().filter(is_left);
    assert_eq!(found(&bytes).0, (1..=3).chain(left).collect::<Vec<u64>>());
}

#[test]
#[cfg_attr(feature = "noisy-index", ignore = "the index names what is lost")]
fn a_batch_without_its_end_is_cut_off_unless_it_was_published() {
    let pool = pool_with(Some(64));
    append(&pool, &["1", "2"]);
    append(&pool, &["3", "4", "5"]);
    let end = offset(&pool, 5);
    let mut published = pool.memory().to_bytes();
    published[end + 9] ^= 1;
    assert_eq!(found(&published).0, [1, 2, 3, 4]);
    let mut crashed = published.clone();
    set(&mut crashed, BOOT, BOOT_NOW + 1);
    let (seen, search) = found(&crashed);
    assert_eq!(seen, [1, 2]);
    let range = (search.losses[0].first_seq, search.losses[0].last_seq);
    assert_eq!(range, (Some(3), Some(5)));
    let mut begun = published;
    set(&mut begun, LAST, at_seq(&pool, 2).position);
    assert_eq!(found(&begun).0, [1, 2]);
}

#[test]
fn what_a_dead_writer_left_behind_later_messages_does_not_pass() {
    let pool = pool_with(Some(64));
    append_at(&pool, &[(1, 2000)]).unwrap();
    let before = pool.memory().to_bytes();
    // A batch that was stored and not published; then two shorter ones in the place of its first frame.
    let batch: Vec<String> = (2..=9).map(filler).collect();
    append(&pool, &batch.iter().map(String::as_str).collect::<Vec<_>>());
    let left = pool.memory().to_bytes();
    let mut bytes = left.clone();
    bytes[..HEADER_SIZE as usize].copy_from_slice(&before[..HEADER_SIZE as usize]);
    set(
        &mut bytes,
        INTENT,
        Control::load_exclusive(pool.memory()).intent,
    );
    let pool = open(HeapMemory::from_bytes(&bytes), BOOT_NOW).unwrap();
    append_at(&pool, &[(2, 3000)]).unwrap();
    let (seen, search) = found(&pool.memory().to_bytes());
    assert_eq!((seen, search.losses), (vec![1, 2], vec![]));
}

#[test]
fn a_forged_frame_costs_one_message_and_no_more() {
    let pool = pool_with(Some(64));
    for n in 1..=9 {
        append(&pool, &[&n.to_string()]);
    }
    let g = *pool.geometry();
    // Of the last two, nothing says which is right.
    for seq in 2..=7 {
        for link in [at_seq(&pool, seq).link, 77] {
            let mut bytes = pool.memory().to_bytes();
            let header = FrameHeader {
                link,
                ..at_seq(&pool, seq)
            };
            forge(&mut bytes, &g, &header, b"\"?\"");
            let (seen, search) = found(&bytes);
            let left: Vec<u64> = (1..=9).filter(|other| *other != seq).collect();
            assert_eq!(seen, left);
            assert_eq!(search.losses, [loss(seq, seq, &pool, IssueCode::Frame)]);
        }
    }
}

#[test]
fn a_newest_frame_that_does_not_follow_costs_no_other() {
    let pool = pool_with(Some(64));
    for n in 1..=9 {
        append(&pool, &[&n.to_string()]);
    }
    let mut bytes = pool.memory().to_bytes();
    let header = FrameHeader {
        link: 77,
        ..at_seq(&pool, 9)
    };
    forge(&mut bytes, pool.geometry(), &header, b"\"?\"");
    let (seen, search) = found(&bytes);
    assert_eq!(seen, (1..=8).collect::<Vec<u64>>());
    let range = (search.losses[0].first_seq, search.losses[0].last_seq);
    assert_eq!((search.losses.len(), range), (1, (Some(9), Some(9))));
}

#[test]
fn of_two_frames_with_one_seq_the_one_that_fits_is_kept() {
    let pool = pool_with(Some(64));
    for n in 1..=9 {
        append(&pool, &[&n.to_string()]);
    }
    let g = *pool.geometry();
    // In the free part of the ring, of this lap and of another.
    for lap in [0, 5] {
        let mut bytes = pool.memory().to_bytes();
        let position = pool.newest().unwrap().end() + 4096 + lap * g.ring_size;
        let twin = FrameHeader {
            position,
            ..at_seq(&pool, 3)
        };
        forge(&mut bytes, &g, &twin, b"\"?\"");
        let (seen, search) = found(&bytes);
        assert_eq!((seen, search.losses), ((1..=9).collect(), vec![]));
        let duplicate = Duplicate {
            seq: 3,
            kept: offset(&pool, 3) as u64,
            dropped: g.offset_at(position),
        };
        assert_eq!(search.duplicates, [duplicate]);
    }
}

#[test]
fn many_frames_that_stand_alone_do_not_outweigh_fewer_that_are_linked() {
    let pool = pool_with(Some(64));
    for n in 1..=9 {
        append(&pool, &[&n.to_string()]);
    }
    let mut bytes = pool.memory().to_bytes();
    let end = pool.newest().unwrap().end() + 4096;
    for seq in 1..=7 {
        let twin = FrameHeader {
            position: end + seq * 256,
            ..at_seq(&pool, seq)
        };
        forge(&mut bytes, pool.geometry(), &twin, b"\"?\"");
    }
    // Otherwise what is beyond it would not count in any case.
    set(&mut bytes, LAST, 0);
    let (seen, search) = found(&bytes);
    assert_eq!(seen, (1..=9).collect::<Vec<u64>>());
    assert_eq!(search.duplicates.len(), 7);
}

#[test]
fn what_a_recovery_did_not_keep_is_not_retained() {
    let pool = pool_with(Some(64));
    for n in 1..=9 {
        append(&pool, &[&n.to_string()]);
    }
    let mut bytes = pool.memory().to_bytes();
    bytes[offset(&pool, 4) + 9] ^= 1;
    set(&mut bytes, OLDEST, at_seq(&pool, 5).position);
    set(&mut bytes, GENERATION, 1);
    let (seen, search) = found(&bytes);
    assert_eq!((seen, search.losses), (vec![5, 6, 7, 8, 9], vec![]));
    // A word that was moved up from where the run begins takes nothing away.
    set(&mut bytes, OLDEST, at_seq(&pool, 7).position);
    assert_eq!(found(&bytes).0, [5, 6, 7, 8, 9]);
    let lapped = pool_with(Some(64));
    fill(&lapped, 200);
    let mut around = lapped.memory().to_bytes();
    set(&mut around, OLDEST, lapped.newest().unwrap().position);
    set(&mut around, GENERATION, 1);
    assert_eq!(found(&around).0, seqs(&lapped));
    // Without a recovery there was no reason not to keep the others.
    set(&mut bytes, GENERATION, 0);
    assert_eq!(found(&bytes).0, [1, 2, 3, 5, 6, 7, 8, 9]);
}

#[test]
fn a_payload_that_names_a_frame_leads_nobody_astray() {
    let pool = pool_with(Some(0));
    fill(&pool, 30);
    let mut bytes = pool.memory().to_bytes();
    let at = offset(&pool, 10);
    bytes[at + 9] ^= 1;
    set(&mut bytes, at as u64 + 48, at_seq(&pool, 1).position);
    let left: Vec<u64> = (1..=30).filter(|seq| *seq != 10).collect();
    assert_eq!(found(&bytes).0, left);
}

#[test]
fn data_that_is_no_json_is_no_message() {
    let pool = pool_with(Some(64));
    append(&pool, &["1", "2 2", "3"]);
    let (seen, search) = found(&pool.memory().to_bytes());
    assert_eq!(seen, [1, 3]);
    assert_eq!(search.losses, [loss(2, 2, &pool, IssueCode::Payload)]);
}

#[test]
fn holes_are_no_losses() {
    let pool = pool_with(Some(64));
    append_at(&pool, &[(5, 2000), (6, 2000)]).unwrap();
    append_at(&pool, &[(20, 2000)]).unwrap();
    let (seen, search) = found(&pool.memory().to_bytes());
    assert_eq!((seen, search.losses), (vec![5, 6, 20], vec![]));
}

/// Pools that are told apart by their dimensions: size, slots, and how many messages of a kilobyte were written.
const SHAPES: [(u64, Option<u64>, u64); 9] = [
    (65_536, None, 3),
    (65_536, Some(0), 3),
    (65_536, Some(77), 3),
    (65_536, Some(77), 400),
    (65_536, Some(2048), 90),
    (131_072, None, 30),
    (131_072, None, 700),
    (90_008, Some(9), 20),
    (90_008, None, 900),
];

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn dimensions_are_found_by_the_frames() {
    for (size, slots, count) in SHAPES {
        let pool = pool_of(size, slots);
        fill(&pool, count);
        let mut bytes = pool.memory().to_bytes();
        bytes[..IMMUTABLE_SIZE as usize].fill(0xA5);
        let (seen, search) = found(&bytes);
        assert_eq!((seen, search.geometry()), (seqs(&pool), pool.geometry()));
        assert!(!search.header_is_sound && search.created.is_none());
        assert_eq!(search.assumed.len(), 1, "{:?}", search.assumed);
        assert!(search.assumed[0].contains(&pool.geometry().index_capacity.to_string()));
        // What the header says is tried, whether its checksum holds or not.
        let longer = [&pool.memory().to_bytes()[..], &[0; 4096]].concat();
        let mut bytes = longer.clone();
        bytes[IMMUTABLE_CRC as usize] ^= 1;
        assert_eq!(found(&bytes).1.geometry(), pool.geometry());
        set(&mut bytes, FILE_SIZE, 1);
        assert_eq!(found(&bytes).1.geometry(), pool.geometry());
    }
}

#[test]
#[cfg_attr(feature = "noisy-index", ignore = "the index names what is lost")]
fn a_file_that_was_cut_holds_what_is_left() {
    let pool = pool_with(Some(64));
    fill(&pool, 20);
    let bytes = pool.memory().to_bytes();
    let (seen, search) = found(&bytes[..offset(&pool, 11) + 8]);
    assert_eq!(seen, (1..=10).collect::<Vec<u64>>());
    let range = (search.losses[0].first_seq, search.losses[0].last_seq);
    assert_eq!((search.losses.len(), range), (1, (Some(11), Some(20))));
    // The size of the file, and that 20 was the newest: how long it was is not there to be compared with the claim.
    assert_eq!(search.assumed.len(), 2);
    assert!(search.header_is_sound);
}

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_file_that_was_cut_and_lost_its_header_is_found_by_its_frames_alone() {
    for (size, slots, count) in SHAPES {
        let pool = pool_of(size, slots);
        fill(&pool, count);
        let g = *pool.geometry();
        let mut bytes = pool.memory().to_bytes();
        bytes[..IMMUTABLE_SIZE as usize].fill(0xA5);
        let all = headers(&pool).into_iter().filter(|header| header.seq != 0);
        let lap = pool.newest().unwrap().position / g.ring_size;
        let (newest, before): (Vec<_>, Vec<_>) =
            all.partition(|header| header.position / g.ring_size == lap);
        let [newest, before] = [newest, before].map(|headers| {
            let seqs = headers.iter().map(|header| header.seq);
            seqs.collect::<Vec<u64>>()
        });
        // In the middle of the newest lap, and in that of the one before, which follows it in the file.
        let kept = &newest[..newest.len() / 2];
        let (seen, search) = found(&bytes[..offset(&pool, newest[kept.len()])]);
        assert_eq!(seen, kept, "{size} {slots:?} {count}");
        assert!(search.assumed[0].contains("dimensions"));
        assert!(search.geometry().file_size <= 2 * size);
        if slots.is_none() && size.is_power_of_two() {
            assert_eq!(search.geometry(), pool.geometry());
        }
        if let Some(end) = before.get(before.len() / 2) {
            let (seen, search) = found(&bytes[..offset(&pool, *end)]);
            assert_eq!(seen, [&before[..before.len() / 2], &newest].concat());
            assert_eq!(search.geometry().ring_size, g.ring_size);
        }
    }
}

#[test]
fn a_claim_that_the_oldest_message_does_not_bear_out_takes_nothing_away() {
    let pool = pool_with(Some(0));
    fill(&pool, 200);
    let mut bytes = pool.memory().to_bytes();
    let intent = Control::load_exclusive(pool.memory()).intent;
    set(&mut bytes, INTENT, intent + 4096);
    assert_eq!(found(&bytes).0, seqs(&pool));
    set(&mut bytes, OLDEST, 8);
    assert_eq!(found(&bytes).0, seqs(&pool));
}

#[test]
fn what_is_no_pool_of_this_version_is_refused() {
    let pool = pool_with(Some(64));
    fill(&pool, 3);
    let sound = pool.memory().to_bytes();
    let refused = |bytes: &[u8]| search(bytes).map(drop).unwrap_err();
    assert_eq!(refused(&[0; 100]).kind(), ErrorKind::Corrupt);
    assert_eq!(refused(&[0; 70_000]).kind(), ErrorKind::Corrupt);
    let mut deleted = sound.clone();
    set(&mut deleted, DELETED, DELETED_MARK);
    assert_eq!(refused(&deleted).kind(), ErrorKind::NotFound);
    // A version that the checksum vouches for is no damage; one that it does not is.
    let mut other = sound.clone();
    other[4] = 3;
    assert_eq!(found(&other).0, [1, 2, 3]);
    let crc = crc32c::crc32c(&other[..IMMUTABLE_CRC as usize]);
    set(&mut other, IMMUTABLE_CRC, u64::from(crc));
    assert!(refused(&other).message().contains("version 3"));
    // All of it is damaged.
    let mut empty = sound;
    empty[HEADER_SIZE as usize..].fill(0);
    let (seen, search) = found(&empty);
    let [all] = search.losses[..] else { panic!() };
    assert_eq!((seen, all.first_seq, all.last_seq), (vec![], None, None));
    assert_eq!(all.bytes, pool.geometry().ring_size);
}

#[test]
fn a_draft_is_filled_under_given_stamps_and_outlives_a_crash() {
    let pool = pool_with(Some(64));
    for (seq, time) in [(3, 50), (4, 50), (9, 60)] {
        let entry = Entry::new(b"", b"0");
        pool.append_to_draft(entry, seq, time).unwrap();
    }
    pool.vouch_for_draft().unwrap();
    assert_eq!(seqs(&pool), [3, 4, 9]);
    assert!(at_seq(&pool, 9).hole && !at_seq(&pool, 4).hole);
    let newest = pool.newest().unwrap();
    let (checkpoint, _) = Checkpoint::newest(pool.memory());
    let expected = Checkpoint {
        position: newest.position,
        seq: 9,
    };
    assert_eq!(checkpoint, Some(expected));
    let entry = Entry::new(b"", b"0");
    let error = pool.append_to_draft(entry, 9, 60).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[test]
fn what_is_appended_during_a_search_is_no_loss() {
    let pool = pool_with(Some(64));
    fill(&pool, 20);
    let is_done = Cell::new(false);
    // Once the search has got to the end of the ring.
    let end = pool.geometry().ring_word() + pool.geometry().ring_words();
    let strike = |word| {
        if word == end - 1 && !is_done.replace(true) {
            append_beside(pool.memory(), *pool.header(), 3);
        }
    };
    let memory = Contested {
        memory: pool.memory(),
        before_load: &strike,
    };
    let mut search = Salvage::search(memory, MIN_FILE_SIZE, BOOT_NOW).unwrap();
    let mut seqs = Vec::new();
    let each = |frame: &Frame| {
        seqs.push(frame.header().unwrap().seq);
        Ok(())
    };
    search.messages(each).unwrap();
    assert_eq!((seqs, search.losses), ((1..=20).collect(), vec![]));
}
