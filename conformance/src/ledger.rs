//! What holds for every observation, whatever a case expects of it.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use crate::message;
use crate::surface::CODES;

/// What is known of the messages of each pool of a case.
#[derive(Default)]
pub(crate) struct Ledger {
    pools: BTreeMap<String, Pool>,
}

#[derive(Default)]
struct Pool {
    messages: BTreeMap<u64, Known>,
    /// Its file was tampered with: nothing is known of it any more.
    touched: bool,
}

struct Known {
    time: String,
    tags: Value,
    /// As text; not known of a receipt whose request another actor made.
    data: Option<String>,
}

impl Ledger {
    /// The pool begins anew, or is gone.
    pub(crate) fn forget(&mut self, pool: &str) {
        self.pools.remove(pool);
    }

    /// From here on the case has its hand in the file.
    pub(crate) fn touch(&mut self, pool: &str) {
        self.pools.entry(pool.to_owned()).or_default().touched = true;
    }

    pub(crate) fn touch_all(&mut self) {
        for pool in self.pools.values_mut() {
            pool.touched = true;
        }
    }

    /// The newest time that is known of a pool.
    fn newest_time(&self, pool: &str) -> Option<&str> {
        let pool = self.pools.get(pool)?;
        pool.messages
            .last_key_value()
            .map(|(_, known)| known.time.as_str())
    }

    /// A receipt, with the times before the request and after the answer.
    pub(crate) fn receipt(
        &mut self,
        pool: &str,
        receipt: &Value,
        data: Option<&str>,
        (before, after): (&str, &str),
    ) -> Result<()> {
        let time = receipt["time"].as_str().unwrap_or_default();
        ensure!(
            message::is_time(time),
            "a receipt's time is {time:?} (MSG-4)"
        );
        let untouched = !self.pools.get(pool).is_some_and(|pool| pool.touched);
        if untouched && !(before <= time && time <= after) {
            let newest = self.newest_time(pool).unwrap_or_default();
            ensure!(
                time == newest && time > after
                    || newest > before && newest <= time && time <= after,
                "a receipt's time is {time}, of a request between {before} and {after}"
            );
        }
        self.message(
            pool,
            receipt["seq"].as_u64(),
            time,
            &receipt["tags"],
            data.map(message::compact),
        )?;
        Ok(())
    }

    /// A receipt with a time that was asked for.
    pub(crate) fn stamped(
        &mut self,
        pool: &str,
        receipt: &Value,
        data: Option<&str>,
    ) -> Result<()> {
        let time = receipt["time"].as_str().unwrap_or_default().to_owned();
        self.message(
            pool,
            receipt["seq"].as_u64(),
            &time,
            &receipt["tags"],
            data.map(message::compact),
        )
    }

    /// A message that was read, in the form of the patterns.
    pub(crate) fn read(&mut self, pool: &str, read: &Value) -> Result<()> {
        let time = read["time"].as_str().unwrap_or_default();
        let data = read["data"].as_str().map(str::to_owned);
        self.message(pool, read["seq"].as_u64(), time, &read["tags"], data)
    }

    fn message(
        &mut self,
        pool: &str,
        seq: Option<u64>,
        time: &str,
        tags: &Value,
        data: Option<String>,
    ) -> Result<()> {
        let Some(seq) = seq else {
            bail!("`seq` is no whole number");
        };
        let pool = self.pools.entry(pool.to_owned()).or_default();
        if pool.touched {
            return Ok(());
        }
        ensure!(seq > 0, "a message of seq 0 (MSG-2)");
        if let Some(known) = pool.messages.get_mut(&seq) {
            ensure!(
                known.time == time,
                "message {seq} has time {time}, and had {}",
                known.time
            );
            ensure!(
                known.tags == *tags,
                "message {seq} has tags {tags}, and had {}",
                known.tags
            );
            match (&known.data, data) {
                (Some(known), Some(data)) => {
                    ensure!(
                        *known == data,
                        "message {seq} is {}, and was {}",
                        cut(&data),
                        cut(known)
                    );
                }
                (None, data) => known.data = data,
                _ => {}
            }
            return Ok(());
        }
        if let Some((before, known)) = pool.messages.range(..seq).next_back() {
            ensure!(
                known.time.as_str() <= time,
                "message {seq} has time {time}, message {before} has {} (MSG-5)",
                known.time
            );
        }
        if let Some((after, known)) = pool.messages.range(seq..).next() {
            ensure!(
                time <= known.time.as_str(),
                "message {seq} has time {time}, message {after} has {} (MSG-5)",
                known.time
            );
        }
        pool.messages.insert(
            seq,
            Known {
                time: time.to_owned(),
                tags: tags.clone(),
                data,
            },
        );
        Ok(())
    }
}

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

