//! A text taken out of a chapter, line by line, that still knows where each byte stood.
//!
//! The body of a fence in a list has its indentation removed, options have their `#|` removed: what YAML or a shell reads is
//! not what stands in the chapter, yet every error must point into the chapter.

use crate::source::Span;

/// A text and, for each of its lines, where that line begins in the source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapped {
    text: String,
    /// (offset in the text, offset in the source), ascending in both.
    lines: Vec<(usize, usize)>,
}

impl Mapped {
    /// Appends a line (with its end, if any) that begins at `source` in the chapter.
    pub fn push_line(&mut self, line: &str, source: usize) {
        self.lines.push((self.text.len(), source));
        self.text.push_str(line);
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The lines with their ends, each with its offset in the source, as they were pushed.
    pub fn lines(&self) -> impl Iterator<Item = (&str, usize)> {
        self.lines
            .iter()
            .enumerate()
            .map(|(index, (text, source))| {
                let end = self
                    .lines
                    .get(index + 1)
                    .map_or(self.text.len(), |(next, _)| *next);
                (&self.text[*text..end], *source)
            })
    }

    /// The span in the source of the whole text.
    pub fn whole(&self) -> Span {
        self.span(0, self.text.len())
    }

    /// Where a byte of the text stands in the source.
    pub fn offset(&self, offset: usize) -> usize {
        let index = self
            .lines
            .partition_point(|(text, _)| *text <= offset)
            .saturating_sub(1);
        self.lines
            .get(index)
            .map_or(0, |(text, source)| source + (offset - text))
    }

    /// Where a byte of the source stands in the text; `None` for a byte that was left out.
    pub fn find(&self, source: usize) -> Option<usize> {
        let index = self
            .lines
            .partition_point(|(_, start)| *start <= source)
            .checked_sub(1)?;
        let (text, start) = self.lines[index];
        let end = self
            .lines
            .get(index + 1)
            .map_or(self.text.len(), |(next, _)| *next);
        let offset = text + (source - start);
        (offset < end).then_some(offset)
    }

    /// The span in the source of a span in the text.
    pub fn span(&self, start: usize, end: usize) -> Span {
        let from = self.offset(start);
        // The end belongs to the line of its last byte, so that a span never reaches into the next line's prefix.
        let to = if end > start {
            self.offset(end - 1) + 1
        } else {
            from
        };
        Span::new(from, to.max(from))
    }

    /// A part of the text, with its places.
    #[must_use]
    pub fn slice(&self, start: usize, end: usize) -> Self {
        let text = self.text.get(start..end).unwrap_or("").to_owned();
        let first = self.lines.partition_point(|(text, _)| *text <= start);
        let inside = self.lines[first..]
            .iter()
            .take_while(|(text, _)| *text < end)
            .map(|(text, source)| (text - start, *source));
        let lines = std::iter::once((0, self.offset(start)))
            .chain(inside)
            .collect();
        Self { text, lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_knows_its_place() {
        let mut mapped = Mapped::default();
        mapped.push_line("id: a\n", 10);
        mapped.push_line("on: b\n", 30);
        assert_eq!(mapped.text(), "id: a\non: b\n");
        assert_eq!(mapped.span(4, 5), Span::new(14, 15));
        assert_eq!(mapped.span(6, 8), Span::new(30, 32));
        assert_eq!(mapped.span(4, 8), Span::new(14, 32));
    }
}
