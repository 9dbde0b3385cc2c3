//! `duplex POOL`: sends what it reads, and prints what others send meanwhile.

mod own;
mod sender;
mod typed;

use std::io::{self, IsTerminal};
use std::panic;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::args::{Global, StreamFlags, moment, whole_number};
use super::feed::Sink;
use super::follow::{Origin, Printer, Source, report_gap};
use super::remote::Flags as RemoteFlags;
use super::{Outcome, Stop, TIMED_OUT, output, signals};
use crate::api::{CreateOptions, EndReason, Message, Next, Start, TailOptions, Timestamp};
use crate::core::error::Result;
use crate::echo::echo;
use crate::moment::parse_duration;
use own::Own;
use sender::{Mode, Sender, Sending};

/// How often to look whether there is an end to it while nothing comes.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
pub(crate) struct DuplexArgs {
    /// A pool's name, its path, or its URL
    pool: String,
    /// The name under which typed lines are sent [default: the user's]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true)]
    me: Option<String>,
    /// Print own messages as well
    #[arg(long)]
    echo_self: bool,
    /// Create the pool if it is missing
    #[arg(long)]
    create: bool,
    /// Begin with the newest N messages
    #[arg(short = 'n', long = "tail", value_name = "N", value_parser = whole_number, allow_hyphen_values = true, conflicts_with = "since")]
    tail: Option<u64>,
    /// Begin with the oldest message from T on: RFC 3339, or a time ago such as 5m
    #[arg(long, value_name = "T", value_parser = moment, allow_hyphen_values = true)]
    since: Option<Timestamp>,
    /// Exit with 124 when nothing was sent or printed for this long, such as 30s
    #[arg(long, value_name = "D", value_parser = parse_duration, allow_hyphen_values = true)]
    timeout: Option<Duration>,
    #[command(flatten)]
    format: StreamFlags,
    #[command(flatten)]
    remote: RemoteFlags,
}

pub(crate) const NOTES: &str = "\
On a terminal each line that you type becomes {\"from\":NAME,\"msg\":LINE}, and Ctrl-D ends it.
A message may come while you type: Ctrl-R shows again what you have typed so far.

Otherwise standard input is a stream of JSON, as `plasmite feed` reads it. At its end all that
others have sent by then is printed, and duplex ends; with --timeout it waits for more.

Examples:
  plasmite duplex chat --create --me ada -n 10
  echo '{\"ask\": \"time\"}' | plasmite duplex jobs --timeout 5s | head -n 1      waits for an answer";

pub(super) fn run(global: &Global, args: &DuplexArgs) -> Outcome {
    let format = args.format.resolve(output::stdout_is_terminal())?;
    let create = args.create.then(CreateOptions::default);
    let sink = Sink::open(global, &args.pool, create, &args.remote)?;
    let origin = origin_of(&sink);
    // Before anything is sent, so that no answer to it is missed.
    let tail = origin.tail(start(args))?;
    cancel_with_signal(&tail);
    let own = Arc::new(Own::new(!args.echo_self));
    let mode = mode(args);
    let is_typed = matches!(mode, Mode::Typed(_));
    let sender = Sender {
        sink,
        own: Arc::clone(&own),
    };
    let now = Instant::now();
    let receiver = Receiver {
        args,
        printer: Printer::new(format, false),
        origin,
        tail,
        message: Message::default(),
        own,
        sending: Some(sender.start(mode)?),
        is_typed,
        last_seq: None,
        last_print: now,
        past: now,
    };
    receiver.run()
}

/// The pool that is written to, to be read as well.
fn origin_of(sink: &Sink) -> Origin {
    match sink {
        Sink::Local(pool) => Origin::Local(pool.clone()),
        #[cfg(feature = "remote")]
        Sink::Remote { pool, .. } => Origin::Remote(pool.clone()),
    }
}

/// What is printed first. What is there already is read by a tail of its own, at whose end it is known by its seq where
/// to go on, and so at the end of input whether everything has come.
fn start(args: &DuplexArgs) -> TailOptions {
    let start = match (args.tail, args.since) {
        (Some(count), _) => Start::Last(count),
        (_, Some(time)) => Start::Time(time),
        _ => Start::Newest,
    };
    TailOptions {
        start,
        follow: start == Start::Newest,
        ..TailOptions::default()
    }
}

fn cancel_with_signal(tail: &Source) {
    let canceller = tail.canceller();
    signals::on_cancel(move || canceller.cancel());
}

