//! A line on standard error that says how far long work has come.
//!
//! Only on a terminal, only once the work has taken a while, and gone before anything else is printed there. The work
//! itself does no more than store a number now and then; a thread of its own draws.
//!
//! ```text
//! let progress = Progress::new("exporting chat", Total::Messages(info.metrics.message_count));
//! for message in messages {
//!     ...
//!     progress.advance(done);
//! }
//! ```

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::layout;
use super::output::visible;
use super::size::show_size;

/// Work that is done sooner shows no line.
const DELAY: Duration = Duration::from_millis(500);
/// How long a line stays as it is at least.
const INTERVAL: Duration = Duration::from_millis(100);
/// A rate, and what is left by it, say little before so much has been done.
const MEANINGFUL: f64 = 0.01;

/// The line on the terminal. Whoever writes to the terminal holds it meanwhile.
static LINE: Mutex<Line> = Mutex::new(Line {
    is_wanted: false,
    is_drawn: false,
});

/// How much there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Total {
    /// So many bytes.
    Bytes(u64),
    /// So many messages.
    Messages(u64),
    /// Nobody knows; the line tells the time that has passed.
    Unknown,
}

/// Work that goes on, for as long as this lives. Dropping it clears the line.
pub(super) struct Progress {
    drawing: Option<(Arc<Work>, JoinHandle<()>)>,
}

impl Progress {
    /// Begins to measure. `label` says what is being done to what, such as `feeding today.jsonl`.
    pub(super) fn new(label: &str, total: Total) -> Progress {
        // A dumb terminal cannot take back what it shows.
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if !io::stderr().is_terminal() || is_dumb {
            return Progress::none();
        }
        line().is_wanted = true;
        let work = Arc::new(Work::new(label, total));
        let drawn = Arc::clone(&work);
        let thread = thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || drawn.draw_until_done());
        // Without a thread the work goes on all the same.
        let drawing = thread.ok().map(|thread| (work, thread));
        Progress { drawing }
    }

    /// What draws nothing, for `--quiet`.
    pub(super) fn none() -> Progress {
        Progress { drawing: None }
    }

    /// Says how much of the total has been done by now.
    pub(super) fn advance(&self, done: u64) {
        if let Some((work, _)) = &self.drawing {
            work.done.store(done, Ordering::Relaxed);
        }
    }

    /// Says how many messages that was, where the total is not counted in messages.
    pub(super) fn count(&self, messages: u64) {
        if let Some((work, _)) = &self.drawing {
            work.messages.store(messages, Ordering::Relaxed);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let Some((work, thread)) = self.drawing.take() else {
            return;
        };
        work.end();
        // It ends at once, and nobody can tell more of its panic than its hook did.
        thread.join().ok();
        stop();
    }
}

/// Clears the line for good: the work has ended, or the process is about to.
pub(super) fn stop() {
    let mut line = line();
    line.is_wanted = false;
    line.clear();
}

/// Clears the line, and keeps it away while the result lives: for whoever writes to the terminal.
pub(super) fn step_aside() -> MutexGuard<'static, Line> {
    let mut line = line();
    line.clear();
    line
}

fn line() -> MutexGuard<'static, Line> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What of ours stands on the terminal, below all else.
pub(super) struct Line {
    is_wanted: bool,
    is_drawn: bool,
}

impl Line {
    fn draw(&mut self, text: &str) {
        if self.is_wanted {
            self.is_drawn = true;
            self.write(&format!("\r{text}\x1b[K"));
        }
    }

    fn clear(&mut self) {
        if self.is_drawn {
            self.is_drawn = false;
            self.write("\r\x1b[K");
        }
    }

    fn write(&self, text: &str) {
        // A terminal that has gone away shows no progress.
        io::stderr().lock().write_all(text.as_bytes()).ok();
    }
}

struct Work {
    label: String,
    total: Total,
    started: Instant,
    done: AtomicU64,
    messages: AtomicU64,
    has_ended: Mutex<bool>,
    ends: Condvar,
}

impl Work {
    fn new(label: &str, total: Total) -> Work {
        Work {
            label: visible(label),
            total,
            started: Instant::now(),
            done: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            has_ended: Mutex::new(false),
            ends: Condvar::new(),
        }
    }

    fn draw_until_done(&self) {
        let mut pause = DELAY;
        while !self.ends_within(pause) {
            let width = layout::stderr_width().unwrap_or(80);
            line().draw(&self.moment().text(width));
            pause = INTERVAL;
        }
    }

    fn end(&self) {
        *self
            .has_ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.ends.notify_all();
    }

    fn ends_within(&self, pause: Duration) -> bool {
        let has_ended = self.has_ended.lock();
        let has_ended = has_ended.unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .ends
            .wait_timeout_while(has_ended, pause, |has_ended| !*has_ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn moment(&self) -> Moment<'_> {
        Moment {
            label: &self.label,
            total: self.total,
            elapsed: self.started.elapsed(),
            done: self.done.load(Ordering::Relaxed),
            messages: self.messages.load(Ordering::Relaxed),
        }
    }
}

/// How far the work is.
struct Moment<'a> {
    label: &'a str,
    total: Total,
    elapsed: Duration,
    done: u64,
    messages: u64,
}

