//! What is on the medium after a flush, and by what a recovery finds it.

use super::medium::{Act, Medium};
use super::*;

const HEADER_WORDS: Range<u64> = 0..HEADER_SIZE / WORD;

impl Medium {
    /// With an empty pool, all of it on the medium.
    fn with_pool() -> (Medium, Header) {
        let pool = pool_with(Some(0));
        let bytes = pool.memory().to_bytes();
        let medium = Medium::holding(&bytes);
        (medium, *pool.header())
    }

    fn word(&self, offset: u64) -> u64 {
        self.memory.load(offset / WORD, Relaxed)
    }

    /// Whether a recovery comes to this message by what is on the medium of the header: there is no way to it from what
    /// was written after the last flush.
    fn leads_to(&self, pool: &Pool<&Medium>, seq: u64) -> bool {
        let flushed = pool.header_exclusive(self.word(FLUSHED)).unwrap();
        let image = HeapMemory::from_bytes(&self.memory.to_bytes());
        for word in HEADER_WORDS {
            image.store(word, self.medium.load(word, Relaxed), Relaxed);
        }
        if flushed.position < self.word(LAST) {
            image.store(pool.geometry().word_at(flushed.end()), 0, Relaxed);
        }
        // The header may have come to the medium at any later time.
        for name in [LAST, OLDEST, INTENT] {
            image.store(name / WORD, self.word(name), Relaxed);
        }
        get(&open(image, BOOT_NOW + 1).unwrap(), seq).is_ok()
    }
}

fn add(pool: &Pool<&Medium>, count: u64) -> Result<()> {
    for _ in 0..count {
        let data = filler(pool.newest()?.seq + 1);
        let entry = std::iter::once(Entry::new(b"", data.as_bytes()));
        let lock = HeapLock::default();
        pool.append(&lock, &NoBell, LockWait::Forever, entry, When::Now(|| 1000))?;
    }
    Ok(())
}

fn flush(pool: &Pool<&Medium>) -> Result<u64> {
    let newest = pool.newest()?.seq;
    pool.flush(&HeapLock::default(), LockWait::Forever)?;
    Ok(newest)
}

#[test]
fn a_flush_syncs_what_is_new_and_the_header_once_in_a_quarter_of_a_lap() {
    let (medium, header) = Medium::with_pool();
    let pool = Pool::attach(&medium, header);
    let quarter = header.geometry.ring_size / 4;
    // The first one finds a checkpoint of which nobody knows whether it is on the medium.
    add(&pool, 1).unwrap();
    flush(&pool).unwrap();
    let syncs = medium.take_syncs();
    assert_eq!((syncs.len(), &syncs[0]), (2, &HEADER_WORDS));
    let mut headers = 0;
    let laps = 3;
    while pool.newest().unwrap().end() < (1 + laps) * header.geometry.ring_size {
        let anchor = medium.word(ANCHORED);
        add(&pool, 1).unwrap();
        let newest = pool.newest().unwrap();
        flush(&pool).unwrap();
        let syncs = medium.take_syncs();
        let is_far = newest.position - anchor > quarter;
        assert_eq!(syncs.contains(&HEADER_WORDS), is_far);
        headers += u64::from(is_far);
        let ring = syncs.iter().filter(|words| **words != HEADER_WORDS);
        let words: u64 = ring.map(|words| words.end - words.start).sum();
        assert_eq!(words * WORD, newest.end() - anchor);
        // There is nothing to do for a second one.
        flush(&pool).unwrap();
        assert_eq!(medium.take_syncs(), []);
    }
    assert!((3 * laps..=4 * laps).contains(&headers), "{headers}");
}

#[test]
fn what_was_flushed_outlives_the_anchor_by_which_it_was_found() {
    for far in [4, 9] {
        let (medium, header) = Medium::with_pool();
        let pool = Pool::attach(&medium, header);
        add(&pool, 20).unwrap();
        let anchor = flush(&pool).unwrap();
        add(&pool, far).unwrap();
        let flushed = flush(&pool).unwrap();
        let anchored = medium.word(ANCHORED);
        medium.take_syncs();
        let mut syncs = 0;
        loop {
            add(&pool, 1).unwrap();
            syncs += medium.take_syncs().len();
            let (oldest, _) = pool.bounds().unwrap().unwrap();
            if oldest.seq > flushed {
                break;
            }
            assert_eq!(medium.word(ANCHORED) > anchored, oldest.seq > anchor);
            assert!(medium.leads_to(&pool, flushed), "{far}: {}", oldest.seq);
        }
        assert_eq!(syncs, 1);
        // Where all that was flushed is overwritten, nobody waits for a medium.
        add(&pool, 100).unwrap();
        assert_eq!(medium.take_syncs(), []);
    }
}

