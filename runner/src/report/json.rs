//! `run --json`, `verify --json`: the events as JSON Lines, flushed line by line so that a reader follows the run.

use std::io::{self, Write};

use runbook::event::Event;

/// Writes events as JSON Lines.
#[derive(Debug)]
pub struct JsonLines<W> {
    out: W,
    line: Vec<u8>,
}

impl<W: Write> JsonLines<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            line: Vec::with_capacity(1024),
        }
    }

    /// Writes one line.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, event)?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)?;
        self.out.flush()
    }
}
