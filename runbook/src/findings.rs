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

    /// Reports an error with a hint, the rule's usual one where there is none.
    pub(crate) fn maybe_hinted(
        &mut self,
        rule: &'static str,
        span: Span,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let mut diagnostic = Diagnostic::error(rule, &self.source, span, message);
        diagnostic.hint = hint.or_else(|| usual_hint(rule).map(str::to_owned));
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

/// What to do where the place itself does not say it.
fn usual_hint(rule: &str) -> Option<&'static str> {
    match rule {
        "undefined-name" => Some("add it to `vars` of the guide or to the inventory"),
        "invalid-template" => Some(
            "write an expression, as in `{{ vars.name }}`; put `template: off` on the step when its body has `{{` of its own",
        ),
        "unknown-ref" => Some("`runbook list` shows the IDs that there are"),
        _ => None,
    }
}
