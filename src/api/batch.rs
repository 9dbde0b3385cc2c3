//! What goes in: messages as compact JSON text, ready to be stored.

use std::borrow::Cow;

use serde::Serialize;

use crate::core::frame::Entry;
use crate::core::json;
use crate::{Error, ErrorKind, Receipt, Result};

/// What a pool is made of, in bytes.
const WORD: usize = 8;

/// The tags of a message, as compact JSON text. Their order and repetitions are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// A JSON array of strings; empty for no tags, as it is stored.
    text: String,
}

impl Tags {
    /// No tags.
    pub fn none() -> Tags {
        Tags::default()
    }

    /// These tags, in this order.
    pub fn new<S: AsRef<str>>(tags: impl IntoIterator<Item = S>) -> Tags {
        let mut text = String::new();
        for tag in tags {
            text.push(if text.is_empty() { '[' } else { ',' });
            text.push_str(&serde_json::Value::from(tag.as_ref()).to_string());
        }
        if !text.is_empty() {
            text.push(']');
        }
        Tags { text }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The tags as a JSON array; `[]` if there are none.
    pub fn as_json(&self) -> &str {
        if self.is_empty() { "[]" } else { &self.text }
    }

    fn stored(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// Messages that are appended together: all of them or none, in this order, and all with the same time.
///
/// A batch is one buffer. [`clear`](Batch::clear) keeps it, so a batch that is filled again allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Tags and data of all messages. Each begins at a whole word, which saves the checksum from single bytes.
    text: Vec<u8>,
    messages: Vec<Extent>,
    frame_bytes: u64,
}

/// Where a message's sections begin and end in the buffer.
#[derive(Clone, Copy, Debug)]
struct Extent {
    tags_at: usize,
    tags_end: usize,
    data_at: usize,
    data_end: usize,
    /// The CRC of both, which is worked out while they are in the cache and nobody waits.
    crc: u32,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Adds a message whose data is this JSON text. Insignificant white space goes; everything else stays to the byte.
    ///
    /// # Errors
    ///
    /// `Usage`, with the offset, if `data` is not exactly one JSON value or is nested too deeply. The batch is then
    /// as it was.
    pub fn push_json(&mut self, data: &[u8], tags: &Tags) -> Result<()> {
        let start = self.text.len();
        let tags_at = self.whole_words();
        self.text.extend_from_slice(tags.stored());
        let tags_end = self.text.len();
        let data_at = self.whole_words();
        if let Err(error) = json::compact_into(data, &mut self.text) {
            self.text.truncate(start);
            return Err(error);
        }
        let entry = Entry::new(&self.text[tags_at..tags_end], &self.text[data_at..]);
        self.frame_bytes += entry.frame_size();
        self.messages.push(Extent {
            tags_at,
            tags_end,
            data_at,
            data_end: self.text.len(),
            crc: entry.crc(),
        });
        Ok(())
    }

    /// Adds a message as its envelope holds it: tags that stay the text that they are, like the data.
    ///
    /// # Errors
    ///
    /// `Usage` if `tags` is not an array of strings; else as [`push_json`](Batch::push_json).
    pub(super) fn push_stored(&mut self, tags: &str, data: &str) -> Result<()> {
        serde_json::from_str::<Vec<Cow<'_, str>>>(tags).map_err(|cause| {
            Error::new(ErrorKind::Usage, "the tags are no array of strings")
                .hint("write tags as a JSON array of strings")
                .caused_by(cause)
        })?;
        let text = if tags == "[]" { "" } else { tags }.to_owned();
        self.push_json(data.as_bytes(), &Tags { text })
    }

    /// Fills up the last word, and says where the next one is.
    fn whole_words(&mut self) -> usize {
        let end = self.text.len().next_multiple_of(WORD);
        self.text.resize(end, 0);
        end
    }

    /// Adds a message with this value as data.
    ///
    /// # Errors
    ///
    /// `Usage` if the value cannot be written as JSON or is nested too deeply. The batch is then as it was.
    pub fn push<T: Serialize + ?Sized>(&mut self, data: &T, tags: &Tags) -> Result<()> {
        let text = serde_json::to_vec(data).map_err(|cause| {
            Error::new(ErrorKind::Usage, "the value cannot be written as JSON")
                .hint("maps need strings as keys")
                .caused_by(cause)
        })?;
        self.push_json(&text, tags)
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Takes all messages out; the buffer stays.
    pub fn clear(&mut self) {
        self.text.clear();
        self.messages.clear();
        self.frame_bytes = 0;
    }

    /// The bytes that the batch takes in a pool's ring, to be compared with
    /// [`Pool::max_batch_bytes`](super::Pool::max_batch_bytes).
    pub fn frame_bytes(&self) -> u64 {
        self.frame_bytes
    }

    /// Appends the envelope of the only message to `out`, as it was stored according to `receipt`.
    pub(crate) fn write_envelope(&self, receipt: &Receipt, out: &mut Vec<u8>) {
        if let Some((tags, data)) = self.texts().next() {
            crate::wire::write_envelope(receipt.first_seq, receipt.time, tags, data, out);
        }
    }

    /// The tags, as a JSON array, and the data of each message.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        // Both are checked JSON text, and so UTF-8.
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or("null");
        self.entries().map(move |entry| {
            let tags = if entry.tags.is_empty() {
                "[]"
            } else {
                text(entry.tags)
            };
            (tags, text(entry.data))
        })
    }

    /// The bytes of all tags and data.
    #[cfg(any(feature = "serve", feature = "remote"))]
    pub(crate) fn text_bytes(&self) -> usize {
        let bytes = |entry: Entry<'_>| entry.tags.len() + entry.data.len();
        self.entries().map(bytes).sum()
    }

    /// The messages as they are stored.
    pub(super) fn entries(&self) -> impl ExactSizeIterator<Item = Entry<'_>> + Clone {
        self.messages.iter().map(|extent| self.entry(extent))
    }

    fn entry(&self, extent: &Extent) -> Entry<'_> {
        let tags = &self.text[extent.tags_at..extent.tags_end];
        let data = &self.text[extent.data_at..extent.data_end];
        Entry::with_crc(tags, data, extent.crc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_json_strings() {
        assert_eq!(
            Tags::new(["a", "b\"c", "a"]).as_json(),
            r#"["a","b\"c","a"]"#
        );
        assert_eq!(Tags::new([""; 0]).as_json(), "[]");
        assert!(Tags::none().stored().is_empty());
    }

    #[test]
    fn a_value_that_cannot_be_serialised_is_usage() {
        let mut batch = Batch::new();
        let no_json = std::collections::BTreeMap::from([((1, 2), 3)]);
        let error = batch.push(&no_json, &Tags::none()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(batch.is_empty());
    }

    #[test]
    fn a_bad_message_leaves_the_batch_as_it_was() {
        let mut batch = Batch::new();
        batch.push_json(b" [1, 2] ", &Tags::new(["t"])).unwrap();
        let size = batch.frame_bytes();
        assert_eq!(
            batch
                .push_json(b"[1,", &Tags::new(["u"]))
                .unwrap_err()
                .kind(),
            ErrorKind::Usage
        );
        batch.push(&"x", &Tags::none()).unwrap();
        let entries: Vec<_> = batch.entries().collect();
        assert_eq!(entries[0], Entry::new(b"[\"t\"]", b"[1,2]"));
        assert_eq!(entries[1], Entry::new(b"", b"\"x\""));
        assert_eq!(batch.frame_bytes(), size + 48 + 8);
        batch.clear();
        assert!(batch.is_empty() && batch.frame_bytes() == 0);
    }
}
