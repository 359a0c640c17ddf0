//! A step's output as lines that are safe on a terminal.

use std::borrow::Cow;

/// A line longer than this is written in pieces, in bytes.
const LONGEST: usize = 16 * 1024;

/// Gathers one stream into lines.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes the next piece, and gives each line that is whole by now, without its newline.
    pub fn push(&mut self, text: &[u8], mut line: impl FnMut(&[u8])) {
        let mut rest = text;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            if self.partial.is_empty() {
                line(&rest[..end]);
            } else {
                self.partial.extend_from_slice(&rest[..end]);
                line(&std::mem::take(&mut self.partial));
            }
            rest = &rest[end + 1..];
        }
        self.partial.extend_from_slice(rest);
        if self.partial.len() > LONGEST {
            line(&std::mem::take(&mut self.partial));
        }
    }

    /// Gives the last line, which has no newline.
    pub fn finish(&mut self, line: impl FnOnce(&[u8])) {
        if !self.partial.is_empty() {
            line(&std::mem::take(&mut self.partial));
        }
    }
}

/// Returns `line` with its colours, where they are wanted, and without anything else that a terminal would obey: a step can paint its
/// own lines, not ours.
pub fn tame(line: &[u8], coloured: bool) -> Cow<'_, str> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = String::from_utf8_lossy(line);
    if !text.chars().any(|c| c.is_control() && c != '\t') {
        return text;
    }
    let mut tamed = String::with_capacity(text.len() + 4);
    let mut painted = false;
    scan(&text, |piece| match piece {
        Piece::Character(c) => tamed.push(c),
        Piece::Colours(codes) => {
            if coloured {
                tamed.push_str(&format!("\u{1b}[{codes}m"));
                painted = true;
            }
        }
    });
    if painted {
        tamed.push_str("\u{1b}[0m");
    }
    Cow::Owned(tamed)
}

/// A part of a line that may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A character that is no control character, or a tab.
    Character(char),
    /// How the following text is painted: the numbers of an SGR sequence, as written.
    Colours(&'a str),
}

/// Gives what a terminal would show of `line`; everything else that it would obey is left out.
pub fn scan(line: &str, mut give: impl FnMut(Piece<'_>)) {
    let line = line.strip_suffix('\r').unwrap_or(line);
    // What was overwritten is not shown.
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\u{1b}' => match characters.next() {
                Some('[') => {
                    let mut sequence = String::new();
                    let end = characters.by_ref().find(|c| {
                        let is_end = ('\u{40}'..='\u{7e}').contains(c);
                        if !is_end {
                            sequence.push(*c);
                        }
                        is_end
                    });
                    if end == Some('m') {
                        give(Piece::Colours(&sequence));
                    }
                }
                // Operating system commands and other strings end with BEL or ESC \.
                Some(']' | 'P' | '_' | '^' | 'X') => {
                    while let Some(c) = characters.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && characters.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                Some(_) | None => {}
            },
            c if c.is_control() && c != '\t' => {}
            c => give(Piece::Character(c)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for piece in ["a", "b\nc\n\n", "d"] {
            lines.push(piece.as_bytes(), |line| seen.push(String::from_utf8_lossy(line).into_owned()));
        }
        lines.finish(|line| seen.push(String::from_utf8_lossy(line).into_owned()));
        assert_eq!(seen, ["ab", "c", "", "d"]);
    }

    #[test]
    fn only_colours_survive() {
        assert_eq!(tame(b"\x1b[31mred\x1b[0m", true), "\u{1b}[31mred\u{1b}[0m\u{1b}[0m");
        assert_eq!(tame(b"\x1b[31mred\x1b[0m", false), "red");
        assert_eq!(tame(b"a\x1b[2Jb\x1b]0;title\x07c\x1b]8;;http://x\x1b\\d\x08\x07", true), "abcd");
        assert_eq!(tame(b"10%\r100%\r", true), "100%");
        assert_eq!(tame(b"\x1b[", true), "");
        assert_eq!(tame("größe\t1".as_bytes(), true), "größe\t1");
    }
}
