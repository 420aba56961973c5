//! Standard input on its way to a command that reads slowly, or never.
//!
//! The connection is shared by all its channels and is read by one loop, so input must always be taken from it at once:
//! what the command has not read yet waits in memory, and beyond a limit in an unnamed file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use bytes::Bytes;

/// What waits in memory before the file is used.
const MEMORY_BYTES_MAX: usize = 1 << 20;
/// What may wait at all.
const SPOOL_BYTES_MAX: u64 = 4 << 30;
/// What is read back from the file at once.
const CHUNK_BYTES: usize = 64 << 10;

/// A queue of bytes: first memory, then a file.
#[derive(Debug, Default)]
pub(super) struct Spool {
    memory: VecDeque<Bytes>,
    memory_bytes: usize,
    file: Option<File>,
    /// Where the file is read and written next.
    read_at: u64,
    write_at: u64,
}

impl Spool {
    /// Takes bytes in.
    ///
    /// # Errors
    /// When the file cannot be written, or too much waits already.
    pub(super) fn push(&mut self, bytes: Bytes) -> io::Result<()> {
        if self.read_at == self.write_at && self.memory_bytes + bytes.len() <= MEMORY_BYTES_MAX {
            self.memory_bytes += bytes.len();
            self.memory.push_back(bytes);
            return Ok(());
        }
        if self.write_at - self.read_at + bytes.len() as u64 > SPOOL_BYTES_MAX {
            return Err(io::Error::other(
                "too much standard input waits for the command",
            ));
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        // The file is only appended to; when it was read to its end it begins anew.
        file.write_all(&bytes)?;
        self.write_at += bytes.len() as u64;
        Ok(())
    }

    /// The next bytes, if any wait.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn pop(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(bytes) = self.memory.pop_front() {
            self.memory_bytes -= bytes.len();
            return Ok(Some(bytes));
        }
        let waiting = self.write_at - self.read_at;
        let Some(file) = self.file.as_ref().filter(|_| waiting > 0) else {
            return Ok(None);
        };
        let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(waiting).unwrap_or(CHUNK_BYTES))];
        file.read_exact_at(&mut chunk, self.read_at)?;
        self.read_at += chunk.len() as u64;
        if self.read_at == self.write_at {
            self.file = None;
            (self.read_at, self.write_at) = (0, 0);
        }
        Ok(Some(chunk.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_the_order_they_went_in_whatever_the_amount() {
        let mut spool = Spool::default();
        let block = |n: u8| Bytes::from(vec![n; 300 << 10]);
        for n in 0..20 {
            spool.push(block(n)).unwrap();
        }
        assert!(spool.memory_bytes <= MEMORY_BYTES_MAX);
        let (mut out, mut pops) = (Vec::new(), 0);
        while let Some(bytes) = spool.pop().unwrap() {
            out.extend_from_slice(&bytes);
            pops += 1;
            if pops == 5 {
                spool.push(block(20)).unwrap();
            }
        }
        let expected: Vec<u8> = (0..=20).flat_map(|n| vec![n; 300 << 10]).collect();
        assert!(out == expected, "{} bytes of {}", out.len(), expected.len());
        spool.push(block(1)).unwrap();
        assert!(
            spool.file.is_none(),
            "an empty spool begins in memory again"
        );
    }
}
