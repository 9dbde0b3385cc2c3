//! Streams: a tail, and a way to end it from another thread.

use std::ffi::c_char;
use std::mem::offset_of;
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::argument::{flag, gap_policy, sized, tags};
use super::buffer::plsm_buf_t;
use crate::{
    Canceller, EndReason, Error, ErrorKind, Message, Next, Pool, Result, Start, Tail, TailOptions,
    Timestamp,
};

/// Where a stream begins, what it delivers and when it ends. Set all of it to zero, then `struct_size`, then what you
/// want: members that are added later have no effect when they are zero.
///
/// Without any beginning it delivers all retained messages, then what comes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct plsm_stream_options_t {
    /// `sizeof(plsm_stream_options_t)`.
    pub struct_size: u32,
    /// `PLSM_GAP_CONTINUE` or `PLSM_GAP_ERROR`.
    pub gap_policy: u32,
    /// Begin at this seq, if `has_since` is 1. 0 means 1; one above the newest is waited for.
    pub since_seq: u64,
    /// End after so many messages, if `has_max` is 1.
    pub max_messages: u64,
    /// End so many milliseconds after the stream was opened, if `has_timeout` is 1.
    pub timeout_ms: u64,
    /// Whether `since_seq` counts.
    pub has_since: u32,
    /// Whether `max_messages` counts.
    pub has_max: u32,
    /// Whether `timeout_ms` counts.
    pub has_timeout: u32,
    /// Zero.
    pub reserved: u32,
    /// Begin at the first message of this time or later, in nanoseconds since 1970, if `has_since_time` is 1.
    pub since_time_ns: u64,
    /// Begin at the last so many messages, if `has_last` is 1.
    pub last_messages: u64,
    /// End before the first message of this time or later, in nanoseconds since 1970, if `has_until_time` is 1.
    pub until_time_ns: u64,
    /// Whether `since_time_ns` counts.
    pub has_since_time: u32,
    /// Whether `last_messages` counts.
    pub has_last: u32,
    /// Whether `until_time_ns` counts.
    pub has_until_time: u32,
    /// 1 to begin behind the newest message.
    pub from_newest: u32,
    /// 1 to end at the message that is the newest when the stream is opened, instead of waiting for more.
    pub no_follow: u32,
    /// 1 to look for messages from time to time instead of being woken by writers.
    pub poll_only: u32,
    /// Deliver only messages with all of these tags: so many pointers to text. May be null if `tag_count` is 0.
    pub tags: *const *const c_char,
    /// How many tags there are.
    pub tag_count: usize,
}

/// The size of the structure when it was first published.
pub(super) const FIRST_SIZE: usize = offset_of!(plsm_stream_options_t, since_time_ns);

impl Default for plsm_stream_options_t {
    fn default() -> plsm_stream_options_t {
        plsm_stream_options_t {
            struct_size: size_of::<plsm_stream_options_t>() as u32,
            gap_policy: 0,
            since_seq: 0,
            max_messages: 0,
            timeout_ms: 0,
            has_since: 0,
            has_max: 0,
            has_timeout: 0,
            reserved: 0,
            since_time_ns: 0,
            last_messages: 0,
            until_time_ns: 0,
            has_since_time: 0,
            has_last: 0,
            has_until_time: 0,
            from_newest: 0,
            no_follow: 0,
            poll_only: 0,
            tags: ptr::null(),
            tag_count: 0,
        }
    }
}

/// What came of a read.
#[repr(C)]
pub struct plsm_event_t {
    /// `sizeof(plsm_event_t)`, set by the caller.
    pub struct_size: u32,
    /// One of the `PLSM_EVENT_` numbers.
    pub kind: u32,
    /// With `PLSM_EVENT_MESSAGE`: its envelope, as one JSON object. Free it with `plsm_buf_free`.
    pub message: plsm_buf_t,
    /// With `PLSM_EVENT_GAP`: the first seq that is missing.
    pub first_missing: u64,
    /// With `PLSM_EVENT_GAP`: the last seq that is missing.
    pub last_missing: u64,
    /// With `PLSM_EVENT_END`: one of the `PLSM_END_` numbers.
    pub end_reason: u32,
    /// Zero.
    pub reserved: u32,
}

