//! Lines of something that is still writing them.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A queue of lines, filled by whoever has its sender.
pub(crate) struct Lines {
    receiver: Receiver<Vec<u8>>,
    pub(crate) ended: bool,
}

impl Lines {
    pub(crate) fn new() -> (Sender<Vec<u8>>, Lines) {
        let (sender, receiver) = channel();
        (
            sender,
            Lines {
                receiver,
                ended: false,
            },
        )
    }

    /// The lines of a pipe, each with its line feed where it has one, read by a thread of their own.
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> Lines {
        let (sender, lines) = Lines::new();
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            loop {
                let mut line = Vec::new();
                match pipe.read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) if sender.send(line).is_err() => return,
                    Ok(_) => {}
                }
            }
        });
        lines
    }

    /// The next line; nothing at the end. `Err` if none came within `patience`.
    pub(crate) fn next(&mut self, patience: Duration) -> Result<Option<String>, ()> {
        match self.receiver.recv_timeout(patience) {
            Ok(line) => Ok(Some(String::from_utf8_lossy(&line).into_owned())),
            Err(RecvTimeoutError::Disconnected) => {
                self.ended = true;
                Ok(None)
            }
            Err(RecvTimeoutError::Timeout) => Err(()),
        }
    }

    /// So many lines, or fewer at the end. `Err` with what came if that took longer than `patience`.
    pub(crate) fn take(
        &mut self,
        count: usize,
        patience: Duration,
    ) -> Result<Vec<String>, Vec<String>> {
        let deadline = Instant::now() + patience;
        let mut taken = Vec::new();
        while taken.len() < count {
            match self.next(deadline.saturating_duration_since(Instant::now())) {
                Ok(Some(line)) => taken.push(line),
                Ok(None) => break,
                Err(()) => return Err(taken),
            }
        }
        Ok(taken)
    }
}
