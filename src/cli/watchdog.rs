//! Ends a command whose filter does not come back: at `--timeout`, when nobody reads what the command prints, or when
//! the filter takes too much memory.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{TIMED_OUT, filter, output};
use crate::core::error::{Error, ErrorKind, Result};
use crate::platform::private_memory;
use crate::policy;

/// How long after the deadline the command may still end by itself.
const GRACE: Duration = Duration::from_millis(100);
/// How often to look while a filter is running, and while none was when last looked.
const ALERT: Duration = Duration::from_millis(20);
const CALM: Duration = Duration::from_millis(100);
/// Stands for no deadline.
const NEVER: u64 = u64::MAX;

/// The deadline of a command that runs filters, and the thread that sees to it.
pub(super) struct Watchdog {
    start: Instant,
    /// In milliseconds since `start`.
    deadline: Arc<AtomicU64>,
}

impl Watchdog {
    /// Starts to watch. `Io` if there is no thread to be had.
    pub(super) fn start(deadline: Option<Instant>) -> Result<Watchdog> {
        let watchdog = Watchdog {
            start: Instant::now(),
            deadline: Arc::default(),
        };
        watchdog.set(deadline);
        let (start, deadline) = (watchdog.start, Arc::clone(&watchdog.deadline));
        thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || watch(start, &deadline))
            .map_err(|cause| {
                Error::new(ErrorKind::Io, "cannot start a thread to watch the filter")
                    .hint("check the limits on memory and processes")
                    .caused_by(cause)
            })?;
        Ok(watchdog)
    }

    /// Moves the deadline.
    pub(super) fn set(&self, deadline: Option<Instant>) {
        let after =
            deadline.map(|deadline| deadline.saturating_duration_since(self.start).as_millis());
        let after = after.and_then(|after| u64::try_from(after).ok());
        self.deadline
            .store(after.unwrap_or(NEVER), Ordering::Relaxed);
    }
}

fn watch(start: Instant, deadline: &AtomicU64) {
    loop {
        let Some(seq) = filter::running_on() else {
            thread::sleep(CALM);
            continue;
        };
        let late = Duration::from_millis(deadline.load(Ordering::Relaxed)).saturating_add(GRACE);
        if start.elapsed() >= late {
            output::flush_for_exit();
            process::exit(i32::from(TIMED_OUT));
        }
        if output::stdout_is_closed() {
            process::exit(0);
        }
        if private_memory().is_some_and(|bytes| bytes > filter::memory_limit()) {
            give_up(seq);
        }
        thread::sleep(ALERT);
    }
}

fn give_up(seq: u64) -> ! {
    let limit = filter::memory_limit() >> 20;
    let error = Error::new(
        ErrorKind::Usage,
        format!("a filter takes more than {limit} MiB of memory"),
    )
    .hint("make it look at less, for instance with limit or first")
    .seq(seq);
    output::flush_for_exit();
    output::report(&error);
    process::exit(i32::from(policy::exit_code(error.kind())));
}
