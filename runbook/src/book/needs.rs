//! What needs what: references, cycles, and the order in which a step's needs are run.
//!
//! A step needs what its `needs` says; without it, all steps above it in the guide that are due in a normal run. Besides, it
//! needs what its guide's front matter needs. Sections mean the steps under their deeper headings too.

use std::collections::HashSet;

use super::graph::{NeedsGraph, Vertex};
use super::{Checked, World};
use crate::findings::Findings;
use crate::id::{Id, Ref};
use crate::model::{Do, Guide, Step, StepRef};
use crate::source::Span;
use crate::suggest;

/// Checks every reference, and that nothing needs itself.
pub(super) fn check(checked: &[Checked], world: &World, more: &mut [Findings]) {
    let mut refers = false;
    for (index, one) in checked.iter().enumerate() {
        let guide = &one.guide;
        refers |= !guide.front.needs.is_empty();
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
                refers = true;
                exists(
                    &resolve(reference, guide, step),
                    span,
                    checked,
                    world,
                    &mut more[index],
                );
            }
        }
    }
    // The order of a page alone has no circle: most books need not be searched for one.
    if refers {
        cycle(&NeedsGraph::new(checked.iter().map(|one| &one.guide)), more);
    }
}

pub(super) fn resolve(reference: &Ref, guide: &Guide, step: &Step) -> Id {
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
