//! What keeps a step from being executed: what it needs, the values it uses, what was not changed above it.

use runbook::event::StepFinished;
use runbook::id::Id;
use runbook::model::{StepRef, StepUse};
use runbook::outcome::{Effect, Mode, State};

use super::context::{Cx, Newest, Run};
use super::outcome::{Outcome, Would};
use super::results::Done;
use crate::plan::{Due, InBook as _, is_in_section_of};

/// The reason of a change that `observe` does not make.
pub(super) const WOULD_CHANGE: &str = "would change";

/// What keeps a due step from being executed, the first that applies: blocked, then skipped.
pub(super) fn of(cx: &Cx, due: &Due) -> Option<Outcome> {
    let run = &cx.run;
    if let Some(outcome) = blocked(cx, due) {
        return Some(outcome);
    }
    if let Some(hollow) = hollow(cx, due) {
        let why = format!("needs `{hollow}`, which the lab skipped");
        return Some(Outcome {
            missing: true,
            passes_on: true,
            ..Outcome::skipped(why)
        });
    }
    let step = cx.step();
    if cx.mode.effective == Mode::Observe && step.effect == Effect::Read {
        let above = cx
            .guide
            .state()
            .would_change
            .iter()
            .copied()
            .find(|other| is_in_section_of(&run.book, cx.at, *other));
        if let Some(other) = above {
            let why = format!("`{}` above it would change", other.of(&run.book).id);
            return Some(Outcome::skipped(why).would(Would::Read));
        }
    }
    None
}

/// The step for which this one is blocked.
pub(super) fn blocked(cx: &Cx, due: &Due) -> Option<Outcome> {
    blocker(cx, due).map(|(id, hint)| Outcome {
        hint,
        ..Outcome::blocked(format!("needs `{id}`"))
    })
}

/// The step for which a due step is blocked, and what to do about it.
pub(super) fn blocker(cx: &Cx, due: &Due) -> Option<(Id, Option<String>)> {
    let run = &cx.run;
    let guide = run.due_guide(&cx.guide);
    let needs = guide.needs.iter().chain(&due.needs);
    for need in needs {
        match run.results.get(*need) {
            Some(done) => {
                if let Some(id) = &done.blocks {
                    return Some((id.clone(), None));
                }
            }
            // The run was stopped before it.
            None => {
                return Some((
                    run.plan.steps[*need as usize].at.of(&run.book).id.clone(),
                    None,
                ));
            }
        }
    }
    let missing = guide.outside.iter().chain(&due.outside);
    if let Some((at, how)) = missing.copied().find_map(|at| Some((at, lacks(run, at)?))) {
        return Some((at.of(&run.book).id.clone(), Some(get(cx, at, &how))));
    }
    // A plan looks as `observe` does, and says what a run would do.
    let looks = cx.mode.effective == Mode::Observe;
    if !due.above || (looks && !run.planning) {
        return None;
    }
    let state = cx.guide.state();
    if let Some(blocks) = state.blocks.clone().filter(|_| !looks) {
        return Some((blocks, None));
    }
    // Asked once a guide: the first is the one for which all below it are blocked.
    let gap = state.gap.get_or_init(|| {
        let gaps = guide.gaps.iter().copied();
        gaps.into_iter().find_map(|at| Some((at, lacks(run, at)?)))
    });
    let (at, how) = gap.as_ref().filter(|(at, _)| at.step < cx.at.step)?;
    Some((at.of(&run.book).id.clone(), Some(get(cx, *at, how))))
}

/// Why a step that this run does not have is not known to hold; `None` when its newest result lets those go on that need it.
fn lacks(run: &Run, at: StepRef) -> Option<String> {
    let profile = &run.request.profile;
    match run.request.earlier.newest(&at.of(&run.book).id) {
        Some(finished) if holds(&finished) => None,
        Some(finished) => Some(format!(
            "its newest result on profile `{profile}` is {}",
            finished.state
        )),
        None => Some(format!("it never ran on profile `{profile}`")),
    }
}

