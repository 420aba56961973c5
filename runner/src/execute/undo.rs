//! How steps are taken back: registered before a change begins, so that a killed run can be undone; executed at the end of
//! the run for `cleanup: always`, in reverse, whatever happened.
//!
//! An undo that fails is told and never green. Cleaning up has a time and a stop of its own: the first request to stop does
//! not reach it, the second does.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use runbook::event::{EventKind, UndoFinished, UndoRegistered};
use runbook::id::Id;
use runbook::model::{Do, StepRef};
use runbook::node::Node;
use runbook::outcome::State;
use serde_json::{Map, Value, json};

use super::context::{Cx, GuideCx, Item, Run, Up};
use super::desired::Former;
use super::doing::{self, Purpose};
use crate::plan::InBook as _;
use crate::process::{Cancel, Level};

/// How long cleaning up may take altogether.
pub const CLEANUP_DURATION_MAX: Duration = Duration::from_secs(600);

/// What has to be taken back at the end of the run.
#[derive(Default)]
pub(super) struct Undos {
    entries: Mutex<Vec<Entry>>,
    ups: Mutex<Vec<Up>>,
}

struct Entry {
    guide: Arc<GuideCx>,
    at: StepRef,
    id: Id,
    item: Option<Item>,
    former: Option<Former>,
    captures: Map<String, Value>,
}

/// Keeps what a guide left running until its steps were taken back.
pub(super) fn keep_up(run: &Run, ups: Vec<Up>) {
    run.undos
        .ups
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend(ups);
}

impl Undos {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something of a guide is to be taken back: what its steps left running may be needed for it.
    pub(super) fn has(&self, guide: &Arc<GuideCx>) -> bool {
        self.lock()
            .iter()
            .any(|entry| Arc::ptr_eq(&entry.guide, guide))
    }
}

/// Says how the step is taken back, before its action begins.
pub(super) fn register(cx: &Cx, former: Option<&Former>) {
    let step = cx.step();
    let undo = match &step.keys.undo {
        Some(Do::None(_)) => return,
        Some(undo) => Some(undo),
        None if former.is_some() => None,
        None => return,
    };
    let kept = former.and_then(|former| keep(cx, former));
    let summary = match (undo, former) {
        (None | Some(Do::Own(_)), Some(former)) => former.summary(),
        (Some(undo), _) => doing::summary(undo),
        (None, None) => return,
    };
    let own = former.map(|former| former.data(kept.as_deref()));
    let secrets: Vec<&str> = step
        .keys
        .secrets
        .iter()
        .map(|secret| secret.env.as_str())
        .collect();
    let written = step.node.get("undo").map(Node::to_json);
    let data = json!({
        "undo": written, "own": own, "target": cx.target_text, "secrets": secrets, "cleanup": step.keys.cleanup,
    });
    cx.run
        .emitter
        .emit(EventKind::UndoRegistered(UndoRegistered {
            id: cx.id.clone(),
            summary,
            data,
        }));
    if step.keys.cleanup {
        cx.run.undos.lock().push(Entry {
            guide: Arc::clone(&cx.guide),
            at: cx.at,
            id: cx.id.clone(),
            item: cx.item.clone(),
            former: former.cloned(),
            captures: Map::new(),
        });
    }
}

/// Keeps a former content for another process; a content that cannot be kept is kept in this one.
fn keep(cx: &Cx, former: &Former) -> Option<String> {
    let directory = cx.run.request.directory.as_ref()?;
    let content = former.content()?;
    let name = cx
        .artifact_name("former")
        .replacen("artifacts/", "undo/", 1);
    write(&directory.join(&name), content).ok().map(|()| name)
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// What the change made, now that it is done.
pub(super) fn made(cx: &Cx, former: Former) {
    if let Some(entry) = cx
        .run
        .undos
        .lock()
        .iter_mut()
        .rev()
        .find(|entry| entry.id == cx.id)
    {
        entry.former = Some(former);
    }
}

/// What the step captured, for what takes it back.
pub(super) fn complete(cx: &Cx, captures: &Map<String, Value>) {
    if cx.step().keys.cleanup
        && let Some(entry) = cx
            .run
            .undos
            .lock()
            .iter_mut()
            .rev()
            .find(|entry| entry.id == cx.id)
    {
        entry.captures.clone_from(captures);
    }
}

/// The action did not take place after all.
pub(super) fn withdraw(cx: &Cx) {
    cx.run.undos.lock().retain(|entry| entry.id != cx.id);
}

/// Takes everything back, the last first.
pub(super) async fn clean_up(run: &Arc<Run>) {
    let until = Instant::now() + CLEANUP_DURATION_MAX;
    let cancel = Cancel::new();
    let work = async {
        loop {
            let Some(entry) = run.undos.lock().pop() else {
                return;
            };
            if cancel.is_stopped() || Instant::now() >= until {
                let why = if cancel.is_stopped() {
                    "the run was stopped at once"
                } else {
                    "the time for cleaning up is over"
                };
                finish(
                    run,
                    &entry,
                    "not undone",
                    State::Aborted,
                    Some(why.to_owned()),
                    Duration::ZERO,
                );
                continue;
            }
            take_back(run, &entry, &cancel).await;
        }
    };
    let watch = async {
        tokio::select! {
            () = run.cancel.stopped_now() => {}
            () = tokio::time::sleep_until(until.into()) => {}
        }
        cancel.stop();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = work => {}
        () = watch => {}
    }
    let ups = std::mem::take(&mut *run.undos.ups.lock().unwrap_or_else(PoisonError::into_inner));
    super::guide::stop(ups, run).await;
}

async fn take_back(run: &Arc<Run>, entry: &Entry, cancel: &Cancel) {
    let started = Instant::now();
    let step = entry.at.of(&run.book);
    let own = Do::Own(step.span);
    let undo = step.keys.undo.as_ref().unwrap_or(&own);
    let summary = match (undo, &entry.former) {
        (Do::Own(_), Some(former)) => former.summary(),
        (undo, _) => doing::summary(undo),
    };
    let result = undo_one(run, entry, undo, cancel).await;
    let (state, message) = match result {
        Ok(()) => (State::Passed, None),
        Err(message) if cancel.level() > Level::Go => (State::Aborted, Some(message)),
        Err(message) => (State::Failed, Some(message)),
    };
    finish(run, entry, &summary, state, message, started.elapsed());
}

async fn undo_one(run: &Arc<Run>, entry: &Entry, undo: &Do, cancel: &Cancel) -> Result<(), String> {
    let said = |outcome: Box<super::outcome::Outcome>| outcome.message.unwrap_or_default();
    let mut cx = Cx::new(run, &entry.guide, entry.at, entry.item.clone());
    cx.cancel = cancel.clone();
    cx.with_own(&entry.captures);
    cx.equip().await.map_err(said)?;
    doing::run(&cx, undo, Purpose::Undo, entry.former.as_ref())
        .await
        .result
}

fn finish(
    run: &Run,
    entry: &Entry,
    summary: &str,
    state: State,
    message: Option<String>,
    duration: Duration,
) {
    if state != State::Passed {
        let why = message
            .as_deref()
            .map(|message| format!(": {message}"))
            .unwrap_or_default();
        let line = format!("{}: {summary}{why}", entry.id);
        let line = run.redactor.redact_str(&line).into_owned();
        run.tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .left(line);
    }
    run.emitter.emit(EventKind::UndoFinished(UndoFinished {
        id: entry.id.clone(),
        state,
        summary: summary.to_owned(),
        message,
        duration_ms: super::finish::millis(duration),
    }));
}
