//! From an outcome to its event: hints, output, captures, fingerprint; and what it means for the steps that follow.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use runbook::event::{EventKind, StepFinished};
use runbook::fingerprint;
use runbook::id::Id;
use runbook::matcher::SECRET;
use runbook::model::{Do, StepRef};
use runbook::outcome::{Effect, State};
use serde_json::{Map, Value};

use super::bars;
use super::context::{Cx, GuideCx, Run};
use super::emit;
use super::outcome::{Outcome, Would};
use super::output::{keep_output, shown};
use super::results::Done;
use crate::plan::InBook as _;

/// The longest text and the longest capture of an event.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// When a step began.
pub(super) struct Begun {
    at: String,
    instant: Instant,
}

impl Begun {
    pub(super) fn now() -> Self {
        Self {
            at: emit::now(),
            instant: Instant::now(),
        }
    }
}

/// How an item of `each` ended.
pub(super) struct Finished {
    name: String,
    done: Done,
    unavailable: bool,
    /// The failure's or the reason's first line.
    line: Option<String>,
    note: Option<String>,
    unwanted: bool,
    target: String,
    stand_in: bool,
    pub(super) would: Option<Would>,
}

/// Tells how a step ended, and keeps what later steps need.
pub(super) fn step(
    run: &Arc<Run>,
    guide: &Arc<GuideCx>,
    place: u32,
    cx: Option<&Cx>,
    begun: Begun,
    mut outcome: Outcome,
    items: Vec<Finished>,
) {
    let due = &run.plan.steps[place as usize];
    let step = due.at.of(&run.book);
    if let Some(cx) = cx {
        keep_output(cx, &mut outcome, Some(&cx.artifact_name("")), false);
        hint(cx, &mut outcome);
    }
    let duration = begun.instant.elapsed();
    let mut done = done(&outcome, &step.id, step.effect, duration);
    let unavailable = if items.is_empty() {
        outcome.unavailable
    } else {
        // Failed only because of its target: every item that failed.
        items
            .iter()
            .all(|item| item.unavailable || !item.done.state.is_failure())
    };
    let same = items.first().map(|first| first.target.clone());
    let same = same.filter(|target| items.iter().all(|item| item.target == *target));
    done.items = items
        .into_iter()
        .map(|item| (item.name, item.done))
        .collect();
    if outcome.unwanted && !step.keys.asked {
        // It passes on what it needs.
        done.blocks = cx.and_then(|cx| bars::blocker(cx, due)).map(|(id, _)| id);
    }
    leave(guide, due.at, &outcome, &done);
    run.tally
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .step(outcome.state, unavailable, outcome.stand_in);
    if run.planning {
        run.planned(place, &outcome);
    }
    let target = cx.map(|cx| cx.target_text.clone()).or(same);
    let target = target.unwrap_or_else(|| run.target_text(due.at));
    let event = event(
        run,
        guide,
        due.at,
        step.id.clone(),
        target,
        begun,
        duration,
        outcome,
    );
    run.emitter.emit(EventKind::StepFinished(Box::new(event)));
    run.results.set(place, done);
}

/// Tells how an item ended.
pub(super) fn item(
    place: u32,
    name: String,
    cx: &Cx,
    begun: Begun,
    mut outcome: Outcome,
) -> Finished {
    keep_output(cx, &mut outcome, Some(&cx.artifact_name("")), false);
    hint(cx, &mut outcome);
    let duration = begun.instant.elapsed();
    let line = outcome
        .message
        .as_deref()
        .or(outcome.reason.as_deref())
        .and_then(|text| text.lines().next());
    let finished = Finished {
        name,
        done: done(&outcome, &cx.id, cx.step().effect, duration),
        unavailable: outcome.unavailable,
        line: line.map(str::to_owned),
        note: outcome.note.clone(),
        unwanted: outcome.unwanted,
        target: cx.target_text.clone(),
        stand_in: outcome.stand_in,
        would: outcome.would.clone(),
    };
    let at = cx.run.plan.steps[place as usize].at;
    let event = event(
        &cx.run,
        &cx.guide,
        at,
        cx.id.clone(),
        cx.target_text.clone(),
        begun,
        duration,
        outcome,
    );
    cx.run
        .emitter
        .emit(EventKind::StepFinished(Box::new(event)));
    finished
}

