//! The shapes that nearly every step has, read without a YAML parser: `key: value` lines, nested maps, lists and maps in one line.
//!
//! Most of the time of reading a book goes into YAML, and most of its YAML is this. Whatever is not exactly as here (comments, block
//! scalars, block lists, escapes, anything but ASCII, any error) is left to the parser: `None`. That both read the same node
//! with the same places is a property that is tested.

use crate::mapped::Mapped;
use crate::node::{Entry, Kind, Node, Scalar};
use crate::source::Span;

/// How deep maps may nest here; deeper ones are the parser's.
const DEPTH_MAX: usize = 16;

/// Reads a document of the simple shape.
pub(super) fn parse(mapped: &Mapped) -> Option<Node> {
    let text = mapped.text();
    if text
        .bytes()
        .any(|b| !matches!(b, b'\n' | b' '..=b'~') || b == b'#' || b == b'\\')
    {
        return None;
    }
    let mut reader = Reader {
        mapped,
        bytes: text.as_bytes(),
        at: 0,
    };
    let node = reader.map(0, 0)?;
    (reader.at == text.len()).then_some(node)
}

struct Reader<'a> {
    mapped: &'a Mapped,
    bytes: &'a [u8],
    at: usize,
}

/// Characters of a key that is not quoted.
fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$')
}

/// What a plain value may begin with here.
fn begins_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'/' | b'.' | b'$' | b'^' | b'(')
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn text(&self, from: usize, to: usize) -> &str {
        &self.mapped.text()[from..to]
    }

    fn scalar(&self, from: usize, to: usize, quotes: usize) -> Node {
        let text = self.text(from + quotes, to - quotes).to_owned();
        Node {
            span: self.mapped.span(from, to),
            kind: Kind::Scalar(Scalar {
                text,
                plain: quotes == 0,
            }),
        }
    }

    /// The lines of a block map that are indented so.
    fn map(&mut self, indent: usize, depth: usize) -> Option<Node> {
        let mut entries: Vec<Entry> = Vec::new();
        let start = self.at + indent;
        while self.at < self.bytes.len() && self.indent()? == indent {
            self.at += indent;
            let (key, key_span) = self.key()?;
            self.take(b':')?;
            let value = if self.peek()? == b'\n' {
                self.at += 1;
                let inner = self.indent()?;
                if inner <= indent || depth + 1 > DEPTH_MAX {
                    return None;
                }
                self.map(inner, depth + 1)?
            } else {
                self.take(b' ')?;
                let value = self.value(false, depth)?;
                if self.at < self.bytes.len() {
                    self.take(b'\n')?;
                }
                value
            };
            push(&mut entries, key, key_span, value)?;
        }
        // A line between this map's and its parent's indentation is an error for the parser to explain.
        if self.at < self.bytes.len() && self.indent()? > indent {
            return None;
        }
        let end = entries.last()?.value.span.end;
        Some(Node {
            span: Span::new(self.mapped.offset(start), end),
            kind: Kind::Map(entries),
        })
    }

    /// How far the line is indented; `None` when it is blank.
    fn indent(&self) -> Option<usize> {
        let blanks = self.bytes[self.at..]
            .iter()
            .take_while(|byte| **byte == b' ')
            .count();
        (*self.bytes.get(self.at + blanks)? != b'\n').then_some(blanks)
    }

    fn key(&mut self) -> Option<(String, Span)> {
        let start = self.at;
        if !self
            .peek()
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$')
        {
            return None;
        }
        while self.peek().is_some_and(is_key) {
            self.at += 1;
        }
        Some((
            self.text(start, self.at).to_owned(),
            self.mapped.span(start, self.at),
        ))
    }

    /// A value in one line; in a flow collection it ends at its punctuation.
    fn value(&mut self, flow: bool, depth: usize) -> Option<Node> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.peek()? {
            b'{' => self.flow_map(depth),
            b'[' => self.flow_list(depth),
            quote @ (b'\'' | b'"') => self.quoted(quote, flow),
            byte if begins_plain(byte) => self.plain(flow),
            _ => None,
        }
    }

    fn quoted(&mut self, quote: u8, flow: bool) -> Option<Node> {
        let start = self.at;
        let length = self.bytes[start + 1..]
            .iter()
            .position(|byte| *byte == quote || *byte == b'\n')?;
        let end = start + 1 + length;
        if self.bytes[end] != quote {
            return None;
        }
        self.at = end + 1;
        let ends = match self.peek() {
            None | Some(b'\n') => !flow,
            Some(b',' | b']' | b'}') => flow,
            // Two quotes are one in the text.
            Some(_) => false,
        };
        ends.then(|| self.scalar(start, self.at, 1))
    }

    fn plain(&mut self, flow: bool) -> Option<Node> {
        let start = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => break,
                b',' | b']' | b'}' if flow => break,
                b'[' | b'{' if flow => return None,
                // `a: b` would be a map; `a:` and `:,` have meanings of their own.
                b':' if !self
                    .bytes
                    .get(self.at + 1)
                    .is_some_and(|next| next.is_ascii_alphanumeric() || *next == b'/') =>
                {
                    return None;
                }
                _ => self.at += 1,
            }
        }
        let ends_well = self.bytes[self.at - 1] != b' '
            && (!flow || self.peek().is_some_and(|byte| byte != b'\n'));
        ends_well.then(|| self.scalar(start, self.at, 0))
    }

    fn flow_map(&mut self, depth: usize) -> Option<Node> {
        let start = self.at;
        let mut entries = Vec::new();
        self.take(b'{')?;
        while self.peek()? != b'}' {
            if !entries.is_empty() {
                self.separator()?;
            }
            let (key, key_span) = self.key()?;
            self.take(b':')?;
            self.take(b' ')?;
            let value = self.value(true, depth + 1)?;
            push(&mut entries, key, key_span, value)?;
        }
        self.at += 1;
        Some(Node {
            span: self.mapped.span(start, self.at),
            kind: Kind::Map(entries),
        })
    }

    fn flow_list(&mut self, depth: usize) -> Option<Node> {
        let start = self.at;
        let mut items = Vec::new();
        self.take(b'[')?;
        while self.peek()? != b']' {
            if !items.is_empty() {
                self.separator()?;
            }
            items.push(self.value(true, depth + 1)?);
        }
        self.at += 1;
        Some(Node {
            span: self.mapped.span(start, self.at),
            kind: Kind::List(items),
        })
    }

    fn separator(&mut self) -> Option<()> {
        self.take(b',')?;
        self.take(b' ')
    }
}

