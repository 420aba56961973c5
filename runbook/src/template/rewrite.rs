//! An expression as the author wrote it, made into one that Tera evaluates, with the way back to every place.
//!
//! Three things differ: names with `-` are written with `_` (`nodes.still_fawn`), a name that is not defined is an error
//! wherever it is used (Tera takes `undefined ~ "x"` for `x`), and the value is kept with its type. The rest is copied.

use std::ops::Range;

use super::TemplateError;
use super::filters::{ATTRIBUTE, CLOSE, DEFINED, KEEP, OPEN};
use super::names::{Path, Scan, SegmentKind};
use super::scope::Scope;

/// What Tera gets, and where its pieces come from.
pub(super) struct Rewritten {
    pub(super) text: String,
    /// (offset in the text, offset in the source) of each copied piece, ascending.
    pieces: Vec<(usize, usize)>,
    source_length: usize,
}

impl Rewritten {
    /// The range of the source that a range of the text comes from; never beyond the source.
    pub(super) fn source_range(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.source_offset(range.start);
        let end = if range.end > range.start {
            self.source_offset(range.end - 1) + 1
        } else {
            start
        };
        start..end.max(start).min(self.source_length)
    }

    fn source_offset(&self, offset: usize) -> usize {
        let index = self.pieces.partition_point(|(text, _)| *text <= offset);
        let Some((text, source)) = index
            .checked_sub(1)
            .and_then(|index| self.pieces.get(index))
        else {
            return 0;
        };
        let limit = self
            .pieces
            .get(index)
            .map_or(self.source_length, |(_, source)| *source);
        (source + (offset - text))
            .min(limit.max(*source))
            .min(self.source_length)
    }
}

/// A change: this range of the source becomes that text, followed by the rest.
struct Edit {
    range: Range<usize>,
    text: String,
}

/// Rewrites an expression. An undefined name is told as [`UNDEFINED`](super::filters::UNDEFINED) with its index in
/// [`Scan::all`].
pub(super) fn rewrite(
    source: &str,
    scan: &Scan,
    scope: &Scope,
) -> Result<Rewritten, TemplateError> {
    let mut edits = Vec::new();
    for (index, path) in scan.all().enumerate() {
        let local = index >= scan.paths.len();
        let aliases = if local {
            vec![Alias::Unknown; path.segments.len()]
        } else {
            scope.aliases(path)?
        };
        edits.extend(path_edits(path, aliases, index));
    }
    // Stable. What begins at one place are brackets only, which look all the same.
    edits.sort_by_key(|edit| edit.range.start);
    Ok(apply(source, &edits))
}

fn apply(source: &str, edits: &[Edit]) -> Rewritten {
    let mut text = format!("{OPEN}(");
    let mut pieces = Vec::new();
    let mut at = 0;
    for edit in edits {
        if edit.range.start < at {
            continue;
        }
        pieces.push((text.len(), at));
        text.push_str(&source[at..edit.range.start]);
        pieces.push((text.len(), edit.range.start));
        text.push_str(&edit.text);
        at = edit.range.end;
    }
    pieces.push((text.len(), at));
    text.push_str(&source[at..]);
    pieces.push((text.len(), source.len()));
    text.push_str(&format!(")|{KEEP}{CLOSE}"));
    Rewritten {
        text,
        pieces,
        source_length: source.len(),
    }
}

/// How a name with `_` is to be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Alias {
    /// As it is written.
    Same,
    /// Under this key.
    Key(String),
    /// Known only when it is evaluated.
    Unknown,
}

fn path_edits(path: &Path, aliases: Vec<Alias>, place: usize) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut opened = 0;
    for (index, (segment, alias)) in path.segments.iter().zip(aliases).enumerate().skip(1) {
        let SegmentKind::Name(name) = &segment.kind else {
            continue;
        };
        // With the point or `?.` (and blanks) before the name.
        let from = path.segments[index - 1].range.end;
        let range = from..segment.range.end;
        match alias {
            // After a bracket of ours Tera takes `[…]` only, no point.
            Alias::Unknown if opened > 0 || name.contains('_') => {
                opened += 1;
                let optional = if path.optional { ",optional=true" } else { "" };
                edits.push(Edit {
                    range,
                    text: format!("|{ATTRIBUTE}(name=\"{name}\"{optional}))"),
                });
            }
            Alias::Key(key) => edits.push(Edit {
                range,
                text: format!("[{}]", quoted(&key)),
            }),
            Alias::Same | Alias::Unknown => {}
        }
    }
    if !path.optional {
        opened += 1;
        let end = path.range.end;
        edits.push(Edit {
            range: end..end,
            text: format!("|{DEFINED}(at={place}))"),
        });
    }
    if opened > 0 {
        let start = path.range.start;
        edits.insert(
            0,
            Edit {
                range: start..start,
                text: "(".repeat(opened),
            },
        );
    }
    edits
}

/// A text for Tera's lexer, which knows no other escapes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
