//! What is typed on a terminal, line by line.

use std::ffi::OsString;

use serde::Serialize;

use super::sender::Sender;
use crate::api::{Batch, Durability, Tags};
use crate::cli::feed::{Appender, Input};
use crate::cli::signals::{self, Work};
use crate::cli::{Stop, output};
use crate::core::error::{Error, ErrorKind, Result};
use crate::platform::user_id;

/// A terminal that is not told otherwise keeps so many bytes of a line and drops the rest without a word.
const LONGEST_LINE: usize = 4095;

/// What a typed line becomes.
#[derive(Serialize)]
struct Said<'a> {
    from: &'a str,
    msg: &'a str,
}

/// The name to write under where none is given: the user's, or else the number of the account.
pub(super) fn default_name() -> String {
    let of_environment = |variable| {
        std::env::var_os(variable)
            .filter(|name| !name.is_empty())
            .map(OsString::into_string)
            .map(|name| name.unwrap_or_else(|name| name.to_string_lossy().into_owned()))
    };
    of_environment("USER")
        .or_else(|| of_environment("LOGNAME"))
        .unwrap_or_else(|| format!("uid-{}", user_id()))
}

/// Appends every line of `input` as a message from `me`. What becomes of one line is no matter of the next, as long as
/// there is a pool to write to.
pub(super) fn send_lines(
    input: &mut Input,
    me: &str,
    sender: &Sender,
    work: &mut Work,
) -> Result<(), Stop> {
    let mut lines = Lines::default();
    let mut buffer = vec![0; LONGEST_LINE + 1];
    while !signals::requested() {
        let count = work.pause(|| input.read(&mut buffer))?;
        for line in lines.push(&buffer[..count]) {
            match send_line(&line, me, sender) {
                Err(error) if ends_it(error.kind()) => return Err(error.into()),
                Err(_) | Ok(()) => {}
            }
        }
        if count == 0 {
            break;
        }
    }
    Ok(())
}

/// Whether no later line can fare better.
fn ends_it(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Usage | ErrorKind::Busy | ErrorKind::Io)
}

/// Appends a line. Why it cannot be is reported here, unless that ends the command, which then reports it.
fn send_line(line: &[u8], me: &str, sender: &Sender) -> Result<()> {
    let reported = |error: Error| {
        if !ends_it(error.kind()) {
            output::report(&error);
        }
        error
    };
    let mut batch = Batch::new();
    let said = text_of(line).and_then(|msg| batch.push(&Said { from: me, msg }, &Tags::none()));
    said.map_err(reported)?;
    // Reported while the append counts as under way, so that the command does not end before that.
    let append = || {
        let appended = sender.sink().append_batch(&batch, Durability::Fast);
        appended.map_err(reported)
    };
    sender.own.append(append).map(drop)
}

fn text_of(line: &[u8]) -> Result<&str> {
    if line.len() >= LONGEST_LINE {
        let message = format!(
            "the line was not sent: terminals cut lines off after {LONGEST_LINE} bytes, and this one may have been longer"
        );
        return Err(Error::new(ErrorKind::Usage, message)
            .hint("send it in several lines, or feed a file with `plasmite feed -f FILE`"));
    }
    std::str::from_utf8(line).map_err(|cause| {
        Error::new(ErrorKind::Usage, "the line was not sent: it is not UTF-8")
            .hint("set the terminal to UTF-8, and type it again")
            .caused_by(cause)
    })
}

/// Puts lines together from what is read.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// The lines that these bytes complete, without their ends and but for blank ones. No bytes are the end of input,
    /// which completes what there is.
    fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.rest.extend_from_slice(bytes);
        let end = match self.rest.iter().rposition(|byte| *byte == b'\n') {
            _ if bytes.is_empty() => self.rest.len(),
            Some(newline) => newline + 1,
            None => 0,
        };
        let rest = self.rest.split_off(end);
        let whole = std::mem::replace(&mut self.rest, rest);
        // A terminal may be set to have no limit. What is longer than it takes is not sent, so not all of it is kept.
        self.rest.truncate(LONGEST_LINE);
        whole
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .filter(|line| !line.trim_ascii().is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of `text`, read in pieces of so many bytes.
    fn lines(text: &[u8], size: usize) -> Vec<Vec<u8>> {
        let mut lines = Lines::default();
        let pieces = text.chunks(size).chain([&b""[..]]);
        pieces.flat_map(|piece| lines.push(piece)).collect()
    }

    #[test]
    fn lines_are_the_same_however_they_are_read() {
        let text = b"one\n\n  two \r\n \t\nthree\nfo\xffur";
        for size in 1..=text.len() {
            assert_eq!(
                lines(text, size),
                [&b"one"[..], b"  two ", b"three", b"fo\xffur"],
                "in pieces of {size}"
            );
        }
    }

    #[test]
    fn a_line_that_may_have_been_cut_is_refused_and_the_next_is_not() {
        let mut text = vec![b'x'; 3 * LONGEST_LINE];
        text.extend_from_slice(b"\nnext\n");
        for size in [7, LONGEST_LINE + 1, text.len()] {
            let lines = lines(&text, size);
            assert_eq!(lines.len(), 2, "in pieces of {size}");
            assert_eq!(
                text_of(&lines[0]).map_err(|error| error.kind()),
                Err(ErrorKind::Usage)
            );
            assert_eq!(text_of(&lines[1]).ok(), Some("next"));
        }
        assert!(text_of(&[b'x'; LONGEST_LINE - 1]).is_ok());
    }
}
