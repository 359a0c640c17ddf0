//! What a stage printed, kept in bounded memory: its beginning, its end, and how much stood between.
//!
//! Knows lines and sizes; knows nothing of colours or of pages.

use std::collections::VecDeque;

use super::lines::Lines;
use crate::model::event::Stream;

/// What a line costs beside its text, in bytes.
const OVERHEAD: usize = 48;

/// How much of a log is kept, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Of its beginning.
    pub head: usize,
    /// Of its end.
    pub tail: usize,
}

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The place of the step's attempt among those of the stage; `None` where no step was known.
    pub step: Option<usize>,
    /// Where it was printed to.
    pub stream: Stream,
    /// The line, with its colours, without its newline.
    pub text: String,
}

impl Line {
    fn cost(&self) -> usize {
        self.text.len() + OVERHEAD
    }
}

/// The output of one stage.
#[derive(Debug, Default)]
pub struct Log {
    head: Vec<Line>,
    head_size: usize,
    tail: VecDeque<Line>,
    tail_size: usize,
    left_out: u64,
    /// Lines that have no newline yet, of either stream.
    open: [Lines; 2],
    /// The attempt that printed last.
    step: Option<usize>,
}

impl Log {
    /// Takes the next piece of what the attempt `step` printed.
    pub fn push(&mut self, step: Option<usize>, stream: Stream, text: &[u8], bounds: Bounds) {
        if step != self.step {
            self.close(bounds);
            self.step = step;
        }
        // As JSON shows it, so that a report made later from the record is the same.
        let text = String::from_utf8_lossy(text);
        let mut lines = std::mem::take(&mut self.open[place(stream)]);
        lines.push(text.as_bytes(), |line| self.add(stream, line, bounds));
        self.open[place(stream)] = lines;
    }

    /// Ends lines that have no newline.
    pub fn close(&mut self, bounds: Bounds) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            std::mem::take(&mut self.open[place(stream)]).finish(|line| self.add(stream, line, bounds));
        }
    }

    fn add(&mut self, stream: Stream, line: &[u8], bounds: Bounds) {
        let line = Line { step: self.step, stream, text: String::from_utf8_lossy(line).into_owned() };
        if self.tail.is_empty() && self.left_out == 0 && self.head_size + line.cost() <= bounds.head {
            self.head_size += line.cost();
            self.head.push(line);
            return;
        }
        self.tail_size += line.cost();
        self.tail.push_back(line);
        self.shorten_tail(bounds.tail);
    }

    fn shorten_tail(&mut self, size: usize) {
        while self.tail_size > size && self.tail.len() > 1 {
            self.tail_size -= self.tail.pop_front().map_or(0, |line| line.cost());
            self.left_out += 1;
        }
    }

    /// Leaves out more, so that at most `bounds` are left.
    pub fn shorten(&mut self, bounds: Bounds) {
        while self.head_size > bounds.head {
            let Some(line) = self.head.pop() else { break };
            self.head_size -= line.cost();
            if self.left_out == 0 {
                self.tail_size += line.cost();
                self.tail.push_front(line);
            } else {
                self.left_out += 1;
            }
        }
        self.shorten_tail(bounds.tail);
        self.tail.shrink_to_fit();
    }

    /// Returns the lines of the beginning, how many were left out behind them, and the lines of the end.
    pub fn parts(&self) -> (&[Line], u64, impl ExactSizeIterator<Item = &Line> + Clone) {
        (&self.head, self.left_out, self.tail.iter())
    }

    /// Returns how much memory it takes, in bytes.
    pub fn size(&self) -> usize {
        self.head_size + self.tail_size
    }

    /// Tells whether nothing was printed.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty()
    }
}

fn place(stream: Stream) -> usize {
    usize::from(stream == Stream::Stderr)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(log: &Log) -> (Vec<&str>, u64, Vec<&str>) {
        let (head, left_out, tail) = log.parts();
        (head.iter().map(|line| &*line.text).collect(), left_out, tail.map(|line| &*line.text).collect())
    }

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        let bounds = Bounds { head: 3 * 49, tail: 2 * 49 };
        let mut log = Log::default();
        for letter in 'a'..='j' {
            log.push(Some(0), Stream::Stdout, format!("{letter}\n").as_bytes(), bounds);
        }
        assert_eq!(text(&log), (vec!["a", "b", "c"], 5, vec!["i", "j"]));
        log.shorten(Bounds { head: 49, tail: 49 });
        assert_eq!(text(&log), (vec!["a"], 8, vec!["j"]));
    }

    #[test]
    fn steps_and_streams_end_lines_of_their_own() {
        let bounds = Bounds { head: 9999, tail: 9999 };
        let mut log = Log::default();
        log.push(Some(0), Stream::Stdout, b"o", bounds);
        log.push(Some(0), Stream::Stderr, b"e\n", bounds);
        log.push(Some(0), Stream::Stdout, b"ut\n\xff", bounds);
        log.push(Some(1), Stream::Stdout, b"next", bounds);
        log.close(bounds);
        assert_eq!(text(&log), (vec!["e", "out", "\u{fffd}", "next"], 0, vec![]));
        assert_eq!(log.parts().0[3].step, Some(1));
    }

    proptest! {
        #[test]
        fn no_line_is_lost_uncounted(sizes in prop::collection::vec(0usize..200, 0..80), head in 0usize..2000, tail in 0usize..2000, less in 0usize..500) {
            let bounds = Bounds { head, tail };
            let mut log = Log::default();
            for size in &sizes {
                log.push(None, Stream::Stdout, format!("{}\n", "x".repeat(*size)).as_bytes(), bounds);
            }
            for bounds in [bounds, Bounds { head: less, tail: less }] {
                log.shorten(bounds);
                let (first, left_out, last) = log.parts();
                prop_assert_eq!(first.len() as u64 + left_out + last.len() as u64, sizes.len() as u64);
                prop_assert!(log.size() <= bounds.head + bounds.tail + 250);
            }
        }
    }
}
