//! `Client::salvage_pool` on pools that were damaged at random, beside a model that knows which bytes were touched.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use plasmite::{
    Batch, Client, CreateOptions, Durability, ErrorKind, PoolRef, Salvaged, Start, Tags,
    TailOptions, Timestamp,
};

use crate::random::Random;

/// How many pools are damaged.
const CASES: u64 = 1000;
/// So many of them are damaged copies of one and the same pool.
const OF_ONE_POOL: u64 = 20;

// Where things are in a file, by `spec/format`.
const INDEX_CAPACITY: usize = 56;
const RING_OFFSET: usize = 64;
const RING_SIZE: usize = 72;
const LAST: usize = 576;
const OLDEST: usize = 640;
const BOOT: usize = 896;
const HEADER: usize = 4096;
const FRAME_HEADER: usize = 48;
/// Within a frame: the flags, and the one that says that more of its batch follow.
const FLAGS: usize = 45;
const MORE: u8 = 2;

/// What is read of a message: time, tags and data.
type Message = (Timestamp, String, String);

/// A sound pool, and where its messages are.
struct Sound {
    bytes: Vec<u8>,
    messages: BTreeMap<u64, Message>,
    /// The bytes of the file that each message takes; two ranges where it goes around the end of the ring.
    places: BTreeMap<u64, Vec<Range<usize>>>,
}

impl Sound {
    /// Whether no message of the same batch follows this one, and its frame's header still says so.
    fn is_known_to_end_a_batch(&self, seq: u64, damaged: &[u8]) -> bool {
        let bytes = self.places[&seq].iter().cloned().flatten();
        let header: Vec<usize> = bytes.take(FRAME_HEADER).collect();
        let is_whole = header
            .iter()
            .all(|&at| damaged.get(at) == Some(&self.bytes[at]));
        is_whole && self.bytes[header[FLAGS]] & MORE == 0
    }
}

#[test]
fn all_that_is_undamaged_is_saved_and_nothing_else() {
    let seed =
        std::env::var("PLASMITE_SALVAGE_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    println!("PLASMITE_SALVAGE_SEED={seed}");
    // In memory where that is possible: every new pool is synced.
    let shm = Path::new("/dev/shm");
    let dir = match shm.is_dir() {
        true => tempfile::tempdir_in(shm),
        false => tempfile::tempdir(),
    }
    .expect("a temporary directory");
    let client = Client::new(dir.path());
    let mut random = Random::new(seed);
    let (mut saved_of_damaged, mut failed) = (0, 0);
    for batch in 0..CASES / OF_ONE_POOL {
        let name = PoolRef::named(&format!("p{batch}")).expect("a name");
        let path = name.path_in(client.dir());
        let sound = make(&client, &name, &mut random);
        for case in 0..OF_ONE_POOL {
            let mut damaged = sound.bytes.clone();
            let mut done = Vec::new();
            for _ in 0..=random.below(3) {
                done.push(damage(&mut damaged, &sound.bytes, &mut random));
            }
            std::fs::write(&path, &damaged).expect("the damaged pool");
            let context = format!("seed {seed}, pool {batch}, case {case}: {done:?}");
            let out = PoolRef::named(&format!("out{batch}-{case}")).expect("a name");
            let judged = || judge(&client, &name, &out, &sound, &damaged, &context);
            // Of many that fail, one alone says little.
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(judged)) {
                Ok(saved) => saved_of_damaged += saved,
                Err(_) => failed += 1,
            }
            let after = std::fs::read(&path).expect("the damaged pool");
            assert!(after == damaged, "{context}: the damaged file was changed");
        }
        std::fs::remove_file(path).expect("removed");
    }
    assert_eq!(
        failed, 0,
        "of {CASES} with seed {seed}; each is shown above"
    );
    assert!(
        saved_of_damaged > CASES,
        "only {saved_of_damaged} were saved"
    );
}

