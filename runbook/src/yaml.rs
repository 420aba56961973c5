//! YAML 1.2 text to a [`Node`] with the place of every key and value in the chapter.
//!
//! Only what the language has: maps, lists, scalars. Duplicate keys, `<<`, anchors, aliases, tags, keys without a value and a second
//! document are errors, each with its place and what to do. Types are not decided here: scalars keep their text.

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
    let mut documents = documents(text)?;
    match documents.len() {
        0 => Ok(Node {
            span: text.span(0, 0),
            kind: Kind::Map(Vec::new()),
        }),
        1 => Ok(documents.remove(0)),
        _ => Err(YamlError {
            span: documents[1].span,
            message: "a second YAML document".into(),
            hint: Some("remove the `---` line".into()),
        }),
    }
}

/// Reads every document of a text, as manifests have them; empty documents are left out.
///
/// # Errors
/// The first thing that is wrong in any of them.
pub fn documents(text: &Mapped) -> Result<Vec<Node>, YamlError> {
    let mut reader = Reader {
        text,
        events: Parser::new_from_str(text.text()),
        peeked: None,
    };
    let mut documents = Vec::new();
    while let Some((event, mark)) = reader.next()? {
        match event {
            Event::StreamStart
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::StreamEnd => {}
            event => {
                let node = reader.node(event, mark, 0)?;
                if !is_empty(&node) {
                    documents.push(node);
                }
            }
        }
    }
    Ok(documents)
}

/// Whether a document says nothing (`---` followed by nothing).
fn is_empty(node: &Node) -> bool {
    matches!(&node.kind, Kind::Scalar(scalar) if scalar.plain && scalar.text.is_empty())
}

