//! HTML of ours that mdBook does not read: a mark stands for it in the chapter, and it takes the mark's place in the finished page.
//!
//! mdBook reads every element of a chapter's HTML into a tree, looks for words to be found in it, and makes its ids unique once more
//! for the page of the whole book: for a card per step that costs more than all the rest of a build. A comment costs nothing,
//! and the search finds what authors wrote instead of "passed" a thousand times. Only where files are written after mdBook has
//! finished (`runbook build`); stock mdBook gets the HTML itself.

mod print;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::files::{FilesError, read, rewrite};
use super::html::to_root;

/// The page of the whole book.
const PRINT: &str = "print.html";
/// The first chapter once more.
const INDEX: &str = "index.html";
/// What stands for a line end in HTML that is one line.
const LINE_END: &str = "&#10;";

/// What is kept of all pages.
#[derive(Debug)]
pub(super) struct Kept {
    /// What a mark begins with: nobody can write it into a chapter.
    begin: String,
    pages: Mutex<Vec<KeptPage>>,
}

/// What is kept of one page.
#[derive(Debug)]
pub(super) struct KeptPage {
    /// Where it goes: `guides/web.html`.
    path: String,
    /// The way from it to the root of the site.
    root: String,
    /// What each mark of it begins with.
    mark: String,
    /// The HTML of its marks, by their numbers.
    html: RefCell<Vec<String>>,
    /// Which of them link style and script: one of a kind is enough on one page.
    assets: RefCell<Option<usize>>,
}

impl Kept {
    pub(super) fn new() -> Self {
        let chance = RandomState::new().build_hasher().finish();
        Self {
            begin: format!("<!--runbook-{chance:016x}-"),
            pages: Mutex::default(),
        }
    }

    /// Begins a page; it counts once it is [added](Self::add).
    pub(super) fn page(&self, path: &str) -> KeptPage {
        KeptPage {
            path: path.to_owned(),
            root: to_root(path),
            mark: self.begin.clone(),
            html: RefCell::default(),
            assets: RefCell::default(),
        }
    }

    /// Adds a page; its marks in `text` say from now on which page they are of.
    pub(super) fn add(&self, page: KeptPage, text: String) -> String {
        if page.html.borrow().is_empty() {
            return text;
        }
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let numbered = text.replace(&page.mark, &format!("{}{}-", page.mark, pages.len()));
        pages.push(page);
        numbered
    }

    /// Puts everything into the pages that mdBook has written.
    pub(super) fn fill(&self, dest: &Path) -> Result<(), FilesError> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.is_empty() {
            return Ok(());
        }
        let paths: BTreeSet<&str> = pages.iter().map(|page| page.path.as_str()).collect();
        for path in &paths {
            let text = read(dest, path)?.ok_or_else(|| FilesError::Missing {
                path: dest.join(path),
            })?;
            rewrite(dest, path, self.filled(&pages, &text).as_bytes())?;
        }
        if let Some(text) = read(dest, INDEX)?.filter(|_| !paths.contains(INDEX)) {
            rewrite(dest, INDEX, self.filled(&pages, &text).as_bytes())?;
        }
        // `[output.html.print] enable = false`: there is none.
        if let Some(text) = read(dest, PRINT)? {
            rewrite(dest, PRINT, self.printed(&pages, &text).as_bytes())?;
        }
        Ok(())
    }

    fn filled(&self, pages: &[KeptPage], text: &str) -> String {
        let mut out = String::with_capacity(2 * text.len());
        for part in self.parts(text) {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Mark { page, number, .. } => {
                    let html = pages.get(page).map(|page| page.html.borrow());
                    if let Some(html) = html.as_ref().and_then(|html| html.get(number)) {
                        out.push_str(html);
                    }
                }
            }
        }
        out
    }

    /// A finished text as it was written and the marks in it.
    fn parts<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Part<'t>> {
        let begin = self.begin.as_str();
        let mut pieces = text.split(begin);
        let first = pieces.next().unwrap_or_default();
        std::iter::once(Part::Text(first)).chain(pieces.flat_map(move |piece| match mark(piece) {
            Some((page, number, rest)) => [Part::Mark { page, number }, Part::Text(rest)],
            None => [Part::Text(begin), Part::Text(piece)],
        }))
    }
}

/// A part of a finished page.
enum Part<'t> {
    Text(&'t str),
    Mark { page: usize, number: usize },
}

/// Reads what follows a mark's beginning: page, number and what stands behind it.
fn mark(text: &str) -> Option<(usize, usize, &str)> {
    let (mark, rest) = text.split_once("-->")?;
    let (page, number) = mark.split_once('-')?;
    Some((page.parse().ok()?, number.parse().ok()?, rest))
}

impl KeptPage {
    /// Keeps HTML and writes its mark.
    pub(super) fn keep(&self, out: &mut String, html: String) {
        let mut kept = self.html.borrow_mut();
        let _ = write!(out, "{}{}-->", self.mark, kept.len());
        // A line may end here, as on the pages that mdBook makes of it.
        kept.push(if html.contains(LINE_END) {
            html.replace(LINE_END, "\n")
        } else {
            html
        });
    }

    /// Keeps the links to style and script, lines as a chapter carries them.
    pub(super) fn keep_assets(&self, lines: &str) -> String {
        let html = lines.trim_end();
        if html.is_empty() {
            return String::new();
        }
        *self.assets.borrow_mut() = Some(self.html.borrow().len());
        let mut out = String::new();
        self.keep(&mut out, html.to_owned());
        out.push('\n');
        out
    }

    /// Keeps a part of a page but for its headings, which mdBook makes links of.
    pub(super) fn keep_part(&self, part: &str) -> String {
        let mut out = String::new();
        let mut html = String::new();
        let flush = |html: &mut String, out: &mut String| {
            if !html.is_empty() {
                self.keep(out, std::mem::take(html));
                out.push_str("\n\n");
            }
        };
        for line in part.split_inclusive('\n') {
            if line.starts_with("<h2 ") {
                flush(&mut html, &mut out);
                out.push_str(line);
                out.push('\n');
            } else {
                html.push_str(line);
            }
        }
        flush(&mut html, &mut out);
        out
    }
}

#[cfg(test)]
mod tests;
