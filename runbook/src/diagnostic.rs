//! What is wrong with a book, where, and what to do: one type for errors and warnings of every check.
//!
//! A diagnostic is a value; [`Diagnostic::render`] gives the text for people (`error: …`, ` --> file:line:column`, the excerpt
//! with a caret, `hint: …`). Several are reported in one pass. Prints nothing.

use schemars::JsonSchema;
use serde::Serialize;

use crate::source::{Source, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The book is invalid: exit code 3.
    Error,
    /// The book may be used.
    Warning,
}

/// One finding about a book, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Diagnostic {
    /// The rule's name, kebab-case, stable: `unknown-key`, `duplicate-id`, `undefined-name`.
    pub rule: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// The file relative to the book's root.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// A lowercase fragment, the user's values in backticks.
    pub message: String,
    /// What to do, imperative.
    pub hint: Option<String>,
    /// The source line and the characters to underline; not part of the machine output.
    #[serde(skip)]
    #[schemars(skip)]
    pub excerpt: Option<Excerpt>,
}

/// The part of a source line around a place, and how much of it to underline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The part, at most `EXCERPT_CHARACTERS_MAX` characters: a line may be as long as a file.
    pub text: String,
    /// How many characters of the line stand before the part.
    pub skipped: u32,
    /// Whether the line goes on behind the part.
    pub more: bool,
    /// How many characters are underlined, at least 1.
    pub length: u32,
}

/// How many characters of a long line an excerpt shows.
const EXCERPT_CHARACTERS_MAX: usize = 160;
/// How many of them stand before the place.
const EXCERPT_CHARACTERS_BEFORE: usize = 40;

impl Excerpt {
    /// The part of a line around a column.
    fn around(line: &str, column: u32, length: u32) -> Self {
        let at = (column as usize).saturating_sub(1);
        let long = line.chars().nth(EXCERPT_CHARACTERS_MAX).is_some();
        let skipped = if long {
            at.saturating_sub(EXCERPT_CHARACTERS_BEFORE)
        } else {
            0
        };
        let mut rest = line.chars().skip(skipped);
        let text = rest.by_ref().take(EXCERPT_CHARACTERS_MAX).collect();
        Self {
            text,
            skipped: skipped as u32,
            more: rest.next().is_some(),
            length: length.max(1),
        }
    }

    /// The part as a terminal shows it, how many of its columns stand before the place, and how many are underlined.
    fn shown(&self, column: u32) -> (String, usize, usize) {
        let at = column.saturating_sub(1).saturating_sub(self.skipped) as usize;
        let mut shown = String::new();
        let (mut before, mut under) = (0, 0);
        if self.skipped > 0 {
            shown.push('…');
            before += 1;
        }
        for (index, c) in self.text.chars().enumerate() {
            let columns = show(c, &mut shown);
            if index < at {
                before += columns;
            } else if index < at + self.length as usize {
                under += columns;
            }
        }
        if self.more {
            shown.push('…');
        }
        (shown.trim_end().to_owned(), before, under.max(1))
    }
}

/// How many blanks stand for a tab.
const TAB: usize = 4;

