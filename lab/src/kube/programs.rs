//! Commands of containers: who runs them is a hook, so that the API itself runs nothing on this machine.

use std::sync::Arc;

use tokio::net::TcpStream;

use crate::command::{Later, Process};

/// A command that is to run as a container's.
#[derive(Clone, Debug)]
pub struct Order {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The container.
    pub container: String,
    /// The node it is on.
    pub node: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Its environment, as the container's spec has it.
    pub env: Vec<(String, String)>,
    pub(crate) uid: String,
}

/// Why a command does not run.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Missing {
    /// The lab has no such program.
    #[error("the lab has no `{0}`")]
    Program(String),
    /// The machine forbids what is needed.
    #[error("the lab runs no commands here: {0}")]
    Isolation(String),
    /// Nothing of the pod listens at that port.
    #[error("connection refused: nothing in the pod listens at {0}")]
    Listener(u16),
}

/// Runs commands where they can do no harm.
pub trait Programs: Send + Sync {
    /// Starts a command, or says why not.
    fn start(&self, order: Order) -> Later<Result<Process, Missing>>;

    /// Connects to a port at which a command of a pod listens, or says why not. Where nothing runs nothing listens.
    fn connect(
        &self,
        namespace: String,
        pod: String,
        port: u16,
    ) -> Later<Result<TcpStream, Missing>> {
        drop((namespace, pod));
        Box::pin(async move { Err(Missing::Listener(port)) })
    }
}

/// A hook that runs nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoPrograms;

impl Programs for NoPrograms {
    fn start(&self, _order: Order) -> Later<Result<Process, Missing>> {
        Box::pin(async {
            Err(Missing::Isolation(
                "no isolated place was given to it".into(),
            ))
        })
    }
}

/// The hook as the state keeps it.
#[derive(Clone)]
pub(crate) struct Hook(pub(crate) Arc<dyn Programs>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}
