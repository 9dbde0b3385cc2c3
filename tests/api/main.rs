//! The Rust API, held against `spec/api/v0`. Each test names the clauses that it is about.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which the lint does not tell from other code"
)]

mod appends;
mod archives;
mod handles;
mod pools;
#[path = "../support/random.rs"]
mod random;
mod resize;
mod salvage;
mod support;
mod tails;
#[path = "../support/variants.rs"]
mod variants;
