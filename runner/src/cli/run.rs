//! `plan`, `run` and `verify`: from what was asked for to a run, its record and its exit code.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use runbook::id::Id;
use runbook::model::{Book, Vars};
use runbook::suggest;

use super::args::{Running, Selection};
use super::commands::no_steps;
use super::consumers::{Annotations, Shared, Told};
use super::earlier::Recorded;
use super::failure::Failure;
use super::open::Opened;
use super::shell::Shell;
use super::{build, wait_for};
use crate::execute::{self, Cancel, Purpose, RunError, RunRequest};
use crate::history::{self, LineBuilder};
use crate::journal::{self, Journal};
use crate::process::Watchdog;
use crate::report::{
    github::Github, json::JsonLines, junit::Junit, terminal, terminal::Terminal, text,
};
use crate::sink::{Sink, Sinks};
use crate::{causes, exit, revision, scratch};

/// What was asked for.
pub(super) struct Asked {
    /// IDs as typed.
    pub ids: Vec<String>,
    /// `--from`.
    pub from: Option<String>,
    /// `--with-needs`.
    pub with_needs: bool,
    /// What is due.
    pub selection: Selection,
    /// How it is run.
    pub running: Running,
}

/// The site after `verify`.
pub(super) struct Site {
    /// `--open`.
    pub open: bool,
    /// `--dest`.
    pub dest: Option<PathBuf>,
}

/// `plan`.
pub(super) fn plan(
    shell: &Shell,
    opened: &Opened,
    ids: &[String],
    selection: &Selection,
) -> Result<u8, Failure> {
    let vars = vars(selection);
    let book = opened.load(&vars)?.valid(shell)?;
    with_steps(&book, ids.is_empty())?;
    known(&book, &vars)?;
    let lines = history::recover(opened.root())?;
    let mut request = RunRequest::new(revision::run_id(), Purpose::Run, opened.root());
    request.repository = opened.repository();
    request.ids = parse_ids(ids)?;
    request.tags.clone_from(&selection.tag);
    request.profile = opened.profile();
    request.vars = vars;
    request.earlier = Arc::new(Recorded::new(opened.root(), &request.profile, &lines));
    let cancel = Cancel::new();
    let plan = wait_for(async {
        stop_on_signals(&cancel);
        let _watchdog = watchdog(shell);
        execute::plan(Arc::new(book), request, cancel.clone()).await
    })?;
    let plan = plan.map_err(|error| told(&error))?;
    if cancel.is_stopped() {
        return Ok(exit::INTERRUPTED);
    }
    if shell.json {
        shell.json(&plan)?;
    } else {
        shell.out(&text::plan(&plan, shell.color_out))?;
    }
    Ok(exit::OK)
}

/// `run`.
pub(super) fn run(shell: &Shell, opened: &Opened, asked: &Asked) -> Result<u8, Failure> {
    wait_for(execute(shell, opened, asked, Purpose::Run, None))?
}

/// `verify`, and the site when it is wanted.
pub(super) fn verify(
    shell: &Shell,
    opened: &Opened,
    asked: &Asked,
    site: Option<Site>,
    published: Option<&str>,
) -> Result<u8, Failure> {
    let code = wait_for(execute(shell, opened, asked, Purpose::Verify, published))??;
    // An interrupted run ends at once; what it recorded is there for `build`.
    if let Some(site) = site.filter(|_| code != exit::INTERRUPTED) {
        let built = build::build(shell, opened, site.dest, site.open)?;
        return Ok(exit::first([code, built]));
    }
    Ok(code)
}

