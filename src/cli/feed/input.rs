//! Where records are read from.

use std::fs::{File, Metadata};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use crate::cli::progress::{Progress, Total};
use crate::core::error::{Error, ErrorKind, Result};
use crate::echo::echo;

/// A stream of bytes, what to call it, and how much there is, where it is a file.
pub(in crate::cli) struct Input {
    reader: Box<dyn Read>,
    path: Option<PathBuf>,
    size: Option<u64>,
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
                Ok(file) => {
                    let size = file.metadata().ok().filter(Metadata::is_file).map(|it| it.len());
                    Ok(Input { reader: Box::new(file), path: Some(path.to_owned()), size })
                }
                Err(cause) => Err(input_error(cause, Some(path))),
            },
        }
    }

    pub(in crate::cli) fn stdin() -> Input {
        Input {
            reader: Box::new(io::stdin().lock()),
            path: None,
            size: None,
        }
    }

    /// How far a file has been read. Of a stream there is no telling.
    pub(super) fn progress(&self) -> Progress {
        match (&self.path, self.size) {
            (Some(path), Some(size)) => {
                Progress::new(&format!("feeding {}", path.display()), Total::Bytes(size))
            }
            _ => Progress::none(),
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
