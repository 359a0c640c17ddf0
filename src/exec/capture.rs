//! One stream of a step: bytes in as they are read, masked text out, cut at no character.

use crate::base::secret::{MaskStream, Masker};

/// The state of one stream between two reads.
#[derive(Debug, Default)]
pub(super) struct Capture {
    mask: MaskStream,
    partial: Vec<u8>,
}

impl Capture {
    /// Takes what was read, and returns what may leave the process: the same piece of memory, where nothing in it is to be changed.
    pub(super) fn push(&mut self, masker: &Masker, bytes: Vec<u8>) -> Vec<u8> {
        let mut text = self.mask.push(masker, bytes);
        if !self.partial.is_empty() {
            let mut whole = std::mem::take(&mut self.partial);
            whole.append(&mut text);
            text = whole;
        }
        let whole = text.len() - unfinished(&text);
        if whole < text.len() {
            self.partial = text.split_off(whole);
        }
        text
    }

    /// Returns what was held back, at the end of the stream.
    pub(super) fn finish(&mut self, masker: &Masker) -> Vec<u8> {
        let mut text = std::mem::take(&mut self.partial);
        text.extend(self.mask.finish(masker));
        text
    }
}

/// Returns how many bytes at the end begin a UTF-8 character that is not complete.
fn unfinished(text: &[u8]) -> usize {
    for back in 1..=text.len().min(3) {
        let needed = match text[text.len() - back] {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if needed > back { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_character_is_cut_and_no_byte_is_lost(text in ".{0,40}", noise in prop::collection::vec(any::<u8>(), 0..6), size in 1usize..9) {
            let masker = Masker::new([]);
            let mut bytes = text.clone().into_bytes();
            let mut capture = Capture::default();
            let mut whole = Vec::new();
            for piece in bytes.chunks(size) {
                let out = capture.push(&masker, piece.to_vec());
                prop_assert!(std::str::from_utf8(&out).is_ok());
                whole.extend(out);
            }
            for piece in noise.chunks(size) {
                whole.extend(capture.push(&masker, piece.to_vec()));
            }
            whole.extend(capture.finish(&masker));
            bytes.extend(noise);
            prop_assert_eq!(whole, bytes);
        }
    }
}
