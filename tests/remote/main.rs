//! Commands whose pools are on a server, by the clauses REMOTE-1 to REMOTE-12 of `spec/remote/v0`.
//!
//! Guards above all against a client that loses, repeats or stores twice what went over a connection that broke.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod broken;
#[path = "../support/commands.rs"]
mod commands;
mod duplex;
mod parity;
mod support;
