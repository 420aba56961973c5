//! A running command, as those who pass its streams on see it: SSH channels, stand-in services, guest agents.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A future without a name.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Serves one connection to its end.
pub type Serve = Arc<dyn Fn(TcpStream) -> Later<()> + Send + Sync>;

/// A started command. Its tree ends with the last reference to `control`.
pub struct Process {
    /// Standard input; closed by dropping it.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Standard output.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Standard error.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// Resolves when the command itself has ended.
    pub ended: Later<End>,
    /// Signals, and the end of the whole tree.
    pub control: Arc<dyn Control>,
}

/// What may be done to a running command.
pub trait Control: Send + Sync {
    /// A signal by its name without `SIG`, to the command's group.
    fn signal(&self, name: &str);

    /// Ends the whole tree, at once. More than once is harmless.
    fn end(&self);
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With this status.
    Code(u32),
    /// By a signal, its name without `SIG`.
    Signal(String),
}