struct Reader<'a> {
    text: &'a Mapped,
    events: Parser<'a, granit_parser::StrInput<'a>>,
    peeked: Option<(Event<'a>, Mark)>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Mark)>, YamlError> {
        if let Some(peeked) = self.peeked.take() {
            return Ok(Some(peeked));
        }
        loop {
            match self.events.next_event() {
                None => return Ok(None),
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(next)) => return Ok(Some(next)),
                Some(Err(error)) => return Err(self.scan_error(&error)),
            }
        }
    }

    fn scan_error(&self, error: &granit_parser::ScanError) -> YamlError {
        let offset = error
            .marker()
            .byte_offset()
            .unwrap_or_else(|| self.text.text().len());
        let offset = offset.min(self.text.text().len());
        let full = error.to_string();
        // The parser's own place is a place in the extracted text: ours is told apart.
        let message = full
            .split(" at byte")
            .next()
            .unwrap_or(&full)
            .split(" at line")
            .next()
            .unwrap_or(&full);
        let message = format!("invalid YAML: {}", message.trim_end_matches('.'));
        let hint = if self.line_at(offset).contains('\t') {
            Some("indent with blanks, not with tabs".to_owned())
        } else if self.line_at(offset).contains("{{") {
            Some("quote a value that holds `{{ }}`".to_owned())
        } else {
            None
        };
        YamlError {
            span: self.text.span(offset, offset),
            message,
            hint,
        }
    }

    fn line_at(&self, offset: usize) -> &str {
        let text = self.text.text();
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
        let end = text[offset..]
            .find('\n')
            .map_or(text.len(), |at| offset + at);
        &text[start..end]
    }

    fn span(&self, mark: &Mark) -> Span {
        let range = mark.byte_range().unwrap_or(0..0);
        let text = self.text.text();
        let end = range.end.min(text.len());
        let start = range.start.min(end);
        // A block scalar's span reaches to the next key: what is blank at its end is not part of it.
        let end = text
            .get(start..end)
            .map_or(end, |value| start + value.trim_end().len());
        self.text.span(start, end.max(start))
    }

    fn error(&self, mark: &Mark, message: impl Into<String>, hint: Option<&str>) -> YamlError {
        YamlError {
            span: self.span(mark),
            message: message.into(),
            hint: hint.map(str::to_owned),
        }
    }

    fn node(&mut self, event: Event<'a>, mark: Mark, depth: usize) -> Result<Node, YamlError> {
        if depth > DEPTH_MAX {
            return Err(self.error(&mark, format!("nested deeper than {DEPTH_MAX}"), None));
        }
        let no_anchor = |id: usize| id == 0;
        match event {
            Event::Scalar(text, style, anchor, tag) if no_anchor(anchor) && tag.is_none() => {
                let plain = matches!(style, ScalarStyle::Plain);
                // The parser gives `~` where nothing was written.
                let written = mark.byte_range().is_none_or(|range| !range.is_empty());
                let text = if plain && !written { "".into() } else { text };
                Ok(Node {
                    span: self.span(&mark),
                    kind: Kind::Scalar(Scalar {
                        text: text.into_owned(),
                        plain,
                    }),
                })
            }
            Event::SequenceStart(_, anchor, tag) if no_anchor(anchor) && tag.is_none() => {
                self.list(mark, depth)
            }
            Event::MappingStart(_, anchor, tag) if no_anchor(anchor) && tag.is_none() => {
                self.map(mark, depth)
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => Err(self.error(
                &mark,
                "an alias is not part of the language",
                Some("write the value out, or use a variable; quote a text that begins with `*`"),
            )),
            Event::Scalar(_, _, 0, _)
            | Event::SequenceStart(_, 0, _)
            | Event::MappingStart(_, 0, _) => Err(self.error(
                &mark,
                "a tag is not part of the language",
                Some("remove it; quote a text that begins with `!`"),
            )),
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => Err(self
                .error(
                    &mark,
                    "an anchor is not part of the language",
                    Some(
                        "write the value out, or use a variable; quote a text that begins with `&`",
                    ),
                )),
            _ => Err(self.error(&mark, "invalid YAML: a value was expected", None)),
        }
    }

    fn list(&mut self, mark: Mark, depth: usize) -> Result<Node, YamlError> {
        let start = self.span(&mark);
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Some((Event::SequenceEnd, end)) => {
                    let span = self.whole(start, items.last().map(|item: &Node| item.span), &end);
                    return Ok(Node {
                        span,
                        kind: Kind::List(items),
                    });
                }
                Some((event, mark)) => items.push(self.node(event, mark, depth + 1)?),
                None => return Err(self.error(&mark, "invalid YAML: a list does not end", None)),
            }
        }
    }

    fn map(&mut self, mark: Mark, depth: usize) -> Result<Node, YamlError> {
        let start = self.span(&mark);
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            match self.next()? {
                Some((Event::MappingEnd, end)) => {
                    let first = entries.first().map_or(start, |entry| {
                        Span::new(start.start.min(entry.key_span.start), start.end)
                    });
                    let span =
                        self.whole(first, entries.last().map(|entry| entry.value.span), &end);
                    return Ok(Node {
                        span,
                        kind: Kind::Map(entries),
                    });
                }
                Some((event, mark)) => {
                    let entry = self.entry(event, mark, depth)?;
                    if let Some(first) = entries.iter().find(|known| known.key == entry.key) {
                        let _ = first;
                        return Err(YamlError {
                            span: entry.key_span,
                            message: format!("duplicate key `{}`", entry.key),
                            hint: Some("keep one of them".into()),
                        });
                    }
                    entries.push(entry);
                }
                None => return Err(self.error(&mark, "invalid YAML: a map does not end", None)),
            }
        }
    }

    fn entry(&mut self, event: Event<'a>, mark: Mark, depth: usize) -> Result<Entry, YamlError> {
        let key = match event {
            Event::Scalar(text, _, 0, None) => text.into_owned(),
            Event::MappingStart(..) if self.raw(&mark).starts_with('{') => {
                return Err(self.error(
                    &mark,
                    "a value that begins with `{{` is read as a map by YAML",
                    Some("quote it: `\"{{ … }}\"`"),
                ));
            }
            _ => return Err(self.error(&mark, "a key must be a text", None)),
        };
        let key_span = self.span(&mark);
        if key == "<<" {
            return Err(self.error(
                &mark,
                "`<<` is not part of the language",
                Some("write the keys out"),
            ));
        }
        let Some((event, value_mark)) = self.next()? else {
            return Err(self.error(&mark, format!("key `{key}` has no value"), None));
        };
        let value = self.node(event, value_mark, depth + 1)?;
        if is_empty(&value) {
            return Err(self.no_value(&key, key_span, &mark));
        }
        Ok(Entry {
            key,
            key_span,
            value,
        })
    }

    /// A key without a value; an unquoted `#…` behind it is a comment, which is what an author of references runs into.
    fn no_value(&self, key: &str, span: Span, mark: &Mark) -> YamlError {
        let offset = mark.byte_range().map_or(0, |range| range.end);
        let rest = self
            .text
            .text()
            .get(offset..)
            .unwrap_or("")
            .lines()
            .next()
            .unwrap_or("");
        let comment = rest
            .trim_start()
            .trim_start_matches(':')
            .trim_start()
            .starts_with('#');
        let hint = if comment {
            "an unquoted `#…` is a comment: quote it"
        } else {
            "give it a value, or remove it; an empty text is `\"\"`"
        };
        YamlError {
            span,
            message: format!("key `{key}` has no value"),
            hint: Some(hint.into()),
        }
    }

    fn raw(&self, mark: &Mark) -> &'a str {
        let range = mark.byte_range().unwrap_or(0..0);
        let text: &'a Mapped = self.text;
        text.text().get(range.start..).unwrap_or("")
    }

    /// From the first to the last part of a collection; a flow collection ends with its own mark.
    fn whole(&self, start: Span, last: Option<Span>, end: &Mark) -> Span {
        let end = self.span(end);
        let to = last.map_or(start.end, |last| last.end).max(start.end);
        let closing = self
            .text
            .text()
            .get(end_range(end, self.text))
            .is_some_and(|text| text == "]" || text == "}");
        Span::new(start.start, if closing { end.end.max(to) } else { to })
    }
}

