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

/// All that there is to keep.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Whole {
    /// How many messages they are, and the seq of the first.
    pub(super) messages: u64,
    pub(super) first: Option<u64>,
    /// What they take of a ring.
    pub(super) bytes: u64,
}

/// Messages on their way into a pool that has no name yet. Where not all fit, the ring drops the oldest.
pub(super) struct Filling<'a> {
    draft: &'a Draft,
    taken: Whole,
    /// What the largest message takes of a ring.
    largest: u64,
    /// The newest message that is too large for the pool, with its size.
    too_large: Option<(u64, u64)>,
}

impl<'a> Filling<'a> {
    pub(super) fn new(draft: &'a Draft) -> Filling<'a> {
        Filling {
            draft,
            taken: Whole::default(),
            largest: 0,
            too_large: None,
        }
    }

    /// Takes the next message, as it is stored.
    pub(super) fn take(&mut self, seq: u64, time: u64, entry: Entry<'_>) -> Result<()> {
        let size = entry.frame_size();
        self.taken.messages += 1;
        self.taken.first.get_or_insert(seq);
        self.taken.bytes = self.taken.bytes.saturating_add(size);
        self.largest = self.largest.max(size);
        if size > self.draft.max_message_bytes() {
            self.too_large = Some((seq, size));
            return Ok(());
        }
        self.draft.push(seq, time, entry)
    }

    /// All that was taken.
    pub(super) fn taken(&self) -> Whole {
        self.taken
    }

    /// The newest message that is too large for the pool.
    pub(super) fn too_large(&self) -> Option<u64> {
        self.too_large.map(|(seq, _)| seq)
    }

    /// Whether what the pool holds by now is what was asked for, out of all that was to be kept. `index_capacity` is what
    /// was asked for of the index.
    pub(super) fn judge(
        &self,
        whole: Whole,
        index_capacity: Option<u64>,
        may_drop: bool,
    ) -> Result<Filled> {
        let (messages, bounds) = self.draft.retained()?;
        let dropped = match (whole.first, bounds.oldest) {
            (Some(first), Some(oldest)) if oldest > first => Some(Dropped {
                messages: whole.messages - messages,
                first,
                last: oldest - 1,
            }),
            _ => None,
        };
        let size = |bytes| self.fitting_size(bytes, index_capacity);
        // One that is too large may be among the oldest, and leave nothing behind; it may not leave a gap.
        if let Some((seq, bytes)) = self.too_large
            && (!may_drop || bounds.oldest.is_none_or(|oldest| oldest < seq))
        {
            return Err(self.refuse_large(seq, bytes, size(whole.bytes)));
        }
        match dropped {
            Some(dropped) if !may_drop => {
                Err(refuse_many(dropped, whole.messages, size(whole.bytes)))
            }
            _ => Ok(Filled {
                messages,
                bounds,
                dropped,
            }),
        }
    }

    #[cold]
    fn refuse_large(&self, seq: u64, bytes: u64, size: u64) -> Error {
        let message = format!(
            "message {seq} takes {bytes} bytes, and a pool of this size takes messages of up to {} bytes",
            self.draft.max_message_bytes()
        );
        let hint = format!("ask for `--size {size}`, which takes all messages");
        Error::new(ErrorKind::Usage, message).hint(hint).seq(seq)
    }

    /// A size of file that messages of so many bytes fit into, together and the largest alone.
    fn fitting_size(&self, bytes: u64, index_capacity: Option<u64>) -> u64 {
        let fits = |size: u64| {
            Geometry::for_file(size, index_capacity).is_ok_and(|geometry| {
                geometry.ring_size >= bytes && geometry.max_batch() >= self.largest
            })
        };
        let mut size = SIZE_STEP;
        while !fits(size) && size < 1 << 62 {
            size = (size + size / 16).next_multiple_of(SIZE_STEP);
        }
        size
    }
}

#[cold]
fn refuse_many(dropped: Dropped, all: u64, size: u64) -> Error {
    let Dropped {
        messages,
        first,
        last,
    } = dropped;
    let message = format!(
        "not all messages fit: {messages} of {all}, with numbers from {first} to {last}, would be lost"
    );
    Error::new(ErrorKind::Usage, message).hint(format!(
        "ask for `--size {size}`, which takes them all, or for --drop-oldest to go on without them"
    ))
}