async fn execute(
    shell: &Shell,
    opened: &Opened,
    asked: &Asked,
    purpose: Purpose,
    published: Option<&str>,
) -> Result<u8, Failure> {
    let vars = vars(&asked.selection);
    let book = opened.load(&vars)?.valid(shell)?;
    with_steps(&book, asked.ids.is_empty() && asked.from.is_none())?;
    known(&book, &vars)?;
    let (old, keep) = (history::recover(opened.root())?, book.options.keep);
    let old = match published {
        Some(from) => history::add(opened.root(), history::fetch(from).await?)?,
        None => old,
    };
    let mut request = request(opened, asked, purpose, &old, vars)?;
    let record = Record::begin(shell, opened, &request, &asked.running)?;
    request.directory = Some(record.directory.clone());
    let cancel = Cancel::new();
    stop_on_signals(&cancel);
    let _watchdog = watchdog(shell);
    scratch::sweep();
    let result = execute::run(Arc::new(book), request, record.sinks.clone(), cancel).await;
    let result = match result {
        Ok(result) => result,
        Err(error) => {
            record.abandon();
            return Err(told(&error));
        }
    };
    let mut code = result.exit_code;
    if let Some(error) = &result.error {
        shell.error(
            &causes::chain(error),
            Some("free some space or make the folder writable, then run again"),
        );
        code = exit::first([code, exit::UNAVAILABLE]);
    }
    if let Err(failure) = record.end(opened.root(), &asked.running) {
        code = exit::first([code, failure.tell(shell)]);
    }
    journal::prune(opened.root(), keep);
    Ok(code)
}

/// Refuses a value for a variable that no guide, no profile and not the inventory has: nothing would use it.
fn known(book: &Book, vars: &Vars) -> Result<(), Failure> {
    let Some(unknown) = vars.keys().find(|name| !book.has_var(name)) else {
        return Ok(());
    };
    let names = book.var_names();
    let hint = suggest::did_you_mean_or_list(unknown, names.iter().copied(), "there are")
        .unwrap_or_else(|| "add it to `vars` of a guide or of the inventory".into());
    Err(Failure::usage(
        format!("the book has no variable `{unknown}`"),
        Some(hint),
    ))
}

/// Refuses a book in which nothing can be run, at its place. What was asked for by ID is looked for first.
fn with_steps(book: &Book, everything: bool) -> Result<(), Failure> {
    if everything && book.guides.iter().all(|guide| guide.steps.is_empty()) {
        return Err(Failure::Invalid(vec![no_steps()]));
    }
    Ok(())
}

fn request(
    opened: &Opened,
    asked: &Asked,
    purpose: Purpose,
    old: &[runbook::report::HistoryLine],
    vars: Vars,
) -> Result<RunRequest, Failure> {
    let mut request = RunRequest::new(revision::run_id(), purpose, opened.root());
    request.repository = opened.repository();
    request.ids = parse_ids(&asked.ids)?;
    request.tags.clone_from(&asked.selection.tag);
    request.mode = asked.running.mode.map(Into::into);
    request.profile = opened.profile();
    request.vars = vars;
    if let Some(jobs) = asked.running.jobs {
        request.jobs = jobs.get();
    }
    request.strict = asked.running.strict;
    request.with_needs = asked.with_needs;
    request.from = asked.from.as_deref().map(parse_id).transpose()?;
    request.revision = revision::of(&request.repository);
    request.by = revision::asker();
    request.earlier = Arc::new(Recorded::new(opened.root(), &request.profile, old));
    Ok(request)
}

/// The sinks of a run, and what is read from them when it ended.
struct Record {
    sinks: Sinks,
    directory: PathBuf,
    line: Shared<LineBuilder>,
    junit: Option<Shared<Junit>>,
    github: Option<Shared<Github>>,
}

