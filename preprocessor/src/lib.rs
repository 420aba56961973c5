//! mdBook preprocessor: chapter to chapter, from recorded results. Reads; never executes, never writes.
//!
//! [`Runbook`] is the preprocessor; [`site::Site`] is what it shows: a book, what was recorded of it, and how it stands. Books are
//! found and read by [`disk`], records by [`records`].

pub mod assets;
pub mod diagram;
pub mod disk;
mod preprocess;
pub mod records;
pub mod site;

use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use runbook::diagnostic::{Diagnostic, Severity};
use runbook::model::{Book, Vars};
use runbook::report::Status;
use runbook::status::{Query, assess};

use self::disk::BookDir;
pub use self::preprocess::{NAME, Runbook, prepare};
use self::records::{Recorded, RecordsError};
use self::site::Site;
pub use self::site::check_diagrams;

/// A book that cannot be shown: what is wrong with it, for people.
#[derive(Debug)]
pub struct Invalid(pub Vec<Diagnostic>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&diagnostic.render(false))?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// Loads the site of the book in a folder.
///
/// # Errors
/// When the book is not there, is invalid ([`Invalid`]), or its records cannot be used.
pub fn load(root: &Path, profile: Option<&str>) -> Result<Site, anyhow::Error> {
    let dir = BookDir::find(Some(root)).map_err(told)?;
    let profile = profile.unwrap_or(&dir.options().profile).to_owned();
    let loaded = dir.load(&profile, &Vars::new()).map_err(told)?;
    for warning in loaded
        .diagnostics
        .iter()
        .filter(|found| found.severity == Severity::Warning)
    {
        tracing::warn!("{}:{}: {}", warning.file, warning.line, warning.message);
    }
    if !loaded.is_valid() {
        let errors = loaded
            .diagnostics
            .into_iter()
            .filter(|found| found.severity == Severity::Error);
        return Err(Invalid(errors.collect()).into());
    }
    let recorded = Recorded::load(dir.root())?;
    let title = dir.title().unwrap_or("Book").to_owned();
    Ok(Site::new(
        loaded.book,
        title,
        recorded,
        &profile,
        Timestamp::now(),
    ))
}

fn told(error: disk::DiskError) -> anyhow::Error {
    match (error.diagnostic(), error.hint()) {
        (Some(diagnostic), _) => Invalid(vec![diagnostic.clone()]).into(),
        (None, Some(hint)) => anyhow::Error::new(error).context(format!("hint: {hint}")),
        (None, None) => error.into(),
    }
}

/// How a book stands, for machines: `status --json`.
///
/// # Errors
/// When its records cannot be used.
pub fn status(dir: &BookDir, book: &Book, profile: &str) -> Result<Status, RecordsError> {
    let recorded = Recorded::load(dir.root())?;
    let now = Timestamp::now();
    let query = Query {
        profile,
        now,
        vars: &Vars::new(),
    };
    let text = now.to_string();
    let text = format!("{}Z", text.get(..19).unwrap_or(&text));
    Ok(assess(book, &recorded.records, &query).report(&text))
}
