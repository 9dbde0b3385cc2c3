//! The step `file`: what a case does to the files below its directory.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::case::Step;
use crate::process::NOBODY;
use crate::surface::{number, text};

pub(crate) fn step(step: &Step, dir: &Path, unprivileged: bool) -> Result<Value> {
    let deeds = [
        "write", "truncate", "chmod", "remove", "rename", "copy", "symlink", "hardlink", "mkdir",
        "mkfifo", "read", "exists", "stat",
    ];
    let deed = deeds.into_iter().find(|deed| step.contains_key(*deed));
    let deed = deed.context("a step on files that does nothing")?;
    let path = dir.join(text(step, deed)?);
    let to = || -> Result<PathBuf> { Ok(dir.join(text(step, "to")?)) };
    match deed {
        "write" => {
            let bytes = match step.get("base64").and_then(Value::as_str) {
                Some(bytes) => STANDARD.decode(bytes)?,
                None => text(step, "text")?.as_bytes().to_vec(),
            };
            write(&path, &bytes, unprivileged)?;
        }
        "truncate" => {
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(number(step, "size").context("no size")?)?;
        }
        "chmod" => {
            let mode = u32::from_str_radix(text(step, "mode")?, 8)?;
            chmod(&path, mode)?;
        }
        "remove" if path.is_dir() => fs::remove_dir_all(&path)?,
        "remove" => fs::remove_file(&path)?,
        "rename" => fs::rename(&path, to()?)?,
        "copy" => {
            fs::copy(&path, to()?)?;
            give(&to()?, unprivileged)?;
        }
        "symlink" => symlink(&path, to()?)?,
        "hardlink" => fs::hard_link(&path, to()?)?,
        "mkdir" => {
            fs::create_dir_all(&path)?;
            give(&path, unprivileged)?;
        }
        "mkfifo" => {
            rustix::fs::mknodat(
                rustix::fs::CWD,
                &path,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::from(0o600),
                0,
            )?;
        }
        "read" => {
            let bytes =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            return Ok(
                json!({"text": String::from_utf8_lossy(&bytes), "base64": STANDARD.encode(&bytes)}),
            );
        }
        "exists" => return Ok(json!({"exists": path.symlink_metadata().is_ok()})),
        "stat" => {
            let told = path.metadata()?;
            let mode = format!("{:03o}", told.permissions().mode() & 0o777);
            let blocks = std::os::unix::fs::MetadataExt::blocks(&told);
            return Ok(json!({"size": told.len(), "mode": mode, "allocated": blocks * 512}));
        }
        _ => bail!("there is no such deed"),
    }
    Ok(json!({}))
}

pub(crate) fn write(path: &Path, bytes: &[u8], unprivileged: bool) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, bytes)?;
    give(path, unprivileged)
}

pub(crate) fn chmod(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
}

/// Gives a case's directory to the user that its processes run as.
pub(crate) fn give_away(dir: &Path) -> Result<()> {
    chmod(dir, 0o755)?;
    give(dir, true)
}

fn give(path: &Path, unprivileged: bool) -> Result<()> {
    if unprivileged && rustix::process::geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY))?;
    }
    Ok(())
}
