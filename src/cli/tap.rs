//! `tap POOL -- CMD...`.
//!
//! One thread for each stream of the command reads it and passes it on, and one waits for the command's end. What they
//! see goes through a bounded queue to the main thread, which alone appends. It appends what is there and waits for
//! nothing that may still come.

mod command;
mod lines;
mod messages;
mod stream;

use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread;
use std::time::Instant;

use serde::Serialize;

use self::command::{Ending, Forward, Waiter};
use self::lines::{Line, Lines, Piece};
use self::messages::{Exit, Messages};
use self::stream::{Closed, Reader, Stream};
use super::args::{Global, TapArgs};
use super::{Outcome, open, output, signals};
use crate::api::Pool;
use crate::core::error::{Error, ErrorKind, Result};
use crate::platform::{ending_signal, remember_children};
use crate::policy;

/// How many reads may wait to be appended. With that the readers wait, and by them the command.
const QUEUE: usize = 16;

pub(super) fn run(global: &Global, args: &TapArgs) -> Outcome {
    let pool = open_pool(global, args)?;
    let recorder = Recorder::new(args, pool)?;
    match Tap::start(args)? {
        Some(tap) => recorder.record(&tap),
        // A signal came before; it decides what the exit code is.
        None => Ok(0),
    }
}

fn open_pool(global: &Global, args: &TapArgs) -> Result<Pool> {
    let reference = open::pool_ref(&args.pool)?;
    let client = global.client_for(&reference)?;
    let create = args.create.options();
    let opened = match client.open_pool(&reference) {
        Err(error) if error.kind() == ErrorKind::NotFound && create.is_some() => None,
        opened => Some(opened?),
    };
    // Nothing is created for a command that is not there.
    args.command
        .first()
        .map_or(Ok(()), |it| command::check(it))?;
    let open = |reference: &_| client.open_pool(reference);
    let options = create.unwrap_or_default();
    opened.map_or_else(|| open::or_create(&client, &reference, options, open), Ok)
}

/// What the main thread learns from the others.
enum Event {
    Output(Stream, Vec<u8>),
    /// No more of this stream will be read.
    Closed(Stream, Closed),
    Ended(Ending),
    /// Something that does not keep the rest from going on.
    Failed(Error),
    /// A signal came for a command that has ended.
    Hurry,
}

/// A command that runs.
struct Tap {
    events: Receiver<Event>,
    /// Whether a signal came after its end.
    is_in_a_hurry: Arc<AtomicBool>,
}

impl Tap {
    /// Starts the command, unless a signal came before.
    fn start(args: &TapArgs) -> Result<Option<Tap>> {
        let (sender, events) = mpsc::sync_channel(QUEUE);
        let (forward, is_in_a_hurry) = (Forward::default(), Arc::default());
        if !divert_signals(&forward, &sender, &is_in_a_hurry)? {
            return Ok(None);
        }
        let (ended, running) = command::pipe()?;
        // Threads first: a command that runs could not be taken back for want of one.
        let [stdout, stderr] = Stream::BOTH.map(|stream| {
            let (pipe, output) = command::pipe()?;
            let reader = Reader {
                stream,
                pipe,
                ended: ended.try_clone().map_err(command::no_pipe)?,
                is_passed_on: !args.quiet,
                events: sender.clone(),
            };
            start_thread(move || reader.run()).map(|()| output)
        });
        let (commands, command) = mpsc::channel();
        let waiter = Waiter {
            forward: forward.clone(),
            running,
            events: sender,
        };
        start_thread(move || waiter.run(&command))?;
        let started = Instant::now();
        let command = command::start(&args.command, stdout?, stderr?)?;
        forward.start(&command);
        commands.send((command, started)).ok();
        Ok(Some(Tap {
            events,
            is_in_a_hurry,
        }))
    }

    /// What comes next; `idle` is called before it is waited for.
    fn next(&self, idle: impl FnOnce()) -> Option<Event> {
        match self.events.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                idle();
                self.events.recv().ok()
            }
        }
    }
}

/// Has signals sent to the command while it runs; afterwards they end what is still waited for. `false` if one came
/// before.
fn divert_signals(
    forward: &Forward,
    sender: &SyncSender<Event>,
    is_in_a_hurry: &Arc<AtomicBool>,
) -> Result<bool> {
    // Whoever started this process may have had it ignore the end of its children, and then nobody learns how they end.
    remember_children().map_err(|cause| {
        Error::new(ErrorKind::Io, "cannot listen for signals")
            .hint("check the limits on open files and processes")
            .caused_by(cause)
    })?;
    let (forward, sender) = (forward.clone(), sender.clone());
    let is_in_a_hurry = Arc::clone(is_in_a_hurry);
    Ok(signals::divert(move |signal| {
        if !forward.pass_on(signal) {
            is_in_a_hurry.store(true, Ordering::SeqCst);
            // Where the queue is full, nobody is waiting.
            sender.try_send(Event::Hurry).ok();
        }
    }))
}

