//! Names of pools, as people type them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::echo::echo;
use crate::{Error, ErrorKind, Result};

/// What a pool's file name ends with.
const SUFFIX: &str = ".plasmite";
/// The longest pool name, in bytes.
const MAX_NAME: usize = 200;

/// Which pool is meant: a name in the client's directory, or a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PoolRef {
    /// A name, without the suffix `.plasmite`.
    Name(String),
    /// A path, used as it is.
    Path(PathBuf),
}

impl PoolRef {
    /// Parses a reference: with a `/` it is a path, else a name, which may end with `.plasmite`.
    ///
    /// # Errors
    ///
    /// `Usage` for a name that no pool can have, and for a URL.
    pub fn parse(text: &str) -> Result<PoolRef> {
        if text.starts_with("http://") || text.starts_with("https://") {
            return Err(usage(format!(
                "`{text}` is a URL, and remote pools are not supported here"
            ))
            .hint("name a pool of the pool directory, or a path"));
        }
        if !text.contains('/') {
            return PoolRef::named(text.strip_suffix(SUFFIX).unwrap_or(text));
        }
        // Not `Path::file_name`, to which `a/.` is `a`.
        let file = text.rsplit('/').next().unwrap_or_default();
        check_name(file.strip_suffix(SUFFIX).unwrap_or(file))?;
        Ok(PoolRef::Path(PathBuf::from(text)))
    }

    /// The pool of this name in the client's directory.
    ///
    /// # Errors
    ///
    /// `Usage` for a name that no pool can have.
    pub fn named(name: &str) -> Result<PoolRef> {
        check_name(name)?;
        Ok(PoolRef::Name(name.to_owned()))
    }

    /// Where the pool's file is, given the client's directory.
    pub fn path_in(&self, dir: &Path) -> PathBuf {
        match self {
            PoolRef::Name(name) => dir.join(format!("{name}{SUFFIX}")),
            PoolRef::Path(path) => path.clone(),
        }
    }

    /// The reference as a word of a shell, for hints that name a command.
    pub(crate) fn as_argument(&self) -> String {
        let text = self.to_string();
        let is_plain = |c: char| c.is_alphanumeric() || "._-/+:@%,".contains(c);
        let word = match text.chars().all(is_plain) {
            true => text,
            false => format!("'{}'", text.replace('\'', "'\\''")),
        };
        match word.trim_start_matches('\'').starts_with('-') {
            true => format!("-- {word}"),
            false => word,
        }
    }

    /// The pool's name: the file name without its suffix.
    pub fn name(&self) -> String {
        match self {
            PoolRef::Name(name) => name.clone(),
            PoolRef::Path(path) => name_of(path),
        }
    }
}

impl FromStr for PoolRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<PoolRef> {
        PoolRef::parse(text)
    }
}

impl fmt::Display for PoolRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolRef::Name(name) => f.write_str(name),
            PoolRef::Path(path) => path.display().fmt(f),
        }
    }
}

/// The name of the pool in the file at `path`.
pub(super) fn name_of(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.strip_suffix(SUFFIX).unwrap_or(&file).to_owned()
}

/// Whether a file ends as pools do; what else its name holds is no reason to hide it.
pub(super) fn is_pool_file(path: &Path) -> bool {
    let file = path.file_name().unwrap_or_default();
    file.as_encoded_bytes().ends_with(SUFFIX.as_bytes())
}

fn check_name(name: &str) -> Result<()> {
    let why = if name.is_empty() {
        "is empty"
    } else if name == "." || name == ".." {
        "is a directory"
    } else if name.len() > MAX_NAME {
        "is longer than 200 bytes"
    } else if name.contains(['/', '\\']) {
        "has a path separator in it"
    } else if name.chars().any(char::is_control) {
        "has a control character in it"
    } else {
        return Ok(());
    };
    Err(usage(format!("the pool name `{}` {why}", echo(name)))
        .hint("use a name of 1 to 200 bytes without separators and control characters"))
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_the_contract_says() {
        let in_dir = |text: &str| PoolRef::parse(text).unwrap().path_in(Path::new("/pools"));
        assert_eq!(in_dir("chat"), Path::new("/pools/chat.plasmite"));
        assert_eq!(in_dir("chat.plasmite"), Path::new("/pools/chat.plasmite"));
        assert_eq!(in_dir("./chat"), Path::new("./chat"));
        assert_eq!(in_dir("/tmp/x.plasmite"), Path::new("/tmp/x.plasmite"));
        assert_eq!(PoolRef::parse("/tmp/x.plasmite").unwrap().name(), "x");
    }

    #[test]
    fn names_that_no_pool_can_have_are_usage() {
        let long = "x".repeat(201);
        for bad in [
            "",
            ".",
            "..",
            "a\0b",
            "a\nb",
            "a\\b",
            &long,
            "dir/..",
            "dir/.",
            "dir/",
            ".plasmite",
            "http://h/p",
        ] {
            assert_eq!(
                PoolRef::parse(bad).unwrap_err().kind(),
                ErrorKind::Usage,
                "{bad:?}"
            );
        }
        assert!(PoolRef::parse(&"x".repeat(200)).is_ok());
    }
}
