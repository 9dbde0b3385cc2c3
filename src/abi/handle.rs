//! Handles: numbers that are dressed as pointers.
//!
//! Nothing is ever where a handle points, and none is given out twice, so one that was freed, or that is of another
//! kind, is found out and not followed.

use std::collections::BTreeMap;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::{Error, ErrorKind, Result};

/// Handles are so far apart, and none is below this: what is no address anywhere, and easy to tell in a debugger.
const STEP: usize = 0x1000;

static NEXT: AtomicUsize = AtomicUsize::new(STEP);

/// What is behind the handles of one kind.
pub(super) struct Table<T> {
    /// What a handle of this table is called in an error.
    what: &'static str,
    open: RwLock<BTreeMap<usize, Arc<T>>>,
}

impl<T> Table<T> {
    pub(super) const fn new(what: &'static str) -> Table<T> {
        Table {
            what,
            open: RwLock::new(BTreeMap::new()),
        }
    }

    /// A new handle for `value`.
    pub(super) fn insert<H>(&self, value: T) -> Result<*mut H> {
        let number = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
            n.checked_add(STEP)
        });
        let number =
            number.map_err(|_| Error::new(ErrorKind::Internal, "there are no handles left"))?;
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.insert(number, Arc::new(value));
        Ok(ptr::without_provenance_mut(number))
    }

    /// What is behind a handle, kept for as long as the caller holds it.
    pub(super) fn get<H>(&self, handle: *const H) -> Result<Arc<T>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        match open.get(&handle.addr()) {
            Some(value) => Ok(Arc::clone(value)),
            None => Err(self.unknown(handle)),
        }
    }

    /// Takes a handle back. `None` for one that is not open.
    pub(super) fn remove<H>(&self, handle: *const H) -> Option<Arc<T>> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.remove(&handle.addr())
    }

    #[cold]
    fn unknown<H>(&self, handle: *const H) -> Error {
        let what = self.what;
        match handle.is_null() {
            true => Error::new(ErrorKind::Usage, format!("the {what} is null"))
                .hint("check what the call that was to give it returned"),
            false => Error::new(ErrorKind::Usage, format!("this is no open {what}"))
                .hint("use a handle only between the call that gave it and the one that frees it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static A: Table<&str> = Table::new("letter");
    static B: Table<&str> = Table::new("number");

    #[test]
    fn a_handle_is_good_until_it_is_freed_and_only_for_its_kind() {
        let a: *mut u8 = A.insert("a").unwrap();
        let b: *mut u8 = B.insert("b").unwrap();
        assert_eq!((*A.get(a).unwrap(), *B.get(b).unwrap()), ("a", "b"));
        let error = A.get(b).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert_eq!(error.message(), "this is no open letter");
        assert!(A.remove(b).is_none());
        assert!(A.remove(a).is_some() && A.remove(a).is_none());
        assert_eq!(A.get(a).unwrap_err().kind(), ErrorKind::Usage);
        let null = A.get(ptr::null::<u8>()).unwrap_err();
        assert_eq!(null.message(), "the letter is null");
    }

    #[test]
    fn what_is_freed_in_the_middle_of_a_call_outlives_it() {
        let handle: *mut u8 = A.insert("kept").unwrap();
        let held = A.get(handle).unwrap();
        drop(A.remove(handle));
        assert_eq!(*held, "kept");
    }
}
