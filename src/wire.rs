//! The JSON shapes that every surface shares.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use serde_json::value::RawValue;

use crate::api::{Bounds, Issue, Loss, Message, PoolEntry, Report, Salvaged, Timestamp};
use crate::core::error::Error;

/// Appends a message's envelope to `out`: `{"seq":...,"time":...,"meta":{"tags":[...]},"data":...}`, without the
/// line's end. Tags and data are JSON text, and copied as they are.
pub(crate) fn write_envelope(seq: u64, time: Timestamp, tags: &str, data: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"seq\":");
    push_decimal(seq, out);
    out.extend_from_slice(b",\"time\":\"");
    time.write(out);
    out.extend_from_slice(b"\",\"meta\":{\"tags\":");
    out.extend_from_slice(tags.as_bytes());
    out.extend_from_slice(b"},\"data\":");
    out.extend_from_slice(data.as_bytes());
    out.push(b'}');
}

/// Serialises a message's envelope. Under `serde_json` tags and data stay the exact text that they are.
pub(crate) fn serialize_envelope<S: Serializer>(
    message: &Message,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Meta<'a> {
        tags: &'a RawValue,
    }
    let raw = |text| serde_json::from_str::<&RawValue>(text).map_err(serde::ser::Error::custom);
    let mut envelope = serializer.serialize_struct("Envelope", 4)?;
    envelope.serialize_field("seq", &message.seq())?;
    envelope.serialize_field("time", &message.time())?;
    envelope.serialize_field(
        "meta",
        &Meta {
            tags: raw(message.tags_json())?,
        },
    )?;
    envelope.serialize_field("data", raw(message.data_json())?)?;
    envelope.end()
}

/// The pools of a directory: `{"pools":[...]}`.
#[derive(Debug, Serialize)]
pub struct PoolList {
    pools: Vec<ListedPool>,
}

impl PoolList {
    /// These pools, in this order.
    pub fn new(entries: &[PoolEntry]) -> PoolList {
        PoolList {
            pools: entries.iter().map(ListedPool::new).collect(),
        }
    }
}

/// A pool of a [`PoolList`]. One that cannot be read carries its error, and no bounds.
#[derive(Debug, Serialize)]
struct ListedPool {
    name: String,
    path: String,
    file_size: u64,
    mtime: Timestamp,
    bounds: Bounds,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorFields>,
}

impl ListedPool {
    fn new(entry: &PoolEntry) -> ListedPool {
        ListedPool {
            name: entry.name.clone(),
            path: entry.path.to_string_lossy().into_owned(),
            file_size: entry.file_size,
            mtime: entry.mtime,
            bounds: entry.bounds.as_ref().copied().unwrap_or_default(),
            error: entry.bounds.as_ref().err().map(error_fields),
        }
    }
}

/// How many issues of one pool are listed. A pool of noise has millions, and more of them say nothing new. [DOCTOR-9]
const LISTED_ISSUES: usize = 100;

/// What a check of a pool found: `{"status":...,"last_good_seq":...,"issue_count":...,"issues":[...]}`.
#[derive(Debug, Serialize)]
pub struct ReportBody {
    /// `ok` or `corrupt`.
    pub status: &'static str,
    /// The newest message up to which nothing is damaged.
    pub last_good_seq: Option<u64>,
    /// How many issues there are.
    pub issue_count: usize,
    /// The first of them.
    pub issues: Vec<IssueBody>,
}

