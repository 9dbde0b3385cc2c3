//! Everything that the command line prints.
//!
//! Results go through one buffer to standard output; everything else goes to standard error. On a terminal both are
//! written for people, otherwise as JSON, one line each.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::{Stop, layout, progress};
use crate::core::error::{Error, ErrorKind};
pub(crate) use crate::platform::stdout_is_closed;
use crate::wire;

/// Past this many bytes the buffer is written out without being asked.
const BUFFER_BYTES: usize = 256 * 1024;

/// What waits to be written to standard output: whole lines only, so that an exit at any moment leaves no part of one.
static BUFFER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// How the parts of a text for people look. All plain when colours are off.
pub(crate) mod style {
    use super::{AnsiColor, Style};

    pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
    pub(crate) const HINT: Style = AnsiColor::Cyan.on_default();
    pub(crate) const NOTICE: Style = AnsiColor::Yellow.on_default();
    pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
    pub(crate) const HEADING: Style = Style::new().bold();
    pub(crate) const DIM: Style = Style::new().dimmed();
    pub(crate) const TAG: Style = AnsiColor::Magenta.on_default();
    pub(crate) const KEY: Style = AnsiColor::Blue.on_default();
    pub(crate) const STRING: Style = AnsiColor::Green.on_default();
    pub(crate) const SCALAR: Style = AnsiColor::Yellow.on_default();
}

/// Follows `--color` from here on.
pub(crate) fn set_colour(choice: ColorChoice) {
    choice.write_global();
}

/// Whether text for people on this stream is coloured.
fn has_colour(is_terminal: bool) -> bool {
    match ColorChoice::global() {
        ColorChoice::Auto => {
            is_terminal
                && !is_set("NO_COLOR")
                && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
        }
        ColorChoice::Never => false,
        ColorChoice::Always | ColorChoice::AlwaysAnsi => true,
    }
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// Whether standard output is a terminal, and so wants text for people where nothing else was asked for.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether text for people on standard output is coloured.
pub(crate) fn stdout_has_colour() -> bool {
    has_colour(stdout_is_terminal())
}

/// Whether text for people on standard error is coloured.
#[cfg(feature = "serve")]
pub(crate) fn stderr_has_colour() -> bool {
    has_colour(io::stderr().is_terminal())
}

/// Adds to standard output. What `fill` appends must be whole lines.
pub(crate) fn print(fill: impl FnOnce(&mut Vec<u8>)) -> Result<(), Stop> {
    let mut buffer = buffer();
    fill(&mut buffer);
    if buffer.len() >= BUFFER_BYTES {
        write_out(&mut buffer)?;
    }
    Ok(())
}

/// Prints one result as a line of JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Stop> {
    let line = serde_json::to_vec(value).map_err(|cause| {
        Error::new(ErrorKind::Internal, "cannot write this result as JSON").caused_by(cause)
    })?;
    print(|out| {
        out.extend_from_slice(&line);
        out.push(b'\n');
    })
}

/// Prints lines for people, which may hold styles, broken between words where the terminal is narrow.
pub(crate) fn print_lines(text: &str) -> Result<(), Stop> {
    let width = layout::stdout_width();
    let lines = text.lines().map(|line| layout::wrap(line, width) + "\n");
    print_text(&lines.collect::<String>())
}

/// Prints text for people as it is. It ends with a newline and may hold styles.
pub(crate) fn print_text(text: &str) -> Result<(), Stop> {
    let has_colour = stdout_has_colour();
    print(|out| match has_colour {
        true => out.extend_from_slice(text.as_bytes()),
        false => out.extend_from_slice(anstream::adapter::strip_str(text).to_string().as_bytes()),
    })
}

/// Writes out what was printed. Called before anything that may wait.
pub(crate) fn flush() -> Result<(), Stop> {
    write_out(&mut buffer())
}

/// Writes out what was printed, as long as anybody reads it.
pub(crate) fn show() -> Result<(), Stop> {
    flush()?;
    match stdout_is_closed() {
        true => Err(Stop::StdoutClosed),
        false => Ok(()),
    }
}

