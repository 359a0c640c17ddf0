//! The last of what a step printed, in bounded memory.

/// How much is kept, in bytes.
const KEPT: usize = 64 * 1024;

/// How many lines a failure shows, and how much of a line, in characters.
const LINES: usize = 50;
const WIDTH: usize = 2000;

/// The end of a stream.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    cut: bool,
}

impl Tail {
    /// Takes the next piece.
    pub(super) fn push(&mut self, piece: &[u8]) {
        if piece.len() >= KEPT {
            // Nothing of what came before is among the last.
            self.cut |= !self.bytes.is_empty() || piece.len() > KEPT;
            self.bytes.clear();
        }
        self.bytes.extend_from_slice(&piece[piece.len().saturating_sub(KEPT)..]);
        if self.bytes.len() > 2 * KEPT {
            self.bytes.drain(..self.bytes.len() - KEPT);
            self.cut = true;
        }
    }

    /// Returns the last lines as plain text, without colours and cursor movements.
    pub(super) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        let text = console::strip_ansi_codes(&text);
        let lines: Vec<&str> = text.lines().collect();
        // The first line of a stream that was cut is only the end of one.
        let whole = usize::from(self.cut && lines.len() > 1);
        let lines: Vec<String> = lines[whole..].iter().map(|line| shorten(last_written(line))).collect();
        let is_blank = |line: &&String| line.trim().is_empty();
        let end = lines.len() - lines.iter().rev().take_while(is_blank).count();
        let lines = &lines[end.saturating_sub(LINES)..end];
        lines[lines.iter().take_while(is_blank).count()..].to_vec()
    }
}

/// Returns what a terminal would show of a line that was written over again and again.
fn last_written(line: &str) -> &str {
    line.trim_end_matches('\r').rsplit('\r').next().unwrap_or(line)
}

fn shorten(line: &str) -> String {
    let clean = |c: &char| !c.is_control() || *c == '\t';
    if line.len() <= WIDTH { line.chars().filter(clean).collect() } else { line.chars().filter(clean).take(WIDTH).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_plain() {
        let mut tail = Tail::default();
        for number in 0..100_000 {
            tail.push(format!("\u{1b}[31mline {number}\u{1b}[0m\n").as_bytes());
        }
        tail.push(b"10%\r50%\r100%\r\nend\xff\x07");
        let lines = tail.lines();
        assert_eq!(lines.len(), 50);
        assert_eq!(lines[47], "line 99999");
        assert_eq!(lines[48..], ["100%", "end\u{fffd}"]);
    }

    #[test]
    fn blank_lines_at_the_ends_are_not_shown() {
        let mut tail = Tail::default();
        tail.push(b"\n \na\n\nb\n\n");
        assert_eq!(tail.lines(), ["a", "", "b"]);
    }

    #[test]
    fn a_very_long_line_is_shortened() {
        let mut tail = Tail::default();
        tail.push(&vec![b'x'; 1 << 20]);
        assert_eq!(tail.lines().len(), 1);
        assert_eq!(tail.lines()[0].chars().count(), 2001);
    }
}
