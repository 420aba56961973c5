//! A text and the places in it: byte spans, lines and columns.
//!
//! Every diagnostic, step and key knows where it stands in the chapter's own source. Spans are byte offsets; lines and
//! columns count from 1, columns in characters (DESIGN section 6). Reads nothing.

use std::sync::Arc;

/// A range of bytes in a [`Source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// A span from `start` up to `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The empty span at `offset`.
    pub fn at(offset: usize) -> Self {
        Self::new(offset, offset)
    }
}

/// A line and a column, both from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A file of the book: its path relative to the book's root, its text, and where its lines begin.
#[derive(Debug, Clone)]
pub struct Source {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: String,
    text: String,
    line_starts: Vec<usize>,
}

impl Source {
    /// Takes a text under the path that diagnostics show.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let line_starts = std::iter::once(0)
            .chain(
                text.bytes()
                    .enumerate()
                    .filter(|(_, b)| *b == b'\n')
                    .map(|(i, _)| i + 1),
            )
            .collect();
        Self {
            inner: Arc::new(Inner {
                path: path.into(),
                text,
                line_starts,
            }),
        }
    }

    /// The path relative to the book's root.
    pub fn path(&self) -> &str {
        &self.inner.path
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// The text under a span; spans that do not fit give the empty text.
    pub fn slice(&self, span: Span) -> &str {
        self.inner.text.get(span.start..span.end).unwrap_or("")
    }

    /// The line and column of a byte offset; offsets past the end are the end.
    pub fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.inner.text.len());
        let line = self
            .inner
            .line_starts
            .partition_point(|start| *start <= offset)
            - 1;
        let start = self.inner.line_starts[line];
        let column = self
            .inner
            .text
            .get(start..offset)
            .map_or(offset - start, |s| s.chars().count());
        Position {
            line: line as u32 + 1,
            column: column as u32 + 1,
        }
    }

    /// The text of a line (from 1) without its end.
    pub fn line(&self, line: u32) -> &str {
        let index = (line as usize).saturating_sub(1);
        let Some(&start) = self.inner.line_starts.get(index) else {
            return "";
        };
        let end = self
            .inner
            .line_starts
            .get(index + 1)
            .map_or(self.inner.text.len(), |next| next - 1);
        self.inner
            .text
            .get(start..end)
            .unwrap_or("")
            .trim_end_matches('\r')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        let source = Source::new("src/a.md", "äb\r\nc\n");
        assert_eq!(source.position(2), Position { line: 1, column: 2 });
        assert_eq!(source.position(5), Position { line: 2, column: 1 });
        assert_eq!(source.line(1), "äb");
        assert_eq!(source.line(2), "c");
        assert_eq!(source.position(99), Position { line: 3, column: 1 });
    }
}
