//! Where records are read from.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use crate::core::error::{Error, ErrorKind, Result};
use crate::echo::echo;

/// A stream of bytes, and what to call it.
pub(in crate::cli) struct Input {
    reader: Box<dyn Read>,
    path: Option<PathBuf>,
}

impl Input {
    /// The file that was named, `-` among them, or standard input.
    pub(super) fn open(file: Option<&Path>) -> Result<Input> {
        match file {
            None if io::stdin().is_terminal() => {
                Err(Error::new(ErrorKind::Usage, "there is no message: none was given, and standard input is a terminal")
                    .hint("give one JSON value after the pool, name a file with --file, or type messages with --file -"))
            }
            None => Ok(Input::stdin()),
            Some(path) if path.as_os_str() == "-" => Ok(Input::stdin()),
            Some(path) => match File::open(path) {
                Ok(file) => Ok(Input { reader: Box::new(file), path: Some(path.to_owned()) }),
                Err(cause) => Err(input_error(cause, Some(path))),
            },
        }
    }

    pub(in crate::cli) fn stdin() -> Input {
        Input {
            reader: Box::new(io::stdin().lock()),
            path: None,
        }
    }

    /// What comes next, as soon as there is anything; nothing at the end.
    pub(in crate::cli) fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        loop {
            match self.reader.read(into) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|cause| input_error(cause, self.path.as_deref())),
            }
        }
    }
}

fn input_error(cause: io::Error, path: Option<&Path>) -> Error {
    let (kind, hint) = match cause.kind() {
        io::ErrorKind::NotFound => (ErrorKind::NotFound, "check the path given with --file"),
        io::ErrorKind::PermissionDenied => (
            ErrorKind::Permission,
            "ask for the right to read it, or name another file",
        ),
        _ => (
            ErrorKind::Io,
            "check that it is a file or stream that can be read",
        ),
    };
    let name = path.map_or("standard input".to_owned(), |path| {
        echo(&path.to_string_lossy())
    });
    let error = Error::new(kind, format!("cannot read the input from {name}"))
        .hint(hint)
        .caused_by(cause);
    match path {
        Some(path) => error.path(path),
        None => error,
    }
}
