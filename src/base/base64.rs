//! Base64 (RFC 4648).

/// The letters that most use.
pub const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The letters that may stand in an address.
pub const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Returns the bytes in these letters.
pub fn encode(bytes: &[u8], alphabet: &[u8; 64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let group = u32::from(three[0]) << 16 | u32::from(*three.get(1).unwrap_or(&0)) << 8 | u32::from(*three.get(2).unwrap_or(&0));
        for place in 0..4 {
            let letter = alphabet[(group >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= three.len() { letter } else { b'=' });
        }
    }
    out
}

/// Returns the bytes that a text in the letters of [`STANDARD`] stands for; `None` where it stands for none, or is not how it is written.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let letters = text.trim_end_matches('=').as_bytes();
    let mut out = Vec::with_capacity(letters.len() * 3 / 4);
    for four in letters.chunks(4) {
        let mut group = 0_u32;
        for letter in four {
            group = group << 6 | u32::try_from(STANDARD.iter().position(|known| known == letter)?).ok()?;
        }
        group <<= 6 * (4 - four.len());
        out.extend_from_slice(group.to_be_bytes().get(1..four.len())?);
    }
    // Of each value one text: no letters or signs that could be others.
    (encode(&out, STANDARD) == text.as_bytes()).then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_the_standard_one() {
        for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(encode(plain.as_bytes(), STANDARD), encoded.as_bytes());
            assert_eq!(decode(encoded).as_deref(), Some(plain.as_bytes()));
        }
        for wrong in ["Z", "Zg", "Zg=", "Zh==", "Zg==\n", "Z g=", "Zm9-", "====", "Zm9vé"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let text = String::from_utf8(encode(&bytes, STANDARD)).unwrap();
            prop_assert_eq!(decode(&text), Some(bytes));
        }
    }
}
