//! `runbook fmt`: a chapter's steps written in one way, everything else as it was.
//!
//! What is written anew are the options of native fences (as `#| key: value` lines) and the bodies of typed ones: two blanks of
//! indentation, single quotes, flow style where it was written so and the line has no more than [`COLUMNS_MAX`] columns, else
//! block style; `id`, `title` and `on` first, the other keys in the author's order. Prose, scripts, manifests, comments and line
//! ends stay. A step is changed only when what it says is proved to be the same; a chapter with errors is left alone.

mod write;

use crate::diagnostic::{Diagnostic, Severity};
use crate::mapped::Mapped;
use crate::markdown::{self, Fence, MarkdownOptions};
use crate::node::{Entry, Kind, Node};
use crate::source::{Source, Span};
use crate::yaml;

/// How many columns a line in flow style may have, with everything that stands before it.
pub const COLUMNS_MAX: usize = 100;

/// The keys that stand first, in this order.
const FIRST: &[&str] = &["id", "title", "on"];

/// Formats a chapter of a book with these options.
///
/// # Errors
///
/// What is wrong with the chapter's Markdown or YAML; nothing is formatted then.
pub fn format(source: &Source, options: MarkdownOptions) -> Result<String, Vec<Diagnostic>> {
    let chapter = markdown::scan_with(source, options);
    let mut errors: Vec<Diagnostic> = chapter
        .problems
        .into_iter()
        .filter(|problem| problem.severity == Severity::Error)
        .collect();
    let mut text = String::with_capacity(source.text().len());
    let mut done = 0;
    for fence in &chapter.fences {
        match step(source, fence) {
            Ok(Some((place, lines))) => {
                text.push_str(&source.text()[done..place.start]);
                text.push_str(&lines);
                done = place.end;
            }
            Ok(None) => {}
            Err(error) => errors.push(*error),
        }
    }
    if !errors.is_empty() {
        errors.sort_by_key(|error| (error.line, error.column));
        return Err(errors);
    }
    text.push_str(&source.text()[done..]);
    Ok(text)
}

/// The lines of a step's YAML and what stands there now; `None` when they stay.
fn step(source: &Source, fence: &Fence) -> Result<Option<(Span, String)>, Box<Diagnostic>> {
    let (yaml, sign) = match &fence.options {
        Some(options) => (options, "#| "),
        None if matches!(fence.kind, markdown::FenceKind::Typed { .. }) => (&fence.body, ""),
        // A script without options.
        None => return Ok(None),
    };
    yaml::parse(yaml).map_err(|error| {
        let diagnostic = Diagnostic::error("invalid-yaml", source, error.span, error.message);
        Box::new(match error.hint {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic,
        })
    })?;
    let Some(place) = place(source, fence, yaml) else {
        return Ok(None);
    };
    let before = fence.prefix.chars().count() + sign.len();
    let Some(written) = rewritten(yaml.text(), COLUMNS_MAX.saturating_sub(before)) else {
        return Ok(None);
    };
    let end = if source.slice(place).contains("\r\n") {
        "\r\n"
    } else {
        "\n"
    };
    let mut lines = String::new();
    for line in written.lines() {
        let line = format!("{}{sign}{line}", fence.prefix);
        lines.push_str(line.trim_end());
        lines.push_str(end);
    }
    Ok((lines != source.slice(place)).then_some((place, lines)))
}

/// The whole lines on which a fence's YAML stands; `None` when there are none.
fn place(source: &Source, fence: &Fence, yaml: &Mapped) -> Option<Span> {
    let text = source.text();
    let start = fence.span.start + text[fence.span.start..fence.span.end].find('\n')? + 1;
    let last = yaml.text().len().checked_sub(1)?;
    let last = yaml.offset(last);
    let end = last + text.get(last..)?.find('\n')? + 1;
    (start < end && end <= fence.span.end).then(|| Span::new(start, end))
}

/// How often a step is written anew until nothing changes; where a comment belongs may need a second look.
const PASSES_MAX: usize = 4;

/// A step's YAML written anew; `None` when it cannot be proved to say the same.
fn rewritten(text: &str, width: usize) -> Option<String> {
    let mut before = written(text, width)?;
    for _ in 1..PASSES_MAX {
        let after = written(&before, width)?;
        if after == before {
            return Some(after);
        }
        before = after;
    }
    None
}

fn written(text: &str, width: usize) -> Option<String> {
    let before = parse(text)?;
    let written = write::map(text, &before, width)?;
    let after = parse(&written)?;
    let (one, two) = (ordered(&before)?, after.as_map()?);
    let says_same = one.len() == two.len()
        && one
            .iter()
            .zip(two)
            .all(|(one, two)| one.key == two.key && one.value.says_same(&two.value));
    (says_same && write::comments_of(text)? == write::comments_of(&written)?).then_some(written)
}

/// A map's entries with [`FIRST`] first.
fn ordered(node: &Node) -> Option<Vec<&Entry>> {
    let entries = node.as_map()?;
    let mut ordered: Vec<&Entry> = entries.iter().collect();
    ordered.sort_by_key(|entry| {
        FIRST
            .iter()
            .position(|first| *first == entry.key)
            .unwrap_or(FIRST.len())
    });
    Some(ordered)
}

/// Reads a text by itself: its places are places in it.
fn parse(text: &str) -> Option<Node> {
    let mut mapped = Mapped::default();
    mapped.push_line(text, 0);
    let node = yaml::parse(&mapped).ok()?;
    matches!(&node.kind, Kind::Map(entries) if !entries.is_empty()).then_some(node)
}

#[cfg(test)]
mod tests;
