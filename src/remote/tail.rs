//! Following a pool of a server, over as many connections as it takes.
//!
//! A stream may end at any moment: the network fails, the server restarts or has a limit on how long it streams. The
//! tail then asks for what comes after the last thing that it dealt with. What it has handed out is never handed out
//! again, and what is gone by then the server reports as a gap.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::time::{Duration, Instant};

use memchr::memchr;
use reqwest::Response;
use reqwest::header::HeaderMap;
use tokio::time::{sleep, timeout_at};

use super::answer::{Line, was_not_taken};
use super::client::RemotePool;
use crate::api::{EndReason, Gap, GapPolicy, Message, Next, Start, TailOptions, Timestamp};
use crate::{Error, ErrorKind, Result};

/// The first delay before connecting again; each further one is twice as long,
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// up to this. [REMOTE-4]
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// The longest line that is taken. A message that is longer is taken for a server gone wrong.
const LONGEST_LINE: usize = 1 << 30;
/// A buffer that grew beyond this for one message is not kept.
const KEPT_BUFFER: usize = 1 << 20;

/// A reader's place in a pool of a server.
pub struct RemoteTail {
    pool: RemotePool,
    options: TailOptions,
    /// Where to resume, once anything has come.
    next_seq: Option<u64>,
    delivered: u64,
    deadline: Option<Instant>,
    /// Why the tail ends once everything that is there now has come, when it is to.
    ending: Option<EndReason>,
    /// The UUID of the pool that the first stream was of.
    uuid: Option<String>,
    delay: Duration,
    link: Link,
    outcome: Option<Outcome>,
}

/// How the tail is connected.
enum Link {
    Pausing(Pin<Box<tokio::time::Sleep>>),
    /// Kept across reads that give up before it is done.
    Connecting(Pin<Box<dyn Future<Output = Result<Response>> + Send>>),
    Streaming(Stream),
}

struct Stream {
    response: Response,
    lines: Lines,
    /// Whether the last line said where to resume: a stream that ends after it was not cut off. [STREAM-14]
    is_complete: bool,
    /// Whether anything came that moved the tail forward.
    has_moved: bool,
    since: Instant,
}

enum Outcome {
    Ended(EndReason),
    Failed { kind: ErrorKind, message: String },
}

impl RemoteTail {
    pub(super) async fn open(pool: RemotePool, options: TailOptions) -> Result<RemoteTail> {
        let mut tail = RemoteTail {
            next_seq: match options.start {
                Start::Seq(seq) => Some(seq.max(1)),
                _ => None,
            },
            delivered: 0,
            deadline: options
                .timeout
                .and_then(|timeout| Instant::now().checked_add(timeout)),
            ending: (!options.follow).then_some(EndReason::CaughtUp),
            uuid: None,
            delay: FIRST_DELAY,
            link: Link::Pausing(Box::pin(sleep(Duration::ZERO))),
            outcome: None,
            pool,
            options,
        };
        if tail.options.start == Start::Newest {
            tail.next_seq = Some(tail.behind_newest().await?);
        }
        // The first connection has to be had: who starts to follow learns at once why it cannot be done.
        let response = tail.connect().await?;
        tail.check_pool(response.headers())?;
        tail.link = Link::Streaming(Stream::new(response));
        Ok(tail)
    }

    /// Waits for the next message, and puts it into `into`. May be given up at any time, and called again.
    ///
    /// # Errors
    ///
    /// As [`Tail::read`](crate::Tail::read); `NotFound` also for a pool that was created again while there was no
    /// connection [REMOTE-6]; `Permission` if the credential is no longer good; `Io` for a line that cannot be
    /// understood. A connection that is lost or cannot be had is no error: it is tried again. [REMOTE-4]
    pub async fn read(&mut self, into: &mut Message) -> Result<Next> {
        match &self.outcome {
            Some(Outcome::Ended(reason)) => return Ok(Next::End(*reason)),
            Some(Outcome::Failed { kind, message }) => {
                return Err(Error::new(*kind, message.clone())
                    .hint("this tail has ended; open another one to go on"));
            }
            None => {}
        }
        let next = self.advance(into).await;
        match &next {
            Ok(Next::End(reason)) => self.outcome = Some(Outcome::Ended(*reason)),
            Ok(_) => {}
            Err(error) => {
                let (kind, message) = (error.kind(), error.message().to_owned());
                self.outcome = Some(Outcome::Failed { kind, message });
            }
        }
        next
    }

