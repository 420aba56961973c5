//! YAML 1.2 text to a [`Node`] with the place of every key and value in the chapter.
//!
//! Only what the language has: maps with text keys, lists, scalars. Duplicate keys, `<<`, anchors, aliases, tags, directives, keys and
//! items without a value and a second document are errors, each with its place and what to do. Types are not decided here: scalars
//! keep their text. What the parser refuses is put in an author's words in `explain`.

mod explain;
mod simple;

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span as Mark};

use crate::mapped::Mapped;
use crate::node::{Entry, Kind, Node, Scalar};
use crate::source::Span;

/// How deep maps and lists may nest.
pub const DEPTH_MAX: usize = 64;

/// What is wrong with a YAML text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct YamlError {
    /// Where it stands in the chapter.
    pub span: Span,
    /// A lowercase fragment.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// Reads one document. An empty text is an empty map.
///
/// # Errors
/// The first thing that is wrong: after it the rest of a YAML text cannot be trusted.
pub fn parse(text: &Mapped) -> Result<Node, YamlError> {
    match simple::parse(text) {
        Some(node) => Ok(node),
        None => full(text),
    }
}

/// Reads one document with the parser.
fn full(text: &Mapped) -> Result<Node, YamlError> {
    let mut reader = Reader::new(text);
    let mut document = None;
    while let Some((marker, node)) = reader.document()? {
        if document.is_some() {
            return Err(YamlError {
                span: marker,
                message: "a second YAML document begins here".into(),
                hint: Some("remove this line: one document is read".into()),
            });
        }
        document = Some(node);
    }
    Ok(document.unwrap_or(Node {
        span: text.span(0, 0),
        kind: Kind::Map(Vec::new()),
    }))
}

/// Reads every document of a text, as manifests have them; empty documents are left out.
///
/// # Errors
/// The first thing that is wrong in any of them.
pub fn documents(text: &Mapped) -> Result<Vec<Node>, YamlError> {
    let mut reader = Reader::new(text);
    let mut documents = Vec::new();
    while let Some((_, node)) = reader.document()? {
        documents.push(node);
    }
    Ok(documents)
}

