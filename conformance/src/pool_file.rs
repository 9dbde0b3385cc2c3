//! The runner's own reader of pool files, written from `spec/format` and from nothing else: the offsets are those of
//! its tables.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, Result, bail, ensure};
use crc32c::{crc32c, crc32c_append};
use serde_json::{Map, Value, json};

const SPEC: &str = include_str!("../../spec/format/SPEC.md");

static HEADER: LazyLock<Fields> = LazyLock::new(|| {
    fields(&[
        "## 3. Header: the immutable part",
        "## 5. Header: control words",
    ])
});
static FRAME: LazyLock<Fields> = LazyLock::new(|| fields(&["## 8. Frame"]));

/// Offset and size of each field, by name.
type Fields = BTreeMap<String, (u64, u64)>;

/// The rows `| offset | size | name | meaning |` of the first table below each heading.
fn fields(headings: &[&str]) -> Fields {
    let mut found = Fields::new();
    for heading in headings {
        let section = SPEC
            .split(heading)
            .nth(1)
            .expect("a heading of spec/format");
        let rows = section
            .lines()
            .skip_while(|line| !line.starts_with("| offset"));
        for row in rows.skip(2).take_while(|line| line.starts_with('|')) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            if let (Ok(offset), Ok(size)) = (cells[1].parse(), cells[2].parse()) {
                found.insert(cells[3].to_owned(), (offset, size));
            }
        }
    }
    found
}

/// The bytes of a pool file at one moment.
struct Image(Vec<u8>);

/// A frame that was come to by walking.
struct Frame {
    position: u64,
    bytes: Vec<u8>,
}

impl Image {
    fn read(path: &Path) -> Result<Image> {
        Ok(Image(fs::read(path).with_context(|| {
            format!("cannot read {}", path.display())
        })?))
    }

    fn number(&self, offset: u64, size: u64) -> Result<u64> {
        let bytes = self
            .0
            .get(offset as usize..(offset + size) as usize)
            .context("beyond the file's end")?;
        Ok(little_endian(bytes))
    }

    fn field(&self, name: &str) -> Result<u64> {
        let &(offset, size) = HEADER
            .get(name)
            .with_context(|| format!("the header has no field {name}"))?;
        self.number(offset, size.min(8))
    }

    /// `length` bytes of the ring from a position on (RING-2, RING-3).
    fn ring(&self, position: u64, length: u64) -> Result<Vec<u8>> {
        let (offset, size) = (self.field("ring_offset")?, self.field("ring_size")?);
        ensure!(size > 0 && length <= size, "a frame longer than the ring");
        (position..position + length)
            .map(|at| {
                self.0
                    .get((offset + at % size) as usize)
                    .copied()
                    .context("beyond the file's end")
            })
            .collect()
    }

    fn frame(&self, position: u64) -> Result<Frame> {
        let header = self.ring(position, 48)?;
        let padded = |at: usize| {
            u64::from(u32::from_le_bytes([
                header[at],
                header[at + 1],
                header[at + 2],
                header[at + 3],
            ]))
            .next_multiple_of(8)
        };
        let length = 48 + padded(24) + padded(28);
        Ok(Frame {
            position,
            bytes: self.ring(position, length)?,
        })
    }

    /// The frames from `oldest` to `last`.
    fn frames(&self) -> Result<Vec<Frame>> {
        let (mut at, last) = (self.field("oldest")?, self.field("last")?);
        let mut frames = Vec::new();
        loop {
            let frame = self.frame(at)?;
            let next = at + frame.bytes.len() as u64;
            frames.push(frame);
            if at == last {
                return Ok(frames);
            }
            ensure!(
                next <= last,
                "the frame at {at} ends beyond `last` (RING-4)"
            );
            at = next;
        }
    }
}

impl Frame {
    fn field(&self, name: &str) -> u64 {
        let (offset, size) = FRAME[name];
        little_endian(&self.bytes[offset as usize..(offset + size) as usize])
    }

    fn sections(&self) -> (&[u8], &[u8], Vec<u8>) {
        let (tags, data) = (
            self.field("frame_tags_len") as usize,
            self.field("frame_data_len") as usize,
        );
        let data_at = 48 + tags.next_multiple_of(8);
        let padding = [
            &self.bytes[48 + tags..data_at],
            &self.bytes[data_at + data..],
        ]
        .concat();
        (
            &self.bytes[48..48 + tags],
            &self.bytes[data_at..data_at + data],
            padding,
        )
    }

