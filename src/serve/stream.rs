//! Tails and events: one cursor per follower, and no more bytes in hand than one chunk.
//!
//! A chunk is made when the connection asks for it. A client that reads slowly asks rarely, and what was overwritten
//! by then is a gap, as for any reader that falls behind.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use futures_util::stream;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::answer::{Answer, Refusal};
use super::metrics::{Metrics, OpenTail};
use super::pools::OpenPool;
use crate::api::{EndReason, Gap, Message, Next, Tail, TailOptions};
use crate::{Error, Result, wire};

/// A chunk is sent once it has this many bytes, or there is nothing to add.
const CHUNK: usize = 64 * 1024;
/// So many messages that no filter lets through are looked at before other streams have their turn.
const STRIDE: u32 = 256;
/// The longest silence of a stream that says that it is alive. [STREAM-14] [SSE-5]
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often a stream looks by itself: for its end, and in case a change was not told.
const LOOK: Duration = Duration::from_secs(1);

/// How a stream is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One envelope a line.
    Lines {
        /// Whether lines that are no messages were asked for.
        notices: bool,
    },
    /// Server-sent events.
    Events,
}

/// What a stream holds for as long as it lasts.
pub(super) struct Held {
    /// The pool that is followed.
    pub(super) pool: Arc<OpenPool>,
    /// Its place among the concurrent tails, given back when the stream is dropped. [STREAM-16]
    #[expect(dead_code, reason = "held, not read")]
    pub(super) place: tokio::sync::OwnedSemaphorePermit,
    /// Where it shows in the metrics.
    pub(super) metrics: Arc<Metrics>,
    /// Becomes true when the server shuts down.
    pub(super) shutdown: watch::Receiver<bool>,
}

