//! The loop around one child: reads it, watches its time, ends its tree.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};

use super::cancel::Cancel;
use super::command::{Command, Input, ProcessError};
use super::exit::{End, Exit, Status};
use super::output::{Collector, Record};
use super::pump::Pump;
use super::tree::{self, Ended, Tree};
use crate::scratch::Scratch;

/// How long a tree may take to end after TERM.
pub const GRACE: Duration = Duration::from_secs(1);
/// How long what a leader left behind may take to end by itself: a `tee` behind its output, for example.
const SETTLE_MAX: Duration = Duration::from_millis(200);
/// How often is looked whether it has.
const SETTLE_LOOK: Duration = Duration::from_millis(5);
/// How long pipes are read after everything that was found has ended.
const DRAIN_MAX: Duration = Duration::from_millis(200);
/// How long KILL may take to show in the leader's status.
const STATUS_MAX: Duration = Duration::from_millis(500);
/// How often ended orphans are reaped while a child runs.
const REAP_EVERY: Duration = Duration::from_secs(1);

/// How long a child may run, and who may stop it.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Its time; then its whole tree is ended.
    pub timeout: Duration,
    /// How long it may take to end after TERM.
    pub grace: Duration,
    /// Who may stop it.
    pub cancel: Cancel,
}

impl Limits {
    /// This long, ended with the usual grace.
    pub fn new(timeout: Duration, cancel: Cancel) -> Self {
        Self {
            timeout,
            grace: GRACE,
            cancel,
        }
    }
}

/// Runs a child to its end, of whatever kind, and ends what it leaves behind.
///
/// Returns at the latest `grace` and three seconds after `timeout`, also when something of the child's tree cannot be
/// ended. When the future is dropped the tree is killed before the drop returns.
///
/// # Errors
///
/// When the child cannot be started.
pub async fn run(command: &Command, limits: Limits, record: Record) -> Result<Exit, ProcessError> {
    let mut running = Running::start(command, Arc::new(Mutex::new(Collector::new(record))))?;
    let end = running.watch(Some(limits.timeout), &limits.cancel).await;
    Ok(running.finish(end, limits.grace, &limits.cancel).await)
}

/// A child that runs. Dropping it kills its tree: the tree stands first.
pub(super) struct Running {
    tree: Tree,
    child: Child,
    pump: Pump,
    collector: Arc<Mutex<Collector>>,
    started: Instant,
    status: Option<Status>,
    feed: Option<Feed>,
    _script: Option<Scratch>,
}

/// Writes a child's input and holds it open until it is dropped.
struct Feed {
    writer: JoinHandle<()>,
    /// How long the child may take to end once its input has ended.
    farewell: Duration,
}

