//! Who waits is woken, whatever else happens.
//!
//! The bug that this guards against: a waiter that looks, finds nothing, and goes to sleep just as the message comes.

use plasmite_loom::waiting::{End, Waiting};

const ALONE: Waiting = Waiting {
    name: "wake-up",
    ring: 21,
    before: &[&[1], &[1]],
    appends: &[&[3]],
    waiters: 1,
    read: true,
    end: End::Appended,
    preemptions: 1,
};

/// A follower that has read all is woken for what comes.
#[test]
fn a_follower_is_woken() {
    ALONE.check();
}

/// The bell is rung twice, so what the first ring leaves behind matters to the second.
#[test]
fn no_wake_up_is_lost() {
    Waiting {
        name: "rung twice",
        appends: &[&[1], &[1]],
        read: false,
        preemptions: 4,
        ..ALONE
    }
    .check();
}

/// One ring wakes everybody, also somebody who raises the flag while it is being lowered for another.
#[test]
fn each_of_two_waiters_is_woken() {
    Waiting {
        name: "two waiters",
        appends: &[&[1], &[1]],
        waiters: 2,
        read: false,
        preemptions: 2,
        ..ALONE
    }
    .check();
}

/// A writer that dies between publishing and ringing wakes nobody; who sleeps looks again by himself.
#[test]
fn what_a_dead_writer_rang_for_nobody_is_found_at_the_bound() {
    Waiting {
        name: "never rung",
        end: End::Killed,
        ..ALONE
    }
    .check();
}

/// A pool is deleted beside a writer and a waiter: the one may append no more, the other is told.
#[test]
fn a_deletion_ends_writers_and_wakes_waiters() {
    Waiting {
        name: "deletion",
        end: End::Deleted,
        ..ALONE
    }
    .check();
}
