//! A book of a test: chapters as texts, written to a folder of its own, loaded and run.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use runbook::book::{self, ChapterInput, FileError, Files};
use runbook::event::{Event, EventKind, StepFinished};
use runbook::id::Id;
use runbook::model::Book;
use runbook::outcome::{Mode, State};
use runbook::source::Source;
use runbook_runner::execute::{self, Cancel, Purpose, RunError, RunRequest, RunResult};
use runbook_runner::sink::{Sink, SinkError, Sinks, Stream};
use tempfile::TempDir;

/// A book of a test.
pub(crate) struct BookTest {
    folder: TempDir,
    chapters: Vec<ChapterInput>,
    inventory: Option<Source>,
    request: RunRequest,
}

/// What a run of it gave.
pub(crate) struct Ran {
    pub(crate) events: Vec<Event>,
    pub(crate) steps: BTreeMap<String, StepFinished>,
    pub(crate) result: RunResult,
    pub(crate) output: String,
}

impl BookTest {
    /// A book with one chapter, `a`, whose steps stand under the heading `S`; run in the mode `converge` on the lab.
    pub(crate) fn new(steps: &str) -> Self {
        Self::empty().chapter("a", steps)
    }

    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut request = RunRequest::new(
            "20261124T000000Z-0000",
            Purpose::Run,
            folder.path().join("book"),
        );
        request.directory = Some(folder.path().join("run"));
        fs::create_dir_all(folder.path().join("book/src")).unwrap();
        fs::create_dir_all(folder.path().join("run")).unwrap();
        Self {
            folder,
            chapters: Vec::new(),
            inventory: None,
            request,
        }
    }

    /// Adds a chapter; without front matter or a heading it gets the heading `S`.
    pub(crate) fn chapter(mut self, id: &str, text: &str) -> Self {
        let text = if text.contains("\n# ") || text.starts_with("# ") {
            text.to_owned()
        } else {
            format!("# S\n\n{text}")
        };
        let path = format!("src/{id}.md");
        fs::write(self.root().join(&path), &text).unwrap();
        self.chapters.push(ChapterInput {
            path,
            id: id.into(),
            name: id.into(),
            text,
        });
        self
    }

    pub(crate) fn inventory(mut self, text: &str) -> Self {
        fs::write(self.root().join("inventory.yaml"), text).unwrap();
        self.inventory = Some(Source::new("inventory.yaml", text));
        self
    }

    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn mode(mut self, mode: Mode) -> Self {
        self.request.mode = Some(mode);
        self
    }

    /// Runs on a real profile, `home`.
    pub(crate) fn home(mut self) -> Self {
        self.request.profile = "home".into();
        if self.inventory.is_none() {
            return self.inventory("profiles: {home: {vars: {}}}\n");
        }
        self
    }

    pub(crate) fn ask(mut self, change: impl FnOnce(&mut RunRequest)) -> Self {
        change(&mut self.request);
        self
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("book")
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    pub(crate) fn request(&self) -> RunRequest {
        self.request.clone()
    }

    /// The book; errors of the book end the test.
    pub(crate) fn load(&self) -> Arc<Book> {
        let input = book::Input {
            chapters: self.chapters.clone(),
            inventory: self.inventory.clone(),
            profile: self.request.profile.clone(),
            vars: self.request.vars.clone(),
            ..book::Input::default()
        };
        let loaded = book::load(input, &Disk(self.root()));
        let told: Vec<String> = loaded
            .diagnostics
            .iter()
            .map(|found| found.render(false))
            .collect();
        assert!(
            loaded.is_valid(),
            "the book is not valid:\n{}",
            told.join("\n")
        );
        Arc::new(loaded.book)
    }

    pub(crate) fn run(&self) -> Ran {
        self.run_with(Cancel::new(), |_| {})
    }

    pub(crate) fn refused(&self) -> RunError {
        let run = execute::run(
            self.load(),
            self.request(),
            Sinks::new(Vec::new()),
            Cancel::new(),
        );
        runtime().block_on(run).unwrap_err()
    }

    pub(crate) fn plan(&self) -> BTreeMap<String, runbook::report::PlanStep> {
        let plan = execute::plan(self.load(), self.request(), Cancel::new());
        let plan = runtime().block_on(plan).unwrap();
        plan.steps
            .into_iter()
            .map(|step| (short(&step.id), step))
            .collect()
    }

    /// Runs; `seen` sees each event as it comes.
    pub(crate) fn run_with(
        &self,
        cancel: Cancel,
        seen: impl FnMut(&Event) + Send + 'static,
    ) -> Ran {
        let collected = Collected::default();
        let sinks = Sinks::new(vec![
            Box::new(collected.clone()),
            Box::new(Seen(Box::new(seen))),
        ]);
        let result = runtime()
            .block_on(execute::run(self.load(), self.request(), sinks, cancel))
            .unwrap();
        let collected = collected.0.lock().unwrap();
        let finished = collected
            .events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::StepFinished(finished) => {
                    Some((short(&finished.id), (**finished).clone()))
                }
                _ => None,
            });
        Ran {
            steps: finished.collect(),
            events: collected.events.clone(),
            output: String::from_utf8_lossy(&collected.output).into_owned(),
            result,
        }
    }
}