/// Appends a character as it is shown, tabs as blanks and what steers a terminal as a dot; returns its columns.
fn show(c: char, text: &mut String) -> usize {
    if c == '\t' {
        text.extend(std::iter::repeat_n(' ', TAB));
        return TAB;
    }
    let c = if is_steering(c) { '·' } else { c };
    text.push(c);
    match u32::from(c) {
        // Combining marks, joiners, variation selectors.
        0x300..=0x36f | 0x200b..=0x200f | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        // East Asian wide characters and emoji.
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// Control characters, and those that turn the direction of a text so that it reads as another one.
fn is_steering(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text of ours that may hold an author's values, harmless for a terminal.
fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if is_steering(c) && c != '\n' { '·' } else { c })
        .collect()
}

impl Diagnostic {
    /// An error at a span of a source.
    pub fn error(
        rule: &'static str,
        source: &Source,
        span: Span,
        message: impl Into<String>,
    ) -> Self {
        Self::at(rule, Severity::Error, source, span, message.into())
    }

    /// A warning at a span of a source.
    pub fn warning(
        rule: &'static str,
        source: &Source,
        span: Span,
        message: impl Into<String>,
    ) -> Self {
        Self::at(rule, Severity::Warning, source, span, message.into())
    }

    /// An error about a file as a whole (unreadable, not UTF-8): line 1, column 1, no excerpt.
    pub fn file(rule: &'static str, file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            rule,
            severity: Severity::Error,
            file: file.into(),
            line: 1,
            column: 1,
            message: message.into(),
            hint: None,
            excerpt: None,
        }
    }

    /// The text for people: `error: …`, ` --> file:line:column`, the excerpt with a caret, `hint: …`. Ends in a line end.
    pub fn render(&self, color: bool) -> String {
        let paint = |style: &str, text: &str| {
            if color {
                format!("\u{1b}[{style}m{text}\u{1b}[0m")
            } else {
                text.to_owned()
            }
        };
        let (label, style) = match self.severity {
            Severity::Error => ("error", "1;31"),
            Severity::Warning => ("warning", "1;33"),
        };
        let mut text = format!("{}: {}\n", paint(style, label), harmless(&self.message));
        let gutter = " ".repeat(self.line.to_string().len());
        text.push_str(&format!(
            "{gutter}{} {}:{}:{}\n",
            paint("1;34", "-->"),
            harmless(&self.file),
            self.line,
            self.column
        ));
        if let Some(excerpt) = &self.excerpt {
            let bar = paint("1;34", "|");
            let (line, before, under) = excerpt.shown(self.column);
            text.push_str(&format!("{gutter} {bar}\n"));
            text.push_str(&format!(
                "{} {bar} {line}\n",
                paint("1;34", &self.line.to_string())
            ));
            text.push_str(&format!(
                "{gutter} {bar} {}{}\n",
                " ".repeat(before),
                paint(style, &"^".repeat(under))
            ));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("{}: {}\n", paint("1;36", "hint"), harmless(hint)));
        }
        text
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn at(
        rule: &'static str,
        severity: Severity,
        source: &Source,
        span: Span,
        message: String,
    ) -> Self {
        let start = source.position(span.start);
        let end = source.position(span.end.max(span.start));
        let text = source.line(start.line);
        let length = if end.line == start.line {
            end.column.saturating_sub(start.column)
        } else {
            (text.chars().count() as u32 + 1).saturating_sub(start.column)
        };
        Self {
            rule,
            severity,
            file: source.path().to_owned(),
            line: start.line,
            column: start.column,
            message,
            hint: None,
            excerpt: Some(Excerpt::around(text, start.column, length)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_its_line_and_a_caret_below_the_place() {
        let source = Source::new("src/a.md", "# T\n\ttimout: 日本 3s\n");
        let error = Diagnostic::error(
            "unknown-key",
            &source,
            Span::new(5, 11),
            "unknown key `timout`",
        )
        .hint("did you mean `timeout`?");
        assert_eq!(
            error.render(false),
            "error: unknown key `timout`\n --> src/a.md:2:2\n  |\n2 |     timout: 日本 3s\n  |     ^^^^^^\nhint: did you mean `timeout`?\n"
        );
        let wide = Diagnostic::warning("x", &source, Span::new(20, 22), "m");
        assert!(
            wide.render(false).contains("\n  |                  ^^\n"),
            "{}",
            wide.render(false)
        );
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_place() {
        let text = format!("{}X{}", "a".repeat(5_000), "b".repeat(5_000));
        let source = Source::new("src/a.md", text);
        let shown = Diagnostic::error("x", &source, Span::new(5_000, 5_001), "m").render(false);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(
            lines.iter().all(|line| line.chars().count() < 200),
            "{shown}"
        );
        let caret = lines[4].chars().position(|c| c == '^').unwrap();
        assert_eq!(lines[3].chars().nth(caret), Some('X'), "{shown}");
    }

    #[test]
    fn the_caret_stands_below_the_place_whatever_stands_before_it() {
        for before in [
            "\t\t",
            "日本語",
            "e\u{301}e\u{301}",
            "👍👍",
            "\u{7}",
            "\u{202e}x",
        ] {
            let text = format!("{before}X y");
            let source = Source::new("src/a.md", text.as_str());
            let place = Span::new(before.len(), before.len() + 1);
            let shown = Diagnostic::error("x", &source, place, "m").render(false);
            let lines: Vec<&str> = shown.lines().collect();
            let column = lines[4].chars().position(|c| c == '^').unwrap();
            let mut columns = 0;
            let mut left = String::new();
            for c in lines[3].chars().take_while(|c| *c != 'X') {
                columns += show(c, &mut left);
            }
            assert_eq!(column, columns, "{shown}");
            assert!(!shown.contains(['\t', '\u{7}', '\u{202e}']), "{shown}");
        }
        let source = Source::new("src/a.md", "short\n");
        let end = Diagnostic::error("x", &source, Span::at(5), "m").render(false);
        assert!(end.contains("\n  |      ^\n"), "{end}");
    }

    #[test]
    fn the_values_of_an_author_do_not_steer_a_terminal() {
        let error = Diagnostic::file("x", "a\u{1b}]0;b", "unknown `\u{1b}[2J`").hint("write\u{7}");
        assert_eq!(
            error.render(false),
            "error: unknown `·[2J`\n --> a·]0;b:1:1\nhint: write·\n"
        );
    }

    #[test]
    fn no_color_means_no_escape() {
        let error = Diagnostic::file("unreadable", "src/a.md", "m");
        assert!(!error.render(false).contains('\u{1b}'));
        assert!(error.render(true).contains('\u{1b}'));
    }
}
