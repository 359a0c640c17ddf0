//! The bytes of a file as text: of JSON, which is UTF-8, all at once; of XML, whatever it is written in, piece by piece.
//!
//! Knows the encodings that test runners write: UTF-8, UTF-16, and the Western one that Windows and old programs use. Bytes that are none
//! of their encoding become U+FFFD: a program that prints rubbish into a message does not make its report unreadable.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

/// How many bytes are read at once.
const PIECE: usize = 64 * 1024;

/// How far into a file its declaration may reach.
const HEAD: usize = 256;

/// What bytes 0x80 to 0x9f mean in Windows-1252, which programs write and call ISO-8859-1; there they would be control characters.
const WESTERN: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–',
    '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Western,
    Utf16 { is_big: bool },
}

/// A reader of UTF-8, whatever is below it.
#[derive(Debug)]
pub(super) struct Text<R> {
    below: R,
    encoding: Encoding,
    /// Bytes that are not decoded yet.
    raw: VecDeque<u8>,
    is_over: bool,
    ready: Vec<u8>,
    /// How much of `ready` was taken.
    taken: usize,
    /// How many bytes of text may be taken before the next [`Text::allow`].
    allowed: u64,
}

impl<R: Read> Text<R> {
    /// Looks at how the file begins.
    ///
    /// # Errors
    /// Where it cannot be read, or declares an encoding that is not known.
    pub(super) fn new(below: R) -> io::Result<Self> {
        let mut text =
            Self { below, encoding: Encoding::Utf8, raw: VecDeque::new(), is_over: false, ready: Vec::new(), taken: 0, allowed: u64::MAX };
        text.fill_raw(HEAD)?;
        let head: Vec<u8> = text.raw.iter().copied().take(HEAD).collect();
        let (encoding, mark) = match head.as_slice() {
            [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, 3),
            [0xff, 0xfe, ..] => (Encoding::Utf16 { is_big: false }, 2),
            [0xfe, 0xff, ..] => (Encoding::Utf16 { is_big: true }, 2),
            [b'<', 0, ..] => (Encoding::Utf16 { is_big: false }, 0),
            [0, b'<', ..] => (Encoding::Utf16 { is_big: true }, 0),
            _ => (declared(&head)?, 0),
        };
        text.encoding = encoding;
        text.raw.drain(..mark);
        Ok(text)
    }

    /// Lets `amount` bytes be taken from here on, and then no more: what is read as one piece must fit into memory.
    pub(super) fn allow(&mut self, amount: u64) {
        self.allowed = amount;
    }

