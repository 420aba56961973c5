//! What the parts of a run share: the run itself, a guide of it, and a step (or an item of it) with its values.
//!
//! Holds and looks up; decides nothing.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use runbook::id::Id;
use runbook::model::{Book, Guide, Step, StepRef, Target};
use runbook::node::Node;
use runbook::read;
use runbook::source::Span;
use runbook::template::{Scope, TemplateError};
use serde_json::{Map, Value, json};

use super::emit::Emitter;
use super::equip::{EVERY_DEFAULT, TIMEOUT_DEFAULT};
use super::locks::Locks;
use super::outcome::Outcome;
use super::results::{Done, Results};
use super::undo::Undos;
use crate::action::Failure;
use crate::local::{Locals, Place};
use crate::origins::Origins;
use crate::plan::{DueGuide, GuideMode, InBook as _, Plan, has_templates};
use crate::probe::http::Http;
use crate::process::{Background, Cancel, Redact};
use crate::reach::Machines;
use crate::redact::Redactor;
use crate::remote::Marks;
use crate::request::RunRequest;
use crate::scope::Values;
use crate::secrets::Secrets;
use crate::world::Worlds;

/// A run.
pub(super) struct Run {
    pub(super) book: Arc<Book>,
    pub(super) request: RunRequest,
    pub(super) plan: Plan,
    pub(super) values: Values,
    pub(super) results: Results,
    pub(super) emitter: Emitter,
    pub(super) redactor: Redactor,
    /// The same, as output of children passes it.
    pub(super) redact: Arc<dyn Redact>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) locals: Locals,
    pub(super) locks: Locks,
    pub(super) undos: Undos,
    pub(super) cancel: Cancel,
    pub(super) identity: BTreeMap<String, String>,
    /// Says what would be done and executes only what it takes to know that.
    pub(super) planning: bool,
    pub(super) tally: Mutex<super::tally::Tally>,
    pub(super) planned: super::planned::Planned,
    /// Asks over HTTP.
    pub(super) http: Http,
    /// The lab's git.
    pub(super) origins: Arc<Origins>,
    /// Other machines.
    pub(super) machines: Machines,
    /// The profile's APIs, or the labs.
    pub(super) worlds: Arc<Worlds>,
}

/// A guide of a run.
pub(super) struct GuideCx {
    /// Index into the plan's guides.
    pub(super) index: usize,
    /// The scratch directory has to be a clone of the repository.
    pub(super) clone: bool,
    pub(super) state: Mutex<GuideState>,
}

/// What the steps of a guide leave for those below.
#[derive(Default)]
pub(super) struct GuideState {
    /// The first step for which all below are blocked.
    pub(super) blocks: Option<Id>,
    /// The first step without which all below are skipped.
    pub(super) hollow: Option<Id>,
    /// The first step above that the run does not have and that is not known to hold, and why; asked for once.
    pub(super) gap: OnceCell<Option<(StepRef, String)>>,
    /// Steps that were skipped because they would change something.
    pub(super) would_change: Vec<StepRef>,
    /// What steps above would make, by what it is locked.
    pub(super) would_make: Vec<String>,
    /// The same of clusters.
    pub(super) above: super::kube::Above,
    /// Children that stay up.
    pub(super) backgrounds: Vec<Up>,
    /// Why the lab has no clone of the repository.
    pub(super) clone_error: Option<String>,
}

/// A child that stays up.
pub(super) struct Up {
    pub(super) child: Background,
    /// What it needs as long as it is up: its place in a connection.
    pub(super) _held: Option<Box<dyn std::any::Any + Send + Sync>>,
}

impl Run {
    pub(super) fn due_guide(&self, guide: &GuideCx) -> &DueGuide {
        &self.plan.guides[guide.index]
    }

    /// The text of a step's target, as far as it is known before the step is executed: with the values of its guide.
    pub(super) fn target_text(&self, at: StepRef) -> String {
        let step = at.of(&self.book);
        let text = target_text(step);
        if !step.keys.each.is_empty() || !runbook::template::has_template(&text) {
            return text;
        }
        let scope = &self.values.of(&self.book, at.guide).scope;
        match scope.render_text(&text) {
            Ok(Value::String(rendered)) => rendered,
            _ => text,
        }
    }

