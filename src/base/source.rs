//! The text of a file and the way back from a byte to its line.

use std::ops::Range;
use std::path::Path;

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
        Self { name: name.to_owned(), text, damage }
    }

    /// Returns the byte ranges of the whole lines that `span` touches, as one range.
    pub fn lines_around(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
        let end = self.text[span.end.max(start)..].find('\n').map_or(self.text.len(), |length| span.end + length);
        start..end
    }

    /// Returns the number, from 1, of the line that holds the byte at `offset`.
    pub fn line(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
    }
}