/// The size of an event when it was first published.
const FIRST_EVENT_SIZE: usize = offset_of!(plsm_event_t, reserved) + size_of::<u32>();

/// A message is in `message`.
pub const PLSM_EVENT_MESSAGE: u32 = 1;
/// Messages are missing here; the stream goes on.
pub const PLSM_EVENT_GAP: u32 = 2;
/// The stream has ended, and stays so.
pub const PLSM_EVENT_END: u32 = 3;
/// Nothing came in the time given; the stream goes on.
pub const PLSM_EVENT_IDLE: u32 = 4;

/// The stream delivered as many messages as it was to.
pub const PLSM_END_MAX: u32 = 1;
/// The stream's time is over.
pub const PLSM_END_TIMEOUT: u32 = 2;
/// The time has come at which it was to end.
pub const PLSM_END_UNTIL: u32 = 3;
/// Everything has been delivered that was there when it was opened.
pub const PLSM_END_CAUGHT_UP: u32 = 4;
/// It was cancelled or freed.
pub const PLSM_END_CANCELLED: u32 = 5;

/// Where an event goes to: a structure of the caller's, which may be older or newer than this library.
pub(super) struct OutEvent {
    place: *mut plsm_event_t,
    size: usize,
}

impl OutEvent {
    /// # Safety
    ///
    /// `place` is null, or as many bytes as its first four say may be read and written there.
    pub(super) unsafe fn new(place: *mut plsm_event_t) -> Result<OutEvent> {
        // SAFETY: as for this function; an event has nothing but numbers and pointers.
        let given = unsafe { sized(place, FIRST_EVENT_SIZE, "members of the event") }?;
        let mut out = OutEvent {
            place,
            size: (given.struct_size as usize).min(size_of::<plsm_event_t>()),
        };
        out.set(plsm_event_t::IDLE);
        Ok(out)
    }

    /// Stores as much of `event` as the caller's structure has room for; its size stays what it was.
    pub(super) fn set(&mut self, event: plsm_event_t) {
        const SIZE: usize = size_of::<u32>();
        let (from, to) = (ptr::from_ref(&event).cast::<u8>(), self.place.cast::<u8>());
        // SAFETY: `new` was told that so many bytes may be written there.
        unsafe {
            to.add(SIZE)
                .copy_from_nonoverlapping(from.add(SIZE), self.size - SIZE)
        };
    }
}

impl plsm_event_t {
    const IDLE: plsm_event_t = plsm_event_t {
        struct_size: size_of::<plsm_event_t>() as u32,
        kind: PLSM_EVENT_IDLE,
        message: plsm_buf_t::EMPTY,
        first_missing: 0,
        last_missing: 0,
        end_reason: 0,
        reserved: 0,
    };

    fn of(next: Next, message: &Message) -> plsm_event_t {
        match next {
            Next::Message => plsm_event_t {
                kind: PLSM_EVENT_MESSAGE,
                message: envelope(message),
                ..plsm_event_t::IDLE
            },
            Next::Gap(gap) => plsm_event_t {
                kind: PLSM_EVENT_GAP,
                first_missing: gap.first,
                last_missing: gap.last,
                ..plsm_event_t::IDLE
            },
            Next::Idle => plsm_event_t::IDLE,
            Next::End(reason) => plsm_event_t {
                kind: PLSM_EVENT_END,
                end_reason: end_reason(reason),
                ..plsm_event_t::IDLE
            },
        }
    }
}

fn end_reason(reason: EndReason) -> u32 {
    match reason {
        EndReason::Max => PLSM_END_MAX,
        EndReason::Timeout => PLSM_END_TIMEOUT,
        EndReason::Until => PLSM_END_UNTIL,
        EndReason::CaughtUp => PLSM_END_CAUGHT_UP,
        EndReason::Cancelled => PLSM_END_CANCELLED,
    }
}

