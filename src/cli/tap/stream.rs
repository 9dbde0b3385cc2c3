//! Reads one stream of the command, for as long as there may be more, and passes it on.

use std::fmt;
use std::io::{self, PipeReader, Read};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use super::Event;
use crate::core::error::{Error, ErrorKind, Result};
use crate::platform::{await_either, bytes_in, has_more_within, write_through};

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;
/// Once the command has ended, a stream that others hold open is given up after this long without anything,
const SILENCE: Duration = Duration::from_secs(1);
/// and after this long at any rate.
const AFTER_THE_END: Duration = Duration::from_secs(10);

/// Which stream of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub(super) const BOTH: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

    pub(super) fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stream::Stdout => "standard output",
            Stream::Stderr => "standard error",
        })
    }
}

/// Why no more of a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    AtItsEnd,
    /// The command has ended, and others hold the stream open.
    LeftOpen,
    /// It cannot be read, as was said.
    Broken,
}

/// The reader of a stream.
pub(super) struct Reader {
    pub(super) stream: Stream,
    pub(super) pipe: PipeReader,
    /// Closed at the other end when the command has ended.
    pub(super) ended: PipeReader,
    pub(super) is_passed_on: bool,
    pub(super) events: SyncSender<Event>,
}

/// What is left to be read once the command has ended.
struct Rest {
    /// Bytes that were in the pipe at its end, and so may be its own.
    owed: u64,
    deadline: Instant,
}

impl Reader {
    /// Reads to the end; nobody minds if the other end of the queue has gone.
    pub(super) fn run(mut self) {
        let mut buffer = vec![0; READ_BYTES];
        let mut rest = None;
        let closed = loop {
            match self.next(&mut buffer, &mut rest) {
                Ok(Some(0)) => break Closed::AtItsEnd,
                Ok(Some(count)) => {
                    let output = Event::Output(self.stream, buffer[..count].to_vec());
                    if self.events.send(output).is_err() {
                        return;
                    }
                    self.pass_on(&buffer[..count]);
                }
                Ok(None) => break Closed::LeftOpen,
                Err(error) => {
                    self.events.send(Event::Failed(error)).ok();
                    break Closed::Broken;
                }
            }
        };
        self.events.send(Event::Closed(self.stream, closed)).ok();
    }

    /// Reads what comes next: 0 bytes at the end, `None` if no end is waited for any longer.
    fn next(&self, buffer: &mut [u8], rest: &mut Option<Rest>) -> Result<Option<usize>> {
        loop {
            match self.wait_and_read(buffer, rest) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|cause| self.unreadable(cause)),
            }
        }
    }

    fn wait_and_read(
        &self,
        buffer: &mut [u8],
        rest: &mut Option<Rest>,
    ) -> io::Result<Option<usize>> {
        if rest.is_none() && await_either(&self.pipe, &self.ended)? {
            *rest = Some(Rest {
                owed: bytes_in(&self.pipe)?,
                deadline: Instant::now() + AFTER_THE_END,
            });
        }
        if let Some(rest) = rest
            && !self.may_have_more(rest)?
        {
            return Ok(None);
        }
        let count = (&self.pipe).read(buffer)?;
        if let Some(rest) = rest {
            rest.owed = rest.owed.saturating_sub(count as u64);
        }
        Ok(Some(count))
    }

    /// Whether there is something to read, or the end of the stream. Waits no longer than need be.
    fn may_have_more(&self, rest: &Rest) -> io::Result<bool> {
        if rest.owed > 0 {
            return Ok(true);
        }
        let left = rest.deadline.saturating_duration_since(Instant::now());
        let is_ready = has_more_within(&self.pipe, left.min(SILENCE))?;
        // Ready without a byte is the end, which counts however late: passing on may have taken all that time.
        Ok(is_ready && (!left.is_zero() || bytes_in(&self.pipe)? == 0))
    }

    /// Shows the output to whoever would see it if nobody tapped it. That they may be gone is no concern of the pool.
    fn pass_on(&mut self, bytes: &[u8]) {
        if !self.is_passed_on {
            return;
        }
        let passed_on = match self.stream {
            Stream::Stdout => write_through(io::stdout(), bytes),
            Stream::Stderr => write_through(io::stderr(), bytes),
        };
        if let Err(cause) = passed_on {
            self.is_passed_on = false;
            if cause.kind() != io::ErrorKind::BrokenPipe {
                self.events.send(Event::Failed(self.unwritable(cause))).ok();
            }
        }
    }

    fn unreadable(&self, cause: io::Error) -> Error {
        let message = format!("cannot read the {} of the command any more", self.stream);
        Error::new(ErrorKind::Io, message)
            .hint("see the cause; what the command writes from now on is lost")
            .caused_by(cause)
    }

    fn unwritable(&self, cause: io::Error) -> Error {
        let message = format!(
            "cannot write to {}; the command goes on, and so does its recording",
            self.stream
        );
        Error::new(ErrorKind::Io, message)
            .hint(
                "check where the output goes, and the space there; what is missing is in the pool",
            )
            .caused_by(cause)
    }
}
