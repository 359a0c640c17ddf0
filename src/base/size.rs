//! Sizes in bytes, as people write them (`500MiB`, `10GiB`) and as they read them.

/// Returns the number of bytes that `text` stands for, or `None` where it is not a whole number directly followed by a unit: `B`, `KiB`,
/// `MiB`, `GiB`, `TiB`, or the decimal `kB`, `MB`, `GB`, `TB`.
pub fn parse(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// Returns `bytes` for people: `312 B`, `4.2 KiB`, `1.5 GiB`.
pub fn show(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_number_and_a_unit() {
        assert_eq!(parse("10GiB"), Some(10 << 30));
        assert_eq!(parse("5kB"), Some(5_000));
        assert_eq!(parse("0B"), Some(0));
        for wrong in ["", "GiB", "10", "10 GiB", "-1B", "1.5GiB", "10gib", "99999999999TiB"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_size_is_shown_with_the_unit_that_fits() {
        for (bytes, text) in [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536 << 20, "1.5 GiB"), (u64::MAX, "16383.9 PiB")] {
            assert_eq!(show(bytes), text);
        }
    }
}