impl Record {
    fn begin(
        shell: &Shell,
        opened: &Opened,
        request: &RunRequest,
        running: &Running,
    ) -> Result<Self, Failure> {
        let journal = Journal::create(opened.root(), &request.run).map_err(|error| {
            let hint = "runs are recorded in `.runbook` beside `book.toml`: make that folder writable, or free some space";
            Failure::unavailable(causes::chain(&error), Some(hint.into()))
        })?;
        let directory = journal.dir().to_owned();
        let line = Shared::new(LineBuilder::default());
        let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(journal), Box::new(line.clone())];
        if shell.json {
            sinks.push(Box::new(Told::new(JsonLines::new(io::stdout()))));
        } else {
            let look = terminal::Look {
                color: shell.color_out,
                bars: shell.bars,
                every_step: true,
            };
            sinks.push(Box::new(Told::new(Terminal::new(io::stdout(), look))));
        }
        let junit = running
            .junit
            .is_some()
            .then(|| Shared::new(Junit::default()));
        sinks.extend(junit.clone().map(|junit| Box::new(junit) as Box<dyn Sink>));
        let github = (std::env::var("GITHUB_ACTIONS").as_deref() == Ok("true"))
            .then(|| Shared::new(Github::new(prefix(opened))));
        sinks.extend(github.clone().map(|github| {
            let json = shell.json;
            Box::new(Annotations { github, json }) as Box<dyn Sink>
        }));
        Ok(Self {
            sinks: Sinks::new(sinks),
            directory,
            line,
            junit,
            github,
        })
    }

    /// Writes what is derived from the run: its line in the history, JUnit, the summary.
    fn end(self, root: &Path, running: &Running) -> Result<(), Failure> {
        if let Some(line) = self.line.take().finish() {
            history::add(root, [line])?;
        }
        if let (Some(junit), Some(file)) = (self.junit, &running.junit) {
            let text = junit.take().document().map_err(|error| {
                Failure::unavailable(format!("cannot write JUnit: {error}"), None)
            })?;
            write(file, &text)?;
        }
        if let (Some(github), Some(file)) = (self.github, std::env::var_os("GITHUB_STEP_SUMMARY")) {
            append(Path::new(&file), &github.take().summary())?;
        }
        Ok(())
    }

    /// Forgets a run that did not begin.
    fn abandon(self) {
        let directory = self.directory.clone();
        drop(self);
        // Only an empty record is removed: one that tells something stays.
        if std::fs::metadata(directory.join("events.jsonl")).is_ok_and(|file| file.len() == 0) {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

fn prefix(opened: &Opened) -> String {
    match opened.root().strip_prefix(opened.repository()) {
        Ok(inside) if inside.as_os_str().is_empty() => String::new(),
        Ok(inside) => format!("{}/", inside.display()),
        Err(_) => String::new(),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let made = match path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        Some(parent) => std::fs::create_dir_all(parent),
        None => Ok(()),
    };
    made.and_then(|()| std::fs::write(path, text))
        .map_err(|error| {
            Failure::unavailable(format!("cannot write `{}`: {error}", path.display()), None)
        })
}

fn append(path: &Path, text: &str) -> Result<(), Failure> {
    use io::Write;
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| {
            Failure::unavailable(format!("cannot write `{}`: {error}", path.display()), None)
        })
}

fn vars(selection: &Selection) -> Vars {
    selection
        .vars
        .iter()
        .map(|(name, value)| (name.clone(), runbook::node::core_scalar(value)))
        .collect()
}

fn parse_ids(ids: &[String]) -> Result<Vec<Id>, Failure> {
    ids.iter().map(|id| parse_id(id)).collect()
}

fn parse_id(text: &str) -> Result<Id, Failure> {
    Id::parse(text).ok_or_else(|| {
        Failure::usage(
            format!("`{text}` is not an ID"),
            Some("an ID is `guide`, `guide#section` or `guide#section/step`; `runbook list` shows them".into()),
        )
    })
}

/// A run that did not begin.
fn told(error: &RunError) -> Failure {
    Failure::Told {
        code: error.exit_code(),
        message: error.to_string(),
        hint: error.hint(),
    }
}

/// What ends the children when this program is killed. Without it they would outlive only that.
fn watchdog(shell: &Shell) -> Option<Watchdog> {
    let started = std::env::current_exe().and_then(|program| Watchdog::start(&program));
    started.unwrap_or_else(|error| {
        shell.warning(
            &format!("no watchdog can be started: {error}"),
            Some("should this program be killed, look for what its steps left running"),
        );
        None
    })
}

/// INT or TERM: the first stops after cleaning up, the second at once. Where a cleaning up hangs, a third ends the program.
fn stop_on_signals(cancel: &Cancel) {
    let cancel = cancel.clone();
    tokio::spawn(async move {
        for urgency in 1.. {
            signalled().await;
            match urgency {
                1 => cancel.stop(),
                2 => cancel.stop_now(),
                _ => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    std::process::exit(exit::INTERRUPTED.into());
                }
            }
        }
    });
}

#[cfg(unix)]
async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    match (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
    ) {
        (Ok(mut int), Ok(mut term), Ok(mut hangup)) => tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
            _ = hangup.recv() => {}
        },
        _ => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn signalled() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
