//! What is said between the lab and the processes of its isolated place.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::Failure;
use super::machine::Machine;

/// What the process says that has left the machine's namespaces, before it goes on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Hello {
    /// It has a user namespace, without identities.
    Unshared,
    /// The kernel refused.
    Failed(Failure),
}

/// The answer to it: how identities are mapped.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Identities {
    /// They are mapped.
    Mapped,
    /// It maps its own, nobody else's.
    Own { uid: u32, gid: u32 },
}

/// What the isolated place is made of.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    /// An empty directory, where what all hosts share is gathered.
    pub(super) shared: Text,
    /// This executable, for the lab's own programs.
    pub(super) program: Text,
    pub(super) machine: Machine,
    pub(super) addresses: Vec<IpAddr>,
}

/// What the isolated place is asked for; every message comes with a socket for the answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Wish {
    Listen(SocketAddr),
    ListenUdp(SocketAddr),
    Connect {
        from: Option<IpAddr>,
        to: SocketAddr,
        milliseconds: u64,
    },
    AddAddress(IpAddr),
    RemoveAddress(IpAddr),
    /// A host; with the socket over which it will be spoken to.
    Boot,
}

/// What a host is made of.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HostSetup {
    pub(super) hostname: String,
    pub(super) root: Text,
    pub(super) shared: Text,
    pub(super) machine: Machine,
    /// Paths outside, and inside, that are laid over the tree for reading.
    pub(super) binds: Vec<(Text, Text)>,
}

/// What a host is asked for; every message comes with a socket for the answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum HostWish {
    /// First of all.
    Setup(HostSetup),
    /// With standard input, output and error.
    Exec(ExecWish),
    /// The number of an `Exec`.
    Kill(u64),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ExecWish {
    pub(super) argv: Vec<Text>,
    pub(super) env: Vec<(Text, Text)>,
    pub(super) cwd: Text,
    pub(super) user: Option<(u32, u32)>,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// Done; a socket comes with it where one was asked for.
    Done,
    /// A command runs; its number.
    Started(u64),
    /// A command or a host has ended.
    Ended {
        code: Option<i32>,
        signal: Option<i32>,
    },
    Failed(Failure),
}

/// A text of the system: any bytes, mostly UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Text {
    Utf8(String),
    Bytes(Vec<u8>),
}

impl Text {
    pub(super) fn os(self) -> OsString {
        match self {
            Self::Utf8(text) => text.into(),
            Self::Bytes(bytes) => OsString::from_vec(bytes),
        }
    }

    pub(super) fn path(self) -> PathBuf {
        self.os().into()
    }
}

impl From<&OsStr> for Text {
    fn from(text: &OsStr) -> Self {
        match text.to_str() {
            Some(text) => Self::Utf8(text.to_owned()),
            None => Self::Bytes(text.as_bytes().to_vec()),
        }
    }
}

impl From<&Path> for Text {
    fn from(path: &Path) -> Self {
        Self::from(path.as_os_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_bytes_come_back() {
        for bytes in [b"plain".as_slice(), b"", b"\xff\x00a", "ü\n\"".as_bytes()] {
            let text = Text::from(OsStr::from_bytes(bytes));
            let json = serde_json::to_string(&text).unwrap();
            let back: Text = serde_json::from_str(&json).unwrap();
            assert_eq!(back.os().as_bytes(), bytes);
        }
    }
}
