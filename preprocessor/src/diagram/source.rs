//! What an author wrote in a diagram's fence: options of the `{mermaid}` form, and its `click` lines with their places.
//!
//! Knows just enough of Mermaid's text to find those; the diagram itself is parsed by merman.

use std::ops::Range;

/// The option names of a `{mermaid}` directive, as MyST and sphinxcontrib-mermaid know them. A `---` block that holds another name is
/// Mermaid's own front matter.
const OPTIONS: &[&str] = &[
    "name", "caption", "alt", "align", "zoom", "class", "width", "height",
];

/// A fence's text, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Text<'a> {
    /// Where the diagram begins in the source.
    pub(super) offset: usize,
    /// The diagram.
    pub(super) diagram: &'a str,
    /// `caption`.
    pub(super) caption: Option<String>,
    /// `alt`.
    pub(super) alt: Option<String>,
}

/// Whether a fence's info string names a diagram: `mermaid`, `{mermaid}`, also with attributes after it.
pub fn is_diagram(info: &str) -> bool {
    let word = info.trim_start();
    let end = word
        .find(|c: char| c.is_whitespace() || c == ',')
        .unwrap_or(word.len());
    matches!(&word[..end], "mermaid" | "{mermaid}")
}

/// Takes the options off the top.
pub(super) fn take_apart(source: &str) -> Text<'_> {
    let mut text = Text {
        diagram: source,
        ..Text::default()
    };
    let rest = colon_options(source, &mut text);
    let rest = dashed_options(rest, &mut text);
    text.offset = source.len() - rest.len();
    text.diagram = rest;
    text
}

/// `:name: value` lines, with blank lines between and after them.
fn colon_options<'a>(source: &'a str, text: &mut Text<'_>) -> &'a str {
    let mut rest = source;
    let mut found = false;
    while let Some(line) = rest.split_inclusive('\n').next() {
        let trimmed = line.trim();
        let option = trimmed
            .strip_prefix(':')
            .and_then(|line| line.split_once(':'))
            .filter(|(name, _)| is_name(name));
        match option {
            Some((name, value)) => {
                set(text, name, value);
                found = true;
            }
            None if trimmed.is_empty() => {}
            None => break,
        }
        rest = &rest[line.len()..];
    }
    if found { rest } else { source }
}

/// A block of options between `---` lines; Mermaid's own front matter stays.
fn dashed_options<'a>(source: &'a str, text: &mut Text<'_>) -> &'a str {
    let mut lines = source.split_inclusive('\n');
    let mut taken = 0;
    loop {
        let Some(line) = lines.next() else {
            return source;
        };
        taken += line.len();
        match line.trim() {
            "" => {}
            "---" => break,
            _ => return source,
        }
    }
    let mut options = Vec::new();
    for line in lines {
        taken += line.len();
        let line = line.trim_end();
        if line.trim() == "---" {
            for (name, value) in options {
                set(text, name, value);
            }
            return &source[taken..];
        }
        match line.split_once(':') {
            Some((name, value)) if OPTIONS.contains(&name) => options.push((name, value)),
            _ if line.is_empty() => {}
            _ => return source,
        }
    }
    source
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

fn set(text: &mut Text<'_>, name: &str, value: &str) {
    let value = value.trim();
    let inner = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    let value = inner.unwrap_or(value).to_owned();
    if value.is_empty() {
        return;
    }
    match name {
        "caption" => text.caption = Some(value),
        "alt" => text.alt = Some(value),
        _ => {}
    }
}

/// One `click` line that has a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Click<'a> {
    /// The nodes it names.
    pub(super) nodes: Vec<&'a str>,
    /// The link as written.
    pub(super) link: &'a str,
    /// Where the link stands in the diagram's text.
    pub(super) span: Range<usize>,
}

/// Every `click NODE "link"`, `click NODE href "link"` and `link NODE "link"` line.
pub(super) fn clicks(diagram: &str) -> Vec<Click<'_>> {
    let mut clicks = Vec::new();
    let mut start = 0;
    for line in diagram.split_inclusive('\n') {
        if let Some(mut click) = click(line) {
            click.span = click.span.start + start..click.span.end + start;
            clicks.push(click);
        }
        start += line.len();
    }
    clicks
}

fn click(line: &str) -> Option<Click<'_>> {
    let text = line.trim_start();
    let rest = text
        .strip_prefix("click")
        .or_else(|| text.strip_prefix("link"))?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    let rest = rest.trim_start();
    let (nodes, rest) = rest.split_once([' ', '\t'])?;
    let rest = rest.trim_start();
    let rest = rest.strip_prefix("href").map_or(rest, str::trim_start);
    let inner = rest.strip_prefix('"')?;
    let link = &inner[..inner.find('"')?];
    let at = line.len() - inner.len();
    Some(Click {
        nodes: nodes.split(',').map(str::trim).collect(),
        link,
        span: at..at + link.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_fence_forms_are_diagrams() {
        for info in [
            "mermaid",
            "{mermaid}",
            " mermaid",
            "mermaid foo",
            "{mermaid} x",
            "mermaid,ignore",
        ] {
            assert!(is_diagram(info), "{info}");
        }
        for info in [
            "",
            "mermaids",
            "bash",
            "{mermaid",
            "mermaid-js",
            "rust mermaid",
        ] {
            assert!(!is_diagram(info), "{info}");
        }
    }

    #[test]
    fn options_of_a_directive_are_taken_off() {
        let text = take_apart(":name: layers\n:alt: The layers\n\nflowchart TD\n A-->B\n");
        assert_eq!(text.diagram, "flowchart TD\n A-->B\n");
        assert_eq!(text.alt.as_deref(), Some("The layers"));
        assert_eq!(text.offset, 32);
        let text = take_apart("---\nname: x\ncaption: \"A picture\"\n---\ngraph LR\n");
        assert_eq!(text.diagram, "graph LR\n");
        assert_eq!(text.caption.as_deref(), Some("A picture"));
    }

    #[test]
    fn front_matter_of_mermaid_stays() {
        let source = "---\ntitle: Hello\n---\ngraph LR\n";
        assert_eq!(take_apart(source).diagram, source);
        let open = "---\nname: x\ngraph LR\n";
        assert_eq!(take_apart(open).diagram, open);
    }

    #[test]
    fn clicks_are_found_with_their_places() {
        let text = "graph TD\n  click A,B \"x#y\" \"tip\"\nclick C href \"z\" _blank\nclick D call cb(\"a\")\nclickable --> D\n";
        let found = clicks(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].nodes, ["A", "B"]);
        assert_eq!(&text[found[0].span.clone()], "x#y");
        assert_eq!(found[1].link, "z");
        assert_eq!(&text[found[1].span.clone()], "z");
    }
}
