//! Durations as people write them (`300ms`, `30s`, `10m`, `2h`, `7d`, `2w`) and as they read them.

use std::time::Duration;

/// The form a duration is written in, for messages.
pub const FORM: &str = "a number and a unit: 300ms, 30s, 10m, 2h, 7d or 2w";

/// Returns the duration that `text` stands for, or `None` where it is not a whole positive number
/// directly followed by `ms`, `s`, `m`, `h`, `d` or `w`.
pub fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let milliseconds = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    };
    let total = number.checked_mul(milliseconds)?;
    (total > 0).then(|| Duration::from_millis(total))
}

/// Returns `duration` for people: `8ms`, `4.2s`, `3m 7s`, `2h 5m`.
pub fn show(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{milliseconds}ms"),
        1..60 if milliseconds % 1000 < 50 => format!("{seconds}s"),
        1..60 => format!("{:.1}s", duration.as_secs_f64().min(59.9)),
        60..3600 if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        172_800.. if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds % 3600 < 60 => format!("{}h", seconds / 3600),
        _ => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_number_and_a_unit() {
        assert_eq!(parse("300ms"), Some(Duration::from_millis(300)));
        assert_eq!(parse("30s"), Some(Duration::from_secs(30)));
        assert_eq!(parse("10m"), Some(Duration::from_mins(10)));
        assert_eq!(parse("2h"), Some(Duration::from_hours(2)));
        assert_eq!(parse("7d"), parse("1w"));
        assert_eq!(parse("2w"), Some(Duration::from_hours(14 * 24)));
        for wrong in ["", "s", "10", "10 s", "-1s", "1.5s", "0s", "1S", "99999999999999999999s", "18446744073709551615h", "١s"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_duration_is_shown_with_the_units_that_matter() {
        let shown = [
            (8, "8ms"),
            (999, "999ms"),
            (2000, "2s"),
            (4210, "4.2s"),
            (59_999, "59.9s"),
            (60_000, "1m"),
            (187_000, "3m 7s"),
            (7_500_000, "2h 5m"),
            (2_592_000_000, "30d"),
        ];
        for (milliseconds, text) in shown {
            assert_eq!(show(Duration::from_millis(milliseconds)), text);
        }
    }
}
