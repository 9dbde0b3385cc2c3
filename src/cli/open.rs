//! From what names a pool to the pool.

#[cfg(feature = "remote")]
use super::remote::RemoteRef;
use crate::api::{Client, CreateOptions, Pool, PoolRef};
use crate::core::error::{Error, ErrorKind, Result};
use crate::echo::echo;

/// Where a pool is.
pub(super) enum Target {
    /// On this machine.
    Local(PoolRef),
    /// On a server.
    #[cfg(feature = "remote")]
    Remote(RemoteRef),
}

/// Reads a reference for a command that takes URLs.
pub(super) fn target(text: &str) -> Result<Target> {
    #[cfg(feature = "remote")]
    if RemoteRef::is_url(text) {
        return RemoteRef::parse(text).map(Target::Remote);
    }
    pool_ref(text).map(Target::Local)
}

/// Reads a reference for a command that works on this machine only; an error repeats it as it was typed, since the part that is wrong may be no more than a dot.
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

/// For `--create` on a server: what is known of the pool, which is created if it is missing. A credential may allow to
/// append without allowing to look, and what is damaged may be no matter of an append; nothing is known then.
#[cfg(feature = "remote")]
pub(super) fn remote_or_create(
    client: &crate::remote::blocking::RemoteClient,
    pool: &crate::remote::blocking::RemotePool,
    create: Option<CreateOptions>,
) -> Result<Option<crate::api::PoolInfo>> {
    let found = pool.info();
    let kind = found.as_ref().err().map(Error::kind);
    let options = match (kind, create) {
        (None, _) => return found.map(Some),
        (Some(ErrorKind::NotFound | ErrorKind::Permission), Some(options)) => options,
        (Some(ErrorKind::Permission), None) | (Some(ErrorKind::Corrupt), _) => return Ok(None),
        (Some(_), _) => return found.map(Some),
    };
    match client.create_pool(pool.name(), options) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        // Who may neither look nor create may still append.
        Err(error)
            if error.kind() == ErrorKind::Permission && kind == Some(ErrorKind::Permission) =>
        {
            Ok(None)
        }
        created => created.map(Some),
    }
}
