//! Where a part of a value's text stands in the chapter.
//!
//! A scalar's text is what YAML made of the source: folded, unescaped, without indentation. A part of it that stands in one
//! line is found again as it is; where it is not, the whole value is the place.

use std::ops::Range;

use crate::source::{Source, Span};

/// The span of `text[range]`, a part of the value that stands at `span`.
pub fn locate(source: &Source, span: Span, text: &str, range: Range<usize>) -> Span {
    let Some(part) = text.get(range.clone()).filter(|part| !part.is_empty()) else {
        return span;
    };
    let before = text[..range.start].matches(part).count();
    let written = source.slice(span);
    match written
        .match_indices(part)
        .nth(before)
        .or_else(|| written.match_indices(part).next())
    {
        Some((offset, _)) => Span::new(span.start + offset, span.start + offset + part.len()),
        // What an include brought in stands where the include stands.
        None => match written.find("{{#include") {
            Some(offset) => {
                let length = written[offset..].find("}}").map_or(2, |end| end + 2);
                Span::new(span.start + offset, span.start + offset + length)
            }
            None => span,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_of_two_equal_parts_is_found() {
        let source = Source::new("a.md", "x: \"{{ a }} {{ a }}\"\n");
        let text = "{{ a }} {{ a }}";
        assert_eq!(
            locate(&source, Span::new(3, 20), text, 8..15),
            Span::new(12, 19)
        );
        assert_eq!(
            locate(&source, Span::new(3, 20), "other", 0..5),
            Span::new(3, 20)
        );
    }
}