/// An issue of a [`ReportBody`].
#[derive(Debug, Serialize)]
pub struct IssueBody {
    /// What kind of thing is wrong.
    pub code: &'static str,
    /// What is wrong, for people.
    pub message: String,
    /// The message concerned, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The byte offset in the file, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

impl ReportBody {
    /// What is reported of this.
    pub fn new(report: &Report) -> ReportBody {
        let listed = report.issues.iter().take(LISTED_ISSUES);
        ReportBody {
            status: if report.is_corrupt() { "corrupt" } else { "ok" },
            last_good_seq: report.last_good_seq,
            issue_count: report.issues.len(),
            issues: listed.map(IssueBody::new).collect(),
        }
    }
}

impl IssueBody {
    fn new(issue: &Issue) -> IssueBody {
        IssueBody {
            code: issue.code.name(),
            message: issue.message.clone(),
            seq: issue.seq,
            offset: issue.offset,
        }
    }
}

/// What a salvage saved and what is lost, in the order of the document.
#[derive(Debug, Serialize)]
pub struct SalvageBody<'a> {
    saved: SavedBody,
    lost: Vec<LossBody>,
    duplicates: Vec<DuplicateBody>,
    file_size: u64,
    index_capacity: u64,
    header_is_sound: bool,
    assumed: &'a [String],
}

/// What was saved.
#[derive(Debug, Serialize)]
struct SavedBody {
    messages: u64,
    bounds: Bounds,
}

/// Messages that are lost; a `null` seq is not known.
#[derive(Debug, Serialize)]
struct LossBody {
    first: Option<u64>,
    last: Option<u64>,
    offset: u64,
    bytes: u64,
    code: &'static str,
    message: &'static str,
}

/// A frame that claims the seq of another.
#[derive(Debug, Serialize)]
struct DuplicateBody {
    seq: u64,
    kept_offset: u64,
    dropped_offset: u64,
}

impl SalvageBody<'_> {
    /// What is reported of this.
    pub fn new(salvaged: &Salvaged) -> SalvageBody<'_> {
        let duplicates = salvaged.duplicates.iter().map(|twin| DuplicateBody {
            seq: twin.seq,
            kept_offset: twin.kept,
            dropped_offset: twin.dropped,
        });
        SalvageBody {
            saved: SavedBody {
                messages: salvaged.messages,
                bounds: salvaged.bounds,
            },
            lost: salvaged.losses.iter().map(LossBody::new).collect(),
            duplicates: duplicates.collect(),
            file_size: salvaged.file_size,
            index_capacity: salvaged.index_capacity,
            header_is_sound: salvaged.header_is_sound,
            assumed: &salvaged.assumed,
        }
    }
}

impl LossBody {
    fn new(loss: &Loss) -> LossBody {
        LossBody {
            first: loss.first_seq,
            last: loss.last_seq,
            offset: loss.offset,
            bytes: loss.bytes,
            code: loss.code.name(),
            message: loss.message,
        }
    }
}

/// The body that reports an error: `{"error":{"kind":...,"message":...}}`, the rest where known.
pub fn error_body(error: &Error) -> ErrorBody {
    ErrorBody {
        error: error_fields(error),
    }
}

/// What stands inside an [`error_body`], for places that hold an error in a field of their own.
pub fn error_fields(error: &Error) -> ErrorFields {
    ErrorFields {
        kind: error.kind().name(),
        message: error.message().to_owned(),
        hint: error.hint_text().map(str::to_owned),
        path: error
            .path_ref()
            .map(|path| path.to_string_lossy().into_owned()),
        seq: error.seq_value(),
        offset: error.offset_value(),
        causes: error.causes(),
    }
}

/// See [`error_body`].
#[derive(Debug, Serialize)]
pub struct ErrorBody {
    error: ErrorFields,
}

/// See [`error_fields`]. The order of the fields is the order on the wire.
#[derive(Debug, Serialize)]
pub struct ErrorFields {
    kind: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
}

/// Writes receipts, `{"seq":...,"time":...,"meta":{"tags":[...]},"durability":...}`, one line each.
///
/// Everything but the seq is the same for all messages of a batch and is put together once.
pub struct ReceiptWriter {
    rest: Vec<u8>,
}

