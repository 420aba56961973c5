//! The files beside the pages: what mdBook does not write. Only `runbook build` calls this, after mdBook has finished.
//!
//! `status.json`, `history.jsonl`, a badge per guide, the feed of changes, `llms.txt`, the journals and JUnit reports of runs, and the
//! style and script of pages that link them; and what `kept` has kept for the pages themselves.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use runbook::status::GuideView;
use runbook::values::LAB;
use serde::Serialize;
use thiserror::Error;

use super::Site;
use super::badge::badge;
use super::feed::render_feed;
use super::guides::Class;
use super::head::totals;
use super::html::address;
use super::templates::{TemplateError, render};
use crate::assets;

/// How large a journal may be to be published.
const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Makes a run's JUnit report from its journal.
pub type Junit<'a> = &'a dyn Fn(&Path) -> Option<Vec<u8>>;

/// Why the files cannot be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FilesError {
    /// The disk refuses.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A page that mdBook wrote cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// mdBook did not write a page.
    #[error("mdbook did not write `{}`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A template of ours is wrong.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A value of ours cannot be told as JSON.
    #[error("the status cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

#[derive(Serialize)]
struct Llms {
    title: String,
    guides: Vec<LlmsGuide>,
}

#[derive(Serialize)]
struct LlmsGuide {
    title: String,
    id: String,
    page: String,
    told: String,
}

impl Site {
    /// Writes the files beside the pages into the site's folder. `book_root` is where the records are; `junit` makes a run's report.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_files(
        &self,
        dest: &Path,
        book_root: &Path,
        junit: Option<Junit<'_>>,
    ) -> Result<(), FilesError> {
        for (name, text) in assets::linked() {
            write(dest, name, text.as_bytes())?;
        }
        if let Some(kept) = &self.kept {
            kept.fill(dest)?;
        }
        let drawn = std::mem::take(&mut *self.drawn());
        for (name, svg) in drawn {
            write(dest, &name, svg.as_bytes())?;
        }
        if !self.has_steps() {
            return Ok(());
        }
        let mut status = serde_json::to_string(&self.view.report(&now(self)))?;
        status.push('\n');
        write(dest, "status.json", status.as_bytes())?;
        write(dest, "history.jsonl", self.recorded.history.as_bytes())?;
        write(dest, "feed.xml", render_feed(self)?.as_bytes())?;
        self.badges(dest)?;
        write(dest, "llms.txt", self.llms()?.as_bytes())?;
        self.runs(dest, book_root, junit)
    }

    fn views(&self) -> impl Iterator<Item = &GuideView> {
        self.view
            .guides
            .iter()
            .filter(|view| !view.steps.is_empty())
    }

    fn badges(&self, dest: &Path) -> Result<(), FilesError> {
        let is_lab = |view: &GuideView| view.profile.as_deref() == Some(LAB);
        for view in self.views() {
            let svg = badge(&view.title, Class::of(view), view.state, is_lab(view))?;
            write(
                dest,
                &format!("badges/{}.svg", view.id.guide),
                svg.as_bytes(),
            )?;
        }
        if let Some(worst) = self.views().min_by_key(|view| Class::of(view)) {
            let svg = badge(
                &self.title,
                Class::of(worst),
                worst.state,
                self.views().any(is_lab),
            )?;
            write(dest, "badge.svg", svg.as_bytes())?;
        }
        Ok(())
    }

    fn llms(&self) -> Result<String, FilesError> {
        let guide = |view: &GuideView| LlmsGuide {
            title: view.title.clone(),
            id: view.id.to_string(),
            page: address(&format!("{}.html", view.id.guide)),
            told: format!("{}; {}", view.word(), totals(view)),
        };
        let values = Llms {
            title: self.title.clone(),
            guides: self.views().map(guide).collect(),
        };
        Ok(render("llms.txt", &values)?)
    }

    fn runs(
        &self,
        dest: &Path,
        book_root: &Path,
        junit: Option<Junit<'_>>,
    ) -> Result<(), FilesError> {
        for run in self
            .runs
            .iter()
            .filter(|run| self.recorded.journals.contains_key(*run))
        {
            let journal = book_root
                .join(".runbook")
                .join("runs")
                .join(run)
                .join("events.jsonl");
            let size = fs::metadata(&journal).map_or(u64::MAX, |data| data.len());
            if size > JOURNAL_BYTES_MAX {
                continue;
            }
            let path = dest.join("runs").join(format!("{run}.jsonl"));
            make_folder(&path)?;
            fs::copy(&journal, &path).map_err(|source| FilesError::Write { path, source })?;
            if let Some(report) = junit.and_then(|junit| junit(&journal)) {
                write(dest, &format!("runs/{run}.xml"), &report)?;
            }
        }
        Ok(())
    }
}

fn now(site: &Site) -> String {
    let now = site.now.to_string();
    format!("{}Z", now.get(..19).unwrap_or(&now))
}

fn write(dest: &Path, name: &str, bytes: &[u8]) -> Result<(), FilesError> {
    let path = dest.join(name);
    make_folder(&path)?;
    fs::write(&path, bytes).map_err(|source| FilesError::Write { path, source })
}

/// Writes over a file that is there: cheaper than to empty it first.
pub(super) fn rewrite(dest: &Path, name: &str, bytes: &[u8]) -> Result<(), FilesError> {
    let path = dest.join(name);
    let written = fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.set_len(bytes.len() as u64)
        });
    written.map_err(|source| FilesError::Write { path, source })
}

/// The text of a file of the site; `None` when there is none.
pub(super) fn read(dest: &Path, name: &str) -> Result<Option<String>, FilesError> {
    let path = dest.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FilesError::Read { path, source }),
    }
}

fn make_folder(path: &Path) -> Result<(), FilesError> {
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    fs::create_dir_all(folder).map_err(|source| FilesError::Write {
        path: folder.to_owned(),
        source,
    })
}
