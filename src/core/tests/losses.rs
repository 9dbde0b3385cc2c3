//! What a salvage lists as lost before the first message and behind the last.

use super::salvage::{Search, at_seq, forge, found, loss, offset, set};
use super::*;
use crate::core::salvage::Salvage;

#[test]
#[cfg_attr(feature = "noisy-index", ignore = "the index names what is lost")]
fn the_first_and_the_last_message_are_lost_by_number_where_anything_names_them() {
    let pool = pool_with(Some(64));
    fill(&pool, 200);
    let all = seqs(&pool);
    let (first, last) = (all[0], *all.last().unwrap());
    let mut bytes = pool.memory().to_bytes();
    for seq in [first, last - 1, last] {
        bytes[offset(&pool, seq) + 9] ^= 1;
    }
    let (seen, search) = found(&bytes);
    assert_eq!(seen, all[1..all.len() - 2]);
    let [below, beyond] = search.losses[..] else {
        panic!("{:?}", search.losses);
    };
    assert_eq!(below, loss(first, first, &pool, IssueCode::Frame));
    assert_eq!(
        (beyond.first_seq, beyond.last_seq),
        (Some(last - 1), Some(last))
    );
    assert_eq!(beyond.offset, offset(&pool, last - 1) as u64);
    assert_eq!(
        beyond.bytes,
        at_seq(&pool, last).position + 48 - at_seq(&pool, last - 1).position
    );

    // Without an index nothing says how many there were.
    let pool = pool_with(Some(0));
    fill(&pool, 200);
    let all = seqs(&pool);
    let mut bytes = pool.memory().to_bytes();
    for seq in [all[0], last] {
        bytes[offset(&pool, seq) + 9] ^= 1;
    }
    let (_, search) = found(&bytes);
    let ends = search
        .losses
        .iter()
        .map(|loss| (loss.first_seq, loss.last_seq));
    let ends: Vec<_> = ends.collect();
    assert_eq!(ends, [(None, Some(all[0])), (Some(last), None)]);
}

#[test]
fn the_first_messages_of_a_young_pool_begin_with_1() {
    let pool = pool_with(Some(0));
    fill(&pool, 5);
    let mut bytes = pool.memory().to_bytes();
    let ring = pool.geometry().ring_offset as usize;
    bytes[ring + 9] ^= 1;
    let (seen, search) = found(&bytes);
    assert_eq!((seen, search.losses.len()), (vec![1, 2, 3, 4, 5], 0));
    bytes[offset(&pool, 1) + 9] ^= 1;
    bytes[offset(&pool, 2) + 9] ^= 1;
    for oldest in [pool.geometry().first_position(), 0] {
        set(&mut bytes, OLDEST, oldest);
        let (seen, search) = found(&bytes);
        assert_eq!(seen, [3, 4, 5]);
        let range = (search.losses[0].first_seq, search.losses[0].last_seq);
        assert_eq!((search.losses.len(), range), (1, (Some(1), Some(2))));
    }
}

#[test]
#[cfg_attr(feature = "noisy-index", ignore = "the index names what is lost")]
fn a_last_that_nothing_bears_out_is_believed_unless_the_index_knows_better() {
    for slots in [0, 64] {
        let pool = pool_with(Some(slots));
        fill(&pool, 20);
        let sound = pool.memory().to_bytes();
        let last = at_seq(&pool, 20);
        // The last frame is gone and the claim is wrong: the word alone says that there was one.
        let mut bytes = sound.clone();
        bytes[offset(&pool, 20) + 9] ^= 1;
        set(&mut bytes, INTENT, 0);
        let (seen, search) = found(&bytes);
        assert_eq!(seen, (1..=19).collect::<Vec<u64>>());
        let range = (search.losses[0].first_seq, search.losses[0].last_seq);
        let known = (slots > 0).then_some(20);
        assert_eq!((search.losses.len(), range), (1, (Some(20), known)));
        assert_eq!(search.losses[0].offset, offset(&pool, 20) as u64);
        // The claim is right, and the index has forgotten it.
        set(&mut bytes, INTENT, last.end());
        if let Some(word) = pool.geometry().slot_word(20) {
            set(&mut bytes, word * WORD, 0);
        }
        let losses = found(&bytes).1.losses;
        let ranges: Vec<_> = losses
            .iter()
            .map(|loss| (loss.first_seq, loss.last_seq))
            .collect();
        assert_eq!(ranges, [(Some(20), None)]);
        // The word is wrong: the index says what the newest message was.
        let mut bytes = sound;
        set(&mut bytes, LAST, last.end() + 4096);
        set(&mut bytes, INTENT, 0);
        let (seen, search) = found(&bytes);
        assert_eq!(seen, (1..=20).collect::<Vec<u64>>());
        assert_eq!(search.losses.len(), (slots == 0) as usize);
        assert_eq!(search.assumed.len(), (slots > 0) as usize);
    }
}

