//! The lab's side of a conversation with a process of the isolated place: wishes one after another, each with a socket of
//! its own for the answers. Every wait has an end.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::error::Error;
use super::message::Answer;
use super::wire;

/// How long the answer to a wish may take that is served at once.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The way to a process inside.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    socket: Arc<Mutex<UnixStream>>,
    /// What it is called in errors.
    what: Arc<str>,
}

impl Channel {
    pub(super) fn new(socket: UnixStream, what: impl Into<Arc<str>>) -> io::Result<Self> {
        socket.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(Self {
            socket: Arc::new(Mutex::new(socket)),
            what: what.into(),
        })
    }

    /// Hangs up: what listens there ends.
    pub(super) fn hang_up(&self) {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have ended by itself.
        let _ = socket.shutdown(std::net::Shutdown::Both);
    }

    pub(super) fn ended(&self) -> Error {
        Error::Ended {
            what: self.what.to_string(),
        }
    }

    /// Asks, and waits for the first answer on a thread that may wait. Returns the socket for further answers, and the
    /// socket that was asked for.
    pub(super) async fn ask<W: Serialize + Send + 'static>(
        &self,
        what: &'static str,
        wish: W,
        descriptors: Vec<OwnedFd>,
        limit: Duration,
    ) -> Result<Reply, Error> {
        let channel = self.clone();
        tokio::task::spawn_blocking(move || channel.ask_now(what, &wish, &descriptors, limit))
            .await
            .map_err(|error| Error::Start(io::Error::other(error)))?
    }

    /// The same, on this thread.
    pub(super) fn ask_now(
        &self,
        what: &'static str,
        wish: &impl Serialize,
        descriptors: &[OwnedFd],
        limit: Duration,
    ) -> Result<Reply, Error> {
        let (here, there) = UnixStream::pair().map_err(Error::Start)?;
        here.set_read_timeout(Some(limit)).map_err(Error::Start)?;
        let mut sent: Vec<BorrowedFd<'_>> = vec![there.as_fd()];
        sent.extend(descriptors.iter().map(|descriptor| descriptor.as_fd()));
        {
            let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
            wire::send(&socket, wish, &sent).map_err(|error| match error.kind() {
                io::ErrorKind::ArgumentListTooLong => Error::Wish {
                    what: format!("{what}: longer than can be passed on"),
                },
                _ => self.ended(),
            })?;
        }
        drop(there);
        let (answer, mut sockets) = match wire::receive(&here) {
            Ok(Some(received)) => received,
            Err(error) if is_late(&error) => {
                return Err(Error::Timeout {
                    what,
                    seconds: limit.as_secs(),
                });
            }
            Ok(None) | Err(_) => return Err(self.ended()),
        };
        match answer {
            Answer::Failed(failure) => Err(failure.into()),
            answer => Ok(Reply {
                answer,
                socket: sockets.pop(),
                further: here,
            }),
        }
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// A first answer.
pub(super) struct Reply {
    pub(super) answer: Answer,
    /// The socket that was asked for.
    pub(super) socket: Option<OwnedFd>,
    /// Where further answers come.
    pub(super) further: UnixStream,
}

/// Waits for the end of a command or a host, without a thread.
pub(super) async fn end(
    further: &mut tokio::net::UnixStream,
) -> Option<(Option<i32>, Option<i32>)> {
    use tokio::io::AsyncReadExt as _;
    let length = further.read_u32_le().await.ok()? as usize;
    if length > wire::MESSAGE_BYTES_MAX {
        return None;
    }
    let mut body = vec![0; length];
    further.read_exact(&mut body).await.ok()?;
    match serde_json::from_slice(&body).ok()? {
        Answer::Ended { code, signal } => Some((code, signal)),
        _ => None,
    }
}

/// The rest of a conversation, for the runtime.
pub(super) fn for_runtime(further: UnixStream) -> Result<tokio::net::UnixStream, Error> {
    further.set_nonblocking(true).map_err(Error::Start)?;
    tokio::net::UnixStream::from_std(further).map_err(Error::Start)
}