/// Builds nodes from the parser's events.
struct Reader<'a> {
    mapped: &'a Mapped,
    events: Parser<'a, granit_parser::StrInput<'a>>,
    /// Where the flow collections that are open began, in the text.
    open: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn new(mapped: &'a Mapped) -> Self {
        let options = granit_parser::options! { emit_comments: false, disallow_directives: true };
        let events = Parser::new_from_str_with_options(mapped.text(), options);
        Self {
            mapped,
            events,
            open: Vec::new(),
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Mark)>, YamlError> {
        match self.events.next_event() {
            Some(Err(error)) => Err(explain::explain(self.mapped, &error, &self.open)),
            Some(Ok(next)) => Ok(Some(next)),
            None => Ok(None),
        }
    }

    /// The next document that says something, and where it begins.
    fn document(&mut self) -> Result<Option<(Span, Node)>, YamlError> {
        let mut marker = self.mapped.span(0, 0);
        while let Some((event, mark)) = self.next()? {
            match event {
                Event::DocumentStart(..) => marker = self.span(&mark),
                Event::StreamStart | Event::DocumentEnd | Event::StreamEnd => {}
                Event::Scalar(_, ScalarStyle::Plain, ..) if range(&mark).is_empty() => {}
                event => return Ok(Some((marker, self.node(event, &mark, 0)?))),
            }
        }
        Ok(None)
    }

    fn node(&mut self, event: Event<'a>, mark: &Mark, depth: usize) -> Result<Node, YamlError> {
        if depth > DEPTH_MAX {
            return Err(self.error(
                range(mark),
                format!("maps and lists are nested deeper than {DEPTH_MAX}"),
                "write it flatter",
            ));
        }
        match event {
            Event::Scalar(text, style, 0, None) => Ok(Node {
                span: self.scalar_span(mark),
                kind: Kind::Scalar(Scalar {
                    plain: style == ScalarStyle::Plain,
                    text: text.into_owned(),
                }),
            }),
            Event::SequenceStart(_, 0, None) => self.list(mark, depth),
            Event::MappingStart(_, 0, None) => self.map(mark, depth),
            event => Err(self.foreign(&event, mark)),
        }
    }

    /// A part of YAML that the language does not have.
    fn foreign(&self, event: &Event<'a>, mark: &Mark) -> YamlError {
        let tagged = mark.tag_span().map(|tag| range(&tag));
        if let Some(tag) = tagged {
            return self.error(
                tag,
                "a tag is not part of the language".into(),
                "remove it, or quote a text that begins with `!`",
            );
        }
        let (what, sign) = match event {
            Event::Alias(_) | Event::UnresolvedAlias(_) => ("an alias", '*'),
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                ("an anchor", '&')
            }
            _ => {
                return self.error(
                    range(mark),
                    "a value is expected here".into(),
                    "write one, or quote it",
                );
            }
        };
        let at = range(mark);
        // An anchor stands before its value: on the same line, or on the one before.
        let start = self.mapped.text()[..at.start]
            .rfind(sign)
            .unwrap_or(at.start);
        let place = if sign == '&' {
            start..start + explain::word_length(&self.mapped.text()[start..])
        } else {
            at
        };
        self.error(
            place,
            format!("{what} is not part of the language"),
            &format!("write the value out, or quote a text that begins with `{sign}`"),
        )
    }

    fn list(&mut self, mark: &Mark, depth: usize) -> Result<Node, YamlError> {
        let mut items: Vec<Node> = Vec::new();
        let start = self.enter(mark);
        let start = if range(mark).is_empty() {
            self.first_item(start)
        } else {
            start
        };
        loop {
            let (event, mark) = self.expect()?;
            if matches!(event, Event::SequenceEnd) {
                let last = items.last().map(|item| item.span.end);
                return Ok(Node {
                    span: self.leave(start, &mark, last),
                    kind: Kind::List(items),
                });
            }
            if is_missing(&event, &mark) {
                let dash = self.dash_before(range(&mark).start);
                return Err(self.no_value(dash, "an item has no value".into()));
            }
            items.push(self.node(event, &mark, depth + 1)?);
        }
    }

    fn map(&mut self, mark: &Mark, depth: usize) -> Result<Node, YamlError> {
        let mut entries: Vec<Entry> = Vec::new();
        let start = self.enter(mark);
        loop {
            let (event, mark) = self.expect()?;
            if matches!(event, Event::MappingEnd) {
                let last = entries.last().map(|entry| entry.value.span.end);
                return Ok(Node {
                    span: self.leave(start, &mark, last),
                    kind: Kind::Map(entries),
                });
            }
            let (key, key_range) = self.key(event, &mark)?;
            let key_span = self.mapped.span(key_range.start, key_range.end);
            if entries.iter().any(|entry| entry.key == key) {
                return Err(self.error(
                    key_range,
                    format!("duplicate key `{key}`"),
                    "keep one of them",
                ));
            }
            let (event, mark) = self.expect()?;
            if is_missing(&event, &mark) {
                return Err(self.no_value(key_range, format!("key `{key}` has no value")));
            }
            let value = self.node(event, &mark, depth + 1)?;
            entries.push(Entry {
                key,
                key_span,
                value,
            });
        }
    }

    /// A key's text and its place in the text.
    fn key(&self, event: Event<'a>, mark: &Mark) -> Result<(String, Range<usize>), YamlError> {
        let at = range(mark);
        match event {
            Event::Scalar(text, style, 0, None) => {
                if style == ScalarStyle::Plain && at.is_empty() {
                    return Err(self.error(
                        at,
                        "a key is missing before `:`".into(),
                        "write `key: value`",
                    ));
                }
                if style == ScalarStyle::Plain && text == "<<" {
                    return Err(self.error(
                        at,
                        "`<<` is not part of the language".into(),
                        "write the keys out",
                    ));
                }
                Ok((text.into_owned(), at))
            }
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                // The map that is the key is the inner one of two brackets.
                for start in [at.start, at.start.saturating_sub(1)] {
                    if let Some(error) = explain::unquoted_template(self.mapped, start) {
                        return Err(error);
                    }
                }
                Err(self.error(at, "a key must be a text".into(), "write `key: value`"))
            }
            event => Err(self.foreign(&event, mark)),
        }
    }

    fn expect(&mut self) -> Result<(Event<'a>, Mark), YamlError> {
        match self.next()? {
            Some(next) => Ok(next),
            None => {
                let end = self.mapped.text().len();
                Err(self.error(end..end, "the YAML ends too early".into(), "complete it"))
            }
        }
    }

    /// A key or an item without a value; what a comment behind it may have been meant to be.
    fn no_value(&self, place: Range<usize>, message: String) -> YamlError {
        let rest = self.mapped.text().get(place.end..).unwrap_or("");
        let line = rest.lines().next().unwrap_or("");
        let comment = line.trim_start_matches([':', ' ', '\t']);
        if comment.starts_with('#') {
            let text = comment.trim_end_matches([']', '}', ',', ' ']);
            return self.error(
                place,
                message,
                &format!("an unquoted `#…` is a comment: quote it: `'{text}'`"),
            );
        }
        if self.open.is_empty() {
            self.error(
                place,
                message,
                "give it a value, or remove it; an empty text is `\"\"`, nothing is `null`",
            )
        } else {
            self.error(place, message, "write `{key: value}` or `[item, item]`")
        }
    }

    /// A collection begins; returns where.
    fn enter(&mut self, mark: &Mark) -> usize {
        let at = range(mark);
        if !at.is_empty() {
            self.open.push(at.start);
        }
        at.start
    }

    /// The `-` of an item without a value; the parser is already behind its comment.
    fn dash_before(&self, at: usize) -> Range<usize> {
        let before = &self.mapped.text()[..at];
        let line = before.rfind('\n').map_or(0, |newline| newline + 1);
        let dash = before[line..]
            .find('-')
            .map(|dash| line + dash)
            .or_else(|| before.rfind('-'));
        dash.map_or(at..at, |dash| dash..dash + 1)
    }

    /// A list's first `-`: the parser gives the first item's place for a list that is not indented.
    fn first_item(&self, start: usize) -> usize {
        let text = self.mapped.text();
        if text[start..].starts_with(['-', '[']) && !text[..start].ends_with("- ") {
            return start;
        }
        text[..start]
            .trim_end_matches([' ', '\t'])
            .strip_suffix('-')
            .map_or(start, str::len)
    }

    /// A collection ends: a flow collection with its bracket, a block collection with its last value.
    fn leave(&mut self, start: usize, end: &Mark, last: Option<usize>) -> Span {
        let end = range(end);
        let begin = self.mapped.offset(start);
        if end.is_empty() {
            return Span::new(begin, last.unwrap_or(begin).max(begin));
        }
        self.open.pop();
        self.mapped.span(start, end.end)
    }

    fn span(&self, mark: &Mark) -> Span {
        let at = range(mark);
        self.mapped.span(at.start, at.end)
    }

    /// A block scalar reaches to the next key: what is blank at its end is not part of it.
    fn scalar_span(&self, mark: &Mark) -> Span {
        let at = range(mark);
        let text = self.mapped.text().get(at.clone()).unwrap_or("");
        self.mapped.span(at.start, at.start + text.trim_end().len())
    }

    fn error(&self, place: Range<usize>, message: String, hint: &str) -> YamlError {
        YamlError {
            span: self.mapped.span(place.start, place.end),
            message,
            hint: Some(hint.to_owned()),
        }
    }
}

/// Where an event stands in the text. The parser reads a `str` and so knows bytes; without them it would be the beginning.
fn range(mark: &Mark) -> Range<usize> {
    mark.byte_range().unwrap_or(0..0)
}

/// Whether the event stands for a value that was not written.
fn is_missing(event: &Event<'_>, mark: &Mark) -> bool {
    matches!(event, Event::Scalar(_, ScalarStyle::Plain, 0, None)) && range(mark).is_empty()
}

#[cfg(test)]
mod tests;
