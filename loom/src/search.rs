//! How loom searches, and what a search reports.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::memory::LoomMemory;

/// Loom forgets all but so many of the last values of a word; a model must not rely on more.
const REMEMBERED: u64 = 7;
/// The environment variable that gives every model at least so many preemptions.
const PREEMPTIONS: &str = "PLASMITE_LOOM_PREEMPTIONS";
/// In words.
const STACK: usize = 1 << 14;

/// Searches all interleavings of a model with at most so many preemptions, and more where a deeper run is asked for.
///
/// A preemption is a thread that could go on and has to stop for another.
pub fn search(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 100_000;
    builder.preemption_bound = Some(bound(preemptions));
    // A search that is cut short shows nothing.
    builder.max_permutations = None;
    builder.max_duration = None;
    builder.checkpoint_file = None;
    builder.check(model);
}

/// The model's own bound, or what a deeper run asks for if that is more.
fn bound(preemptions: usize) -> usize {
    let at_least = std::env::var(PREEMPTIONS).map_or(0, |number| {
        number
            .parse()
            .unwrap_or_else(|_| panic!("{PREEMPTIONS} is no number: {number}"))
    });
    preemptions.max(at_least)
}

/// A thread of a model.
pub fn spawn<T: Send + 'static>(
    body: impl FnOnce() -> T + Send + 'static,
) -> loom::thread::JoinHandle<T> {
    loom::thread::Builder::new()
        .stack_size(STACK)
        .spawn(body)
        .expect("a model has room for its threads")
}

/// How often each thing happened over a search, all interleavings together.
#[derive(Default)]
pub struct Tally {
    pub(crate) iterations: AtomicU64,
    pub(crate) messages: AtomicU64,
    pub(crate) empty: AtomicU64,
    pub(crate) lapped: AtomicU64,
    most_stores: AtomicU64,
}

impl Tally {
    pub(crate) fn count(&self, what: &AtomicU64) {
        what.fetch_add(1, Relaxed);
    }

    /// Notes the largest number of values that a word of one interleaving has had.
    pub(crate) fn note_stores(&self, memory: &LoomMemory) {
        self.most_stores
            .fetch_max(memory.most_stores() as u64, Relaxed);
    }

    /// Prints what there was, and panics unless it shows a message and an end.
    pub(crate) fn report(&self, name: &str, preemptions: usize) {
        let [iterations, messages, empty, lapped, most_stores] = [
            &self.iterations,
            &self.messages,
            &self.empty,
            &self.lapped,
            &self.most_stores,
        ]
        .map(|count| count.load(Relaxed));
        println!(
            "{name}: {iterations} iterations, complete up to {} preemptions, at most {most_stores} values of a word; \
             {messages} messages, {empty} ends, {lapped} laps",
            bound(preemptions)
        );
        assert!(most_stores <= REMEMBERED, "loom has forgotten values");
        assert!(messages > 0, "no message was read");
        assert!(empty > 0, "the reader never came to an end");
    }

    /// Panics unless a reader was lapped.
    pub(crate) fn assert_lapped(&self) {
        let lapped = self.lapped.load(Relaxed);
        assert!(lapped > 0, "the reader was never lapped");
    }
}
