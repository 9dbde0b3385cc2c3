//! The command line program under its short name.

use std::process::ExitCode;

fn main() -> ExitCode {
    plasmite::cli::main()
}
