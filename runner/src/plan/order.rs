//! The order in which guides start, which of them share a world, and that nothing waits for itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use runbook::id::Id;
use runbook::model::{Book, StepRef};

use super::select::Chosen;
use super::{InBook as _, Plan};
use crate::request::RunError;

/// Sorts the chosen steps: guides that others need first, else in the book's order; within a guide in the page's order, but what a
/// step names in its `needs` before it.
pub(super) fn guides_first(
    book: &Book,
    chosen: BTreeMap<StepRef, Chosen>,
) -> Vec<(StepRef, Chosen)> {
    let guides: BTreeSet<usize> = chosen.keys().map(|at| at.guide).collect();
    let mut order: Vec<usize> = Vec::with_capacity(guides.len());
    let mut seen = BTreeSet::new();
    for guide in &guides {
        visit(book, &guides, *guide, &mut seen, &mut order);
    }
    let places: BTreeMap<usize, usize> = order
        .into_iter()
        .enumerate()
        .map(|(place, guide)| (guide, place))
        .collect();
    let mut sorted: Vec<(StepRef, Chosen)> = chosen.into_iter().collect();
    sorted.sort_by_key(|(at, _)| {
        (
            places.get(&at.guide).copied().unwrap_or(usize::MAX),
            at.step,
        )
    });
    let mut steps = Vec::with_capacity(sorted.len());
    let mut rest = sorted.into_iter().peekable();
    while let Some((first, chosen)) = rest.next() {
        let mut guide = vec![(first, chosen)];
        while let Some(next) = rest.next_if(|(at, _)| at.guide == first.guide) {
            guide.push(next);
        }
        steps.extend(needed_first(book, guide));
    }
    steps
}

/// The steps of a guide, those that a step above them needs moved up before it. A circle is left as it is; it is found later.
fn needed_first(book: &Book, steps: Vec<(StepRef, Chosen)>) -> Vec<(StepRef, Chosen)> {
    let says = |(at, _): &&(StepRef, Chosen)| at.of(book).keys.needs.is_some();
    let Some((first, _)) = steps.iter().find(says) else {
        return steps;
    };
    let names: HashMap<&Id, usize> = first
        .guide(book)
        .steps
        .iter()
        .enumerate()
        .map(|(index, step)| (&step.id, index))
        .collect();
    let below: BTreeMap<usize, Vec<usize>> = steps
        .iter()
        .filter_map(|(at, _)| {
            let below = needed_below(book, *at, &names);
            (!below.is_empty()).then_some((at.step, below))
        })
        .collect();
    if below.is_empty() {
        return steps;
    }
    let mut left: BTreeMap<usize, (StepRef, Chosen)> = steps
        .into_iter()
        .map(|(at, chosen)| (at.step, (at, chosen)))
        .collect();
    let mut ordered = Vec::with_capacity(left.len());
    let mut begun = BTreeSet::new();
    while let Some(first) = left.keys().next().copied() {
        let mut stack = vec![first];
        while let Some(step) = stack.last().copied() {
            let needed = below.get(&step).filter(|_| begun.insert(step));
            match needed {
                Some(needed) => {
                    stack.extend(needed.iter().rev().filter(|step| left.contains_key(step)))
                }
                None => {
                    stack.pop();
                    ordered.extend(left.remove(&step));
                }
            }
        }
    }
    ordered
}

/// What a step's `needs` names of its own guide and below it.
fn needed_below(book: &Book, at: StepRef, names: &HashMap<&Id, usize>) -> Vec<usize> {
    let (guide, step) = (at.guide(book), at.of(book));
    let section = step.id.section.as_deref().unwrap_or_default();
    step.keys
        .needs
        .iter()
        .flatten()
        .map(|(reference, _)| reference.resolve(&guide.id, section))
        .filter(|id| id.guide == guide.id)
        .flat_map(|id| match names.get(&id.without_item()) {
            Some(step) => vec![*step],
            None => super::steps_of(book, &id)
                .into_iter()
                .map(|needed| needed.step)
                .collect(),
        })
        .filter(|needed| *needed > at.step)
        .collect()
}

