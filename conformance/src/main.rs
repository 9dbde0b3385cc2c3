//! The conformance suite as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    plasmite_conformance::main()
}