    /// Whether a step's result is one of this run, or of an earlier one.
    pub(super) fn newest(&self, at: StepRef) -> Newest {
        if let Some(place) = self.plan.place(at) {
            return Newest::Here(self.results.get(place).cloned());
        }
        Newest::Earlier(
            self.request
                .earlier
                .newest(&at.of(&self.book).id)
                .map(Box::new),
        )
    }
}

/// The newest result of a step.
pub(super) enum Newest {
    /// Of this run; `None` when it has not ended (or the run was stopped before).
    Here(Option<Arc<Done>>),
    /// Of an earlier run.
    Earlier(Option<Box<runbook::event::StepFinished>>),
}

impl GuideCx {
    pub(super) fn new(index: usize, clone: bool) -> Self {
        Self {
            index,
            clone,
            state: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> std::sync::MutexGuard<'_, GuideState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An item of `each`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    /// What stands after `@`.
    pub(super) name: String,
    /// The names of `each` and their values.
    pub(super) values: Vec<(String, Value)>,
    /// Of `each: {on: …}`: the target.
    pub(super) on: Option<String>,
    /// Whether the items come from a capture.
    pub(super) captured: bool,
}

/// A step, or an item of it, with its values.
pub(super) struct Cx {
    pub(super) run: Arc<Run>,
    pub(super) guide: Arc<GuideCx>,
    pub(super) at: StepRef,
    pub(super) id: Id,
    pub(super) item: Option<Item>,
    pub(super) mode: GuideMode,
    pub(super) scope: Scope,
    pub(super) target: Target,
    pub(super) target_text: String,
    pub(super) timing: Timing,
    /// `env` and `secrets`, once the step is equipped.
    pub(super) env: Vec<(String, String)>,
    pub(super) cancel: Cancel,
    /// Whether it may see secrets, its own or captured ones.
    pub(super) secretive: bool,
    /// Set for what is executed inside another step or after the guides: nothing waits for it, no event is its own.
    pub(super) inner: Option<&'static str>,
    /// The programs that it runs on other machines.
    pub(super) marks: Marks,
    /// Whether one of them is a program that the book brings, or a question went to a stand-in.
    pub(super) stood_in: Arc<AtomicBool>,
}

/// The durations of a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) timeout: Duration,
    pub(super) retry: Option<Duration>,
    pub(super) every: Duration,
    pub(super) hold: Option<Duration>,
}

impl Cx {
    /// A step with its values, before its secrets are asked for.
    pub(super) fn new(
        run: &Arc<Run>,
        guide: &Arc<GuideCx>,
        at: StepRef,
        item: Option<Item>,
    ) -> Self {
        let step = at.of(&run.book);
        let id = item
            .as_ref()
            .map_or_else(|| step.id.clone(), |item| step.id.with_item(&item.name));
        let mut cx = Self {
            run: Arc::clone(run),
            guide: Arc::clone(guide),
            at,
            id,
            item,
            mode: run.due_guide(guide).mode,
            scope: Scope::new(),
            target: Target::Local,
            target_text: run.target_text(at),
            timing: Timing {
                timeout: TIMEOUT_DEFAULT,
                retry: None,
                every: EVERY_DEFAULT,
                hold: None,
            },
            env: Vec::new(),
            cancel: run.cancel.clone(),
            secretive: !step.uses.steps.is_empty() || !step.keys.secrets.is_empty(),
            inner: None,
            marks: Marks::default(),
            stood_in: Arc::default(),
        };
        if cx.item.is_some() || has_templates(at.guide(&run.book), step) {
            cx.fill_scope();
        }
        cx
    }

    pub(super) fn step(&self) -> &Step {
        self.at.of(&self.run.book)
    }

    pub(super) fn book_guide(&self) -> &Guide {
        self.at.guide(&self.run.book)
    }

    pub(super) fn is_lab(&self) -> bool {
        self.run.request.is_lab()
    }

    /// Where local scripts of the guide run.
    pub(super) fn place(&self) -> io::Result<Arc<Place>> {
        self.run
            .locals
            .place(self.at.guide, self.run.due_guide(&self.guide).world)
    }

    /// The folder of the chapter, to which `from` is relative.
    pub(super) fn folder(&self) -> PathBuf {
        let file = self.run.request.root.join(self.book_guide().source.path());
        file.parent().map(PathBuf::from).unwrap_or(file)
    }

