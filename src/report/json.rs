//! Events as JSON lines (contract, section 5).

use std::io::{BufWriter, Write};

use crate::model::event::{Event, Listener};

/// Writes each event as one line; what it writes to must not fail.
#[derive(Debug)]
pub struct JsonReporter<W: Write> {
    out: BufWriter<W>,
}

impl<W: Write> JsonReporter<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out: BufWriter::with_capacity(128 * 1024, out) }
    }

    /// Returns what it wrote to, with all events in it.
    pub fn into_inner(mut self) -> W {
        let _tolerant = self.out.flush();
        self.out.into_parts().0
    }
}

impl<W: Write> Listener for JsonReporter<W> {
    fn hear(&mut self, event: &Event) {
        let line = event.to_json();
        // What some CI systems obey anywhere in a line; within a string both mean the same.
        let line = if line.contains("##[") { line.replace("#[", r"\u0023[") } else { line };
        let _tolerant = writeln!(self.out, "{line}");
    }

    fn idle(&mut self) -> Option<std::time::Duration> {
        let _tolerant = self.out.flush();
        None
    }
}
