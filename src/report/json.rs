//! Events as JSON lines (contract, section 5).

use std::io::{BufWriter, Write};

use memchr::memmem;

use crate::model::event::{Event, Listener};

/// Writes each event as one line; what it writes to must not fail.
#[derive(Debug)]
pub struct JsonReporter<W: Write> {
    out: BufWriter<W>,
    /// The event that is written; kept for its room.
    line: Vec<u8>,
}

impl<W: Write> JsonReporter<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out: BufWriter::with_capacity(128 * 1024, out), line: Vec::new() }
    }

    /// Returns what it wrote to, with all events in it.
    pub fn into_inner(mut self) -> W {
        let _tolerant = self.out.flush();
        self.out.into_parts().0
    }
}

impl<W: Write> Listener for JsonReporter<W> {
    fn hear(&mut self, event: &Event) {
        self.line.clear();
        event.write_json(&mut self.line);
        self.line.push(b'\n');
        // What some CI systems obey anywhere in a line; within a string both mean the same.
        if memmem::find(&self.line, b"##[").is_some() {
            self.line = String::from_utf8_lossy(&self.line).replace("#[", r"\u0023[").into_bytes();
        }
        let _tolerant = self.out.write_all(&self.line);
    }

    fn idle(&mut self) -> Option<std::time::Duration> {
        let _tolerant = self.out.flush();
        None
    }
}
