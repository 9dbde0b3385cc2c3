//! Envelopes, read from their text as strictly as MSG-1, MSG-4, MSG-7 and MSG-19 want them written.

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    seq: u64,
    time: String,
    meta: Meta,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    tags: Vec<String>,
}

/// What the patterns see of a message: `seq`, `time`, `tags`, and `data` as text.
pub(crate) fn parse(text: &str) -> Result<Value> {
    let envelope: Envelope<'_> =
        serde_json::from_str(text).with_context(|| format!("no envelope (MSG-1): {text}"))?;
    let Envelope {
        seq,
        time,
        meta,
        data,
    } = envelope;
    ensure!(
        !text.contains('\n'),
        "a line feed inside an envelope (MSG-19): {text}"
    );
    ensure!(is_time(&time), "`time` is not as MSG-4 says: {time}");
    let canonical = format!(r#"{{"seq":{seq},"time":"{time}","meta":{{"tags":"#);
    let order =
        text.starts_with(&canonical) && text.ends_with(&format!(r#","data":{}}}"#, data.get()));
    if !order {
        bail!("members are not in the order of MSG-1: {text}");
    }
    Ok(json!({"seq": seq, "time": time, "tags": meta.tags, "data": data.get()}))
}

/// `2026-11-24T00:27:44.105076723Z`
pub(crate) fn is_time(text: &str) -> bool {
    let form = b"dddd-dd-ddTdd:dd:dd.dddddddddZ";
    text.len() == form.len()
        && text.bytes().zip(form).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            other => byte == *other,
        })
}

/// JSON text without the white space outside its strings (MSG-9).
pub(crate) fn compact(text: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    text.chars()
        .filter(|&c| {
            if inside {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                inside = !ends;
                return true;
            }
            inside = c == '"';
            !matches!(c, ' ' | '\t' | '\n' | '\r')
        })
        .collect()
}