/// The outcome of a step whose items ended so: the worst.
pub(super) fn together(items: &[Finished]) -> Outcome {
    let Some(worst) = items.iter().min_by_key(|item| item.done.state) else {
        return Outcome::aborted();
    };
    let state = worst.done.state;
    let same: Vec<&Finished> = items
        .iter()
        .filter(|item| item.done.state == state)
        .collect();
    let mut outcome = Outcome::new(state);
    outcome.changed = items.iter().any(|item| item.done.changed);
    outcome.attempts = 1;
    outcome.passes_on = items.iter().any(|item| item.done.hollow.is_some());
    outcome.unwanted = items.iter().all(|item| item.unwanted);
    outcome.stand_in = items.iter().any(|item| item.stand_in);
    outcome.note = items.iter().find_map(|item| item.note.clone());
    outcome.would = same.first().and_then(|item| item.would.clone());
    let first = worst.line.as_deref().unwrap_or_default();
    match state {
        State::Passed => {}
        State::Skipped if outcome.unwanted => outcome.reason = worst.line.clone(),
        State::Skipped | State::Blocked | State::Pending => {
            outcome.reason = Some(format!(
                "{} of {} items: {}: {first}",
                same.len(),
                items.len(),
                worst.name
            ));
        }
        State::Failed | State::TimedOut | State::Aborted | State::Drifted => {
            outcome.message = Some(format!(
                "{} of {} items: {}: {first}",
                same.len(),
                items.len(),
                worst.name
            ));
        }
    }
    outcome
}

fn done(outcome: &Outcome, id: &Id, effect: Effect, duration: Duration) -> Done {
    let blocks = matches!(
        outcome.state,
        State::Failed | State::TimedOut | State::Aborted | State::Blocked | State::Pending
    );
    Done {
        state: outcome.state,
        changed: outcome.changed,
        duration: duration.as_secs_f64(),
        captures: outcome.captures.clone(),
        items: Vec::new(),
        blocks: blocks.then(|| id.clone()),
        hollow: (outcome.passes_on || outcome.missing && effect != Effect::Read)
            .then(|| id.clone()),
    }
}

/// What the step leaves for those below it in its guide.
fn leave(guide: &GuideCx, at: StepRef, outcome: &Outcome, done: &Done) {
    let mut state = guide.state();
    if state.blocks.is_none() {
        state.blocks.clone_from(&done.blocks);
    }
    if state.hollow.is_none() {
        state.hollow.clone_from(&done.hollow);
    }
    if outcome.state == State::Skipped && outcome.reason.as_deref() == Some(bars::WOULD_CHANGE) {
        state.would_change.push(at);
    }
}

#[expect(clippy::too_many_arguments, reason = "an event has that many sources")]
fn event(
    run: &Run,
    guide: &GuideCx,
    at: StepRef,
    id: Id,
    target: String,
    begun: Begun,
    duration: Duration,
    outcome: Outcome,
) -> StepFinished {
    let (step, book_guide, mode) = (
        at.of(&run.book),
        at.guide(&run.book),
        run.due_guide(guide).mode,
    );
    let mut note = if mode.opens_gates() {
        let rehearsal = "ran as converge: rehearsal is not available yet".to_owned();
        Some(
            outcome
                .note
                .map_or(rehearsal.clone(), |note| format!("{note}; {rehearsal}")),
        )
    } else {
        outcome.note
    };
    let captures = visible(outcome.captures, &outcome.secrets, &mut note);
    let touched = target.clone();
    let executed = !matches!(outcome.state, State::Skipped | State::Blocked);
    let fingerprint = executed
        .then(|| fingerprint::of(step, book_guide, &run.values.of(&run.book, at.guide).scope));
    let raw = outcome.raw;
    let mut checks = outcome.checks;
    for check in &mut checks {
        check.stand_in |= outcome.stand_in;
    }
    let output = outcome.output.map(|output| shown(run, &output, raw));
    StepFinished {
        id,
        state: outcome.state,
        changed: outcome.changed,
        repaired: outcome.repaired,
        duration_ms: millis(duration),
        reason: outcome.reason,
        message: outcome.message.map(bounded),
        hint: outcome.hint,
        profile: run.request.profile.clone(),
        target,
        file: book_guide.source.path().to_owned(),
        line: step.line,
        checks,
        stand_in: outcome.stand_in,
        title: step.title.clone(),
        action: step.action.name.to_owned(),
        effect: step.effect,
        mode: mode.effective,
        note,
        started_at: Some(begun.at),
        attempts: outcome.attempts,
        captures,
        output,
        diff: outcome.diff,
        command: outcome.command.map(bounded),
        fingerprint,
        identity: if executed {
            identity(run, guide, &touched)
        } else {
            BTreeMap::new()
        },
        artifacts: outcome.artifacts,
    }
}

