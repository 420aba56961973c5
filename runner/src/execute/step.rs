//! One step: the rows of the table of LANGUAGE section 5, the first that applies.
//!
//! asked, `when`, blocked, a value of a skipped step, a program that the lab does not have, the gate, the step's kind.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use runbook::event::{EventKind, StepStarted};
use runbook::model::{Condition, Do, Step, StepRef, Target};
use runbook::outcome::{Effect, Mode, REASON_ASKED, REASON_WHEN, State};
use runbook::spec::ActionKind;
use tokio::task::JoinSet;

use super::bars;
use super::condition::{self, Held};
use super::context::{Cx, GuideCx, Item, Run};
use super::desired;
use super::doing::{self, Purpose};
use super::each;
use super::finish::{self, Finished};
use super::job::Job;
use super::judge::Clock;
use super::outcome::{Outcome, Would};
use super::output;
use super::person;
use super::trial::Trial;
use crate::plan::{Due, InBook as _};

/// How many items of a `read` step are looked at together.
const READS_TOGETHER_MAX: usize = 8;

/// Executes a due step, and tells how it ended.
pub(super) async fn due(run: &Arc<Run>, guide: &Arc<GuideCx>, place: u32) {
    let due = &run.plan.steps[place as usize];
    let step = due.at.of(&run.book);
    let begun = finish::Begun::now();
    if step.keys.asked && !due.asked {
        let outcome = Outcome {
            unwanted: true,
            ..Outcome::skipped(REASON_ASKED)
        };
        return finish::step(run, guide, place, None, begun, outcome, Vec::new());
    }
    run.emitter.emit(EventKind::StepStarted(StepStarted {
        id: step.id.clone(),
        title: step.title.clone(),
        action: step.action.name.to_owned(),
        target: run.target_text(due.at),
        effect: step.effect,
    }));
    if step.keys.each.is_empty() {
        let (cx, outcome) = item(run, guide, due, None).await;
        return finish::step(run, guide, place, Some(&cx), begun, outcome, Vec::new());
    }
    match expand(run, guide, due) {
        Err(outcome) => finish::step(run, guide, place, None, begun, *outcome, Vec::new()),
        Ok(items) => {
            let finished = all(run, guide, place, items).await;
            finish::step(
                run,
                guide,
                place,
                None,
                begun,
                finish::together(&finished),
                finished,
            );
        }
    }
}

/// Finds the items of a step with `each`, or how the step ends without them.
fn expand(run: &Arc<Run>, guide: &Arc<GuideCx>, due: &Due) -> Result<Vec<Item>, Box<Outcome>> {
    if let Some(outcome) = bars::values(run, due.at) {
        return Err(Box::new(outcome));
    }
    let cx = Cx::new(run, guide, due.at, None);
    let items = each::items(&run.book, cx.step(), &cx.scope)
        .map_err(|error| Box::new(Outcome::failed(error)))?;
    let items: Vec<Item> = match &due.item {
        Some(only) => items
            .into_iter()
            .filter(|item| item.name == *only)
            .collect(),
        None => items,
    };
    if items.is_empty() {
        return Err(Box::new(match &due.item {
            Some(only) => Outcome::failed(format!("`each` has no item `{only}`")),
            None => Outcome::skipped("`each` has no items"),
        }));
    }
    Ok(items)
}

/// Executes the items: in order, those of a step that only reads some at a time. All are tried.
async fn all(run: &Arc<Run>, guide: &Arc<GuideCx>, place: u32, items: Vec<Item>) -> Vec<Finished> {
    let due = &run.plan.steps[place as usize];
    if due.at.of(&run.book).effect != Effect::Read || items.len() == 1 {
        let mut finished = Vec::with_capacity(items.len());
        for one in items {
            if run.cancel.is_stopped() {
                break;
            }
            finished.push(tell(run, guide, place, one).await);
        }
        return finished;
    }
    let mut waiting = items.into_iter().enumerate();
    let mut running = JoinSet::new();
    let mut finished = Vec::new();
    loop {
        while running.len() < READS_TOGETHER_MAX
            && !run.cancel.is_stopped()
            && let Some((position, one)) = waiting.next()
        {
            let (run, guide) = (Arc::clone(run), Arc::clone(guide));
            running.spawn(async move { (position, tell(&run, &guide, place, one).await) });
        }
        match running.join_next().await {
            Some(Ok(done)) => finished.push(done),
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Some(Err(_)) => {}
            None => break,
        }
    }
    finished.sort_by_key(|(position, _)| *position);
    finished.into_iter().map(|(_, finished)| finished).collect()
}

/// Executes an item, and tells how it ended.
async fn tell(run: &Arc<Run>, guide: &Arc<GuideCx>, place: u32, one: Item) -> Finished {
    let due = &run.plan.steps[place as usize];
    let name = one.name.clone();
    let begun = finish::Begun::now();
    let (cx, outcome) = item(run, guide, due, Some(one)).await;
    finish::item(place, name, &cx, begun, outcome)
}