/// Depth first, with a stack of its own: a chain of guides may be long. A circle is broken anywhere; it is found later.
fn visit(
    book: &Book,
    guides: &BTreeSet<usize>,
    first: usize,
    seen: &mut BTreeSet<usize>,
    order: &mut Vec<usize>,
) {
    let mut stack = vec![(first, false)];
    while let Some((guide, done)) = stack.pop() {
        if done {
            order.push(guide);
            continue;
        }
        if !seen.insert(guide) {
            continue;
        }
        stack.push((guide, true));
        let needed: Vec<usize> = needed_guides(book, guide)
            .filter(|needed| guides.contains(needed))
            .collect();
        stack.extend(
            needed
                .into_iter()
                .rev()
                .filter(|needed| !seen.contains(needed))
                .map(|needed| (needed, false)),
        );
    }
}

fn needed_guides(book: &Book, guide: usize) -> impl Iterator<Item = usize> {
    let of = &book.guides[guide];
    let needs = of.front.needs.iter().chain(
        of.steps
            .iter()
            .flat_map(|step| step.keys.needs.iter().flatten()),
    );
    needs.filter_map(move |(reference, _)| {
        let id = reference.resolve(&of.id, "");
        let index = book.guides.iter().position(|known| known.id == id.guide)?;
        (index != guide).then_some(index)
    })
}

/// Gives guides that are connected by `needs` the same number.
pub(super) fn worlds(book: &Book, plan: &mut Plan) {
    let mut parents: Vec<usize> = (0..book.guides.len()).collect();
    for guide in 0..book.guides.len() {
        for needed in needed_guides(book, guide) {
            let (a, b) = (root(&mut parents, guide), root(&mut parents, needed));
            parents[a.max(b)] = a.min(b);
        }
    }
    for guide in &mut plan.guides {
        guide.world = root(&mut parents, guide.guide) as u32;
    }
}

fn root(parents: &mut [usize], mut at: usize) -> usize {
    while parents[at] != at {
        parents[at] = parents[parents[at]];
        at = parents[at];
    }
    at
}

/// Refuses steps that wait for each other: by the page's order, by `needs`, or by both.
pub(super) fn refuse_cycles(book: &Book, plan: &Plan) -> Result<(), RunError> {
    let count = plan.steps.len();
    let mut waits: Vec<Vec<u32>> = vec![Vec::new(); count];
    for guide in &plan.guides {
        for index in guide.steps.clone() {
            let waits = &mut waits[index as usize];
            waits.extend(&plan.steps[index as usize].needs);
            if index > guide.steps.start {
                waits.push(index - 1);
            } else {
                waits.extend(&guide.needs);
            }
        }
    }
    let mut left: Vec<usize> = waits.iter().map(Vec::len).collect();
    let mut followers: Vec<Vec<u32>> = vec![Vec::new(); count];
    for (index, waits) in waits.iter().enumerate() {
        for wait in waits {
            followers[*wait as usize].push(index as u32);
        }
    }
    let mut ready: Vec<u32> = (0..count as u32)
        .filter(|index| left[*index as usize] == 0)
        .collect();
    while let Some(index) = ready.pop() {
        for follower in &followers[index as usize] {
            left[*follower as usize] -= 1;
            if left[*follower as usize] == 0 {
                ready.push(*follower);
            }
        }
    }
    match left.iter().position(|left| *left > 0) {
        Some(first) => Err(RunError::Cycle {
            ids: circle(book, plan, &waits, &left, first),
        }),
        None => Ok(()),
    }
}

/// Walks from a step that waits for ever to what it waits for, until a step comes again.
fn circle(
    book: &Book,
    plan: &Plan,
    waits: &[Vec<u32>],
    left: &[usize],
    first: usize,
) -> Vec<String> {
    let mut path: Vec<usize> = Vec::new();
    let mut at = first;
    while !path.contains(&at) {
        path.push(at);
        // What is left waits for something that is left too.
        let Some(next) = waits[at].iter().find(|wait| left[**wait as usize] > 0) else {
            break;
        };
        at = *next as usize;
    }
    let start = path.iter().position(|known| *known == at).unwrap_or(0);
    let circle = path[start..].iter().chain([&at]);
    circle
        .map(|index| plan.steps[*index].at.of(book).id.to_string())
        .collect()
}
