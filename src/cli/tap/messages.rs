//! The messages about a command, and their way into the pool.

use std::borrow::Cow;
use std::ffi::OsString;
use std::process::ExitStatus;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::command;
use super::lines::Line;
use super::stream::Stream;
use crate::api::{Batch, Pool, Tags};
use crate::cli::args::TapArgs;
use crate::cli::feed::{BATCH_BYTES, BATCH_MESSAGES, lower_case_start};
use crate::core::error::{Error, ErrorKind, Result};
use crate::platform::{ending_signal, signal_name};

/// The tag of the messages about the command's start and end.
const LIFECYCLE: &str = "lifecycle";
/// What a line has to have left of a message at least. The command's end takes less.
const LEAST_ROOM: u64 = 256;

/// The message of the command's start.
#[derive(Serialize)]
struct Start<'a> {
    kind: &'static str,
    cmd: Vec<Cow<'a, str>>,
    /// All words as they are, where one of them is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd_base64: Option<Vec<String>>,
}

impl<'a> Start<'a> {
    fn new(words: &'a [OsString]) -> Start<'a> {
        let is_lossy = words.iter().any(|word| word.to_str().is_none());
        let base64 = || {
            words
                .iter()
                .map(|word| STANDARD.encode(word.as_encoded_bytes()))
        };
        Start {
            kind: "start",
            cmd: words.iter().map(|word| word.to_string_lossy()).collect(),
            cmd_base64: is_lossy.then(|| base64().collect()),
        }
    }
}

/// The message of its end.
#[derive(Serialize)]
pub(super) struct Exit {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<Cow<'static, str>>,
    elapsed_ms: u64,
    /// Whether output is missing, or may be.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    incomplete: bool,
}

impl Exit {
    pub(super) fn new(status: ExitStatus, elapsed: Duration, incomplete: bool) -> Exit {
        Exit {
            kind: "exit",
            code: status.code(),
            signal: ending_signal(status).map(name_of),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            incomplete,
        }
    }
}

/// The name of a signal, which is the same on all systems where its number is not.
fn name_of(signal: i32) -> Cow<'static, str> {
    let unnamed = || format!("SIG{signal}").into();
    signal_name(signal).map_or_else(unnamed, Cow::from)
}

/// Gathers messages into batches, and appends these.
pub(super) struct Messages<'a> {
    args: &'a TapArgs,
    pool: Pool,
    tags: Tags,
    lifecycle: Tags,
    batch: Batch,
    /// What a batch of lines takes at most.
    batch_bytes: u64,
    /// What a line's message takes beside its text.
    line_bytes: u64,
    /// Whether the pool has taken all so far.
    is_recording: bool,
    /// Whether output is missing in the pool, or may be.
    pub(super) is_incomplete: bool,
}

impl<'a> Messages<'a> {
    /// With the command's start as the first message. `Usage` if there is a message that does not fit the pool.
    pub(super) fn new(args: &'a TapArgs, pool: Pool) -> Result<Messages<'a>> {
        let of_user = args.tags.iter().map(String::as_str);
        let mut messages = Messages {
            args,
            tags: Tags::new(&args.tags),
            lifecycle: Tags::new([LIFECYCLE].into_iter().chain(of_user)),
            batch: Batch::new(),
            batch_bytes: pool.max_batch_bytes().min(BATCH_BYTES),
            line_bytes: 0,
            is_recording: true,
            is_incomplete: false,
            pool,
        };
        messages.measure_a_line()?;
        messages.add_start()?;
        Ok(messages)
    }

    fn measure_a_line(&mut self) -> Result<()> {
        let line = Line::empty(Stream::Stdout.name());
        self.batch.push(&line, &self.lifecycle)?;
        self.line_bytes = self.batch.frame_bytes();
        self.batch.clear();
        match self.room() < LEAST_ROOM {
            true => Err(self.too_large("tags")),
            false => Ok(()),
        }
    }

    fn add_start(&mut self) -> Result<()> {
        let start = Start::new(&self.args.command);
        self.batch.push(&start, &self.lifecycle)?;
        match self.batch.frame_bytes() > self.pool.max_batch_bytes() {
            true => Err(self.too_large("words of the command")),
            false => Ok(()),
        }
    }

    fn too_large(&self, what: &str) -> Error {
        let most = self.pool.max_batch_bytes();
        let message =
            format!("the {what} leave no room in a message, which takes at most {most} bytes");
        Error::new(ErrorKind::Usage, message)
            .hint("give fewer of them, shorter ones, or a larger pool")
            .path(self.pool.path())
    }

    /// How long the text of a line may be in a message, once it is written as JSON.
    pub(super) fn room(&self) -> u64 {
        self.batch_bytes.saturating_sub(self.line_bytes)
    }

    /// How the command is spoken of.
    pub(super) fn command(&self) -> String {
        let words = self.args.command.first();
        words.map(|word| command::shown(word)).unwrap_or_default()
    }

    /// Adds a line, unless the pool takes nothing any more.
    pub(super) fn add_line(&mut self, line: &Line<'_>) -> Result<()> {
        if !self.is_recording {
            return Ok(());
        }
        let most = (line.most_bytes() + self.line_bytes).min(self.batch_bytes);
        let is_full = self.batch.frame_bytes() + most > self.batch_bytes;
        if is_full || self.batch.len() >= BATCH_MESSAGES {
            self.append()?;
        }
        self.batch.push(line, &self.tags)
    }

    /// Appends what there is. `Err` for the first failure only, after which nothing more is recorded but the end.
    pub(super) fn append(&mut self) -> Result<()> {
        self.append_batch().map_err(|error| {
            self.is_recording = false;
            self.reworded(&error, "the output", "recorded no longer")
        })
    }

    /// Tries to append the end also after a failure, which it tells readers of; that may be over.
    pub(super) fn append_exit(&mut self, exit: &Exit) -> Result<()> {
        self.batch.push(exit, &self.lifecycle)?;
        match self.append_batch() {
            Err(error) if self.is_recording => {
                Err(self.reworded(&error, "the end", "not recorded"))
            }
            _ => Ok(()),
        }
    }

    fn append_batch(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let appended = self.pool.append_batch(&self.batch, self.args.durability);
        self.batch.clear();
        self.is_incomplete |= appended.is_err();
        appended.map(drop)
    }

    /// Says what an error of the pool means to whoever taps a command.
    fn reworded(&self, error: &Error, what: &str, state: &str) -> Error {
        let (command, why) = (self.command(), lower_case_start(error.message()));
        let message = format!("{what} of `{command}` is {state}: {why}");
        let hint = error
            .hint_text()
            .unwrap_or("check the pool with `plasmite doctor`");
        let reworded = Error::new(error.kind(), message)
            .hint(hint.to_owned())
            .path(error.path_ref().unwrap_or(self.pool.path()));
        let causes = error.causes();
        let reworded = match causes.is_empty() {
            true => reworded,
            false => reworded.caused_by(causes.join(": ")),
        };
        match (error.seq_value(), error.offset_value()) {
            (Some(seq), Some(offset)) => reworded.seq(seq).offset(offset),
            (Some(seq), None) => reworded.seq(seq),
            (None, Some(offset)) => reworded.offset(offset),
            (None, None) => reworded,
        }
    }
}
