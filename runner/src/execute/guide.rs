//! The steps of one guide, in order.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runbook::model::Step;
use runbook::node::{Kind, Node};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::context::{GuideCx, Run, Up};
use super::step;
use crate::action::git;

/// How long a clone of the lab's repository may take.
const CLONE_DURATION_MAX: Duration = Duration::from_secs(120);

/// Executes a guide's due steps. The permit is given back while it waits for other guides.
pub(super) async fn run(
    run: Arc<Run>,
    guide: Arc<GuideCx>,
    permits: Arc<Semaphore>,
    mut permit: Option<OwnedSemaphorePermit>,
) {
    let due = run.due_guide(&guide);
    for place in due.steps.clone() {
        let needs = &run.plan.steps[place as usize].needs;
        for needs in [needs, &due.needs] {
            if !run.results.have(needs) {
                permit = None;
                tokio::select! {
                    biased;
                    () = run.cancel.stopped() => {}
                    () = run.results.wait(needs) => {}
                }
            }
        }
        if permit.is_none() && !run.cancel.is_stopped() {
            // The semaphore is never closed.
            permit = Arc::clone(&permits).acquire_owned().await.ok();
        }
        if run.cancel.is_stopped() {
            break;
        }
        if guide.clone && place == due.steps.start {
            clone(&run, &guide).await;
        }
        step::due(&run, &guide, place).await;
    }
    if !run.undos.has(&guide) {
        stop(guide.take_backgrounds(), &run).await;
        run.locals.leave(due.guide);
    }
}

impl GuideCx {
    /// Takes the children that stay up.
    pub(super) fn take_backgrounds(&self) -> Vec<Up> {
        std::mem::take(&mut self.state().backgrounds)
    }
}

/// Ends children that stay up, the last first.
pub(super) async fn stop(mut ups: Vec<Up>, run: &Run) {
    while let Some(up) = ups.pop() {
        let stopping = up.child.stop();
        tokio::select! {
            _ = stopping => {}
            () = run.cancel.stopped_now() => {
                up.child.stop_now().await;
            }
        }
    }
}

/// Whether a local step needs the repository: `git` does, so does what calls it, and a path that lies in it.
pub(super) fn needs_clone(repository: &Path, step: &Step) -> bool {
    match step.action.name {
        "git" => true,
        "file" | "line" => step
            .args
            .get("path")
            .and_then(Node::as_text)
            .is_some_and(|path| {
                !path.starts_with('/') && !path.contains("{{") && repository.join(path).exists()
            }),
        _ => {
            let entries = step.node.as_map().into_iter().flatten();
            entries
                .filter(|entry| !matches!(entry.key.as_str(), "id" | "title" | "hints"))
                .any(|entry| calls_git(&entry.value))
        }
    }
}

fn calls_git(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar(scalar) => scalar
            .text
            .split(|c: char| !(c.is_alphanumeric() || "-_./".contains(c)))
            .any(|word| word == "git"),
        Kind::List(items) => items.iter().any(calls_git),
        Kind::Map(entries) => entries.iter().any(|entry| calls_git(&entry.value)),
        Kind::Value(_) => false,
    }
}

/// Makes the guide's scratch directory a clone of the repository, whose origin is the lab's.
async fn clone(run: &Run, guide: &GuideCx) {
    let due = run.due_guide(guide);
    let place = match run.locals.place(due.guide, due.world) {
        Ok(place) => place,
        Err(error) => {
            guide.state().clone_error = Some(error.to_string());
            return;
        }
    };
    let home = place
        .environment
        .iter()
        .find(|(name, _)| name == "HOME")
        .map(|(_, home)| std::path::PathBuf::from(home));
    let repository = git::Repository {
        root: place.directory.clone(),
        environment: place.environment.clone(),
        deadline: Instant::now() + CLONE_DURATION_MAX,
        cancel: run.cancel.clone(),
    };
    let made = async {
        let origin = run.origins.get(due.world).await?;
        let home = home.unwrap_or_default();
        repository.clone_of(&origin, &home).await
    };
    if let Err(error) = made.await {
        guide.state().clone_error = Some(error.to_string());
    }
}
