//! `serve init`: a token, a certificate and its key, for a first server that others can reach.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::tls;
use crate::platform::create::random_bytes;
use crate::platform::for_owner_alone;
use crate::{Error, ErrorKind, Result};

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The token's file.
    pub token_file: PathBuf,
    /// The certificate's file.
    pub cert: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
    /// The certificate's SHA-256 fingerprint.
    pub fingerprint: String,
}

/// Writes a token, a certificate for `addresses` and its key into `dir`, readable by their owner only. [SERVE-2]
///
/// # Errors
///
/// `AlreadyExists` if one of the files is there and `force` is not given, with nothing written; `Permission`, `Io`.
pub fn init(dir: &Path, addresses: &[std::net::IpAddr], force: bool) -> Result<Written> {
    let [token_file, cert, key] = ["token", "cert.pem", "key.pem"].map(|name| dir.join(name));
    if !force && let Some(there) = [&token_file, &cert, &key].into_iter().find(|p| p.exists()) {
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            "a file that would be written is there already",
        )
        .hint("give --force to replace token, certificate and key, or another --out-dir")
        .path(there));
    }
    fs::create_dir_all(dir).map_err(|cause| failed(dir, cause))?;
    let made = tls::make(addresses)?;
    let token: String = random_bytes::<32>()?
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    write_secret(&token_file, &format!("{token}\n"))?;
    write_secret(&cert, &made.cert)?;
    write_secret(&key, &made.key)?;
    Ok(Written {
        token_file,
        cert,
        key,
        fingerprint: made.fingerprint,
    })
}

/// Writes a file under another name first, so that one that is replaced is never seen in part.
fn write_secret(path: &Path, text: &str) -> Result<()> {
    let aside = path.with_extension("new");
    fs::remove_file(&aside).ok();
    let write = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = for_owner_alone(options.write(true).create_new(true)).open(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(|cause| failed(path, cause))
}

fn failed(path: &Path, cause: io::Error) -> Error {
    let kind = match cause.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::Permission,
        _ => ErrorKind::Io,
    };
    Error::new(kind, "a file cannot be written")
        .hint("check the directory and who may write there")
        .path(path)
        .caused_by(cause)
}
