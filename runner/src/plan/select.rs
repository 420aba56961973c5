//! Which steps are due: what was addressed, and what that needs.

use std::collections::{BTreeMap, BTreeSet};

use runbook::id::Id;
use runbook::model::{Book, Guide, StepRef};
use runbook::outcome::Verify;

use super::{InBook as _, only_reads};
use crate::request::{RunError, RunRequest, TAGGED};

/// Why and how a step is due.
#[derive(Debug, Clone, Default)]
pub(super) struct Chosen {
    pub(super) asked: bool,
    pub(super) item: Option<String>,
}

type Choice = BTreeMap<StepRef, Chosen>;

/// Chooses the due steps, in the book's order.
pub(super) fn choose(book: &Book, request: &RunRequest) -> Result<Choice, RunError> {
    let mut choice = Choice::new();
    for id in request.ids.iter().chain(&request.from) {
        book.select(std::slice::from_ref(id))
            .map_err(RunError::UnknownId)?;
    }
    if let Some(from) = &request.from {
        let first = steps_of(book, from).first().copied();
        for at in first.into_iter().flat_map(|first| from_there(book, first)) {
            choice.insert(
                at,
                Chosen {
                    asked: at.of(book).id == from.without_item(),
                    item: None,
                },
            );
        }
    }
    for id in &request.ids {
        address(book, id, &mut choice);
    }
    if let Some(first) = request
        .from
        .as_ref()
        .and_then(|from| steps_of(book, from).first().copied())
    {
        choice.retain(|at, _| at.guide != first.guide || at.step >= first.step);
    }
    if request.ids.is_empty() && request.from.is_none() {
        everything(book, request, &mut choice);
    }
    if !request.tags.is_empty() {
        choice.retain(|at, _| {
            at.guide(book)
                .front
                .tags
                .iter()
                .any(|tag| request.tags.contains(tag))
        });
    }
    if choice.is_empty() {
        return Err(RunError::NoSteps {
            what: what(request),
        });
    }
    Ok(with_needs(book, request, choice))
}

fn address(book: &Book, id: &Id, choice: &mut Choice) {
    for at in steps_of(book, id) {
        let step = &at.of(book).id;
        let asked = id.section.is_some()
            && id.section == step.section
            && (id.step.is_none() || id.step == step.step);
        let chosen = choice.entry(at).or_insert_with(|| Chosen {
            asked: false,
            item: id.item.clone(),
        });
        chosen.asked |= asked;
        // Addressed as a whole too: all its items.
        if id.item.is_none() {
            chosen.item = None;
        }
    }
}

fn from_there(book: &Book, first: StepRef) -> impl Iterator<Item = StepRef> {
    (first.step..first.guide(book).steps.len()).map(move |step| StepRef { step, ..first })
}

fn everything(book: &Book, request: &RunRequest, choice: &mut Choice) {
    for (index, guide) in book.guides.iter().enumerate() {
        // A procedure is no state: on a real profile it runs when it is addressed.
        if guide.front.verify == Some(Verify::Asked) && !request.is_lab() {
            continue;
        }
        choice.extend(refs(index, guide).map(|at| (at, Chosen::default())));
    }
}

/// Adds what the chosen steps need, as far as this run may run it.
fn with_needs(book: &Book, request: &RunRequest, mut choice: Choice) -> Choice {
    let all = request.with_needs || request.is_lab();
    let mut queue: Vec<StepRef> = choice.keys().copied().collect();
    let mut seen: BTreeSet<StepRef> = choice.keys().copied().collect();
    let mut above = BTreeMap::new();
    while let Some(at) = queue.pop() {
        let givers = at
            .of(book)
            .uses
            .steps
            .iter()
            .filter_map(|used| book.step_ref(&used.id));
        let mut needed: Vec<StepRef> = givers
            .filter(|giver| all || only_reads(giver.of(book)))
            .collect();
        if all {
            needed.extend(needs(book, at, &mut above));
        }
        for at in needed {
            if !at.of(book).keys.asked && seen.insert(at) {
                choice.insert(at, Chosen::default());
                queue.push(at);
            }
        }
    }
    choice
}

/// `above`: up to which step of a guide all were added already.
fn needs(book: &Book, at: StepRef, above: &mut BTreeMap<usize, usize>) -> Vec<StepRef> {
    let (guide, step) = (at.guide(book), at.of(book));
    let section = step.id.section.as_deref().unwrap_or_default();
    let mut needed: Vec<StepRef> = Vec::new();
    for (reference, _) in guide
        .front
        .needs
        .iter()
        .chain(step.keys.needs.iter().flatten())
    {
        needed.extend(steps_of(book, &reference.resolve(&guide.id, section)));
    }
    // What the page did before is needed too, unless the step says what it needs.
    if step.keys.needs.is_none() {
        let added = above.entry(at.guide).or_default();
        needed.extend((*added..at.step).map(|step| StepRef { step, ..at }));
        *added = at.step.max(*added);
    }
    needed
}

/// The steps that an ID means, in order.
pub(super) fn steps_of(book: &Book, id: &Id) -> Vec<StepRef> {
    let Some((index, guide)) = find(book, &id.guide) else {
        return Vec::new();
    };
    let Some(section) = &id.section else {
        return refs(index, guide).collect();
    };
    let Some(place) = guide.sections.iter().position(|known| known.id == *section) else {
        return Vec::new();
    };
    refs(index, guide)
        .filter(|at| {
            let step = at.of(book);
            match &id.step {
                Some(name) => step.section == place && step.id.step.as_ref() == Some(name),
                None => is_under(guide, step.section, place),
            }
        })
        .collect()
}

fn refs(index: usize, guide: &Guide) -> impl Iterator<Item = StepRef> + use<> {
    (0..guide.steps.len()).map(move |step| StepRef { guide: index, step })
}

/// Whether a section is another one or lies under it.
pub(super) fn is_under(guide: &Guide, section: usize, other: usize) -> bool {
    let mut at = Some(section);
    while let Some(section) = at {
        if section == other {
            return true;
        }
        at = guide
            .sections
            .get(section)
            .and_then(|section| section.parent);
    }
    false
}

fn find<'a>(book: &'a Book, guide: &str) -> Option<(usize, &'a Guide)> {
    book.guides
        .iter()
        .enumerate()
        .find(|(_, known)| known.id == guide)
}

fn what(request: &RunRequest) -> String {
    let ids = request
        .ids
        .iter()
        .chain(&request.from)
        .map(|id| format!("`{id}`"));
    let tags = request.tags.iter().map(|tag| format!("{TAGGED} `{tag}`"));
    ids.chain(tags).collect::<Vec<_>>().join(", ")
}