/// The identity of this machine, and of what else a step touched.
fn identity(run: &Run, guide: &GuideCx, target: &str) -> BTreeMap<String, String> {
    let mut identity = run.identity.clone();
    if target != "local" {
        identity.extend(run.worlds.known(run.due_guide(guide).world));
        // The API answers for all nodes; what it ran against is one of them.
        if let Some(node) = node_of(run, target)
            && let Some(answered) = identity.get_mut("node")
        {
            *answered = node;
        }
    }
    identity
}

/// The node of a target, as the inventory says.
fn node_of(run: &Run, target: &str) -> Option<String> {
    let inventory = &run.book.inventory;
    match target.split_once('/')? {
        ("node", name) => Some(name.to_owned()),
        ("lxc" | "vm", name) => {
            let guest = inventory.guest_called(name)?;
            guest.node.get("node")?.as_text().map(str::to_owned)
        }
        _ => None,
    }
}

/// What an event shows of captures: a secret not at all, and nothing that is too long, which a note tells.
fn visible(
    captures: Map<String, Value>,
    secrets: &[String],
    note: &mut Option<String>,
) -> BTreeMap<String, Value> {
    let mut shown = BTreeMap::new();
    for (name, value) in captures {
        if secrets.contains(&name) {
            shown.insert(name, Value::from(SECRET));
        } else if is_long(&value) {
            let long = format!("`{name}` is too long to be recorded");
            *note = Some(
                note.take()
                    .map_or(long.clone(), |note| format!("{note}; {long}")),
            );
        } else {
            shown.insert(name, value);
        }
    }
    shown
}

fn is_long(value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() > TEXT_BYTES_MAX,
        Value::Array(_) | Value::Object(_) => value.to_string().len() > TEXT_BYTES_MAX,
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A text of an event, cut where it is too long.
fn bounded(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        let left_out = text.len() - TEXT_BYTES_MAX;
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push_str(&format!("\n[{left_out} bytes omitted]"));
    }
    text
}

/// The hint of `hints` that fits a failure, unless there is one of ours.
fn hint(cx: &Cx, outcome: &mut Outcome) {
    let hints = &cx.step().keys.hints;
    if hints.is_empty() || !outcome.state.is_failure() {
        return;
    }
    if let Some((_, hint)) = hints.iter().find(|(key, _)| fits(key, outcome)) {
        outcome.hint = Some(hint.clone());
    }
}

/// What `repair` says for a failure: the first key that fits; the empty key fits any.
pub(super) fn chosen<'a>(outcome: &Outcome, repair: &'a [(String, Do)]) -> Option<&'a Do> {
    repair
        .iter()
        .find(|(key, _)| key.is_empty() || fits(key, outcome))
        .map(|(_, what)| what)
}

/// Whether a key of `hints` fits: `exit N`, `status N`, or a text in the output or the message.
fn fits(key: &str, outcome: &Outcome) -> bool {
    let number = |word: &str| {
        key.strip_prefix(word)
            .and_then(|rest| rest.trim().parse::<i64>().ok())
    };
    if let Some(exit) = number("exit ") {
        return outcome.codes.exit == Some(exit);
    }
    if let Some(status) = number("status ") {
        return outcome.codes.status == Some(status);
    }
    let printed = outcome
        .output
        .as_ref()
        .is_some_and(|output| output.both().text().contains(key));
    printed
        || outcome
            .message
            .as_deref()
            .is_some_and(|message| message.contains(key))
}

/// Whether an earlier result is not one of what stands in the book now.
pub(super) fn is_stale(run: &Run, at: StepRef, finished: &StepFinished) -> bool {
    let now = fingerprint::of(
        at.of(&run.book),
        at.guide(&run.book),
        &run.values.of(&run.book, at.guide).scope,
    );
    finished.fingerprint.as_deref() != Some(now.as_str())
}

/// What a local result ran against: harmless, and the same tomorrow.
pub(super) fn local_identity() -> BTreeMap<String, String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map(|name| name.trim_matches('"'));
    let mut identity = BTreeMap::new();
    identity.insert(
        "os".to_owned(),
        name.unwrap_or(std::env::consts::OS).to_owned(),
    );
    identity.insert("arch".to_owned(), std::env::consts::ARCH.to_owned());
    identity
}

/// Milliseconds, for an event.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
