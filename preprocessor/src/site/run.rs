//! A run's page: the log of what was done, in the order of time, each row opening to its evidence.
//!
//! Bounded whatever the run was: steps that did not pass come with their evidence, the others as far as there is room; of a run
//! whose journal is gone only what the history says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use runbook::event::StepFinished;
use runbook::id::Id;
use runbook::outcome::{Freshness, Mode, State};
use runbook::report::HistoryLine;
use runbook::values::LAB;
use serde::Serialize;

use super::Site;
use super::chapter::href;
use super::evidence::{self, Amount};
use super::html::{badge, bounded, day_and_time, duration, state, told, word};
use super::page::Page;
use super::status::by_state;
use super::templates::{TemplateError, part};
use crate::assets::SPRITE;
use crate::records::Journal;

/// How many steps a page shows.
const ROWS_MAX: usize = 400;
/// How much evidence a page holds, in bytes of HTML; rows beyond it stand without.
const EVIDENCE_BYTES_MAX: usize = 200_000;
/// How long a reason or a remark is, in characters.
const TEXT_CHARACTERS_MAX: usize = 500;
/// How long a name is, in characters.
const NAME_CHARACTERS_MAX: usize = 120;
/// How many lines the end of the page has.
const LINES_MAX: usize = 200;
/// How many identities a page names.
const IDENTITIES_MAX: usize = 40;

#[derive(Serialize)]
struct Values {
    sprite: &'static str,
    lab: bool,
    sign: String,
    told: String,
    facts: Vec<Fact>,
    note: Option<&'static str>,
    rows: Vec<Row>,
    more: usize,
    undone: Vec<Undone>,
    left: Vec<String>,
    ended: bool,
    downloads: Option<Downloads>,
}

#[derive(Serialize)]
struct Downloads {
    journal: String,
    junit: String,
}

#[derive(Serialize)]
struct Undone {
    sign: String,
    text: String,
}

#[derive(Serialize)]
struct Fact {
    name: String,
    value: String,
}

#[derive(Serialize)]
struct Row {
    anchor: String,
    open: bool,
    sign: String,
    title: String,
    id: String,
    page: Option<String>,
    duration: String,
    state: &'static str,
    left: String,
    width: String,
    meta: String,
    reason: Option<String>,
    evidence: String,
}

/// The page's name in the sidebar and in titles.
pub(super) fn name(site: &Site, run: &str) -> Option<String> {
    let line = site.line(run)?;
    let worst = line.steps.iter().map(|step| step.state).min();
    let glyph = super::html::glyph(worst);
    Some(format!("Run {} {glyph}", day_and_time(&line.finished_at)))
}

/// The page's content; `None` of a run that is not in the history.
///
/// # Errors
/// When its template is wrong.
pub(super) fn render(
    site: &Site,
    run: &str,
    assets: &str,
) -> Result<Option<String>, TemplateError> {
    let Some(line) = site.line(run) else {
        return Ok(None);
    };
    let page = site.page("../");
    let journal = site.recorded.journals.get(run);
    let axis = Axis::new(line);
    let mut results = results(site, line, journal);
    let all = results.len();
    if all > ROWS_MAX {
        results = worst_of(results);
    }
    let mut budget = EVIDENCE_BYTES_MAX;
    let rows: Vec<Row> = results
        .iter()
        .map(|result| row(site, result, &axis, &page, &mut budget))
        .collect();
    let worst = line.steps.iter().map(|step| step.state).min();
    let mut sign = String::new();
    state(
        &mut sign,
        worst,
        Freshness::Fresh,
        line.profile == LAB,
        told(worst),
    );
    let values = Values {
        sprite: SPRITE.trim_end(),
        lab: line.profile == LAB,
        sign,
        told: by_state(line.steps.iter().map(|step| step.state)),
        facts: facts(line, journal, &axis),
        note: journal.is_none().then_some(
            "The journal of this run is no longer kept: this is what the history says of it.",
        ),
        more: all - rows.len(),
        rows,
        undone: journal.map(undone).unwrap_or_default(),
        left: left_behind(journal),
        ended: journal.is_none_or(|journal| journal.finished.is_some()),
        downloads: (site.with_files && journal.is_some()).then(|| Downloads {
            journal: format!("{run}.jsonl"),
            junit: format!("{run}.xml"),
        }),
    };
    let title = format!("# Run {}\n\n", day_and_time(&line.finished_at));
    let part = part("run.html", &values)?;
    Ok(Some(site.own_page(
        &format!("runs/{run}.html"),
        &title,
        assets,
        &part,
    )))
}

