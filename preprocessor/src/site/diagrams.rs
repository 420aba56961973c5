//! The diagrams of a chapter: drawn, coloured by what their nodes name, and judged.
//!
//! How a diagram is drawn is [`crate::diagram`]'s; this knows the book: where each stands, what its links mean, where it can be
//! opened alone.

use std::ops::Range;
use std::sync::{MutexGuard, PoisonError};

use runbook::diagnostic::Diagnostic;
use runbook::id::Id;
use runbook::markdown;
use runbook::model::{Book, Guide};
use runbook::outcome::{Freshness, State};
use runbook::source::{Source, Span};
use runbook::status::StatusView;

use super::Site;
use super::html::{address, word};
use super::page::Page;
use crate::diagram::{DiagramError, DiagramId, NodeState, Renderer};

/// The diagrams of a chapter.
#[derive(Debug, Default)]
pub(crate) struct Drawn {
    /// Where each stood, and its figure in one line.
    pub(crate) figures: Vec<(Range<usize>, String)>,
    /// What is wrong with them.
    pub(crate) findings: Vec<Diagnostic>,
}

/// Draws the diagrams of a chapter.
pub(crate) fn draw(
    site: &Site,
    source: &Source,
    chapter: &markdown::Chapter,
    guide: &Guide,
    page: &Page<'_>,
) -> Drawn {
    let mut drawn = Drawn::default();
    let lookup = |id: &str| state_of(&site.book, Some(&site.view), id, page);
    for (ordinal, block) in chapter.diagrams.iter().enumerate() {
        let id = DiagramId::new(&guide.id, ordinal + 1);
        let place = |span: Range<usize>| block.body.span(span.start, span.end);
        match site.renderer.render(block.body.text(), &id, &lookup) {
            Ok(diagram) => {
                warn(&mut drawn.findings, source, &diagram.unresolved, place);
                let alone = site.with_files.then(|| alone(&guide.id, ordinal + 1));
                let href = alone.as_deref().map(file_name).map(address);
                // A node's label may hold what another preprocessor would read.
                let html = diagram.html(href.as_deref()).replace("{{", "&#123;{");
                drawn.figures.push((block.span.start..block.span.end, html));
                if let Some(path) = alone {
                    site.drawn().insert(path, diagram.svg().to_owned());
                }
            }
            Err(error) => drawn
                .findings
                .push(finding(source, place(error.span.clone()), &error)),
        }
    }
    drawn
}

/// What is wrong with the diagrams of a book, without a site.
pub fn check(book: &Book) -> Vec<Diagnostic> {
    let renderer = Renderer::new();
    let runs = std::collections::HashSet::new();
    let page = Page {
        root: "",
        now: jiff::Timestamp::UNIX_EPOCH,
        runs: &runs,
        kept: None,
    };
    let mut findings = Vec::new();
    let guides = book
        .guides
        .iter()
        .filter(|guide| guide.source.text().contains("mermaid"));
    for guide in guides {
        let chapter = markdown::scan(&guide.source);
        for (ordinal, block) in chapter.diagrams.iter().enumerate() {
            let id = DiagramId::new(&guide.id, ordinal + 1);
            let lookup = |id: &str| state_of(book, None, id, &page);
            let place = |span: Range<usize>| block.body.span(span.start, span.end);
            match renderer.render(block.body.text(), &id, &lookup) {
                Ok(diagram) => warn(&mut findings, &guide.source, &diagram.unresolved, place),
                Err(error) => {
                    findings.push(finding(&guide.source, place(error.span.clone()), &error))
                }
            }
        }
    }
    findings
}

/// How the guide, section or step of an ID stands; `None` when the book does not have it.
fn state_of(
    book: &Book,
    view: Option<&StatusView>,
    id: &str,
    page: &Page<'_>,
) -> Option<NodeState> {
    let id = Id::parse(id)?;
    let steps = book.select(std::slice::from_ref(&id)).ok()?;
    let guide = book.guides.iter().find(|guide| guide.id == id.guide)?;
    let title = match (&id.section, &id.step) {
        (_, Some(_)) => steps.first().map(|at| book.get(*at).1.title.clone()),
        (Some(section), None) => guide
            .sections
            .iter()
            .find(|known| known.id == *section)
            .map(|known| known.title.clone()),
        (None, None) => Some(guide.title.clone()),
    };
    let states = steps
        .iter()
        .filter_map(|at| view?.guides.get(at.guide)?.steps.get(at.step)?.state);
    let state: Option<State> = states.min();
    Some(NodeState {
        state: match (steps.is_empty(), state) {
            (true, _) => "",
            (false, None) => Freshness::NeverRun.as_str(),
            (false, state) => word(state),
        },
        title: title.unwrap_or_default(),
        href: super::chapter::href(page, &id),
    })
}

fn warn(
    findings: &mut Vec<Diagnostic>,
    source: &Source,
    unresolved: &[crate::diagram::Unresolved],
    place: impl Fn(Range<usize>) -> Span,
) {
    for link in unresolved {
        let message = format!(
            "the diagram leads to `{}`, which is not in the book",
            link.link
        );
        let warning =
            Diagnostic::warning("diagram-link", source, place(link.span.clone()), message);
        findings.push(warning.hint("write a full ID, as `runbook list` shows them, or an address"));
    }
}

fn finding(source: &Source, span: Span, error: &DiagramError) -> Diagnostic {
    Diagnostic::error("diagram", source, span, error.message.clone()).hint(error.hint.clone())
}

/// Where a diagram can be opened alone: beside its page, so that its links are right.
fn alone(guide: &str, ordinal: usize) -> String {
    format!("{guide}.diagram-{ordinal}.svg")
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl Site {
    /// The diagrams that were drawn so far.
    pub(super) fn drawn(&self) -> MutexGuard<'_, std::collections::BTreeMap<String, String>> {
        // A poisoned lock means that another thread panicked between two inserts: what is there is whole.
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
