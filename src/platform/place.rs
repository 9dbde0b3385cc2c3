//! Where a file is: its path, whatever becomes of symbolic links and of the working directory.

use std::io;
use std::path::{Path, PathBuf};

use super::mapped::FileIdentity;
use super::os_error::os_error;
use super::sys;
use crate::core::error::Result;

/// An absolute path without symbolic links.
pub(super) struct Place(PathBuf);

impl Place {
    /// The place that `path` leads to now; `None` if a directory on the way may not be looked at.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is nothing.
    pub(super) fn of(path: &Path) -> Result<Option<Place>> {
        match path.canonicalize() {
            Ok(place) => Ok(Some(Place(place))),
            Err(e) if is_missing(&e) => Err(os_error("open", path, e)),
            Err(_) => Ok(None),
        }
    }

    /// Whether the file may be here: not if there is nothing or another file. A place that may not be looked at tells
    /// nothing.
    pub(super) fn may_hold(&self, file: FileIdentity) -> bool {
        match sys::found_at(&self.0) {
            Ok(found) => found.identity == file,
            Err(e) => !is_missing(&e),
        }
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use crate::core::error::ErrorKind;
    use crate::core::memory::Memory;
    use crate::platform::mapped::{Access, MappedFile};

    const SIZE: u64 = 8192;

    #[test]
    fn a_check_finds_a_file_that_was_moved_away_and_one_that_came_back() {
        let directory = tempfile::tempdir().unwrap();
        let [inner, moved] = ["inner", "moved"].map(|name| directory.path().join(name));
        let path = inner.join("pool");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(&path, [0; SIZE as usize]).unwrap();
        let map = MappedFile::open(&path, Access::ReadWrite, SIZE).unwrap();
        let other_name = directory.path().join("other");
        std::fs::hard_link(&path, &other_name).unwrap();
        for (from, to) in [(&path, &other_name.with_extension("x")), (&inner, &moved)] {
            map.check(None).unwrap();
            std::fs::rename(from, to).unwrap();
            assert_eq!(map.check(None).unwrap_err().kind(), ErrorKind::NotFound);
            std::fs::rename(to, from).unwrap();
        }
        map.check(None).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(map.check(None).unwrap_err().kind(), ErrorKind::NotFound);
        std::fs::write(&path, [0; SIZE as usize]).unwrap();
        assert_eq!(map.check(None).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_symbolic_link_that_goes_away_leaves_the_file_where_it_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0; SIZE as usize]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(file.path(), &link).unwrap();
        let map = MappedFile::open(&link, Access::ReadWrite, SIZE).unwrap();
        std::fs::remove_file(&link).unwrap();
        map.check(None).unwrap();
        file.close().unwrap();
        assert_eq!(map.check(None).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
