//! What needs what: references, cycles, and the order in which a step's needs are run.
//!
//! A step needs what its `needs` says; without it, all steps above it in the guide that are due in a normal run. Besides, it
//! needs what its guide's front matter needs. Sections mean the steps under their deeper headings too.

use std::collections::{HashMap, HashSet};

use super::{Checked, World};
use crate::findings::Findings;
use crate::id::{Id, Ref};
use crate::model::{Book, Do, Guide, Step, StepRef};
use crate::source::Span;
use crate::suggest;

/// Checks every reference, and that nothing needs itself.
pub(super) fn check(checked: &[Checked], world: &World, more: &mut [Findings]) {
    let mut broken = false;
    for (index, one) in checked.iter().enumerate() {
        let guide = &one.guide;
        let before = more[index].list.len();
        for (reference, span) in &guide.front.needs {
            if let Ref::Step(name) = reference {
                more[index].hinted(
                    "unknown-ref",
                    *span,
                    format!("front matter needs guides or sections, `{name}` would be a step"),
                    format!(
                        "write `{name}#` for a guide at the book's root, `'#{name}'` for a section"
                    ),
                );
                continue;
            }
            exists(
                &reference.resolve(&guide.id, ""),
                *span,
                checked,
                world,
                &mut more[index],
            );
        }
        for step in &guide.steps {
            for (reference, span) in references(step) {
                exists(
                    &resolve(reference, guide, step),
                    span,
                    checked,
                    world,
                    &mut more[index],
                );
            }
        }
        broken |= more[index].list.len() > before;
    }
    if !broken {
        cycle(&NeedsGraph::new(checked.iter().map(|one| &one.guide)), more);
    }
}

fn resolve(reference: &Ref, guide: &Guide, step: &Step) -> Id {
    reference.resolve(&guide.id, &guide.sections[step.section].id)
}

/// The references of a step's keys.
fn references(step: &Step) -> Vec<(&Ref, Span)> {
    let mut all: Vec<(&Ref, Span)> = step
        .keys
        .needs
        .iter()
        .flatten()
        .map(|(reference, span)| (reference, *span))
        .collect();
    let keys = &step.keys;
    for does in keys
        .undo
        .iter()
        .chain(&keys.diagnose)
        .chain(keys.repair.iter().map(|(_, does)| does))
    {
        of_do(does, &mut all);
    }
    all
}

fn of_do<'a>(does: &'a Do, all: &mut Vec<(&'a Ref, Span)>) {
    match does {
        Do::Steps(reference, span) => all.push((reference, *span)),
        Do::List(list) => list.iter().for_each(|does| of_do(does, all)),
        _ => {}
    }
}

fn exists(id: &Id, span: Span, checked: &[Checked], world: &World, findings: &mut Findings) {
    let Some(&guide) = world.guides.get(&id.guide) else {
        let hint = suggest::did_you_mean(&id.guide, world.guides.keys().map(String::as_str))
            .unwrap_or_else(|| "a guide's ID is its chapter's path without `.md`".into());
        findings.hinted(
            "unknown-ref",
            span,
            format!("there is no guide `{}`", id.guide),
            hint,
        );
        return;
    };
    let guide_model = &checked[guide].guide;
    let Some(section) = &id.section else { return };
    if !world.sections.contains_key(&(guide, section.clone())) {
        let known = guide_model
            .sections
            .iter()
            .map(|section| section.id.as_str());
        let hint = suggest::did_you_mean_or_list(section, known, "its sections are");
        findings.maybe_hinted(
            "unknown-ref",
            span,
            format!("guide `{}` has no section `{section}`", id.guide),
            hint,
        );
        return;
    }
    let Some(step) = &id.step else { return };
    if !world.steps.contains_key(&id.without_item()) {
        let same: Vec<&str> = guide_model
            .steps
            .iter()
            .filter(|step| step.id.section.as_ref() == Some(section))
            .filter_map(|step| step.id.step.as_deref())
            .collect();
        let elsewhere = guide_model
            .steps
            .iter()
            .find(|other| other.id.step.as_ref() == Some(step));
        let hint = match elsewhere {
            Some(other) => Some(format!("did you mean `'#{}'`?", other.id.anchor())),
            None => suggest::did_you_mean_or_list(step, same.iter().copied(), "its steps are"),
        };
        findings.maybe_hinted(
            "unknown-ref",
            span,
            format!("section `{section}` of `{}` has no step `{step}`", id.guide),
            hint,
        );
    }
}

