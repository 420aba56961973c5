//! The preprocessor itself: a book in, the same book with cards, heads, the status page and run pages out.
//!
//! The same code serves stock mdBook, which starts `mdbook-runbook` and talks JSON with it, and `runbook build`, which calls it in
//! process with a site that it has loaded already. Executes nothing, writes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mdbook_preprocessor::book::{Book, BookItem, Chapter};
use mdbook_preprocessor::config::Config;
use mdbook_preprocessor::errors::Error;
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};
use runbook::diagnostic::{Diagnostic, Severity};
use runbook::markdown::MarkdownOptions;

use crate::assets::{self, Carrier};
use crate::disk::{guide_id, markdown_options, status_page_taken};
use crate::site::Site;

/// The preprocessor's name: its table in `book.toml` is `[preprocessor.runbook]`.
pub const NAME: &str = "runbook";

/// The preprocessor.
pub struct Runbook {
    site: Option<Arc<Site>>,
    profile: Option<String>,
}

impl Runbook {
    /// For `runbook build`: of a book that was loaded, checked and assessed. Its pages link the style and the script that
    /// [`Site::write_files`] writes.
    pub fn new(site: Arc<Site>) -> Self {
        Self {
            site: Some(site),
            profile: None,
        }
    }

    /// For stock mdBook: the book is loaded from where mdBook says it is. `profile` instead of the book's own.
    pub fn external(profile: Option<String>) -> Self {
        Self {
            site: None,
            profile,
        }
    }
}

/// What `runbook build` must set before mdBook loads a book whose `book.toml` does not say it: we read the chapters before their
/// includes are expanded.
///
/// # Errors
/// When the table is not one.
pub fn prepare(config: &mut Config) -> Result<(), Error> {
    let said = |key: &str| config.get::<Vec<String>>(&format!("preprocessor.{NAME}.{key}"));
    if said("before")?.is_none() && said("after")?.is_none() {
        config.set(format!("preprocessor.{NAME}.before"), vec!["links"])?;
    }
    Ok(())
}

impl Preprocessor for Runbook {
    fn name(&self) -> &str {
        NAME
    }

    fn supports_renderer(&self, renderer: &str) -> Result<bool, Error> {
        Ok(renderer == "html")
    }

    fn run(&self, context: &PreprocessorContext, mut book: Book) -> Result<Book, Error> {
        let (site, carrier) = match &self.site {
            Some(site) => (Arc::clone(site), Carrier::Linked),
            None => {
                let site = crate::load(&context.root, self.profile.as_deref())?;
                (Arc::new(site.without_files()), Carrier::Inline)
            }
        };
        let carrier = if assets::is_installed(&context.config) {
            Carrier::Installed
        } else {
            carrier
        };
        if context.renderer != "html" {
            return Ok(book);
        }
        let markdown = markdown_options(&context.config);
        let mut findings = Vec::new();
        book.for_each_chapter_mut(|chapter| {
            findings.extend(rewrite(&site, chapter, carrier, markdown));
        });
        refuse(findings)?;
        if site.has_steps() {
            add_pages(&site, &mut book, carrier)?;
        }
        Ok(book)
    }
}

/// Ends the build when there is an error; warnings are told.
fn refuse(findings: Vec<Diagnostic>) -> Result<(), Error> {
    let (errors, warnings): (Vec<_>, Vec<_>) = findings
        .into_iter()
        .partition(|finding| finding.severity == Severity::Error);
    for warning in warnings {
        tracing::warn!("{}:{}: {}", warning.file, warning.line, warning.message);
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(crate::Invalid(errors).into())
    }
}

/// Puts the cards into a chapter and its guide's sign behind its name.
fn rewrite(
    site: &Site,
    chapter: &mut Chapter,
    carrier: Carrier,
    markdown: MarkdownOptions,
) -> Vec<Diagnostic> {
    let (Some(source), Some(path)) = (&chapter.source_path, &chapter.path) else {
        return Vec::new();
    };
    let id = guide_id(&slashed(source));
    let page = slashed(&path.with_extension("html"));
    let rendered = site.chapter(&id, &chapter.content, &page, carrier, markdown);
    if let Some(text) = rendered.text {
        chapter.content = text;
    }
    if let Some(name) = site.chapter_name(&id, &chapter.name) {
        chapter.name = name;
    }
    rendered.findings
}

/// Adds the status page and below it the runs. They are chapters, so that stock mdBook has them too; the style hides the runs from
/// the sidebar, where they would only be noise.
fn add_pages(site: &Site, book: &mut Book, carrier: Carrier) -> Result<(), Error> {
    let taken = |path: &str| {
        book.chapters()
            .any(|chapter| chapter.path.as_deref() == Some(Path::new(path)))
    };
    if taken("status.md") {
        // Of the summary's chapters the check has said so already; another preprocessor may have added one.
        return Err(crate::Invalid(vec![status_page_taken("status.md")]).into());
    }
    let mut status = page(
        "Status",
        site.status_page(carrier)?,
        "status.md",
        Vec::new(),
    );
    for (path, name, content) in site.run_pages(carrier)? {
        let run = page(&name, content, &path, vec!["Status".to_owned()]);
        status.sub_items.push(BookItem::Chapter(run));
    }
    book.push_item(BookItem::Separator);
    book.push_item(BookItem::Chapter(status));
    Ok(())
}

fn page(name: &str, content: String, path: &str, parents: Vec<String>) -> Chapter {
    let mut chapter = Chapter::new(name, content, PathBuf::from(path), parents);
    // There is no source to edit.
    chapter.source_path = None;
    chapter
}

/// A path with `/`.
fn slashed(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}
