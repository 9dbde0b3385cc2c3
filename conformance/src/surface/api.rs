//! The Rust library, in this process.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use plasmite::{
    Batch, Client, CreateOptions, Durability, EndReason, GapPolicy, Message, Next, Pool, PoolRef,
    Receipt, Tags, Tail, TailOptions, Timestamp,
};
use serde_json::{Value, json};

use super::answer::{self, Failure};
use super::tail::{Asked, Start};
use super::{PATIENCE, Request, Surface, data, number, text, texts, wanted};

pub(crate) struct Api {
    client: Client,
    pools: BTreeMap<String, Pool>,
    tails: BTreeMap<String, Tail>,
}

impl Api {
    pub(crate) fn new(pools: &Path) -> Api {
        Api {
            client: Client::new(pools),
            pools: BTreeMap::new(),
            tails: BTreeMap::new(),
        }
    }

    fn reference(request: &Request) -> Result<PoolRef, Failure> {
        Ok(PoolRef::parse(text(request, "pool")?)?)
    }

    /// The handle that is kept for the pool, opened when there is none.
    fn pool(&mut self, request: &Request) -> Result<Pool, Failure> {
        let name = text(request, "pool")?.to_owned();
        if let Some(pool) = self.pools.get(&name) {
            return Ok(pool.clone());
        }
        let pool = self.client.open_pool(&Api::reference(request)?)?;
        self.pools.insert(name, pool.clone());
        Ok(pool)
    }

    /// As a program would: a handle through which something failed is opened again by the next request.
    fn let_go_after(&mut self, request: &Request, answer: &Value) {
        if answer.get("error").is_some()
            && let Ok(name) = text(request, "pool")
        {
            self.pools.remove(name);
        }
    }

    fn pool_to_read(&mut self, request: &Request) -> Result<Pool, Failure> {
        match self.pools.get(text(request, "pool")?) {
            Some(_) => self.pool(request),
            None => Ok(self.client.open_pool_to_read(&Api::reference(request)?)?),
        }
    }

    fn do_it(&mut self, request: &Request) -> Result<Value, Failure> {
        match text(request, "op")? {
            "hello" => Ok(json!({"protocol": 1, "name": "plasmite api", "can": []})),
            "reset" | "reopen" => {
                self.tails.clear();
                self.pools.clear();
                Ok(json!({}))
            }
            "create" => {
                let pool = self
                    .client
                    .create_pool(&Api::reference(request)?, create_options(request))?;
                let info = json(&pool.info()?)?;
                self.pools.insert(text(request, "pool")?.to_owned(), pool);
                Ok(json!({"info": info}))
            }
            "info" => Ok(json!({"info": json(&self.pool_to_read(request)?.info()?)?})),
            "list" => Ok(json!({"pools": self.list()?})),
            "delete" => {
                self.client.delete_pool(&Api::reference(request)?)?;
                Ok(json!({}))
            }
            "append" => {
                let tags = Tags::new(texts(request, "tags"));
                let pool = self.pool(request)?;
                let receipt = pool.append_json(&data(request)?, &tags, durability(request)?)?;
                Ok(json!({"receipt": receipt_of(&receipt, &tags)}))
            }
            "append_batch" => self.append_batch(request),
            "get" => {
                let seq = number(request, "seq").context("no seq")?;
                Ok(json!({"message": envelope(&self.pool_to_read(request)?.get(seq)?)}))
            }
            "open_tail" => {
                let options = options(&Asked::read(request, true)?)?;
                let tail = self.pool_to_read(request)?.tail(options)?;
                self.tails.insert(text(request, "tail")?.to_owned(), tail);
                Ok(json!({}))
            }
            "close" => {
                let tail = self.tails.remove(text(request, "tail")?);
                let tail = tail.context("there is no such tail")?;
                tail.canceller().cancel();
                Ok(json!({}))
            }
            "verify" => {
                let report = self.client.verify_pool(&Api::reference(request)?)?;
                let issues = report.issues.iter().map(|issue| {
                    let mut shown = json!({"code": issue.code.name(), "message": issue.message});
                    for (name, value) in [("seq", issue.seq), ("offset", issue.offset)] {
                        if let Some(value) = value {
                            shown[name] = value.into();
                        }
                    }
                    shown
                });
                let sound = report.sound.iter();
                let sound = sound.map(|range| json!({"first": range.start(), "last": range.end()}));
                Ok(json!({"report": {
                    "status": if report.is_corrupt() { "corrupt" } else { "ok" },
                    "last_good_seq": report.last_good_seq,
                    "sound": sound.collect::<Vec<_>>(),
                    "issue_count": report.issues.len(),
                    "issues": issues.collect::<Vec<_>>(),
                }}))
            }
            _ => Err(Failure::Unimplemented),
        }
    }

