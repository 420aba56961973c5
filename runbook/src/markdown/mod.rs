//! A chapter's Markdown: its front matter, its headings with their ids, and the fences that are steps or diagrams.
//!
//! Sees the blocks that mdBook sees, with the same parser and options, so that what is executed is what a reader sees as a fence:
//! fences inside lists and quotes count, fences that only show Markdown (inside a longer fence, an HTML comment, indented code) do
//! not. Reads no YAML and no file.

mod fence;
mod front;
mod heading;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::diagnostic::Diagnostic;
use crate::mapped::Mapped;
use crate::source::{Source, Span};

pub use fence::{Fence, FenceKind};
pub use front::FrontBlock;
pub use heading::Heading;

/// What stands in a chapter.
#[derive(Debug, Default)]
pub struct Chapter {
    /// The front matter, when the chapter begins with one.
    pub front: Option<FrontBlock>,
    /// The headings, in order, with the ids that mdBook gives them.
    pub headings: Vec<Heading>,
    /// The fences that are steps, in order.
    pub fences: Vec<Fence>,
    /// The fences that are mermaid diagrams, in order.
    pub diagrams: Vec<Fence>,
    /// What is wrong with the fences themselves.
    pub problems: Vec<Diagnostic>,
}

/// mdBook's own options for Markdown.
pub fn options() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_SMART_PUNCTUATION
        | Options::ENABLE_DEFINITION_LIST
        | Options::ENABLE_GFM
}

/// Reads a chapter.
pub fn scan(source: &Source) -> Chapter {
    let mut chapter = Chapter::default();
    match front::split(source) {
        Ok(front) => chapter.front = front,
        Err(problem) => chapter.problems.push(*problem),
    }
    // The site strips the front matter: what follows it is what mdBook reads.
    let base = chapter.front.as_ref().map_or(0, |front| front.span.end);
    let text = &source.text()[base..];
    let mut headings = heading::Headings::default();
    let mut code: Option<(String, Span)> = None;
    for (event, range) in Parser::new_ext(text, options()).into_offset_iter() {
        let span = Span::new(base + range.start, base + range.end);
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                code = Some((info.into_string(), span))
            }
            Event::End(TagEnd::CodeBlock) => {
                if let Some((info, span)) = code.take() {
                    take_fence(&mut chapter, source, &headings, &info, span);
                }
            }
            event => headings.event(&event, span),
        }
    }
    chapter.headings = headings.finish(source.text().len());
    chapter
}

fn take_fence(
    chapter: &mut Chapter,
    source: &Source,
    headings: &heading::Headings,
    info: &str,
    span: Span,
) {
    let words: Vec<&str> = info.split_whitespace().collect();
    let diagram = matches!(words.first(), Some(&"mermaid" | &"{mermaid}"));
    if !diagram && !words.contains(&"runbook") {
        return;
    }
    let mut fence = fence::cut(source, info, span);
    fence.heading = headings.current();
    if diagram {
        chapter.diagrams.push(fence);
        return;
    }
    if !fence.closed {
        let problem = Diagnostic::error(
            "unclosed-fence",
            source,
            fence.marker_span,
            "this fence is never closed",
        )
        .hint("close it with a line of the same marker: everything after it would be executed");
        chapter.problems.push(problem);
        return;
    }
    match fence::kind(source, &fence, &words) {
        Ok(kind) => {
            fence.kind = kind;
            match fence::options(source, &mut fence) {
                Ok(()) => chapter.fences.push(fence),
                Err(problem) => chapter.problems.push(*problem),
            }
        }
        Err(problem) => chapter.problems.push(*problem),
    }
}

/// The lines of a block with its container's prefix (indentation, `>`) removed.
fn unprefixed<'t>(line: &'t str, depth: &fence::Container) -> (&'t str, usize) {
    let rest = depth.strip(line);
    (rest, line.len() - rest.len())
}

/// An empty text at a place.
fn empty() -> Mapped {
    Mapped::default()
}

#[cfg(test)]
mod tests;
