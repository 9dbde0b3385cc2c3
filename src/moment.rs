//! Moments and durations as people write them.

use std::time::Duration;

/// What a duration may look like, for messages and help.
const DURATION_FORM: &str = "a number and a unit, such as 250ms, 30s, 5m, 2h or 1d";

/// The units of a duration, in milliseconds. Longer suffixes first, since `ms` also ends in `s`.
const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Reads a duration such as `250ms`, `30s`, `5m`, `2h` or `1d`. One too long to count is the longest there is.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, milliseconds) = UNITS
        .iter()
        .find_map(|&(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
        .filter(|(number, _)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(|| format!("a duration is {DURATION_FORM}"))?;
    let number: u64 = number.parse().unwrap_or(u64::MAX);
    Ok(Duration::from_millis(number.saturating_mul(milliseconds)))
}

/// Reads a moment, RFC 3339 or a duration before `now`, as nanoseconds since the Unix epoch.
///
/// What lies before the epoch becomes the epoch, and what lies beyond the last moment that a message can have becomes
/// that one: it makes no difference to any message.
pub(crate) fn parse_moment(text: &str, now: u64) -> Result<u64, String> {
    if let Ok(before) = parse_duration(text) {
        let before = u64::try_from(before.as_nanos()).unwrap_or(u64::MAX);
        return Ok(now.saturating_sub(before));
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(moment) => Ok(u64::try_from(moment.as_nanosecond().max(0)).unwrap_or(u64::MAX)),
        Err(_) if is_at_the_end_of_time(text) => Ok(u64::MAX),
        Err(_) => Err(format!(
            "a time is RFC 3339 with its offset, such as 2026-11-24T09:30:00Z, or {DURATION_FORM}, before now"
        )),
    }
}

/// Whether this is a moment that RFC 3339 can write but that is too late for the calendar used here, which ends a day
/// before the year 9999 does.
fn is_at_the_end_of_time(text: &str) -> bool {
    let year_before = |rest| format!("9998{rest}").parse::<jiff::Timestamp>();
    text.strip_prefix("9999")
        .is_some_and(|rest| year_before(rest).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        let milliseconds = |text| parse_duration(text).map(|d| d.as_millis());
        assert_eq!(milliseconds("250ms"), Ok(250));
        assert_eq!(milliseconds("030s"), Ok(30_000));
        assert_eq!(milliseconds("5m"), Ok(300_000));
        assert_eq!(milliseconds("2h"), Ok(7_200_000));
        assert_eq!(milliseconds("1d"), Ok(86_400_000));
        assert_eq!(milliseconds("0s"), Ok(0));
        let huge = format!("{}d", "9".repeat(400));
        assert_eq!(milliseconds(&huge), Ok(u128::from(u64::MAX)));
    }

    #[test]
    fn anything_else_is_not_a_duration() {
        for text in [
            "", "5", "s", "-5s", "+5s", "1e3s", "5 s", "5M", "inf s", "nans", "1.5s", "1s ",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn moments_are_absolute_or_before_now() {
        let now = 10_000_000_000;
        assert_eq!(parse_moment("4s", now), Ok(6_000_000_000));
        assert_eq!(parse_moment("1d", now), Ok(0));
        assert_eq!(
            parse_moment("1970-01-01T00:00:01.000000002Z", now),
            Ok(1_000_000_002)
        );
        assert_eq!(
            parse_moment("1970-01-01T01:00:01+01:00", now),
            Ok(1_000_000_000)
        );
    }

    #[test]
    fn moments_out_of_reach_are_the_first_or_the_last() {
        for text in [
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00+23:59",
            "99999999999d",
        ] {
            assert_eq!(parse_moment(text, 10), Ok(0), "{text}");
        }
        for text in [
            "2554-07-22T00:00:00Z",
            "9999-12-31T23:59:59.999999999-23:59",
        ] {
            assert_eq!(parse_moment(text, 10), Ok(u64::MAX), "{text}");
        }
    }

    #[test]
    fn anything_else_is_not_a_moment() {
        for text in [
            "",
            "yesterday",
            "2026-11-24",
            "2026-11-24T09:30:00",
            "2026-13-01T00:00:00Z",
            "9999-12-32T00:00:00Z",
            "9999-12-31T00:00:00",
            "9999",
        ] {
            assert!(parse_moment(text, 0).is_err(), "{text}");
        }
    }
}
