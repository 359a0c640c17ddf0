//! Values that must not be seen, and the mask that hides them in whatever leaves the process.
//!
//! Knows the forms in which a value commonly turns up (raw, URL, base64, hex, JSON), not where a value comes from. A value that a
//! step transforms in another way cannot be recognised.

use std::borrow::Cow;
use std::fmt;

use aho_corasick::{AhoCorasick, MatchKind};

use super::base64::{STANDARD, URL_SAFE, encode};

/// What stands where a secret stood.
const MASK: &[u8] = b"***";

/// A value shorter than this cannot be masked without masking ordinary text; in bytes.
pub const SHORTEST: usize = 4;

/// The values to hide, compiled for search.
#[derive(Clone)]
pub struct Masker {
    search: Option<AhoCorasick>,
    forms: Vec<Vec<u8>>,
    longest: usize,
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masker({} forms)", self.forms.len())
    }
}

impl Masker {
    /// Returns a mask for `values` in all their forms; values shorter than [`SHORTEST`] are left out.
    ///
    /// # Panics
    /// Never: the search over plain byte strings always compiles within its limits for values that fit in an environment.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms: Vec<Vec<u8>> = values.into_iter().flat_map(forms).filter(|form| form.len() >= SHORTEST).collect();
        forms.sort_unstable();
        forms.dedup();
        let longest = forms.iter().map(Vec::len).max().unwrap_or(0);
        let search = (!forms.is_empty())
            .then(|| AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&forms).expect("byte strings compile"));
        Self { search, forms, longest }
    }

    /// Returns `text` with every secret hidden.
    pub fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let Some(search) = &self.search else {
            return Cow::Borrowed(text);
        };
        if !search.is_match(text) {
            return Cow::Borrowed(text);
        }
        let mut stream = MaskStream::default();
        let mut hidden = stream.push(self, text.as_bytes().to_vec());
        hidden.extend(stream.finish(self));
        Cow::Owned(String::from_utf8_lossy(&hidden).into_owned())
    }

    /// Tells whether a secret stands in `bytes`.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.search.as_ref().is_some_and(|search| search.is_match(bytes))
    }

    /// Returns the length of the longest form, in bytes: whoever looks at pieces must let them overlap by one byte less.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Returns where the longest ending of `bytes` begins that could still grow into a secret.
    fn held_from(&self, bytes: &[u8]) -> usize {
        let first = bytes.len().saturating_sub(self.longest.saturating_sub(1));
        (first..bytes.len())
            .find(|start| {
                let ending = &bytes[*start..];
                self.forms.iter().any(|form| form.len() > ending.len() && form.starts_with(ending))
            })
            .unwrap_or(bytes.len())
    }
}

/// Masks one stream that arrives in pieces, with the same result as masking it whole.
#[derive(Debug, Default)]
pub struct MaskStream {
    held: Vec<u8>,
}

impl MaskStream {
    /// Takes the next piece, and returns what is certain by now to hold no part of a secret.
    pub fn push(&mut self, masker: &Masker, piece: Vec<u8>) -> Vec<u8> {
        let Some(search) = &masker.search else {
            return piece;
        };
        let bytes = if self.held.is_empty() {
            piece
        } else {
            let mut bytes = std::mem::take(&mut self.held);
            bytes.extend(piece);
            bytes
        };
        let hold = masker.held_from(&bytes);
        let mut out = Vec::with_capacity(bytes.len());
        let mut done = 0;
        for found in search.find_iter(&bytes).take_while(|found| found.start() < hold) {
            out.extend_from_slice(&bytes[done..found.start()]);
            out.extend_from_slice(MASK);
            done = found.end();
        }
        let hold = hold.max(done);
        out.extend_from_slice(&bytes[done..hold]);
        self.held = bytes[hold..].to_vec();
        out
    }