/// A result of the run.
struct Outcome<'a> {
    id: &'a Id,
    state: State,
    ended_at: &'a str,
    duration_ms: u64,
    target: &'a str,
    reason: Option<&'a str>,
    evidence: Option<&'a StepFinished>,
}

fn results<'a>(
    site: &'a Site,
    line: &'a HistoryLine,
    journal: Option<&'a Journal>,
) -> Vec<Outcome<'a>> {
    let Some(journal) = journal else {
        let steps = line.steps.iter().filter(|step| step.state != State::Passed);
        return steps
            .map(|step| Outcome {
                id: &step.id,
                state: step.state,
                ended_at: &step.finished_at,
                duration_ms: step.duration_ms,
                target: &step.target,
                reason: step.message.as_deref(),
                evidence: None,
            })
            .collect();
    };
    let of = |(id, at): &'a (Id, String)| {
        let step = site.recorded.records.evidence(&line.run, id)?;
        Some(Outcome {
            id,
            state: step.state,
            ended_at: at,
            duration_ms: step.duration_ms,
            target: &step.target,
            reason: step.reason.as_deref().or(step.message.as_deref()),
            evidence: Some(step),
        })
    };
    journal.steps.iter().filter_map(of).collect()
}

/// The steps that did not pass, and as many of the others as there is room for, still in the order of time.
fn worst_of(results: Vec<Outcome<'_>>) -> Vec<Outcome<'_>> {
    let loud = |result: &Outcome<'_>| !matches!(result.state, State::Passed | State::Skipped);
    let number = results.iter().filter(|result| loud(result)).count();
    let mut room = ROWS_MAX.saturating_sub(number);
    let keep = |result: &Outcome<'_>| {
        loud(result) || {
            let fits = room > 0;
            room = room.saturating_sub(1);
            fits
        }
    };
    let kept: Vec<Outcome<'_>> = results.into_iter().filter(keep).collect();
    kept.into_iter().take(ROWS_MAX).collect()
}

fn row(site: &Site, result: &Outcome<'_>, axis: &Axis, page: &Page<'_>, budget: &mut usize) -> Row {
    let loud = !matches!(result.state, State::Passed | State::Skipped);
    let mut sign = String::new();
    badge(&mut sign, Some(result.state), told(Some(result.state)));
    let step = result.id.without_item();
    let known = site
        .guide(&step.guide)
        .and_then(|(guide, _)| guide.steps.iter().find(|s| s.id == step));
    let title = result
        .evidence
        .map(|step| step.title.as_str())
        .filter(|title| !title.is_empty());
    let title = title
        .or(known.map(|step| step.title.as_str()))
        .unwrap_or_default();
    let mut html = String::new();
    if *budget > 0
        && let Some(step) = result.evidence
    {
        shown(&mut html, step, loud);
        *budget = budget.saturating_sub(html.len());
    }
    let (left, width) = axis.place(result.ended_at, result.duration_ms);
    let mut meta = format!("{} · ", bounded(result.target, NAME_CHARACTERS_MAX));
    if let Some(step) = result.evidence {
        let _ = write!(meta, "{} · {} · ", step.effect, step.mode);
        if step.changed {
            meta.push_str("changed · ");
        }
    }
    meta.push_str(&day_and_time(result.ended_at));
    Row {
        anchor: result.id.to_string(),
        open: loud,
        sign,
        title: bounded(title, NAME_CHARACTERS_MAX).into_owned(),
        id: result.id.to_string(),
        page: known.map(|_| href(page, &step)),
        duration: duration(result.duration_ms),
        state: word(Some(result.state)),
        left,
        width,
        meta,
        reason: result
            .reason
            .filter(|_| loud || result.state == State::Skipped)
            .map(|reason| bounded(reason, TEXT_CHARACTERS_MAX).into_owned()),
        evidence: html,
    }
}

fn shown(html: &mut String, step: &StepFinished, loud: bool) {
    let amount = if loud { Amount::Loud } else { Amount::Quiet };
    if loud {
        evidence::checks(html, &step.checks);
    } else {
        evidence::rows(html, &step.checks);
    }
    if let Some(diff) = &step.diff {
        evidence::diff(html, diff, amount);
    }
    evidence::output(html, step, amount);
    if loud || step.changed {
        evidence::command(html, step, amount);
        evidence::facts(html, step);
    }
}

