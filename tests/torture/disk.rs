//! A small disk that fills up.

#[path = "../support/small_disk.rs"]
mod small_disk;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use plasmite::{Client, CreateOptions, ErrorKind, PoolRef};

use crate::judge::{Finding, Rule};
use crate::random::Random;
use crate::tally::Tally;

/// What the disk holds, in bytes.
const SIZE: u64 = 1024 * 1024;

/// Runs this program once more with these arguments and a small disk in `directory`; what it prints, or why there is
/// nothing.
pub(crate) fn run_on_small_disk(directory: &Path, arguments: &[String]) -> Result<String, String> {
    let done = small_disk::on_small_disk(directory, SIZE)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("there is no unshare ({error})"))?;
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    match done.status.success() {
        true => Ok(printed),
        // One that panics has found something, and that is no reason to skip it.
        false if done.status.code() == Some(101) || done.status.code().is_none() => {
            panic!("on the small disk: {}", done.status)
        }
        false => Err(format!(
            "this user may not mount a file system ({})",
            done.status
        )),
    }
}

/// Fills the disk, and empties it.
pub(crate) struct Filler {
    directory: PathBuf,
    filled: bool,
}

impl Filler {
    pub(crate) fn new(directory: &Path) -> Filler {
        Filler {
            directory: directory.to_owned(),
            filled: false,
        }
    }

    /// Now and then: fills the disk to the last byte, tries to make a pool there, and makes room again.
    pub(crate) fn step(&mut self, tally: &mut Tally, random: &mut Random) {
        let filling = self.directory.join("filling");
        if self.filled {
            let outcome = self.try_to_create();
            match outcome {
                Ok(()) => tally.full += 1,
                Err(text) => tally.find(&Finding {
                    rule: Rule::Failed,
                    text,
                }),
            }
            if random.percent(30) {
                self.filled = fs::remove_file(&filling).is_err();
            }
        } else if random.percent(50) {
            let mut file = File::create(&filling).expect("a file");
            while file.write_all(&[0x5a; 4096]).is_ok() {}
            self.filled = true;
        }
    }

    /// Nothing is made, the error says so, and nothing is left.
    fn try_to_create(&self) -> Result<(), String> {
        let name = PoolRef::parse("more").expect("a name");
        let options = CreateOptions {
            size_bytes: Some(64 * 1024),
            index_capacity: None,
        };
        let before = files_in(&self.directory);
        let created = Client::new(&self.directory).create_pool(&name, options);
        let error = match created {
            Ok(_) => return Err("a pool was made on a full disk".to_owned()),
            Err(error) => error,
        };
        if error.kind() != ErrorKind::Io || !error.hint_text().unwrap_or_default().contains("space")
        {
            return Err(format!("a full disk is told as {error:?}: {error}"));
        }
        match files_in(&self.directory) {
            after if after == before => Ok(()),
            after => Err(format!(
                "a pool that was not made left something behind: {after:?}"
            )),
        }
    }
}

fn files_in(directory: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    names
}
