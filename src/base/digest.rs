//! What a content is known by: its SHA-256 and its size, as REAPI's `Digest` has it.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use sha2::{Digest as _, Sha256};

/// How much is read at once while hashing.
pub const CHUNK: usize = 256 * 1024;

thread_local! {
    /// What a chunk is read into: to make a new one for each of many small files takes longer than to hash them.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The SHA-256 of some bytes, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Returns the hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns its 64 hexadecimal digits.
    pub fn digits(&self) -> [u8; 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }

    /// Reads 64 lower-case hexadecimal digits; `None` where `text` is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(bytes))
    }
}

/// The hash of bytes that come piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Adds more bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the hash of all that was added.
    pub fn hash(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.digits()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A content's hash and its size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    /// The SHA-256.
    pub hash: Hash,
    /// The size in bytes.
    pub size: u64,
}

impl Digest {
    /// Returns the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self { hash: Hash::of(bytes), size: bytes.len() as u64 }
    }

    /// Reads `reader` to its end, in chunks, and returns the digest of all it gave; each chunk is shown to `watch` first.
    ///
    /// # Errors
    /// What reading, or `watch`, says.
    pub fn of_reader(reader: &mut dyn Read, watch: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<Self> {
        // Taken out, since whoever watches may hash something meanwhile.
        let mut chunk = BUFFER.take();
        chunk.resize(CHUNK, 0);
        let digest = Self::of_chunks(reader, &mut chunk, watch);
        BUFFER.set(chunk);
        digest
    }

    fn of_chunks(reader: &mut dyn Read, chunk: &mut [u8], watch: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<Self> {
        let mut hasher = Sha256::new();
        let mut size = 0;
        loop {
            let length = match reader.read(chunk) {
                Ok(0) => return Ok(Self { hash: Hash(hasher.finalize().into()), size }),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            watch(&chunk[..length])?;
            hasher.update(&chunk[..length]);
            size += length as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_hash_is_written_and_read_back() {
        assert_eq!(Hash::of(b"").to_string(), EMPTY);
        assert_eq!(Hash::parse(EMPTY), Some(Hash::of(b"")));
        for wrong in ["", &EMPTY[1..], &EMPTY.to_uppercase(), &format!("{EMPTY}0"), &EMPTY.replace('e', "g")] {
            assert_eq!(Hash::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_reader_is_hashed_in_chunks() {
        let bytes = vec![7; CHUNK * 2 + 5];
        let mut seen = 0;
        let digest = Digest::of_reader(&mut &*bytes, &mut |chunk| {
            seen += chunk.len();
            Ok(())
        });
        assert_eq!(digest.unwrap(), Digest::of(&bytes));
        assert_eq!(seen, bytes.len());
    }
}
