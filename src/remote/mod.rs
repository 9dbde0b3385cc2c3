//! Pools on a server: the client of the protocol in `spec/remote/v0`.
//!
//! What a message, a gap or an error is, the local API says, and a remote pool deals in the same types. A failure that
//! the server reports comes back as the error that it was there; a server that cannot be reached, or that answers
//! anything else, is `Io`.
//!
//! ```no_run
//! use plasmite::remote::{RemoteOptions, RemoteRef, blocking::RemoteClient};
//! use plasmite::{Durability, Tags};
//!
//! # fn main() -> plasmite::Result<()> {
//! let reference = RemoteRef::parse("http://localhost:9700/chat")?;
//! let client = RemoteClient::new(&reference, &RemoteOptions::default())?;
//! let pool = client.pool_of(&reference)?;
//! pool.append_json(br#"{"text":"hello"}"#, &Tags::none(), Durability::Fast)?;
//! # Ok(())
//! # }
//! ```

mod answer;
pub mod blocking;
mod client;
mod error;
mod options;
mod reference;
mod tail;

pub use answer::was_not_taken;
pub use client::{RemoteClient, RemotePool};
pub use options::{RemoteOptions, Token};
pub use reference::RemoteRef;
pub use tail::RemoteTail;