    /// Returns what was held back: the stream has ended, so it did not grow into a longer secret. It may hold a shorter one.
    pub fn finish(&mut self, masker: &Masker) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        match &masker.search {
            Some(search) => search.replace_all_bytes(&held, &vec![MASK; masker.forms.len()]),
            None => held,
        }
    }
}

/// Returns every form in which `value` is to be hidden.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let lines = value.lines().map(str::trim).filter(|line| value.contains('\n') && line.len() >= 8);
    let mut forms = Vec::new();
    for text in std::iter::once(value).chain(std::iter::once(value.trim())).chain(lines).filter(|text| !text.trim().is_empty()) {
        let bytes = text.as_bytes();
        let json = serde_json::to_string(text).unwrap_or_default();
        forms.push(bytes.to_vec());
        let json = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or(&json);
        forms.push(json.as_bytes().to_vec());
        forms.push(ascii_json(json).into_bytes());
        forms.push(json.replace('/', "\\/").into_bytes());
        forms.push(json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e").into_bytes());
        forms.push(text.replace('\'', "'\\''").into_bytes());
        for upper in [true, false] {
            forms.push(percent(bytes, upper, false));
            forms.push(percent(bytes, upper, true));
            forms.push(hex(bytes, upper));
            // As programs write paths in addresses.
            forms.push(
                text.split('/')
                    .map(|part| String::from_utf8_lossy(&percent(part.as_bytes(), upper, false)).into_owned())
                    .collect::<Vec<_>>()
                    .join("/")
                    .into_bytes(),
            );
        }
        for alphabet in [STANDARD, URL_SAFE] {
            forms.extend(base64_forms(bytes, alphabet));
        }
    }
    forms
}

/// JSON whose characters beyond ASCII are written as `\\uXXXX`.
fn ascii_json(json: &str) -> String {
    let mut units = [0; 2];
    json.chars().fold(String::new(), |mut text, c| {
        if c.is_ascii() {
            text.push(c);
        } else {
            text.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
        text
    })
}

fn hex(bytes: &[u8], upper: bool) -> Vec<u8> {
    bytes.iter().flat_map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }.into_bytes()).collect()
}

/// Percent-encoding (RFC 3986, section 2.1); `form` writes a space as `+`, as HTML forms do.
fn percent(bytes: &[u8], upper: bool, form: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte),
            b' ' if form => out.push(b'+'),
            byte => {
                out.push(b'%');
                out.extend(hex(&[byte], upper));
            }
        }
    }
    out
}