impl ReceiptWriter {
    /// Receipts for messages that share `time` (RFC 3339), `tags` (a JSON array) and `durability`.
    pub fn new(time: &str, tags_json: &str, durability: &str) -> ReceiptWriter {
        let rest = format!(
            ",\"time\":\"{time}\",\"meta\":{{\"tags\":{tags_json}}},\"durability\":\"{durability}\"}}\n"
        );
        ReceiptWriter { rest: rest.into() }
    }

    /// Appends the receipt of message `seq`, with its newline, to `out`.
    pub fn write(&self, seq: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"seq\":");
        push_decimal(seq, out);
        out.extend_from_slice(&self.rest);
    }
}

/// Appends `number` in decimal, without the detour through the formatting machinery.
fn push_decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::error::ErrorKind;

    fn json(error: &Error) -> String {
        serde_json::to_string(&error_body(error)).expect("plain fields")
    }

    #[test]
    fn an_error_says_only_what_is_known() {
        let bare = Error::new(ErrorKind::Busy, "the pool is locked");
        assert_eq!(
            json(&bare),
            r#"{"error":{"kind":"Busy","message":"the pool is locked"}}"#
        );
    }

    #[test]
    fn a_report_counts_all_issues_and_lists_the_first_hundred() {
        let issue = |seq| Issue {
            code: crate::IssueCode::Payload,
            message: "bad".to_owned(),
            seq: Some(seq),
            offset: None,
        };
        let json = |issues: Vec<Issue>| {
            let report = Report {
                last_good_seq: Some(4),
                issues,
                ..Report::default()
            };
            serde_json::to_string(&ReportBody::new(&report)).expect("plain fields")
        };
        assert_eq!(
            json(vec![issue(5)]),
            r#"{"status":"corrupt","last_good_seq":4,"issue_count":1,"issues":[{"code":"payload","message":"bad","seq":5}]}"#
        );
        assert_eq!(
            json(Vec::new()),
            r#"{"status":"ok","last_good_seq":4,"issue_count":0,"issues":[]}"#
        );
        let many = json((1..=101).map(issue).collect());
        assert!(many.contains(r#""issue_count":101"#));
        assert!(many.contains(r#""seq":100}]"#));
    }

    #[test]
    fn the_fields_of_an_error_come_in_the_order_of_the_contract() {
        let full = Error::new(ErrorKind::Io, "cannot sync")
            .offset(7)
            .seq(99)
            .path("/p")
            .hint("look at the disk")
            .caused_by(std::io::Error::other("no space"));
        assert_eq!(
            json(&full),
            r#"{"error":{"kind":"Io","message":"cannot sync","hint":"look at the disk","path":"/p","seq":99,"offset":7,"causes":["no space"]}}"#
        );
    }

    #[test]
    fn an_envelope_is_the_same_text_from_either_hand() {
        let message = Message::default();
        let mut out = Vec::new();
        let (tags, data) = (message.tags_json(), message.data_json());
        write_envelope(message.seq(), message.time(), tags, data, &mut out);
        let expected =
            r#"{"seq":0,"time":"1970-01-01T00:00:00.000000000Z","meta":{"tags":[]},"data":null}"#;
        assert_eq!(String::from_utf8_lossy(&out), expected);
        let mut serializer = serde_json::Serializer::new(Vec::new());
        serialize_envelope(&message, &mut serializer).expect("plain fields");
        assert_eq!(serializer.into_inner(), expected.as_bytes());
    }

    #[test]
    fn a_receipt_is_one_line_of_json() {
        let mut out = Vec::new();
        let receipts = ReceiptWriter::new("2026-11-24T00:27:44.105076723Z", r#"["a"]"#, "fast");
        for seq in [1, 10, u64::MAX] {
            receipts.write(seq, &mut out);
        }
        let rest = r#","time":"2026-11-24T00:27:44.105076723Z","meta":{"tags":["a"]},"durability":"fast"}"#;
        let expected = format!(
            "{{\"seq\":1{rest}\n{{\"seq\":10{rest}\n{{\"seq\":18446744073709551615{rest}\n"
        );
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
