//! What must not harm a pool: writers that stop, die or overtake at any step, files that change while they are open, and sizes
//! that memory could not hold.
//!
//! One binary for all of it, because most of these tests run it again as another process.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which the lint does not tell from other code"
)]

mod changing_file;
mod killed_writer;
mod ledger;
mod memory_use;
mod overtaken_reader;
mod paused_writer;
mod process;
#[path = "../support/small_disk.rs"]
mod small_disk;
mod watched;
