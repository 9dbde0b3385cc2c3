//! When messages are due that are printed with the pauses they were written with.

use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::api::Timestamp;
use crate::cli::usage::Wanted;

/// How many times as fast as they were written messages are printed; infinity for no pauses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cli) struct Speed(f64);

impl FromStr for Speed {
    type Err = Wanted;

    fn from_str(text: &str) -> Result<Speed, Wanted> {
        if text == "max" {
            return Ok(Speed(f64::INFINITY));
        }
        let is_plain = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        match text.parse::<f64>() {
            Ok(speed) if is_plain => Ok(Speed(match text.contains(|c| matches!(c, '1'..='9')) {
                // A number too small to be told from 0 means very long pauses, and not none.
                true => speed.max(f64::MIN_POSITIVE),
                false => f64::INFINITY,
            })),
            _ => Err(Wanted("a number such as 0.5, 1 or 10, or max")),
        }
    }
}

/// When each message is due, reckoned from the first of them alone: what one is late by, none after it is.
#[derive(Debug)]
pub(super) struct Schedule {
    speed: Speed,
    /// The time of the first message, and when it was printed.
    first: Option<(Timestamp, Instant)>,
}

impl Schedule {
    pub(super) fn new(speed: Speed) -> Schedule {
        Schedule { speed, first: None }
    }

    /// When a message of this time is to be printed, where it is `now`; `None` if no clock goes so far. The first
    /// message that is asked for is due now.
    pub(super) fn due(&mut self, time: Timestamp, now: Instant) -> Option<Instant> {
        let (first, start) = *self.first.get_or_insert((time, now));
        let written = Duration::from_nanos(time.as_nanos().saturating_sub(first.as_nanos()));
        let after = Duration::try_from_secs_f64(written.as_secs_f64() / self.speed.0).ok()?;
        start.checked_add(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn speed(text: &str) -> Speed {
        text.parse().expect("a speed")
    }

    /// How long after the first of them messages of these seconds are due, each asked for when it is `late` by so much.
    fn dues(text: &str, seconds: &[u64], late: Duration) -> Vec<Option<Duration>> {
        let mut schedule = Schedule::new(speed(text));
        let start = Instant::now();
        let mut now = start;
        let mut due = |second: &u64| {
            let due = schedule.due(Timestamp::from_nanos(second * SECOND), now);
            now = due.unwrap_or(now) + late;
            due.map(|due| due - start)
        };
        seconds.iter().map(&mut due).collect()
    }

    fn seconds(seconds: f64) -> Option<Duration> {
        Some(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn pauses_are_those_between_the_messages_by_the_speed() {
        let written = [100, 100, 101, 161, 3_700];
        for (text, due) in [
            ("1", [0., 0., 1., 61., 3_600.]),
            ("10", [0., 0., 0.1, 6.1, 360.]),
            ("0.5", [0., 0., 2., 122., 7_200.]),
            ("max", [0.; 5]),
            ("0", [0.; 5]),
        ] {
            assert_eq!(
                dues(text, &written, Duration::ZERO),
                due.map(seconds),
                "{text}"
            );
        }
    }

    #[test]
    fn what_one_message_is_late_by_delays_none_after_it() {
        let written = [7, 8, 9, 10, 1_007];
        for late in [1, 250, 5_000] {
            assert_eq!(
                dues("1", &written, Duration::from_millis(late)),
                [0., 1., 2., 3., 1_000.].map(seconds),
            );
        }
    }

    #[test]
    fn a_time_that_does_not_grow_is_due_at_once() {
        assert_eq!(
            dues("1", &[5, 3, 5], Duration::ZERO),
            [0., 0., 0.].map(seconds)
        );
    }

    #[test]
    fn a_pause_that_no_clock_can_tell_has_no_end() {
        for text in ["0.00000000000000000001", &format!("0.{}1", "0".repeat(400))] {
            assert_eq!(
                dues(text, &[1, 2], Duration::ZERO),
                [seconds(0.), None],
                "{text}"
            );
        }
    }

    #[test]
    fn a_speed_is_a_plain_number_or_max() {
        assert_eq!(speed("1.0"), speed("1"));
        assert_eq!(speed("0.0"), speed("max"));
        assert_eq!(speed(&"9".repeat(400)), speed("max"));
        for text in [
            "", ".", "-1", "+1", "1e3", "inf", "NaN", "1x", "1,5", "fast", " 1", "1.2.3",
        ] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }
}
