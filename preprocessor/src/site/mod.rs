//! The site: what is added to the chapters, the pages of its own, and the files beside them.
//!
//! Everything here is a function of a book, what was recorded of it, and the time. Chapters are changed by `chapter`, the status
//! and run pages come as chapters from `status` and `run`, and [`Site::write_files`] writes what mdBook does not.

mod badge;
mod card;
mod chapter;
mod diagrams;
mod evidence;
mod feed;
mod files;
mod guides;
mod head;
mod html;
mod kept;
mod output;
mod page;
mod run;
mod status;
mod strip;
mod templates;
mod values;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

use jiff::Timestamp;
use runbook::markdown::MarkdownOptions;
use runbook::model::{Book, Guide, Step, Vars};
use runbook::report::HistoryLine;
use runbook::status::{GuideView, Query, StatusView, assess};
use runbook::values::Values;
use serde_json::{Map, Value};

pub use self::chapter::Chapter;
pub use self::diagrams::check as check_diagrams;
pub use self::files::{FilesError, Junit};
use self::kept::Kept;
use self::page::Page;
pub use self::templates::TemplateError;
use crate::assets::Carrier;
use crate::diagram;
use crate::records::Recorded;

/// How many runs have a page.
pub const RUN_PAGES_MAX: usize = 30;

/// A book, what was recorded of it, and how it stands.
#[derive(Debug)]
pub struct Site {
    book: Book,
    title: String,
    recorded: Recorded,
    view: StatusView,
    now: Timestamp,
    /// The runs that have a page, newest first.
    runs: Vec<String>,
    run_pages: HashSet<String>,
    guides: HashMap<String, usize>,
    vars: Vars,
    renderer: diagram::Renderer,
    /// The diagrams that were drawn, each as a file of its own: its path and its text.
    drawn: Mutex<BTreeMap<String, String>>,
    /// Whether files are written beside the pages, so that pages may lead to them.
    with_files: bool,
    /// What mdBook does not read, where files are written beside the pages.
    kept: Option<Kept>,
}

impl Site {
    /// Assesses a book by what was recorded. `profile` is the one whose results count; the lab's show where it has none.
    pub fn new(
        book: Book,
        title: impl Into<String>,
        recorded: Recorded,
        profile: &str,
        now: Timestamp,
    ) -> Self {
        let vars = Vars::new();
        let query = Query {
            profile,
            now,
            vars: &vars,
        };
        let view = assess(&book, &recorded.records, &query);
        let runs = shown_runs(&recorded, &view);
        let guides = book.guides.iter().enumerate();
        Self {
            run_pages: runs.iter().cloned().collect(),
            guides: guides
                .map(|(index, guide)| (guide.id.clone(), index))
                .collect(),
            title: title.into(),
            renderer: diagram::Renderer::new(),
            drawn: Mutex::default(),
            with_files: true,
            kept: Some(Kept::new()),
            book,
            recorded,
            view,
            now,
            runs,
            vars,
        }
    }

    /// The same site whose pages do not lead to what only [`Site::write_files`] writes.
    #[must_use]
    pub fn without_files(mut self) -> Self {
        self.with_files = false;
        self.kept = None;
        self
    }

    /// How the book stands.
    pub fn view(&self) -> &StatusView {
        &self.view
    }

    /// The book.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Whether there is anything to show: a chapter with steps.
    pub fn has_steps(&self) -> bool {
        self.book.guides.iter().any(|guide| !guide.steps.is_empty())
    }

    fn guide(&self, id: &str) -> Option<(&Guide, &GuideView)> {
        let index = *self.guides.get(id)?;
        Some((self.book.guides.get(index)?, self.view.guides.get(index)?))
    }

    fn page<'a>(&'a self, root: &'a str) -> Page<'a> {
        Page {
            root,
            now: self.now,
            runs: &self.run_pages,
            kept: None,
        }
    }

