//! Headings: their ids exactly as mdBook 0.5 makes them, and the sections they open.
//!
//! The algorithm is mdBook's `add_header_links`: the id is the heading's text, lowered, with only letters, digits, `-` and `_`;
//! a second one gets `-1`. Two of its habits matter: the ids of `{#id}` are not in the set, and terms of definition lists are.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use pulldown_cmark::{CowStr, Event, TagEnd};

use super::{Chapter, Heading};
use crate::diagnostic::Diagnostic;
use crate::source::{Source, Span};

/// The ids that were given out, and the numbers of footnotes, which count in a heading's text.
#[derive(Default)]
pub(super) struct Ids {
    used: HashSet<String>,
    footnotes: HashMap<String, usize>,
}

/// The text of a heading.
pub(super) struct Text {
    /// For people.
    pub(super) title: String,
    /// As mdBook makes the id of it.
    pub(super) for_id: String,
}

impl Ids {
    /// The number under which the page shows a footnote.
    pub(super) fn footnote_number(&mut self, name: &str) -> usize {
        let next = self.footnotes.len() + 1;
        *self.footnotes.entry(name.to_owned()).or_insert(next)
    }

    /// Reads the events of a heading or term up to its end.
    pub(super) fn read_text<'a, I>(&mut self, events: &mut I) -> Text
    where
        I: Iterator<Item = (Event<'a>, Range<usize>)>,
    {
        let mut text = Text {
            title: String::new(),
            for_id: String::new(),
        };
        // In an image the text is its `alt`, which is no text of the heading.
        let mut image = 0usize;
        let mut after_reference = false;
        for (event, _) in events {
            let reference = matches!(event, Event::FootnoteReference(_));
            match event {
                Event::End(TagEnd::Heading(_) | TagEnd::DefinitionListTitle) => break,
                Event::Start(pulldown_cmark::Tag::Image { .. }) => image += 1,
                Event::End(TagEnd::Image) => image = image.saturating_sub(1),
                Event::Text(part) | Event::Code(part) => {
                    text.title.push_str(&part);
                    if image == 0 {
                        text.for_id.push_str(&part);
                    }
                }
                Event::SoftBreak => {
                    text.title.push(' ');
                    if image == 0 {
                        text.for_id.push('\n');
                    }
                }
                Event::HardBreak => text.title.push(' '),
                Event::FootnoteReference(name) if image == 0 => {
                    if after_reference {
                        text.for_id.push(' ');
                    }
                    let number = self.footnote_number(&name);
                    text.for_id.push_str(&number.to_string());
                }
                _ => {}
            }
            after_reference = reference;
        }
        text.title = text.title.trim().to_owned();
        text
    }

    /// The id for a text, counted up until it is new.
    pub(super) fn unique(&mut self, text: &str) -> String {
        let id = id_from_content(text);
        if self.used.insert(id.clone()) {
            return id;
        }
        let mut counter: u32 = 1;
        loop {
            let candidate = format!("{id}-{counter}");
            if self.used.insert(candidate.clone()) {
                return candidate;
            }
            counter += 1;
        }
    }
}

/// mdBook's id of a text.
fn id_from_content(text: &str) -> String {
    text.trim()
        .to_lowercase()
        .chars()
        .filter_map(|c| {
            if c.is_alphanumeric() || c == '_' || c == '-' {
                Some(c)
            } else if c.is_whitespace() {
                Some('-')
            } else {
                None
            }
        })
        .collect()
}

/// The id that `{#id}` or `{id=…}` gives a heading.
pub(super) fn explicit_id(
    id: Option<CowStr<'_>>,
    attrs: Vec<(CowStr<'_>, Option<CowStr<'_>>)>,
) -> Option<String> {
    id.map(CowStr::into_string).or_else(|| {
        let (_, value) = attrs.into_iter().rev().find(|(name, _)| &**name == "id")?;
        Some(value.map(CowStr::into_string).unwrap_or_default())
    })
}

/// Appends a heading; its section is closed by [`close_sections`].
pub(super) fn push(headings: &mut Vec<Heading>, id: String, title: String, level: u8, span: Span) {
    let mut parent = headings.len().checked_sub(1);
    while let Some(index) = parent
        && headings[index].level >= level
    {
        parent = headings[index].parent;
    }
    headings.push(Heading {
        id,
        title,
        level,
        heading_span: span,
        span,
        parent,
    });
}

/// Ends every section where the next heading of its level or above begins.
pub(super) fn close_sections(headings: &mut [Heading], end: usize) {
    let mut open: Vec<usize> = Vec::new();
    for index in 0..headings.len() {
        let (level, start) = (headings[index].level, headings[index].span.start);
        while let Some(&last) = open.last()
            && headings[last].level >= level
        {
            headings[last].span.end = start;
            open.pop();
        }
        open.push(index);
    }
    for index in open {
        headings[index].span.end = end;
    }
}

/// Sections that hold steps are addressed by their ids: each must be one that can be written, and the only one of its kind.
pub(super) fn check_ids(source: &Source, chapter: &mut Chapter) {
    if chapter.fences.is_empty() {
        return;
    }
    let mut holds_steps = vec![false; chapter.headings.len()];
    for fence in &chapter.fences {
        let mut above = fence.heading;
        while let Some(index) = above {
            holds_steps[index] = true;
            above = chapter.headings[index].parent;
        }
    }
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (index, heading) in chapter.headings.iter().enumerate() {
        let other = *first.entry(&heading.id).or_insert(index);
        let span = heading.heading_span;
        if other != index && (holds_steps[other] || holds_steps[index]) {
            let line = source
                .position(chapter.headings[other].heading_span.start)
                .line;
            chapter.problems.push(
                Diagnostic::error(
                    "duplicate-heading-id",
                    source,
                    span,
                    format!("two headings have the id `{}`", heading.id),
                )
                .hint(format!(
                    "the other one stands in line {line}; give one of them another `{{#id}}`"
                )),
            );
        } else if holds_steps[index]
            && (heading.id.is_empty() || !heading.id.chars().all(is_id_character))
        {
            let message = if heading.id.is_empty() {
                "a heading with steps under it has no id".to_owned()
            } else {
                format!(
                    "the heading's id `{}` cannot be part of a step's ID",
                    heading.id
                )
            };
            chapter.problems.push(
                Diagnostic::error("heading-id", source, span, message)
                    .hint("give it one of letters, digits, `-`, `_` and `.`: `## Title {#title}`"),
            );
        }
    }
}

fn is_id_character(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':')
}
