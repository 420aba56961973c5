//! SSH hosts on real sockets: one loopback port per host, so that the system's OpenSSH is what talks to the lab.
//!
//! This module speaks the protocol and moves bytes. What a command does is a [`Machine`]'s business; it must not know
//! of guests, roots or inventories. Subsystems are the machine's too; forwardings are refused.

mod channel;
mod connect;
mod files;
mod server;
mod session;
mod spool;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

pub use crate::command::{Control, End, Later, Process};
pub use connect::main_if_asked;
pub use server::{Gate, Host, Server};

/// What stands behind a port: it answers or not, and runs commands.
pub trait Machine: Send + Sync + 'static {
    /// Whether the machine is up. When it goes down its connections are reset, and new ones too.
    fn up(&self) -> watch::Receiver<bool>;

    /// Whether the user exists. The key is the lab's and opens every account that does.
    fn has_user(&self, user: &str) -> bool;

    /// The command line that serves a subsystem, such as `sftp`; none is refused.
    fn subsystem(&self, name: &str) -> Option<Vec<u8>> {
        let _ = name;
        None
    }

    /// Starts a command. The error is what the user of `ssh` reads on standard error; the command then ends with 255.
    fn start(self: Arc<Self>, start: Start) -> Later<Result<Process, String>>;
}

/// One command to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The account.
    pub user: String,
    /// The command line for the login shell's `-c`; none: the login shell itself.
    pub command: Option<Vec<u8>>,
    /// What the client sent of its environment (`LANG` and `LC_*` only, as sshd accepts).
    pub env: Vec<(String, String)>,
}

/// What kept the server from starting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No port could be opened.
    #[error("cannot listen on 127.0.0.1 for the host `{host}`")]
    Listen {
        /// For which host.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// A key could not be made or written.
    #[error("cannot make an ed25519 key: {0}")]
    Key(String),
    /// A name that a configuration of ssh cannot hold.
    #[error("`{0}` cannot be the name of an SSH host: letters, digits, `.`, `_` and `-` only")]
    Name(String),
}