impl Moment<'_> {
    /// As much of it as fits, what matters most first. The last column stays free, where some terminals begin a new line.
    fn text(&self, width: usize) -> String {
        let room = width.saturating_sub(1);
        let mut text = shortened(self.label, room);
        let mut mark = ": ";
        for part in self.parts() {
            if text.width() + mark.len() + part.width() > room {
                break;
            }
            // Writing to a string cannot fail.
            write!(text, "{mark}{part}").ok();
            mark = ", ";
        }
        text
    }

    fn parts(&self) -> Vec<String> {
        let mut parts = match self.total {
            Total::Bytes(total) => vec![format!("{} of {}", self.share(total), show_size(total))],
            Total::Messages(total) => vec![format!("{} of {total} messages", self.share(total))],
            Total::Unknown => vec![],
        };
        if self.messages > 0 {
            parts.push(format!("{} messages", self.messages));
        }
        match self.rate() {
            Some(rate) => parts.push(match self.total {
                Total::Bytes(_) => format!("{}/s", show_size(rate as u64)),
                _ => format!("{rate:.0} messages/s"),
            }),
            None => parts.push(passed(self.elapsed)),
        }
        parts.extend(self.left().map(|left| format!("{} left", passed(left))));
        parts
    }

    fn share(&self, total: u64) -> String {
        let percent = u128::from(self.done) * 100 / u128::from(total.max(1));
        format!("{}%", percent.min(100))
    }

    /// How much is done in a second, on the whole.
    fn rate(&self) -> Option<f64> {
        let is_known = self.total != Total::Unknown && self.done > 0;
        is_known.then(|| self.done as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE))
    }

    fn left(&self) -> Option<Duration> {
        let (Total::Bytes(total) | Total::Messages(total)) = self.total else {
            return None;
        };
        let left = total.saturating_sub(self.done) as f64;
        let is_meaningful = self.done as f64 >= MEANINGFUL * total as f64;
        let seconds = left / self.rate().filter(|_| is_meaningful)?;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// A time in whole seconds, minutes or hours.
fn passed(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

/// The start of a text that is wider than `room`.
fn shortened(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut left = room.saturating_sub(1);
    for c in text.chars() {
        match left.checked_sub(c.width().unwrap_or(0)) {
            Some(rest) => left = rest,
            None => break,
        }
        short.push(c);
    }
    short + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(total: Total, done: u64, messages: u64) -> Moment<'static> {
        Moment {
            label: "feeding today.jsonl",
            total,
            elapsed: Duration::from_secs(4),
            done,
            messages,
        }
    }

    #[test]
    fn a_line_says_how_much_how_fast_and_how_long_still() {
        let told = [
            (
                moment(Total::Bytes(1 << 30), 256 << 20, 70_000).text(80),
                "feeding today.jsonl: 25% of 1G, 70000 messages, 64M/s, 12 s left",
            ),
            (
                moment(Total::Messages(1_000_000), 100_000, 0).text(80),
                "feeding today.jsonl: 10% of 1000000 messages, 25000 messages/s, 36 s left",
            ),
            (
                moment(Total::Unknown, 0, 0).text(80),
                "feeding today.jsonl: 4 s",
            ),
            // Nothing done yet, too little to foretell the rest, and more than there was when it began.
            (
                moment(Total::Bytes(1 << 30), 0, 0).text(80),
                "feeding today.jsonl: 0% of 1G, 4 s",
            ),
            (
                moment(Total::Bytes(1 << 30), 1 << 20, 7).text(80),
                "feeding today.jsonl: 0% of 1G, 7 messages, 256K/s",
            ),
            (
                moment(Total::Bytes(1 << 20), 4 << 20, 7).text(80),
                "feeding today.jsonl: 100% of 1M, 7 messages, 1M/s, 0 s left",
            ),
        ];
        for (text, expected) in told {
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_narrow_line_leaves_out_what_matters_least() {
        let whole = moment(Total::Bytes(1 << 30), 256 << 20, 70_000);
        let told = [
            (64, "feeding today.jsonl: 25% of 1G, 70000 messages, 64M/s"),
            (40, "feeding today.jsonl: 25% of 1G"),
            (31, "feeding today.jsonl: 25% of 1G"),
            (30, "feeding today.jsonl"),
            (12, "feeding to…"),
            (1, "…"),
        ];
        for (width, expected) in told {
            assert_eq!(whole.text(width), expected, "{width}");
        }
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(shortened("漢字かな", 8), "漢字かな");
        assert_eq!(shortened("漢字かな", 7), "漢字か…");
        assert_eq!(shortened("漢字かな", 6), "漢字…");
    }
}