/// Salvages, compares, and says how many messages were saved.
fn judge(
    client: &Client,
    name: &PoolRef,
    out: &PoolRef,
    sound: &Sound,
    damaged: &[u8],
    context: &str,
) -> u64 {
    // A word that is cut in two counts as missing.
    let len = damaged.len() / 8 * 8;
    let is_whole = |place: &Range<usize>| {
        let there = place.start.min(len)..place.end.min(len);
        damaged[there.clone()] == sound.bytes[there.clone()]
            && sound.bytes[there.end..place.end]
                .iter()
                .all(|byte| *byte == 0)
    };
    let mut undamaged: Vec<u64> = sound
        .places
        .iter()
        .filter(|(_, places)| places.iter().all(is_whole))
        .map(|(seq, _)| *seq)
        .collect();
    // Where the word that says what was published may not be believed, a batch counts up to the last frame that is
    // known to end one. What is beyond is sound, and saved where the word still is behind it. [SALVAGE-10]
    let mut perhaps = Vec::new();
    let was_touched = |at: usize| damaged.get(at..at + 8) != sound.bytes.get(at..at + 8);
    if was_touched(LAST) || was_touched(BOOT) {
        let ends = sound.places.keys().rev();
        let end = ends
            .copied()
            .find(|seq| sound.is_known_to_end_a_batch(*seq, &damaged[..len]));
        let is_certain = |seq: &u64| end.is_some_and(|end| *seq <= end);
        (undamaged, perhaps) = undamaged.into_iter().partition(is_certain);
    }
    let salvaged = match client.salvage_pool(name, out) {
        Ok(salvaged) => salvaged,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{context}: {error}");
            assert!(
                undamaged.is_empty(),
                "{context}: {error}, and {undamaged:?} are whole"
            );
            assert!(!out.path_in(client.dir()).exists(), "{context}");
            return 0;
        }
    };
    let saved = read(client, out);
    let seqs: Vec<u64> = saved.keys().copied().collect();
    perhaps.retain(|seq| saved.contains_key(seq));
    undamaged.extend(perhaps);
    assert_eq!(seqs, undamaged, "{context}: {salvaged:?}");
    assert!(
        saved
            .iter()
            .all(|(seq, message)| sound.messages[seq] == *message),
        "{context}"
    );
    let report = client.verify_pool(out).expect("a pool");
    let issues = &report.issues;
    assert!(!report.is_corrupt(), "{context}: {issues:?}");
    assert_eq!(salvaged.messages, seqs.len() as u64, "{context}");
    judge_losses(&salvaged, sound, damaged, &seqs, context);
    assert!(salvaged.duplicates.is_empty(), "{context}: {salvaged:?}");
    client.delete_pool(out).expect("deleted");
    salvaged.messages
}

/// Every message that is missing has to be in a range that is listed, and none that is saved.
fn judge_losses(salvaged: &Salvaged, sound: &Sound, damaged: &[u8], saved: &[u64], context: &str) {
    let was_touched = |at: Range<usize>| damaged.get(at.clone()) != sound.bytes.get(at);
    let index = HEADER..word(&sound.bytes, RING_OFFSET) as usize;
    let is_noise = cfg!(feature = "noisy-index");
    let no_index = index.is_empty() || was_touched(index) || is_noise;
    let is_listed = |seq: u64| {
        salvaged.losses.iter().any(|loss| {
            loss.first_seq.is_none_or(|first| first <= seq)
                && loss.last_seq.is_none_or(|last| seq <= last)
        })
    };
    let newest = sound.messages.keys().next_back().copied().unwrap_or(0);
    for seq in sound.messages.keys() {
        let is_saved = saved.contains(seq);
        if is_listed(*seq) != is_saved {
            continue;
        }
        // What is beyond both ends leaves no trace if the control word is damaged that names it, and the index too.
        let below = saved.first().is_some_and(|first| seq < first);
        let beyond = saved.last().is_none_or(|last| seq > last);
        let no_trace = no_index || seq + word(&sound.bytes, INDEX_CAPACITY) <= newest;
        let says = |what: &str| {
            salvaged
                .assumed
                .iter()
                .any(|assumed| assumed.contains(what))
        };
        let unknowable = no_trace
            && (below && was_touched(OLDEST..OLDEST + 8) && says("was the oldest")
                || beyond
                    && was_touched(LAST..LAST + 8)
                    && (says("was the newest") || says("was empty")));
        assert!(
            !is_saved && unknowable,
            "{context}: message {seq}: {salvaged:?}"
        );
    }
    // A control word that is wrong and can be right may name a frame that never was there. The oldest message has a slot
    // of the index only if there are enough.
    let oldest = sound.messages.keys().next().copied().unwrap_or(0);
    let oldest_has_slot = oldest + word(&sound.bytes, INDEX_CAPACITY) > newest;
    let misled = was_touched(OLDEST..OLDEST + 8) && (no_index || !oldest_has_slot)
        || was_touched(LAST..LAST + 8) && no_index;
    if saved.len() == sound.messages.len() && !misled {
        assert!(salvaged.losses.is_empty(), "{context}: {salvaged:?}");
    }
}

