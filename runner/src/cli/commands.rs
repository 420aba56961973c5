//! The commands that run nothing: `init`, `check`, `fmt`, `list`, `show`, `status`, `history`, `doctor`, `schema`.

use std::path::{Path, PathBuf};

use runbook::id::Id;
use runbook::model::Book;
use runbook::outcome::{Freshness, State};
use runbook::records::Records;
use runbook::report::{CheckReport, History, REPORT_VERSION, Status};
use runbook::status::{GuideView, Query, StatusView, StepView, assess};

use super::args::Global;
use super::failure::Failure;
use super::open::Opened;
use super::shell::Shell;
use super::{doctor as machine, init as new_book};
use crate::history::{self, Index, Trend};
use crate::report::text;
use crate::{causes, exit, listing, whole_file};

/// `init`.
pub(super) fn init(shell: &Shell, global: &Global, dir: Option<PathBuf>) -> Result<u8, Failure> {
    let dir = dir
        .or_else(|| global.book.clone())
        .unwrap_or_else(|| PathBuf::from("."));
    new_book::init(shell, &dir).map_err(|error| match &error {
        new_book::InitError::Already { .. } => Failure::usage(
            error.to_string(),
            Some("it can be verified already: runbook verify".into()),
        ),
        new_book::InitError::Write { .. } => Failure::unavailable(causes::chain(&error), None),
    })?;
    Ok(exit::OK)
}

/// `check`.
pub(super) fn check(shell: &Shell, opened: &Opened) -> Result<u8, Failure> {
    let mut read = opened.load(&Default::default())?;
    read.diagnostics
        .extend(mdbook_runbook::check_diagrams(&read.book));
    let steps: usize = read.book.guides.iter().map(|guide| guide.steps.len()).sum();
    if steps == 0 && !read.is_invalid() {
        read.diagnostics.push(no_steps());
    }
    let invalid = read.is_invalid();
    if shell.json {
        shell.json(&CheckReport {
            version: REPORT_VERSION,
            diagnostics: read.diagnostics,
        })?;
    } else if read.diagnostics.is_empty() {
        let guides = read
            .book
            .guides
            .iter()
            .filter(|guide| !guide.steps.is_empty())
            .count();
        shell.out(&format!(
            "{} in {}: no problem found\n",
            count(steps, "step"),
            count(guides, "guide")
        ))?;
    } else {
        shell.diagnostics(&read.diagnostics);
    }
    Ok(if invalid {
        exit::BOOK_INVALID
    } else {
        exit::OK
    })
}

/// `fmt`: every chapter, or none when one is invalid.
pub(super) fn fmt(shell: &Shell, opened: &Opened, only_check: bool) -> Result<u8, Failure> {
    let book = opened.load(&Default::default())?.valid(shell)?;
    let mut changes = Vec::new();
    for guide in book.guides.iter().filter(|guide| !guide.steps.is_empty()) {
        let text = runbook::fmt::format(&guide.source, opened.dir().markdown())
            .map_err(Failure::Invalid)?;
        if text != guide.source.text() {
            changes.push((guide.source.path().to_owned(), text));
        }
    }
    for (path, text) in &changes {
        if !only_check {
            replace(&opened.root().join(path), text)?;
        }
        shell.out(&format!("{path}\n"))?;
    }
    let told = if only_check {
        "would be written differently"
    } else {
        "written"
    };
    shell.note(&format!("{} {told}", count(changes.len(), "chapter")));
    Ok(if only_check && !changes.is_empty() {
        exit::STEP_FAILED
    } else {
        exit::OK
    })
}

/// `list`.
pub(super) fn list(shell: &Shell, opened: &Opened, tags: &[String]) -> Result<u8, Failure> {
    let book = opened.load(&Default::default())?.valid(shell)?;
    let list = listing::list(&book, &opened.profile(), tags);
    if shell.json {
        shell.json(&list)?;
    } else {
        shell.out(&listing::text(&list))?;
    }
    // The program ends: taking a large book apart piece by piece first would be a tenth of all its work.
    std::mem::forget((book, list));
    Ok(exit::OK)
}

