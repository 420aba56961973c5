//! Who calls, with what: what an endpoint is given.

use std::future::Future;
use std::sync::Arc;

use super::access::{ROOT, split_token};
use super::answer::{Fail, Outcome, Reply};
use super::cluster::Cluster;
use super::params::Params;
use super::permission;
use super::state::State;
use super::worker::{Pace, Worker};

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `user@realm`, or `user@realm!token`; none where no login is needed.
    pub(super) authid: Option<String>,
    /// The high-availability manager: what it starts and stops is not handed back to it.
    manager: bool,
}

/// One call inside an endpoint: who, with what, where.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) caller: Caller,
    pub(crate) params: Params,
}

impl Caller {
    /// The superuser with a ticket, as programs on a node are.
    pub fn root() -> Self {
        Self {
            authid: Some(ROOT.to_owned()),
            manager: false,
        }
    }

    /// A user or token by name.
    pub fn named(authid: impl Into<String>) -> Self {
        Self {
            authid: Some(authid.into()),
            manager: false,
        }
    }

    /// The high-availability manager.
    pub(crate) fn manager() -> Self {
        Self {
            authid: Some(ROOT.to_owned()),
            manager: true,
        }
    }

    /// Whether the high-availability manager calls.
    pub(crate) fn is_manager(&self) -> bool {
        self.manager
    }

    /// Nobody.
    pub fn nobody() -> Self {
        Self {
            authid: None,
            manager: false,
        }
    }

    /// The name with its token; empty for nobody.
    pub fn authid(&self) -> &str {
        self.authid.as_deref().unwrap_or_default()
    }

    /// The user behind a token.
    pub fn user(&self) -> &str {
        split_token(self.authid()).map_or(self.authid(), |(user, _)| user)
    }

    /// Exactly root@pam: its tokens are not.
    pub fn is_root(&self) -> bool {
        self.authid() == ROOT
    }

    pub(super) fn is_token(&self) -> bool {
        self.authid().contains('!')
    }
}

impl Call {
    /// A parameter that the schema makes sure is there.
    pub(crate) fn text(&self, name: &str) -> String {
        self.params.text(name).unwrap_or_default()
    }

    /// The guest's number of the path.
    pub(crate) fn vmid(&self) -> u32 {
        self.params
            .int("vmid")
            .and_then(|vmid| u32::try_from(vmid).ok())
            .unwrap_or_default()
    }

    /// The node of the path (`localhost` is the first).
    pub(crate) fn node(&self) -> String {
        self.text("node")
    }

    /// Refuses unless the caller holds all privileges at the path.
    pub(crate) fn check(&self, state: &State, path: &str, privs: &[&str]) -> Result<(), Fail> {
        permission::check_all(&state.access, self.caller.authid(), path, privs)
    }

    /// Refuses unless the caller holds one of the privileges at the path.
    pub(crate) fn check_any(&self, state: &State, path: &str, privs: &[&str]) -> Result<(), Fail> {
        permission::check_any(&state.access, self.caller.authid(), path, privs)
    }

    /// Whether the caller holds one of the privileges at the path.
    pub(crate) fn may(&self, state: &State, path: &str, privs: &[&str]) -> bool {
        state.access.has(self.caller.authid(), path, privs, true)
    }

    /// Starts a task on the call's node and answers with its id. The worker runs after this returned; its error is the
    /// task's exit status. It must not hold the state's lock over an await.
    pub(crate) fn task<F, W>(&self, state: &mut State, kind: &str, id: &str, work: W) -> Outcome
    where
        W: FnOnce(Worker) -> F + Send + 'static,
        F: Future<Output = Result<(), Fail>> + Send + 'static,
    {
        self.start(state, kind, id, Pace::Before, work)
    }

    /// The same for work that can be seen while it goes on; it asks for its time by [`Worker::pace`].
    pub(crate) fn seen_task<F, W>(
        &self,
        state: &mut State,
        kind: &str,
        id: &str,
        work: W,
    ) -> Outcome
    where
        W: FnOnce(Worker) -> F + Send + 'static,
        F: Future<Output = Result<(), Fail>> + Send + 'static,
    {
        self.start(state, kind, id, Pace::Within, work)
    }

    fn start<F, W>(&self, state: &mut State, kind: &str, id: &str, pace: Pace, work: W) -> Outcome
    where
        W: FnOnce(Worker) -> F + Send + 'static,
        F: Future<Output = Result<(), Fail>> + Send + 'static,
    {
        let node = self
            .params
            .text("node")
            .unwrap_or_else(|| state.nodes[0].name.clone());
        let user = self.caller.authid();
        let upid = self
            .cluster
            .start_task(state, &node, kind, id, user, pace, work);
        Ok(Reply::from(upid))
    }
}
