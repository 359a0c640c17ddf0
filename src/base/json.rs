//! Text as a JSON string, fast: for the much that steps print.
//!
//! Byte for byte what `serde_json` writes, which looks at one byte at a time.

/// How many bytes are looked at at once: what every processor can compare in one go. A number known beforehand, or they are not.
const BLOCK: usize = 16;

/// Appends `text` as a JSON string (RFC 8259, section 7), with its quotes.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + bytes.len() / 32 + 2);
    out.push(b'"');
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let mut done = 0;
    for (number, block) in blocks.iter().enumerate() {
        // Without a way out of the loop, so that all of a block is compared at once.
        if block.iter().fold(false, |found, byte| found | is_special(*byte)) {
            write_block(bytes, number * BLOCK, block, &mut done, out);
        }
    }
    write_block(bytes, blocks.len() * BLOCK, rest, &mut done, out);
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
}

/// Appends `text` as a JSON string, or null where there is none.
pub fn write_option(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => write_string(text, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Writes all up to the last special byte of the block at `start`; what is before `done` is written.
fn write_block(bytes: &[u8], start: usize, block: &[u8], done: &mut usize, out: &mut Vec<u8>) {
    for (place, byte) in block.iter().enumerate().filter(|(_, byte)| is_special(**byte)) {
        out.extend_from_slice(&bytes[*done..start + place]);
        write_special(*byte, out);
        *done = start + place + 1;
    }
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn write_special(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        b'"' | b'\\' => byte,
        _ => {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        write_string(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_ascii_character_is_written_as_serde_does() {
        let all: String = (0..=0x7f_u8).map(char::from).collect();
        for text in [all.as_str(), "", "\n", "ä\u{2028}\u{1f600}", &all.repeat(3)] {
            assert_eq!(written(text), serde_json::to_string(text).unwrap());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_does(text in "(.|\n|\"|\\\\|\u{1}){0,200}") {
            prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
