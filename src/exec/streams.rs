//! What a step prints: read from its two pipes, masked, and handed on as fast as somebody takes it.

use std::collections::VecDeque;
use std::io::PipeReader;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::buffer::spare_capacity;

use super::capture::Capture;
use super::executor::OutputSink;
use crate::base::buffers;
use crate::base::secret::Masker;
use crate::model::event::Stream;

/// How much is read at once of a step that prints little, and as soon as it prints more: as much as Linux keeps in a pipe, then more.
const CHUNKS: [usize; 3] = [4 * 1024, 64 * 1024, 256 * 1024];

/// A pipe for a step that prints much: fewer, larger reads.
#[cfg(target_os = "linux")]
const LARGE_PIPE: usize = 1024 * 1024;

/// How often a pipe may be read once nobody should write to it any more: more than twice what it can hold.
pub(super) const LAST_READS: usize = 40;

/// Both streams of a step.
#[derive(Debug)]
pub(super) struct Streams {
    pipes: [Pipe; 2],
    /// Read, but not taken yet: until it is, nothing more is read, which holds the step up and not us.
    waiting: VecDeque<(Stream, Vec<u8>)>,
}

/// One of the two streams.
#[derive(Debug)]
struct Pipe {
    stream: Stream,
    /// `None` once it has ended.
    reader: Option<PipeReader>,
    capture: Capture,
    /// Which of the [`CHUNKS`] is read next.
    pace: usize,
    /// It prints much, and was read before much was there.
    is_gathering: bool,
}

impl Streams {
    /// Reads from these ends of the pipes.
    pub(super) fn new(stdout: PipeReader, stderr: PipeReader) -> Self {
        let pipe = |stream, reader| Pipe { stream, reader: Some(reader), capture: Capture::default(), pace: 0, is_gathering: false };
        Self { pipes: [pipe(Stream::Stdout, stdout), pipe(Stream::Stderr, stderr)], waiting: VecDeque::new() }
    }

    /// Returns what to poll: nothing while something waits to be taken.
    pub(super) fn sources(&self) -> [Option<BorrowedFd<'_>>; 2] {
        let source = |index: usize| self.pipes[index].reader.as_ref().filter(|_| self.waiting.is_empty()).map(AsFd::as_fd);
        [source(0), source(1)]
    }

    /// Tells whether something waits to be taken.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Tells whether more would be read at once a moment later.
    pub(super) fn is_gathering(&self) -> bool {
        self.waiting.is_empty() && self.pipes.iter().any(|pipe| pipe.is_gathering)
    }

    /// Tells whether a stream has not ended.
    pub(super) fn is_open(&self) -> bool {
        self.pipes.iter().any(|pipe| pipe.reader.is_some())
    }

    /// Reads once from each stream that is ready.
    pub(super) fn read(&mut self, ready: [bool; 2], masker: &Masker) {
        for (pipe, _) in self.pipes.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            let text = pipe.read(masker);
            self.waiting.extend(text.filter(|text| !text.is_empty()).map(|text| (pipe.stream, text)));
        }
    }

    /// Hands on what waits, as far as it is taken.
    pub(super) fn offer(&mut self, output: &mut OutputSink<'_>) {
        while let Some((stream, text)) = self.waiting.pop_front() {
            if let Some(text) = output(stream, text) {
                self.waiting.push_front((stream, text));
                return;
            }
        }
    }

    /// Hands on all that waits, however long it takes.
    pub(super) fn flush(&mut self, output: &mut OutputSink<'_>) {
        while self.is_waiting() {
            self.offer(output);
        }
    }

    /// Closes the streams.
    pub(super) fn close(&mut self, masker: &Masker, output: &mut OutputSink<'_>) {
        for pipe in &mut self.pipes {
            let rest = pipe.close(masker);
            self.waiting.extend(rest.filter(|rest| !rest.is_empty()).map(|rest| (pipe.stream, rest)));
        }
        self.flush(output);
    }
}

impl Pipe {
    fn read(&mut self, masker: &Masker) -> Option<Vec<u8>> {
        let reader = self.reader.as_ref()?;
        let size = CHUNKS[self.pace];
        let mut bytes = buffers::take(size);
        match rustix::io::read(reader, spare_capacity(&mut bytes)) {
            Ok(0) => self.close(masker),
            Ok(length) => {
                if length >= size && self.pace + 1 < CHUNKS.len() {
                    self.pace += 1;
                    // Refused where the user's pipes are at their limit: then it stays as it is.
                    #[cfg(target_os = "linux")]
                    let _refused = (self.pace + 1 == CHUNKS.len()).then(|| rustix::pipe::fcntl_setpipe_size(reader, LARGE_PIPE));
                }
                self.is_gathering = self.pace + 1 == CHUNKS.len() && length < size / 2;
                Some(self.capture.push(masker, bytes))
            }
            Err(rustix::io::Errno::INTR) => None,
            Err(_) => self.close(masker),
        }
    }

    /// Ends the stream, and returns what was held back of it.
    fn close(&mut self, masker: &Masker) -> Option<Vec<u8>> {
        self.is_gathering = false;
        self.reader.take().map(|_| self.capture.finish(masker))
    }
}
