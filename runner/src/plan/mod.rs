//! Which steps a run has, in which order, and what each waits for: pure, from the book and what was asked.
//!
//! Executes nothing and looks at nothing but the book. A plan holds indexes into the book, so that ten thousand steps cost
//! little; what becomes of them is decided in [`crate::execute`].

mod order;
mod select;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use runbook::id::{Id, Ref};
use runbook::model::{Book, Guide, Step, StepRef};
use runbook::node::{Kind, Node};
use runbook::outcome::{Effect, Mode, Verify};

use crate::request::{Purpose, RunError, RunRequest};

/// A step's place, looked up in its book.
pub trait InBook {
    /// Its guide.
    fn guide(self, book: &Book) -> &Guide;
    /// The step.
    fn of(self, book: &Book) -> &Step;
}

impl InBook for StepRef {
    fn guide(self, book: &Book) -> &Guide {
        &book.guides[self.guide]
    }

    fn of(self, book: &Book) -> &Step {
        &book.guides[self.guide].steps[self.step]
    }
}

/// The steps of a run.
#[derive(Debug)]
pub struct Plan {
    /// The due steps, guide by guide in the order in which the guides start, each guide's in the page's order.
    pub steps: Vec<Due>,
    /// The guides, in the same order.
    pub guides: Vec<DueGuide>,
    /// Steps whose values due steps use.
    pub used: HashSet<Id>,
    places: HashMap<StepRef, u32>,
}

/// A guide that has due steps.
#[derive(Debug)]
pub struct DueGuide {
    /// Index into [`Book::guides`].
    pub guide: usize,
    /// Its due steps, indexes into [`Plan::steps`].
    pub steps: Range<u32>,
    /// How they are treated.
    pub mode: GuideMode,
    /// What its front matter needs: due steps of other guides.
    pub needs: Vec<u32>,
    /// What its front matter needs and this run does not have.
    pub outside: Vec<StepRef>,
    /// Its steps that this run does not have and those below need by the page's order. None where the guide runs from a place on.
    pub gaps: Vec<StepRef>,
    /// Guides connected by `needs` share a world: the same number.
    pub world: u32,
}

/// How the steps of a guide are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuideMode {
    /// The mode that was asked for.
    pub asked: Mode,
    /// What it amounts to: a rehearsal runs as `converge` with its gates open, until rehearsals prove more.
    pub effective: Mode,
}

impl GuideMode {
    fn new(asked: Mode) -> Self {
        let effective = if asked == Mode::Rehearse {
            Mode::Converge
        } else {
            asked
        };
        Self { asked, effective }
    }

    /// Whether gates are open (but on `local`).
    pub fn opens_gates(self) -> bool {
        self.asked == Mode::Rehearse
    }
}

/// A step that is due.
#[derive(Debug)]
pub struct Due {
    /// The step.
    pub at: StepRef,
    /// Whether its own or its section's ID was addressed, so that `when: asked` holds.
    pub asked: bool,
    /// Only this item of `each`.
    pub item: Option<String>,
    /// Whether it needs all due steps above it in its guide.
    pub above: bool,
    /// What `needs` names, of the due steps.
    pub needs: Vec<u32>,
    /// What `needs` names and this run does not have.
    pub outside: Vec<StepRef>,
}

/// Whether a step's texts have templates; a body whose `{{` are its own has none.
pub fn has_templates(guide: &Guide, step: &Step) -> bool {
    let own_body =
        |key: &str| !step.keys.template && step.action.is_script() && key == step.action.name;
    let entries = step.node.as_map().into_iter().flatten();
    entries
        .filter(|entry| !own_body(&entry.key))
        .any(|entry| is_template(&entry.value))
        || is_template(&step.target)
        || guide.front.timeout.as_ref().is_some_and(is_template)
        || !step.uses.steps.is_empty()
}

fn is_template(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar(scalar) => runbook::template::has_template(&scalar.text),
        Kind::List(items) => items.iter().any(is_template),
        Kind::Map(entries) => entries.iter().any(|entry| is_template(&entry.value)),
        Kind::Value(_) => false,
    }
}

impl Plan {
    /// Makes the plan of a run.
    ///
    /// # Errors
    ///
    /// An unknown ID, nothing to run, a rehearsal on a real profile, steps that wait for each other.
    pub fn make(book: &Book, request: &RunRequest) -> Result<Self, RunError> {
        let chosen = select::choose(book, request)?;
        let chosen = order::guides_first(book, chosen);
        let mut plan = Self {
            steps: Vec::with_capacity(chosen.len()),
            guides: Vec::new(),
            used: HashSet::new(),
            places: HashMap::new(),
        };
        for (index, (at, _)) in chosen.iter().enumerate() {
            plan.places.insert(*at, index as u32);
        }
        for (at, chosen) in chosen {
            plan.push(book, request, at, chosen)?;
        }
        order::worlds(book, &mut plan);
        order::refuse_cycles(book, &plan)?;
        Ok(plan)
    }