    fn header_crc(&self) -> u64 {
        let mut tail = self.bytes[44..48].to_vec();
        tail[0] = 2;
        u64::from(crc32c_append(crc32c(&self.bytes[..40]), &tail))
    }

    fn payload_crc(&self) -> u64 {
        if self.bytes.len() == 48 {
            0
        } else {
            u64::from(crc32c(&self.bytes[48..]))
        }
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Holds a file that nobody is writing to against every clause of `spec/format` that its bytes can show.
pub(crate) fn inspect(path: &Path) -> Result<Value> {
    let image = Image::read(path)?;
    immutable_part(&image)?;
    control_words(&image)?;
    let frames = image.frames()?;
    let mut before: Option<&Frame> = None;
    for frame in &frames {
        check_frame(&image, frame, before)
            .with_context(|| format!("frame at position {}", frame.position))?;
        before = Some(frame);
    }
    let holes = frames
        .iter()
        .filter(|frame| frame.field("frame_flags") & 1 != 0);
    if let Some(hole) = holes.map(|frame| frame.position).max() {
        ensure!(
            image.field("newest_hole")? >= hole,
            "`newest_hole` is below a hole (CTRL-8)"
        );
    }
    index(&image)?;
    let messages = || frames.iter().filter(|frame| frame.field("frame_seq") > 0);
    Ok(json!({
        "fields": HEADER.keys().map(|name| Ok((name.clone(), image.field(name)?.into()))).collect::<Result<Map<_, _>>>()?,
        "oldest": messages().next().map(|frame| frame.field("frame_seq")),
        "newest": messages().next_back().map(|frame| frame.field("frame_seq")),
        "frames": messages().map(shown).collect::<Vec<_>>(),
    }))
}

fn shown(frame: &Frame) -> Value {
    let (tags, data, _) = frame.sections();
    json!({
        "seq": frame.field("frame_seq"),
        "position": frame.position,
        "length": frame.bytes.len(),
        "flags": frame.field("frame_flags"),
        "tags": String::from_utf8_lossy(tags),
        "data": String::from_utf8_lossy(data),
    })
}

fn immutable_part(image: &Image) -> Result<()> {
    ensure!(image.0.len() >= 4096, "shorter than a header (HEAD-4)");
    ensure!(&image.0[..4] == b"PLSM", "no magic (HEAD-4)");
    ensure!(image.number(4, 4)? == 4, "not format version 4 (HEAD-5)");
    ensure!(
        image.field("endianness")? == 0x0102_0304_0506_0708,
        "endianness (HEAD-6)"
    );
    ensure!(
        image.field("immutable_crc")? == u64::from(crc32c(&image.0[..504])),
        "immutable_crc (HEAD-3)"
    );
    ensure!(
        image.0[22] >> 4 == 4 && image.0[24] >> 6 == 2,
        "not a UUID of version 4 (HEAD-2)"
    );
    let zeros = [
        80..504,
        1096..1152,
        1160..1216,
        1224..1280,
        1296..1344,
        1352..4096,
    ];
    ensure!(
        zeros
            .into_iter()
            .all(|range| image.0[range].iter().all(|byte| *byte == 0)),
        "reserved bytes are not zero (HEAD-7)"
    );
    let (size, slots) = (image.field("file_size")?, image.field("index_capacity")?);
    ensure!(
        size == image.0.len() as u64 && size >= 65536,
        "file_size (DIM-1, HEAD-6)"
    );
    ensure!(image.field("index_offset")? == 4096, "index_offset (DIM-2)");
    ensure!(slots * 16 <= size / 2, "index_capacity (DIM-3)");
    ensure!(
        image.field("ring_offset")? == 4096 + slots * 16,
        "ring_offset (DIM-5)"
    );
    ensure!(
        image.field("ring_size")? == (size - 4096 - slots * 16) / 8 * 8,
        "ring_size (DIM-6)"
    );
    Ok(())
}

fn control_words(image: &Image) -> Result<()> {
    let [intent, last, oldest] = ["intent", "last", "oldest"].map(|name| image.field(name));
    let (intent, last, oldest) = (intent?, last?, oldest?);
    ensure!(
        oldest <= last && last < intent && intent - oldest <= image.field("ring_size")?,
        "oldest {oldest}, last {last}, intent {intent} (CTRL-4)"
    );
    ensure!(image.field("deleted")? == 0, "`deleted` is not zero");
    let mut newest = 0;
    for name in ["checkpoints[0]", "checkpoints[1]"] {
        let at = HEADER[name].0;
        let (position, crc) = (image.number(at, 8)?, image.number(at + 16, 8)?);
        if crc == u64::from(crc32c(&image.0[at as usize..at as usize + 16])) {
            newest = newest.max(position);
        }
    }
    ensure!(
        newest > 0 && newest <= last,
        "no checkpoint that is present, or one beyond `last` (CTRL-1)"
    );
    let at = HEADER["seq_floor"].0;
    let (floor, crc) = (image.number(at, 8)?, image.number(at + 8, 8)?);
    ensure!(
        floor == 0 || crc == u64::from(crc32c(&image.0[at as usize..at as usize + 8])),
        "seq floor (CTRL-2)"
    );
    Ok(())
}

fn check_frame(image: &Image, frame: &Frame, before: Option<&Frame>) -> Result<()> {
    let ring = image.field("ring_size")?;
    let (tags, data, padding) = frame.sections();
    ensure!(
        frame.position.is_multiple_of(8) && frame.position >= ring,
        "position (RING-1)"
    );
    ensure!(
        frame.field("frame_position") == frame.position,
        "its own position (FRAME-13)"
    );
    ensure!(
        frame.bytes.len() as u64 <= ring / 2 / 8 * 8,
        "length (RING-5)"
    );
    ensure!(
        frame.field("frame_header_crc") == frame.header_crc(),
        "header CRC (FRAME-8)"
    );
    ensure!(
        frame.field("frame_payload_crc") == frame.payload_crc(),
        "payload CRC (FRAME-7)"
    );
    ensure!(
        frame.field("frame_state") == 2 && frame.field("frame_mark") == 255,
        "state and mark (FRAME-13)"
    );
    ensure!(
        frame.field("frame_reserved") == 0 && frame.field("frame_flags") <= 3,
        "flags (FRAME-13)"
    );
    ensure!(padding.iter().all(|byte| *byte == 0), "padding (FRAME-4)");
    let seq = frame.field("frame_seq");
    ensure!(seq != u64::MAX, "seq (FRAME-13)");
    if seq == 0 {
        ensure!(
            frame.position == ring && frame.bytes.len() == 48,
            "genesis frame (FRAME-15)"
        );
        ensure!(
            frame.field("frame_link") == 0,
            "link of the genesis frame (FRAME-9)"
        );
    } else {
        let text = std::str::from_utf8(data).context("data (FRAME-6)")?;
        let json: serde_json::Result<&serde_json::value::RawValue> = serde_json::from_str(text);
        ensure!(
            json.is_ok() && crate::message::compact(text) == text,
            "data (FRAME-6): {text}"
        );
        if !tags.is_empty() {
            let parsed: Vec<String> = serde_json::from_slice(tags).context("tags (FRAME-5)")?;
            let text = String::from_utf8_lossy(tags);
            ensure!(
                !parsed.is_empty() && crate::message::compact(&text) == text,
                "tags (FRAME-5)"
            );
        }
    }
    let Some(before) = before else {
        return Ok(());
    };
    let hole = frame.field("frame_flags") & 1 != 0;
    let step = seq
        .checked_sub(before.field("frame_seq"))
        .context("seq goes back (FRAME-10)")?;
    ensure!(if hole { step > 1 } else { step == 1 }, "seq (FRAME-10)");
    ensure!(
        frame.field("frame_time") >= before.field("frame_time"),
        "time (FRAME-11)"
    );
    ensure!(
        frame.field("frame_link") == before.field("frame_header_crc"),
        "link (FRAME-9)"
    );
    Ok(())
}

fn index(image: &Image) -> Result<()> {
    let capacity = image.field("index_capacity")?;
    for slot in 0..capacity {
        let seq = image.number(4096 + slot * 16, 8)?;
        ensure!(
            seq == 0 || seq % capacity == slot,
            "slot {slot} holds seq {seq} (SLOT-1)"
        );
    }
    Ok(())
}

/// Changes bytes of a file, as the step `patch` says.
pub(crate) fn patch(path: &Path, step: &Map<String, Value>) -> Result<Value> {
    let at = step.get("at").context("a patch without `at`")?;
    let image = Image::read(path)?;
    let place = locate(&image, at)?;
    let old = image.number(place.offsets[0], 1)?;
    let bytes = match (step.get("value"), step.get("bytes"), step.get("flip")) {
        (Some(value), None, None) => {
            let value = value.as_u64().context("`value` is a whole number")?;
            value.to_le_bytes()[..place.offsets.len().min(8)].to_vec()
        }
        (None, Some(bytes), None) => from_hex(bytes.as_str().context("`bytes` is text")?)?,
        (None, None, Some(flip)) => {
            vec![(old ^ flip.as_u64().context("`flip` is a number")?) as u8]
        }
        _ => bail!("a patch has one of `value`, `bytes` and `flip`"),
    };
    let file = OpenOptions::new().write(true).open(path)?;
    for (i, byte) in bytes.iter().enumerate() {
        let offset = match place.offsets.get(i) {
            Some(offset) => *offset,
            None => {
                place.offsets.last().context("no place")? + (i - place.offsets.len() + 1) as u64
            }
        };
        file.write_all_at(&[*byte], offset)?;
    }
    if step.get("seal").and_then(Value::as_bool).unwrap_or(false) {
        seal(path, &place)?;
    }
    Ok(json!({}))
}

/// Bytes of the file, in the order of the field that they are; frames may go round the ring's end.
struct Located {
    offsets: Vec<u64>,
    frame: Option<u64>,
}

fn locate(image: &Image, at: &Value) -> Result<Located> {
    if let Some(name) = at.as_str() {
        let &(offset, size) = HEADER
            .get(name)
            .with_context(|| format!("the header has no field {name}"))?;
        return Ok(Located {
            offsets: (offset..offset + size).collect(),
            frame: None,
        });
    }
    let unsigned = |name: &str| at.get(name).and_then(Value::as_u64);
    let field = at.get("field").and_then(Value::as_str);
    if let Some(offset) = unsigned("offset") {
        let size = unsigned("size").unwrap_or(1);
        return Ok(Located {
            offsets: (offset..offset + size).collect(),
            frame: None,
        });
    }
    if let Some(seq) = unsigned("frame") {
        let frames = image.frames()?;
        let frame = frames.iter().find(|frame| frame.field("frame_seq") == seq);
        let frame = frame.with_context(|| format!("no frame of seq {seq} is retained"))?;
        let (start, size) = match (field, unsigned("byte")) {
            (Some(name), None) => *FRAME
                .get(name)
                .with_context(|| format!("a frame has no field {name}"))?,
            (None, Some(byte)) => (byte, 1),
            _ => bail!("of a frame, `field` or `byte` is patched"),
        };
        let (ring, length) = (image.field("ring_offset")?, image.field("ring_size")?);
        let offsets = (start..start + size).map(|byte| ring + (frame.position + byte) % length);
        return Ok(Located {
            offsets: offsets.collect(),
            frame: Some(frame.position),
        });
    }
    if let Some(slot) = unsigned("slot") {
        let start = 4096 + slot * 16 + if field == Some("position") { 8 } else { 0 };
        return Ok(Located {
            offsets: (start..start + 8).collect(),
            frame: None,
        });
    }
    let name = field.context("`at` is none of the places that there are")?;
    let &(offset, _) = HEADER
        .get(name)
        .with_context(|| format!("the header has no field {name}"))?;
    let start = offset + unsigned("byte").unwrap_or(0);
    Ok(Located {
        offsets: (start..start + 8).collect(),
        frame: None,
    })
}

/// Mends the checksum over what was changed.
fn seal(path: &Path, place: &Located) -> Result<()> {
    let image = Image::read(path)?;
    let file = OpenOptions::new().write(true).open(path)?;
    let Some(position) = place.frame else {
        let crc = u64::from(crc32c(&image.0[..504]));
        return Ok(file.write_all_at(&crc.to_le_bytes(), HEADER["immutable_crc"].0)?);
    };
    let (ring, length) = (image.field("ring_offset")?, image.field("ring_size")?);
    let mut frame = image.frame(position)?;
    let payload = (frame.payload_crc() as u32).to_le_bytes();
    frame.bytes[32..36].copy_from_slice(&payload);
    let header = (frame.header_crc() as u32).to_le_bytes();
    for (start, crc) in [(32, payload), (40, header)] {
        for (i, byte) in crc.iter().enumerate() {
            file.write_all_at(&[*byte], ring + (position + start + i as u64) % length)?;
        }
    }
    Ok(())
}

fn from_hex(text: &str) -> Result<Vec<u8>> {
    ensure!(
        text.len().is_multiple_of(2),
        "hexadecimal text of odd length"
    );
    (0..text.len())
        .step_by(2)
        .map(|i| {
            Ok(u8::from_str_radix(
                text.get(i..i + 2).context("not ASCII")?,
                16,
            )?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_read() {
        assert_eq!(HEADER["last"], (576, 8));
        assert_eq!(HEADER["immutable_crc"], (504, 8));
        assert_eq!(FRAME["frame_header_crc"], (40, 4));
        // The immutable part, the control words, and all that is reserved under one name.
        assert_eq!(HEADER.len(), 10 + 15 + 1);
    }
}
