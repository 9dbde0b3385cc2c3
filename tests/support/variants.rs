//! What the variants of the tests do otherwise.

/// The slots of an index of the default length, which a variant goes without.
pub(crate) fn slots(default: u64) -> u64 {
    match cfg!(feature = "no-index") {
        true => 0,
        false => default,
    }
}
