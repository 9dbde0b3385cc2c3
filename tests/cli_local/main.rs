//! The command line on local pools, as the programs that are shipped: every command and flag, exit code and error.

#![cfg(feature = "cli")]

#[path = "../support/commands.rs"]
mod commands;
mod doctor;
mod duplex;
mod feed;
mod filters;
mod follow;
mod general;
mod help;
mod pools;
mod replay;
mod signals;
mod support;
