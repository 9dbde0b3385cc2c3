//! Fuzzers of everything in Plasmite that reads bytes which nobody vouches for: see `fuzz/README.md`.
//!
//! Each target is a module with a function `check`, which takes any bytes and panics where a promise is broken. The
//! binaries in `fuzz_targets` hand it what libFuzzer thinks of; `tests/replay.rs` hands it what is checked in.

pub mod case;
pub mod frame_decode;
pub mod header_open;
pub mod ingest;
pub mod pool_flip;
pub mod pool_open;

pub mod base;
mod drive;
mod errors;
mod input;
mod reference;

/// A check, which panics where a promise is broken.
pub type Check = fn(&[u8]);

/// Every target, by its name.
pub const TARGETS: [(&str, Check); 6] = [
    ("case", case::check),
    ("frame_decode", frame_decode::check),
    ("header_open", header_open::check),
    ("ingest", ingest::check),
    ("pool_flip", pool_flip::check),
    ("pool_open", pool_open::check),
];
