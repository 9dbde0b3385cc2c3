//! Sizes as people write them: plain bytes, or 1024-based `K`, `M` and `G`.

/// Reads a size such as `65536`, `64K`, `1M` or `8G`, in bytes.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let (number, shift) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 10),
        Some((at, 'm' | 'M')) => (&text[..at], 20),
        Some((at, 'g' | 'G')) => (&text[..at], 30),
        _ => (text, 0),
    };
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(
            "a size is a number of bytes, or a number with K, M or G, such as 64K, 8M or 1G"
                .to_owned(),
        );
    }
    let number: Option<u64> = number.parse().ok();
    number
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|&bytes| i64::try_from(bytes).is_ok())
        .ok_or_else(|| {
            "this is more than a file can hold; a size is a number such as 64K, 8M or 1G".to_owned()
        })
}

/// A size for people: the largest unit that keeps at least one digit before the point.
pub(crate) fn show_size(bytes: u64) -> String {
    let (unit, shift) = match bytes {
        0..0x400 => return format!("{bytes} B"),
        0x400..0x10_0000 => ("K", 10),
        0x10_0000..0x4000_0000 => ("M", 20),
        _ => ("G", 30),
    };
    if bytes.trailing_zeros() >= shift {
        return format!("{}{unit}", bytes >> shift);
    }
    format!("{:.1}{unit}", bytes as f64 / f64::from(1 << shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_1024_based() {
        assert_eq!(parse_size("0"), Ok(0));
        assert_eq!(parse_size("65536"), Ok(65_536));
        assert_eq!(parse_size("64K"), Ok(65_536));
        assert_eq!(parse_size("1m"), Ok(1_048_576));
        assert_eq!(parse_size("8G"), Ok(8_589_934_592));
    }

    #[test]
    fn anything_else_is_not_a_size() {
        for text in [
            "",
            "K",
            "1.5M",
            "-1",
            "+1",
            "1 M",
            "1MB",
            "1T",
            "ten",
            "9223372036854775808",
            "18446744073709551616",
            "99999999999G",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_short() {
        let shown = [512, 65_536, 1_048_576, 1_500_000, 8_589_934_592].map(show_size);
        assert_eq!(shown, ["512 B", "64K", "1M", "1.4M", "8G"]);
    }
}
