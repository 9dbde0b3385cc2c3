//! The half of `duplex` that sends: on a thread of its own, since it waits for input.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::own::Own;
use super::typed::send_lines;
use crate::api::{Batch, Durability, Receipt, Tags};
use crate::cli::feed::{Appender, Feeder, Input, Manner, Sink};
use crate::cli::ingest::Format;
use crate::cli::{Stop, signals};
use crate::core::error::{Error, ErrorKind, Result};

/// Appends what is read, and keeps account of it.
pub(super) struct Sender {
    pub(super) sink: Sink,
    pub(super) own: Arc<Own>,
}

/// How standard input is read.
pub(super) enum Mode {
    /// As lines that somebody types, who writes under this name.
    Typed(String),
    /// As a stream of records.
    Stream,
}

/// A sender at work. At the end of input it tells the seq of the message that was newest then.
pub(super) type Sending = JoinHandle<Result<Option<u64>, Stop>>;

impl Sender {
    /// Begins to send.
    pub(super) fn start(self, mode: Mode) -> Result<Sending> {
        thread::Builder::new()
            .name("sender".to_owned())
            .spawn(move || self.send(&mode))
            .map_err(|cause| {
                Error::new(ErrorKind::Io, "cannot start a thread to send from")
                    .hint("check the limits on memory and processes")
                    .caused_by(cause)
            })
    }

    fn send(&self, mode: &Mode) -> Result<Option<u64>, Stop> {
        let mut work = signals::work();
        let mut input = Input::stdin();
        match mode {
            Mode::Typed(me) => send_lines(&mut input, me, self, &mut work)?,
            Mode::Stream => Feeder::new(Manner::quiet(), Tags::none(), &mut work).feed_all(
                &mut input,
                Format::Auto,
                self,
            )?,
        }
        Ok(self.sink.newest()?)
    }
}

impl Appender for Sender {
    fn append(&self, batch: &Batch, durability: Durability) -> Result<Receipt> {
        self.own
            .append(|| self.sink.append_batch(batch, durability))
    }

    fn sink(&self) -> &Sink {
        &self.sink
    }
}
