//! What comes out: messages and their times.

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde::{Deserialize, de};
use serde_json::value::RawValue;

use crate::core::read::Frame;
use crate::{Error, ErrorKind, Result};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

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
        let seconds = self.0 / NANOS_PER_SECOND;
        let date = civil(seconds / 86_400);
        let of_day = seconds % 86_400;
        digits(out, date.0, 4);
        out.push(b'-');
        digits(out, date.1, 2);
        out.push(b'-');
        digits(out, date.2, 2);
        out.push(b'T');
        digits(out, of_day / 3600, 2);
        out.push(b':');
        digits(out, of_day / 60 % 60, 2);
        out.push(b':');
        digits(out, of_day % 60, 2);
        out.push(b'.');
        digits(out, self.0 % NANOS_PER_SECOND, 9);
        out.push(b'Z');
    }
}
