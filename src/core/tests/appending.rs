//! What an append stores, reclaims and refuses.

use super::waking::Bedside;
use super::*;

/// Guards against a batch that reclaims more than it has to, or leaves `oldest` between two frames, where it looks for
/// the first frame that stays rather than walking to it.
#[cfg_attr(miri, ignore = "takes Miri minutes")]
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

/// Guards against pages made ready that nobody stores to, and those missed that somebody does.
#[test]
fn the_next_words_are_where_a_batch_goes() {
    let pool = pool_with(None);
    let ring =
        pool.geometry().ring_word()..pool.geometry().ring_word() + pool.geometry().ring_words();
    let (mut ended, mut begun) = (0, 0);
    for round in 0..2000 {
        let data = "7".repeat(1 + round * 37 % 300);
        let bytes = Entry::new(b"", data.as_bytes()).frame_size();
        let words = pool.next_words(bytes).unwrap();
        append(&pool, &[&data]);
        let frame = pool.newest().unwrap();
        assert_eq!(words.start, pool.geometry().word_at(frame.position));
        match ring.end - words.start > bytes / WORD {
            true => assert_eq!(words.end, pool.geometry().word_at(frame.end())),
            false => assert_eq!(words.end, ring.end),
        }
        ended += usize::from(words.end == ring.end);
        begun += usize::from(words.start == ring.start);
    }
    assert!(ended > 3 && begun <= ended, "{ended} of them reach the end");
}

#[test]
fn a_batch_too_large_is_refused_and_leaves_no_trace() {
    let pool = pool_with(None);
    append(&pool, &["1"]);
    let before = pool.memory().to_bytes();
    let big = format!("\"{}\"", "x".repeat(pool.geometry().max_batch() as usize));
    let entries = [Entry::new(b"", b"2"), Entry::new(b"", big.as_bytes())];
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
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
        let entries = [Entry::new(b"", b"2")];
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
        assert_eq!(bell.bound.get(), bound.min(longest));
    }
}

#[cfg_attr(miri, ignore = "takes Miri minutes")]
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

#[cfg_attr(miri, ignore = "takes Miri minutes")]
#[test]
fn a_reclaimed_frame_that_is_damaged_takes_no_other_with_it() {
    // Of the longer ones, the next is farther than an append looks at once.
    for length in [1000, 9000] {
        let data = "7".repeat(length);
        let pool = pool_with(None);
        for _ in 0..100 {
            append(&pool, &[&data]);
        }
        let image = pool.memory().to_bytes();
        let retained = seqs(&pool).into_iter().map(|seq| frame_of(&pool, seq));
        let retained: Vec<_> = retained.collect();
        let oldest = retained[0];
        let longer = FrameHeader {
            data_len: 100_000,
            ..oldest
        };
        for forged in [false, true] {
            let pool = open(HeapMemory::from_bytes(&image), BOOT_NOW).unwrap();
            match forged {
                false => damage(&pool, &oldest, 2),
                true => forge(&pool, &longer),
            }
            append(&pool, &[&data]);
            let control = pool.control().unwrap();
            let floor = control.intent - pool.geometry().ring_size;
            let stays = retained.iter().find(|frame| frame.position >= floor);
            assert_eq!(control.oldest, stays.unwrap().position);
            assert!(control.oldest > oldest.position);
        }
    }
}

#[test]
fn whatever_a_batch_has_no_message_is_too_few() {
    let pool = pool_with(None);
    let before = pool.memory().to_bytes();
    let error = append_at(&pool, &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().contains("no messages"), "{error}");
    assert_eq!(pool.memory().to_bytes(), before);
}
