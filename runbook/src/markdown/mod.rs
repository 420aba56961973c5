//! A chapter's Markdown: its front matter, headings, executable fences and diagrams, with the place of everything.
//!
//! The text is read by the parser and the options that mdBook uses, so that a block is a fence here exactly when it is one on
//! the page, and a heading has the id that it has there. Nothing is understood beyond the fence's info string and which lines
//! are options: YAML is read by [`crate::yaml`], the language by [`crate::book`]. What would silently not be executed (an unclosed fence, a
//! fence inside an HTML block) is a problem here, because nobody after this sees it.

mod fence;
mod front;
mod heading;
mod info;
mod lost;

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::diagnostic::Diagnostic;
use crate::mapped::Mapped;
use crate::model::Language;
use crate::outcome::Effect;
use crate::source::{Source, Span};

/// What stands in a chapter.
#[derive(Debug, Default)]
pub struct Chapter {
    /// Its front matter, not yet read.
    pub front: Option<FrontBlock>,
    /// Its headings, in order.
    pub headings: Vec<Heading>,
    /// Its fences with the word `runbook`, in order. One whose info string is wrong is here when its language is understood.
    pub fences: Vec<Fence>,
    /// Its mermaid fences, in order.
    pub diagrams: Vec<Diagram>,
    /// What is wrong with it as Markdown.
    pub problems: Vec<Diagnostic>,
}

/// The front matter of a chapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontBlock {
    /// From the first `---` to the end of the last marker's line, its line end included: what the site strips.
    pub span: Span,
    /// The YAML between the markers.
    pub yaml: Mapped,
}

/// A heading and the section it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// The id of its element on the page, exactly as mdBook makes it.
    pub id: String,
    /// Its text.
    pub title: String,
    /// 1 to 6.
    pub level: u8,
    /// The heading itself.
    pub heading_span: Span,
    /// From the heading to the next heading of the same or a higher level.
    pub span: Span,
    /// The section above it, an index into [`Chapter::headings`].
    pub parent: Option<usize>,
}

/// How a step's fence is written, by its info string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FenceKind {
    /// `runbook [EFFECT]`, or `yaml runbook [EFFECT]` without options: the body is the step.
    Typed {
        /// The effect in the info string, with its place.
        effect: Option<(Effect, Span)>,
    },
    /// `LANGUAGE runbook [EFFECT]`: options, then the script or manifests.
    Native {
        /// The language.
        language: Language,
        /// The effect in the info string, with its place.
        effect: Option<(Effect, Span)>,
    },
}

/// A fence with the word `runbook`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// From the first marker to the end of the last line, without its line end.
    pub span: Span,
    /// The line of the first marker, from 1.
    pub line: u32,
    /// The info string.
    pub info: String,
    /// Where the info string stands.
    pub info_span: Span,
    /// What the info string says.
    pub kind: FenceKind,
    /// The `#|` lines at the top without `#|` and one following blank; `None` when there are none.
    pub options: Option<Mapped>,
    /// The body after the options, without the prefix of a list or quote, with `\n` as line end.
    pub body: Mapped,
    /// What each line that replaces the fence must begin with: the blanks and `>` of the lists and quotes around it.
    pub prefix: String,
    /// Whether it has its closing marker (else it is among the problems).
    pub closed: bool,
    /// The nearest heading above it, an index into [`Chapter::headings`].
    pub heading: Option<usize>,
}

/// A mermaid fence: ```` ```mermaid ```` or ```` ```{mermaid} ````.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagram {
    /// From the first marker to the end of the last line, without its line end.
    pub span: Span,
    /// The line of the first marker, from 1.
    pub line: u32,
    /// The info string.
    pub info: String,
    /// The diagram's text.
    pub body: Mapped,
    /// As [`Fence::prefix`].
    pub prefix: String,
    /// The nearest heading above it, an index into [`Chapter::headings`].
    pub heading: Option<usize>,
}

/// The options of mdBook's `[output.html]` on which blocks and ids depend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkdownOptions {
    /// `smart-punctuation`: `--` is a dash, which has no place in an id.
    pub smart_punctuation: bool,
    /// `definition-lists`.
    pub definition_lists: bool,
    /// `admonitions`.
    pub admonitions: bool,
}

impl Default for MarkdownOptions {
    fn default() -> Self {
        Self {
            smart_punctuation: true,
            definition_lists: true,
            admonitions: true,
        }
    }
}

impl MarkdownOptions {
    /// The parser's options, exactly as mdBook 0.5 sets them.
    fn to_parser(self) -> Options {
        let mut options = Options::ENABLE_TABLES
            | Options::ENABLE_FOOTNOTES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_HEADING_ATTRIBUTES;
        options.set(Options::ENABLE_SMART_PUNCTUATION, self.smart_punctuation);
        options.set(Options::ENABLE_DEFINITION_LIST, self.definition_lists);
        options.set(Options::ENABLE_GFM, self.admonitions);
        options
    }
}

/// Reads a chapter as a book with mdBook's defaults has it.
pub fn scan(source: &Source) -> Chapter {
    scan_with(source, MarkdownOptions::default())
}

