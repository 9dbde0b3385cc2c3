//! The command line on local pools, as the programs that are shipped: every command and flag, exit code and error.

#![cfg(feature = "cli")]

mod archive;
#[path = "../support/commands.rs"]
mod commands;
mod doctor;
mod feed;
mod filters;
mod follow;
mod general;
mod help;
mod pools;
mod signals;
mod support;
