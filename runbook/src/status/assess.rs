//! The assessment itself: records and a book make a [`StatusView`].

use std::collections::BTreeMap;

use super::index::{Index, Recorded, failing, guide_strip, ordered, step_strip};
use super::{GuideView, Query, StatusView, StepView, freshness};
use crate::id::Id;
use crate::model::{Book, Guide, Step};
use crate::outcome::{Freshness, Standing, State, Verdict, Verify};
use crate::records::Records;
use crate::template::Scope;
use crate::values::{LAB, Values};

/// How a book stands, by what was recorded.
pub fn assess(book: &Book, records: &Records, query: &Query<'_>) -> StatusView {
    let runs = ordered(&records.lines);
    let index = Index::new(&runs);
    let selected = Values::new(&book.inventory, query.profile, query.vars);
    let lab = Values::new(&book.inventory, LAB, query.vars);
    let assessor = Assessor {
        book,
        records,
        query,
        index,
        selected,
        lab,
    };
    StatusView {
        profile: query.profile.to_owned(),
        guides: book
            .guides
            .iter()
            .map(|guide| assessor.guide(guide))
            .collect(),
    }
}

struct Assessor<'a> {
    book: &'a Book,
    records: &'a Records,
    query: &'a Query<'a>,
    index: Index<'a>,
    selected: Values<'a>,
    lab: Values<'a>,
}

/// The values of a guide on both profiles, made when they are first needed.
struct Scopes<'a> {
    assessor: &'a Assessor<'a>,
    guide: &'a Guide,
    selected: Option<Scope>,
    lab: Option<Scope>,
}

impl Scopes<'_> {
    fn of(&mut self, profile: &str) -> &Scope {
        let (slot, values) = if profile == self.assessor.query.profile {
            (&mut self.selected, &self.assessor.selected)
        } else {
            (&mut self.lab, &self.assessor.lab)
        };
        slot.get_or_insert_with(|| values.of(self.guide).scope)
    }
}

