//! What processes write down of what they do, so that it outlives them: a line each, appended to a file of their own.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use plasmite::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

/// One line. Moments are nanoseconds of a clock that all processes share and that is never set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Record {
    /// What follows is about the pool with this UUID.
    Opened { pool: u128 },
    /// A writer is about to append batch number `batch` of its own.
    Begun {
        at: u64,
        batch: u32,
        parts: Vec<Part>,
    },
    /// It has the receipt. `clock` is what the clock told under the lock, where the writer brings its own.
    Appended {
        at: u64,
        first: u64,
        last: u64,
        time: u64,
        clock: Option<u64>,
    },
    /// It was refused; with a seq, the messages are there all the same.
    Refused {
        at: u64,
        kind: String,
        seq: Option<u64>,
        text: String,
    },
    /// A tail was opened between two moments, and will begin with seq `next`.
    Tail {
        asked: u64,
        at: u64,
        start: Begin,
        next: u64,
    },
    /// A message was read, by a tail or by its seq.
    Read {
        at: u64,
        seq: u64,
        writer: u32,
        batch: u32,
        part: u8,
        digest: u64,
        time: u64,
        how: How,
    },
    /// The tail was told that these are missing.
    Gap { at: u64, first: u64, last: u64 },
    /// The tail, asked at this moment, had nothing before `next`, which is to come.
    Nothing { asked: u64, next: u64 },
    /// The pool was asked for its bounds; 0 stands for none.
    Bounds {
        asked: u64,
        at: u64,
        oldest: u64,
        newest: u64,
    },
    /// A message was asked for and not found.
    Missing { asked: u64, at: u64, seq: u64 },
    /// A check of the whole pool found this.
    Damage { at: u64, text: String },
    /// A reader failed.
    Failed { at: u64, kind: String, text: String },
    /// What contradicts itself, whatever anybody else did.
    Odd { text: String },
}

/// One message of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// See `message::digest`.
    pub(crate) digest: u64,
    /// The bytes of ring that it takes.
    pub(crate) bytes: u64,
}

/// Where a tail was to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Begin {
    Oldest,
    Newest,
    Last(u64),
    Since(u64),
    Seq(u64),
}

/// How a message was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum How {
    /// As the next one of the tail.
    InTail,
    /// By its seq.
    BySeq,
}

/// Where a process writes its records.
pub(crate) struct Log {
    file: File,
    lines: Vec<u8>,
}

impl Log {
    /// Opens it.
    pub(crate) fn open(path: &Path) -> io::Result<Log> {
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Log {
            file,
            lines: Vec::new(),
        })
    }

    /// Keeps a record until the next flush.
    pub(crate) fn add(&mut self, record: &Record) {
        // A `Vec` takes whatever it is given, and records have no maps.
        let written = serde_json::to_writer(&mut self.lines, record);
        assert!(written.is_ok());
        self.lines.push(b'\n');
        if self.lines.len() > 64 * 1024 {
            self.flush();
        }
    }

    /// Puts what is kept where it outlives the process. A kill can cut the last line short, and nothing else.
    pub(crate) fn flush(&mut self) {
        let done = self.file.write_all(&self.lines);
        assert!(done.is_ok(), "{done:?}");
        self.lines.clear();
    }

    /// Adds a record and flushes.
    pub(crate) fn put(&mut self, record: &Record) {
        self.add(record);
        self.flush();
    }
}

/// Now, by the clock of the records.
pub(crate) fn moment() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a live value to write to.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    assert_eq!(done, 0);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// An error of a reader.
pub(crate) fn failed(error: &Error) -> Record {
    Record::Failed {
        at: moment(),
        kind: error.kind().name().to_owned(),
        text: describe(error),
    }
}

/// An error of an append.
pub(crate) fn refused(error: &Error) -> Record {
    Record::Refused {
        at: moment(),
        kind: error.kind().name().to_owned(),
        // A damaged frame is named by its seq too, which says nothing of the append.
        seq: error
            .seq_value()
            .filter(|_| error.kind() != ErrorKind::Corrupt),
        text: describe(error),
    }
}

fn describe(error: &Error) -> String {
    let (seq, offset) = (error.seq_value(), error.offset_value());
    format!(
        "{error} (seq {seq:?}, offset {offset:?}, {:?})",
        error.causes()
    )
}