/// An error body, and the code that came with it.
pub(crate) fn check_error(error: &Value, code: Option<&Value>, by_http: bool) -> Result<()> {
    let kind = error["kind"].as_str().unwrap_or_default();
    let Some((_, number, statuses)) = CODES.iter().find(|(name, ..)| *name == kind) else {
        bail!("no kind of error: {error} (ERR-4)");
    };
    let message = error["message"].as_str().unwrap_or_default();
    ensure!(
        !message.is_empty(),
        "an error without a message: {error} (ERR-4)"
    );
    let hinted = error["hint"].as_str().is_some_and(|hint| !hint.is_empty());
    ensure!(
        hinted || kind == "Internal",
        "an error without a hint: {error} (ERR-6)"
    );
    for name in ["seq", "offset"] {
        let whole = error.get(name).is_none_or(Value::is_u64);
        ensure!(whole, "`{name}` is no whole number: {error} (ERR-10)");
    }
    ensure!(
        error.get("path").is_none_or(Value::is_string),
        "`path` is no string: {error} (ERR-9)"
    );
    let causes = error.get("causes").is_none_or(|causes| {
        causes
            .as_array()
            .is_some_and(|all| !all.is_empty() && all.iter().all(Value::is_string))
    });
    ensure!(causes, "`causes` is no array of strings: {error} (ERR-11)");
    let code = code.and_then(Value::as_u64);
    let holds = code.is_some_and(|code| code == *number || by_http && statuses.contains(&code));
    ensure!(holds, "{kind} came with code {code:?} (ERR-1, HTTP-5)");
    Ok(())
}

/// A PoolInfo whose parts have to be of one moment (INFO-5, INFO-7, INFO-12).
pub(crate) fn check_info(info: &Value) -> Result<()> {
    let (metrics, bounds) = (&info["metrics"], &info["bounds"]);
    let (count, span) = (
        metrics["message_count"].as_u64(),
        metrics["seq_span"].as_u64(),
    );
    let (Some(count), Some(span)) = (count, span) else {
        bail!("no count or no span: {metrics} (INFO-3)");
    };
    let age = &metrics["age"];
    match (bounds["oldest"].as_u64(), bounds["newest"].as_u64()) {
        (Some(oldest), Some(newest)) => {
            ensure!(
                oldest <= newest && span == newest - oldest + 1,
                "span {span} of {bounds} (INFO-5)"
            );
            ensure!(
                count >= 1 && count <= span,
                "{count} messages in a span of {span} (INFO-12)"
            );
            let (old, new) = (age["oldest_time"].as_str(), age["newest_time"].as_str());
            ensure!(old.is_some() && old <= new, "times of {age} (INFO-7)");
        }
        (None, None) => {
            ensure!(
                count == 0 && span == 0,
                "{count} messages, span {span}, without bounds (INFO-12)"
            );
            ensure!(
                age["oldest_time"].is_null(),
                "times of an empty pool: {age} (INFO-7)"
            );
        }
        _ => bail!("half of the bounds: {bounds} (LIST-4)"),
    }
    Ok(())
}

/// How far a tail has come.
pub(crate) struct Progress {
    /// The seq after the last one that was dealt with, where that is known.
    next: Option<u64>,
    /// No filter: every seq has to be delivered or reported missing.
    whole: bool,
}

impl Progress {
    pub(crate) fn new(start: Option<&Value>, filtered: bool) -> Progress {
        let seq = start
            .and_then(|start| start.get("seq"))
            .and_then(Value::as_u64);
        Progress {
            next: seq.map(|seq| seq.max(1)),
            whole: !filtered,
        }
    }

    /// Items in order, each once, nothing left out, and no gap that holds what was delivered.
    pub(crate) fn check(&mut self, items: &[Value]) -> Result<()> {
        for item in items {
            let (first, end) = match (&item["message"], &item["gap"]) {
                (Value::Object(message), Value::Null) => {
                    (message["seq"].as_u64(), message["seq"].as_u64())
                }
                (Value::Null, Value::Object(gap)) => {
                    let seq = |name: &str| gap.get(name).and_then(Value::as_u64);
                    (seq("first"), seq("last"))
                }
                _ => bail!("an item that is neither message nor gap: {item}"),
            };
            let (Some(first), Some(end)) = (first, end) else {
                bail!("an item without seqs: {item}");
            };
            if let Some(next) = self.next {
                ensure!(
                    first >= next && first <= end,
                    "{item} comes where seq {next} is due (TAIL-6, LOSS-2, LOSS-3)"
                );
                ensure!(
                    first == next || !self.whole,
                    "{item} comes where seq {next} is due (LOSS-1)"
                );
            }
            self.next = Some(end + 1);
        }
        Ok(())
    }
}