pub(super) fn envelope(message: &Message) -> plsm_buf_t {
    let mut text = Vec::new();
    message.write_envelope(&mut text);
    plsm_buf_t::holding(text)
}

/// What is behind a stream's handle.
pub(super) struct Stream {
    place: Mutex<Place>,
    canceller: Canceller,
}

struct Place {
    tail: Tail,
    message: Message,
}

impl Stream {
    pub(super) fn open(pool: &Pool, options: TailOptions) -> Result<Stream> {
        let tail = pool.tail(options)?;
        Ok(Stream {
            canceller: tail.canceller(),
            place: Mutex::new(Place {
                tail,
                message: Message::default(),
            }),
        })
    }

    /// Ends the stream, also for a thread that waits on it.
    pub(super) fn cancel(&self) {
        self.canceller.cancel();
    }

    /// The next message, past what is missing; `None` at the end.
    pub(super) fn next(&self) -> Result<Option<plsm_buf_t>> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let Place { tail, message } = &mut *place;
        loop {
            match tail.read(message)? {
                Next::Message => return Ok(Some(envelope(message))),
                Next::End(_) => return Ok(None),
                Next::Gap(_) | Next::Idle => {}
            }
        }
    }

    /// What comes next within this time; `None` waits as long as it takes.
    pub(super) fn read(&self, patience: Option<Duration>) -> Result<plsm_event_t> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let Place { tail, message } = &mut *place;
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        let next = match deadline {
            Some(deadline) => tail.read_before(deadline, message)?,
            None => tail.read(message)?,
        };
        Ok(plsm_event_t::of(next, message))
    }

    /// The seq to begin at for whoever wants to go on where this stream is.
    pub(super) fn next_seq(&self) -> u64 {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.tail.next_seq()
    }
}

/// What these options ask for.
///
/// # Safety
///
/// The tags are as `argument::tags` wants them.
pub(super) unsafe fn tail_options(given: &plsm_stream_options_t) -> Result<TailOptions> {
    if given.reserved != 0 {
        return Err(Error::new(ErrorKind::Usage, "`reserved` is not zero")
            .hint("set the whole structure to zero before you fill it in"));
    }
    Ok(TailOptions {
        start: start(given)?,
        until: flag(given.has_until_time, "has_until_time")?
            .then(|| Timestamp::from_nanos(given.until_time_ns)),
        // SAFETY: as for this function.
        tags: unsafe { tags(given.tags, given.tag_count) }?,
        max: flag(given.has_max, "has_max")?.then_some(given.max_messages),
        timeout: flag(given.has_timeout, "has_timeout")?
            .then(|| Duration::from_millis(given.timeout_ms)),
        follow: !flag(given.no_follow, "no_follow")?,
        gap_policy: gap_policy(given.gap_policy)?,
        notify: !flag(given.poll_only, "poll_only")?,
    })
}

fn start(given: &plsm_stream_options_t) -> Result<Start> {
    let seq = flag(given.has_since, "has_since")?.then_some(Start::Seq(given.since_seq));
    let time = flag(given.has_since_time, "has_since_time")?
        .then(|| Start::Time(Timestamp::from_nanos(given.since_time_ns)));
    let last = flag(given.has_last, "has_last")?.then_some(Start::Last(given.last_messages));
    let newest = flag(given.from_newest, "from_newest")?.then_some(Start::Newest);
    let mut asked = [seq, time, last, newest].into_iter().flatten();
    let start = asked.next().unwrap_or(Start::Oldest);
    match asked.next() {
        None => Ok(start),
        Some(_) => Err(Error::new(
            ErrorKind::Usage,
            "a stream has one beginning, and not several",
        )
        .hint("set one of `has_since`, `has_since_time`, `has_last` and `from_newest`")),
    }
}