#[test]
fn a_last_that_no_frame_can_be_at_says_nothing() {
    let pool = pool_with(Some(0));
    fill(&pool, 20);
    let mut bytes = pool.memory().to_bytes();
    let g = pool.geometry();
    let end = at_seq(&pool, 20).position;
    bytes[offset(&pool, 20) + 9] ^= 1;
    for wrong in [end + 4, end + g.ring_size + 8, 1 << 40, end - g.ring_size] {
        set(&mut bytes, LAST, wrong);
        set(&mut bytes, INTENT, wrong + 64);
        let (seen, search) = found(&bytes);
        assert_eq!(seen, (1..=19).collect::<Vec<u64>>(), "{wrong}");
        assert_eq!(
            (search.losses.len(), search.assumed.len()),
            (0, 1),
            "{wrong}"
        );
        assert!(search.assumed[0].contains("message 19 was the newest"));
    }
}

/// The seqs of what is lost.
fn ranges(search: &Search) -> Vec<(Option<u64>, Option<u64>)> {
    let losses = search.losses.iter();
    losses.map(|loss| (loss.first_seq, loss.last_seq)).collect()
}

#[test]
#[cfg_attr(feature = "noisy-index", ignore = "the index names what is lost")]
fn a_word_for_the_oldest_that_is_wrong_hides_no_loss_that_the_index_knows_of() {
    let pool = pool_with(Some(64));
    fill(&pool, 200);
    let all = seqs(&pool);
    let ring_size = pool.geometry().ring_size;
    let newest = pool.newest().unwrap();
    let first = at_seq(&pool, all[2]);
    let mut bytes = pool.memory().to_bytes();
    for seq in &all[..2] {
        bytes[offset(&pool, *seq) + 9] ^= 1;
    }
    let floor = newest.end() - ring_size;
    let slot = |seq| pool.geometry().slot_word(seq).unwrap() * WORD;
    // That something is said of the lowest place does not make it the oldest message.
    set(&mut bytes, slot(all[0]) + WORD, floor);
    for oldest in [0, 8, newest.position, floor - 8, first.position + 8] {
        set(&mut bytes, OLDEST, oldest);
        let (seen, search) = found(&bytes);
        assert_eq!((seen, search.assumed.len()), (all[2..].to_vec(), 0));
        assert_eq!(ranges(&search), [(None, Some(all[1]))]);
        let place = (search.losses[0].offset, search.losses[0].bytes);
        let expected = (pool.geometry().offset_at(floor), first.position - floor);
        assert_eq!(place, expected, "{oldest}");
    }
    // It names the first message that is left: there was no other.
    set(&mut bytes, OLDEST, first.position);
    let (_, search) = found(&bytes);
    assert_eq!((search.losses.len(), search.assumed.len()), (0, 0));
    // Without the slots of those two, and with another one that is as it never was, nothing speaks of them.
    set(&mut bytes, OLDEST, 0);
    for seq in &all[..2] {
        set(&mut bytes, slot(*seq), 0);
    }
    set(&mut bytes, slot(all[2]) + WORD, floor + 8);
    let (seen, search) = found(&bytes);
    assert_eq!((seen, search.losses), (all[2..].to_vec(), vec![]));
    let expected = format!("message {} was the oldest", all[2]);
    assert!(
        search.assumed[0].starts_with(&expected),
        "{:?}",
        search.assumed
    );
}

#[test]
#[cfg_attr(feature = "noisy-index", ignore = "the index names what is lost")]
fn the_oldest_message_that_was_is_named_by_its_slot_and_by_no_other() {
    let pool = pool_with(Some(64));
    fill(&pool, 200);
    let all = seqs(&pool);
    let [oldest, second, first] = [0, 1, 2].map(|i| at_seq(&pool, all[i]));
    let mut bytes = pool.memory().to_bytes();
    for seq in &all[..2] {
        bytes[offset(&pool, *seq) + 9] ^= 1;
    }
    assert_eq!(ranges(&found(&bytes).1), [(Some(all[0]), Some(all[1]))]);
    let slot = |seq| pool.geometry().slot_word(seq).unwrap() * WORD;
    // A slot that says something else of the place where the oldest was, or of the places beside it.
    for (seq, position) in [
        (all[0], oldest.position + 8),
        (all[0], oldest.position - 8),
        (all[0], second.position),
        (all[0] + 64, oldest.position),
    ] {
        let mut bytes = bytes.clone();
        set(&mut bytes, slot(all[0]), seq);
        set(&mut bytes, slot(all[0]) + WORD, position);
        let search = found(&bytes).1;
        assert_eq!(
            ranges(&search),
            [(None, Some(all[1]))],
            "{seq} at {position}"
        );
        let place = (search.losses[0].offset, search.losses[0].bytes);
        let expected = (
            offset(&pool, all[0]) as u64,
            first.position - oldest.position,
        );
        assert_eq!(place, expected);
    }
    // The slot of a message that is there, and was never there.
    set(&mut bytes, slot(all[0]), 0);
    set(&mut bytes, slot(all[2]) + WORD, oldest.position);
    assert_eq!(ranges(&found(&bytes).1), [(None, Some(all[1]))]);
}

