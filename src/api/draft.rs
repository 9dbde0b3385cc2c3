//! A pool that is filled before it has its name: nobody else can see it, so it appears whole or not at all.

use super::pool::Bounds;
use crate::Result;
use crate::core::frame::Entry;
use crate::core::geometry::Geometry;
use crate::core::header::Header;
use crate::core::pool::Pool as CorePool;
use crate::platform::boot::boot_word;
use crate::platform::create::random_bytes;
use crate::platform::mapped::MappedFile;

/// A pool in a file without a name.
pub(super) struct Draft {
    core: CorePool<MappedFile>,
}

impl Draft {
    /// Formats `file` as an empty pool. No message may be earlier than `created`.
    pub(super) fn format(file: &MappedFile, geometry: Geometry, created: u64) -> Result<Draft> {
        let header = Header {
            uuid: random_uuid()?,
            created,
            geometry,
        };
        Draft::with_header(file, header)
    }

    /// Formats `file` as the same pool as `old`, of other dimensions and with no messages yet.
    pub(super) fn successor(
        file: &MappedFile,
        geometry: Geometry,
        old: &CorePool<MappedFile>,
    ) -> Result<Draft> {
        let header = Header {
            geometry,
            ..*old.header()
        };
        Draft::with_header(file, header)
    }

    fn with_header(file: &MappedFile, header: Header) -> Result<Draft> {
        let boot = boot_word(file.file())?.unwrap_or(0);
        CorePool::format(file, &header, boot);
        Ok(Draft {
            core: CorePool::attach(file.clone(), header),
        })
    }

    /// Appends a message as it is stored.
    pub(super) fn push(&self, seq: u64, time: u64, entry: Entry<'_>) -> Result<()> {
        self.core.append_to_draft(entry, seq, time)
    }

    /// The most that a message may take, in bytes of the ring.
    pub(super) fn max_message_bytes(&self) -> u64 {
        self.core.geometry().max_batch()
    }

    /// How many messages are in it, and the seqs of the oldest and the newest. What did not fit has gone again.
    pub(super) fn retained(&self) -> Result<(u64, Bounds)> {
        let Some(extent) = self.core.extent()? else {
            return Ok((0, Bounds::default()));
        };
        let bounds = Bounds {
            oldest: Some(extent.oldest.seq),
            newest: Some(extent.newest.seq),
        };
        Ok((extent.messages, bounds))
    }

    /// Takes over what `old` knows beside its messages.
    pub(super) fn inherit(&self, old: &CorePool<MappedFile>) {
        self.core.inherit(old);
    }

    /// What is in it now survives power loss once the file has its name.
    pub(super) fn finish(&self) -> Result<()> {
        self.core.vouch_for_draft()
    }
}

/// A random UUID, version 4.
fn random_uuid() -> Result<[u8; 16]> {
    let mut uuid = random_bytes::<16>()?;
    uuid[6] = uuid[6] & 0x0F | 0x40;
    uuid[8] = uuid[8] & 0x3F | 0x80;
    Ok(uuid)
}
