//! A terminal to run commands on: `script` of util-linux opens it, and what it would show is worked out here.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio};

use crate::support::{PLASMITE, Place};

/// A command line on a terminal of its own.
pub(crate) struct Terminal {
    child: Child,
    keys: Option<ChildStdin>,
    output: ChildStdout,
    seen: Vec<u8>,
}

impl Terminal {
    /// Runs a line of the shell on a terminal of so many columns. `PLS` stands for the program, which is on the path too.
    pub(crate) fn run(place: &Place, columns: u16, line: &str) -> Terminal {
        let line = line.replace("PLS", PLASMITE);
        let line = format!("stty cols {columns} rows 24; {line}");
        let mut child = place
            .command("script")
            .args(["-qec", &line, "/dev/null"])
            .env_remove("COLUMNS")
            .env("PATH", programs())
            .current_dir(place.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("script, of util-linux");
        Terminal {
            keys: child.stdin.take(),
            output: child.stdout.take().expect("piped"),
            child,
            seen: Vec::new(),
        }
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        let terminal = self.keys.as_mut().expect("a terminal that takes keys");
        terminal.write_all(keys.as_bytes()).expect("a terminal");
    }

    /// Waits until all that was written to the terminal satisfies this.
    pub(crate) fn wait_until(&mut self, is_there: impl Fn(&str) -> bool) {
        while !is_there(&String::from_utf8_lossy(&self.seen)) {
            let mut bytes = [0; 4096];
            let count = self.output.read(&mut bytes).expect("a terminal");
            assert!(count > 0, "it ended with: {}", self.text());
            self.seen.extend_from_slice(&bytes[..count]);
        }
    }

    /// Waits for the end: how it ended, and all that was written.
    pub(crate) fn finish(mut self) -> (ExitStatus, String) {
        // The terminal stays until the command ends; its keyboard is closed only then.
        self.output.read_to_end(&mut self.seen).expect("a terminal");
        let status = self.child.wait().expect("it ends");
        (status, self.text())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The path of the environment, with the programs under test before all others.
pub(crate) fn programs() -> std::ffi::OsString {
    let programs = std::path::Path::new(PLASMITE)
        .parent()
        .expect("a directory");
    let path = std::env::var_os("PATH").expect("a path");
    let all = std::iter::once(programs.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(all).expect("a path")
}

/// The lines that a wide enough terminal shows in the end, without colours, blanks at the end, and the last if it is
/// empty.
pub(crate) fn screen(written: &str) -> Vec<String> {
    let written = keep_erasing(written);
    let mut lines = vec![];
    let mut line: Vec<char> = vec![];
    let mut column = 0;
    for c in written.chars() {
        match c {
            '\r' => column = 0,
            '\n' => lines.push(std::mem::take(&mut line)),
            ERASE => line.truncate(column),
            c => {
                line.resize(line.len().max(column), ' ');
                match line.get_mut(column) {
                    Some(there) => *there = c,
                    None => line.push(c),
                }
                column += 1;
            }
        }
    }
    lines.push(line);
    let text = |line: &Vec<char>| line.iter().collect::<String>().trim_end().to_owned();
    let mut lines: Vec<_> = lines.iter().map(text).collect();
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// Stands for what erases the rest of a line.
const ERASE: char = '\u{e000}';

fn keep_erasing(written: &str) -> String {
    let kept = written.replace("\x1b[K", &ERASE.to_string());
    anstream::adapter::strip_str(&kept).to_string()
}

#[test]
fn the_screen_is_what_a_terminal_shows() {
    let written = "one\r\n\x1b[1mtwo\x1b[0m\rT\r\nover\ro\x1b[K\rOVER\r\ngone\r\x1b[K";
    assert_eq!(screen(written), ["one", "Two", "OVER"]);
    assert_eq!(screen("a\r\n\r\nb"), ["a", "", "b"]);
}
