//! A book that was found: where it is, what its `book.toml` says, and its chapters once they are read.

use std::path::{Path, PathBuf};

use mdbook_runbook::disk::{BookDir, DiskError};
use runbook::book::{Loaded, UNKNOWN_PROFILE};
use runbook::diagnostic::{Diagnostic, Severity};
use runbook::model::{Book, Vars};

use super::args::Global;
use super::failure::Failure;
use super::shell::Shell;
use crate::causes;

/// A book that was found.
#[derive(Debug)]
pub(super) struct Opened {
    dir: BookDir,
    profile: Option<String>,
}

/// A book whose chapters were read; it may be invalid.
#[derive(Debug)]
pub(super) struct Read {
    /// The book, as far as it could be read.
    pub book: Book,
    /// Every finding.
    pub diagnostics: Vec<Diagnostic>,
}

impl Opened {
    /// Finds the book: `--book`, else the nearest folder upward, or its `book/`, that holds a `book.toml`.
    ///
    /// # Errors
    /// When there is none, or its `book.toml` cannot be used.
    pub(super) fn find(global: &Global) -> Result<Self, Failure> {
        let dir = BookDir::find(global.book.as_deref()).map_err(|error| disk(&error))?;
        Ok(Self {
            dir,
            // A variable that is set to nothing gives none.
            profile: global.profile.clone().filter(|name| !name.is_empty()),
        })
    }

    /// The folder with `book.toml`.
    pub(super) fn root(&self) -> &Path {
        self.dir.root()
    }

    /// The nearest folder with `.git` upward, else the book's root.
    pub(super) fn repository(&self) -> PathBuf {
        self.dir.repository().to_owned()
    }

    /// The book's folder as found.
    pub(super) fn dir(&self) -> &BookDir {
        &self.dir
    }

    /// `--profile`, when it was given.
    pub(super) fn asked_profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// The profile: `--profile`, `RUNBOOK_PROFILE`, the book's own, `lab`.
    pub(super) fn profile(&self) -> String {
        self.profile
            .clone()
            .unwrap_or_else(|| self.dir.options().profile.clone())
    }

    /// Reads every chapter.
    ///
    /// # Errors
    /// When the summary cannot be read; what is wrong with chapters is in the result.
    pub(super) fn load(&self, vars: &Vars) -> Result<Read, Failure> {
        self.usable(self.dir.load(&self.profile(), vars))
    }

    /// Reads one chapter of the book only.
    ///
    /// # Errors
    /// As [`Opened::load`]; a guide that is not in the summary is an unknown ID.
    pub(super) fn load_guide(&self, guide: &str) -> Result<Read, Failure> {
        self.usable(self.dir.load_guide(guide, &self.profile()))
    }

    /// That the profile that was asked for does not exist.
    pub(super) fn unknown_profile(&self, diagnostics: &[Diagnostic]) -> Option<Failure> {
        self.profile.as_ref()?;
        let unknown = diagnostics
            .iter()
            .find(|finding| finding.rule == UNKNOWN_PROFILE)?;
        Some(Failure::usage(&unknown.message, unknown.hint.clone()))
    }

    /// What was read. A profile that was asked for and does not exist is wrong usage, not a wrong book.
    fn usable(&self, loaded: Result<Loaded, DiskError>) -> Result<Read, Failure> {
        let loaded = loaded.map_err(|error| disk(&error))?;
        match self.unknown_profile(&loaded.diagnostics) {
            Some(failure) => Err(failure),
            None => Ok(read(loaded)),
        }
    }
}

impl Read {
    /// The book, when it is valid; warnings are told.
    ///
    /// # Errors
    /// When it is not: its findings.
    pub(super) fn valid(self, shell: &Shell) -> Result<Book, Failure> {
        if self
            .diagnostics
            .iter()
            .any(|finding| finding.severity == Severity::Error)
        {
            return Err(Failure::Invalid(self.diagnostics));
        }
        if !self.diagnostics.is_empty() {
            shell.diagnostics(&self.diagnostics);
        }
        Ok(self.book)
    }

    /// Whether the book may not be used.
    pub(super) fn is_invalid(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    }
}

fn read(loaded: Loaded) -> Read {
    Read {
        book: loaded.book,
        diagnostics: loaded.diagnostics,
    }
}

/// Why a book cannot be read, as a command tells it.
pub(super) fn disk(error: &DiskError) -> Failure {
    match error.diagnostic() {
        Some(diagnostic) => Failure::Invalid(vec![diagnostic.clone()]),
        None => Failure::usage(causes::chain(error), error.hint()),
    }
}
