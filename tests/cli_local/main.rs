//! The command line on local pools, as the programs that are shipped: every command and flag, exit code and error.

#![cfg(feature = "cli")]

mod archive;
#[path = "../support/commands.rs"]
mod commands;
#[cfg(target_os = "linux")]
mod completion;
mod doctor;
mod duplex;
mod feed;
mod filters;
mod follow;
mod general;
mod help;
#[path = "../support/help.rs"]
mod listed;
#[cfg(target_os = "linux")]
mod manual;
#[cfg(target_os = "linux")]
mod narrow;
mod pools;
#[cfg(target_os = "linux")]
mod progress;
mod replay;
mod resize;
mod signals;
mod support;
mod tap;
#[cfg(target_os = "linux")]
mod terminal;
#[path = "../support/variants.rs"]
mod variants;