/// What to do about a step that this run does not have.
fn get(cx: &Cx, at: StepRef, how: &str) -> String {
    let mut hint = format!("{how}; `--with-needs` runs it too");
    if at.guide == cx.at.guide {
        let id = &at.of(&cx.run.book).id;
        hint.push_str(&format!(", `--from {id}` runs the guide from there"));
    }
    hint
}

/// Whether an earlier result lets those go on that need it.
fn holds(finished: &StepFinished) -> bool {
    matches!(finished.state, State::Passed | State::Skipped)
}

/// The step that the lab skipped and this one needs.
fn hollow(cx: &Cx, due: &Due) -> Option<Id> {
    let run = &cx.run;
    let guide = run.due_guide(&cx.guide);
    let needs = guide.needs.iter().chain(&due.needs);
    let written = needs
        .filter_map(|need| run.results.get(*need)?.hollow.clone())
        .next();
    written.or_else(|| {
        if due.above {
            cx.guide.state().hollow.clone()
        } else {
            None
        }
    })
}

/// What a value that a template uses, and that is not there, makes of the step.
pub(super) fn values(run: &Run, at: StepRef) -> Option<Outcome> {
    let step = at.of(&run.book);
    step.uses
        .steps
        .iter()
        .filter(|used| used.id != step.id)
        .find_map(|used| value(run, used))
}

fn value(run: &Run, used: &StepUse) -> Option<Outcome> {
    let capture = used
        .field
        .as_deref()
        .filter(|field| !matches!(*field, "state" | "changed" | "duration"))?;
    let giver = run.book.step_ref(&used.id)?;
    match run.newest(giver) {
        Newest::Here(Some(done)) if done.has(capture) => None,
        Newest::Here(Some(done)) if done.state == State::Skipped || is_hollow(&done) => {
            let why = format!("uses `{capture}` of `{}`, which was skipped", used.id);
            Some(Outcome {
                missing: is_hollow(&done),
                passes_on: is_hollow(&done),
                ..Outcome::skipped(why)
            })
        }
        Newest::Here(_) => Some(Outcome::blocked(format!(
            "uses `{capture}` of `{}`",
            used.id
        ))),
        Newest::Earlier(newest) => earlier(run, giver, capture, newest.as_deref()),
    }
}

fn is_hollow(done: &Done) -> bool {
    done.hollow.is_some()
}

/// A value that only a change can give comes from the last run, and not when that is stale or the value is a secret.
fn earlier(
    run: &Run,
    giver: StepRef,
    capture: &str,
    newest: Option<&StepFinished>,
) -> Option<Outcome> {
    let id = &giver.of(&run.book).id;
    let blocked = |why: &str| {
        let hint = format!("`--with-needs` runs it too, `--from {id}` runs its guide from there");
        Some(Outcome {
            hint: Some(hint),
            ..Outcome::blocked(format!("uses `{capture}` of `{id}`, {why}"))
        })
    };
    let Some(finished) = newest else {
        return blocked(&format!(
            "which never ran on profile `{}`",
            run.request.profile
        ));
    };
    let value = finished
        .captures
        .iter()
        .find(|(name, _)| *name == capture || name.replace('-', "_") == capture);
    match value {
        None => blocked("whose last run did not capture it"),
        Some((name, _)) if is_secret(run, giver, name) => {
            blocked("a secret, which is not recorded")
        }
        Some(_) if super::finish::is_stale(run, giver, finished) => {
            blocked("whose result is stale")
        }
        Some(_) => None,
    }
}

fn is_secret(run: &Run, giver: StepRef, name: &str) -> bool {
    giver
        .of(&run.book)
        .keys
        .capture
        .iter()
        .any(|capture| capture.name == name && capture.secret)
}

/// Whether a due step uses a value of this one, so that a plan has to look.
pub(super) fn is_used(cx: &Cx) -> bool {
    cx.run.plan.used.contains(&cx.step().id)
}
