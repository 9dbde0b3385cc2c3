//! What comes out: messages and their times.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use jiff::fmt::temporal::DateTimePrinter;
use serde::ser::{Serialize, Serializer};
use serde::{Deserialize, de};

use crate::core::read::Frame;
use crate::{Error, ErrorKind, Result};

/// A moment, in nanoseconds since the Unix epoch. Shown as RFC 3339 in UTC with nine decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// So many nanoseconds after 1970-01-01T00:00:00Z.
    pub fn from_nanos(nanos: u64) -> Timestamp {
        Timestamp(nanos)
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub fn as_nanos(self) -> u64 {
        self.0
    }

    /// The wall clock.
    pub fn now() -> Timestamp {
        Timestamp(crate::platform::clock::now_nanos())
    }

    /// Appends the text form to `out`.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let (second, nanos) = (self.0 / NANOS, self.0 % NANOS);
        let mut known = LAST_SECOND.get();
        if known.second != second {
            known = Second::written(second);
            LAST_SECOND.set(known);
        }
        out.extend_from_slice(&known.text);
        let mut digits = *b"000000000Z";
        let mut left = nanos;
        for digit in digits[..9].iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
        }
        out.extend_from_slice(&digits);
    }
}

const NANOS: u64 = 1_000_000_000;

thread_local! {
    /// Messages come by the thousand in a second, and to work out its date costs more than to copy a message.
    static LAST_SECOND: Cell<Second> = const { Cell::new(Second::NONE) };
}

/// A second, and its text up to the decimal point.
#[derive(Clone, Copy)]
struct Second {
    second: u64,
    text: [u8; 20],
}

impl Second {
    /// No time has that many seconds.
    const NONE: Second = Second {
        second: u64::MAX,
        text: [0; 20],
    };

    fn written(second: u64) -> Second {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(9));
        let mut all = Vec::with_capacity(30);
        let printed = jiff::Timestamp::from_nanosecond(i128::from(second) * i128::from(NANOS))
            .and_then(|time| PRINTER.print_timestamp(&time, &mut all));
        // Any u64 of nanoseconds lies between 1970 and 2554, and a `Vec` takes whatever it is given.
        debug_assert!(printed.is_ok() && all.len() == 30, "{printed:?}");
        let mut text = [b'0'; 20];
        text.copy_from_slice(all.get(..20).unwrap_or(&[b'0'; 20]));
        Second { second, text }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(30);
        self.write(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    /// Reads RFC 3339 with any offset. `Usage` for anything else, and for times before 1970 or after 2554.
    fn from_str(text: &str) -> Result<Timestamp> {
        let time: jiff::Timestamp = text.parse().map_err(|cause: jiff::Error| {
            Error::new(ErrorKind::Usage, format!("`{text}` is not a time"))
                .hint("write a time like 2026-11-24T00:27:44Z")
                .caused_by(cause)
        })?;
        u64::try_from(time.as_nanosecond())
            .map(Timestamp)
            .map_err(|_| {
                Error::new(ErrorKind::Usage, format!("the time {text} is out of range"))
                    .hint("times lie between the years 1970 and 2554")
            })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A message. Its data stays the exact JSON text that was appended, until somebody decodes it.
///
/// `Message::default()` is an empty buffer for [`Tail::read`](super::Tail::read) to fill; as a message it has seq 0
/// and the data `null`.
#[derive(Clone, Debug, Default)]
pub struct Message {
    content: Content,
}

/// Where a message's text comes from.
#[derive(Clone, Debug)]
enum Content {
    /// A pool's file.
    Frame(Frame),
    /// A server's answer.
    #[cfg(feature = "remote")]
    Envelope(Envelope),
}

/// A message as a server sent it: tags and data are the JSON text that came.
#[cfg(feature = "remote")]
#[derive(Clone, Debug, Default)]
struct Envelope {
    seq: u64,
    time: Timestamp,
    tags: String,
    data: String,
}

impl Default for Content {
    fn default() -> Content {
        Content::Frame(Frame::default())
    }
}

impl Message {
    /// The buffer that a frame is read into; whatever the message was before, it is that frame then.
    pub(super) fn frame_mut(&mut self) -> &mut Frame {
        let content = &mut self.content;
        #[cfg(feature = "remote")]
        if let Content::Envelope(_) = content {
            *content = Content::default();
        }
        match content {
            Content::Frame(frame) => frame,
            #[cfg(feature = "remote")]
            Content::Envelope(_) => unreachable!("an envelope was replaced above"),
        }
    }

    /// The tags and the data as they are stored.
    pub(super) fn stored(&self) -> (&[u8], &[u8]) {
        match &self.content {
            Content::Frame(frame) => (frame.tags(), frame.data()),
            #[cfg(feature = "remote")]
            Content::Envelope(_) => (self.tags_json().as_bytes(), self.data_json().as_bytes()),
        }
    }

    /// The positions that the message takes in its pool, which are never given twice; nothing if it came from elsewhere.
    pub(super) fn place(&self) -> Option<std::ops::Range<u64>> {
        match &self.content {
            Content::Frame(frame) => frame.header().map(|header| header.position..header.end()),
            #[cfg(feature = "remote")]
            Content::Envelope(_) => None,
        }
    }

    /// Becomes the message of an envelope. `tags` is a JSON array and `data` a JSON value, both kept to the byte.
    #[cfg(feature = "remote")]
    pub(crate) fn set_envelope(&mut self, seq: u64, time: Timestamp, tags: &str, data: &str) {
        let mut envelope = match std::mem::take(&mut self.content) {
            Content::Envelope(envelope) => envelope,
            Content::Frame(_) => Envelope::default(),
        };
        (envelope.seq, envelope.time) = (seq, time);
        for (into, text) in [(&mut envelope.tags, tags), (&mut envelope.data, data)] {
            into.clear();
            into.push_str(text);
        }
        self.content = Content::Envelope(envelope);
    }

    /// The message's number in its pool, from 1 on.
    pub fn seq(&self) -> u64 {
        match &self.content {
            Content::Frame(frame) => frame.header().map_or(0, |header| header.seq),
            #[cfg(feature = "remote")]
            Content::Envelope(envelope) => envelope.seq,
        }
    }

    /// When it was appended.
    pub fn time(&self) -> Timestamp {
        match &self.content {
            Content::Frame(frame) => Timestamp(frame.header().map_or(0, |header| header.time)),
            #[cfg(feature = "remote")]
            Content::Envelope(envelope) => envelope.time,
        }
    }

    /// The tags, in the order in which they were given.
    pub fn tags(&self) -> Vec<String> {
        serde_json::from_str(self.tags_json()).unwrap_or_default()
    }

    /// The tags as a JSON array.
    pub fn tags_json(&self) -> &str {
        let tags = match &self.content {
            Content::Frame(frame) => text(frame.tags()),
            #[cfg(feature = "remote")]
            Content::Envelope(envelope) => &envelope.tags,
        };
        if tags.is_empty() { "[]" } else { tags }
    }

    /// The data, as JSON text.
    pub fn data_json(&self) -> &str {
        let data = match &self.content {
            Content::Frame(frame) => text(frame.data()),
            #[cfg(feature = "remote")]
            Content::Envelope(envelope) => &envelope.data,
        };
        if data.is_empty() { "null" } else { data }
    }

    /// The data, decoded.
    ///
    /// # Errors
    ///
    /// `Usage` if the data does not have the shape of a `T`.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_str(self.data_json()).map_err(|cause| {
            Error::new(
                ErrorKind::Usage,
                format!(
                    "the data of message {} does not have the shape that was asked for",
                    self.seq()
                ),
            )
            .hint("decode it into another type, or into `serde_json::Value`")
            .seq(self.seq())
            .caused_by(cause)
        })
    }

