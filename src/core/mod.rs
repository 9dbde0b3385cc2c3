//! The pool: every storage rule, and nothing else.

pub mod error;
pub mod json;
pub mod layout;
pub mod memory;
