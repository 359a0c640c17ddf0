//! Text from outside as HTML: it is only ever shown, whatever it holds.

use std::borrow::Cow;

use crate::base::text::visible;
use crate::report::lines::{Piece, scan};

/// Returns the HTML of each of `items`, joined.
pub(super) fn each<T>(items: impl IntoIterator<Item = T>, html: impl FnMut(T) -> String) -> String {
    items.into_iter().map(html).collect()
}

/// Returns text that may stand between tags and between double quotes; control characters and marks of direction are made visible.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    visible(text).chars().for_each(|c| push(&mut escaped, c));
    escaped
}

/// As [`escape`], with the line ends of `text`.
pub(super) fn lines(text: &str) -> String {
    text.trim_end().lines().map(|line| escape(&line.replace('\t', "    "))).collect::<Vec<_>>().join("\n")
}

/// Returns `text` as [`escape`] does, its words between backticks as code.
pub(super) fn prose(text: &str) -> String {
    if text.contains("``") {
        return escape(text);
    }
    let parts: Vec<&str> = text.split('`').collect();
    let pairs = parts.len() - usize::from(parts.len().is_multiple_of(2));
    let mut prose = String::new();
    for (place, part) in parts.iter().enumerate() {
        if place >= pairs {
            prose.push('`');
        }
        let part = escape(part);
        prose += &if place % 2 == 1 && place < pairs { format!("<code>{part}</code>") } else { part };
    }
    prose
}

fn push(escaped: &mut String, c: char) {
    match c {
        '&' => escaped.push_str("&amp;"),
        '<' => escaped.push_str("&lt;"),
        '>' => escaped.push_str("&gt;"),
        '"' => escaped.push_str("&quot;"),
        '\'' => escaped.push_str("&#39;"),
        c => escaped.push(c),
    }
}

/// How a terminal paints text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Paint {
    /// One of the sixteen colours of text.
    text: Option<u8>,
    /// One of the sixteen colours behind it.
    ground: Option<u8>,
    bold: bool,
    faint: bool,
    italic: bool,
    underlined: bool,
    struck: bool,
    inverse: bool,
}

/// Returns a line of output as HTML: its colours as spans, nothing else of what a terminal would obey.
pub(super) fn painted(line: &str) -> String {
    let mut html = String::with_capacity(line.len() + 16);
    let (mut wanted, mut current) = (Paint::default(), Paint::default());
    scan(line, |piece| match piece {
        Piece::Colours(codes) => wanted.obey(codes),
        Piece::Character(c) => {
            if wanted != current {
                if current != Paint::default() {
                    html.push_str("</span>");
                }
                if wanted != Paint::default() {
                    html.push_str(&format!("<span class=\"{}\">", wanted.classes()));
                }
                current = wanted;
            }
            match visible(c.encode_utf8(&mut [0; 4])) {
                Cow::Borrowed(_) => push(&mut html, c),
                Cow::Owned(_) if c == '\t' => html.push('\t'),
                Cow::Owned(shown) => html.push_str(&shown),
            }
        }
    });
    if current != Paint::default() {
        html.push_str("</span>");
    }
    html
}

impl Paint {
    /// Takes the numbers of one SGR sequence (ECMA-48, 8.3.117; 38 and 48 as xterm has them).
    fn obey(&mut self, codes: &str) {
        let mut numbers = codes.split([';', ':']).map(|code| if code.is_empty() { Some(0) } else { code.parse::<u16>().ok() });
        while let Some(number) = numbers.next() {
            match number {
                Some(0) => *self = Self::default(),
                Some(1) => self.bold = true,
                Some(2) => self.faint = true,
                Some(3) => self.italic = true,
                Some(4) => self.underlined = true,
                Some(7) => self.inverse = true,
                Some(9) => self.struck = true,
                Some(22) => (self.bold, self.faint) = (false, false),
                Some(23) => self.italic = false,
                Some(24) => self.underlined = false,
                Some(27) => self.inverse = false,
                Some(29) => self.struck = false,
                Some(number @ 30..=37) => self.text = Some(low(number - 30)),
                Some(38) => self.text = extended(&mut numbers),
                Some(39) => self.text = None,
                Some(number @ 40..=47) => self.ground = Some(low(number - 40)),
                Some(48) => self.ground = extended(&mut numbers),
                Some(49) => self.ground = None,
                Some(number @ 90..=97) => self.text = Some(low(number - 82)),
                Some(number @ 100..=107) => self.ground = Some(low(number - 92)),
                Some(_) | None => {}
            }
        }
    }

