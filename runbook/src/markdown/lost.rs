//! Steps that would silently be none: swallowed by another fence or an HTML block, or misspelt.

use super::Chapter;
use super::fence::{Block, opening};
use super::info::{Role, WORD, role, words};
use crate::diagnostic::Diagnostic;
use crate::source::{Source, Span};

/// Whether a text has a line that looks like the first one of a step's fence.
pub(super) fn mentions_step(text: &str) -> bool {
    text.contains(WORD)
        && text
            .lines()
            .any(|line| opening(line).is_some_and(|(_, _, info)| role(info) == Role::Step))
}

/// A fence that is not ours must not have swallowed one that is, and its info string must not be ours misspelt.
pub(super) fn in_fence(source: &Source, chapter: &mut Chapter, block: &Block) {
    if let Some(offset) = block.swallowed(source, |info| role(info) == Role::Step) {
        let line = source.position(offset).line;
        chapter.problems.push(
            Diagnostic::error(
                "unclosed-fence",
                source,
                block.first_line(),
                format!("this fence is not closed before the step in line {line}"),
            )
            .hint(format!(
                "close it with a line `{}`, or write `{}` when it only shows that step",
                block.marker(0),
                block.marker(1)
            )),
        );
        return;
    }
    let misspelt = words(&block.info).find(|word| {
        word.len() > 4 && strsim::damerau_levenshtein(&word.to_ascii_lowercase(), WORD) == 1
            || *word == "run-book"
    });
    if let Some(word) = misspelt {
        chapter.problems.push(
            Diagnostic::warning(
                "misspelt-fence",
                source,
                block.info_span,
                format!("the fence is never executed: `{word}` is not the word `{WORD}`"),
            )
            .hint(format!("did you mean `{WORD}`?")),
        );
    }
}

/// In an HTML block Markdown is not read: a fence there is no step, though it may look like one.
pub(super) fn in_html(source: &Source, chapter: &mut Chapter, span: Span) {
    let text = source.slice(span);
    if !mentions_step(text) {
        return;
    }
    let tag = text.trim_start().to_ascii_lowercase();
    let place = Span::new(
        span.start,
        span.start + text.lines().next().map_or(0, str::len),
    );
    if tag.starts_with("<!--") {
        if !text.contains("-->") {
            chapter.problems.push(
                Diagnostic::error(
                    "unclosed-comment",
                    source,
                    place,
                    "this comment is not closed and hides a step",
                )
                .hint("close it with `-->`"),
            );
        }
        return;
    }
    // Elements whose content is shown or used as it is written.
    if ["<pre", "<script", "<style", "<textarea", "<!", "<?"]
        .iter()
        .any(|name| tag.starts_with(name))
    {
        return;
    }
    let mut offset = span.start;
    for line in text.split_inclusive('\n') {
        if mentions_step(line) {
            let at = Span::new(offset, offset + line.trim_end().len());
            chapter.problems.push(
                Diagnostic::error(
                    "fence-in-html",
                    source,
                    at,
                    "this fence stands in an HTML block and is not a step",
                )
                .hint("leave a blank line between the HTML tag and the fence, and after it"),
            );
        }
        offset += line.len();
    }
}
