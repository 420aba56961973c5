//! Where a page stands: the way from it to the others, and the time.

use std::collections::HashSet;

use jiff::Timestamp;

use super::kept::KeptPage;

/// What is made stands on this page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page<'a> {
    /// The way to the site's root: `../`.
    pub root: &'a str,
    /// Now, for ages.
    pub now: Timestamp,
    /// The runs that have a page.
    pub runs: &'a HashSet<String>,
    /// What keeps its HTML from mdBook.
    pub kept: Option<&'a KeptPage>,
}

impl Page<'_> {
    /// The page of a run, if it has one.
    pub(super) fn run(&self, run: &str) -> Option<String> {
        self.runs
            .contains(run)
            .then(|| format!("{}runs/{run}.html", self.root))
    }

    /// The page of a guide.
    pub(super) fn guide(&self, guide: &str) -> String {
        format!("{}{guide}.html", self.root)
    }
}