/// Executes a step or an item of it.
async fn item(run: &Arc<Run>, guide: &Arc<GuideCx>, due: &Due, one: Option<Item>) -> (Cx, Outcome) {
    let mut cx = Cx::new(run, guide, due.at, one);
    let (worlds, world) = (&run.worlds, run.due_guide(guide).world);
    let before = worlds.stand_ins_used(world);
    if cx.is_lab() {
        worlds.note(world, &cx.marks);
    }
    let mut outcome = rows(&mut cx, Some(due)).await;
    // Where it cannot be told which of several steps it was, none of them stands for itself.
    outcome.stand_in |= cx.stood_in.load(Ordering::Relaxed)
        || cx.is_lab() && worlds.used_by(world, &cx.marks, before).await;
    outcome.stand_in &= !matches!(
        outcome.state,
        State::Skipped | State::Blocked | State::Pending
    );
    (cx, outcome)
}

/// Executes a step inside another one: its items one after the other, the worst of them. Tells nothing.
pub(super) async fn inner(outer: &Cx, at: StepRef, why: &'static str) -> Outcome {
    let step = at.of(&outer.run.book);
    let items = if step.keys.each.is_empty() {
        vec![None]
    } else {
        let cx = Cx::new(&outer.run, &outer.guide, at, None);
        match each::items(&outer.run.book, step, &cx.scope) {
            Ok(items) => items.into_iter().map(Some).collect(),
            Err(error) => return Outcome::failed(error),
        }
    };
    let mut worst: Option<Outcome> = None;
    for one in items {
        let mut cx = Cx::new(&outer.run, &outer.guide, at, one);
        cx.cancel = outer.cancel.clone();
        cx.inner = Some(why);
        cx.marks = outer.marks.clone();
        cx.stood_in = Arc::clone(&outer.stood_in);
        let mut outcome = rows(&mut cx, None).await;
        let artifact = cx.artifact_name(why);
        output::keep_output(&cx, &mut outcome, Some(&artifact), true);
        if let Some(worst) = &mut worst {
            outcome.artifacts.append(&mut worst.artifacts);
        }
        if worst
            .as_ref()
            .is_none_or(|worst| outcome.state < worst.state)
        {
            worst = Some(outcome);
        } else if let Some(worst) = &mut worst {
            worst.artifacts = outcome.artifacts;
        }
    }
    worst.unwrap_or_else(|| Outcome::skipped("`each` has no items"))
}

async fn rows(cx: &mut Cx, due: Option<&Due>) -> Outcome {
    let barred = due.and_then(|due| bars::of(cx, due));
    let mut equipped = false;
    if let Some(when) = &cx.at.of(&cx.run.book).keys.when {
        // A condition that runs something needs what the step has; a template needs the values only.
        if !matches!(when, Condition::Bool(_) | Condition::Template(_)) {
            if let Err(outcome) = cx.equip().await {
                return barred.unwrap_or(*outcome);
            }
            equipped = true;
        }
        let run = Arc::clone(&cx.run);
        let when = cx.at.of(&run.book).keys.when.as_ref();
        let deadline = Instant::now() + cx.timing.timeout;
        match condition::look(cx, "when", when.unwrap_or(&Condition::Bool(true)), deadline).await {
            Held::Yes => {}
            Held::No(why) => {
                return Outcome {
                    unwanted: true,
                    ..Outcome::skipped(format!("{REASON_WHEN}{why}"))
                };
            }
            // What it asks for may be just what is not there.
            Held::Ended(outcome) => return barred.unwrap_or(*outcome),
        }
    }
    if let Some(outcome) = barred {
        return outcome;
    }
    if let Some(used) = bars::values(&cx.run, cx.at) {
        return used;
    }
    if !equipped && let Err(outcome) = cx.equip().await {
        return *outcome;
    }
    treat(cx).await
}

/// How the step works, what it was declared to do considered.
fn kind(step: &Step) -> ActionKind {
    match (step.action.kind)(&step.args) {
        ActionKind::Imperative if step.effect == Effect::Read => ActionKind::Read,
        kind => kind,
    }
}

async fn treat(cx: &Cx) -> Outcome {
    let step = cx.step();
    let kind = kind(step);
    let observing = cx.mode.effective == Mode::Observe;
    let closed = match closed(cx) {
        Ok(closed) => closed,
        Err(outcome) => return *outcome,
    };
    let mut wanting: Option<String> = None;
    if let Some(unless) = &step.keys.unless {
        match condition::look(cx, "unless", unless, Instant::now() + cx.timing.timeout).await {
            Held::Yes => return Outcome::passed().would(Would::Nothing),
            Held::No(why) => wanting = Some(why),
            Held::Ended(outcome) => return *outcome,
        }
    }
    if kind == ActionKind::Person && (observing || cx.mode.opens_gates()) {
        return match person::prompt(cx, &Job::of_step(cx)) {
            Ok((prompt, _)) => {
                Outcome::pending(format!("waits for a person: {prompt}")).would(Would::Wait(prompt))
            }
            Err(outcome) => *outcome,
        };
    }
    if observing || closed.is_some() {
        let outcome = observe(cx, kind, closed, wanting).await;
        diagnosed(cx, outcome, Purpose::DiagnoseReading).await
    } else {
        converge(cx, kind).await
    }
}

