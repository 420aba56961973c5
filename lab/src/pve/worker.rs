//! Workers: the asynchronous work of a task, from its start to its end.
//!
//! A worker ends OK, with warnings or with an error; a killed one leaves what a killed process leaves.

use std::future::Future;
use std::sync::Arc;

use super::answer::Fail;
use super::cluster::Cluster;
use super::faults::Death;
use super::state::State;
use super::task::{Task, Upid, VANISHED};

/// What a worker holds: its log and its cluster.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) upid: String,
    /// How it is to die, where that was planned.
    death: Option<Death>,
}

/// When a task takes the time that it takes at least, and dies if it is to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Before its work.
    Before,
    /// In the middle of its work, which asks by [`Worker::pace`]: what it has done until then can be seen meanwhile.
    Within,
}

/// What puts right what was begun.
type Undo = Box<dyn FnOnce(&mut State) + Send>;

/// A guest whose configuration says what is being done to it. Dropped before the work was done, it puts right what was
/// begun, unless the worker's process is gone without a word: then everything stays as it was, the lock too. It acts from
/// when a worker has it.
pub(crate) struct Begun {
    cluster: Arc<Cluster>,
    /// The task; none until its worker runs.
    upid: Option<String>,
    undo: Option<Undo>,
}

impl Begun {
    pub(crate) fn new(
        cluster: &Arc<Cluster>,
        undo: impl FnOnce(&mut State) + Send + 'static,
    ) -> Self {
        Self {
            cluster: cluster.clone(),
            upid: None,
            undo: Some(Box::new(undo)),
        }
    }

    /// The worker that goes on with it.
    pub(crate) fn of(mut self, worker: &Worker) -> Self {
        self.upid = Some(worker.upid.clone());
        self
    }

    /// The work is done; there is nothing to put right.
    pub(crate) fn done(mut self) {
        self.undo = None;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // Before a worker has it, whoever made it holds the state's lock.
        let (Some(undo), Some(upid)) = (self.undo.take(), &self.upid) else {
            return;
        };
        let mut state = self.cluster.lock();
        let exit = state.tasks.get(upid).and_then(Task::exit);
        if exit != Some(VANISHED) {
            undo(&mut state);
        }
    }
}

impl Worker {
    /// The time the task takes at least; here it dies, if it is to die.
    pub(crate) async fn pace(&self) -> Result<(), Fail> {
        self.cluster.pace().await;
        match &self.death {
            None => Ok(()),
            Some(Death::Failed(text)) => Err(Fail::die(text)),
            Some(Death::Vanished) => {
                let now = self.cluster.now();
                self.cluster.lock().tasks.vanish(&self.upid, now);
                // Whoever waits for this worker hears that it was killed.
                std::future::pending().await
            }
        }
    }

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
    /// Starts a task for a user on a node. Clippy counts its parts; they are those of a task's id.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn start_task<F, W>(
        &self,
        state: &mut State,
        node: &str,
        kind: &str,
        id: &str,
        user: &str,
        pace: Pace,
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
        let worker = Worker {
            cluster,
            upid: text.clone(),
            death: self.faults.task_dies(&kind),
        };
        tokio::spawn(async move {
            let (cluster, upid) = (worker.cluster.clone(), worker.upid.clone());
            let ended = tokio::select! {
                _ = killed.changed() => return,
                ended = async {
                    if pace == Pace::Before {
                        worker.pace().await?;
                    }
                    work(worker).await
                } => ended,
            };
            let now = cluster.now();
            cluster.lock().tasks.finish(&upid, ended, now);
        });
        text
    }
}
