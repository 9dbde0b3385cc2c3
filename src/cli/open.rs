//! From what names a pool to the pool.

use super::echo::echo;
use crate::api::{Client, CreateOptions, Pool, PoolRef};
use crate::core::error::{Error, ErrorKind, Result};

/// Reads a reference; an error repeats it as it was typed, since the part that is wrong may be no more than a dot.
pub(super) fn pool_ref(text: &str) -> Result<PoolRef> {
    PoolRef::parse(text).map_err(|error| {
        let message = match text.contains("://") {
            true => format!(
                "`{}` is a URL, and this command works on local pools only",
                echo(text)
            ),
            false => format!(
                "`{}` is neither a pool's name nor a path that ends in one",
                echo(text)
            ),
        };
        Error::new(error.kind(), message).hint(
            error
                .hint_text()
                .unwrap_or("check the name of the pool")
                .to_owned(),
        )
    })
}

/// For `--create`: opens a pool, or creates it if it is missing; one that somebody else creates meanwhile is as good.
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
