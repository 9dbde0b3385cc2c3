//! What the processes tell the one that started them: lines of text on their standard output.

use std::fmt;
use std::str::FromStr;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// A writer has the receipt for the messages `count ..` of its own, which got the seqs `seq ..`.
    Appended { seq: u64, count: u32, parts: u8 },
    /// A reader has read this message whole.
    Read { seq: u64, writer: u32, count: u32 },
    /// A reader was told of a gap.
    Gap { missed: u64 },
    /// A reader got what it must not get.
    Wrong(String),
    /// Somebody was told that the pool is corrupt.
    Corrupt(String),
    /// Something failed that should not have.
    Failed(String),
}

impl Report {
    /// What an error that nobody expected amounts to.
    pub(crate) fn of(error: &plasmite::Error) -> Report {
        let text = format!(
            "{error} (seq {:?}, offset {:?})",
            error.seq_value(),
            error.offset_value()
        );
        match error.kind() {
            plasmite::ErrorKind::Corrupt => Report::Corrupt(text),
            _ => Report::Failed(text),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Appended { seq, count, parts } => write!(f, "appended {seq} {count} {parts}"),
            Report::Read { seq, writer, count } => write!(f, "read {seq} {writer} {count}"),
            Report::Gap { missed } => write!(f, "gap {missed}"),
            Report::Wrong(what) => write!(f, "wrong {what}"),
            Report::Corrupt(what) => write!(f, "corrupt {what}"),
            Report::Failed(what) => write!(f, "failed {what}"),
        }
    }
}

impl FromStr for Report {
    type Err = String;

    fn from_str(line: &str) -> Result<Report, String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut numbers = rest.split(' ').map(str::parse::<u64>);
        let mut number = || match numbers.next() {
            Some(Ok(number)) => Ok(number),
            _ => Err(format!("not a report: {line}")),
        };
        Ok(match word {
            "appended" => Report::Appended {
                seq: number()?,
                count: number()? as u32,
                parts: number()? as u8,
            },
            "read" => Report::Read {
                seq: number()?,
                writer: number()? as u32,
                count: number()? as u32,
            },
            "gap" => Report::Gap { missed: number()? },
            "wrong" => Report::Wrong(rest.to_owned()),
            "corrupt" => Report::Corrupt(rest.to_owned()),
            "failed" => Report::Failed(rest.to_owned()),
            _ => return Err(format!("not a report: {line}")),
        })
    }
}