    /// The due step that a step of the book is.
    pub fn place(&self, at: StepRef) -> Option<u32> {
        self.places.get(&at).copied()
    }

    fn push(
        &mut self,
        book: &Book,
        request: &RunRequest,
        at: StepRef,
        chosen: select::Chosen,
    ) -> Result<(), RunError> {
        let index = self.steps.len() as u32;
        let guide = at.guide(book);
        if self.guides.last().is_none_or(|last| last.guide != at.guide) {
            let (needs, outside) = self.needed(book, at.guide, "", &guide.front.needs);
            let mode = GuideMode::new(mode(request, guide));
            if mode.asked == Mode::Rehearse && !request.is_lab() {
                return Err(RunError::Rehearse {
                    profile: request.profile.clone(),
                });
            }
            let gaps = self.gaps(book, request, at.guide);
            self.guides.push(DueGuide {
                guide: at.guide,
                steps: index..index,
                mode,
                needs,
                outside,
                gaps,
                world: 0,
            });
        }
        if let Some(last) = self.guides.last_mut() {
            last.steps.end = index + 1;
        }
        let step = at.of(book);
        let section = step.id.section.as_deref().unwrap_or_default();
        let (needs, outside) = match &step.keys.needs {
            Some(needs) => self.needed(book, at.guide, section, needs),
            None => (Vec::new(), Vec::new()),
        };
        let needs = needs.into_iter().filter(|need| *need != index).collect();
        self.used
            .extend(step.uses.steps.iter().map(|used| used.id.clone()));
        self.steps.push(Due {
            at,
            asked: chosen.asked,
            item: chosen.item,
            above: step.keys.needs.is_none(),
            needs,
            outside,
        });
        Ok(())
    }

    fn gaps(&self, book: &Book, request: &RunRequest, guide: usize) -> Vec<StepRef> {
        let whole = &book.guides[guide];
        if request
            .from
            .as_ref()
            .is_some_and(|from| from.guide == whole.id)
        {
            return Vec::new();
        }
        (0..whole.steps.len())
            .map(|step| StepRef { guide, step })
            .filter(|at| !at.of(book).keys.asked && self.place(*at).is_none())
            .collect()
    }

    /// What references mean: due steps, and steps that are not due.
    fn needed(
        &self,
        book: &Book,
        guide: usize,
        section: &str,
        needs: &[(Ref, runbook::source::Span)],
    ) -> (Vec<u32>, Vec<StepRef>) {
        let (mut due, mut outside) = (Vec::new(), Vec::new());
        for (reference, _) in needs {
            let id = reference.resolve(&book.guides[guide].id, section);
            for at in select::steps_of(book, &id) {
                match self.place(at) {
                    Some(place) => due.push(place),
                    // What runs only when asked is no part of what a section promises; by its own ID it is.
                    None if at.of(book).keys.asked && id.step.is_none() => {}
                    None => outside.push(at),
                }
            }
        }
        (due, outside)
    }
}

/// The steps that an ID means; none when it names nothing that has steps.
pub fn steps_of(book: &Book, id: &Id) -> Vec<StepRef> {
    select::steps_of(book, id)
}

/// Whether a step stands in the section of another step of its guide, or under a deeper heading of it.
pub fn is_in_section_of(book: &Book, step: StepRef, other: StepRef) -> bool {
    step.guide == other.guide
        && select::is_under(
            step.guide(book),
            step.of(book).section,
            other.of(book).section,
        )
}

/// A guide's mode in a run.
fn mode(request: &RunRequest, guide: &Guide) -> Mode {
    if let Some(mode) = request.mode {
        return mode;
    }
    if request.purpose == Purpose::Run {
        return Mode::Converge;
    }
    let usual = if request.is_lab() {
        Mode::Rehearse
    } else {
        Mode::Observe
    };
    match guide.front.verify {
        Some(Verify::Observe) => Mode::Observe,
        Some(Verify::Converge) => Mode::Converge,
        Some(Verify::Rehearse) => Mode::Rehearse,
        Some(Verify::Asked) | None => usual,
    }
}

/// Whether a step only reads, so that a run of one step may run it again for its values.
fn only_reads(step: &Step) -> bool {
    step.effect == Effect::Read && !step.keys.asked
}

#[cfg(test)]
mod tests;
