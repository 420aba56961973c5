//! `list` and `show`: a book as machines and people find their way in it. Pure: from the model to the report's shapes.

use std::fmt::Write as _;

use runbook::id::Id;
use runbook::model::{Book, Guide, Section, Step};
use runbook::outcome::Verify;
use runbook::report::{List, ListGuide, ListSection, ListStep, REPORT_VERSION, Show, ShowStep};
use runbook::source::Span;
use serde_json::{Map, Value};

use crate::execute::LAB;

/// `list`; with tags only the guides that have one of them.
pub fn list(book: &Book, profile: &str, tags: &[String]) -> List {
    let guides = book
        .guides
        .iter()
        .filter(|guide| !guide.steps.is_empty() && has_tag(guide, tags))
        .map(|guide| list_guide(guide, profile))
        .collect();
    List {
        version: REPORT_VERSION,
        guides,
    }
}

/// Whether a guide has one of the tags; every guide when none is asked for.
pub fn has_tag(guide: &Guide, tags: &[String]) -> bool {
    tags.is_empty() || guide.front.tags.iter().any(|tag| tags.contains(tag))
}

/// A list for people.
pub fn text(list: &List) -> String {
    let mut text = String::new();
    for guide in &list.guides {
        let _ = writeln!(text, "{}  {} ({})", guide.id, guide.title, guide.path);
        for section in &guide.sections {
            let _ = writeln!(text, "  {}  {}", section.id, section.title);
            for step in &section.steps {
                let _ = writeln!(
                    text,
                    "    {}  {} ({} on {}, {})",
                    step.id, step.title, step.action, step.on, step.effect
                );
            }
        }
    }
    text
}

/// `show`; `None` when the ID names nothing in the book.
pub fn show(book: &Book, id: &Id) -> Option<Show> {
    let guide = book.guides.iter().find(|guide| guide.id == id.guide)?;
    let source = &guide.source;
    let whole = Span::new(0, source.text().len());
    let (title, span, steps): (&str, Span, Vec<&Step>) = match (&id.section, &id.step) {
        (None, _) => (&guide.title, whole, guide.steps.iter().collect()),
        (Some(name), None) => {
            let section = guide.sections.iter().find(|section| section.id == *name)?;
            let inside = |step: &&Step| {
                section.span.start <= step.span.start && step.span.start < section.span.end
            };
            (
                &section.title,
                section.span,
                guide.steps.iter().filter(inside).collect(),
            )
        }
        (Some(_), Some(_)) => {
            let step = guide
                .steps
                .iter()
                .find(|step| step.id == id.without_item())?;
            (&step.title, step.span, vec![step])
        }
    };
    Some(Show {
        version: REPORT_VERSION,
        id: id.clone(),
        title: title.to_owned(),
        path: source.path().to_owned(),
        line: source.position(span.start).line,
        markdown: source.slice(span).to_owned(),
        steps: steps
            .into_iter()
            .map(|step| show_step(guide, step))
            .collect(),
    })
}

fn list_guide(guide: &Guide, profile: &str) -> ListGuide {
    let sections = guide
        .sections
        .iter()
        .enumerate()
        .filter(|(index, _)| guide.steps.iter().any(|step| step.section == *index))
        .map(|(index, section)| list_section(guide, index, section))
        .collect();
    ListGuide {
        id: Id::guide(guide.id.clone()),
        title: guide.title.clone(),
        path: guide.source.path().to_owned(),
        verify: verify(guide, profile),
        sections,
    }
}

/// The effective mode of a guide on a profile.
pub fn verify(guide: &Guide, profile: &str) -> Verify {
    match guide.front.verify {
        // Left out on real profiles; in the lab it is rehearsed as any other.
        Some(Verify::Asked) | None if profile == LAB => Verify::Rehearse,
        Some(verify) => verify,
        None => Verify::Observe,
    }
}

fn list_section(guide: &Guide, index: usize, section: &Section) -> ListSection {
    ListSection {
        id: Id::section(guide.id.clone(), section.id.clone()),
        title: section.title.clone(),
        steps: guide
            .steps
            .iter()
            .filter(|step| step.section == index)
            .map(|step| list_step(guide, step))
            .collect(),
    }
}

fn list_step(guide: &Guide, step: &Step) -> ListStep {
    ListStep {
        id: step.id.clone(),
        title: step.title.clone(),
        on: guide.on(step).to_owned(),
        action: step.action.name.to_owned(),
        effect: step.effect,
        line: step.line,
    }
}

fn show_step(guide: &Guide, step: &Step) -> ShowStep {
    let expect = step
        .node
        .get("expect")
        .map_or_else(|| Value::Object(Map::new()), |node| node.to_json());
    ShowStep {
        step: list_step(guide, step),
        source: step.body.text().to_owned(),
        expect,
    }
}
