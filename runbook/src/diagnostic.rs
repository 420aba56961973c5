//! What is wrong with a book, where, and what to do: one type for errors and warnings of every check.
//!
//! A diagnostic is a value; [`Diagnostic::render`] gives the text for people (`error: …`, ` --> file:line:column`, the excerpt
//! with a caret, `hint: …`). Several are reported in one pass. Prints nothing.

use schemars::JsonSchema;
use serde::Serialize;

use crate::source::{Source, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The book is invalid: exit code 3.
    Error,
    /// The book may be used.
    Warning,
}

/// One finding about a book, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Diagnostic {
    /// The rule's name, kebab-case, stable: `unknown-key`, `duplicate-id`, `undefined-name`.
    pub rule: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// The file relative to the book's root.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// A lowercase fragment, the user's values in backticks.
    pub message: String,
    /// What to do, imperative.
    pub hint: Option<String>,
    /// The source line and the characters to underline; not part of the machine output.
    #[serde(skip)]
    #[schemars(skip)]
    pub excerpt: Option<Excerpt>,
}

/// A source line and the columns to underline in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The line's text.
    pub text: String,
    /// How many characters are underlined, at least 1.
    pub length: u32,
}

impl Diagnostic {
    /// An error at a span of a source.
    pub fn error(rule: &'static str, source: &Source, span: Span, message: impl Into<String>) -> Self {
        Self::at(rule, Severity::Error, source, span, message.into())
    }

    /// A warning at a span of a source.
    pub fn warning(rule: &'static str, source: &Source, span: Span, message: impl Into<String>) -> Self {
        Self::at(rule, Severity::Warning, source, span, message.into())
    }

    /// An error about a file as a whole (unreadable, not UTF-8): line 1, column 1, no excerpt.
    pub fn file(rule: &'static str, file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            rule,
            severity: Severity::Error,
            file: file.into(),
            line: 1,
            column: 1,
            message: message.into(),
            hint: None,
            excerpt: None,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn at(rule: &'static str, severity: Severity, source: &Source, span: Span, message: String) -> Self {
        let start = source.position(span.start);
        let end = source.position(span.end.max(span.start));
        let text = source.line(start.line).to_owned();
        let length = if end.line == start.line {
            end.column.saturating_sub(start.column)
        } else {
            (text.chars().count() as u32 + 1).saturating_sub(start.column)
        };
        Self {
            rule,
            severity,
            file: source.path().to_owned(),
            line: start.line,
            column: start.column,
            message,
            hint: None,
            excerpt: Some(Excerpt { text, length: length.max(1) }),
        }
    }
}