/// Starts a stream. What goes wrong before its first byte is the response's status. [STREAM-7]
pub(super) fn respond(held: Held, options: TailOptions, form: Form) -> Answer {
    let mut changes = held.pool.changes()?;
    changes.mark_unchanged();
    let tail = held.pool.pool.tail(options)?.with_stride(STRIDE);
    let open_tail = held
        .metrics
        .open_tail(held.pool.pool.clone(), tail.next_seq());
    let mut follower = Follower {
        tail,
        form,
        message: Message::default(),
        changes,
        open_tail,
        last_sent: Instant::now(),
        is_over: false,
        looked_at: 0,
        past: Instant::now(),
        held,
    };
    let first = follower.start()?;
    let chunks = stream::unfold((Some(first), follower), |(first, mut follower)| async {
        let chunk = match first.filter(|chunk| !chunk.is_empty()) {
            Some(chunk) => Some(chunk),
            None => follower.next_chunk().await,
        }?;
        Some((Ok::<_, Infallible>(Bytes::from(chunk)), (None, follower)))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    Ok(response)
}

struct Follower {
    tail: Tail,
    form: Form,
    message: Message,
    changes: watch::Receiver<()>,
    open_tail: OpenTail,
    last_sent: Instant,
    is_over: bool,
    /// Where the tail was when it last came to an end of what is there, or of its stride.
    looked_at: u64,
    /// A deadline that has passed, for reads that do not wait.
    past: Instant,
    held: Held,
}

impl Follower {
    /// What is there at once; a failure before anything else is the request's. [STREAM-8]
    fn start(&mut self) -> Result<Vec<u8>, Refusal> {
        let mut chunk = Vec::new();
        match self.fill(&mut chunk) {
            Err(error) if chunk.is_empty() => return Err(error.into()),
            Err(error) => self.fail(&error, &mut chunk),
            Ok(()) => {}
        }
        self.held.metrics.streamed(chunk.len());
        Ok(chunk)
    }

    /// The next bytes, once there are some; `None` at the end.
    async fn next_chunk(&mut self) -> Option<Vec<u8>> {
        let mut chunk = Vec::new();
        while !self.is_over {
            if let Err(error) = self.fill(&mut chunk) {
                self.fail(&error, &mut chunk);
            }
            if chunk.is_empty() && !self.is_over {
                self.beat(&mut chunk);
            }
            if !chunk.is_empty() {
                break;
            }
            if !self.is_over && !self.wait().await {
                self.end(None, &mut chunk);
            }
        }
        if chunk.is_empty() {
            return None;
        }
        self.last_sent = Instant::now();
        self.held.metrics.streamed(chunk.len());
        Some(chunk)
    }

    /// Adds what is there, up to one chunk.
    fn fill(&mut self, chunk: &mut Vec<u8>) -> Result<()> {
        while chunk.len() < CHUNK {
            let next = self.tail.read_before(self.past, &mut self.message)?;
            self.open_tail.is_at(self.tail.next_seq());
            match next {
                Next::Message => self.form.write_message(&self.message, chunk),
                Next::Gap(gap) => self.form.write_gap(gap, chunk),
                Next::Idle => break,
                Next::End(reason) => {
                    self.end(Some(reason), chunk);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits until there may be something to do; `false` once the server shuts down.
    async fn wait(&mut self) -> bool {
        if self.looked_at != self.tail.next_seq() {
            self.looked_at = self.tail.next_seq();
            yield_now().await;
            return true;
        }
        let look = self.tail.time_left().map_or(LOOK, |left| left.min(LOOK));
        let changes = &mut self.changes;
        let shutdown = &mut self.held.shutdown;
        tokio::select! {
            changed = changes.changed() => {
                // A waiter that is gone tells nothing: the stream then looks for itself.
                if changed.is_err() {
                    sleep(look).await;
                }
            }
            () = sleep(look) => {}
            // Only told once, and kept for later looks: the server shuts down.
            _ = shutdown.changed() => {}
        }
        !*self.held.shutdown.borrow()
    }

    /// Ends the stream: because the tail did, or because the server shuts down.
    fn end(&mut self, reason: Option<EndReason>, chunk: &mut Vec<u8>) {
        self.is_over = true;
        if let Form::Lines { notices: true } = self.form {
            write_end(self.tail.next_seq(), reason, chunk);
        }
    }

    fn fail(&mut self, error: &Error, chunk: &mut Vec<u8>) {
        self.is_over = true;
        self.form.write_failure(error, chunk);
    }

    /// Breaks a long silence, where the form has something to break it with.
    fn beat(&mut self, chunk: &mut Vec<u8>) {
        if self.last_sent.elapsed() < HEARTBEAT {
            return;
        }
        match self.form {
            Form::Lines { notices: true } => write_place(self.tail.next_seq(), chunk),
            Form::Lines { notices: false } => {}
            Form::Events => chunk.extend_from_slice(b":\n\n"),
        }
    }
}

impl Form {
    fn content_type(self) -> &'static str {
        match self {
            Form::Lines { .. } => "application/jsonl",
            Form::Events => "text/event-stream",
        }
    }

    fn write_message(self, message: &Message, out: &mut Vec<u8>) {
        match self {
            Form::Lines { .. } => {
                message.write_envelope(out);
                out.push(b'\n');
            }
            Form::Events => {
                out.extend_from_slice(format!("id: {}\ndata: ", message.seq()).as_bytes());
                message.write_envelope(out);
                out.extend_from_slice(b"\n\n");
            }
        }
    }

    fn write_gap(self, gap: Gap, out: &mut Vec<u8>) {
        let range = format!("{{\"first\":{},\"last\":{}}}", gap.first, gap.last);
        match self {
            Form::Lines { notices: false } => {}
            Form::Lines { notices: true } => {
                out.extend_from_slice(format!("{{\"gap\":{range}}}\n").as_bytes());
            }
            Form::Events => {
                let event = format!("id: {}\nevent: gap\ndata: {range}\n\n", gap.last);
                out.extend_from_slice(event.as_bytes());
            }
        }
    }

    fn write_failure(self, error: &Error, out: &mut Vec<u8>) {
        let body = serde_json::to_string(&wire::error_body(error)).unwrap_or_default();
        let text = match self {
            Form::Lines { .. } => format!("{body}\n"),
            Form::Events => format!("event: failure\ndata: {body}\n\n"),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// [STREAM-14] [STREAM-18]
fn write_end(next_seq: u64, reason: Option<EndReason>, out: &mut Vec<u8>) {
    let reason = match reason {
        Some(EndReason::Max) => "max",
        Some(EndReason::Timeout) => "timeout",
        Some(EndReason::Until) => "until",
        _ => return write_place(next_seq, out),
    };
    out.extend_from_slice(format!("{{\"next_seq\":{next_seq},\"end\":\"{reason}\"}}\n").as_bytes());
}

fn write_place(next_seq: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"next_seq\":{next_seq}}}\n").as_bytes());
}
