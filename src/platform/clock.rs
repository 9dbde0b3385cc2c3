//! The wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since the Unix epoch. A clock set before 1970 reads as 0, one beyond the year 2554 as the greatest value.
pub fn now_nanos() -> u64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(elapsed) => u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_nanoseconds_of_this_century() {
        let first_of_2020 = 1_577_836_800_000_000_000;
        let first_of_2200 = 7_258_118_400_000_000_000;
        assert!((first_of_2020..first_of_2200).contains(&now_nanos()));
    }
}
