//! Templates: `{{ expression }}` in a text, with the expressions of Tera 2 (LANGUAGE section 1, "Templates").
//!
//! Only `{{` before a letter or `[` opens a template; everything else is text, `{%` and `{#` too. So each expression is
//! found here, its names are known before anything runs ([`names()`]), and Tera evaluates it alone ([`Scope`]), which keeps
//! its type. Knows no steps and no inventory: a scope holds values under roots.

mod evaluate;
mod filters;
mod names;
mod rewrite;
mod scope;
mod script;
mod token;

use std::fmt;
use std::ops::Range;

pub use self::evaluate::check_expression;
pub use self::names::{Path, Segment, SegmentKind, names};
pub use self::scope::Scope;
pub(crate) use self::scope::inside_text;
pub use self::script::ScriptError;

/// One `{{ … }}` of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression<'a> {
    /// The whole with its braces.
    pub range: Range<usize>,
    /// What stands between the braces.
    pub source: &'a str,
    /// Where that begins.
    pub offset: usize,
    /// Whether `}}` was found; without it the source goes on to the end of the text.
    pub closed: bool,
}

/// What is wrong with a template, and where in its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// The characters that are meant.
    pub range: Range<usize>,
    /// A lowercase fragment, the user's values in backticks.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl TemplateError {
    /// An error at a range of the text.
    pub fn new(range: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            range,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error, its range moved on by `offset`.
    #[must_use]
    pub fn moved(mut self, offset: usize) -> Self {
        self.range = self.range.start + offset..self.range.end + offset;
        self
    }
}

/// The hint for a body whose `{{` are not ours.
pub const TEMPLATE_OFF_HINT: &str =
    "put `template: off` on the step when its body has `{{` of its own";

/// Whether a text has a template.
pub fn has_template(text: &str) -> bool {
    opening(text, 0).is_some()
}

/// Every template of a text, in order.
pub fn expressions(text: &str) -> Vec<Expression<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = opening(text, at) {
        let offset = start + 2;
        let (end, closed) = match end_of(text, offset) {
            Some(end) => (end, true),
            None => (text.len(), false),
        };
        let range = start..if closed { end + 2 } else { end };
        at = range.end;
        found.push(Expression {
            range,
            source: &text[offset..end],
            offset,
            closed,
        });
    }
    found
}

/// Everything that is wrong with the templates of a text as far as it shows without values: brackets, grammar, filters.
pub fn check(text: &str) -> Vec<TemplateError> {
    expressions(text)
        .iter()
        .filter_map(|expression| {
            if !expression.closed {
                return Some(unclosed(expression));
            }
            check_expression(expression.source)
                .err()
                .map(|error| error.moved(expression.offset))
        })
        .collect()
}

fn unclosed(expression: &Expression<'_>) -> TemplateError {
    TemplateError::new(
        expression.range.start..expression.range.start + 2,
        "`{{` is not closed by `}}`",
    )
    .hint(TEMPLATE_OFF_HINT)
}

/// Where the next template opens: `{{`, blanks, a letter or `[`.
fn opening(text: &str, from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(found) = text.get(at..)?.find("{{") {
        let start = at + found;
        let inner = text[start + 2..].trim_start_matches(|c: char| c.is_ascii_whitespace());
        if inner.starts_with(|c: char| c.is_alphabetic() || c == '[') {
            return Some(start);
        }
        // `{{{x}}` opens at its second brace.
        at = start + 1;
    }
    None
}

/// Where the `}}` stands that closes a template: outside quotes and the braces of maps, else the first one at all.
fn end_of(text: &str, from: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = from;
    while let Some(token) = token::next(text, at) {
        if token.is("{") {
            depth += 1;
        } else if token.is("}") {
            if depth == 0 {
                if text[token.range.end..].starts_with('}') {
                    return Some(token.range.start);
                }
                break;
            }
            depth -= 1;
        } else if matches!(
            token.kind,
            token::Kind::OpenText(_) | token::Kind::Unknown(_)
        ) {
            break;
        }
        at = token.range.end;
    }
    text[from..].find("}}").map(|found| from + found)
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests;