/// Reads a chapter as a book with these options has it.
pub fn scan_with(source: &Source, options: MarkdownOptions) -> Chapter {
    let mut chapter = Chapter::default();
    let start = front::read(source, &mut chapter);
    let mut scanner = Scanner {
        source,
        start,
        chapter,
        headings: heading::Ids::default(),
        footnotes: Vec::new(),
    };
    let mut events =
        Parser::new_ext(&source.text()[start..], options.to_parser()).into_offset_iter();
    while let Some((event, range)) = events.next() {
        scanner.event(event, range, &mut events);
    }
    let Scanner { mut chapter, .. } = scanner;
    heading::close_sections(&mut chapter.headings, source.text().len());
    heading::check_ids(source, &mut chapter);
    chapter
        .problems
        .sort_by_key(|problem| (problem.line, problem.column));
    chapter
}

/// The parts of a chapter that are code: what stands there is shown as it is written.
pub fn code(source: &Source, options: MarkdownOptions) -> Vec<Range<usize>> {
    let events = Parser::new_ext(source.text(), options.to_parser()).into_offset_iter();
    events
        .filter(|(event, _)| matches!(event, Event::Start(Tag::CodeBlock(_)) | Event::Code(_)))
        .map(|(_, range)| range)
        .collect()
}

/// The state of one pass over the parser's events.
struct Scanner<'a> {
    source: &'a Source,
    /// Where the parsed text begins in the source.
    start: usize,
    chapter: Chapter,
    headings: heading::Ids,
    /// Names of the footnotes that were defined, and whether we are in one.
    footnotes: Vec<String>,
}

impl<'a> Scanner<'a> {
    fn event<I>(&mut self, event: Event<'a>, range: Range<usize>, events: &mut I)
    where
        I: Iterator<Item = (Event<'a>, Range<usize>)>,
    {
        match event {
            Event::Start(Tag::Heading {
                level, id, attrs, ..
            }) => {
                let explicit = heading::explicit_id(id, attrs);
                let text = self.headings.read_text(events);
                let id = explicit.unwrap_or_else(|| self.headings.unique(&text.for_id));
                let span = self.span(&range);
                heading::push(
                    &mut self.chapter.headings,
                    id,
                    text.title,
                    level as u8,
                    span,
                );
            }
            // A definition list's term gets an id from the same set as headings do.
            Event::Start(Tag::DefinitionListTitle) => {
                let text = self.headings.read_text(events);
                self.headings.unique(&text.for_id);
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                self.fence(&info, range, events);
            }
            Event::Start(Tag::HtmlBlock) => self.html(range),
            Event::Start(Tag::FootnoteDefinition(name)) => self.footnote(&name, range, events),
            Event::FootnoteReference(name) => {
                self.headings.footnote_number(&name);
            }
            _ => {}
        }
    }

    /// The span in the source of a range in the parsed text.
    fn span(&self, range: &Range<usize>) -> Span {
        Span::new(self.start + range.start, self.start + range.end)
    }

    fn fence<I>(&mut self, info: &str, range: Range<usize>, events: &mut I)
    where
        I: Iterator<Item = (Event<'a>, Range<usize>)>,
    {
        let span = self.span(&range);
        let role = info::role(info);
        let mut body = Mapped::default();
        let mut body_end = None;
        for (event, range) in events {
            match event {
                Event::Text(text) => {
                    body_end = Some(self.start + range.end);
                    if role != info::Role::Other {
                        body.push_line(&text, self.start + range.start);
                    }
                }
                Event::End(TagEnd::CodeBlock) => break,
                _ => {}
            }
        }
        let block = fence::Block::new(self.source, span, info, body_end);
        let heading = self.chapter.headings.len().checked_sub(1);
        match role {
            info::Role::Step => fence::step(self.source, &mut self.chapter, block, body, heading),
            info::Role::Diagram => {
                fence::diagram(self.source, &mut self.chapter, block, body, heading)
            }
            info::Role::Other => lost::in_fence(self.source, &mut self.chapter, &block),
        }
    }

    fn html(&mut self, range: Range<usize>) {
        let span = self.span(&range);
        lost::in_html(self.source, &mut self.chapter, span);
    }

    /// mdBook moves footnotes to the end of the page, drops those that nothing refers to, and the second of one name.
    fn footnote<I>(&mut self, name: &str, range: Range<usize>, events: &mut I)
    where
        I: Iterator<Item = (Event<'a>, Range<usize>)>,
    {
        let (fences, diagrams) = (self.chapter.fences.len(), self.chapter.diagrams.len());
        let repeated = self.footnotes.iter().any(|known| known == name);
        self.footnotes.push(name.to_owned());
        if repeated {
            skip_to_end(events);
        } else {
            // Footnotes do not nest, so this cannot recurse further.
            while let Some((event, range)) = events.next() {
                if matches!(event, Event::End(TagEnd::FootnoteDefinition)) {
                    break;
                }
                self.event(event, range, events);
            }
        }
        let span = self.span(&range);
        if repeated && lost::mentions_step(self.source.slice(span))
            || self.chapter.fences.len() > fences
        {
            self.chapter.fences.truncate(fences);
            self.chapter.diagrams.truncate(diagrams);
            self.chapter.problems.push(
                Diagnostic::error("fence-in-footnote", self.source, span, "a footnote holds a `runbook` fence")
                    .hint("move the fence out of the footnote: footnotes are moved to the end of the page"),
            );
        }
    }
}

/// Passes over the events up to the end of the element whose start was just read.
fn skip_to_end<'a, I: Iterator<Item = (Event<'a>, Range<usize>)>>(events: &mut I) {
    let mut depth = 0usize;
    for (event, _) in events {
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) if depth == 0 => break,
            Event::End(_) => depth -= 1,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
