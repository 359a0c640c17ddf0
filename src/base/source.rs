//! The text of a file and the way back from a byte to its line.

use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use super::diagnostic::Diagnostic;

/// A file that was read.
#[derive(Debug, Clone)]
pub struct Source {
    /// How the file is called in messages.
    pub name: String,
    /// Its text; of bytes that are not UTF-8, what can be shown of them.
    pub text: String,
    /// What is wrong with the bytes themselves.
    pub damage: Option<Diagnostic>,
    /// Where each line begins; found out when it is first asked for.
    line_starts: OnceLock<Vec<usize>>,
}

impl Source {
    /// Reads the file at `path`, which messages call `name`.
    ///
    /// # Errors
    /// Where it cannot be read. Bytes that are not UTF-8 are no error here but [`Source::damage`].
    pub fn load(path: &Path, name: &str) -> std::io::Result<Self> {
        Ok(Self::new(name, std::fs::read(path)?))
    }

    /// Returns the source of `bytes`.
    pub fn new(name: &str, bytes: Vec<u8>) -> Self {
        let (text, damage) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let width = text[at..].chars().next().map_or(0, char::len_utf8);
                let message = "the file is not text in UTF-8";
                let damage =
                    Diagnostic::error(message, at..at + width, "this byte is not UTF-8").help("is this a pipeline.toml? save it as UTF-8");
                (text, Some(damage))
            }
        };
        Self { name: name.to_owned(), text, damage, line_starts: OnceLock::new() }
    }

    /// Returns the byte ranges of the whole lines that `span` touches, as one range.
    pub fn lines_around(&self, span: &Range<usize>) -> Range<usize> {
        let starts = self.line_starts();
        let first = starts[self.line(span.start) - 1];
        let last = self.line(span.end.max(span.start));
        let end = starts.get(last).map_or(self.text.len(), |next| next - 1);
        first..end
    }

    /// Returns the number, from 1, of the line that holds the byte at `offset`.
    pub fn line(&self, offset: usize) -> usize {
        self.line_starts().partition_point(|start| *start <= offset)
    }

    fn line_starts(&self) -> &[usize] {
        self.line_starts.get_or_init(|| {
            let newlines = self.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(newlines).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_leads_back_to_its_line() {
        let source = Source::new("x", b"ab\n\ncd\nlast".to_vec());
        assert_eq!([0, 2, 3, 4, 7, 10].map(|offset| source.line(offset)), [1, 1, 2, 3, 4, 4]);
        assert_eq!(source.lines_around(&(4..5)), 4..6);
        assert_eq!(source.lines_around(&(0..5)), 0..6);
        assert_eq!(source.lines_around(&(11..11)), 7..11);
        assert_eq!(Source::new("x", Vec::new()).lines_around(&(0..0)), 0..0);
    }
}