    fn fill_raw(&mut self, least: usize) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        while !self.is_over && self.raw.len() < least {
            match self.below.read(&mut piece) {
                Ok(0) => self.is_over = true,
                Ok(length) => self.raw.extend(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn decode(&mut self) {
        let raw = self.raw.make_contiguous();
        let mut text = String::with_capacity(raw.len());
        let used = match self.encoding {
            Encoding::Utf8 => utf8(raw, self.is_over, &mut text),
            Encoding::Western => {
                text.extend(raw.iter().map(|byte| match byte {
                    0x80..=0x9f => WESTERN[usize::from(byte - 0x80)],
                    byte => char::from(*byte),
                }));
                raw.len()
            }
            Encoding::Utf16 { is_big } => utf16(raw, is_big, self.is_over, &mut text),
        };
        self.raw.drain(..used);
        (self.ready, self.taken) = (text.into_bytes(), 0);
    }
}

/// Decodes what is whole; returns how many bytes that were.
fn utf8(raw: &[u8], is_over: bool, text: &mut String) -> usize {
    let mut used = 0;
    for chunk in raw.utf8_chunks() {
        text.push_str(chunk.valid());
        used += chunk.valid().len();
        let is_cut = used + chunk.invalid().len() == raw.len() && chunk.invalid().len() < 4;
        if chunk.invalid().is_empty() || (is_cut && !is_over) {
            break;
        }
        text.push('\u{fffd}');
        used += chunk.invalid().len();
    }
    used
}

fn utf16(raw: &[u8], is_big: bool, is_over: bool, text: &mut String) -> usize {
    let units: Vec<u16> = raw
        .chunks_exact(2)
        .map(|pair| if is_big { u16::from_be_bytes([pair[0], pair[1]]) } else { u16::from_le_bytes([pair[0], pair[1]]) })
        .collect();
    // The second half of a pair may be still to come.
    let is_cut = units.last().is_some_and(|last| (0xd800..0xdc00).contains(last));
    let whole = if is_cut && !is_over { &units[..units.len() - 1] } else { &units };
    text.extend(char::decode_utf16(whole.iter().copied()).map(|c| c.unwrap_or('\u{fffd}')));
    if is_over { raw.len() } else { whole.len() * 2 }
}

/// Returns the encoding that the declaration of a file names.
fn declared(head: &[u8]) -> io::Result<Encoding> {
    let head = String::from_utf8_lossy(head);
    let declaration = head.trim_start().strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")).map_or("", |(inside, _)| inside);
    let named = declaration.split_once("encoding").and_then(|(_, rest)| {
        let rest = rest.trim_start().strip_prefix('=')?.trim_start();
        let quote = rest.chars().next().filter(|c| "\"'".contains(*c))?;
        rest[1..].split_once(quote).map(|(name, _)| name)
    });
    match named.unwrap_or("utf-8").to_ascii_lowercase().as_str() {
        // What says UTF-16 in a text of single bytes is wrong about itself.
        "utf-8" | "utf8" | "us-ascii" | "ascii" | "utf-16" => Ok(Encoding::Utf8),
        "iso-8859-1" | "iso8859-1" | "iso_8859-1" | "latin1" | "latin-1" | "windows-1252" | "cp1252" => Ok(Encoding::Western),
        other => {
            let other: String = other.chars().take(40).collect();
            Err(io::Error::other(format!("is written in `{other}`, which is not read here: let it be written in UTF-8")))
        }
    }
}

/// Returns all that `bytes` give, without the mark of its encoding.
///
/// # Errors
/// Where it cannot be read, is empty, or is larger than `largest`.
pub(super) fn whole(bytes: impl Read, largest: u64) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    bytes.take(largest + 1).read_to_end(&mut text).map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > largest {
        return Err(format!("is larger than {} MiB", largest >> 20));
    }
    if text.starts_with(b"\xef\xbb\xbf") {
        text.drain(..3);
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err("is empty".to_owned());
    }
    Ok(text)
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let length = ready.len().min(buffer.len());
        buffer[..length].copy_from_slice(&ready[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl<R: Read> BufRead for Text<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.taken == self.ready.len() && !(self.is_over && self.raw.is_empty()) {
            self.fill_raw(self.raw.len() + 1)?;
            self.decode();
        }
        if self.allowed == 0 && self.taken < self.ready.len() {
            return Err(io::Error::other("holds one piece that is too large to be read"));
        }
        Ok(&self.ready[self.taken..])
    }

    fn consume(&mut self, amount: usize) {
        self.taken += amount;
        self.allowed = self.allowed.saturating_sub(amount as u64);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives a few bytes at a time.
    struct Slow<'b>(&'b [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    fn read(bytes: &[u8], step: usize) -> io::Result<String> {
        let mut text = String::new();
        Text::new(Slow(bytes, step))?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn each_encoding_is_read() {
        let utf16 = |text: &str, big: bool| -> Vec<u8> {
            text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
        };
        let text = "<a>größe 😀</a>";
        for step in [1, 3, 1000] {
            assert_eq!(read(text.as_bytes(), step).unwrap(), text);
            assert_eq!(read(&[b"\xef\xbb\xbf", text.as_bytes()].concat(), step).unwrap(), text);
            assert_eq!(read(&utf16(&format!("\u{feff}{text}"), true), step).unwrap(), text);
            assert_eq!(read(&utf16(&format!("\u{feff}{text}"), false), step).unwrap(), text);
            assert_eq!(read(&utf16(text, true), step).unwrap(), text);
            let head = "<?xml version='1.0' encoding = \"ISO-8859-1\"?>";
            assert_eq!(read(&[head.as_bytes(), b"gr\xf6\xdfe \x80"].concat(), step).unwrap(), format!("{head}größe €"));
            assert_eq!(read(b"a\xffb\xe2\x82", step).unwrap(), "a\u{fffd}b\u{fffd}");
        }
        let error = read(b"<?xml version='1.0' encoding='EBCDIC'?><a/>", 9).unwrap_err();
        assert_eq!(error.to_string(), "is written in `ebcdic`, which is not read here: let it be written in UTF-8");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(bytes in prop::collection::vec(any::<u8>(), 0..200), step in 1usize..9) {
            prop_assert_eq!(read(&bytes, step).ok(), read(&bytes, 1000).ok());
        }

        #[test]
        fn valid_text_stays_as_it_is(text in "[a-zß€😀 ]{0,80}", step in 1usize..9) {
            prop_assert_eq!(read(text.as_bytes(), step).unwrap(), text);
        }
    }
}
