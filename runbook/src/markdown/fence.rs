//! Fences: where they begin and end, which lines of them are options, and whether they swallowed another one.
//!
//! What the words of the info string mean is in [`super::info`]; the body was read by the parser.

use super::{Chapter, Diagram, Fence, FenceKind, info};
use crate::diagnostic::Diagnostic;
use crate::mapped::Mapped;
use crate::model::Language;
use crate::source::{Source, Span};

/// The marker, its length and the info string of a line that opens a fence (behind any `>` and blanks).
pub(super) fn opening(line: &str) -> Option<(char, usize, &str)> {
    let line = line.trim_start_matches([' ', '\t', '>']);
    let marker = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let info = line.trim_start_matches(marker);
    let count = line.len() - info.len();
    let info = info.trim();
    (count >= 3 && !(marker == '`' && info.contains('`'))).then_some((marker, count, info))
}

/// A fence as Markdown: its place and its markers.
pub(super) struct Block {
    span: Span,
    line: u32,
    pub(super) info: String,
    pub(super) info_span: Span,
    prefix: String,
    marker: char,
    markers: usize,
    /// From the end of the first line to the closing marker.
    body_span: Span,
    closed: bool,
}

impl Block {
    /// Looks at the text of a fence: `span` and the end of its last body line are the parser's.
    pub(super) fn new(source: &Source, span: Span, info: &str, body_end: Option<usize>) -> Self {
        let text = source.text();
        let first_end = text[span.start..]
            .find('\n')
            .map_or(text.len(), |end| span.start + end);
        let first = text[span.start..first_end].trim_end();
        let marker = if first.starts_with('~') { '~' } else { '`' };
        let written = first.trim_start_matches(marker);
        let markers = first.len() - written.len();
        let info_start = span.start + markers + (written.len() - written.trim_start().len());
        let info_span = Span::new(info_start, info_start + written.trim().len());
        let body_start = (first_end + 1).min(text.len());
        let body_end = body_end.unwrap_or(body_start).max(body_start.min(span.end));
        let after = text.get(body_end..span.end).unwrap_or("");
        let closing = after.trim_end().len() - after.trim_end().trim_end_matches(marker).len();
        let closed = closing >= markers;
        let end = if closed {
            body_end + after.trim_end().len()
        } else {
            span.start
                + text[span.start..span.end]
                    .trim_end_matches(['\n', '\r'])
                    .len()
        };
        Self {
            span: Span::new(span.start, end),
            line: source.position(span.start).line,
            info: info.to_owned(),
            info_span,
            prefix: prefix(text, span.start),
            marker,
            markers,
            body_span: Span::new(body_start.min(body_end), body_end),
            closed,
        }
    }

    /// The first line, without what stands before the marker.
    pub(super) fn first_line(&self) -> Span {
        Span::new(
            self.span.start,
            self.info_span.end.max(self.span.start + self.markers),
        )
    }

    pub(super) fn marker(&self, extra: usize) -> String {
        self.marker.to_string().repeat(self.markers + extra)
    }

    /// The first line of the body that opens a fence which this one would have to be longer than, if any.
    pub(super) fn swallowed(
        &self,
        source: &Source,
        is_ours: impl Fn(&str) -> bool,
    ) -> Option<usize> {
        let body = source.slice(self.body_span);
        if !body.contains(self.marker) {
            return None;
        }
        let quoted = self.prefix.contains('>');
        let mut offset = self.body_span.start;
        for line in body.split_inclusive('\n') {
            let found = opening(line).is_some_and(|(marker, markers, info)| {
                marker == self.marker
                    && markers >= self.markers
                    && !info.is_empty()
                    && is_ours(info)
            });
            let before = &line[..line.find(self.marker).unwrap_or(0)];
            // Four blanks more than this fence's own and the line could neither open nor close one.
            if found && before.len() < self.prefix.len() + 4 && (quoted || !before.contains('>')) {
                return Some(offset);
            }
            offset += line.len();
        }
        None
    }
}

/// What stands before the fence on its line, with the markers of lists as blanks.
fn prefix(text: &str, start: usize) -> String {
    let line = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let before = text[line..start].trim_start_matches('\u{feff}');
    before
        .chars()
        .map(|c| {
            if matches!(c, '>' | ' ' | '\t') {
                c
            } else {
                ' '
            }
        })
        .collect()
}