    /// As [`read`](RemoteTail::read), but waits no longer than to `deadline`.
    ///
    /// # Errors
    ///
    /// As [`read`](RemoteTail::read).
    pub async fn read_before(&mut self, deadline: Instant, into: &mut Message) -> Result<Next> {
        match timeout_at(deadline.into(), self.read(into)).await {
            Ok(next) => next,
            Err(_) => Ok(Next::Idle),
        }
    }

    /// The seq to resume from, once it is known: a tail that starts there continues this one.
    pub fn next_seq(&self) -> Option<u64> {
        self.next_seq
    }

    async fn advance(&mut self, into: &mut Message) -> Result<Next> {
        loop {
            if self.options.max.is_some_and(|max| self.delivered >= max) {
                return Ok(Next::End(EndReason::Max));
            }
            let step = match self.deadline.filter(|_| self.ending.is_none()) {
                Some(deadline) => timeout_at(deadline.into(), self.step(into)).await,
                None => Ok(self.step(into).await),
            };
            match step {
                Ok(step) => match step? {
                    Some(Next::Message) if self.is_early(into) => self.delivered -= 1,
                    Some(next) => return Ok(next),
                    None => {}
                },
                // As for a local tail: what is there by now still comes.
                Err(_) => {
                    self.ending = Some(EndReason::Timeout);
                    self.reconnect();
                }
            }
        }
    }

    /// Whether the message is from before a start that was still to come, which a server no longer knows of once the
    /// tail has connected again. [TAIL-4]
    fn is_early(&self, message: &Message) -> bool {
        matches!(self.options.start, Start::Time(since) if message.time() < since)
    }

    /// One thing that happens; nothing that is the caller's, mostly. Loses nothing when it is given up.
    async fn step(&mut self, into: &mut Message) -> Result<Option<Next>> {
        match &mut self.link {
            Link::Pausing(pause) => {
                pause.as_mut().await;
                self.reconnect();
                Ok(None)
            }
            Link::Connecting(connecting) => {
                let connected = connecting.as_mut().await;
                self.connected(connected)?;
                Ok(None)
            }
            Link::Streaming(stream) => match stream.lines.next() {
                Some(line) => self.take(line, into),
                None => self.receive().await,
            },
        }
    }

    /// Waits for more of the stream, or for its end.
    async fn receive(&mut self) -> Result<Option<Next>> {
        let Link::Streaming(stream) = &mut self.link else {
            return Ok(None);
        };
        match stream.response.chunk().await {
            Ok(Some(chunk)) => {
                if stream.lines.push(&chunk) {
                    return Ok(None);
                }
                Err(self.not_understood())
            }
            Ok(None) if stream.is_complete => Ok(self.complete()),
            Ok(None) | Err(_) => {
                self.pause();
                Ok(None)
            }
        }
    }

    /// A stream came to its end. That may be the tail's, or no more than the end of what the server does at once.
    fn complete(&mut self) -> Option<Next> {
        if let Some(reason) = self.ending {
            return Some(Next::End(reason));
        }
        let has_come = |until| Timestamp::now() >= until;
        if self.options.until.is_some_and(has_come) {
            return Some(Next::End(EndReason::Until));
        }
        let has_moved = matches!(&self.link, Link::Streaming(stream) if stream.has_moved);
        match has_moved {
            true => self.reconnect(),
            // A server that ends streams as soon as they begin is not asked without pause.
            false => self.pause(),
        }
        None
    }