fn start_thread(run: impl FnOnce() + Send + 'static) -> Result<()> {
    let started = thread::Builder::new().name("tap".to_owned()).spawn(run);
    started.map(drop).map_err(|cause| {
        Error::new(
            ErrorKind::Io,
            "cannot start a thread for the command's output",
        )
        .hint("check the limits on memory and processes")
        .caused_by(cause)
    })
}

/// Finds the messages in what the command does.
struct Recorder<'a> {
    messages: Messages<'a>,
    stdout: Lines,
    stderr: Lines,
    /// The streams that may have more.
    open: Vec<Stream>,
    /// Those that others than the command held open at the end.
    left_open: Vec<Stream>,
    /// What failed first. It was reported, and decides the exit code if the command does not.
    failure: Option<ErrorKind>,
}

impl<'a> Recorder<'a> {
    /// `Usage` if there is a message that does not fit the pool.
    fn new(args: &'a TapArgs, pool: Pool) -> Result<Recorder<'a>> {
        let messages = Messages::new(args, pool)?;
        let room = usize::try_from(messages.room()).unwrap_or(usize::MAX);
        Ok(Recorder {
            messages,
            stdout: Lines::new(room),
            stderr: Lines::new(room),
            open: Stream::BOTH.to_vec(),
            left_open: Vec::new(),
            failure: None,
        })
    }

    /// Follows the command to its end, and to that of its output.
    fn record(mut self, tap: &Tap) -> Outcome {
        let mut ending = None;
        self.append();
        while ending.is_none() || !self.open.is_empty() {
            if ending.is_some() && tap.is_in_a_hurry.load(Ordering::SeqCst) {
                // No more than was there when the signal came, but all of that.
                let read = tap.events.try_iter().take(QUEUE);
                read.for_each(|event| self.see(event, &mut ending));
                break;
            }
            match tap.next(|| self.append()) {
                Some(event) => self.see(event, &mut ending),
                None => break,
            }
        }
        self.finish(ending)
    }

    fn see(&mut self, event: Event, ending: &mut Option<Ending>) {
        match event {
            Event::Output(stream, bytes) => self.take(stream, &bytes),
            Event::Closed(stream, how) => self.close(stream, how),
            Event::Ended(end) => *ending = Some(end),
            Event::Failed(error) => self.fail(&error),
            Event::Hurry => {}
        }
    }

    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        self.add_lines(stream, |lines, add| lines.push(bytes, add));
    }

    fn close(&mut self, stream: Stream, how: Closed) {
        self.add_lines(stream, |lines, add| lines.finish(add));
        self.open.retain(|open| *open != stream);
        self.messages.is_incomplete |= how != Closed::AtItsEnd;
        if how == Closed::LeftOpen {
            self.left_open.push(stream);
        }
    }

    fn add_lines(
        &mut self,
        stream: Stream,
        find: impl FnOnce(&mut Lines, &mut dyn FnMut(Piece<'_>)),
    ) {
        let lines = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let mut failed = None;
        find(lines, &mut |piece| {
            let line = Line::new(stream.name(), piece);
            failed = failed.take().or(self.messages.add_line(&line).err());
        });
        failed.iter().for_each(|error| self.fail(error));
    }

    fn append(&mut self) {
        if let Err(error) = self.messages.append() {
            self.fail(&error);
        }
    }

    fn fail(&mut self, error: &Error) {
        output::report(error);
        self.failure.get_or_insert(error.kind());
    }

    /// Records the end of the command, and says how it ended in the way that processes do.
    fn finish(mut self, ending: Option<Ending>) -> Outcome {
        for stream in self.open.clone() {
            self.close(stream, Closed::LeftOpen);
        }
        if !self.left_open.is_empty() {
            self.notice_what_is_left_open();
        }
        self.append();
        let ending = ending.ok_or_else(|| command::no_ending(None))?;
        let status = ending.status?;
        let exit = Exit::new(status, ending.elapsed, self.messages.is_incomplete);
        if let Err(error) = self.messages.append_exit(&exit) {
            self.fail(&error);
        }
        Ok(match (code_of(status), self.failure) {
            (0, Some(kind)) => policy::exit_code(kind),
            (code, _) => code,
        })
    }

    fn notice_what_is_left_open(&self) {
        let command = self.messages.command();
        let text = format!(
            "`{command}` has ended, and something that it started still holds its output open; \
             what that writes is not recorded"
        );
        let is_left_open = |stream: &Stream| self.left_open.contains(stream);
        let left = LeftOpen {
            kind: "left-open",
            streams: Stream::BOTH
                .iter()
                .filter(|stream| is_left_open(stream))
                .map(|stream| stream.name())
                .collect(),
        };
        output::notice(text, &Notice { notice: left });
    }
}

/// The code by which shells tell how a command ended.
fn code_of(status: ExitStatus) -> u8 {
    let of_signal = || ending_signal(status).map(|signal| 128 + signal);
    let code = status.code().or_else(of_signal).unwrap_or_default();
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// The notice about processes that outlive the command.
#[derive(Serialize)]
struct Notice {
    notice: LeftOpen,
}

#[derive(Serialize)]
struct LeftOpen {
    kind: &'static str,
    streams: Vec<&'static str>,
}