/// Takes a fence with the word `runbook`.
pub(super) fn step(
    source: &Source,
    chapter: &mut Chapter,
    block: Block,
    body: Mapped,
    heading: Option<usize>,
) {
    check_closed(source, chapter, &block);
    let (options, body) = split_options(&body);
    let Some(mut kind) = info::kind(source, &mut chapter.problems, &block, options.is_some())
    else {
        return;
    };
    if let FenceKind::Native {
        language: Language::Yaml,
        effect,
    } = kind
        && options.is_none()
    {
        kind = FenceKind::Typed { effect };
    }
    check_options(source, chapter, kind, options.as_ref(), &body);
    let Block {
        span,
        line,
        info,
        info_span,
        prefix,
        closed,
        ..
    } = block;
    chapter.fences.push(Fence {
        span,
        line,
        info,
        info_span,
        kind,
        options,
        body,
        prefix,
        closed,
        heading,
    });
}

/// Takes a mermaid fence.
pub(super) fn diagram(
    source: &Source,
    chapter: &mut Chapter,
    block: Block,
    body: Mapped,
    heading: Option<usize>,
) {
    check_closed(source, chapter, &block);
    let Block {
        span,
        line,
        info,
        prefix,
        ..
    } = block;
    chapter.diagrams.push(Diagram {
        span,
        line,
        info,
        body,
        prefix,
        heading,
    });
}

fn check_closed(source: &Source, chapter: &mut Chapter, block: &Block) {
    let close = block.marker(0);
    if let Some(line) = block.swallowed(source, |_| true) {
        let line = source.position(line).line;
        chapter.problems.push(
            Diagnostic::error(
                "unclosed-fence",
                source,
                block.first_line(),
                format!("this fence is not closed before the one in line {line}"),
            )
            .hint(format!(
                "close it with a line `{close}`, or write `{}` when it holds fences itself",
                block.marker(1)
            )),
        );
    } else if !block.closed {
        chapter.problems.push(
            Diagnostic::error(
                "unclosed-fence",
                source,
                block.first_line(),
                "this fence is not closed",
            )
            .hint(format!(
                "close it with a line `{close}`, indented as its first line is"
            )),
        );
    }
}

/// Splits a body into its options, the unbroken run of `#|` lines at its top, and the rest.
fn split_options(body: &Mapped) -> (Option<Mapped>, Mapped) {
    let text = body.text();
    let mut options = Mapped::default();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let Some(rest) = line.strip_prefix("#|") else {
            break;
        };
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        options.push_line(rest, body.offset(offset + (line.len() - rest.len())));
        offset += line.len();
    }
    if offset == 0 {
        (None, body.clone())
    } else {
        (Some(options), body.slice(offset, text.len()))
    }
}

/// Options that stand where they are none.
fn check_options(
    source: &Source,
    chapter: &mut Chapter,
    kind: FenceKind,
    options: Option<&Mapped>,
    body: &Mapped,
) {
    let text = body.text();
    let mut error = |rule, start: usize, line: &str, message: &str, hint: String| {
        let span = body.span(start, start + line.trim_end().len());
        chapter
            .problems
            .push(Diagnostic::error(rule, source, span, message).hint(hint));
    };
    if options.is_none() {
        let first = text.lines().next().unwrap_or("");
        for comment in ["//|", "--|"] {
            if let Some(rest) = first.strip_prefix(comment) {
                let hint = format!("write `#|{rest}`");
                error(
                    "option-comment",
                    0,
                    first,
                    &format!("options are not written with `{comment}`"),
                    hint,
                );
            }
        }
    }
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let at_top = number == 0 && line.trim_start().starts_with("#|");
        if line.starts_with("#|") || at_top {
            let (message, hint) = if at_top && !line.starts_with("#|") {
                (
                    "an option does not begin at the line's start",
                    "remove the blanks before `#|`",
                )
            } else if matches!(kind, FenceKind::Typed { .. }) {
                (
                    "a `#|` line stands below the top of the fence",
                    "a typed step has no `#|` lines: remove `#|`",
                )
            } else {
                (
                    "a `#|` line stands below the top of the fence",
                    "move it up to the others: options are one unbroken run of lines at the very top",
                )
            };
            error("option-place", offset, line, message, hint.to_owned());
        }
        offset += line.len();
    }
}
