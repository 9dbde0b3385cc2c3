//! A disk that is soon full.

use std::path::Path;
use std::process::Command;

/// Runs this program once more, with a disk of so many bytes in `directory`: a file system in memory, in a mount
/// namespace of its own, so that it goes with the process. Where it cannot be mounted, the process ends with 98.
pub(crate) fn on_small_disk(directory: &Path, bytes: u64) -> Command {
    let mount =
        format!("mount -t tmpfs -o size={bytes} tmpfs \"$1\" || exit 98; shift; exec \"$@\"");
    let program = std::env::current_exe().expect("a program knows where it is");
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c", &mount, "sh"])
        .arg(directory)
        .arg(program);
    command
}
