//! Workers: the asynchronous work of a task, from its start to its end.
//!
//! A worker ends OK, with warnings or with an error; a killed one leaves what a killed process leaves.

use std::future::Future;
use std::sync::Arc;

use super::answer::Fail;
use super::cluster::Cluster;
use super::faults::Death;
use super::state::State;
use super::task::Upid;

/// What a worker holds: its log and its cluster.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) upid: String,
}

impl Worker {
    /// Adds a line to the log.
    pub(crate) fn log(&self, line: impl AsRef<str>) {
        self.cluster.lock().tasks.log(&self.upid, line.as_ref());
    }

    /// Adds a warning: the task ends with `WARNINGS: n`.
    pub(crate) fn warn(&self, text: impl AsRef<str>) {
        let mut state = self.cluster.lock();
        state
            .tasks
            .log(&self.upid, &format!("WARN: {}", text.as_ref()));
        if let Some(task) = state.tasks.get_mut(&self.upid) {
            task.warnings += 1;
        }
    }
}

impl Cluster {
    /// Starts a task for a user on a node.
    pub(crate) fn start_task<F, W>(
        &self,
        state: &mut State,
        node: &str,
        kind: &str,
        id: &str,
        user: &str,
        work: W,
    ) -> String
    where
        W: FnOnce(Worker) -> F + Send + 'static,
        F: Future<Output = Result<(), Fail>> + Send + 'static,
    {
        state.ticks += 1;
        let now = self.now();
        let pid = 1000 + u32::try_from(state.ticks % 4_000_000).unwrap_or_default();
        let pstart =
            u64::try_from(now - self.since).unwrap_or_default() * 100 + 360_000 + state.ticks;
        let (node, kind, id, user) = (
            node.to_owned(),
            kind.to_owned(),
            id.to_owned(),
            user.to_owned(),
        );
        let upid = Upid {
            node,
            pid,
            pstart,
            starttime: now,
            kind: kind.clone(),
            id: id.clone(),
            user,
        };
        let text = upid.to_string();
        let mut killed = state.tasks.start(upid);
        let Some(cluster) = self.me.upgrade() else {
            return text;
        };
        let (name, dies) = (text.clone(), self.faults.task_dies(&kind));
        tokio::spawn(async move {
            let worker = Worker {
                cluster: cluster.clone(),
                upid: name.clone(),
            };
            let ended = tokio::select! {
                _ = killed.changed() => return,
                ended = async {
                    cluster.pace().await;
                    work(worker).await
                } => ended,
            };
            let now = cluster.now();
            let mut state = cluster.lock();
            match dies {
                Some(Death::Vanished) => state.tasks.vanish(&name, now),
                Some(Death::Failed(text)) => {
                    state.tasks.finish(&name, Err(Fail::die(text)), now)
                }
                None => state.tasks.finish(&name, ended, now),
            }
        });
        text
    }
}