/// A pool of random size, shape and content: with and without an index, wrapped or not, with holes and batches.
fn make(client: &Client, name: &PoolRef, random: &mut Random) -> Sound {
    let options = CreateOptions {
        size_bytes: Some(65_536 + random.below(3) * 8192),
        index_capacity: [None, None, Some(0), Some(100)][random.below(4) as usize],
    };
    let pool = client.create_pool(name, options).expect("a new pool");
    let (count, longest) = (1 + random.below(600), 1 + random.below(600));
    let (mut seq, mut time) = (0, Timestamp::now().as_nanos());
    let mut left = count;
    while left > 0 {
        let mut batch = Batch::new();
        let mut stamps = Vec::new();
        let size = match left {
            1 => 1,
            _ => (1 + random.below(3)).min(left - 1),
        };
        for _ in 0..size {
            seq += 1 + (random.below(20) == 0) as u64 * random.below(5);
            time += random.below(1000);
            stamps.push((seq, Timestamp::from_nanos(time)));
            let data = format!("\"{}\"", "x".repeat(random.below(longest) as usize));
            let tags = match random.below(2) {
                0 => Tags::none(),
                _ => Tags::new(["a", "b"]),
            };
            batch.push_json(data.as_bytes(), &tags).expect("JSON");
        }
        let flush = match random.below(50) {
            0 => Durability::Flush,
            _ => Durability::Fast,
        };
        pool.append_batch_at(&batch, &stamps, flush)
            .expect("appended");
        left -= size;
    }
    drop(pool);
    let bytes = std::fs::read(name.path_in(client.dir())).expect("the pool");
    Sound {
        messages: read(client, name),
        places: places(&bytes),
        bytes,
    }
}

fn word(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("8 bytes"))
}

/// Where each retained message is, by the tables of `spec/format` alone.
fn places(bytes: &[u8]) -> BTreeMap<u64, Vec<Range<usize>>> {
    let [ring, size] = [RING_OFFSET, RING_SIZE].map(|at| word(bytes, at) as usize);
    let at = |position: u64| ring + position as usize % size;
    let (mut position, last) = (word(bytes, OLDEST), word(bytes, LAST));
    let mut found = BTreeMap::new();
    while position <= last {
        let field = |ahead: u64| word(bytes, at(position + ahead));
        let padded = |len: u64| (len & 0xFFFF_FFFF).div_ceil(8) * 8;
        let (seq, lengths) = (field(8), field(24));
        let len = 48 + padded(lengths) + padded(lengths >> 32);
        let start = at(position);
        let to_wrap = (ring + size - start).min(len as usize);
        let rest = ring..ring + len as usize - to_wrap;
        let ranges = [start..start + to_wrap, rest].into_iter();
        let ranges = ranges.filter(|range| !range.is_empty()).collect();
        if seq != 0 {
            found.insert(seq, ranges);
        }
        position += len;
    }
    found
}

fn read(client: &Client, name: &PoolRef) -> BTreeMap<u64, Message> {
    let pool = client.open_pool_to_read(name).expect("a sound pool");
    let retained = TailOptions {
        start: Start::Oldest,
        follow: false,
        ..TailOptions::default()
    };
    let messages = pool.tail(retained).expect("a tail").map(|message| {
        let message = message.expect("a sound message");
        let (tags, data) = (
            message.tags_json().to_owned(),
            message.data_json().to_owned(),
        );
        (message.seq(), (message.time(), tags, data))
    });
    messages.collect()
}

