//! A stage's log as it is stored: what its steps printed, in the order in which it was read, with the checkout's path taken out.
//!
//! Knows its format; knows nothing of where it is kept.
//!
//! Format, version 1: the line `shipway log 1`, then frames: a tag (one byte), a length (four bytes, little endian), and so many bytes.
//! Tag 0 and 1 are pieces of standard output and standard error; 2 and 3 are empty and stand for the checkout's path in one of them; 4
//! begins the step whose number, from 0, is in the bytes (four, little endian).

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use memchr::memmem;
use tempfile::SpooledTempFile;

use crate::model::event::Stream;

const HEADER: &[u8] = b"shipway log 1\n";
const ROOT: u8 = 2;
const STEP: u8 = 4;

/// Memory that a log may take before it goes to a temporary file.
const IN_MEMORY: usize = 64 * 1024;

/// The longest piece that is read back.
const LONGEST: usize = 1 << 20;

/// Takes down a log while its stage runs.
#[derive(Debug)]
pub struct LogWriter {
    out: SpooledTempFile,
    root: Vec<u8>,
    /// Of each stream, the end of what came that may be the beginning of the checkout's path.
    held: [Vec<u8>; 2],
    step: u32,
    is_empty: bool,
    error: Option<io::Error>,
}

impl LogWriter {
    /// Begins the log of a stage that runs in the checkout at `root`.
    pub fn new(root: &str) -> Self {
        let mut writer = Self {
            out: SpooledTempFile::new(IN_MEMORY),
            root: root.as_bytes().to_vec(),
            held: [Vec::new(), Vec::new()],
            step: 0,
            is_empty: true,
            error: None,
        };
        writer.write(HEADER);
        writer
    }

    /// Says that what follows is of the step with this number, from 0.
    pub fn step(&mut self, step: usize) {
        self.flush();
        let step = u32::try_from(step).unwrap_or(u32::MAX);
        if self.step != step {
            self.step = step;
            self.frame(STEP, &step.to_le_bytes());
        }
    }

    /// Takes what the step printed.
    pub fn push(&mut self, stream: Stream, text: &[u8]) {
        let place = usize::from(stream == Stream::Stderr);
        self.is_empty &= text.is_empty();
        let mut whole = std::mem::take(&mut self.held[place]);
        whole.extend_from_slice(text);
        let tag = u8::from(stream == Stream::Stderr);
        let root = std::mem::take(&mut self.root);
        let mut done = 0;
        for found in memmem::find_iter(&whole, &root) {
            self.frame(tag, &whole[done..found]);
            self.frame(ROOT + tag, b"");
            done = found + root.len();
        }
        let keep = begun(&whole[done..], &root);
        self.root = root;
        self.frame(tag, &whole[done..whole.len() - keep]);
        self.held[place] = whole.split_off(whole.len() - keep);
    }

    /// Ends the log. Returns it, from its beginning; `None` where nothing was printed.
    ///
    /// # Errors
    /// Where a part of it could not be kept.
    pub fn finish(mut self) -> io::Result<Option<SpooledTempFile>> {
        self.flush();
        if let Some(error) = self.error {
            return Err(error);
        }
        self.out.seek(SeekFrom::Start(0))?;
        Ok((!self.is_empty).then_some(self.out))
    }

    fn flush(&mut self) {
        for (tag, place) in [(0, 0), (1, 1)] {
            let held = std::mem::take(&mut self.held[place]);
            self.frame(tag, &held);
        }
    }

