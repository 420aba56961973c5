//! From the texts of a book to the [`Book`], with everything that is wrong with it.
//!
//! [`load`] reads every chapter and checks what needs the whole book: references, targets, names in templates, secrets. It
//! reads no disk: the texts are given, files that steps name come from [`Files`]. A book with errors is returned too, for
//! what can be shown of it; who executes it looks at [`Loaded::is_valid`] first.

mod expressions;
mod graph;
mod names;
mod needs;
mod parallel;
mod secrets;
mod select;
mod steps;
mod targets;
mod texts;
mod vars;

pub use crate::include::{FileError, Files, NoFiles};
pub use graph::NeedsGraph;
pub use select::UnknownId;
pub use targets::default_target;

use std::collections::{HashMap, HashSet};

use crate::diagnostic::{Diagnostic, Severity};
use crate::findings::Findings;
use crate::id::Id;
use crate::include::Includer;
use crate::inventory::{self, Inventory};
use crate::markdown::{self, MarkdownOptions};
use crate::model::{Book, Front, Guide, Options, Section, Vars};
use crate::source::Source;
use crate::values::LAB;
use crate::{front, step};

/// The rule of a profile that does not exist.
pub const UNKNOWN_PROFILE: &str = "unknown-profile";

/// A chapter of the summary.
#[derive(Debug, Clone)]
pub struct ChapterInput {
    /// Its path relative to the book's root: `src/guides/ollama.md`.
    pub path: String,
    /// Its ID: `guides/ollama`.
    pub id: String,
    /// Its name in the summary.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What a book is made of.
#[derive(Debug, Default)]
pub struct Input {
    /// The chapters, in the summary's order.
    pub chapters: Vec<ChapterInput>,
    /// The inventory, when there is one.
    pub inventory: Option<Source>,
    /// `[preprocessor.runbook]`.
    pub options: Options,
    /// How mdBook reads the chapters.
    pub markdown: MarkdownOptions,
    /// The profile; empty: that of the options.
    pub profile: String,
    /// `--var`.
    pub vars: Vars,
}

/// A book and what is wrong with it.
#[derive(Debug)]
pub struct Loaded {
    /// The book; of a broken step nothing, of a broken key nothing.
    pub book: Book,
    /// Every finding, in the order of the files and lines.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Whether there are no errors; warnings do not count.
    pub fn is_valid(&self) -> bool {
        !self
            .diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// A guide while it is checked.
struct Checked {
    guide: Guide,
    findings: Findings,
    /// IDs of steps that are written but broken: what refers to them is not told again.
    broken: HashSet<Id>,
}

/// Reads and checks a book.
pub fn load(input: Input, files: &dyn Files) -> Loaded {
    let profile = if input.profile.is_empty() {
        input.options.profile.clone()
    } else {
        input.profile
    };
    let mut diagnostics = Vec::new();
    let inventory = match &input.inventory {
        Some(source) => {
            let mut findings = Findings::new(source.clone());
            let inventory = inventory::load(source, &mut findings);
            secrets::literals_of_inventory(&inventory, &mut findings);
            let scope = names::shared_scope(&inventory, &profile, &input.vars);
            vars::check_inventory(&inventory, &scope, &mut findings);
            diagnostics.extend(sorted(findings.list));
            inventory
        }
        None => Inventory::default(),
    };
    if let Some(diagnostic) = unknown_profile(&profile, &inventory, &input.options) {
        diagnostics.push(diagnostic);
    }
    let markdown = input.markdown;
    let checked: Vec<Checked> = parallel::map(input.chapters, |chapter| {
        chapter_of(chapter, markdown, &inventory, files)
    });
    let world = World::new(&checked);
    let mut more: Vec<Findings> = checked
        .iter()
        .map(|one| Findings::new(one.guide.source.clone()))
        .collect();
    needs::check(&checked, &world, &mut more);
    let named = names::check(&checked, &world, &inventory, &profile, &input.vars);
    let mut guides = Vec::with_capacity(checked.len());
    for ((mut one, more), (uses, names)) in checked.into_iter().zip(more).zip(named) {
        for (step, uses) in one.guide.steps.iter_mut().zip(uses) {
            step.uses = uses;
        }
        one.findings.list.extend(more.list);
        one.findings.list.extend(names.list);
        diagnostics.extend(sorted(one.findings.list));
        guides.push(one.guide);
    }
    Loaded {
        book: Book {
            guides,
            inventory,
            options: input.options,
            profile,
            given: input.vars,
        },
        diagnostics,
    }
}

fn sorted(mut list: Vec<Diagnostic>) -> Vec<Diagnostic> {
    list.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    // What is wrong with the guide's `on` or `vars` shows at each step that uses them.
    list.dedup();
    list
}

fn unknown_profile(profile: &str, inventory: &Inventory, options: &Options) -> Option<Diagnostic> {
    if profile == LAB || inventory.profile(profile).is_some() {
        return None;
    }
    let known: Vec<&str> = std::iter::once(LAB)
        .chain(
            inventory
                .profiles
                .iter()
                .map(|(name, _)| name.as_str())
                .filter(|name| *name != LAB),
        )
        .collect();
    let file = inventory
        .source
        .as_ref()
        .map_or(options.inventory.as_str(), |source| source.path());
    let diagnostic = Diagnostic::file(
        UNKNOWN_PROFILE,
        file,
        format!("there is no profile `{profile}`"),
    );
    Some(
        match crate::suggest::did_you_mean_or_list(profile, known.iter().copied(), "profiles") {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic,
        },
    )
}

/// Reads one chapter.
fn chapter_of(
    input: ChapterInput,
    options: MarkdownOptions,
    inventory: &Inventory,
    files: &dyn Files,
) -> Checked {
    let source = Source::new(input.path, input.text);
    let chapter = markdown::scan_with(&source, options);
    let mut findings = Findings::new(source.clone());
    findings.list.extend(chapter.problems);
    let front = chapter
        .front
        .as_ref()
        .map(|block| front::read(block, &mut findings))
        .unwrap_or_default();
    let sections: Vec<Section> = chapter
        .headings
        .into_iter()
        .map(|heading| Section {
            id: heading.id,
            title: heading.title,
            level: heading.level,
            span: heading.span,
            parent: heading.parent,
        })
        .collect();
    let mut includer = Includer::new(files, source.path());
    let mut steps = Vec::new();
    let mut broken = HashSet::new();
    let mut lines: HashMap<Id, u32> = HashMap::new();
    for fence in &chapter.fences {
        let read = step::read(fence, &input.id, &sections, &mut includer, &mut findings);
        let Some(id) = read.id else { continue };
        if let Some(line) = lines.get(&id) {
            findings.hinted(
                "duplicate-id",
                fence.info_span,
                format!(
                    "the section has a step `{}` already, at line {line}",
                    id.step.as_deref().unwrap_or_default()
                ),
                "give it another `id`",
            );
            continue;
        }
        lines.insert(id.clone(), fence.line);
        match read.step {
            Some(step) => steps.push(step),
            None => {
                broken.insert(id);
            }
        }
    }
    Includer::new(files, source.path()).in_prose(options, &mut findings);
    if let (true, Some(fence)) = (input.id.contains('#'), chapter.fences.first()) {
        findings.hinted(
            "chapter-path",
            fence.info_span,
            format!(
                "the chapter's path `{}` holds `#`, which begins a section in an ID",
                input.id
            ),
            "rename the file or its folder",
        );
    }
    let title = title(&front, &sections, input.name);
    let mut guide = Guide {
        id: input.id,
        title,
        source,
        front,
        sections,
        steps,
    };
    targets::check(&mut guide, inventory, &mut findings);
    secrets::check(&guide, inventory, &mut findings);
    Checked {
        guide,
        findings,
        broken,
    }
}

fn title(front: &Front, sections: &[Section], name: String) -> String {
    front
        .title
        .clone()
        .or_else(|| sections.first().map(|section| section.title.clone()))
        .filter(|title| !title.is_empty())
        .unwrap_or(name)
}

/// What there is in the book, by ID.
struct World {
    guides: HashMap<String, usize>,
    /// Steps by ID, broken ones as `None`.
    steps: HashMap<Id, Option<(usize, usize)>>,
    /// Sections by guide and name.
    sections: HashMap<(usize, String), usize>,
}

impl World {
    fn new(checked: &[Checked]) -> Self {
        let count = |of: fn(&Guide) -> usize| checked.iter().map(|one| of(&one.guide)).sum();
        let mut world = Self {
            guides: HashMap::with_capacity(checked.len()),
            steps: HashMap::with_capacity(count(|guide| guide.steps.len())),
            sections: HashMap::with_capacity(count(|guide| guide.sections.len())),
        };
        for (guide, one) in checked.iter().enumerate() {
            world.guides.entry(one.guide.id.clone()).or_insert(guide);
            world
                .steps
                .extend(one.broken.iter().map(|id| (id.clone(), None)));
            for (step, written) in one.guide.steps.iter().enumerate() {
                world.steps.insert(written.id.clone(), Some((guide, step)));
            }
            for (section, written) in one.guide.sections.iter().enumerate() {
                world
                    .sections
                    .entry((guide, written.id.clone()))
                    .or_insert(section);
            }
        }
        world
    }
}

#[cfg(test)]
mod tests;
