//! What `/metrics` tells.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::answer::unexpected;
use crate::api::{Pool, PoolInfo};
use crate::{Error, Result};

/// Pools beyond this many are counted, not shown. [MEASURE-2]
pub(super) const MOST_POOLS: usize = 100;

/// Counts for as long as the server runs.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    appends: Counter,
    appended_bytes: Counter,
    streamed_bytes: Counter,
    tails: Mutex<HashMap<u64, FollowedAt>>,
    next_tail: AtomicU64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabel {
    pool: String,
}

/// Where one tail is.
struct FollowedAt {
    pool: Pool,
    next_seq: Arc<AtomicU64>,
}

/// One open tail, for as long as it is.
pub(super) struct OpenTail {
    number: u64,
    next_seq: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
}

impl Metrics {
    pub(super) fn new() -> Metrics {
        let mut registry = Registry::with_prefix("plasmite");
        let (requests, appends) = (Family::default(), Counter::default());
        let (appended_bytes, streamed_bytes) = (Counter::default(), Counter::default());
        registry.register("requests", "Requests answered", requests.clone());
        registry.register("appends", "Messages appended", appends.clone());
        registry.register(
            "appended_bytes",
            "Bytes of JSON appended",
            appended_bytes.clone(),
        );
        registry.register(
            "streamed_bytes",
            "Bytes sent by tails and events",
            streamed_bytes.clone(),
        );
        Metrics {
            registry,
            requests,
            appends,
            appended_bytes,
            streamed_bytes,
            tails: Mutex::default(),
            next_tail: AtomicU64::new(0),
        }
    }

    /// A request was answered. `route` is the pattern that matched, of which there are few. [MEASURE-3]
    pub(super) fn answered(&self, route: &str, method: &str, status: u16) {
        self.requests
            .get_or_create(&RequestLabels {
                route: route.to_owned(),
                method: method.to_owned(),
                status,
            })
            .inc();
    }

    /// Messages were appended.
    pub(super) fn appended(&self, messages: usize, bytes: usize) {
        self.appends.inc_by(messages as u64);
        self.appended_bytes.inc_by(bytes as u64);
    }

    /// A stream sent so many bytes.
    pub(super) fn streamed(&self, bytes: usize) {
        self.streamed_bytes.inc_by(bytes as u64);
    }

    /// A tail was opened, and will read `next_seq` next.
    pub(super) fn open_tail(self: &Arc<Metrics>, pool: Pool, next_seq: u64) -> OpenTail {
        let number = self.next_tail.fetch_add(1, Ordering::Relaxed);
        let next_seq = Arc::new(AtomicU64::new(next_seq));
        let at = FollowedAt {
            pool,
            next_seq: Arc::clone(&next_seq),
        };
        self.tails().insert(number, at);
        OpenTail {
            number,
            next_seq,
            metrics: Arc::clone(self),
        }
    }

    /// Everything, in Prometheus' text form, with these pools. [MEASURE-1]
    pub(super) fn text(&self, pools: &[PoolInfo], not_shown: usize) -> Result<String> {
        let mut text = String::new();
        let now = self.registry_of_now(pools, not_shown);
        // The counters' text ends with an end mark, which belongs behind what follows.
        encode(&mut text, &self.registry).map_err(unwritable)?;
        text.truncate(text.trim_end_matches("# EOF\n").len());
        encode(&mut text, &now).map_err(unwritable)?;
        Ok(text)
    }

    /// What is told as it is now, rather than counted.
    fn registry_of_now(&self, pools: &[PoolInfo], not_shown: usize) -> Registry {
        let mut registry = Registry::with_prefix("plasmite");
        let mut single = |name: &str, help: &str, value: u64| {
            let gauge = Gauge::<i64>::default();
            gauge.set(value.min(i64::MAX as u64) as i64);
            registry.register(name, help, gauge);
        };
        let (open, lag) = self.tails_now();
        single("open_tails", "Tails and events that are open", open);
        single(
            "slowest_tail_lag",
            "Messages between the slowest open tail and the newest message",
            lag,
        );
        single(
            "pools_not_shown",
            "Pools that are not shown",
            not_shown as u64,
        );
        let (oldest, newest) = (
            Family::<PoolLabel, Gauge>::default(),
            Family::<PoolLabel, Gauge>::default(),
        );
        let fill = Family::<PoolLabel, Gauge<f64, AtomicU64>>::default();
        for info in pools {
            let label = PoolLabel {
                pool: info.name.clone(),
            };
            let seq = |seq: Option<u64>| seq.unwrap_or(0).min(i64::MAX as u64) as i64;
            oldest.get_or_create(&label).set(seq(info.bounds.oldest));
            newest.get_or_create(&label).set(seq(info.bounds.newest));
            let used = info.metrics.utilization.used_bytes as f64 / info.ring_size as f64;
            fill.get_or_create(&label).set(used);
        }
        registry.register("pool_oldest_seq", "The oldest seq, 0 if empty", oldest);
        registry.register("pool_newest_seq", "The newest seq, 0 if empty", newest);
        registry.register("pool_fill_ratio", "How much of the ring is used", fill);
        registry
    }

    /// How many tails are open, and how far behind the slowest is.
    fn tails_now(&self) -> (u64, u64) {
        let tails = self.tails();
        let lag = |tail: &FollowedAt| {
            let newest = tail.pool.bounds().ok()?.newest?;
            Some((newest + 1).saturating_sub(tail.next_seq.load(Ordering::Relaxed)))
        };
        let slowest = tails.values().filter_map(lag).max().unwrap_or(0);
        (tails.len() as u64, slowest)
    }

    fn tails(&self) -> MutexGuard<'_, HashMap<u64, FollowedAt>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenTail {
    /// The tail will read this seq next.
    pub(super) fn is_at(&self, next_seq: u64) {
        self.next_seq.store(next_seq, Ordering::Relaxed);
    }
}

impl Drop for OpenTail {
    fn drop(&mut self) {
        self.metrics.tails().remove(&self.number);
    }
}

fn unwritable(cause: std::fmt::Error) -> Error {
    unexpected("cannot write the metrics", cause)
}