/// Damages the bytes in one random way, and says in which.
fn damage(bytes: &mut Vec<u8>, sound: &[u8], random: &mut Random) -> String {
    let ring = word(sound, RING_OFFSET) as usize;
    let within = |range: Range<usize>, random: &mut Random| {
        let end = range.end.min(bytes.len()).max(range.start + 1);
        range.start + random.below((end - range.start) as u64) as usize
    };
    let ring_at = within(ring..sound.len(), random);
    let any_at = within(0..sound.len(), random);
    let len = 1 + random.below(2000) as usize;
    let mut fill = |range: Range<usize>, with: &mut dyn FnMut() -> u8| {
        let end = range.end.min(bytes.len());
        bytes[range.start.min(end)..end]
            .iter_mut()
            .for_each(|byte| *byte = with());
    };
    match random.below(10) {
        0 | 1 => {
            let mut flipped = Vec::new();
            for _ in 0..=random.below(8) {
                let at = ring + random.below((sound.len() - ring) as u64) as usize;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
                flipped.push(at);
            }
            format!("bits flipped at {flipped:?}")
        }
        2 => {
            fill(ring_at..ring_at + len, &mut || 0);
            format!("{len} zeros at {ring_at}")
        }
        3 => {
            let page = any_at / 512 * 512;
            fill(page..page + 512, &mut || random.next() as u8);
            format!("a torn page at {page}")
        }
        4 => {
            fill(ring_at..ring_at + len, &mut || random.next() as u8);
            format!("{len} bytes of noise at {ring_at}")
        }
        5 => {
            let at = 512 + random.below(11) as usize * 64;
            fill(at..at + 8, &mut || random.next() as u8);
            format!("noise in the control word at {at}")
        }
        6 => {
            let at = 512 + random.below(11) as usize * 64 + random.below(3) as usize;
            bytes
                .get_mut(at)
                .into_iter()
                .for_each(|byte| *byte ^= 1 << random.below(8));
            format!("a bit flipped in the control word at {at}")
        }
        7 => {
            fill(512..4096, &mut || 0);
            "all control words zeroed".to_owned()
        }
        8 => {
            fill(HEADER..ring, &mut || random.next() as u8);
            "an index of noise".to_owned()
        }
        _ => match random.below(2) {
            0 => {
                let at = random.below(80) as usize;
                bytes[at] ^= 1 + random.below(255) as u8;
                format!("the header changed at {at}")
            }
            _ => {
                let len = ring + random.below((sound.len() - ring) as u64) as usize;
                bytes.truncate(len);
                format!("cut to {len} bytes")
            }
        },
    }
}

#[test]
fn a_pool_is_not_saved_over_another_one_nor_over_itself() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let client = Client::new(dir.path());
    let [p, q] = ["p", "q"].map(|name| PoolRef::named(name).expect("a name"));
    for name in [&p, &q] {
        let pool = client
            .create_pool(name, CreateOptions::default())
            .expect("a new pool");
        pool.append(&1, &Tags::none(), Durability::Fast)
            .expect("appended");
    }
    let before = std::fs::read(q.path_in(client.dir())).expect("the pool");
    for out in [&p, &q] {
        let error = client.salvage_pool(&p, out).expect_err("it is there");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }
    assert!(std::fs::read(q.path_in(client.dir())).expect("the pool") == before);
}

#[test]
fn what_was_never_a_pool_cannot_be_saved() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let client = Client::new(dir.path());
    let [p, out] = ["p", "out"].map(|name| PoolRef::named(name).expect("a name"));
    for size in [0, 5, 100_000] {
        File::create(p.path_in(client.dir()))
            .and_then(|file| file.set_len(size))
            .expect("a file");
        let error = client.salvage_pool(&p, &out).expect_err("it is no pool");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{size}");
        assert!(error.hint_text().is_some() && !out.path_in(client.dir()).exists());
    }
}
