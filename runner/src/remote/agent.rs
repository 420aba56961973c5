//! The guest agent of a virtual machine: starts a program, says later how it ended, and does nothing else.
//!
//! Where its calls go is somebody else's (the Proxmox VE client's); here is what they must answer. A program runs in the
//! background of the guest, so no limit of one call is its limit; it reads its input at once and to its end, so the end of
//! the input cannot tell it to end: its own time does, or a second program that ends it.

use std::future::Future;
use std::pin::Pin;

/// The longest input of a program.
pub const INPUT_BYTES_MAX: usize = 48 << 10;

/// What an agent's call becomes.
pub type AgentFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, AgentError>> + Send + 'a>>;

/// The agent of one guest.
pub trait Agent: Send + Sync {
    /// Starts a program with its arguments and its whole input (ASCII, at most [`INPUT_BYTES_MAX`]); its number.
    fn exec<'a>(&'a self, argv: &'a [String], input: &'a [u8]) -> AgentFuture<'a, u64>;

    /// How a program fares; an end is told once.
    fn status(&self, pid: u64) -> AgentFuture<'_, AgentStatus>;
}

/// How a program fares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentStatus {
    /// Whether it has ended.
    pub exited: bool,
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it printed, in bytes, once it has ended.
    pub stdout: Vec<u8>,
    /// The same of standard error.
    pub stderr: Vec<u8>,
    /// Whether there was more than the agent keeps.
    pub truncated: bool,
}

/// Why an agent's call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AgentError {
    /// What is wrong.
    pub message: String,
    /// Whether the same call may work in a moment: a connection that broke, a node that was busy.
    pub passing: bool,
}