/// Base64 (RFC 4648) of `bytes` alone, and the part that does not change when other bytes stand before and behind them, for each
/// of the three alignments.
fn base64_forms(bytes: &[u8], alphabet: &[u8; 64]) -> Vec<Vec<u8>> {
    let mut forms = Vec::with_capacity(4);
    for before in 0..3 {
        let mut padded = vec![0; before];
        padded.extend_from_slice(bytes);
        let encoded = encode(&padded, alphabet);
        let whole_bits = padded.len() * 8 / 6;
        let unstable_start = (before * 8).div_ceil(6);
        forms.extend(encoded.get(unstable_start..whole_bits).map(<[u8]>::to_vec));
        if before == 0 {
            // As the common programs break it into lines.
            forms.extend(
                [64, 76]
                    .iter()
                    .filter(|width| encoded.len() > **width)
                    .flat_map(|width| encoded.chunks(*width))
                    .filter(|line| line.len() >= 8)
                    .map(<[u8]>::to_vec),
            );
            forms.push(encoded);
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hide_in_pieces(masker: &Masker, text: &[u8], sizes: &[usize]) -> Vec<u8> {
        let mut stream = MaskStream::default();
        let mut out = Vec::new();
        let mut rest = text;
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at((*size).min(rest.len()));
            out.extend(stream.push(masker, piece.to_vec()));
            rest = behind;
        }
        out.extend(stream.finish(masker));
        out
    }

    #[test]
    fn every_form_is_hidden() {
        let secret = "p@ss \"wörd\"/+?";
        let masker = Masker::new([secret]);
        for form in [
            secret.to_owned(),
            "p%40ss%20%22w%C3%B6rd%22%2F%2B%3F".into(),
            "p%40ss+%22w%c3%b6rd%22%2f%2b%3f".into(),
            serde_json::to_string(secret).unwrap(),
        ] {
            let shown = masker.hide(&form).into_owned();
            assert!(shown.contains("***") && !shown.contains("ss"), "{form} -> {shown}");
        }
        let alone = String::from_utf8(encode(secret.as_bytes(), STANDARD)).unwrap();
        assert_eq!(masker.hide(&alone), "***");
        for before in ["", "a", "ab", "abc"] {
            let whole = String::from_utf8(encode(format!("{before}{secret}xyz").as_bytes(), STANDARD)).unwrap();
            assert!(masker.hide(&whole).contains("***"), "{whole}");
        }
    }

    #[test]
    fn each_line_of_a_long_value_is_hidden_alone() {
        let masker = Masker::new(["-----BEGIN-----\nMIIEvQIBADAN\n-----END-----\n"]);
        assert_eq!(masker.hide("key: MIIEvQIBADAN."), "key: ***.");
    }

    #[test]
    fn the_forms_of_common_programs_are_hidden() {
        let masker = Masker::new(["p@ss/wörd's & <more> than fifty-eight bytes, so that base64 breaks it into lines"]);
        let text = "p@ss/wörd's & <more> than fifty-eight bytes, so that base64 breaks it into lines";
        let encoded = String::from_utf8(encode(text.as_bytes(), STANDARD)).unwrap();
        let lines = [&encoded[..76], &encoded[76..]].join("\n");
        assert_eq!(masker.hide(&lines), "***\n***");
        for form in [
            "p%40ss/w%C3%B6rd%27s%20%26%20%3Cmore%3E",
            "p@ss/w\\u00f6rd's & <more>",
            "p@ss\\/wörd's",
            "p@ss/wörd's \\u0026 \\u003cmore",
            "p@ss/wörd'\\''s",
        ] {
            let rest = match form.split_once("more") {
                _ if form.starts_with("p%40") => {
                    form.to_owned() + "%20than%20fifty-eight%20bytes%2C%20so%20that%20base64%20breaks%20it%20into%20lines"
                }
                Some(_) if form.ends_with("more") => {
                    form.to_owned() + "\\u003e than fifty-eight bytes, so that base64 breaks it into lines"
                }
                Some(_) => form.to_owned() + " than fifty-eight bytes, so that base64 breaks it into lines",
                None => form.to_owned() + " & <more> than fifty-eight bytes, so that base64 breaks it into lines",
            }
            .replace("''s & <more>> than", "''s & <more> than");
            assert_eq!(masker.hide(&rest), "***", "{rest}");
        }
    }

    #[test]
    fn a_secret_that_begins_a_longer_one_is_hidden_at_the_end() {
        assert_eq!(Masker::new(["bbaca", "bbac"]).hide("x bbac"), "x ***");
    }

    #[test]
    fn a_blank_value_is_no_secret() {
        assert_eq!(Masker::new(["    ", "\n\n\n\n"]).hide("a    b"), "a    b");
    }

    #[test]
    fn a_short_value_is_left_alone() {
        assert_eq!(Masker::new(["abc"]).hide("abcabc"), "abcabc");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[abc]{0,60}", secrets in prop::collection::vec("[abc]{4,7}", 1..4), sizes in prop::collection::vec(1usize..9, 1..8)) {
            let masker = Masker::new(secrets.iter().map(String::as_str));
            let whole = hide_in_pieces(&masker, text.as_bytes(), &[1000]);
            prop_assert_eq!(&whole, &hide_in_pieces(&masker, text.as_bytes(), &sizes));
            let oracle = masker.search.as_ref().unwrap().replace_all_bytes(text.as_bytes(), &vec!["***"; masker.forms.len()]);
            prop_assert_eq!(whole, oracle);
        }
    }
}
