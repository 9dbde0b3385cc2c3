//! The command line: adapters from arguments and streams to the public API.

pub mod ingest;