/// Adds an entry; a duplicate key is an error for the parser to explain.
fn push(entries: &mut Vec<Entry>, key: String, key_span: Span, value: Node) -> Option<()> {
    if entries.iter().any(|entry| entry.key == key) {
        return None;
    }
    entries.push(Entry {
        key,
        key_span,
        value,
    });
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mapped(text: &str, prefix: usize) -> Mapped {
        let mut mapped = Mapped::default();
        let mut offset = 0;
        for line in text.split_inclusive('\n') {
            offset += prefix;
            mapped.push_line(line, offset);
            offset += line.len();
        }
        mapped
    }

    #[test]
    fn the_usual_shapes_are_read_here() {
        for text in [
            "id: a\non: local\n",
            "id: a\nexpect: {stdout: {contains: [ok, 'b c']}, exit: 0}\ncapture: {x: {json: '$.a[0]'}}",
            "id: a\nhttp:\n  url: http://127.0.0.1:80/x?y=1\n  headers:\n    Accept: text/plain\n  json: {}\nexpect: {status: 200, header: {content-type: \"a\"}}\n",
            "retry: {for: 1m, every: 250ms}\nneeds: []\n",
        ] {
            let mapped = mapped(text, 3);
            let node = parse(&mapped).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(Ok(node), super::super::full(&mapped), "{text}");
        }
    }

    #[test]
    fn everything_else_is_left_to_the_parser() {
        for text in [
            "",
            "a",
            "- a\n",
            "a: b: c\n",
            "a: b # c\n",
            "a: |\n  b\n",
            "a: 'it''s'\n",
            "a: \"\\n\"\n",
            "a: b\na: c\n",
            "a:\n",
            "a:\n  b: c\n d: e\n",
            "a: ä\n",
            "a: {b: c\n",
            "a: &b c\n",
            "a: b\n\nc: d\n",
            "a: {b:c}\n",
            "---\na: b\n",
        ] {
            assert_eq!(parse(&mapped(text, 0)), None, "{text}");
        }
    }

    const PIECES: &[&str] = &[
        "a",
        "b",
        "id",
        "x-y",
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n    ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        ",",
        "'",
        "\"",
        " ",
        "1",
        "true",
        "null",
        "~",
        "-",
        "- ",
        "a: b\n",
        "c: {d: e}\n",
        "f: [g, h]\n",
        "i:\n  j: k\n",
        "$.a",
        "*",
        "&",
        "!",
        "|",
        ">",
        "%",
        "@",
        "`",
        "?",
        "? ",
        "http://x/y",
        "a:b",
        "<<",
        "...",
        "---",
        "''",
        "\"\"",
        "(",
        ")",
        "^",
        "/",
        ".",
        "=",
        "{}",
        "[]",
        "a: {b: 'c, d', e: \"f: g\"}\n",
    ];

    /// Lines of the right shape with values that may be anything.
    fn lines() -> impl Strategy<Value = String> {
        let value = prop::collection::vec(
            prop::sample::select(
                PIECES
                    .iter()
                    .copied()
                    .filter(|piece| !piece.contains('\n'))
                    .collect::<Vec<_>>(),
            ),
            1..5,
        );
        let line = (
            prop::sample::select(&["", "", "", "  ", "    "][..]),
            value,
            any::<bool>(),
        );
        prop::collection::vec(line, 1..5).prop_map(|lines| {
            let mut text = String::new();
            for (index, (indent, value, opens)) in lines.into_iter().enumerate() {
                let value = if opens {
                    String::new()
                } else {
                    format!(" {}", value.concat())
                };
                text.push_str(&format!("{indent}k{index}:{value}\n"));
            }
            text
        })
    }

    proptest! {
        #[test]
        fn what_is_read_here_is_what_the_parser_reads(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..14), prefix in 0usize..4) {
            let mapped = mapped(&pieces.concat(), prefix);
            if let Some(node) = parse(&mapped) {
                prop_assert_eq!(Ok(node), super::super::full(&mapped));
            }
        }

        #[test]
        fn whatever_value_stands_in_a_line_both_read_the_same(text in lines(), prefix in 0usize..4) {
            let mapped = mapped(&text, prefix);
            if let Some(node) = parse(&mapped) {
                prop_assert_eq!(Ok(node), super::super::full(&mapped));
            }
        }
    }
}
