//! What is measured.

use std::time::Instant;

use crate::peer::{Peer, Result, Strength};

/// One row for each peer.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) strength: Strength,
    /// Messages in a turn.
    pub(crate) messages: u64,
    pub(crate) rounds: u64,
    /// Whether Redis is asked one by one, in pipelines, or both.
    pub(crate) redis: &'static [bool],
    work: Work,
}

#[derive(Clone, Copy)]
enum Work {
    AppendText,
    AppendEach,
    AppendTogether,
    Read,
    HandOver,
}

const ONE_BY_ONE: &[bool] = &[false];
const PIPELINED: &[bool] = &[true];
const BOTH: &[bool] = &[false, true];

/// All of them.
pub(crate) const OPERATIONS: [Operation; 7] = [
    Operation::new("append of JSON text", Work::AppendText, BOTH),
    Operation::new("append, JSON already checked", Work::AppendEach, BOTH),
    Operation::new("append of 256 together", Work::AppendTogether, PIPELINED),
    Operation::new("read in order", Work::Read, BOTH),
    Operation::new("one in, one out", Work::HandOver, ONE_BY_ONE),
    // Of a pipeline, all messages share one sync, so it stands beside batches.
    Operation::new("durable append", Work::AppendEach, ONE_BY_ONE).that_survives_power_loss(64),
    Operation::new(
        "durable append of 256 together",
        Work::AppendTogether,
        PIPELINED,
    )
    .that_survives_power_loss(1024),
];

impl Operation {
    const fn new(name: &'static str, work: Work, redis: &'static [bool]) -> Operation {
        Operation {
            name,
            strength: Strength::Process,
            messages: 2048,
            rounds: 50,
            redis,
            work,
        }
    }

    const fn that_survives_power_loss(self, messages: u64) -> Operation {
        Operation {
            strength: Strength::Power,
            messages,
            rounds: 15,
            ..self
        }
    }

    /// One turn, in nanoseconds per message.
    pub(crate) fn run(&self, peer: &mut dyn Peer, records: &[Vec<u8>]) -> Result<f64> {
        let bytes: u64 = records.iter().map(|record| record.len() as u64).sum();
        peer.reset()?;
        peer.prepare(records)?;
        if let Work::Read = self.work {
            peer.append_together(records)?;
        }
        let start = Instant::now();
        let read = match self.work {
            Work::AppendText => peer.append_text(records).map(|()| bytes),
            Work::AppendEach => peer.append_each(records).map(|()| bytes),
            Work::AppendTogether => peer.append_together(records).map(|()| bytes),
            Work::Read => peer.read(records.len()),
            Work::HandOver => peer.hand_over(records),
        }?;
        let elapsed = start.elapsed();
        let kept = match self.work {
            Work::Read | Work::HandOver => read,
            // What came in has to come out; not timed.
            _ => peer.read(records.len())?,
        };
        if kept != bytes {
            let name = peer.name();
            return Err(format!("{name} was given {bytes} bytes of JSON, and gave {kept}").into());
        }
        Ok(elapsed.as_nanos() as f64 / records.len() as f64)
    }
}
