//! What all of them can do.

use serde_json::value::RawValue;

/// Whatever goes wrong ends the run with its message.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How many messages are appended together.
pub(crate) const TOGETHER: usize = 256;

/// What a message survives once it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strength {
    /// The end of any process.
    Process,
    /// Loss of power.
    Power,
}

/// Something that takes messages in order, keeps them, and gives them out in that order to whoever else asks.
pub(crate) trait Peer {
    fn name(&self) -> &'static str;

    /// Drops all messages, or at least goes back to where appends cost what they cost at first. Not timed.
    fn reset(&mut self) -> Result<()>;

    /// Prepares what a caller who appends the same messages often would have at hand. Not timed.
    fn prepare(&mut self, _records: &[Vec<u8>]) -> Result<()> {
        Ok(())
    }

    /// Appends JSON text that nobody has looked at yet, each message acknowledged by itself, and before the next unless
    /// there is a pipeline.
    fn append_text(&mut self, records: &[Vec<u8>]) -> Result<()> {
        for record in records {
            check(record)?;
        }
        self.append_each(records)
    }

    /// Appends what [`prepare`](Peer::prepare) has seen, acknowledged in the same way.
    fn append_each(&mut self, records: &[Vec<u8>]) -> Result<()>;

    /// Appends what [`prepare`](Peer::prepare) has seen, [`TOGETHER`] at a time: all of these or none.
    fn append_together(&mut self, records: &[Vec<u8>]) -> Result<()>;

    /// Reads the newest `count` messages, in order, through a handle of its own, and returns the bytes of their JSON.
    fn read(&mut self, count: usize) -> Result<u64>;

    /// Appends one message at a time, and reads each through another handle before the next.
    fn hand_over(&mut self, records: &[Vec<u8>]) -> Result<u64>;
}

/// Finds out that this is one JSON value, as the product does of all that it is given: in a log of lines, anything else
/// would spoil its neighbours.
pub(crate) fn check(record: &[u8]) -> Result<()> {
    std::hint::black_box(serde_json::from_slice::<&RawValue>(record)?);
    Ok(())
}