impl Assessor<'_> {
    fn guide(&self, guide: &Guide) -> GuideView {
        let mut scopes = Scopes {
            assessor: self,
            guide,
            selected: None,
            lab: None,
        };
        let steps: Vec<StepView> = guide
            .steps
            .iter()
            .map(|step| self.step(step, guide, &mut scopes))
            .collect();
        let ran_here = steps
            .iter()
            .any(|step| step.profile.as_deref() == Some(self.query.profile));
        let ran_at_all = steps.iter().any(|step| step.profile.is_some());
        let profile = match (ran_here, ran_at_all) {
            (true, _) => Some(self.query.profile.to_owned()),
            (false, true) => Some(LAB.to_owned()),
            (false, false) => None,
        };
        let is_due = |(step, view): &(&Step, &StepView)| match view.state {
            None => !step.keys.asked,
            Some(_) => view.standing != Standing::NotDue,
        };
        let due: Vec<&StepView> = guide
            .steps
            .iter()
            .zip(&steps)
            .filter(is_due)
            .map(|(_, view)| view)
            .collect();
        let verified = |view: &&&StepView| {
            view.state == Some(State::Passed)
                && view.standing == Standing::Own
                && view.profile == profile
        };
        let newest = steps
            .iter()
            .max_by_key(|step| step.finished_at.as_deref().map(super::index::time_of));
        let runs = self
            .index
            .guide(profile.as_deref().unwrap_or(self.query.profile), &guide.id);
        let state = steps.iter().filter_map(|step| step.state).min();
        let holds_not =
            state.is_some_and(|state| state != State::Passed && state != State::Skipped);
        GuideView {
            id: Id::guide(&guide.id),
            title: guide.title.clone(),
            verify: guide.front.verify.unwrap_or(if self.query.profile == LAB {
                Verify::Rehearse
            } else {
                Verify::Observe
            }),
            state,
            freshness: worst_freshness(&steps),
            counts: counts(&steps),
            due: due.len() as u32,
            verified: due.iter().filter(verified).count() as u32,
            strip: guide_strip(runs),
            finished_at: newest.and_then(|step| step.finished_at.clone()),
            run: newest.and_then(|step| step.run.clone()),
            failing: if holds_not {
                failing(runs.iter().rev().map(|cell| (&cell.run, cell.state)))
            } else {
                None
            },
            finding: if holds_not {
                self.finding(&steps, state)
            } else {
                None
            },
            profile,
            steps,
        }
    }

    fn step(&self, step: &Step, guide: &Guide, scopes: &mut Scopes<'_>) -> StepView {
        let own = self.index.step(self.query.profile, &step.id);
        let results = if own.is_empty() {
            self.index.step(LAB, &step.id)
        } else {
            own
        };
        let Some(newest) = results.last() else {
            return never_run(step);
        };
        let fingerprint = match newest.step.fingerprint {
            Some(_) => crate::fingerprint::of(step, guide, scopes.of(&newest.line.profile)),
            None => String::new(),
        };
        let (freshness, stale) = freshness::of(
            newest,
            &fingerprint,
            &self.index,
            self.query.now,
            self.book.options.old_after,
        );
        let Recorded {
            line, step: result, ..
        } = newest;
        StepView {
            state: Some(result.state),
            freshness,
            stale,
            standing: result.standing,
            profile: Some(line.profile.clone()),
            target: Some(result.target.clone()),
            finished_at: Some(result.finished_at.clone()),
            duration_ms: Some(result.duration_ms),
            run: Some(line.run.clone()),
            mode: Some(line.mode),
            revision: line.revision.clone(),
            message: result.message.clone(),
            items: result.items.clone(),
            failing: failing(
                results
                    .iter()
                    .rev()
                    .map(|result| (result.run, result.step.state)),
            ),
            strip: step_strip(results),
            ..never_run(step)
        }
    }

    /// What the first of the worst steps said, in one line: the first check that does not hold, else its message.
    fn finding(&self, steps: &[StepView], worst: Option<State>) -> Option<(Id, String)> {
        let step = steps.iter().find(|step| step.state == worst)?;
        let evidence = step
            .run
            .as_deref()
            .and_then(|run| self.records.evidence(run, &step.id));
        let check = evidence.and_then(|evidence| {
            evidence
                .checks
                .iter()
                .find(|check| check.verdict == Verdict::Fails)
        });
        let line = match check {
            Some(check) => {
                let actual = check.actual.lines().next().unwrap_or_default();
                format!(
                    "{}: expected {}, found {actual}",
                    check.check, check.expected
                )
            }
            None => step
                .message
                .clone()
                .unwrap_or_else(|| worst.map_or_else(String::new, |state| state.to_string())),
        };
        Some((step.id.clone(), line))
    }
}

fn never_run(step: &Step) -> StepView {
    StepView {
        id: step.id.clone(),
        title: step.title.clone(),
        state: None,
        freshness: Freshness::NeverRun,
        stale: None,
        standing: Standing::Own,
        profile: None,
        target: None,
        finished_at: None,
        duration_ms: None,
        run: None,
        mode: None,
        revision: None,
        message: None,
        items: Vec::new(),
        strip: Vec::new(),
        failing: None,
    }
}

fn counts(steps: &[StepView]) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for step in steps {
        let word = step
            .state
            .map_or(Freshness::NeverRun.as_str(), State::as_str);
        *counts.entry(word.to_owned()).or_insert(0) += 1;
    }
    counts
}

fn worst_freshness(steps: &[StepView]) -> Freshness {
    let any = |freshness: Freshness| steps.iter().any(|step| step.freshness == freshness);
    match () {
        () if any(Freshness::Stale) => Freshness::Stale,
        () if any(Freshness::Old) => Freshness::Old,
        () if any(Freshness::Fresh) => Freshness::Fresh,
        () => Freshness::NeverRun,
    }
}
