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

/// A source line and the columns to underline in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The line's text.
    pub text: String,
    /// How many characters are underlined, at least 1.
    pub length: u32,
}

/// How many characters of a long line an excerpt shows.
const EXCERPT_CHARACTERS_MAX: usize = 160;

impl Excerpt {
    /// The line as it is shown (tabs as blanks, control characters as dots, cut around the place), how many columns of it stand before
    /// the place, and how many are underlined.
    fn cut(&self, column: u32) -> (String, usize, usize) {
        let at = (column as usize).saturating_sub(1);
        let characters: Vec<char> = self.text.chars().collect();
        let from = if characters.len() > EXCERPT_CHARACTERS_MAX {
            at.saturating_sub(EXCERPT_CHARACTERS_MAX / 4)
        } else {
            0
        };
        let to = characters.len().min(from + EXCERPT_CHARACTERS_MAX);
        let mut shown = String::new();
        let (mut before, mut under) = (0, 0);
        if from > 0 {
            shown.push('…');
            before += 1;
        }
        for (index, c) in characters.iter().enumerate().take(to).skip(from) {
            let (text, width) = match c {
                '\t' => ("    ".to_owned(), 4),
                c if c.is_control() => ("·".to_owned(), 1),
                c => (c.to_string(), width(*c)),
            };
            shown.push_str(&text);
            if index < at {
                before += width;
            } else if index < at + self.length as usize {
                under += width;
            }
        }
        if to < characters.len() {
            shown.push('…');
        }
        (shown.trim_end().to_owned(), before, under.max(1))
    }
}

/// How many terminal columns a character takes: East Asian wide characters and emoji take two.
fn width(c: char) -> usize {
    let wide = matches!(u32::from(c), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff);
    if wide { 2 } else { 1 }
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
        let mut text = format!("{}: {}\n", paint(style, label), self.message);
        let gutter = " ".repeat(self.line.to_string().len());
        text.push_str(&format!(
            "{gutter}{} {}:{}:{}\n",
            paint("1;34", "-->"),
            self.file,
            self.line,
            self.column
        ));
        if let Some(excerpt) = &self.excerpt {
            let bar = paint("1;34", "|");
            let (line, before, under) = excerpt.cut(self.column);
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
            text.push_str(&format!("{}: {hint}\n", paint("1;36", "hint")));
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
        let text = source.line(start.line).to_owned();
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
            excerpt: Some(Excerpt {
                text,
                length: length.max(1),
            }),
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
    fn no_color_means_no_escape() {
        let error = Diagnostic::file("unreadable", "src/a.md", "m");
        assert!(!error.render(false).contains('\u{1b}'));
        assert!(error.render(true).contains('\u{1b}'));
    }
}