    /// A path that is relative to the chapter, where it is there and lies in the repository.
    pub(super) fn repository_path(&self, path: &str) -> Option<PathBuf> {
        let path = self.folder().join(path).canonicalize().ok()?;
        let repository = self.run.locals.repository().canonicalize().ok()?;
        path.starts_with(repository).then_some(path)
    }

    fn fill_scope(&mut self) {
        self.scope = self
            .run
            .values
            .of(&self.run.book, self.at.guide)
            .scope
            .clone();
        let mut steps: Map<String, Value> = Map::new();
        let step = self.at.of(&self.run.book);
        for used in step.uses.steps.iter().filter(|used| used.id != step.id) {
            let Some(giver) = self
                .run
                .book
                .step_ref(&used.id)
                .filter(|_| !steps.contains_key(&used.key))
            else {
                continue;
            };
            let value = match self.run.newest(giver) {
                Newest::Here(Some(done)) => {
                    let item = self.item.as_ref().filter(|_| self.same_items(giver));
                    item.and_then(|item| done.item(&item.name))
                        .unwrap_or(&done)
                        .value()
                }
                Newest::Earlier(Some(finished)) => earlier_value(&finished),
                Newest::Here(None) | Newest::Earlier(None) => {
                    json!({"state": "never-run", "changed": false, "duration": 0})
                }
            };
            steps.insert(used.key.clone(), value);
        }
        if !steps.is_empty() {
            self.scope.set("steps", Value::Object(steps));
        }
        if let Some(item) = &self.item {
            for (name, value) in &item.values {
                self.scope = if item.captured {
                    self.scope.with_captured(name, value.clone())
                } else {
                    self.scope.with(name, value.clone())
                };
            }
        }
    }

    /// Whether another step loops over the same items, so that its value is the item's.
    fn same_items(&self, other: StepRef) -> bool {
        let (ours, theirs) = (&self.step().keys.each, &other.of(&self.run.book).keys.each);
        ours.len() == theirs.len()
            && ours
                .iter()
                .zip(theirs)
                .all(|((_, ours), (_, theirs))| ours.to_json() == theirs.to_json())
    }

    /// Makes this step's own captures known to what takes it back or repairs it.
    pub(super) fn with_own(&mut self, captures: &Map<String, Value>) {
        let Some(name) = self.step().id.step.clone() else {
            return;
        };
        // What other steps gave stays: its own action may be read again to take it back.
        let mut steps = match self.scope.evaluate("steps") {
            Ok(Value::Object(steps)) => steps,
            _ => Map::new(),
        };
        steps.insert(name, Value::Object(captures.clone()));
        self.scope.set("steps", Value::Object(steps));
    }

    /// Renders a node.
    ///
    /// # Errors
    ///
    /// A template without a value, as an outcome with its place.
    pub(super) fn render(&self, node: &Node) -> Result<Node, Box<Outcome>> {
        self.scope
            .render(node)
            .map_err(|(span, error)| self.template(span, &error))
    }

    /// The outcome of a template that has no value.
    pub(super) fn template(&self, span: Span, error: &TemplateError) -> Box<Outcome> {
        let failure =
            Failure::new(format!("{}: {error}", self.at_line(span))).hint(error.hint.clone());
        Box::new(Outcome::wrong(failure))
    }

    /// The outcome of a value that is not what its key wants.
    pub(super) fn read(&self, error: &read::ReadError) -> Box<Outcome> {
        let failure =
            Failure::new(format!("{}: {error}", self.at_line(error.span))).hint(error.hint.clone());
        Box::new(Outcome::wrong(failure))
    }

    /// Where something stands, for a message.
    pub(super) fn at_line(&self, span: Span) -> String {
        let source = &self.book_guide().source;
        format!("{}:{}", source.path(), source.position(span.start).line)
    }
}

/// What `steps.ID` is by the result of an earlier run.
fn earlier_value(finished: &runbook::event::StepFinished) -> Value {
    let mut value: Map<String, Value> = finished
        .captures
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    value.insert("state".into(), finished.state.as_str().into());
    value.insert("changed".into(), finished.changed.into());
    value.insert(
        "duration".into(),
        (finished.duration_ms as f64 / 1000.0).into(),
    );
    Value::Object(value)
}

/// The target's text, as far as it is known before it is rendered.
fn target_text(step: &Step) -> String {
    step.target.as_text().unwrap_or_default().to_owned()
}
