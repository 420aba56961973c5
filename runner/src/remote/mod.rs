//! Runs programs on other machines: by the system's OpenSSH, through a node into its containers, by a guest agent, into the
//! containers of a pod.
//!
//! Knows nothing of runbooks: it gets a program and limits, and returns what became of it, as [`crate::process`] does for
//! this machine. What was started elsewhere ends with us: it watches the end of its input, and has a time of its own. Nothing
//! secret stands in a command line; scripts, variables and contents go over standard input.
//!
//! Read on in `program` (what is executed there), `transport` (the ways), `frame` (how its end is known), `cause` (what a
//! failed connection means).

mod agent;
mod cause;
mod connections;
mod container;
mod detach;
mod frame;
mod guests;
mod login;
mod marks;
mod program;
pub mod quote;
mod transport;

pub use agent::{Agent, AgentError, AgentFuture, AgentStatus, INPUT_BYTES_MAX};
pub use cause::{Cause, RemoteError};
pub use connections::{Connections, SESSIONS_MAX, SshSettings};
pub use container::{Container, ExecError, ExecErrorKind, ExecFuture, InputEnd, Printed};
pub use detach::Detached;
pub use guests::{GuestFuture, Guests};
pub use login::Login;
pub use marks::{MARK, Marks};
pub use program::ScriptError;
pub use program::{Program, Script};
pub use transport::{Answer, Finished, Remote, Standing, Way};
