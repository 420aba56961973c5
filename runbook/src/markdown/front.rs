//! Front matter: a YAML map between `---` and `---` (or `...`) at the very top of a chapter.
//!
//! A chapter may as well begin with a thematic break, so it is front matter exactly when the first line is `---`, the next one
//! is not blank, and the first line that is not a comment has the form `key:` (or is already the closing marker).

use super::{Chapter, FrontBlock};
use crate::diagnostic::Diagnostic;
use crate::mapped::Mapped;
use crate::source::{Source, Span};

/// Reads the front matter, if any; returns where the Markdown begins.
pub(super) fn read(source: &Source, chapter: &mut Chapter) -> usize {
    let text = source.text();
    // mdBook removes a byte order mark when it loads a chapter.
    let start = if text.starts_with('\u{feff}') {
        '\u{feff}'.len_utf8()
    } else {
        0
    };
    let mut lines = lines(text, start);
    let Some((_, first)) = lines.next().filter(|(_, line)| line.trim_end() == "---") else {
        return start;
    };
    let body = start + first.len();
    if !is_front_matter(&text[body..]) {
        return start;
    }
    let mut yaml = Mapped::default();
    for (offset, line) in lines {
        if matches!(line.trim_end(), "---" | "...") {
            let end = offset + line.len();
            chapter.front = Some(FrontBlock {
                span: Span::new(start, end),
                yaml,
            });
            return end;
        }
        match line.strip_suffix("\r\n") {
            Some(content) => {
                yaml.push_line(content, offset);
                yaml.push_line("\n", offset + content.len() + 1);
            }
            None => yaml.push_line(line, offset),
        }
    }
    chapter.problems.push(
        Diagnostic::error(
            "unclosed-front-matter",
            source,
            Span::new(start, start + 3),
            "the front matter is not closed",
        )
        .hint("close it with a line `---`; for a line across the page write `***`"),
    );
    start
}

fn is_front_matter(text: &str) -> bool {
    for (number, (_, line)) in lines(text, 0).enumerate() {
        let line = line.trim_end();
        if matches!(line, "---" | "...") {
            return true;
        }
        if line.is_empty() && number == 0 {
            return false;
        }
        if !line.is_empty() && !line.starts_with('#') {
            return is_entry(line);
        }
    }
    false
}

/// Whether a line has the form `key:` or `key: value`.
fn is_entry(line: &str) -> bool {
    line.split_once(':').is_some_and(|(key, value)| {
        let key = key.trim_matches(['"', '\'']);
        !key.is_empty()
            && key
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
            && (value.is_empty() || value.starts_with([' ', '\t']))
    })
}

/// The lines of a text with their ends, and where each begins, from a byte on.
fn lines(text: &str, start: usize) -> impl Iterator<Item = (usize, &str)> {
    let mut offset = start;
    text[start..].split_inclusive('\n').map(move |line| {
        let at = offset;
        offset += line.len();
        (at, line)
    })
}