impl Ran {
    pub(crate) fn state(&self, step: &str) -> State {
        self.step(step).state
    }

    pub(crate) fn step(&self, step: &str) -> &StepFinished {
        self.steps
            .get(step)
            .unwrap_or_else(|| panic!("no `{step}` in {:?}", self.steps.keys()))
    }

    /// Why a step ended so: reason, then message.
    pub(crate) fn why(&self, step: &str) -> String {
        let step = self.step(step);
        let parts = [&step.reason, &step.message];
        parts
            .into_iter()
            .flatten()
            .cloned()
            .collect::<Vec<_>>()
            .join(": ")
    }

    /// `id state` for each step in the order in which they ended.
    pub(crate) fn states(&self) -> Vec<String> {
        let finished = self.events.iter().filter_map(|event| match &event.kind {
            EventKind::StepFinished(finished) => {
                Some(format!("{} {}", short(&finished.id), finished.state))
            }
            _ => None,
        });
        finished.collect()
    }

    /// Every text of every event.
    pub(crate) fn journal(&self) -> String {
        self.events
            .iter()
            .map(|event| serde_json::to_string(event).unwrap() + "\n")
            .collect()
    }

    pub(crate) fn undone(&self) -> Vec<String> {
        let finished = self.events.iter().filter_map(|event| match &event.kind {
            EventKind::UndoFinished(finished) => {
                Some(format!("{} {}", short(&finished.id), finished.state))
            }
            _ => None,
        });
        finished.collect()
    }

    /// Each step that was started has its result, and the last event is the run's.
    pub(crate) fn assert_complete(&self) {
        let mut open: Vec<&Id> = Vec::new();
        for event in &self.events {
            match &event.kind {
                EventKind::StepStarted(started) => open.push(&started.id),
                EventKind::StepFinished(finished) => open.retain(|id| **id != finished.id),
                _ => {}
            }
        }
        assert!(open.is_empty(), "without a result: {open:?}");
        assert!(matches!(
            self.events.last().unwrap().kind,
            EventKind::RunFinished(_)
        ));
    }
}

/// A step's ID without `a#s/`.
fn short(id: &Id) -> String {
    let id = id.to_string();
    id.strip_prefix("a#s/").unwrap_or(&id).to_owned()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Collection>>);

#[derive(Default)]
struct Collection {
    events: Vec<Event>,
    output: Vec<u8>,
}

impl Sink for Collected {
    fn event(&mut self, event: &Event) -> Result<(), SinkError> {
        self.0.lock().unwrap().events.push(event.clone());
        Ok(())
    }

    fn output(&mut self, _: &Id, _: Stream, bytes: &[u8]) {
        self.0.lock().unwrap().output.extend_from_slice(bytes);
    }
}

struct Seen(Box<dyn FnMut(&Event) + Send>);

impl Sink for Seen {
    fn event(&mut self, event: &Event) -> Result<(), SinkError> {
        (self.0)(event);
        Ok(())
    }
}

struct Disk(PathBuf);

impl Files for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        fs::read(self.0.join(path)).map_err(|_| FileError::Missing)
    }

    fn below(&self, directory: &str) -> Result<Vec<String>, FileError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.0.join(directory)).map_err(|_| FileError::Missing)? {
            let entry = entry.map_err(|_| FileError::Missing)?;
            let path = format!("{directory}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                found.extend(self.below(&path)?);
            } else {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }
}

/// A fence of a step.
pub(crate) fn bash(options: &str, body: &str) -> String {
    let options: String = options.lines().map(|line| format!("#| {line}\n")).collect();
    format!("```bash runbook\n{options}{body}\n```\n\n")
}

/// A typed step.
pub(crate) fn step(keys: &str) -> String {
    format!("```runbook\n{keys}\n```\n\n")
}
