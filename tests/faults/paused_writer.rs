//! A writer that is stopped in the middle of an append, at every step, stalls no reader.
//!
//! Guards against readers that take a lock, or wait for a word that only the writer can change.

use std::time::Duration;

use plasmite::{Durability, ErrorKind, Tags};

use crate::ledger::{Ledger, append_watched, text_in_frame};
use crate::process::{Process, State, in_role, role, stop_here};

#[test]
fn readers_read_on_at_every_step_of_an_append() {
    if let Some(role) = role() {
        return append_and_stop(&role);
    }
    let mut ledger = Ledger::new();
    (1..=5).for_each(|n| ledger.append(format!("[{n}]")));
    assert!(pause_through(&mut ledger, &["{\"paused\":true}"]) > 12);
}

#[test]
fn readers_read_on_at_every_step_of_a_batch_that_wraps_and_laps() {
    if let Some(role) = role() {
        return append_and_stop(&role);
    }
    let mut ledger = Ledger::new();
    (0..80).for_each(|_| ledger.append(text_in_frame(1024)));
    ledger.advance_to(504);
    let oldest = ledger.check();
    let batch = [360, 424, 400].map(text_in_frame);
    assert!(pause_through(&mut ledger, &batch.each_ref().map(String::as_str)) > 150);
    assert!(ledger.check() > oldest, "nothing was overwritten");
}

/// Appends `batch` in a process that stops before every store, and reads everything each time. Returns how often it
/// stopped.
fn pause_through(ledger: &mut Ledger, batch: &[&str]) -> u32 {
    let path = ledger.pool().path().to_str().unwrap().to_owned();
    let role: Vec<&str> = [path.as_str()].iter().chain(batch).copied().collect();
    let test = std::thread::current().name().unwrap().to_owned();
    let mut writer = Process::start(&mut in_role(&test, &role));

    let old_newest = ledger.newest();
    let mut oldest = Vec::new();
    let status = loop {
        match writer.wait() {
            State::Ended(status) => break status,
            State::Stopped => {}
        }
        if ledger.newest() == old_newest && newest(ledger) != old_newest {
            ledger.enter(batch.iter().map(|data| (*data).to_owned()).collect());
        }
        oldest.push(ledger.check());
        assert_busy(ledger);
        writer.resume();
    };
    assert!(status.success(), "{status}");
    assert_eq!(ledger.newest(), old_newest + batch.len() as u64);
    let oldest_after = ledger.check();
    // What the finished append retains was there all the time.
    assert!(oldest.iter().all(|seq| *seq <= oldest_after));
    u32::try_from(oldest.len()).unwrap()
}

fn newest(ledger: &Ledger) -> u64 {
    ledger.pool().bounds().unwrap().newest.unwrap()
}

fn assert_busy(ledger: &Ledger) {
    let impatient = ledger.pool().with_lock_timeout(Duration::ZERO);
    let refused = impatient.append_json(b"0", &Tags::none(), Durability::Fast);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Busy);
}

/// The writer's part: the path of a pool, and the messages.
fn append_and_stop(role: &[String]) {
    append_watched(role[0].as_ref(), &role[1..], |access| {
        if access.is_writers() {
            stop_here();
        }
    });
}
