//! Collects what is wrong with one file, so that several errors come out of one pass.

use crate::diagnostic::Diagnostic;
use crate::read::ReadError;
use crate::source::{Source, Span};

/// The diagnostics of one source so far.
#[derive(Debug)]
pub(crate) struct Findings {
    /// The file they are about.
    pub(crate) source: Source,
    /// In the order in which they were found.
    pub(crate) list: Vec<Diagnostic>,
}

impl Findings {
    pub(crate) fn new(source: Source) -> Self {
        Self {
            source,
            list: Vec::new(),
        }
    }

    /// Reports an error with a hint.
    pub(crate) fn hinted(
        &mut self,
        rule: &'static str,
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.list
            .push(Diagnostic::error(rule, &self.source, span, message).hint(hint));
    }

    /// Reports a warning with a hint.
    pub(crate) fn warning(
        &mut self,
        rule: &'static str,
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.list
            .push(Diagnostic::warning(rule, &self.source, span, message).hint(hint));
    }

    /// Reports an error with a hint where there is one.
    pub(crate) fn maybe_hinted(
        &mut self,
        rule: &'static str,
        span: Span,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let mut diagnostic = Diagnostic::error(rule, &self.source, span, message);
        diagnostic.hint = hint;
        self.list.push(diagnostic);
    }

    /// Reports what a reader refused.
    pub(crate) fn read(&mut self, error: ReadError) {
        self.maybe_hinted(error.rule, error.span, error.message, error.hint);
    }

    /// Takes a reader's result; what it refused is reported.
    pub(crate) fn take<T>(&mut self, result: Result<T, ReadError>) -> Option<T> {
        result.map_err(|error| self.read(error)).ok()
    }
}