#[test]
fn a_writer_that_cannot_keep_what_was_flushed_stores_nothing() {
    let (medium, header) = Medium::with_pool();
    let pool = Pool::attach(&medium, header);
    add(&pool, 20).unwrap();
    let anchor = flush(&pool).unwrap();
    add(&pool, 9).unwrap();
    let flushed = flush(&pool).unwrap();
    medium.is_broken.set(true);
    let refused = loop {
        match add(&pool, 1) {
            Ok(()) => {}
            Err(refused) => break refused,
        }
    };
    // The seq of an error is that of a message which is there all the same.
    assert_eq!((refused.kind(), refused.seq_value()), (ErrorKind::Io, None));
    assert!(refused.message().contains("nothing was appended"));
    let (oldest, _) = pool.bounds().unwrap().unwrap();
    assert_eq!(oldest.seq, anchor);
    assert!(medium.leads_to(&pool, flushed));
    medium.is_broken.set(false);
    add(&pool, 1).unwrap();
    assert!(medium.leads_to(&pool, flushed));
}

/// Others append while a flush waits for the medium: from nothing to more than a lap, or flush as well.
#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_flush_holds_whatever_others_do_meanwhile() {
    for (far, after) in [(1, 0), (9, 0), (20, 0), (20, 1)] {
        let counts = [0, 1, 2, 30, 37, 44, 50, 54, 57, 60];
        for (count, flushes) in counts
            .into_iter()
            .flat_map(|count| [(count, false), (count, true)])
        {
            let (medium, header) = Medium::with_pool();
            let pool = Pool::attach(&medium, header);
            add(&pool, 20).unwrap();
            flush(&pool).unwrap();
            add(&pool, 3).unwrap();
            flush(&pool).unwrap();
            add(&pool, far).unwrap();
            let act: Act = Box::new(move |medium| {
                let other = Pool::attach(medium, header);
                add(&other, count / 2).unwrap();
                if flushes {
                    flush(&other).unwrap();
                }
                add(&other, count - count / 2).unwrap();
            });
            medium.meanwhile.replace(Some((after, act)));
            let flushed = flush(&pool).unwrap();
            assert!(medium.meanwhile.borrow().is_none());
            let anchored = medium.word(ANCHORED);
            let present = Checkpoint::load_all(&medium.medium).map(|c| c.map(|c| c.position));
            let what = format!("{far} {after} {count} {flushes}");
            assert!(present.contains(&Some(anchored)), "{what}");
            while pool.bounds().unwrap().unwrap().0.seq <= flushed {
                assert!(medium.leads_to(&pool, flushed), "{what}");
                add(&pool, 1).unwrap();
            }
        }
    }
}

#[test]
fn a_word_that_is_damaged_makes_no_flush_less() {
    let (medium, header) = Medium::with_pool();
    let pool = Pool::attach(&medium, header);
    add(&pool, 20).unwrap();
    flush(&pool).unwrap();
    let ahead = medium.word(LAST) + (1 << 14);
    for (offset, value) in [
        (FLUSHED, u64::MAX),
        (FLUSHED, 0),
        (FLUSHED, ahead),
        (FLUSHED + 8, 7),
        (ANCHORED, u64::MAX),
        (ANCHORED, 0),
        (ANCHORED, 8),
    ] {
        add(&pool, 1).unwrap();
        medium.take_syncs();
        (&medium).store(offset / WORD, value, Relaxed);
        add(&pool, 16).unwrap();
        let flushed = flush(&pool).unwrap();
        let g = header.geometry;
        let newest = g.word_at(pool.newest().unwrap().position);
        let syncs = medium.take_syncs();
        assert!(
            syncs.iter().any(|words| words.contains(&newest)),
            "{syncs:?}"
        );
        assert!(medium.leads_to(&pool, flushed));
        assert_eq!(medium.word(FLUSHED), pool.newest().unwrap().position);
    }
    // Nothing is on the medium that is not there at all, whatever a word and its CRC say.
    add(&pool, 1).unwrap();
    medium.take_syncs();
    summed::store(&&medium, FLUSHED, ahead + medium.word(LAST));
    flush(&pool).unwrap();
    assert_ne!(medium.take_syncs(), []);
    assert_eq!(medium.word(FLUSHED), medium.word(LAST));
    // A frame that is named and is none keeps nobody from writing.
    (&medium).store(FLUSHED / WORD, medium.word(LAST) + 8, Relaxed);
    add(&pool, 100).unwrap();
}

