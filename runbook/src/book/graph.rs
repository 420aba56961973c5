//! The graph of what needs what, and the order in which a step's needs are run.

use std::collections::{HashMap, HashSet};

use super::needs::resolve;
use crate::id::Id;
use crate::model::{Book, Guide, StepRef};

/// The graph of what needs what. `Above(n)` are the due steps of a guide up to its `n`th, so that a step that needs all above
/// it has one edge; `All` are a guide's steps, `Front` what its front matter needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Vertex {
    Step(StepRef),
    Above(StepRef),
    All(usize),
    Front(usize),
}

/// What needs what in a book.
#[derive(Debug)]
pub struct NeedsGraph<'a> {
    pub(super) guides: Vec<&'a Guide>,
    by_id: HashMap<&'a str, usize>,
}

impl<'a> NeedsGraph<'a> {
    pub(super) fn new(guides: impl Iterator<Item = &'a Guide>) -> Self {
        let guides: Vec<&Guide> = guides.collect();
        let by_id = guides
            .iter()
            .enumerate()
            .map(|(index, guide)| (guide.id.as_str(), index))
            .collect();
        Self { guides, by_id }
    }

    pub(super) fn edges(&self, vertex: Vertex) -> Vec<Vertex> {
        match vertex {
            Vertex::Step(at) => {
                let guide = self.guides[at.guide];
                let step = &guide.steps[at.step];
                let mut edges = Vec::new();
                if !guide.front.needs.is_empty() {
                    edges.push(Vertex::Front(at.guide));
                }
                match &step.keys.needs {
                    Some(needs) => {
                        edges.extend(needs.iter().flat_map(|(reference, _)| {
                            self.of_id(&resolve(reference, guide, step))
                        }));
                    }
                    None if at.step > 0 => edges.push(Vertex::Above(StepRef {
                        step: at.step - 1,
                        ..at
                    })),
                    None => {}
                }
                edges
            }
            Vertex::Above(at) => {
                let mut edges = Vec::new();
                if !self.guides[at.guide].steps[at.step].keys.asked {
                    edges.push(Vertex::Step(at));
                }
                if at.step > 0 {
                    edges.push(Vertex::Above(StepRef {
                        step: at.step - 1,
                        ..at
                    }));
                }
                edges
            }
            Vertex::All(guide) => {
                let mut edges = vec![Vertex::Front(guide)];
                if let Some(last) = self.guides[guide].steps.len().checked_sub(1) {
                    edges.push(Vertex::Above(StepRef { guide, step: last }));
                }
                edges
            }
            Vertex::Front(guide) => {
                let model = self.guides[guide];
                model
                    .front
                    .needs
                    .iter()
                    .flat_map(|(reference, _)| self.of_id(&reference.resolve(&model.id, "")))
                    .collect()
            }
        }
    }

    fn of_id(&self, id: &Id) -> Vec<Vertex> {
        let Some(&guide) = self.by_id.get(id.guide.as_str()) else {
            return Vec::new();
        };
        if id.section.is_none() {
            return vec![Vertex::All(guide)];
        }
        steps_of(self.guides[guide], id)
            .into_iter()
            .map(|step| Vertex::Step(StepRef { guide, step }))
            .collect()
    }

    pub(super) fn name(&self, vertex: Vertex) -> Option<Id> {
        match vertex {
            Vertex::Step(at) => Some(self.guides[at.guide].steps[at.step].id.clone()),
            Vertex::Front(guide) => Some(Id::guide(&self.guides[guide].id)),
            Vertex::Above(_) | Vertex::All(_) => None,
        }
    }
}

/// The steps of a guide that an ID means: a step, or those of a section and of its deeper headings. `asked` steps only by
/// their own ID or their own section's.
pub(super) fn steps_of(guide: &Guide, id: &Id) -> Vec<usize> {
    let sections = id
        .section
        .as_deref()
        .map(|section| sections_under(guide, section));
    guide
        .steps
        .iter()
        .enumerate()
        .filter(|(_, step)| match (&id.step, &sections) {
            (Some(name), _) => step.id.step.as_ref() == Some(name) && step.id.section == id.section,
            (None, Some(sections)) => sections.contains(&step.section),
            (None, None) => true,
        })
        .map(|(index, _)| index)
        .collect()
}

/// A section of that name and all under it.
pub(super) fn sections_under(guide: &Guide, section: &str) -> HashSet<usize> {
    let mut found = HashSet::new();
    for (index, one) in guide.sections.iter().enumerate() {
        if one.id == section || one.parent.is_some_and(|parent| found.contains(&parent)) {
            found.insert(index);
        }
    }
    found
}

impl Book {
    /// What needs what: made once, asked often.
    pub fn needs(&self) -> NeedsGraph<'_> {
        NeedsGraph::new(self.guides.iter())
    }
}

impl NeedsGraph<'_> {
    /// What a step needs directly: what its `needs` says, else the due steps above it in its guide; and what its guide needs.
    /// In the book's order, each once.
    pub fn of(&self, at: StepRef) -> Vec<StepRef> {
        let mut found = HashSet::new();
        direct(self, Vertex::Step(at), &mut found, &mut HashSet::new());
        found.remove(&at);
        let mut found: Vec<StepRef> = found.into_iter().collect();
        found.sort_unstable();
        found
    }

    /// The given steps and everything they need, each after what it needs, in the book's order otherwise.
    pub fn with_needs(&self, steps: &[StepRef]) -> Vec<StepRef> {
        let mut wanted = steps.to_vec();
        wanted.sort_unstable();
        let mut ordered = Vec::new();
        let mut seen = HashSet::new();
        for step in wanted {
            visit(self, Vertex::Step(step), &mut seen, &mut ordered);
        }
        ordered
    }
}

/// The steps behind the auxiliary vertices.
fn direct(
    graph: &NeedsGraph<'_>,
    vertex: Vertex,
    found: &mut HashSet<StepRef>,
    seen: &mut HashSet<Vertex>,
) {
    let mut open = graph.edges(vertex);
    while let Some(vertex) = open.pop() {
        if !seen.insert(vertex) {
            continue;
        }
        match vertex {
            Vertex::Step(at) => {
                found.insert(at);
            }
            other => open.extend(graph.edges(other)),
        }
    }
}

/// Depth first, without recursion: a guide may have ten thousand steps.
fn visit(
    graph: &NeedsGraph<'_>,
    start: Vertex,
    seen: &mut HashSet<Vertex>,
    ordered: &mut Vec<StepRef>,
) {
    if !seen.insert(start) {
        return;
    }
    let mut path = vec![(start, graph.edges(start).into_iter())];
    while let Some((vertex, edges)) = path.last_mut() {
        match edges.next() {
            Some(edge) => {
                if seen.insert(edge) {
                    let edges = graph.edges(edge);
                    path.push((edge, order(edges)));
                }
            }
            None => {
                if let Vertex::Step(at) = *vertex {
                    ordered.push(at);
                }
                path.pop();
            }
        }
    }
}

/// Auxiliary vertices first (`Above(n - 1)` before step `n`), so that the page's order is kept.
fn order(mut edges: Vec<Vertex>) -> std::vec::IntoIter<Vertex> {
    edges.sort_by_key(|vertex| match vertex {
        Vertex::Front(_) => (0, None),
        Vertex::All(_) => (1, None),
        Vertex::Above(_) => (2, None),
        Vertex::Step(at) => (3, Some(*at)),
    });
    edges.into_iter()
}
