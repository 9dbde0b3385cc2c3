//! A pool that things happen to.

use std::path::{Path, PathBuf};

use plasmite::{Client, CreateOptions, PoolRef, Result};

use crate::judge::Law;

/// A pool, and what has to be known of it to judge its history.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) path: PathBuf,
    pub(crate) uuid: u128,
    pub(crate) size: u64,
    pub(crate) ring: u64,
    /// Where in the file the ring is.
    pub(crate) ring_offset: u64,
}

impl Stage {
    /// Makes a pool.
    pub(crate) fn create(path: &Path, size: u64) -> Result<Stage> {
        let options = CreateOptions {
            size_bytes: Some(size),
            index_capacity: None,
        };
        let pool = Client::new("").create_pool(&PoolRef::Path(path.to_owned()), options)?;
        let info = pool.info()?;
        Ok(Stage {
            path: path.to_owned(),
            uuid: u128::from_le_bytes(pool.uuid()),
            size,
            ring: info.ring_size,
            ring_offset: info.ring_offset,
        })
    }

    /// The pool, as the client names it.
    pub(crate) fn name(&self) -> PoolRef {
        PoolRef::Path(self.path.clone())
    }

    /// What holds as long as nobody touches the file.
    pub(crate) fn law(&self) -> Law {
        Law {
            pool: self.uuid,
            ring: self.ring,
            damaged: None,
            removed: None,
            void: None,
            cut: None,
        }
    }
}