    /// A page of our own with what it shows kept from mdBook.
    fn own_page(&self, path: &str, title: &str, assets: &str, part: &str) -> String {
        match &self.kept {
            Some(kept) => {
                let page = kept.page(path);
                let text = [
                    title,
                    &page.keep_assets(assets),
                    "\n",
                    &page.keep_part(part),
                ]
                .concat();
                kept.add(page, text)
            }
            None => [title, assets, part].concat(),
        }
    }

    /// A guide's values on the profile of the book.
    fn vars(&self, guide: &Guide) -> Map<String, Value> {
        if guide.front.vars.is_empty() && self.book.inventory.vars.is_empty() {
            return Map::new();
        }
        Values::new(&self.book.inventory, &self.view.profile, &self.vars)
            .of(guide)
            .vars
    }

    /// A chapter's page. `page` is where it goes: `guides/web.html`.
    pub fn chapter(
        &self,
        guide: &str,
        text: &str,
        page: &str,
        carrier: Carrier,
        markdown: MarkdownOptions,
    ) -> Chapter {
        let Some((guide, view)) = self.guide(guide) else {
            return Chapter::default();
        };
        let root = html::to_root(page);
        let kept = self.kept.as_ref().map(|kept| kept.page(page));
        let mut assets = carrier.lines(&root);
        if let Some(kept) = &kept {
            assets = kept.keep_assets(&assets);
        }
        let here = Page {
            kept: kept.as_ref(),
            ..self.page(&root)
        };
        let mut chapter = chapter::render(self, text, guide, view, &here, &assets, markdown);
        if let (Some(kept), Some(page)) = (&self.kept, kept) {
            chapter.text = chapter.text.map(|text| kept.add(page, text));
        }
        chapter
    }

    /// A chapter's name with its guide's sign; `None` of a chapter without steps.
    pub fn chapter_name(&self, guide: &str, name: &str) -> Option<String> {
        let (_, view) = self.guide(guide)?;
        (!view.steps.is_empty()).then(|| chapter::name(name, view))
    }

    /// The status page.
    ///
    /// # Errors
    /// When its template is wrong.
    pub fn status_page(&self, carrier: Carrier) -> Result<String, TemplateError> {
        status::render(self, &carrier.lines(""))
    }

    /// The pages of runs, newest first: path, name, content.
    ///
    /// # Errors
    /// When their template is wrong.
    pub fn run_pages(
        &self,
        carrier: Carrier,
    ) -> Result<Vec<(String, String, String)>, TemplateError> {
        let assets = carrier.lines("../");
        let mut pages = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            if let (Some(name), Some(content)) =
                (run::name(self, run), run::render(self, run, &assets)?)
            {
                pages.push((format!("runs/{run}.md"), name, content));
            }
        }
        Ok(pages)
    }

    /// The history's line of a run.
    fn line(&self, run: &str) -> Option<&HistoryLine> {
        let mut lines = self.recorded.records.lines.iter().rev();
        lines.find(|line| line.run == run)
    }
}

/// The runs that have a page, newest first: the newest, and those that hold some step's newest result.
fn shown_runs(recorded: &Recorded, view: &StatusView) -> Vec<String> {
    let steps = view.guides.iter().flat_map(|guide| &guide.steps);
    let held: HashSet<&str> = steps.filter_map(|step| step.run.as_deref()).collect();
    let mut lines: Vec<&HistoryLine> = recorded.records.lines.iter().collect();
    lines.sort_by(|a, b| (&b.finished_at, &b.run).cmp(&(&a.finished_at, &a.run)));
    let mut seen = HashSet::new();
    let shown = lines.iter().enumerate().filter(|(age, line)| {
        let is_name = line
            .run
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        is_name && (*age < RUN_PAGES_MAX || held.contains(line.run.as_str()))
    });
    shown
        .map(|(_, line)| line.run.clone())
        .filter(|run| seen.insert(run.clone()))
        .collect()
}

/// Where a step runs, as far as it is known before it ran.
fn target<'a>(guide: &'a Guide, step: &'a Step) -> &'a str {
    guide.on(step)
}
