//! The specification as cases, run against every surface: see `conformance/README.md`.
//!
//! The program is [`main`]. [`parts`] opens some of what it is made of to the fuzzers.

mod case;
mod clause;
mod files;
mod ledger;
mod lines;
mod matrix;
mod message;
mod observe;
pub mod parts;
mod pattern;
mod pool_file;
mod process;
mod program;
mod report;
mod runner;
mod saboteur;
mod selftest;
mod server;
mod suite;
mod surface;
mod vars;

use std::time::Duration;

pub use program::main;

/// Ends whatever hangs, far beyond what anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
