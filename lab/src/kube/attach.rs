//! Commands of containers while they run, as those who attach to them see them: what is printed from then on, and the input.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::broadcast;

use crate::command::{Control, End, Process};

/// Pieces of output that may wait for one who is attached; who is slower misses some.
const PIECES_MAX: usize = 256;
/// Bytes between a command and who is attached.
const PIPE_BYTES: usize = 64 * 1024;

/// Pod uid and container.
type Key = (String, String);

/// A command's standard input.
type Input = Box<dyn AsyncWrite + Send + Unpin>;

/// Which of the two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Error,
}

/// All running commands.
#[derive(Default)]
pub(crate) struct Attached(BTreeMap<Key, Running>);

struct Running {
    output: broadcast::Sender<(Stream, Bytes)>,
    /// Kept where the container has an input that stays open. Whoever attaches with input has it until they leave.
    input: Arc<Mutex<Option<Input>>>,
    /// Whether it ends with the first who leaves.
    once: bool,
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// Nobody who only looks on may end a command.
struct LooksOn;

impl Control for LooksOn {
    fn signal(&self, _name: &str) {}
    fn end(&self) {}
}

impl Attached {
    /// A command begins; what it prints is to be given to the sender, which is dropped at its end.
    pub(crate) fn begin(
        &mut self,
        key: Key,
        input: Option<Input>,
        once: bool,
    ) -> broadcast::Sender<(Stream, Bytes)> {
        let (output, _) = broadcast::channel(PIECES_MAX);
        let running = Running {
            output: output.clone(),
            input: Arc::new(Mutex::new(input)),
            once,
        };
        self.0.insert(key, running);
        output
    }

    /// Its end.
    pub(crate) fn end(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// The command as a process from now on; none when it does not run.
    pub(crate) fn process(&self, key: &Key) -> Option<Process> {
        let running = self.0.get(key)?;
        let mut pieces = running.output.subscribe();
        let (out, mut to_out) = tokio::io::duplex(PIPE_BYTES);
        let (error, mut to_error) = tokio::io::duplex(PIPE_BYTES);
        let (told, ended) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            loop {
                let (to, bytes): (&mut DuplexStream, Bytes) = match pieces.recv().await {
                    Ok((Stream::Out, bytes)) => (&mut to_out, bytes),
                    Ok((Stream::Error, bytes)) => (&mut to_error, bytes),
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => break,
                };
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            let _ = told.send(());
        });
        let (stdin, mut from_client) = tokio::io::duplex(PIPE_BYTES);
        let (input, once) = (running.input.clone(), running.once);
        tokio::spawn(async move {
            let taken = input.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(mut own) = taken else { return };
            let _ = tokio::io::copy(&mut from_client, &mut own).await;
            if !once {
                *input.lock().unwrap_or_else(PoisonError::into_inner) = Some(own);
            }
        });
        Some(Process {
            stdin: Box::new(stdin),
            stdout: Box::new(out),
            stderr: Box::new(error),
            ended: Box::pin(async move {
                let _ = ended.await;
                End::Code(0)
            }),
            control: Arc::new(LooksOn),
        })
    }
}
