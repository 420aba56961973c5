//! The site of a book: mdBook in process with our preprocessor, then the files beside the pages.
//!
//! The same `book.toml` as for stock `mdbook build`: the preprocessor of that name is replaced by the one in this program. Runs
//! nothing; what a page shows was recorded before.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use mdbook_driver::MDBook;
use mdbook_driver::config::Config;
use mdbook_runbook::disk::{BookDir, DiskError};
use mdbook_runbook::records::{Recorded, RecordsError};
use mdbook_runbook::site::{FilesError, Site};
use mdbook_runbook::{Invalid, NAME, Runbook, prepare};
use runbook::diagnostic::Diagnostic;
use runbook::model::Vars;
use thiserror::Error;

use crate::history::{self, HistoryError};
use crate::journal;
use crate::report::junit::Junit;

/// Why a site cannot be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The book is invalid.
    #[error("the book is invalid")]
    Invalid(Vec<Diagnostic>),
    /// The book cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The records are of a newer version, or broken.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// A run without an end cannot be added to the history.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// mdBook cannot build it.
    #[error("mdbook cannot build the site: {0}")]
    Mdbook(String),
    /// The disk takes nothing of what mdBook writes: it is full, read-only or somebody else's.
    #[error("the site cannot be written: {0}")]
    Unwritable(String),
    /// A file beside the pages cannot be written.
    #[error(transparent)]
    Files(#[from] FilesError),
}

/// How a site is built.
#[derive(Debug, Clone, Copy)]
pub struct How<'a> {
    /// The profile whose results are shown.
    pub profile: &'a str,
    /// Where the site is written, instead of the book's `build-dir`.
    pub dest: Option<&'a Path>,
    /// The endpoint at which pages listen for reloads.
    pub reload: Option<&'a str>,
}

/// A site that was built.
#[derive(Debug)]
pub struct Built {
    /// The folder of its pages.
    pub pages: PathBuf,
    /// What it was built from. Whoever ends after the build need not take it apart.
    pub site: Arc<Site>,
}

/// Builds the site.
///
/// # Errors
/// When the book or its records cannot be used, or the site cannot be written.
pub fn build(dir: &BookDir, how: How<'_>) -> Result<Built, BuildError> {
    let loaded = dir.load(how.profile, &Vars::new())?;
    if !loaded.is_valid() {
        return Err(BuildError::Invalid(loaded.diagnostics));
    }
    // Runs whose runner was killed are part of the history before it is published.
    history::recover(dir.root())?;
    let recorded = Recorded::load(dir.root())?;
    let title = dir.title().unwrap_or("Book").to_owned();
    let site = Arc::new(Site::new(
        loaded.book,
        title,
        recorded,
        how.profile,
        Timestamp::now(),
    ));
    let pages = render(dir, how, &site).map_err(mdbook)?;
    site.write_files(&pages, dir.root(), Some(&junit))?;
    Ok(Built { pages, site })
}

fn render(dir: &BookDir, how: How<'_>, site: &Arc<Site>) -> anyhow::Result<PathBuf> {
    let mut config = Config::from_disk(dir.root().join("book.toml"))?;
    config.update_from_env()?;
    prepare(&mut config)?;
    if let Some(dest) = how.dest {
        config.set("build.build-dir", std::path::absolute(dest)?)?;
    }
    if let Some(endpoint) = how.reload {
        config.set("output.html.live-reload-endpoint", endpoint)?;
    }
    // With other renderers beside it, HTML goes to a folder of its own: only HTML is ours to build.
    for other in other_renderers(&config) {
        config.set(format!("output.{other}.optional"), true)?;
    }
    let mut book = MDBook::load_with_config(dir.root(), config)?;
    book.with_preprocessor(Runbook::new(Arc::clone(site)));
    book.build()?;
    Ok(book.build_dir_for("html"))
}

fn other_renderers(config: &Config) -> Vec<String> {
    let table: Option<serde_json::Map<String, serde_json::Value>> =
        config.get("output").ok().flatten();
    table
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
        .filter(|name| name != "html")
        .collect()
}

/// What mdBook says, without our own findings wrapped in its words.
fn mdbook(error: anyhow::Error) -> BuildError {
    match error.downcast::<Invalid>() {
        Ok(Invalid(diagnostics)) => BuildError::Invalid(diagnostics),
        Err(error) => {
            let message = format!("{error:#}").replace(&format!("preprocessor \"{NAME}\": "), "");
            if error.chain().any(is_of_the_disk) {
                BuildError::Unwritable(message)
            } else {
                BuildError::Mdbook(message)
            }
        }
    }
}

fn is_of_the_disk(cause: &(dyn std::error::Error + 'static)) -> bool {
    let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(
        kind,
        Some(
            ErrorKind::StorageFull
                | ErrorKind::QuotaExceeded
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::PermissionDenied
        )
    )
}

/// The JUnit of a run, from its journal.
fn junit(path: &Path) -> Option<Vec<u8>> {
    let mut report = Junit::default();
    for event in journal::read(path).ok()? {
        report.event(&event);
    }
    report.document().ok().map(String::into_bytes)
}
