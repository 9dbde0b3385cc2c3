//! Does with a pool, whatever is in it, all that can be done; and says what must be so of any answer.

use plasmite::core::append::{Appended, When};
use plasmite::core::cursor::{Cursor, Step};
use plasmite::core::frame::Entry;
use plasmite::core::heap::{HeapLock, NoBell};
use plasmite::core::layout::MIN_FILE_SIZE;
use plasmite::core::memory::{LockWait, Memory};
use plasmite::core::pool::Pool;
use plasmite::core::read::Frame;
use plasmite::{ErrorKind, Result};

use crate::base::{Finite, How};
use crate::{base, errors, reference};

/// What reading a pool may fail with: a mark of deletion is as good a reason as damage.
const READING: &[ErrorKind] = &[ErrorKind::Corrupt, ErrorKind::NotFound];
/// What appending may fail with: a pool can also have run out of numbers, or the message be too large.
const APPENDING: &[ErrorKind] = &[ErrorKind::Corrupt, ErrorKind::NotFound, ErrorKind::Usage];
/// The most frames that fit a ring of this size, and gaps between them.
const MOST_STEPS: u64 = 2 * MIN_FILE_SIZE / 48;
/// So many messages show that a cursor began where it should: the whole is read once, from the oldest on.
const A_FEW: u64 = 3;

/// What the caller has to say of each message that is handed out.
pub(crate) type Judge<'a> = &'a dyn Fn(&Pool<Finite>, &Frame);

/// What to ask for and to append.
pub(crate) struct Wish {
    /// Seqs to look for.
    pub(crate) seqs: Vec<u64>,
    /// Times to look for, and numbers of last messages.
    pub(crate) numbers: Vec<u64>,
    /// How long the appended messages are, in bytes.
    pub(crate) lengths: Vec<usize>,
    /// What the clock says.
    pub(crate) now: u64,
    /// Whether checksums were made up. A frame that passes them may have the seq that an append is given, and stand
    /// before it: nobody can tell the two apart but who reads all that lies between, as `verify` does.
    pub(crate) forged: bool,
}

/// Opens the pool in every way, and does everything with it that this way allows.
pub(crate) fn everything(bytes: &[u8], size: u64, boot: u64, wish: &Wish, judge: Judge<'_>) {
    for how in [How::Write, How::Read, How::Verify] {
        let pool = match base::open(bytes, size, boot, how) {
            Ok(pool) => pool,
            Err(error) => {
                errors::check(&error, READING);
                continue;
            }
        };
        // Whoever reads sees of a whole pool what the writer saw.
        let is_whole = how != How::Read && is_whole(&pool, wish.now);
        if how == How::Verify {
            continue;
        }
        let read = read(&pool, wish, judge);
        if is_whole {
            assert!(read.is_ok(), "reported whole, and cannot be read: {read:?}");
        }
        if how == How::Write {
            append(&pool, wish, is_whole, judge);
            delete(&pool);
        }
    }
}

fn is_whole(pool: &Pool<Finite>, now: u64) -> bool {
    pool.memory().begin();
    match pool.verify(|| now) {
        Ok(report) => !report.is_corrupt(),
        Err(error) => {
            errors::check(&error, READING);
            false
        }
    }
}

/// Reads all that there is, in every way. The first error is the result; others are looked at all the same.
fn read(pool: &Pool<Finite>, wish: &Wish, judge: Judge<'_>) -> Result<()> {
    pool.memory().begin();
    let mut result =
        Cursor::oldest(pool).and_then(|cursor| follow(pool, cursor, MOST_STEPS, judge));
    let mut note = |found: Result<()>| {
        if let Err(error) = found {
            errors::check(&error, READING);
            if error.kind() == ErrorKind::Corrupt && result.is_ok() {
                result = Err(error);
            }
        }
    };
    for seq in &wish.seqs {
        pool.memory().begin();
        note(get(pool, *seq, judge).map(drop));
        note(Cursor::at_seq(pool, *seq).and_then(|cursor| follow(pool, cursor, A_FEW, judge)));
    }
    for number in &wish.numbers {
        pool.memory().begin();
        note(Cursor::at_time(pool, *number).and_then(|cursor| follow(pool, cursor, A_FEW, judge)));
        pool.memory().begin();
        note(last_messages(pool, *number, judge));
    }
    pool.memory().begin();
    note(extent(pool));
    if let Err(error) = &result {
        errors::check(error, READING);
    }
    result
}

/// Follows for so many steps, or to the end.
fn follow(pool: &Pool<Finite>, mut cursor: Cursor, most: u64, judge: Judge<'_>) -> Result<()> {
    let mut frame = Frame::default();
    for _ in 0..most {
        let due = cursor.next_seq();
        match cursor.next(pool, &mut frame)? {
            Step::Empty => return Ok(()),
            Step::Message => {
                let header = frame.header().expect("a message without a header");
                assert_eq!(header.seq, due, "not the message that was due");
                is_as_stored(pool, &frame);
                judge(pool, &frame);
            }
            Step::Lapped { first, missed } => {
                assert_eq!(first, due, "a gap that begins elsewhere");
                assert!(missed > 0, "a gap of nothing");
                assert_eq!(cursor.next_seq(), first + missed);
            }
        }
    }
    assert!(most < MOST_STEPS, "a cursor that does not come to an end");
    Ok(())
}