/// Guards against an anchor of which other words are on the medium: a checkpoint that was synced, stored over, and stored
/// again. Whoever did either has died since, or met a medium that was broken for a while.
#[test]
fn a_checkpoint_that_is_there_again_is_synced_again() {
    let (medium, header) = Medium::with_pool();
    let pool = Pool::attach(&medium, header);
    add(&pool, 20).unwrap();
    flush(&pool).unwrap();
    add(&pool, 5).unwrap();
    flush(&pool).unwrap();
    let anchored = medium.word(ANCHORED);
    // All but what takes the place of the anchor.
    while pool.bounds().unwrap().unwrap().0.position < anchored {
        add(&pool, 1).unwrap();
    }
    let newest = medium.word(LAST);
    let act: Act = Box::new(move |medium| {
        let other = Pool::attach(medium, header);
        let stored = Checkpoint::newest(&medium.memory).0;
        medium.is_broken.set(true);
        assert!(add(&other, 1).is_err());
        assert_ne!(Checkpoint::newest(&medium.memory).0, stored);
        medium.is_broken.set(false);
        let act: Act = Box::new(|medium| medium.is_broken.set(true));
        medium.meanwhile.replace(Some((1, act)));
        assert!(flush(&other).is_err());
        assert_eq!(Checkpoint::newest(&medium.memory).0, stored);
        medium.is_broken.set(false);
    });
    medium.take_syncs();
    // The ring is synced in two pieces, and then the header.
    medium.meanwhile.replace(Some((2, act)));
    flush(&pool).unwrap();
    assert_eq!((medium.word(ANCHORED), medium.word(LAST)), (newest, newest));
    let syncs = medium.take_syncs();
    let headers = syncs.iter().filter(|words| **words == HEADER_WORDS);
    assert_eq!(headers.count(), 2, "{syncs:?}");
}

/// Guards against a flush without end, of a file that was cut or written over meanwhile.
#[test]
fn a_flush_of_what_is_gone_ends() {
    let (medium, header) = Medium::with_pool();
    let pool = Pool::attach(&medium, header);
    add(&pool, 20).unwrap();
    let bytes = medium.memory.to_bytes();
    for words in [0..medium.memory.words(), LAST / WORD..LAST / WORD + 1] {
        let medium = Medium::holding(&bytes);
        let pool = Pool::attach(&medium, header);
        let act: Act = Box::new(move |medium| {
            words.for_each(|word| (&medium).store(word, 0, Relaxed));
        });
        medium.meanwhile.replace(Some((1, act)));
        assert_eq!(flush(&pool).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

/// Of two flushes at a time, the one that has less to vouch for leaves the checkpoint of the other.
#[test]
fn a_checkpoint_is_not_stored_over_a_newer_one() {
    let (medium, header) = Medium::with_pool();
    let pool = Pool::attach(&medium, header);
    add(&pool, 20).unwrap();
    flush(&pool).unwrap();
    let (anchored, count) = (medium.word(ANCHORED), medium.word(CHECKPOINT_COUNT));
    while medium.word(LAST) - anchored <= header.geometry.ring_size / 4 {
        add(&pool, 1).unwrap();
    }
    let act: Act = Box::new(move |medium| {
        let other = Pool::attach(medium, header);
        add(&other, 1).unwrap();
        let act: Act = Box::new(|medium| medium.is_broken.set(true));
        medium.meanwhile.replace(Some((0, act)));
        assert!(flush(&other).is_err());
        medium.is_broken.set(false);
    });
    medium.meanwhile.replace(Some((0, act)));
    flush(&pool).unwrap();
    assert_eq!(medium.word(CHECKPOINT_COUNT), count + 1);
    assert_eq!(medium.word(ANCHORED), medium.word(LAST));
}
