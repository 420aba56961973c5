//! A child that stays up while others run: a server, a tunnel; or what stays up elsewhere and has no process here.
//!
//! A task of its own reads and watches it. It is ended with its whole tree by `stop`, or when its handle is dropped.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::cancel::Cancel;
use super::command::{Command, ProcessError};
use super::exit::Exit;
use super::output::{Collector, Output, Record};
use super::run::Running;
use super::tree::Identity;

/// A child that stays up.
#[derive(Debug)]
pub struct Background {
    /// Of a process of this machine.
    identity: Option<Identity>,
    cancel: Cancel,
    exit: watch::Receiver<Option<Arc<Exit>>>,
    collector: Arc<Mutex<Collector>>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.output().fmt(f)
    }
}

/// Starts a child and lets it run; `grace` is how long it may take to end after TERM.
///
/// # Errors
///
/// When the child cannot be started.
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn spawn_background(
    command: &Command,
    grace: Duration,
    record: Record,
) -> Result<Background, ProcessError> {
    let collector = Arc::new(Mutex::new(Collector::new(record)));
    let mut running = Running::start(command, Arc::clone(&collector))?;
    let identity = running.tree().identity();
    let cancel = Cancel::new();
    let (tell, exit) = watch::channel(None);
    let stop = cancel.clone();
    let task = tokio::spawn(async move {
        let end = running.watch(None, &stop).await;
        let exit = running.finish(end, grace, &stop).await;
        tell.send_replace(Some(Arc::new(exit)));
    });
    Ok(Background {
        identity: Some(identity),
        cancel,
        exit,
        collector,
        task,
    })
}

/// Lets something stay up that is no child of this machine: `work` ends it when it is told to stop, and gives its end. It is given
/// up, too, when the handle is dropped.
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn stay_up<F>(collector: Arc<Mutex<Collector>>, work: impl FnOnce(Cancel) -> F) -> Background
where
    F: Future<Output = Exit> + Send + 'static,
{
    let cancel = Cancel::new();
    let (tell, exit) = watch::channel(None);
    let work = work(cancel.clone());
    let task = tokio::spawn(async move {
        let exit = work.await;
        tell.send_replace(Some(Arc::new(exit)));
    });
    Background {
        identity: None,
        cancel,
        exit,
        collector,
        task,
    }
}

impl Background {
    /// Whether its leader runs.
    pub fn is_running(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// What happened to it, once it has ended.
    pub fn exit(&self) -> Option<Arc<Exit>> {
        self.exit.borrow().clone()
    }

    /// Waits until it has ended; `None` when the runtime ended first.
    pub async fn wait_exit(&self) -> Option<Arc<Exit>> {
        let mut exit = self.exit.clone();
        exit.wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|exit| exit.clone())
    }

    /// What it printed so far; empty once it has ended, its `Exit` has it then.
    pub fn output(&self) -> Output {
        self.collector
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .output()
            .clone()
    }

    /// Ends it with its whole tree: TERM, then KILL after its grace.
    pub async fn stop(&self) -> Option<Arc<Exit>> {
        self.cancel.stop();
        self.wait_exit().await
    }

    /// Ends it with its whole tree, by KILL.
    pub async fn stop_now(&self) -> Option<Arc<Exit>> {
        self.cancel.stop_now();
        self.wait_exit().await
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.is_running() {
            // The task may never run again: not left to it.
            if let Some(identity) = &self.identity {
                identity.kill_now();
            }
            self.task.abort();
        }
    }
}
