//! The text of a file and the way back from a byte to its line.

use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use super::diagnostic::Diagnostic;
use super::digest::Hash;

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

    /// Returns the hash of its text.
    pub fn digest(&self) -> Hash {
        Hash::of(self.text.as_bytes())
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

/// Files that were read together: one number is a place in one of them, since each begins behind the end of the one before.
#[derive(Debug, Clone)]
pub struct Sources {
    files: Vec<(usize, Source)>,
}

impl Sources {
    /// Begins with `main`, whose places are those of its own text.
    pub fn new(main: Source) -> Self {
        Self { files: vec![(0, main)] }
    }

    /// Adds a file. Returns where it begins: its places are that much further than those of its own text.
    pub fn add(&mut self, source: Source) -> usize {
        // The end of a file is a place of its own.
        let start = self.files.last().map_or(0, |(start, last)| start + last.text.len() + 1);
        self.files.push((start, source));
        start
    }

    /// Returns the hash of all the texts, of which the first is the main file's and the others are in `paths`.
    pub fn digest(&self, paths: &[String]) -> Hash {
        let [main, others @ ..] = self.files.as_slice() else { return Hash::of(b"") };
        let mut parts = vec![main.1.digest()];
        for ((_, source), path) in others.iter().zip(paths) {
            parts.extend([Hash::of(path.as_bytes()), source.digest()]);
        }
        Hash::of(&parts.iter().flat_map(|part| part.0).collect::<Vec<u8>>())
    }

    /// Returns the first of the files.
    pub fn main(&self) -> &Source {
        &self.files[0].1
    }

    /// Returns the file that `span` lies in, and the range in its own text.
    pub fn find(&self, span: &Range<usize>) -> (&Source, Range<usize>) {
        let place = self.files.partition_point(|(start, _)| *start <= span.start).saturating_sub(1);
        let (start, source) = &self.files[place];
        (source, span.start - start..span.end - start)
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

    #[test]
    fn a_place_leads_back_to_its_file() {
        let mut sources = Sources::new(Source::new("a", b"ab".to_vec()));
        assert_eq!(sources.add(Source::new("b", Vec::new())), 3);
        assert_eq!(sources.add(Source::new("c", b"xy".to_vec())), 4);
        for (span, name, own) in [(0..1, "a", 0..1), (2..2, "a", 2..2), (3..3, "b", 0..0), (4..6, "c", 0..2), (6..6, "c", 2..2)] {
            let (source, found) = sources.find(&span);
            assert_eq!((source.name.as_str(), found), (name, own));
        }
        assert_eq!(sources.main().name, "a");
    }
}