/// Tells whoever types what becomes of it.
fn mode(args: &DuplexArgs) -> Mode {
    if !io::stdin().is_terminal() {
        return Mode::Stream;
    }
    let me = args.me.clone().unwrap_or_else(typed::default_name);
    if io::stderr().is_terminal() {
        let text = format!(
            "you write to {} as {}, line by line; Ctrl-D ends it",
            echo(&args.pool),
            echo(&me)
        );
        output::notice(text, &());
    }
    Mode::Typed(me)
}

/// The half that receives, on the main thread, and the end of both.
struct Receiver<'a> {
    args: &'a DuplexArgs,
    printer: Printer,
    origin: Origin,
    tail: Source,
    message: Message,
    own: Arc<Own>,
    /// The other half, until it has come to its end.
    sending: Option<Sending>,
    is_typed: bool,
    /// Where to end, once that is known.
    last_seq: Option<u64>,
    last_print: Instant,
    /// A deadline that has passed, for reads that do not wait.
    past: Instant,
}

impl Receiver<'_> {
    fn run(mut self) -> Outcome {
        let outcome = self.receive();
        // Nothing that is being sent is lost without a word.
        let has_failed = self.own.close();
        match self.sending.take() {
            // Whoever types was told already.
            Some(sending) if has_failed && !self.is_typed && !signals::requested() => {
                join(sending).and(outcome)
            }
            _ => outcome,
        }
    }

    fn receive(&mut self) -> Outcome {
        loop {
            let ended = match self.next()? {
                Next::Message => self.take()?,
                Next::Gap(gap) => report_gap(&self.args.pool, gap).map(|()| None)?,
                Next::Idle => None,
                Next::End(EndReason::CaughtUp) => self.go_on().map(|()| None)?,
                Next::End(_) => return Ok(0),
            };
            let ended = match ended {
                Some(code) => Some(code),
                None => self.end()?,
            };
            if let Some(code) = ended {
                return Ok(code);
            }
        }
    }

    /// What is there now; else what comes within a moment, once all that was printed is written out.
    fn next(&mut self) -> Result<Next, Stop> {
        match self.tail.read_before(self.past, &mut self.message)? {
            Next::Idle => {}
            next => return Ok(next),
        }
        output::show()?;
        let look = Instant::now() + LOOK;
        let wait = self.deadline().map_or(look, |deadline| deadline.min(look));
        Ok(self.tail.read_before(wait, &mut self.message)?)
    }

    /// Everything that was there at the start has come: what is new comes next.
    fn go_on(&mut self) -> Result<()> {
        let options = TailOptions {
            start: Start::Seq(self.tail.next_seq()),
            ..TailOptions::default()
        };
        self.tail = self.origin.tail(options)?;
        cancel_with_signal(&self.tail);
        Ok(())
    }

    /// Prints the message, unless it is own. `Some` is the exit code of a command that ends before that is known.
    fn take(&mut self) -> Result<Option<u8>, Stop> {
        // A start that is still to come begins with no message before it.
        if self
            .args
            .since
            .is_some_and(|since| self.message.time() < since)
        {
            return Ok(None);
        }
        if !self.args.echo_self {
            let mark = self.own.mark();
            let is_own = loop {
                if let Some(is_own) = self.own.is_own(self.message.seq(), mark, LOOK) {
                    break is_own;
                }
                output::show()?;
                if signals::requested() {
                    return Ok(Some(0));
                }
                if self.is_late() {
                    return Ok(Some(TIMED_OUT));
                }
            };
            if is_own {
                return Ok(None);
            }
        }
        self.printer.print(&self.message)?;
        self.last_print = Instant::now();
        Ok(None)
    }

    /// The exit code, if this is the end.
    fn end(&mut self) -> Result<Option<u8>, Stop> {
        if let Some(sending) = self.sending.take_if(|sending| sending.is_finished()) {
            let newest = join(sending)?;
            if self.is_typed || self.args.timeout.is_none() {
                self.last_seq = Some(newest.unwrap_or(0));
            }
        }
        if self
            .last_seq
            .is_some_and(|last| self.tail.next_seq() > last)
        {
            return Ok(Some(0));
        }
        Ok(self.is_late().then_some(TIMED_OUT))
    }

    fn is_late(&self) -> bool {
        self.deadline()
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// When `--timeout` strikes, unless something is sent or printed before. One too far away to be told is none.
    fn deadline(&self) -> Option<Instant> {
        let timeout = self.args.timeout?;
        let last = self.own.last().unwrap_or(self.last_print);
        last.max(self.last_print).checked_add(timeout)
    }
}

/// Waits for the other half, which has come to its end or is about to.
fn join(sending: Sending) -> Result<Option<u64>, Stop> {
    sending
        .join()
        .unwrap_or_else(|bug| panic::resume_unwind(bug))
}