fn get(pool: &Pool<Finite>, seq: u64, judge: Judge<'_>) -> Result<Frame> {
    let mut frame = Frame::default();
    pool.get(seq, &mut frame)?;
    let header = frame.header().expect("a message without a header");
    assert_eq!(header.seq, seq, "another message than the one asked for");
    is_as_stored(pool, &frame);
    judge(pool, &frame);
    Ok(frame)
}

fn last_messages(pool: &Pool<Finite>, count: u64, judge: Judge<'_>) -> Result<()> {
    let cursor = Cursor::last_messages(pool, count % 100)?;
    follow(pool, cursor, A_FEW, judge)
}

fn extent(pool: &Pool<Finite>) -> Result<()> {
    let bounds = pool.bounds()?;
    let extent = pool.extent()?;
    assert_eq!(bounds.is_some(), extent.is_some());
    if let Some(extent) = extent {
        assert!(extent.messages > 0, "bounds of no message");
        assert!(extent.oldest.position <= extent.newest.position);
        let _ = (extent.bytes(), extent.seq_span());
    }
    Ok(())
}

/// A message is what the ring holds at its place, and both checksums are right.
fn is_as_stored(pool: &Pool<Finite>, frame: &Frame) {
    let (g, memory) = (pool.geometry(), pool.memory());
    let header = frame.header().expect("a message without a header");
    let size = header.size();
    assert!(size <= g.max_batch(), "larger than any message may be");
    let mut bytes = Vec::with_capacity(size as usize);
    for at in (header.position..header.position + size).step_by(8) {
        let word = memory.load(g.word_at(at), std::sync::atomic::Ordering::Relaxed);
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    let (head, payload) = bytes.split_at(reference::HEADER);
    let head = head.try_into().expect("so many bytes");
    let found = reference::header(head).expect("a message from where no frame is");
    assert_eq!((found.position, found.seq), (header.position, header.seq));
    assert_eq!(found.time, header.time);
    assert_eq!(
        reference::crc(payload),
        found.payload_crc,
        "a payload that does not verify"
    );
    let tags = found.tags_len as usize;
    let data = tags.next_multiple_of(8);
    assert_eq!(frame.tags(), &payload[..tags]);
    assert_eq!(frame.data(), &payload[data..data + found.data_len as usize]);
}

/// Appends, and reads what was acknowledged.
fn append(pool: &Pool<Finite>, wish: &Wish, is_whole_before: bool, judge: Judge<'_>) {
    let mut appended: Vec<(Appended, Vec<u8>)> = Vec::new();
    for (n, length) in wish.lengths.iter().enumerate() {
        let data = format!("\"{n}:{}\"", "z".repeat(*length)).into_bytes();
        let entry = Entry::new(b"[\"new\"]", &data);
        pool.memory().begin();
        let lock = HeapLock::default();
        let result = pool.append(
            &lock,
            &NoBell,
            LockWait::Forever,
            std::iter::once(entry),
            When::Now(|| wish.now),
        );
        match result {
            Err(error) => errors::check(&error, APPENDING),
            Ok(receipt) => {
                let before = appended.last().map_or(0, |(before, _)| before.last_seq);
                assert!(
                    receipt.first_seq > before,
                    "a seq that was given out before"
                );
                let found = reads_back(pool, &receipt, &data, wish.forged);
                assert!(
                    found || !is_whole_before,
                    "appended to a whole pool, and lost"
                );
                appended.push((receipt, data));
            }
        }
    }
    // Of what came before, what is still there is as it was; what is gone is said to be.
    let newest = appended.len().saturating_sub(1);
    for (i, (receipt, data)) in appended.iter().enumerate() {
        pool.memory().begin();
        if i == newest || get(pool, receipt.first_seq, &|_, _| {}).is_ok() {
            reads_back(pool, receipt, data, wish.forged);
        }
    }
    let first = appended.first().map(|(first, _)| first.first_seq);
    let old_ones = |pool: &Pool<Finite>, frame: &Frame| {
        if frame
            .header()
            .is_some_and(|header| first.is_none_or(|first| header.seq < first))
        {
            judge(pool, frame);
        }
    };
    let _ = read(pool, wish, &old_ones);
    let _ = is_whole(pool, wish.now);
    pool.memory().begin();
    if let Err(error) = pool.flush(&HeapLock::default(), LockWait::Forever) {
        errors::check(&error, READING);
    }
}

/// Whether a message that was acknowledged is there, as it was given; else an error says why not.
fn reads_back(pool: &Pool<Finite>, receipt: &Appended, data: &[u8], forged: bool) -> bool {
    match get(pool, receipt.first_seq, &|_, _| {}) {
        Ok(frame) if forged && frame.data() != data => false,
        Ok(frame) => {
            assert_eq!(frame.data(), data, "not the data that was appended");
            assert_eq!(frame.tags(), b"[\"new\"]");
            assert_eq!(frame.header().map(|header| header.time), Some(receipt.time));
            true
        }
        Err(error) => {
            errors::check(&error, READING);
            false
        }
    }
}

fn delete(pool: &Pool<Finite>) {
    let lock = HeapLock::default();
    let deleted =
        plasmite::core::pool::delete(pool.memory(), &lock, &NoBell, LockWait::Forever, || Ok(()));
    deleted.expect("a pool with a header can be deleted");
    let entry = Entry::new(b"", b"0");
    let result = pool.append(
        &lock,
        &NoBell,
        LockWait::Forever,
        std::iter::once(entry),
        When::Now(|| 1),
    );
    let error = result.expect_err("appended to a pool that is deleted");
    errors::check(&error, &[ErrorKind::NotFound]);
}
