//! Why a diagram cannot be drawn, and where in its source that is.

use std::ops::Range;

use merman::{ParseDiagnosticSpanKind, RenderError};

/// Why a diagram cannot be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DiagramError {
    /// What is wrong.
    pub message: String,
    /// Where, as bytes of the diagram's source (the text of its fence).
    pub span: Range<usize>,
    /// What to do.
    pub hint: String,
}

/// The kinds that are drawn, by the word that begins them.
pub const KINDS: &[&str] = &[
    "flowchart",
    "sequenceDiagram",
    "stateDiagram-v2",
    "classDiagram",
    "erDiagram",
    "gantt",
];

/// How many things that a parser would have taken are named.
const EXPECTED_MAX: usize = 5;

/// The error with its place in `diagram`; `check` parses a text and says what is wrong with it.
pub(super) fn of(
    error: &RenderError,
    diagram: &str,
    check: &dyn Fn(&str) -> Option<String>,
) -> DiagramError {
    let RenderError::Parse(parse) = error else {
        return other(error, diagram);
    };
    let details = parse.terminal_diagnostic_details();
    let kinds = KINDS.join("`, `");
    if details.code.ends_with("no_diagram_detected") {
        let word = diagram.split_whitespace().next().unwrap_or_default();
        return DiagramError {
            message: format!("`{word}` begins no diagram"),
            span: first_line(diagram),
            hint: format!("begin with one of `{kinds}`"),
        };
    }
    if details.code.ends_with("unsupported_diagram") {
        let kind = details.diagram_type.unwrap_or_default();
        return DiagramError {
            message: format!("a diagram of the kind `{kind}` is not drawn here"),
            span: first_line(diagram),
            hint: format!("draw it as one of `{kinds}`, or put a picture in its place"),
        };
    }
    let text = parse.terminal_safe_message();
    let message = plain(&text);
    if message.starts_with("unexpected end of input")
        && let Some(span) = unclosed(diagram)
    {
        let block = diagram[span.clone()]
            .split_whitespace()
            .next()
            .unwrap_or_default();
        return DiagramError {
            message: format!("`{block}` has no `end`"),
            span,
            hint: "close it with a line `end`".to_owned(),
        };
    }
    let exact = details
        .span
        .filter(|_| details.span_kind == Some(ParseDiagnosticSpanKind::Exact))
        .map(|span| span.start..span.end)
        // The end of the text is where it was noticed, seldom where it is.
        .filter(|span| span.start < diagram.trim_end().len());
    let span = exact
        .and_then(|span| within(diagram, span))
        .or_else(|| culprit(diagram, &text, check))
        .or_else(|| {
            details
                .span
                .and_then(|span| within(diagram, span.start..span.end))
        })
        .unwrap_or_else(|| first_line(diagram));
    DiagramError {
        hint: hint(&message),
        message,
        span,
    }
}

/// The last block that was opened and not closed.
fn unclosed(diagram: &str) -> Option<Range<usize>> {
    let mut open = Vec::new();
    let mut start = 0;
    for line in diagram.split_inclusive('\n') {
        let span = trimmed(diagram, start..start + line.len());
        start += line.len();
        match diagram[span.clone()].split_whitespace().next() {
            Some(
                "subgraph" | "loop" | "alt" | "opt" | "par" | "critical" | "break" | "rect" | "box",
            ) => open.push(span),
            Some("end") => {
                open.pop();
            }
            _ => {}
        }
    }
    open.pop()
}

/// An error of drawing, not of the text.
fn other(error: &RenderError, diagram: &str) -> DiagramError {
    let (message, hint) = match error {
        RenderError::NoDiagram => (
            "there is no diagram in this block".to_owned(),
            "write one, or remove the block",
        ),
        RenderError::Cancelled(_) => (
            format!(
                "the diagram was not drawn within {} s",
                super::DRAWING_SECONDS_MAX
            ),
            "split it into smaller ones",
        ),
        RenderError::ResourceLimitExceeded(limit) => (
            format!(
                "the diagram is too large: {} {}, at most {} are drawn",
                limit.actual, limit.id, limit.maximum
            ),
            "split it into smaller ones",
        ),
        error => (plain(&error.to_string()), "simplify the diagram"),
    };
    DiagramError {
        message,
        span: first_line(diagram),
        hint: hint.to_owned(),
    }
}

/// The text without what merman puts before it, beginning like our own.
fn plain(text: &str) -> String {
    let text = match text
        .strip_prefix("Diagram parse error (")
        .and_then(|rest| rest.split_once("): "))
    {
        Some((_, rest)) => rest,
        None => text,
    };
    let text = text.trim_end_matches('.').replace('\n', " ");
    // A list of everything that a parser would take helps nobody.
    let text = match text.split_once("; expected ") {
        Some((found, expected)) if expected.split(", ").count() > EXPECTED_MAX => found.to_owned(),
        _ => text,
    };
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        // `EOF inside …` stays.
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            let rest = &text[first.len_utf8()..];
            first.to_lowercase().chain(rest.chars()).collect()
        }
        _ => text,
    }
}

fn hint(message: &str) -> String {
    let hint = if message.contains("quote it") {
        "put the label in double quotes: `A[\"text (with signs)\"]`"
    } else if message.contains("nterminated")
        || message.contains("EOF")
        || message.contains("missing")
    {
        "close what is open on this line"
    } else if message.contains("front-matter") {
        "write Mermaid's own options between two `---` lines at the top"
    } else {
        "compare the line with Mermaid's syntax; labels with brackets or signs want double quotes"
    };
    hint.to_owned()
}

/// The first line that is wrong in the same way when it stands alone.
fn culprit(
    diagram: &str,
    text: &str,
    check: &dyn Fn(&str) -> Option<String>,
) -> Option<Range<usize>> {
    let mut start = 0;
    let mut header = None;
    for line in diagram.split_inclusive('\n') {
        let span = trimmed(diagram, start..start + line.len());
        start += line.len();
        let line = &diagram[span.clone()];
        if line.is_empty() || line.starts_with("%%") {
            continue;
        }
        let Some(header) = header else {
            header = Some(line);
            continue;
        };
        if check(&format!("{header}\n{line}\n")).as_deref() == Some(text) {
            return Some(span);
        }
    }
    None
}

fn within(diagram: &str, span: Range<usize>) -> Option<Range<usize>> {
    let end = span.end.clamp(span.start, diagram.len());
    let fits = span.start < diagram.trim_end().len()
        && diagram.is_char_boundary(span.start)
        && diagram.is_char_boundary(end);
    if !fits {
        return None;
    }
    if diagram[span.start..end].trim().is_empty() {
        // A line end that came too early: the line is what must be looked at.
        let before = diagram[..span.start].trim_end();
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        return Some(trimmed(diagram, line..before.len()));
    }
    Some(span.start..end)
}

/// The first line that says something.
fn first_line(diagram: &str) -> Range<usize> {
    let start = diagram.len() - diagram.trim_start().len();
    let end = diagram[start..]
        .find('\n')
        .map_or(diagram.len(), |end| start + end);
    trimmed(diagram, start..end)
}

fn trimmed(text: &str, span: Range<usize>) -> Range<usize> {
    let part = &text[span.clone()];
    let start = span.start + part.len() - part.trim_start().len();
    start..start + part.trim().len()
}