    fn list(&self) -> Result<Vec<Value>, Failure> {
        let entries = self.client.list_pools()?;
        Ok(entries.iter().map(entry).collect())
    }

    fn append_batch(&mut self, request: &Request) -> Result<Value, Failure> {
        let pool = self.pool(request)?;
        let (batch, tags) = batch(request)?;
        let Some(stamps) = request.get("stamps").and_then(Value::as_array) else {
            let receipt = pool.append_batch(&batch, durability(request)?)?;
            return Ok(batch_answer(&receipt, &tags));
        };
        let stamps = stamps
            .iter()
            .map(|stamp| {
                let seq = stamp["seq"].as_u64().context("a stamp without seq")?;
                let time = stamp["time"].as_str().context("a stamp without time")?;
                Ok((seq, time.parse().map_err(|error| anyhow!("{error}"))?))
            })
            .collect::<anyhow::Result<Vec<(u64, Timestamp)>>>()?;
        let receipt = pool.append_batch_at(&batch, &stamps, durability(request)?)?;
        let receipts = stamps
            .iter()
            .zip(&tags)
            .map(|((seq, time), tags)| json!({"seq": seq, "time": time.to_string(), "tags": tags}));
        Ok(
            json!({"receipts": receipts.collect::<Vec<_>>(), "durability": receipt.durability.name()}),
        )
    }

    fn tail(&mut self, request: &Request) -> Value {
        let opened = (|| -> Result<Tail, Failure> {
            let options = options(&Asked::read(request, false)?)?;
            Ok(self.pool_to_read(request)?.tail(options)?)
        })();
        match opened {
            Ok(mut tail) => take(
                &mut |deadline, into| tail.read_before(deadline, into),
                (usize::MAX, None),
            ),
            Err(failure) => answer::of(Err(failure)),
        }
    }

    fn read(&mut self, request: &Request) -> Value {
        let tail = text(request, "tail")
            .ok()
            .and_then(|name| self.tails.get_mut(name));
        let Some(tail) = tail else {
            return answer::broken("there is no such tail");
        };
        take(
            &mut |deadline, into| tail.read_before(deadline, into),
            wanted(request),
        )
    }
}

impl Surface for Api {
    fn call(&mut self, request: &Request) -> Value {
        let answer = match text(request, "op") {
            Ok("tail") => self.tail(request),
            Ok("read") => self.read(request),
            _ => answer::of(self.do_it(request)),
        };
        self.let_go_after(request, &answer);
        answer
    }

    fn kill(&mut self) {
        self.tails.clear();
        self.pools.clear();
    }
}

/// Reads so many items, or up to the end.
pub(super) fn take(
    read: &mut dyn FnMut(Instant, &mut Message) -> plasmite::Result<Next>,
    (count, patience): (usize, Option<Duration>),
) -> Value {
    let deadline = Instant::now() + patience.unwrap_or(PATIENCE);
    let (mut items, mut message) = (Vec::new(), Message::default());
    while items.len() < count {
        match read(deadline, &mut message) {
            Ok(Next::Message) => items.push(json!({"message": envelope(&message)})),
            Ok(Next::Gap(gap)) => {
                items.push(json!({"gap": {"first": gap.first, "last": gap.last}}))
            }
            Ok(Next::Idle) if patience.is_some() => break,
            Ok(Next::Idle) => {
                return answer::broken(format!(
                    "waited for {count} items, came {}: {items:?}",
                    items.len()
                ));
            }
            Ok(Next::End(reason)) => {
                return answer::ok(json!({"items": items, "end": end(reason)}));
            }
            Err(error) => return answer::failed(&error, Some(items)),
        }
    }
    answer::ok(json!({"items": items}))
}

