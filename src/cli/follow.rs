//! `follow POOL`.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::args::{FollowArgs, Global, OnGap, StreamFormat};
use super::filter::{self, Filters};
use super::open::Target;
use super::watchdog::Watchdog;
use super::{Outcome, Stop, TIMED_OUT, layout, open, output, pretty, signals};
use crate::api::{
    Canceller, CreateOptions, Gap, GapPolicy, Message, Next, Pool, PoolRef, Start, Tail,
    TailOptions,
};
use crate::core::error::{Error, ErrorKind, Result};
#[cfg(feature = "remote")]
use crate::remote::blocking::RemoteTail;

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
    let tail = Source::open(global, args)?;
    let canceller = tail.canceller();
    signals::on_cancel(move || canceller.cancel());
    Follower::new(args, format, filters, tail)?.run()
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

/// Where messages come from.
enum Source {
    Local(Box<Tail>),
    #[cfg(feature = "remote")]
    Remote(Box<RemoteTail>),
}

impl Source {
    fn open(global: &Global, args: &FollowArgs) -> Result<Source> {
        let options = tail_options(args);
        match open::target(&args.pool)? {
            Target::Local(pool) => {
                let tail = open_pool(global, args, &pool)?.tail(options)?;
                Ok(Source::Local(Box::new(tail)))
            }
            #[cfg(feature = "remote")]
            Target::Remote(url) => {
                let client = super::remote::client(&args.remote, &url)?;
                let pool = client.pool_of(&url)?;
                if args.create {
                    open::remote_or_create(&client, &pool, Some(CreateOptions::default()))?;
                }
                pool.tail(options)
                    .map(|tail| Source::Remote(Box::new(tail)))
            }
        }
    }

    fn read_before(&mut self, deadline: Instant, into: &mut Message) -> Result<Next> {
        match self {
            Source::Local(tail) => tail.read_before(deadline, into),
            #[cfg(feature = "remote")]
            Source::Remote(tail) => tail.read_before(deadline, into),
        }
    }

    fn canceller(&self) -> Canceller {
        match self {
            Source::Local(tail) => tail.canceller(),
            #[cfg(feature = "remote")]
            Source::Remote(tail) => tail.canceller(),
        }
    }
}

fn open_pool(global: &Global, args: &FollowArgs, pool: &PoolRef) -> Result<Pool> {
    let client = global.client_for(pool)?;
    let open = |pool: &PoolRef| client.open_pool_to_read(pool);
    match args.create {
        true => open::or_create(&client, pool, CreateOptions::default(), open),
        false => open(pool),
    }
}

fn tail_options(args: &FollowArgs) -> TailOptions {
    let start = match (args.tail, args.since, args.from) {
        (Some(count), ..) => Start::Last(count),
        (_, Some(time), _) => Start::Time(time),
        (.., Some(seq)) => Start::Seq(seq.max(1)),
        _ if args.no_follow => Start::Oldest,
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
    format: StreamFormat,
    has_colour: bool,
    filters: Filters,
    tail: Source,
    message: Message,
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
        format: StreamFormat,
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
            format,
            has_colour: output::stdout_has_colour(),
            filters,
            tail,
            message: Message::default(),
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
                    self.print()?;
                    if self.args.one {
                        return Ok(0);
                    }
                }
                Next::Message => self.check_now_and_then()?,
                Next::Gap(gap) => self.report(gap)?,
                Next::Idle => {}
                Next::End(_) => return Ok(0),
            }
            if self
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline)
            {
                return Ok(TIMED_OUT);
            }
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
        output::flush()?;
        if output::stdout_is_closed() {
            Err(Stop::StdoutClosed)
        } else {
            Ok(())
        }
    }

    fn report(&self, gap: Gap) -> Result<(), Stop> {
        if self.args.quiet_drops {
            return Ok(());
        }
        output::flush()?;
        let pool = &self.args.pool;
        let count = gap.last - gap.first + 1;
        let text = match count {
            1 => format!("message {} of {pool} is missing", gap.first),
            _ => format!(
                "{count} messages of {pool} are missing, {} to {}",
                gap.first, gap.last
            ),
        };
        let (first, last) = (gap.first, gap.last);
        let missing = Range { first, last };
        let drop = Drop {
            kind: "drop",
            pool,
            missing,
            count,
        };
        output::notice(text, &Notice { notice: drop });
        Ok(())
    }

    fn passes(&mut self) -> Result<bool> {
        let message = &self.message;
        self.filters
            .pass(message.seq(), |out| message.write_envelope(out))
    }

    fn print(&mut self) -> Result<(), Stop> {
        let message = &self.message;
        output::print(|out| match (self.format, self.args.data_only) {
            (StreamFormat::Jsonl, false) => {
                message.write_envelope(out);
                out.push(b'\n');
            }
            (StreamFormat::Jsonl, true) => {
                out.extend_from_slice(message.data_json().as_bytes());
                out.push(b'\n');
            }
            // The terminal may have been made narrower meanwhile.
            (StreamFormat::Pretty, false) => {
                pretty::write_message(message, self.has_colour, layout::stdout_width(), out);
            }
            (StreamFormat::Pretty, true) => {
                pretty::write_data(message, self.has_colour, layout::stdout_width(), out);
            }
        })?;
        if let Some(timeout) = self.args.timeout {
            self.deadline = Instant::now().checked_add(timeout);
            if let Some(watchdog) = &self.watchdog {
                watchdog.set(self.deadline);
            }
        }
        Ok(())
    }
}

/// The notice about missing messages.
#[derive(Serialize)]
struct Notice<'a> {
    notice: Drop<'a>,
}

#[derive(Serialize)]
struct Drop<'a> {
    kind: &'static str,
    pool: &'a str,
    missing: Range,
    count: u64,
}

#[derive(Serialize)]
struct Range {
    first: u64,
    last: u64,
}
