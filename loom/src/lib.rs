//! Models of the commit protocol under the C11 memory model, over `append.rs` and `read.rs` as shipped.
//!
//! The core is generic over its memory, so nothing of it is written again here: a [`Scene`] says what a pool holds,
//! what writers append and before which store they die, and what a reader looks at; loom then runs it in every order
//! of steps and with every value that each load may see.
//!
//! - [`memory`] maps the words that a model stores onto loom's atomics, and the writer lock onto loom's mutex.
//! - [`bell`] is the wake-up channel, with a queue of sleepers as the kernel keeps it.
//! - [`dying`] kills a writer before a given store.
//! - [`scene`] runs a scene and judges what the reader saw; [`waiting`] and [`recovery`] do so for sleepers, deletions
//!   and the first openers after a boot.
//!
//! That the models would notice is shown by `scripts/loom-mutants.sh`: each patch in `mutants` breaks the protocol in
//! one way, and some model has to fail.

pub mod bell;
pub mod dying;
pub mod memory;
pub mod recovery;
pub mod scene;
pub mod search;
mod sites;
pub mod waiting;
