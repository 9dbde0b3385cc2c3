//! Archives: a pool as JSON Lines that show when they were altered.
//!
//! `format` is what the lines look like and what seals them; `export` writes them and `import` reads them, both in one
//! pass and in memory that does not grow with the pool, but for four bytes for each thousand messages.

mod export;
mod format;
mod import;
mod reader;

pub use export::Exported;
pub use import::{ImportOptions, Imported};