impl Feed {
    fn start(child: &mut Child, input: &Input) -> Option<Self> {
        let Input::Held { bytes, farewell } = input else {
            return None;
        };
        let mut stdin = child.stdin.take()?;
        let (bytes, farewell) = (Arc::clone(bytes), *farewell);
        let writer = tokio::spawn(async move {
            // A child that ended before it read everything is told by its status.
            if stdin.write_all(&bytes).await.is_ok() {
                std::future::pending::<()>().await;
            }
        });
        Some(Self { writer, farewell })
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

impl Running {
    pub(super) fn start(
        command: &Command,
        collector: Arc<Mutex<Collector>>,
    ) -> Result<Self, ProcessError> {
        let started = Instant::now();
        let (prepared, script) = command.prepare()?;
        let (tree, mut child) = command
            .through
            .start(prepared)
            .map_err(|error| command.explain(error))?;
        let pump = Pump::new(&mut child, Arc::clone(&collector));
        let feed = Feed::start(&mut child, &command.input);
        Ok(Self {
            tree,
            child,
            pump,
            collector,
            started,
            status: None,
            feed,
            _script: script,
        })
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Reads the child until its leader ends, its time is over or somebody asks to stop.
    pub(super) async fn watch(&mut self, limit: Option<Duration>, cancel: &Cancel) -> End {
        let deadline = limit.and_then(|limit| self.started.checked_add(limit));
        let next = || {
            let tick = Instant::now() + REAP_EVERY;
            deadline.map_or(tick, |deadline| deadline.min(tick)).into()
        };
        let timer = sleep_until(next());
        let stopped = cancel.stopped();
        tokio::pin!(timer, stopped);
        loop {
            tokio::select! {
                biased;
                status = self.child.wait() => {
                    self.status = status.ok().map(Status::from);
                    self.tree.leader_is_reaped();
                    return End::Itself;
                }
                () = &mut stopped => return End::Cancelled,
                () = &mut timer => {
                    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                        return End::TimedOut;
                    }
                    tree::reap_orphans();
                    timer.as_mut().reset(next());
                }
                () = self.pump.read(), if self.pump.is_open() => {}
            }
        }
    }

    /// Ends what is left of the tree, reads what is left in the pipes and says what happened.
    pub(super) async fn finish(mut self, end: End, grace: Duration, cancel: &Cancel) -> Exit {
        let mut duration = self.started.elapsed();
        let ended = match end {
            End::Itself => self.settle(grace, cancel).await,
            End::TimedOut | End::Cancelled => {
                let ended = if self.farewell(cancel).await {
                    self.settle(grace, cancel).await
                } else {
                    self.end(grace, cancel).await
                };
                duration = self.started.elapsed();
                ended
            }
        };
        if self.pump.is_open() {
            // Everything that was found has ended; who still holds a pipe is not of this tree, or cannot be ended.
            let _ = timeout(DRAIN_MAX, self.pump.drain()).await;
        }
        if end != End::Itself && self.status.is_none() {
            let status = timeout(STATUS_MAX, self.child.wait()).await;
            self.status = status.ok().and_then(Result::ok).map(Status::from);
        }
        self.tree.close(&ended.survivors);
        let output = self
            .collector
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let leftovers = if end == End::Itself { ended.count } else { 0 };
        Exit {
            end,
            status: self.status,
            duration,
            output,
            leftovers,
            survivors: ended.survivors,
        }
    }

    /// Ends the input of a child that is to end by itself then; whether it did.
    async fn farewell(&mut self, cancel: &Cancel) -> bool {
        let Some(feed) = self.feed.take() else {
            return false;
        };
        let patience = sleep(feed.farewell);
        drop(feed);
        let hurry = cancel.stopped_now();
        tokio::pin!(patience, hurry);
        loop {
            tokio::select! {
                biased;
                status = self.child.wait() => {
                    self.status = status.ok().map(Status::from);
                    self.tree.leader_is_reaped();
                    return true;
                }
                () = &mut hurry => return false,
                () = &mut patience => return false,
                () = self.pump.read(), if self.pump.is_open() => {}
            }
        }
    }

    /// The leader has ended: gives the rest a moment, then ends it.
    async fn settle(&mut self, grace: Duration, cancel: &Cancel) -> Ended {
        let until = tokio::time::Instant::now() + SETTLE_MAX;
        if self.pump.is_open() {
            let _ = tokio::time::timeout_at(until, self.pump.drain()).await;
        }
        while self.tree.is_left() {
            if tokio::time::Instant::now() >= until || cancel.is_stopped() {
                let mut ended = self.end(grace, cancel).await;
                // Something was there, though it may have had a successor whenever it was looked for.
                ended.count = ended.count.max(1);
                return ended;
            }
            sleep(SETTLE_LOOK).await;
        }
        Ended::default()
    }

    /// Ends the tree and reads on meanwhile, since a full pipe can keep a process from ending.
    async fn end(&mut self, grace: Duration, cancel: &Cancel) -> Ended {
        let Self {
            tree, child, pump, ..
        } = self;
        let ending = tree.end(child, grace, cancel);
        tokio::pin!(ending);
        loop {
            tokio::select! {
                biased;
                ended = &mut ending => return ended,
                () = pump.read(), if pump.is_open() => {}
            }
        }
    }
}
