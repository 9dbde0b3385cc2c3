//! Fills a pool with messages that have seqs and times already, and tells which of them do not fit.

use super::draft::Draft;
use super::pool::Bounds;
use crate::core::frame::Entry;
use crate::core::geometry::Geometry;
use crate::{Error, ErrorKind, Result};

/// Sizes that are suggested are multiples of this.
const SIZE_STEP: u64 = 64 * 1024;

/// The oldest messages, which did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// How many they are.
    pub messages: u64,
    /// The seq of the first.
    pub first: u64,
    /// The last seq before those that were kept.
    pub last: u64,
}

/// What a pool holds once it was filled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filled {
    pub(super) messages: u64,
    pub(super) bounds: Bounds,
    pub(super) dropped: Option<Dropped>,
}

/// Messages on their way into a pool that has no name yet. Where not all fit, the ring drops the oldest.
pub(super) struct Filling<'a> {
    draft: &'a Draft,
    messages: u64,
    first: Option<u64>,
    /// The bytes of the ring that all messages would take, and the largest of them.
    total_bytes: u64,
    largest: u64,
    /// The newest message that is too large for the pool, with its size.
    too_large: Option<(u64, u64)>,
}

impl<'a> Filling<'a> {
    pub(super) fn new(draft: &'a Draft) -> Filling<'a> {
        Filling {
            draft,
            messages: 0,
            first: None,
            total_bytes: 0,
            largest: 0,
            too_large: None,
        }
    }

    /// Takes the next message, as it is stored.
    pub(super) fn take(&mut self, seq: u64, time: u64, entry: Entry<'_>) -> Result<()> {
        let size = entry.frame_size();
        self.messages += 1;
        self.first.get_or_insert(seq);
        self.total_bytes = self.total_bytes.saturating_add(size);
        self.largest = self.largest.max(size);
        if size > self.draft.max_message_bytes() {
            self.too_large = Some((seq, size));
            return Ok(());
        }
        self.draft.push(seq, time, entry.tags, entry.data)
    }

    /// Whether what the pool holds by now is what was asked for; `index_capacity` is what was asked for of the index.
    pub(super) fn judge(&self, index_capacity: Option<u64>, may_drop: bool) -> Result<Filled> {
        let (kept, bounds) = self.draft.retained()?;
        let dropped = match (self.first, bounds.oldest) {
            (Some(first), Some(oldest)) if kept < self.messages => Some(Dropped {
                messages: self.messages - kept,
                first,
                last: oldest - 1,
            }),
            _ => None,
        };
        // One that is too large may be among the oldest, and leave nothing behind; it may not leave a gap.
        if let Some((seq, size)) = self.too_large
            && (!may_drop || bounds.oldest.is_none_or(|oldest| oldest < seq))
        {
            return Err(self.refuse_large(seq, size, index_capacity));
        }
        match dropped {
            Some(dropped) if !may_drop => Err(self.refuse_many(dropped, index_capacity)),
            _ => Ok(Filled {
                messages: kept,
                bounds,
                dropped,
            }),
        }
    }

    #[cold]
    fn refuse_many(&self, dropped: Dropped, index_capacity: Option<u64>) -> Error {
        let Dropped {
            messages,
            first,
            last,
        } = dropped;
        let message = format!(
            "not all messages fit: {messages} of {}, with numbers from {first} to {last}, would be lost",
            self.messages
        );
        Error::new(ErrorKind::Usage, message).hint(format!(
            "ask for `--size {}`, which takes them all, or for --drop-oldest to go on without them",
            self.fitting_size(index_capacity)
        ))
    }

    #[cold]
    fn refuse_large(&self, seq: u64, size: u64, index_capacity: Option<u64>) -> Error {
        let message = format!(
            "message {seq} takes {size} bytes, and a pool of this size takes messages of up to {} bytes",
            self.draft.max_message_bytes()
        );
        let hint = format!(
            "ask for `--size {}`, which takes all messages",
            self.fitting_size(index_capacity)
        );
        Error::new(ErrorKind::Usage, message).hint(hint).seq(seq)
    }

    /// A size of file that all messages fit into.
    fn fitting_size(&self, index_capacity: Option<u64>) -> u64 {
        let fits = |size: u64| {
            Geometry::for_file(size, index_capacity).is_ok_and(|geometry| {
                geometry.ring_size >= self.total_bytes && geometry.max_batch() >= self.largest
            })
        };
        let mut size = SIZE_STEP;
        while !fits(size) && size < 1 << 62 {
            size = (size + size / 16).next_multiple_of(SIZE_STEP);
        }
        size
    }
}
