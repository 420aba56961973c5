//! Messages with file descriptors over a Unix stream: four bytes of length, then JSON; the descriptors come with the length.
//!
//! Knows no message. A message never exceeds its maximum, on either side.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest message: arguments and environment of a command are at most 2 MiB on Linux, bytes that are no text are
/// written longer.
pub(super) const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most descriptors of a message.
pub(super) const DESCRIPTORS_MAX: usize = 4;

/// Sends a message.
pub(crate) fn send(
    socket: &UnixStream,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    if body.len() > MESSAGE_BYTES_MAX || descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::Error::from(io::ErrorKind::ArgumentListTooLong));
    }
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::from(io::ErrorKind::ArgumentListTooLong));
    }
    let sent = loop {
        match sendmsg(
            socket,
            &[IoSlice::new(&length)],
            &mut control,
            SendFlags::NOSIGNAL,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            sent => break sent?,
        }
    };
    let mut socket = socket;
    socket.write_all(&length[sent..])?;
    socket.write_all(&body)
}

/// Receives a message; `None` when the other side has ended between two messages.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: &UnixStream,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut length = [0; 4];
    let mut descriptors = Vec::new();
    let first = receive_with(socket, &mut length, &mut descriptors)?;
    if first == 0 {
        return Ok(None);
    }
    let mut stream = socket;
    stream.read_exact(&mut length[first..])?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some((serde_json::from_slice(&body)?, descriptors)))
}

fn receive_with(
    socket: &UnixStream,
    bytes: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(
            socket.as_fd(),
            &mut [IoSliceMut::new(bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            received => break received?,
        }
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_whole_with_its_descriptors_and_apart_from_the_next() {
        let (here, there) = UnixStream::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        let long = "x".repeat(300_000);
        let writer = std::thread::spawn({
            let long = long.clone();
            move || {
                send(&here, &"first", &[]).unwrap();
                send(&here, &long, &[file.as_fd(), file.as_fd()]).unwrap();
                send(&here, &"last", &[file.as_fd()]).unwrap();
            }
        });
        for (text, count) in [("first", 0), (long.as_str(), 2), ("last", 1)] {
            let (received, descriptors) = receive::<String>(&there).unwrap().unwrap();
            assert!(received == text);
            assert_eq!(descriptors.len(), count);
        }
        writer.join().unwrap();
        assert!(receive::<String>(&there).unwrap().is_none());
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_by_both_sides() {
        let (here, there) = UnixStream::pair().unwrap();
        let long = "x".repeat(MESSAGE_BYTES_MAX);
        let refused = send(&here, &long, &[]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ArgumentListTooLong);
        (&here).write_all(&u32::MAX.to_le_bytes()).unwrap();
        let refused = receive::<String>(&there).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    }
}
