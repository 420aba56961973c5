//! Desired state of one line of a file: the content that the file would have.
//!
//! Pure: reading, comparing and writing the file is [`super::file`]'s.

use regex::Regex;

/// A wish for one line.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The line, without its end.
    pub line: String,
    /// Which line it replaces: the last that matches.
    pub matching: Option<Regex>,
    /// Whether it is to be there, or not.
    pub present: bool,
}

/// The content with the wish fulfilled; the same bytes when it is already.
pub fn apply(content: &str, wish: &Wish) -> String {
    if wish.present {
        with_line(content, wish)
    } else {
        without_line(content, wish)
    }
}

fn with_line(content: &str, wish: &Wish) -> String {
    let lines: Vec<&str> = content.split_inclusive('\n').collect();
    if let Some(matching) = &wish.matching
        && let Some(last) = lines.iter().rposition(|line| matching.is_match(text(line)))
    {
        let mut changed = lines[..last].concat();
        changed.push_str(&wish.line);
        changed.push_str(&lines[last][text(lines[last]).len()..]);
        changed.push_str(&lines[last + 1..].concat());
        return changed;
    }
    if lines.iter().any(|line| text(line) == wish.line) {
        return content.to_owned();
    }
    let end = if lines.first().is_some_and(|line| line.ends_with("\r\n")) {
        "\r\n"
    } else {
        "\n"
    };
    let mut changed = content.to_owned();
    if !content.is_empty() && !content.ends_with('\n') {
        changed.push_str(end);
    }
    changed.push_str(&wish.line);
    changed.push_str(end);
    changed
}

fn without_line(content: &str, wish: &Wish) -> String {
    let goes = |line: &str| match &wish.matching {
        Some(matching) => matching.is_match(text(line)),
        None => text(line) == wish.line,
    };
    content
        .split_inclusive('\n')
        .filter(|line| !goes(line))
        .collect()
}

/// A line without its end.
fn text(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(line: &str, matching: Option<&str>, present: bool) -> Wish {
        Wish {
            line: line.into(),
            matching: matching.map(|regex| Regex::new(regex).unwrap()),
            present,
        }
    }

    #[test]
    fn a_line_is_appended_once() {
        for (content, changed) in [
            ("", "x=1\n"),
            ("a\n", "a\nx=1\n"),
            ("a", "a\nx=1\n"),
            ("a\r\nb\r\n", "a\r\nb\r\nx=1\r\n"),
            ("x=1\na\n", "x=1\na\n"),
            ("a\nx=1", "a\nx=1"),
            ("x=12\n", "x=12\nx=1\n"),
        ] {
            assert_eq!(
                apply(content, &wish("x=1", None, true)),
                changed,
                "{content:?}"
            );
        }
    }

    #[test]
    fn the_last_line_that_matches_is_replaced() {
        let wish = wish("x=2", Some("^x="), true);
        for (content, changed) in [
            ("x=0\nx=1\ny\n", "x=0\nx=2\ny\n"),
            ("x=1\r\ny\r\n", "x=2\r\ny\r\n"),
            ("x=1", "x=2"),
            ("y\n", "y\nx=2\n"),
            ("x=2\n", "x=2\n"),
        ] {
            assert_eq!(apply(content, &wish), changed, "{content:?}");
            assert_eq!(apply(changed, &wish), changed, "twice is once: {content:?}");
        }
    }

    #[test]
    fn a_line_that_the_regex_does_not_match_is_not_added_twice() {
        let wish = wish("enabled", Some("^#?disabled"), true);
        let once = apply("disabled\n", &wish);
        assert_eq!(once, "enabled\n");
        assert_eq!(apply(&once, &wish), once);
    }

    #[test]
    fn every_such_line_goes() {
        assert_eq!(apply("a\nx\nb\nx", &wish("x", None, false)), "a\nb\n");
        assert_eq!(
            apply("a=1\nb\na=2\n", &wish("unused", Some("^a="), false)),
            "b\n"
        );
        assert_eq!(apply("b\n", &wish("x", None, false)), "b\n");
    }
}
