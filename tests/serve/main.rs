//! The HTTP server, asked as a stranger would ask it: raw requests over a socket, answers compared with `spec/remote`.
//!
//! Guards against an adapter that says something else than the library does, and against a client that takes more of
//! the server than its share.
#![cfg(all(feature = "cli", feature = "serve"))]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed; helpers of tests are not told from other code"
)]

mod access;
mod limits;
mod routes;
mod streams;
mod support;