#[test]
fn a_pool_that_has_lost_only_the_frame_it_began_with_has_lost_no_message() {
    let pool = pool_with(Some(0));
    let ring_size = pool.geometry().ring_size;
    let mut bytes = pool.memory().to_bytes();
    bytes[pool.geometry().ring_offset as usize + 9] ^= 1;
    let (seen, search) = found(&bytes);
    assert_eq!((seen, search.losses), (vec![], vec![]));
    set(&mut bytes, LAST, 0);
    assert_eq!(ranges(&found(&bytes).1), [(None, None)]);
    // Overwritten, and the first message still there.
    fill(&pool, 50);
    let left = 2 * ring_size + 24 - pool.newest().unwrap().end();
    append(&pool, &[&format!("\"{}\"", "x".repeat(left as usize - 50))]);
    assert_eq!(pool.newest().unwrap().end(), 2 * ring_size + 24);
    let mut bytes = pool.memory().to_bytes();
    assert_eq!(seqs(&pool)[0], 1);
    set(&mut bytes, OLDEST, 0);
    let (seen, search) = found(&bytes);
    assert_eq!((seen, search.losses), (seqs(&pool), vec![]));
    assert_eq!(search.assumed, [""; 0]);
}

/// Twenty messages, with and without an index.
fn twenty(slots: u64) -> (Pool<HeapMemory>, Vec<u8>) {
    let pool = pool_with(Some(slots));
    fill(&pool, 20);
    let bytes = pool.memory().to_bytes();
    (pool, bytes)
}

#[test]
#[cfg_attr(feature = "noisy-index", ignore = "the index names what is lost")]
fn what_is_said_of_the_newest_message_counts_where_it_can_be() {
    let (pool, sound) = twenty(64);
    let slot = |seq| pool.geometry().slot_word(seq).unwrap() * WORD;
    let newest = at_seq(&pool, 20);
    let all: Vec<u64> = (1..=20).collect();
    // A `last` that has gone back says nothing of what came later; the index does.
    let mut bytes = sound.clone();
    bytes[offset(&pool, 20) + 9] ^= 1;
    set(&mut bytes, LAST, at_seq(&pool, 15).position);
    let (seen, search) = found(&bytes);
    assert_eq!(seen, all[..19]);
    assert_eq!(ranges(&search), [(Some(20), Some(20))]);
    assert_eq!(search.losses[0].bytes, 48);
    // Slots that say what cannot be: the newest message in another place, a later one in the place of an older.
    // And a later one where no frame can be, and in the slot of another.
    for (place, seq, position) in [
        (20, 20, newest.end()),
        (20, 20, newest.end() + 4096),
        (21, 21, at_seq(&pool, 3).position),
        (21, 21, newest.position),
        (21, 21, newest.end() + 4),
        (20, 21, newest.end()),
    ] {
        for words in [&[][..], &[LAST, INTENT]] {
            let mut bytes = sound.clone();
            for word in words {
                set(&mut bytes, *word, 0);
            }
            set(&mut bytes, slot(place), seq);
            set(&mut bytes, slot(place) + WORD, position);
            let (seen, search) = found(&bytes);
            assert_eq!(
                (seen, search.losses),
                (all.clone(), vec![]),
                "{seq} at {position}"
            );
        }
    }
    // Only the older one of two that are lost is in the index.
    let mut bytes = sound.clone();
    for seq in [19, 20] {
        bytes[offset(&pool, seq) + 9] ^= 1;
    }
    set(&mut bytes, slot(20), 0);
    let (_, search) = found(&bytes);
    assert_eq!(ranges(&search), [(Some(19), None)]);
    let lost = newest.position + 48 - at_seq(&pool, 19).position;
    assert_eq!((search.losses[0].bytes, search.assumed.len()), (lost, 0));
    // And nothing else says that there was another.
    for word in [LAST, INTENT] {
        set(&mut bytes, word, 0);
    }
    let (_, search) = found(&bytes);
    assert_eq!(ranges(&search), [(Some(19), Some(19))]);
    assert!(search.assumed[0].starts_with("message 19 was the newest"));
}

