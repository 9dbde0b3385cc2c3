//! What a reader may ever see while writers write, die, and are succeeded.
//!
//! The bug that all of this guards against: a reader that decodes a frame while a writer overwrites it, and hands out
//! one message under the number of another, or takes what a dead writer left for damage.
//!
//! Run with `cargo test -p plasmite-loom --profile loom -- --nocapture`.

use plasmite_loom::scene::{Reader, Scene};

/// The writer that dies reaches three words into the oldest message; its successor's frame ends right before that
/// message. What the dead one left of it has to stay unread for as long as its place is not written anew.
#[test]
fn what_a_dead_writer_tore_is_never_read() {
    Scene {
        name: "torn",
        ring: 21,
        index: 0,
        before: &[&[1], &[1]],
        writers: &[&[&[4]], &[&[1]]],
        at_once: false,
        reader: Reader::Follow { from: 1, steps: 3 },
        preemptions: 1,
    }
    .check();
}

/// Two appends of other sizes go over all that the reader is about to copy.
#[test]
fn a_reader_that_is_lapped_in_mid_copy_sees_whole_messages_only() {
    Scene {
        name: "lapped",
        ring: 22,
        index: 0,
        before: &[&[2], &[1]],
        writers: &[&[&[3], &[2]]],
        at_once: false,
        reader: Reader::Follow { from: 1, steps: 3 },
        preemptions: 1,
    }
    .check();
}

/// A batch is there as a whole or not at all, also while a reader is at its edge.
#[test]
fn a_batch_is_followed_as_a_whole() {
    Scene {
        name: "batch",
        ring: 28,
        index: 0,
        before: &[&[1, 1], &[1]],
        writers: &[&[&[1, 1]]],
        at_once: false,
        reader: Reader::Follow { from: 1, steps: 5 },
        preemptions: 2,
    }
    .check();
}

/// Two writers contend for the lock, and either may come first; one of them dies.
///
/// A lapped reader that knows of the first append alone may see the `oldest` that the other writer stored, which is
/// the first one's frame, and must then see that frame published.
#[test]
fn two_writers_take_turns() {
    Scene {
        name: "turns",
        ring: 21,
        index: 0,
        before: &[&[1], &[1]],
        writers: &[&[&[3]], &[&[1]]],
        at_once: true,
        reader: Reader::Follow { from: 1, steps: 3 },
        preemptions: 1,
    }
    .check();
}

/// A fetch by seq searches among frames that move.
#[test]
fn a_fetch_finds_the_message_or_says_that_it_is_gone() {
    Scene {
        name: "fetch",
        ring: 21,
        index: 0,
        before: &[&[1], &[1], &[1]],
        writers: &[&[&[1]]],
        at_once: false,
        reader: Reader::Fetch(&[1, 4]),
        preemptions: 1,
    }
    .check();
}

/// A slot of the index is told over to another message while a fetch looks where it points.
#[test]
fn a_hint_that_changes_misleads_no_fetch() {
    Scene {
        name: "index",
        ring: 21,
        index: 2,
        before: &[&[1], &[1], &[1]],
        writers: &[&[&[4]]],
        at_once: false,
        reader: Reader::Fetch(&[2, 4]),
        preemptions: 1,
    }
    .check();
}
