//! `follow POOL`.

mod printer;
mod replay;
mod source;

use std::thread;
use std::time::{Duration, Instant};

use super::args::{FollowArgs, Global, OnGap};
use super::filter::{self, Filters};
use super::watchdog::Watchdog;
use super::{Outcome, Stop, TIMED_OUT, output, signals};
use crate::api::{GapPolicy, Message, Next, Start, TailOptions};
use crate::core::error::{Error, ErrorKind, Result};
pub(super) use printer::{Printer, report_gap};
use replay::Schedule;
pub(super) use replay::Speed;
pub(super) use source::{Origin, Source};

/// How often to look whether anybody still reads the output.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

pub(super) fn run(global: &Global, args: &FollowArgs) -> Outcome {
    if args.filters.is_empty() {
        follow(global, args)
    } else {
        filter::exit_on_overflow();
        filter::on_filter_thread(|| follow(global, args))
    }
}

fn follow(global: &Global, args: &FollowArgs) -> Outcome {
    let format = args.format.resolve(output::stdout_is_terminal())?;
    check_range(args)?;
    let filters = Filters::compile(&args.filters)?;
    let origin = Origin::open(global, &args.pool, args.create, &args.remote)?;
    let tail = origin.tail(tail_options(args))?;
    let canceller = tail.canceller();
    let this_thread = thread::current();
    signals::on_cancel(move || {
        canceller.cancel();
        this_thread.unpark();
    });
    Follower::new(args, Printer::new(format, args.data_only), filters, tail)?.run()
}

fn check_range(args: &FollowArgs) -> Result<()> {
    match (args.since, args.until) {
        (Some(since), Some(until)) if since >= until => Err(Error::new(
            ErrorKind::Usage,
            "--since is not before --until, so nothing can lie between them",
        )
        .hint("give an earlier --since or a later --until")),
        _ => Ok(()),
    }
}

fn tail_options(args: &FollowArgs) -> TailOptions {
    let start = match (args.tail, args.since, args.from) {
        (Some(count), ..) => Start::Last(count),
        (_, Some(time), _) => Start::Time(time),
        (.., Some(seq)) => Start::Seq(seq.max(1)),
        _ if args.no_follow || args.replay.is_some() => Start::Oldest,
        _ => Start::Newest,
    };
    let gap_policy = match args.gap {
        OnGap::Continue => GapPolicy::Continue,
        OnGap::Error => GapPolicy::Error,
    };
    TailOptions {
        start,
        until: args.until,
        tags: args.tags.clone(),
        follow: !args.no_follow,
        gap_policy,
        notify: !args.no_notify,
        // --one counts and --timeout restarts after the filters, which the tail does not know.
        max: None,
        timeout: None,
    }
}

struct Follower<'a> {
    args: &'a FollowArgs,
    printer: Printer,
    filters: Filters,
    tail: Source,
    message: Message,
    /// When messages are due, with `--replay`.
    schedule: Option<Schedule>,
    /// When `--timeout` strikes, unless something is printed before.
    deadline: Option<Instant>,
    watchdog: Option<Watchdog>,
    last_check: Instant,
    /// A deadline that has passed, for reads that do not wait.
    past: Instant,
}

impl<'a> Follower<'a> {
    fn new(
        args: &'a FollowArgs,
        printer: Printer,
        filters: Filters,
        tail: Source,
    ) -> Result<Follower<'a>> {
        let now = Instant::now();
        // A deadline too far away to be told is none.
        let deadline = args.timeout.and_then(|timeout| now.checked_add(timeout));
        let watchdog = match args.filters.is_empty() {
            true => None,
            false => Some(Watchdog::start(deadline)?),
        };
        Ok(Follower {
            args,
            printer,
            filters,
            tail,
            message: Message::default(),
            schedule: args.replay.map(Schedule::new),
            deadline,
            watchdog,
            last_check: now,
            past: now,
        })
    }

    fn run(mut self) -> Outcome {
        loop {
            match self.next()? {
                Next::Message if self.passes()? => {
                    if let Some(code) = self.wait_until_due()? {
                        return Ok(code);
                    }
                    self.print()?;
                    if self.args.one {
                        return Ok(0);
                    }
                }
                Next::Message => self.check_now_and_then()?,
                Next::Gap(_) if self.args.quiet_drops => {}
                Next::Gap(gap) => report_gap(&self.args.pool, gap)?,
                Next::Idle => {}
                Next::End(_) => return Ok(0),
            }
            if self.is_late(Instant::now()) {
                return Ok(TIMED_OUT);
            }
        }
    }

    /// Whether `--timeout` has struck.
    fn is_late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// With `--replay`, waits until the message is to be printed. `Some` is the exit code of a command that ends before.
    fn wait_until_due(&mut self) -> Result<Option<u8>, Stop> {
        let Some(schedule) = &mut self.schedule else {
            return Ok(None);
        };
        let due = schedule.due(self.message.time(), Instant::now());
        loop {
            let now = Instant::now();
            if signals::requested() {
                // The code is that of the signal.
                return Ok(Some(0));
            }
            if due.is_some_and(|due| now >= due) {
                return Ok(None);
            }
            if self.is_late(now) {
                return Ok(Some(TIMED_OUT));
            }
            output::show()?;
            let moments = [due, self.deadline].into_iter().flatten();
            let wake = moments.fold(now + CHECK_INTERVAL, Instant::min);
            thread::park_timeout(wake.saturating_duration_since(now));
        }
    }

    /// What is there now; else what comes within a while, once all that was printed is written out.
    fn next(&mut self) -> Result<Next, Stop> {
        match self.tail.read_before(self.past, &mut self.message)? {
            Next::Idle => {}
            next => return Ok(next),
        }
        output::flush()?;
        let check = Instant::now() + CHECK_INTERVAL;
        let wait = self.deadline.map_or(check, |deadline| deadline.min(check));
        let next = self.tail.read_before(wait, &mut self.message)?;
        if next == Next::Idle && output::stdout_is_closed() {
            return Err(Stop::StdoutClosed);
        }
        Ok(next)
    }

    /// Keeps what was printed from waiting while a long run of messages passes no filter.
    fn check_now_and_then(&mut self) -> Result<(), Stop> {
        if self.last_check.elapsed() < CHECK_INTERVAL {
            return Ok(());
        }
        self.last_check = Instant::now();
        output::show()
    }

    fn passes(&mut self) -> Result<bool> {
        let message = &self.message;
        self.filters
            .pass(message.seq(), |out| message.write_envelope(out))
    }

    fn print(&mut self) -> Result<(), Stop> {
        self.printer.print(&self.message)?;
        if let Some(timeout) = self.args.timeout {
            self.deadline = Instant::now().checked_add(timeout);
            if let Some(watchdog) = &self.watchdog {
                watchdog.set(self.deadline);
            }
        }
        Ok(())
    }
}