/// The time of the run, to place bars on.
struct Axis {
    start_ms: i64,
    length_ms: i64,
}

impl Axis {
    fn new(line: &HistoryLine) -> Self {
        let at = |text: &str| {
            text.parse::<Timestamp>()
                .map_or(0, Timestamp::as_millisecond)
        };
        let (start_ms, end) = (at(&line.started_at), at(&line.finished_at));
        Self {
            start_ms,
            length_ms: (end - start_ms).max(1),
        }
    }

    /// Where a bar begins and how long it is, in percent.
    fn place(&self, ended_at: &str, duration_ms: u64) -> (String, String) {
        let end = ended_at
            .parse::<Timestamp>()
            .map_or(self.start_ms, Timestamp::as_millisecond);
        let duration = i64::try_from(duration_ms)
            .unwrap_or(i64::MAX)
            .min(self.length_ms);
        let percent = |ms: i64| ms as f64 * 100.0 / self.length_ms as f64;
        let left =
            percent(end.saturating_sub(duration).saturating_sub(self.start_ms)).clamp(0.0, 99.5);
        let width = percent(duration).clamp(0.0, 100.0 - left);
        (format!("{left:.1}"), format!("{width:.1}"))
    }
}

fn facts(line: &HistoryLine, journal: Option<&Journal>, axis: &Axis) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            facts.push(Fact {
                name: name.to_owned(),
                value: bounded(&value, TEXT_CHARACTERS_MAX).into_owned(),
            });
        }
    };
    fact("began", format!("{} UTC", day_and_time(&line.started_at)));
    let took = u64::try_from(axis.length_ms).unwrap_or(0);
    fact("took", duration(took));
    fact("profile", line.profile.clone());
    fact("mode", line.mode.to_string());
    fact(
        "revision",
        line.revision
            .clone()
            .unwrap_or_else(|| "not in a repository".into()),
    );
    fact("exit code", line.exit_code.to_string());
    if let Some(journal) = journal {
        let run = &journal.started;
        fact("asked by", run.by.clone().unwrap_or_default());
        let asked = if run.asked.is_empty() {
            "every guide".to_owned()
        } else {
            run.asked.join(", ")
        };
        fact("asked for", asked);
        fact("program", run.program.clone());
        for (name, value) in &run.vars {
            fact(&format!("--var {name}"), value.clone());
        }
        if journal.finished.is_none() {
            fact("end", "interrupted: the run has no end".into());
        }
    }
    for (target, identity) in identities(line) {
        fact(&target, identity);
    }
    if line.mode == Mode::Observe {
        fact("changed", "nothing: observed only".into());
    }
    facts
}

/// Everything that was touched: of each target its identity.
fn identities(line: &HistoryLine) -> Vec<(String, String)> {
    let mut targets: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for step in &line.steps {
        let known = targets.entry(&step.target).or_default();
        known.extend(
            step.identity
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
    }
    let told = targets
        .into_iter()
        .filter(|(_, identity)| !identity.is_empty());
    let told = told.map(|(target, identity)| {
        let parts: Vec<String> = identity
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        (target.to_owned(), parts.join(", "))
    });
    told.take(IDENTITIES_MAX).collect()
}

fn undone(journal: &Journal) -> Vec<Undone> {
    let of = |undo: &runbook::event::UndoFinished| {
        let mut sign = String::new();
        badge(
            &mut sign,
            Some(undo.state),
            if undo.state == State::Passed {
                "undone"
            } else {
                told(Some(undo.state))
            },
        );
        let message = undo
            .message
            .as_ref()
            .map(|message| format!(": {message}"))
            .unwrap_or_default();
        Undone {
            sign,
            text: format!("{} ({}){message}", undo.summary, undo.id),
        }
    };
    journal.undone.iter().take(LINES_MAX).map(of).collect()
}

fn left_behind(journal: Option<&Journal>) -> Vec<String> {
    let end = journal.and_then(|journal| journal.finished.as_ref());
    let lines = end
        .map(|end| end.left_behind.as_slice())
        .unwrap_or_default();
    lines
        .iter()
        .take(LINES_MAX)
        .map(|line| bounded(line, TEXT_CHARACTERS_MAX).into_owned())
        .collect()
}
