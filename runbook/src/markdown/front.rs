//! Front matter: a YAML block between `---` lines at the very top of a chapter.

use crate::diagnostic::Diagnostic;
use crate::mapped::Mapped;
use crate::source::{Source, Span};

/// A chapter's front matter.
#[derive(Debug, Clone)]
pub struct FrontBlock {
    /// The whole block with its `---` lines and the last line's end: what the site strips.
    pub span: Span,
    /// What stands between the lines.
    pub yaml: Mapped,
}

/// Cuts the front matter off a chapter. A chapter whose first line is not `---` has none (a rule in Markdown needs no second line,
/// so a `---` that no other follows is a rule, unless what follows looks like a key: that is a front matter that was not closed).
pub(super) fn split(source: &Source) -> Result<Option<FrontBlock>, Box<Diagnostic>> {
    let text = source.text();
    let bom = if text.starts_with('\u{feff}') {
        '\u{feff}'.len_utf8()
    } else {
        0
    };
    let mut lines = text[bom..].split_inclusive('\n');
    let Some(first) = lines.next().filter(|line| line.trim_end() == "---") else {
        return Ok(None);
    };
    let mut yaml = Mapped::default();
    let mut offset = bom + first.len();
    let mut looks_like_a_key = false;
    for line in lines {
        if matches!(line.trim_end(), "---" | "...") {
            return Ok(Some(FrontBlock {
                span: Span::new(0, offset + line.len()),
                yaml,
            }));
        }
        if yaml.text().is_empty() {
            let key: &str = line.split(':').next().unwrap_or("");
            looks_like_a_key = line.contains(':')
                && !key.is_empty()
                && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        }
        yaml.push_line(line, offset);
        offset += line.len();
    }
    if !looks_like_a_key {
        return Ok(None);
    }
    let problem = Diagnostic::error(
        "unclosed-front-matter",
        source,
        Span::new(bom, bom + 3),
        "the front matter is never closed",
    )
    .hint("close it with a line `---`");
    Err(Box::new(problem))
}
