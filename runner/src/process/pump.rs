//! Reads a child's two pipes, whichever has something.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdout};

use super::output::{Collector, Stream};

/// What is read at once, at first and at most.
const CHUNK_BYTES_MIN: usize = 4 << 10;
const CHUNK_BYTES_MAX: usize = 64 << 10;

/// Reads a child's two pipes into a collector.
pub(super) struct Pump {
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    buffer: Vec<u8>,
    collector: Arc<Mutex<Collector>>,
}

impl Pump {
    pub(super) fn new(child: &mut Child, collector: Arc<Mutex<Collector>>) -> Self {
        Self {
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            buffer: vec![0; CHUNK_BYTES_MIN],
            collector,
        }
    }

    /// Whether a pipe may still give something.
    pub(super) fn is_open(&self) -> bool {
        self.stdout.is_some() || self.stderr.is_some()
    }

    /// Reads once from each pipe that has something; never resolves when both have ended. Nothing is lost when it is
    /// dropped.
    pub(super) async fn read(&mut self) {
        poll_fn(|context| {
            let stdout = poll(
                &mut self.stdout,
                Stream::Stdout,
                &mut self.buffer,
                &self.collector,
                context,
            );
            let stderr = poll(
                &mut self.stderr,
                Stream::Stderr,
                &mut self.buffer,
                &self.collector,
                context,
            );
            if stdout.is_ready() || stderr.is_ready() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Reads until both pipes have ended.
    pub(super) async fn drain(&mut self) {
        while self.is_open() {
            self.read().await;
        }
    }
}

fn poll<R: AsyncRead + Unpin>(
    pipe: &mut Option<R>,
    stream: Stream,
    buffer: &mut Vec<u8>,
    collector: &Mutex<Collector>,
    context: &mut Context<'_>,
) -> Poll<()> {
    let Some(reader) = pipe else {
        return Poll::Pending;
    };
    let mut read = ReadBuf::new(buffer);
    let result: Poll<io::Result<()>> = Pin::new(reader).poll_read(context, &mut read);
    let length = read.filled().len();
    match result {
        Poll::Pending => return Poll::Pending,
        Poll::Ready(Ok(())) if length > 0 => {
            collector
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(stream, &buffer[..length]);
            if length == buffer.len() && length < CHUNK_BYTES_MAX {
                buffer.resize(CHUNK_BYTES_MAX, 0);
            }
        }
        // An error on a pipe is its end: there is nothing more to be had.
        Poll::Ready(_) => {
            *pipe = None;
            collector
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .finish(stream);
        }
    }
    Poll::Ready(())
}