/// Why the step waits for approval, when it does.
fn closed(cx: &Cx) -> Result<Option<String>, Box<Outcome>> {
    let step = cx.step();
    if cx.mode.opens_gates() && cx.target != Target::Local {
        return Ok(None);
    }
    if let Some(gate) = &step.keys.gate {
        let why = runbook::read::text(&cx.render(gate)?).map_err(|error| cx.read(&error))?;
        return Ok(Some(why));
    }
    Ok(matches!(step.effect, Effect::Disrupt | Effect::Destroy)
        .then(|| format!("effect `{}`", step.effect)))
}

/// Looks and compares, and changes nothing: in `observe`, and in front of a closed gate.
async fn observe(
    cx: &Cx,
    kind: ActionKind,
    closed: Option<String>,
    wanting: Option<String>,
) -> Outcome {
    let observing = cx.mode.effective == Mode::Observe;
    let gated = closed.is_some();
    // What a step that differs, or would be run, ends as.
    let different = |drifted: Outcome, would: Would| match (&closed, observing) {
        (Some(why), false) => Outcome {
            diff: drifted.diff,
            ..Outcome::pending(format!("waits for approval: {why}"))
        },
        (Some(why), true) => drifted.would(Would::Wait(why.clone())),
        (None, _) => drifted.would(would),
    };
    match kind {
        ActionKind::Read if !gated => {
            if cx.run.planning && !bars::is_used(cx) {
                return Outcome::passed().would(Would::Read);
            }
            Trial::new(cx, kind).run().await.would(Would::Read)
        }
        ActionKind::Desired => {
            let now = Instant::now();
            let job = Job::of_step(cx);
            let clock = Clock {
                first: now,
                attempt: now,
            };
            let compared = desired::observe(cx, &job, clock, now + cx.timing.timeout).await;
            let compared = compared.unwrap_or_else(|outcome| *outcome);
            match (compared.state, wanting) {
                (State::Drifted, _) => different(compared, Would::Change),
                (State::Passed, Some(why)) => different(
                    Outcome {
                        message: Some(why),
                        ..Outcome::new(State::Drifted)
                    },
                    Would::Change,
                ),
                _ => compared.would(Would::Nothing),
            }
        }
        _ => match wanting {
            Some(why) => different(
                Outcome {
                    message: Some(why),
                    ..Outcome::new(State::Drifted)
                },
                Would::Run,
            ),
            None if observing => {
                let would = closed.clone().map_or(Would::Run, Would::Wait);
                Outcome::skipped(bars::WOULD_CHANGE).would(would)
            }
            None => different(Outcome::new(State::Drifted), Would::Run),
        },
    }
}

async fn converge(cx: &Cx, kind: ActionKind) -> Outcome {
    let mut trial = Trial::new(cx, kind);
    let mut outcome = trial.run().await;
    if matches!(outcome.state, State::Failed | State::TimedOut)
        && let Some(what) = finish::chosen(&outcome, &cx.step().keys.repair)
    {
        outcome = repaired(cx, &mut trial, outcome, what).await;
    }
    diagnosed(cx, outcome, Purpose::Diagnose).await
}

/// Repairs, and tries once more.
async fn repaired(cx: &Cx, trial: &mut Trial<'_>, failed: Outcome, what: &Do) -> Outcome {
    let repair = doing::run(cx, what, Purpose::Repair, None).await;
    if cx.cancel.is_stopped() {
        return Outcome::aborted();
    }
    if let Err(message) = repair.result {
        let note = format!("repair failed: {message}");
        let artifacts = repair.artifacts;
        return Outcome {
            note: Some(note),
            artifacts,
            ..failed
        };
    }
    let mut outcome = trial.once_more().await;
    outcome.artifacts.splice(0..0, repair.artifacts);
    outcome.repaired = outcome.is_passed();
    outcome
}

async fn diagnosed(cx: &Cx, mut outcome: Outcome, purpose: Purpose) -> Outcome {
    if let Some(diagnose) = &cx.step().keys.diagnose
        && matches!(outcome.state, State::Failed | State::TimedOut)
        && !cx.cancel.is_stopped()
    {
        let done = doing::run(cx, diagnose, purpose, None).await;
        outcome.artifacts.extend(done.artifacts);
    }
    outcome
}