/// The graph of what needs what. `Above(n)` are the due steps of a guide up to its `n`th, so that a step that needs all above
/// it has one edge; `All` are a guide's steps, `Front` what its front matter needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Vertex {
    Step(StepRef),
    Above(StepRef),
    All(usize),
    Front(usize),
}

/// What needs what in a book.
#[derive(Debug)]
pub struct NeedsGraph<'a> {
    guides: Vec<&'a Guide>,
    by_id: HashMap<&'a str, usize>,
}

impl<'a> NeedsGraph<'a> {
    fn new(guides: impl Iterator<Item = &'a Guide>) -> Self {
        let guides: Vec<&Guide> = guides.collect();
        let by_id = guides
            .iter()
            .enumerate()
            .map(|(index, guide)| (guide.id.as_str(), index))
            .collect();
        Self { guides, by_id }
    }

    fn edges(&self, vertex: Vertex) -> Vec<Vertex> {
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

    fn name(&self, vertex: Vertex) -> Option<Id> {
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

/// Reports the first cycle of each guide.
fn cycle(graph: &NeedsGraph<'_>, more: &mut [Findings]) {
    let mut done: HashSet<Vertex> = HashSet::new();
    let starts = graph.guides.iter().enumerate().flat_map(|(guide, model)| {
        std::iter::once(Vertex::Front(guide))
            .chain((0..model.steps.len()).map(move |step| Vertex::Step(StepRef { guide, step })))
    });
    for start in starts {
        let mut path: Vec<(Vertex, Vec<Vertex>)> = Vec::new();
        let mut on_path: HashSet<Vertex> = HashSet::new();
        let mut next = Some(start);
        loop {
            match next.take() {
                Some(vertex) if on_path.contains(&vertex) => {
                    let from = path
                        .iter()
                        .position(|(other, _)| *other == vertex)
                        .unwrap_or(0);
                    let ring: Vec<Vertex> =
                        path[from..].iter().map(|(vertex, _)| *vertex).collect();
                    report(graph, &ring, more);
                    return;
                }
                Some(vertex) if !done.contains(&vertex) => {
                    on_path.insert(vertex);
                    path.push((vertex, graph.edges(vertex)));
                }
                _ => {}
            }
            let Some((vertex, edges)) = path.last_mut() else {
                break;
            };
            match edges.pop() {
                Some(edge) => next = Some(edge),
                None => {
                    done.insert(*vertex);
                    on_path.remove(vertex);
                    path.pop();
                }
            }
        }
    }
}

fn report(graph: &NeedsGraph<'_>, ring: &[Vertex], more: &mut [Findings]) {
    // Begin at a step or guide that says it needs something: that is where the cycle can be cut.
    let says = |vertex: &Vertex| match vertex {
        Vertex::Step(at) => graph.guides[at.guide].steps[at.step].keys.needs.is_some(),
        Vertex::Front(guide) => !graph.guides[*guide].front.needs.is_empty(),
        _ => false,
    };
    let start = ring.iter().position(says).unwrap_or(0);
    let mut names: Vec<String> = ring[start..]
        .iter()
        .chain(&ring[..start])
        .filter_map(|vertex| graph.name(*vertex))
        .map(|id| id.to_string())
        .collect();
    names.extend(names.first().cloned());
    let (guide, span) = match ring[start] {
        Vertex::Step(at) => {
            let step = &graph.guides[at.guide].steps[at.step];
            (
                at.guide,
                step.keys
                    .needs
                    .iter()
                    .flatten()
                    .next()
                    .map_or(step.span, |(_, span)| *span),
            )
        }
        Vertex::Front(guide) | Vertex::All(guide) => (
            guide,
            graph.guides[guide]
                .front
                .needs
                .first()
                .map_or(Span::at(0), |(_, span)| *span),
        ),
        Vertex::Above(at) => (at.guide, graph.guides[at.guide].steps[at.step].span),
    };
    more[guide].hinted(
        "needs-cycle",
        span,
        format!("nothing can run first: `{}`", names.join("` needs `")),
        "take one of these needs out; a step without `needs` needs all steps above it",
    );
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