    fn frame(&mut self, tag: u8, bytes: &[u8]) {
        if bytes.is_empty() && tag < ROOT {
            return;
        }
        for piece in bytes.chunks(LONGEST).chain(bytes.is_empty().then_some(bytes)) {
            self.write(&[tag]);
            self.write(&u32::try_from(piece.len()).unwrap_or(0).to_le_bytes());
            self.write(piece);
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.error.is_none() {
            self.error = self.out.write_all(bytes).err();
        }
    }
}

/// Returns how many bytes at the end of `text` begin `word` without completing it.
fn begun(text: &[u8], word: &[u8]) -> usize {
    (1..word.len().min(text.len() + 1)).rev().find(|length| text.ends_with(&word[..*length])).unwrap_or(0)
}

/// Reads a log and gives each piece, with its step and stream, to `take`; the checkout's path is `root` now.
///
/// # Errors
/// Where it is no such log; then a part of it may have been given.
pub fn replay(reader: impl Read, root: &str, take: &mut dyn FnMut(usize, Stream, Vec<u8>)) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(128 * 1024, reader);
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the log is damaged");
    let mut header = [0; HEADER.len()];
    reader.read_exact(&mut header)?;
    if header != *HEADER {
        return Err(damaged());
    }
    let (mut step, mut pending) = (0, (Stream::Stdout, Vec::new()));
    loop {
        let mut head = [0; 5];
        if reader.read(&mut head[..1])? == 0 {
            break;
        }
        reader.read_exact(&mut head[1..])?;
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut bytes = vec![0; Some(length).filter(|length| *length <= LONGEST).ok_or_else(damaged)?];
        reader.read_exact(&mut bytes)?;
        let tag = head[0];
        match tag {
            0..STEP => {
                let stream = if tag & 1 == 0 { Stream::Stdout } else { Stream::Stderr };
                let text = if tag < ROOT { bytes } else { root.as_bytes().to_vec() };
                if pending.0 == stream && pending.1.len() + text.len() <= LONGEST {
                    pending.1.extend(text);
                } else {
                    give(step, &mut pending, take);
                    pending = (stream, text);
                }
            }
            STEP => {
                give(step, &mut pending, take);
                step = bytes.first_chunk::<4>().map(|number| u32::from_le_bytes(*number) as usize).ok_or_else(damaged)?;
            }
            _ => return Err(damaged()),
        }
    }
    give(step, &mut pending, take);
    Ok(())
}

fn give(step: usize, pending: &mut (Stream, Vec<u8>), take: &mut dyn FnMut(usize, Stream, Vec<u8>)) {
    if !pending.1.is_empty() {
        take(step, pending.0, std::mem::take(&mut pending.1));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn collect(bytes: &[u8], root: &str) -> [Vec<u8>; 2] {
        let mut streams = [Vec::new(), Vec::new()];
        replay(bytes, root, &mut |_, stream, text| streams[usize::from(stream == Stream::Stderr)].extend(text)).unwrap();
        streams
    }

    fn stored(pieces: &[(bool, Vec<u8>)], root: &str) -> Vec<u8> {
        let mut writer = LogWriter::new(root);
        for (is_error, text) in pieces {
            writer.push(if *is_error { Stream::Stderr } else { Stream::Stdout }, text);
        }
        let mut bytes = Vec::new();
        if let Some(mut log) = writer.finish().unwrap() {
            log.read_to_end(&mut bytes).unwrap();
        }
        bytes
    }

    #[test]
    fn the_path_of_the_checkout_moves_along() {
        let bytes = stored(
            &[(false, b"in /home/a/proj".to_vec()), (false, b"ect/src".to_vec()), (true, b"/home/a/pro".to_vec())],
            "/home/a/project",
        );
        assert!(memmem::find(&bytes, b"/home/a/project").is_none());
        assert_eq!(collect(&bytes, "/elsewhere"), [b"in /elsewhere/src".to_vec(), b"/home/a/pro".to_vec()]);
    }

    #[test]
    fn steps_and_streams_keep_their_order() {
        let mut writer = LogWriter::new("/p");
        writer.step(0);
        writer.push(Stream::Stdout, b"a");
        writer.push(Stream::Stderr, b"b");
        writer.step(1);
        writer.push(Stream::Stdout, b"c");
        let mut seen = Vec::new();
        replay(writer.finish().unwrap().unwrap(), "/p", &mut |step, stream, text| seen.push((step, stream, text))).unwrap();
        let expected = [(0, Stream::Stdout, b"a".to_vec()), (0, Stream::Stderr, b"b".to_vec()), (1, Stream::Stdout, b"c".to_vec())];
        assert_eq!(seen, expected);
        assert!(LogWriter::new("/p").finish().unwrap().is_none());
    }

    #[test]
    fn what_is_no_log_is_refused() {
        for wrong in [
            &b""[..],
            b"shipway log 2\n",
            b"shipway log 1\n\x09\0\0\0\0",
            b"shipway log 1\n\0\xff\xff\xff\xff",
            b"shipway log 1\n\0\x05\0\0\0ab",
        ] {
            assert!(replay(wrong, "/p", &mut |_, _, _| ()).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn each_stream_comes_back_byte_for_byte(pieces in prop::collection::vec((any::<bool>(), "[/ab]{0,6}"), 0..20)) {
            let pieces: Vec<(bool, Vec<u8>)> = pieces.into_iter().map(|(is_error, text)| (is_error, text.into_bytes())).collect();
            let of = |wanted: bool| pieces.iter().filter(|(is_error, _)| *is_error == wanted).flat_map(|(_, text)| text.clone()).collect::<Vec<u8>>();
            let bytes = stored(&pieces, "/ab/a");
            if !bytes.is_empty() {
                prop_assert_eq!(collect(&bytes, "/ab/a"), [of(false), of(true)]);
            }
        }
    }
}