/// `show`: reads the one chapter only, so that it is quick in a large book.
pub(super) fn show(shell: &Shell, opened: &Opened, text: &str) -> Result<u8, Failure> {
    let Some(id) = Id::parse(text) else {
        let hint =
            "an ID is `guide`, `guide#section` or `guide#section/step`; `runbook list` shows them";
        return Err(Failure::usage(
            format!("`{text}` is not an ID"),
            Some(hint.into()),
        ));
    };
    let book = opened.load_guide(&id.guide)?.valid(shell)?;
    let show = listing::show(&book, &id).ok_or_else(|| unknown(opened, &id))?;
    if shell.json {
        shell.json(&show)?;
    } else {
        shell.out(&format!(
            "{} ({}:{})\n\n{}\n",
            show.title,
            show.path,
            show.line,
            show.markdown.trim_end()
        ))?;
    }
    Ok(exit::OK)
}

/// `status`.
pub(super) fn status(shell: &Shell, opened: &Opened, tags: &[String]) -> Result<u8, Failure> {
    let book = opened.load(&Default::default())?.valid(shell)?;
    let records = Records {
        lines: history::recover(opened.root())?,
        ..Records::default()
    };
    let profile = opened.profile();
    let vars = Default::default();
    let query = Query {
        profile: &profile,
        now: jiff::Timestamp::now(),
        vars: &vars,
    };
    let view = assess(&book, &records, &query);
    let mut status = view.report(&query.now.to_string());
    if !tags.is_empty() {
        let tagged = |id: &Id| {
            book.guides
                .iter()
                .any(|guide| guide.id == id.guide && listing::has_tag(guide, tags))
        };
        status.guides.retain(|guide| tagged(&guide.id));
    }
    if shell.json {
        shell.json(&status)?;
    } else {
        shell.out(&status_text(&view, &status, shell.color_out))?;
    }
    Ok(exit::OK)
}

/// `history`.
pub(super) fn history(
    shell: &Shell,
    opened: &Opened,
    id: Option<&str>,
    limit: usize,
    rebuild: bool,
) -> Result<u8, Failure> {
    if rebuild {
        let runs = history::rebuild(opened.root())?;
        shell.note(&format!(
            "the history was made anew: {}",
            count(runs, "run")
        ));
    }
    let book = opened.load(&Default::default())?.valid(shell)?;
    let (id, steps) = match id {
        Some(text) => {
            let id = Id::parse(text)
                .ok_or_else(|| Failure::usage(format!("`{text}` is not an ID"), None))?;
            let steps = selected(&book, &id)?;
            (id, steps)
        }
        None => {
            let all = book
                .guides
                .iter()
                .flat_map(|guide| &guide.steps)
                .map(|step| step.id.clone())
                .collect();
            (Id::guide("*"), all)
        }
    };
    let lines = history::recover(opened.root())?;
    let runs = if lines.is_empty() {
        shell.note("nothing was recorded yet; run `runbook verify`");
        Vec::new()
    } else {
        Index::of(opened.root(), &lines)?.runs(&steps, opened.asked_profile(), limit)?
    };
    if shell.json {
        shell.json(&History {
            version: REPORT_VERSION,
            id,
            runs,
        })?;
        return Ok(exit::OK);
    }
    let mut out = String::new();
    for run in &runs {
        let revision = run.revision.as_deref().unwrap_or("-");
        out.push_str(&format!(
            "{} {:<9} {}  {:<13} {:>8}  {}\n",
            text::sign(run.state),
            run.state.as_str(),
            run.finished_at,
            revision,
            text::duration(run.duration_ms),
            run.run
        ));
    }
    let trend = Trend::of(&runs);
    if let Some((run, at, revision)) = &trend.failing_since {
        let since = revision
            .as_deref()
            .map_or_else(String::new, |revision| format!(", revision {revision}"));
        out.push_str(&format!(
            "\nfailing for {}, since {at} (run {run}{since})\n",
            count(trend.failing_runs, "run")
        ));
    }
    if trend.flips > 1 {
        out.push_str(&format!(
            "\nflaky: changed {} in {}\n",
            count(trend.flips, "time"),
            count(trend.runs, "run")
        ));
    }
    shell.out(&out)?;
    Ok(exit::OK)
}

/// `doctor`.
pub(super) fn doctor(shell: &Shell, global: &Global) -> Result<u8, Failure> {
    let book = Opened::find(global).ok();
    let report = machine::examine(book.as_ref());
    if shell.json {
        shell.json(&report)?;
    } else {
        machine::tell(shell, &report)?;
    }
    Ok(exit::OK)
}