    fn classes(self) -> String {
        let mut classes: Vec<String> = Vec::new();
        classes.extend(self.text.map(|colour| format!("c{colour}")));
        classes.extend(self.ground.map(|colour| format!("g{colour}")));
        let flags = [
            (self.bold, "bold"),
            (self.faint, "faint"),
            (self.italic, "italic"),
            (self.underlined, "under"),
            (self.struck, "struck"),
            (self.inverse, "inverse"),
        ];
        classes.extend(flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, class)| class.to_owned()));
        classes.join(" ")
    }
}

fn low(number: u16) -> u8 {
    u8::try_from(number).unwrap_or(0)
}

/// Reads a colour of 256 or of all, and returns the one of the sixteen that is nearest: those are legible on light and on dark.
fn extended(numbers: &mut impl Iterator<Item = Option<u16>>) -> Option<u8> {
    match numbers.next()?? {
        5 => match numbers.next()?? {
            number @ 0..=15 => Some(low(number)),
            number @ 16..=231 => {
                let cube = number - 16;
                Some(nearest([cube / 36, cube / 6 % 6, cube % 6].map(|level| level * 51)))
            }
            number @ 232..=255 => Some(nearest([8 + (number - 232) * 10; 3])),
            _ => None,
        },
        2 => Some(nearest([numbers.next()??, numbers.next()??, numbers.next()??])),
        _ => None,
    }
}

fn nearest([red, green, blue]: [u16; 3]) -> u8 {
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    if most - least < 40 {
        return match most {
            0..=60 => 0,
            61..=150 => 8,
            151..=220 => 7,
            _ => 15,
        };
    }
    let middle = u16::midpoint(most, least);
    let hue = u8::from(red > middle) | u8::from(green > middle) << 1 | u8::from(blue > middle) << 2;
    if most > 220 && least > 60 { hue + 8 } else { hue }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn colours_become_spans() {
        assert_eq!(painted("a\u{1b}[1;31mb\u{1b}[0mc"), "a<span class=\"bold c1\">b</span>c".replace("bold c1", "c1 bold"));
        assert_eq!(painted("\u{1b}[38;5;196mx\u{1b}[38;2;0;0;200my"), "<span class=\"c1\">x</span><span class=\"c4\">y</span>");
        assert_eq!(painted("\u{1b}[31m\u{1b}[39m<&\u{1b}[38;5m\u{1b}[m'"), "&lt;&amp;&#39;");
    }

    #[test]
    fn nothing_else_is_obeyed() {
        assert_eq!(painted("a\u{1b}]8;;javascript:x\u{7}b\u{1b}[2J\u{8}c\u{202e}d\u{0}\te"), "abc\\u{202e}d\te");
        assert_eq!(escape("\u{0}<\n\u{202e}\""), "\\u{0}&lt;\\n\\u{202e}&quot;");
    }

    #[test]
    fn words_in_backticks_are_code() {
        assert_eq!(prose("it waits for `a<b`, which"), "it waits for <code>a&lt;b</code>, which");
        assert_eq!(prose("one ` only"), "one ` only");
        assert_eq!(prose("``a` b`"), "``a` b`");
        assert_eq!(prose("`a` and `b"), "<code>a</code> and `b");
    }

    proptest! {
        #[test]
        fn no_text_makes_a_tag(text in "[a<>&\"'\u{1b}\\[0-9;:m\u{7}\\]\t\r\u{202e}\u{0}]{0,60}") {
            let plain = painted(&text).replace("</span>", "");
            let opened = plain.matches("<span class=\"").count();
            prop_assert_eq!(plain.matches('<').count(), opened);
            prop_assert_eq!(painted(&text).matches("</span>").count(), opened);
            for html in [escape(&text), lines(&text), prose(&text).replace("<code>", "").replace("</code>", "")] {
                let is_shown = !html.contains(['<', '>', '"', '\'', '\0', '\x1b', char::from_u32(0x202e).unwrap()]);
                prop_assert!(is_shown);
            }
        }
    }
}
