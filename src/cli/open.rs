//! `--create`.

use crate::api::{Client, CreateOptions, Pool, PoolRef};
use crate::core::error::{ErrorKind, Result};

/// Opens a pool, or creates it if it is missing; one that somebody else creates meanwhile is as good.
pub(super) fn or_create(
    client: &Client,
    pool: &PoolRef,
    options: CreateOptions,
    open: impl Fn(&PoolRef) -> Result<Pool>,
) -> Result<Pool> {
    match open(pool) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        opened => return opened,
    }
    match client.create_pool(pool, options) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => open(pool),
        created => created,
    }
}
