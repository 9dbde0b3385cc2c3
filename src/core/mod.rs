//! The pool: every storage rule, and nothing else.

pub mod error;
pub mod layout;
pub mod memory;
