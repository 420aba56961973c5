//! Headings and their ids, exactly as mdBook 0.5 makes them (`mdbook-html`, `add_header_links`).
//!
//! An id is the heading's text in lower case, letters, digits, `_` and `-` kept, blanks as `-`, the rest dropped; the second of its name
//! gets `-1`. Ids that were written (`{#id}`) are kept and do not count. Definition terms take part in the counting.

use std::collections::HashSet;

use pulldown_cmark::{Event, Tag, TagEnd};

use crate::source::Span;

/// A heading and what stands under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// Its id on the page.
    pub id: String,
    /// Its text.
    pub title: String,
    /// 1 to 6.
    pub level: u8,
    /// From the heading to the next of the same or a higher level.
    pub span: Span,
    /// The heading above it, an index.
    pub parent: Option<usize>,
}

/// Gathers headings from the parser's events.
#[derive(Default)]
pub(super) struct Headings {
    all: Vec<Heading>,
    used: HashSet<String>,
    /// The heading or term that is open: level (0 for a term), written id, where it began, its text.
    open: Option<(u8, Option<String>, Span, String)>,
}

impl Headings {
    pub(super) fn event(&mut self, event: &Event<'_>, span: Span) {
        match event {
            Event::Start(Tag::Heading { level, id, .. }) => {
                self.open = Some((
                    *level as u8,
                    id.as_ref().map(|id| id.to_string()),
                    span,
                    String::new(),
                ));
            }
            Event::Start(Tag::DefinitionListTitle) => {
                self.open = Some((0, None, span, String::new()))
            }
            Event::End(TagEnd::Heading(_) | TagEnd::DefinitionListTitle) => self.close(),
            Event::Text(text)
            | Event::Code(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text) => self.push(text),
            Event::SoftBreak | Event::HardBreak => self.push("\n"),
            _ => {}
        }
    }

    /// The heading that is the nearest above, an index.
    pub(super) fn current(&self) -> Option<usize> {
        self.all.len().checked_sub(1)
    }

    pub(super) fn finish(mut self, end: usize) -> Vec<Heading> {
        for index in 0..self.all.len() {
            let level = self.all[index].level;
            let next = self.all[index + 1..]
                .iter()
                .find(|other| other.level <= level);
            let to = next.map_or(end, |next| next.span.start);
            self.all[index].span.end = to;
            self.all[index].parent = (0..index)
                .rev()
                .find(|above| self.all[*above].level < level);
        }
        self.all
    }

    fn push(&mut self, text: &str) {
        if let Some((.., content)) = &mut self.open {
            content.push_str(text);
        }
    }

    fn close(&mut self) {
        let Some((level, written, span, title)) = self.open.take() else {
            return;
        };
        let id = match written {
            Some(id) => id,
            None => unique(&id_from_content(&title), &mut self.used),
        };
        if level > 0 {
            self.all.push(Heading {
                id,
                title: title.trim().to_owned(),
                level,
                span,
                parent: None,
            });
        }
    }
}

fn id_from_content(content: &str) -> String {
    content
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            c if c.is_alphanumeric() || c == '_' || c == '-' => Some(c),
            c if c.is_whitespace() => Some('-'),
            _ => None,
        })
        .collect()
}

fn unique(id: &str, used: &mut HashSet<String>) -> String {
    if used.insert(id.to_owned()) {
        return id.to_owned();
    }
    // Bounded by the number of headings of the page.
    let mut counter: u32 = 1;
    loop {
        let candidate = format!("{id}-{counter}");
        if used.insert(candidate.clone()) {
            return candidate;
        }
        counter += 1;
    }
}