    /// Deals with one line of the stream.
    fn take(&mut self, line: Range<usize>, into: &mut Message) -> Result<Option<Next>> {
        let Link::Streaming(stream) = &mut self.link else {
            return Ok(None);
        };
        let text = stream.lines.text(line);
        let Ok(line) = serde_json::from_slice::<Line<'_>>(text) else {
            return Err(self.not_understood());
        };
        let expected = self.next_seq.unwrap_or(0);
        stream.is_complete = false;
        let next = match line {
            Line {
                seq: Some(seq),
                time: Some(time),
                meta: Some(meta),
                data: Some(data),
                ..
            } => {
                if seq < expected {
                    return Ok(None);
                }
                into.set_envelope(seq, time, meta.tags.get(), data.get());
                self.next_seq = Some(seq.saturating_add(1));
                self.delivered += 1;
                Next::Message
            }
            Line { gap: Some(gap), .. } => {
                let first = gap.first.max(expected);
                if first > gap.last {
                    return Ok(None);
                }
                self.next_seq = Some(gap.last.saturating_add(1));
                Next::Gap(Gap {
                    first,
                    last: gap.last,
                })
            }
            Line {
                next_seq: Some(seq),
                end,
                ..
            } => {
                // A sign of life, too: a stream that lasted is no reason to hesitate.
                stream.has_moved |= seq > expected || stream.since.elapsed() > LONGEST_DELAY;
                stream.is_complete = true;
                self.next_seq = Some(seq.max(expected));
                self.delay = FIRST_DELAY;
                return Ok(ending(end));
            }
            Line {
                error: Some(error), ..
            } => {
                return Err(error.into_error().unwrap_or_else(|| self.not_understood()));
            }
            _ => return Err(self.not_understood()),
        };
        stream.has_moved = true;
        self.delay = FIRST_DELAY;
        Ok(Some(next))
    }

    /// A connection was made, or could not be. Most failures pass.
    fn connected(&mut self, connected: Result<Response>) -> Result<()> {
        match connected {
            Ok(response) => {
                self.check_pool(response.headers())?;
                self.link = Link::Streaming(Stream::new(response));
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Err(self.replaced(
                "was deleted while there was no connection to the server",
                error,
            )),
            // The server, or something before it, may be on its way up again.
            Err(error) if error.kind() == ErrorKind::Io || was_not_taken(&error) => {
                self.pause();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Connects again, after a while.
    fn pause(&mut self) {
        self.link = Link::Pausing(Box::pin(sleep(self.delay)));
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
    }

    /// Connects again, now.
    fn reconnect(&mut self) {
        self.link = Link::Connecting(Box::pin(self.connect()));
    }

    fn connect(&self) -> impl Future<Output = Result<Response>> + Send + 'static {
        let pool = self.pool.clone();
        let query = self.query();
        async move {
            let request = pool.query(&["tail"], &query);
            pool.client().asked(None).head(request).await
        }
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let options = &self.options;
        let mut query = vec![("notices", "true".to_owned())];
        match (self.next_seq, options.start) {
            (Some(seq), _) => query.push(("since_seq", seq.to_string())),
            (None, Start::Last(count)) => query.push(("last", count.to_string())),
            (None, Start::Time(time)) => query.push(("since", time.to_string())),
            (None, Start::Newest) => query.push(("last", "0".to_owned())),
            (None, Start::Oldest | Start::Seq(_)) => {}
        }
        if let Some(until) = options.until {
            query.push(("until", until.to_string()));
        }
        if let Some(max) = options.max {
            query.push(("max", (max - self.delivered.min(max)).to_string()));
        }
        if self.ending.is_some() {
            // What is there, and no more.
            query.push(("timeout_ms", "0".to_owned()));
        }
        query.extend(options.tags.iter().map(|tag| ("tag", tag.clone())));
        if options.gap_policy == GapPolicy::Error {
            query.push(("gap_policy", "error".to_owned()));
        }
        query
    }

    /// The seq behind the newest message. What comes from now on has to come, also when the very first stream is lost.
    async fn behind_newest(&self) -> Result<u64> {
        let asked = self.pool.client().asked(None);
        let query = [("notices", "true"), ("last", "0"), ("timeout_ms", "0")]
            .map(|(name, value)| (name, value.to_owned()));
        let answer = asked.whole(self.pool.query(&["tail"], &query)).await?;
        let first = answer
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        match asked.parse::<Line<'_>>(first)? {
            Line {
                error: Some(error), ..
            } => Err(error.into_error().unwrap_or_else(|| asked.not_understood())),
            // A message that came just now: it is behind what was newest.
            Line { seq: Some(seq), .. }
            | Line {
                next_seq: Some(seq),
                ..
            } => Ok(seq),
            _ => Err(asked.not_understood()),
        }
    }

    /// Takes note of which pool this is, or checks that it still is. [REMOTE-6]
    fn check_pool(&mut self, headers: &HeaderMap) -> Result<()> {
        let told = headers
            .get("plasmite-pool")
            .and_then(|uuid| uuid.to_str().ok());
        match (&self.uuid, told) {
            (Some(uuid), Some(told)) if uuid != told => {
                let other = Error::new(
                    ErrorKind::NotFound,
                    format!("the pool there now is {told}, not {uuid}"),
                );
                Err(self.replaced(
                    "was deleted and created again while there was no connection to the server",
                    other,
                ))
            }
            (None, Some(told)) => {
                self.uuid = Some(told.to_owned());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn replaced(&self, what: &str, cause: Error) -> Error {
        Error::new(
            ErrorKind::NotFound,
            format!("the pool `{}` {what}", self.pool.name()),
        )
        .hint("follow it anew to see what the pool of that name holds now")
        .caused_by(cause)
    }

    fn not_understood(&self) -> Error {
        self.pool.client().asked(None).not_understood()
    }
}

/// The end that a line tells of. The other reasons are those of the server's patience, or known here anyway.
fn ending(told: Option<&str>) -> Option<Next> {
    (told == Some("until")).then_some(Next::End(EndReason::Until))
}

impl std::fmt::Debug for RemoteTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteTail")
            .field("pool", &self.pool)
            .field("next_seq", &self.next_seq)
            .finish_non_exhaustive()
    }
}

impl Stream {
    fn new(response: Response) -> Stream {
        Stream {
            response,
            lines: Lines::default(),
            is_complete: false,
            has_moved: false,
            since: Instant::now(),
        }
    }
}

/// Cuts what comes into lines. What is not yet a whole line waits, and is not looked at twice.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Where the first line that was not taken begins,
    begin: usize,
    /// and up to where it is known to have no end.
    searched: usize,
}

impl Lines {
    /// Adds bytes; `false` if a line gets longer than any may be.
    fn push(&mut self, bytes: &[u8]) -> bool {
        self.bytes.drain(..self.begin);
        self.searched -= self.begin;
        self.begin = 0;
        if self.bytes.is_empty() {
            self.bytes.shrink_to(KEPT_BUFFER);
        }
        self.bytes.extend_from_slice(bytes);
        self.bytes.len() <= LONGEST_LINE
    }

    /// Takes the next whole line, and says where it is.
    fn next(&mut self) -> Option<Range<usize>> {
        let Some(length) = memchr(b'\n', &self.bytes[self.searched..]) else {
            self.searched = self.bytes.len();
            return None;
        };
        let line = self.begin..self.searched + length;
        self.begin = line.end + 1;
        self.searched = self.begin;
        Some(line)
    }

    fn text(&self, line: Range<usize>) -> &[u8] {
        &self.bytes[line]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_they_come() {
        let text = b"one\ntwo\n\nthree\nfour";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            let mut found: Vec<Vec<u8>> = Vec::new();
            for piece in text.chunks(size) {
                assert!(lines.push(piece));
                while let Some(line) = lines.next() {
                    found.push(lines.text(line).to_vec());
                }
            }
            assert_eq!(
                found,
                [&b"one"[..], b"two", b"", b"three"],
                "in pieces of {size}"
            );
        }
    }
}
