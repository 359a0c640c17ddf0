//! Numbers as the Romans wrote them.

const DIGITS: [(u16, &str); 13] = [
    (1000, "M"),
    (900, "CM"),
    (500, "D"),
    (400, "CD"),
    (100, "C"),
    (90, "XC"),
    (50, "L"),
    (40, "XL"),
    (10, "X"),
    (9, "IX"),
    (5, "V"),
    (4, "IV"),
    (1, "I"),
];

/// Returns `number` in Roman digits; there are none for 0 and above 3999.
///
/// ```
/// assert_eq!(roman::roman(2026).as_deref(), Some("MMXXVI"));
/// ```
pub fn roman(number: u16) -> Option<String> {
    if !(1..=3999).contains(&number) {
        return None;
    }
    let mut rest = number;
    let mut text = String::new();
    for (value, digit) in DIGITS {
        while rest >= value {
            text.push_str(digit);
            rest -= value;
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::roman;

    #[test]
    fn small_ones_stand_before_large_ones() {
        for (number, text) in [(4, "IV"), (9, "IX"), (1994, "MCMXCIV"), (3999, "MMMCMXCIX")] {
            assert_eq!(roman(number).as_deref(), Some(text));
        }
    }

    #[test]
    fn there_is_no_nothing() {
        assert_eq!(roman(0), None);
        assert_eq!(roman(4000), None);
    }
}