/// Writes out what was printed, unless that takes longer than a moment. For the way out when the main thread is stuck.
pub(crate) fn flush_for_exit() {
    let (done, waiting) = std::sync::mpsc::channel();
    let write = move || {
        if let Ok(mut buffer) = BUFFER.try_lock() {
            // The process is ending with a code of its own; a closed pipe changes nothing about that.
            write_out(&mut buffer).ok();
        }
        progress::stop();
        done.send(()).ok();
    };
    if std::thread::Builder::new().spawn(write).is_ok() {
        waiting.recv_timeout(Duration::from_millis(200)).ok();
    }
}

/// Reports an error: text on a terminal, one line of JSON otherwise.
pub(crate) fn report(error: &Error) {
    match io::stderr().is_terminal() {
        true => print_to_stderr(&error_text(error)),
        false => print_to_stderr(&json_line(&wire::error_body(error))),
    }
}

/// Reports something that is no error: `text` on a terminal, `json` on one line otherwise.
pub(crate) fn notice(text: impl Display, json: &impl Serialize) {
    let yellow = style::NOTICE;
    match io::stderr().is_terminal() {
        true => print_to_stderr(&format!(
            "{yellow}notice:{yellow:#} {}\n",
            visible(&text.to_string())
        )),
        false => print_to_stderr(&json_line(json)),
    }
}

/// Whether a terminal may act on a character rather than show it: control characters, and those that turn the
/// direction of the text around them (Unicode's `Bidi_Control`).
pub(crate) fn steers_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Spells out the characters that steer a terminal, so that no name and no message can.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers_terminal(c) {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// So many of something, such as `2 messages`.
pub(crate) fn count(number: u64, what: &str) -> String {
    if number == 1 {
        format!("1 {what}")
    } else {
        format!("{number} {what}s")
    }
}

fn buffer() -> MutexGuard<'static, Vec<u8>> {
    // A panic between two lines leaves whole lines behind, so a poisoned buffer is as good as any.
    BUFFER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_out(buffer: &mut Vec<u8>) -> Result<(), Stop> {
    let _line = stdout_is_terminal().then(progress::step_aside);
    let written = {
        let mut stdout = io::stdout().lock();
        stdout.write_all(buffer).and_then(|()| stdout.flush())
    };
    buffer.clear();
    buffer.shrink_to(4 * BUFFER_BYTES);
    written.map_err(Stop::from_stdout)
}

fn error_text(error: &Error) -> String {
    let (red, cyan) = (style::ERROR, style::HINT);
    let mut text = format!("{red}error:{red:#} {}\n", visible(error.message()));
    for cause in error.causes() {
        // Many a message quotes its cause already, but for the number that the system gives it.
        let words = cause.split(" (os error").next().unwrap_or(&cause);
        if !error.message().contains(words) {
            text += &format!("  because {}\n", visible(&cause));
        }
    }
    if let Some(place) = place_of_damage(error) {
        text += &format!("  at {}\n", visible(&place));
    }
    if let Some(hint) = error.hint_text() {
        text += &format!("{cyan}hint:{cyan:#} {}\n", visible(hint));
    }
    text
}

/// Where the bytes are that are wrong. Other messages name what they are about.
fn place_of_damage(error: &Error) -> Option<String> {
    let (offset, path) = (error.offset_value()?, error.path_ref()?);
    let is_damage = error.kind() == ErrorKind::Corrupt;
    let message = error.seq_value().map(|seq| format!("message {seq}, "));
    is_damage.then(|| {
        format!(
            "{}byte {offset} of {}",
            message.unwrap_or_default(),
            path.display()
        )
    })
}

fn print_to_stderr(text: &str) {
    let colour = match has_colour(io::stderr().is_terminal()) {
        true => ColorChoice::AlwaysAnsi,
        false => ColorChoice::Never,
    };
    let _line = progress::step_aside();
    // One write per report, and nowhere left to report a failure to report.
    AutoStream::new(io::stderr().lock(), colour)
        .write_all(text.as_bytes())
        .ok();
}

fn json_line(value: &impl Serialize) -> String {
    // The shapes printed here are plain structs of text and numbers, which always have a JSON form.
    serde_json::to_string(value).unwrap_or_default() + "\n"
}