fn end(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Max => "max",
        EndReason::Timeout => "timeout",
        EndReason::Until => "until",
        EndReason::CaughtUp => "caught-up",
        EndReason::Cancelled => "cancelled",
        _ => "another reason",
    }
}

pub(super) fn envelope(message: &Message) -> String {
    let mut text = Vec::new();
    message.write_envelope(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

pub(super) fn entry(entry: &plasmite::PoolEntry) -> Value {
    let mut shown =
        json!({"name": entry.name, "path": entry.path, "file_size": entry.file_size, "bounds": {}});
    match &entry.bounds {
        Ok(bounds) => shown["bounds"] = serde_json::to_value(bounds).unwrap_or_default(),
        Err(error) => shown["error"] = answer::body(error),
    }
    shown
}

pub(super) fn create_options(request: &Request) -> CreateOptions {
    CreateOptions {
        size_bytes: number(request, "size_bytes"),
        index_capacity: number(request, "index_capacity"),
    }
}

pub(super) fn durability(request: &Request) -> Result<Durability, Failure> {
    match request.get("durability").and_then(Value::as_str) {
        Some(name) => Ok(name.parse()?),
        None => Ok(Durability::default()),
    }
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<Value, Failure> {
    Ok(serde_json::to_value(value).map_err(anyhow::Error::from)?)
}

/// The batch, and the tags of each message.
pub(super) fn batch(request: &Request) -> Result<(Batch, Vec<Vec<String>>), Failure> {
    let messages = request
        .get("messages")
        .and_then(Value::as_array)
        .context("no messages")?;
    let (mut batch, mut all_tags) = (Batch::new(), Vec::new());
    for message in messages {
        let message = message.as_object().context("a message is an object")?;
        let tags = texts(message, "tags");
        batch.push_json(&data(message)?, &Tags::new(&tags))?;
        all_tags.push(tags);
    }
    Ok((batch, all_tags))
}

pub(super) fn receipt_of(receipt: &Receipt, tags: &Tags) -> Value {
    let tags: Value = serde_json::from_str(tags.as_json()).unwrap_or_else(|_| json!([]));
    json!({
        "seq": receipt.last_seq,
        "time": receipt.time.to_string(),
        "tags": tags,
        "durability": receipt.durability.name(),
    })
}

pub(super) fn batch_answer(receipt: &Receipt, tags: &[Vec<String>]) -> Value {
    let seqs = receipt.first_seq..=receipt.last_seq;
    let receipts = seqs
        .zip(tags)
        .map(|(seq, tags)| json!({"seq": seq, "time": receipt.time.to_string(), "tags": tags}));
    json!({"receipts": receipts.collect::<Vec<_>>(), "durability": receipt.durability.name()})
}

pub(super) fn options(asked: &Asked) -> Result<TailOptions, Failure> {
    Ok(TailOptions {
        start: match &asked.start {
            Start::Oldest => plasmite::Start::Oldest,
            Start::Newest => plasmite::Start::Newest,
            Start::Seq(seq) => plasmite::Start::Seq(*seq),
            Start::Last(count) => plasmite::Start::Last(*count),
            Start::Time(time) => plasmite::Start::Time(time.parse()?),
        },
        until: asked.until.as_deref().map(str::parse).transpose()?,
        tags: asked.tags.clone(),
        max: asked.max,
        timeout: asked.timeout_ms.map(Duration::from_millis),
        follow: asked.follow,
        gap_policy: if asked.gap_is_error {
            GapPolicy::Error
        } else {
            GapPolicy::Continue
        },
        ..TailOptions::default()
    })
}
