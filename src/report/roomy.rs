//! Standard output that gives a pipe more room where much is written to it: its reader is then woken less often.

use std::io::{self, Stdout, Write};

/// As soon as so much was written, in bytes.
const MUCH: usize = 256 * 1024;

/// How much a pipe may hold then, in bytes: what Linux allows everybody.
#[cfg(target_os = "linux")]
const ROOM: usize = 1024 * 1024;

/// Standard output, whatever it is.
#[derive(Debug)]
pub struct Roomy {
    out: Stdout,
    /// How much was written; [`MUCH`] at most.
    written: usize,
}

impl Roomy {
    /// Wraps `out`.
    pub fn new(out: Stdout) -> Self {
        Self { out, written: 0 }
    }

    fn count(&mut self, length: usize) {
        if self.written >= MUCH {
            return;
        }
        self.written = MUCH.min(self.written.saturating_add(length));
        #[cfg(target_os = "linux")]
        if self.written == MUCH && rustix::pipe::fcntl_getpipe_size(&self.out).is_ok_and(|size| size < ROOM) {
            // Refused where the user's pipes are at their limit: then it stays as it is.
            let _refused = rustix::pipe::fcntl_setpipe_size(&self.out, ROOM);
        }
    }
}

impl Write for Roomy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.count(bytes.len());
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