/// Where a span of the source stands in the extracted text is not known; only its length is used here.
fn end_range(end: Span, text: &Mapped) -> std::ops::Range<usize> {
    let length = end.end.saturating_sub(end.start);
    let all = text.text().len();
    let offset = text.find(end.start).unwrap_or(all);
    offset.min(all)..(offset + length).min(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mapped(text: &str) -> Mapped {
        let mut mapped = Mapped::default();
        let mut offset = 0;
        for line in text.split_inclusive('\n') {
            mapped.push_line(line, offset);
            offset += line.len();
        }
        mapped
    }

    fn error(text: &str) -> (usize, String, Option<String>) {
        let error = parse(&mapped(text)).unwrap_err();
        (error.span.start, error.message, error.hint)
    }

    #[test]
    fn maps_lists_and_scalars_keep_their_order_and_their_places() {
        let text =
            "id: a\nexpect: {exit: 0, stdout: [x, y]}\nblock: |\n  one\n  two\nlast: \"q\"\n";
        let node = parse(&mapped(text)).unwrap();
        assert_eq!(
            node.to_json(),
            json!({"id": "a", "expect": {"exit": 0, "stdout": ["x", "y"]}, "block": "one\ntwo\n", "last": "q"})
        );
        let expect = node.get("expect").unwrap();
        assert_eq!(
            &text[expect.span.start..expect.span.end],
            "{exit: 0, stdout: [x, y]}"
        );
        let stdout = expect.get("stdout").unwrap();
        assert_eq!(&text[stdout.span.start..stdout.span.end], "[x, y]");
        assert_eq!(node.span, Span::new(0, text.trim_end().len()));
    }

    #[test]
    fn what_is_not_part_of_the_language_is_an_error_with_its_place() {
        assert_eq!(
            error("a: 1\na: 2\n"),
            (
                5,
                "duplicate key `a`".into(),
                Some("keep one of them".into())
            )
        );
        assert_eq!(
            error("x: 1\n<<: {a: 1}\n").1,
            "`<<` is not part of the language"
        );
        assert_eq!(
            error("a: &x 1\n").1,
            "an anchor is not part of the language"
        );
        assert_eq!(error("a: !t 1\n").1, "a tag is not part of the language");
        assert_eq!(error("a: 1\n---\nb: 2\n").1, "a second YAML document");
        let (at, message, hint) = error("needs: #section\n");
        assert_eq!((at, message.as_str()), (0, "key `needs` has no value"));
        assert!(hint.unwrap().contains("quote it"));
        let (_, message, hint) = error("a: {{ vars.x }}\n");
        assert!(
            message.contains("`{{`") && hint.unwrap().contains("quote it"),
            "{message}"
        );
    }

    #[test]
    fn deep_nesting_is_bounded() {
        assert!(parse(&mapped(&"[".repeat(10_000))).is_err());
        assert!(
            parse(&mapped(&format!(
                "a: {}{}",
                "[".repeat(100),
                "]".repeat(100)
            )))
            .unwrap_err()
            .message
            .contains("nested")
        );
    }

    #[test]
    fn an_empty_text_is_an_empty_map() {
        assert_eq!(
            parse(&mapped("# nothing\n")).unwrap().kind,
            Kind::Map(Vec::new())
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[ -~\n\tä{}\\[\\]:#&*!|>'\"-]{0,80}") {
            let _ = documents(&mapped(&text));
        }
    }
}