/// `schema`.
pub(super) fn schema(shell: &Shell, name: Option<&str>) -> Result<u8, Failure> {
    let Some(name) = name else {
        shell.out(&format!("{}\n", runbook::schema::NAMES.join("\n")))?;
        return Ok(exit::OK);
    };
    let Some(schema) = runbook::schema::named(name) else {
        let hint = format!("one of {}", runbook::schema::NAMES.join(", "));
        return Err(Failure::usage(
            format!("there is no schema `{name}`"),
            Some(hint),
        ));
    };
    let text = serde_json::to_string_pretty(&schema).map_err(std::io::Error::from)?;
    shell.out(&format!("{text}\n"))?;
    Ok(exit::OK)
}

fn selected(book: &Book, id: &Id) -> Result<Vec<Id>, Failure> {
    let steps = book
        .select(std::slice::from_ref(id))
        .map_err(|error| Failure::usage(error.to_string(), error.hint))?;
    Ok(steps
        .into_iter()
        .map(|at| book.get(at).1.id.clone())
        .collect())
}

/// An ID that names nothing, with a similar one: the whole book is read only now.
fn unknown(opened: &Opened, id: &Id) -> Failure {
    let list = "`runbook list` shows every ID".to_owned();
    let whole = match opened.load(&Default::default()) {
        Ok(read) => read.book,
        Err(failure) => return failure,
    };
    match whole.select(std::slice::from_ref(id)) {
        Err(error) => Failure::usage(error.to_string(), error.hint.or(Some(list))),
        Ok(_) => Failure::usage(format!("there is nothing at `{id}`"), Some(list)),
    }
}

fn status_text(view: &StatusView, shown: &Status, color: bool) -> String {
    let mut out = String::new();
    let listed = |guide: &&GuideView| shown.guides.iter().any(|known| known.id == guide.id);
    for guide in view.guides.iter().filter(listed) {
        let sign = guide.state.map_or("○", text::sign);
        let (on, off) = match guide.state {
            Some(state) if color => (text::style(state), text::RESET),
            _ => ("", ""),
        };
        let profile = guide
            .profile
            .as_deref()
            .map_or_else(String::new, |profile| format!(" on {profile}"));
        let at = guide
            .finished_at
            .as_deref()
            .map_or_else(String::new, |at| format!(", {at}"));
        out.push_str(&format!(
            "{on}{sign}{off} {}  {}{profile}{at}\n",
            guide.id,
            guide.word()
        ));
        if let Some(failing) = &guide.failing {
            let revision = failing
                .since
                .revision
                .as_deref()
                .map_or_else(String::new, |revision| format!(", revision {revision}"));
            let runs = count(failing.runs as usize, "run");
            out.push_str(&format!(
                "    failing for {runs}, since {}{revision}\n",
                failing.since.finished_at
            ));
        }
        if guide.state.is_some() {
            guide
                .steps
                .iter()
                .for_each(|step| step_line(&mut out, step));
        }
    }
    if shown.guides.is_empty() {
        out.push_str("no guide has steps\n");
    }
    out
}

/// A step that needs attention, in a line; a fresh pass is quiet.
fn step_line(out: &mut String, step: &StepView) {
    let state = step.state.map_or("never-run", State::as_str);
    if step.state == Some(State::Passed) && step.freshness == Freshness::Fresh {
        return;
    }
    let worth = if step.freshness == Freshness::NeverRun {
        String::new()
    } else {
        format!(", {}", step.freshness)
    };
    let why = step
        .stale
        .as_deref()
        .or(step.message.as_deref())
        .map_or_else(String::new, |why| format!(": {}", text::harmless(why)));
    out.push_str(&format!("    {} {state}{worth}{why}\n", step.id));
}

/// What is said of a book without steps.
pub(super) fn no_steps() -> runbook::diagnostic::Diagnostic {
    runbook::diagnostic::Diagnostic::file("no-steps", "book.toml", "no steps found").hint(
        "a step is a fence with the word `runbook` in its info string; `runbook init` shows one",
    )
}

fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    whole_file::replace(path, text.as_bytes()).map_err(|error| {
        Failure::unavailable(
            format!("cannot write `{}`: {}", path.display(), error.into_io()),
            None,
        )
    })
}

/// `1 step`, `2 steps`.
fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}