#[test]
fn what_is_taken_for_the_newest_message_is_said_unless_it_is_sure() {
    let newest = |bytes: &[u8]| found(bytes).1.assumed.concat();
    let (_, sound) = twenty(0);
    assert_eq!(newest(&sound), "");
    for word in [LAST, INTENT] {
        let mut bytes = sound.clone();
        set(&mut bytes, word, 0);
        assert!(
            newest(&bytes).starts_with("message 20 was the newest"),
            "{word}"
        );
    }
    let mut empty = pool_with(Some(0)).memory().to_bytes();
    assert_eq!(newest(&empty), "");
    set(&mut empty, INTENT, 0);
    assert!(newest(&empty).starts_with("the pool was empty"));
}

#[test]
#[cfg_attr(feature = "noisy-index", ignore = "the index names what is lost")]
fn what_was_flushed_was_there() {
    let (pool, _) = twenty(0);
    pool.vouch_for_draft().unwrap();
    let mut bytes = pool.memory().to_bytes();
    let (before, lost) = (at_seq(&pool, 19), at_seq(&pool, 20));
    bytes[offset(&pool, 20) + 9] ^= 1;
    for word in [LAST, INTENT] {
        set(&mut bytes, word, 0);
    }
    let (_, search) = found(&bytes);
    assert_eq!(ranges(&search), [(Some(20), None)]);
    assert_eq!((search.losses[0].bytes, search.assumed.len()), (48, 0));
    assert_eq!(
        search.losses[0].offset,
        pool.geometry().offset_at(before.end())
    );
    // More came after it.
    append(&pool, &["21"]);
    let mut bytes = pool.memory().to_bytes();
    for seq in [20, 21] {
        bytes[offset(&pool, seq) + 9] ^= 1;
    }
    let (_, search) = found(&bytes);
    assert_eq!(ranges(&search), [(Some(20), None)]);
    assert_eq!(search.losses[0].bytes, lost.size() + 48);
}

/// Frames that claim seqs which are kept, the first and the last of a piece as well as one between.
#[test]
fn a_twin_of_any_message_that_is_kept_is_told() {
    let pool = pool_with(Some(64));
    for n in 1..=9 {
        append(&pool, &[&n.to_string()]);
    }
    let g = *pool.geometry();
    let mut sound = pool.memory().to_bytes();
    sound[offset(&pool, 4) + 48] ^= 1;
    for seq in 0..=9 {
        let mut bytes = sound.clone();
        let twin = FrameHeader {
            position: pool.newest().unwrap().end() + 4096,
            ..at_seq(&pool, seq)
        };
        forge(&mut bytes, &g, &twin, b"\"?\"");
        let (seen, search) = found(&bytes);
        assert_eq!(seen, [1, 2, 3, 5, 6, 7, 8, 9]);
        // Of a message that is lost, and of what is no message, there is no twin.
        if [0, 4].contains(&seq) {
            assert_eq!(search.duplicates, [], "{seq}");
            continue;
        }
        let [duplicate] = search.duplicates[..] else {
            panic!("{seq}: {:?}", search.duplicates);
        };
        let places = (duplicate.kept, duplicate.dropped);
        assert_eq!(duplicate.seq, seq);
        assert_eq!(
            places,
            (offset(&pool, seq) as u64, g.offset_at(twin.position))
        );
    }
}

/// A file that was cut while it was searched: what is not there any more reads as zeros.
struct Cut(HeapMemory);

impl Memory for Cut {
    fn words(&self) -> u64 {
        self.0.words()
    }

    fn load(&self, word: u64, order: Ordering) -> u64 {
        self.0.load(word, order)
    }

    fn store(&self, word: u64, value: u64, order: Ordering) {
        self.0.store(word, value, order);
    }

    fn fence(&self, order: Ordering) {
        self.0.fence(order);
    }

    fn persist(&self, words: Range<u64>) -> Result<()> {
        self.0.persist(words)
    }

    fn check(&self, now: Option<u64>) -> Result<()> {
        self.0.check(now)
    }

    fn poisoned(&self) -> bool {
        true
    }
}

#[test]
fn a_file_that_was_cut_meanwhile_is_no_salvage() {
    let (_, bytes) = twenty(0);
    let memory = Cut(HeapMemory::from_bytes(&bytes));
    let refused = Salvage::search(memory, bytes.len() as u64, BOOT_NOW);
    assert_eq!(
        refused.err().map(|error| error.kind()),
        Some(ErrorKind::Corrupt)
    );
}
