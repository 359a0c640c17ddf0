//! Writing to somebody who may have gone.

use std::io::{self, ErrorKind, Write};

/// A writer that never fails: once the reader has gone (`| head`) it writes nothing more, and of any other error it keeps the first.
#[derive(Debug)]
pub struct Tolerant<W> {
    inner: W,
    gone: bool,
    error: Option<io::Error>,
}

impl<W: Write> Tolerant<W> {
    /// Wraps `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, gone: false, error: None }
    }

    /// Returns what went wrong, other than that the reader has gone.
    pub fn into_error(self) -> Option<io::Error> {
        self.error
    }

    /// Returns what was written to, or what went wrong.
    ///
    /// # Errors
    /// The first that there was.
    pub fn into_inner(self) -> io::Result<W> {
        self.error.map_or(Ok(self.inner), Err)
    }

    fn attempt(&mut self, write: impl FnOnce(&mut W) -> io::Result<()>) {
        if self.gone {
            return;
        }
        if let Err(error) = write(&mut self.inner) {
            self.gone = true;
            self.error = (error.kind() != ErrorKind::BrokenPipe).then_some(error);
        }
    }
}

impl<W: Write> Write for Tolerant<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.attempt(|inner| inner.write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.attempt(W::flush);
        Ok(())
    }
}