    /// Appends the envelope to `out`: one line of JSON, without the line's end.
    pub fn write_envelope(&self, out: &mut Vec<u8>) {
        crate::wire::write_envelope(
            self.seq(),
            self.time(),
            self.tags_json(),
            self.data_json(),
            out,
        );
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::wire::serialize_envelope(self, serializer)
    }
}

/// Text that was checked when it went in, and against its checksum when it came out.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_with_nine_decimals_in_utc() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(
            Timestamp(1_795_480_064_105_076_723).to_string(),
            "2026-11-24T00:27:44.105076723Z"
        );
        assert_eq!(
            Timestamp(u64::MAX).to_string(),
            "2554-07-21T23:34:33.709551615Z"
        );
    }

    /// Guards against the date of another second, and against decimals that are not nine.
    #[test]
    fn a_time_is_shown_the_same_whatever_was_shown_before() {
        let second = 1_795_480_064;
        for (time, shown) in [
            (second * NANOS, "2026-11-24T00:27:44.000000000Z"),
            (second * NANOS + 7, "2026-11-24T00:27:44.000000007Z"),
            ((second + 1) * NANOS - 1, "2026-11-24T00:27:44.999999999Z"),
            ((second + 1) * NANOS, "2026-11-24T00:27:45.000000000Z"),
            (second * NANOS + 10, "2026-11-24T00:27:44.000000010Z"),
            (0, "1970-01-01T00:00:00.000000000Z"),
            (999_999_999, "1970-01-01T00:00:00.999999999Z"),
        ] {
            assert_eq!(Timestamp(time).to_string(), shown);
            let jiff = jiff::Timestamp::from_nanosecond(time.into()).unwrap();
            assert_eq!(format!("{jiff:.9}"), shown);
        }
    }

    #[test]
    fn a_time_is_read_with_any_offset() {
        let read = |text: &str| text.parse::<Timestamp>();
        assert_eq!(
            read("1970-01-01T01:00:00.5+01:00").unwrap(),
            Timestamp(500_000_000)
        );
        for bad in [
            "",
            "yesterday",
            "1969-12-31T23:59:59Z",
            "3000-01-01T00:00:00Z",
        ] {
            assert_eq!(read(bad).unwrap_err().kind(), ErrorKind::Usage, "{bad}");
        }
    }
}
