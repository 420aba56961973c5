//! What a step printed, as HTML: ANSI colours as spans, everything else as harmless text.
//!
//! Hostile output is the normal case: HTML, control bytes, cursor movements, very long lines. Only colours and weights survive;
//! the rest of every escape sequence is dropped. Nothing is longer than what the caller allows.

use std::borrow::Cow;
use std::fmt::Write as _;

use runbook::event::Excerpt;
use vte::{Params, Parser, Perform};

use super::html::escape;
use crate::records::{back, front};

/// Appends an output's head and tail, at most `bytes_max` of it, and between them how much was left out.
pub(super) fn render(out: &mut String, excerpt: &Excerpt, bytes_max: usize) {
    let whole = excerpt.tail.is_empty() && excerpt.bytes <= excerpt.head.len() as u64;
    if whole && excerpt.head.len() <= bytes_max {
        ansi(out, excerpt.head.trim_end_matches(['\n', '\r']));
        return;
    }
    let half = bytes_max / 2;
    let last = if excerpt.tail.is_empty() {
        &excerpt.head
    } else {
        &excerpt.tail
    };
    let (head, tail) = (front(&excerpt.head, half), back(last, half));
    ansi(out, head.trim_end_matches(['\n', '\r']));
    let shown = (head.len() + tail.len()) as u64;
    let left_out = excerpt.bytes.saturating_sub(shown);
    let _ = write!(
        out,
        "&#10;<span class=\"ad\">… {left_out} bytes left out …</span>&#10;"
    );
    ansi(out, tail.trim_end_matches(['\n', '\r']));
}

/// Appends a text with its ANSI colours.
pub(super) fn ansi(out: &mut String, text: &str) {
    let text = overwritten(text);
    if !text.contains('\u{1b}') {
        escape(out, &text);
        return;
    }
    let mut painter = Painter {
        out,
        style: Style::default(),
        open: false,
    };
    Parser::new().advance(&mut painter, text.as_bytes());
    painter.close();
}

/// Of each line what a terminal would show at its end: a progress bar draws itself again after each carriage return.
fn overwritten(text: &str) -> Cow<'_, str> {
    if !text.contains('\r') {
        return Cow::Borrowed(text);
    }
    let lines = text.split('\n').map(|line| {
        let line = line.trim_end_matches('\r');
        line.rfind('\r').map_or(line, |at| &line[at + 1..])
    });
    Cow::Owned(lines.collect::<Vec<_>>().join("\n"))
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Style {
    color: Option<u16>,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
}

struct Painter<'o> {
    out: &'o mut String,
    style: Style,
    open: bool,
}

impl Painter<'_> {
    fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            self.out.push_str("</span>");
        }
    }

    fn paint(&mut self, style: Style) {
        if style == self.style {
            return;
        }
        self.close();
        self.style = style;
        if style == Style::default() {
            return;
        }
        self.out.push_str("<span class=\"");
        let start = self.out.len();
        if let Some(color) = style.color {
            let _ = write!(self.out, "a{color}");
        }
        let weights = [
            (style.bold, "ab"),
            (style.dim, "ad"),
            (style.italic, "ai"),
            (style.underline, "au"),
        ];
        for (_, class) in weights.iter().filter(|(on, _)| *on) {
            if self.out.len() > start {
                self.out.push(' ');
            }
            self.out.push_str(class);
        }
        self.out.push_str("\">");
        self.open = true;
    }

    fn select(&mut self, params: &Params) {
        let mut style = self.style;
        let mut codes = params.iter();
        while let Some(code) = codes.next() {
            match code.first().copied().unwrap_or(0) {
                0 => style = Style::default(),
                1 => style.bold = true,
                2 => style.dim = true,
                3 => style.italic = true,
                4 => style.underline = true,
                22 => (style.bold, style.dim) = (false, false),
                23 => style.italic = false,
                24 => style.underline = false,
                code @ 30..=37 => style.color = Some(code - 30),
                code @ 90..=97 => style.color = Some(code - 90),
                39 => style.color = None,
                // One colour of 256 or of all: what follows belongs to it, unless it stands behind colons.
                base @ (38 | 48) if code.len() == 1 => {
                    let kind = codes.next().and_then(|code| code.first().copied());
                    let color = codes.next().and_then(|code| code.first().copied());
                    match (kind, color) {
                        (Some(5), Some(color @ 0..=15)) if base == 38 => {
                            style.color = Some(color % 8);
                        }
                        (Some(2), _) => drop((codes.next(), codes.next())),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        self.paint(style);
    }
}

impl Perform for Painter<'_> {
    fn print(&mut self, c: char) {
        let mut buffer = [0; 4];
        // Two braces in a row come one by one here: each is escaped.
        if c == '{' {
            self.out.push_str("&#123;");
        } else {
            escape(self.out, c.encode_utf8(&mut buffer));
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => self.out.push_str("&#10;"),
            b'\t' => self.out.push('\t'),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, between: &[u8], _: bool, action: char) {
        if action == 'm' && between.is_empty() {
            self.select(params);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> String {
        let mut out = String::new();
        ansi(&mut out, text);
        out
    }

    #[test]
    fn colours_become_spans_and_everything_else_is_text() {
        for (text, html) in [
            (
                "\u{1b}[1;31mred\u{1b}[0m plain",
                "<span class=\"a1 ab\">red</span> plain",
            ),
            (
                "<script>alert(1)</script>\n\n{{#include x}}",
                "&lt;script&gt;alert(1)&lt;/script&gt;&#10;&#10;&#123;{#include x}}",
            ),
            ("\u{1b}[m{{#include x}}", "&#123;&#123;#include x}}"),
            (
                "\u{1b}[2J\u{1b}]0;title\u{7}a\u{8}\u{0}b\u{1b}[38;5;200mc\u{1b}[38;2;1;2;3md",
                "abcd",
            ),
            (
                "\u{1b}[38;5;9mc\u{1b}[38:2::1:2:3md",
                "<span class=\"a1\">cd</span>",
            ),
            ("\u{1b}[32mopen", "<span class=\"a2\">open</span>"),
            (
                "\u{1b}[4;3mx\u{1b}[24;23;39my",
                "<span class=\"ai au\">x</span>y",
            ),
        ] {
            assert_eq!(rendered(text), html, "{text:?}");
        }
    }

    #[test]
    fn a_progress_bar_shows_its_last_state() {
        assert_eq!(
            rendered("10 %\r50 %\rdone\r\nnext\r\n"),
            "done&#10;next&#10;"
        );
    }

    #[test]
    fn a_long_output_is_cut_in_the_middle_and_says_so() {
        let line = "x".repeat(10 * 1024 * 1024);
        let excerpt = Excerpt {
            bytes: line.len() as u64,
            head: line,
            lines: 1,
            ..Excerpt::default()
        };
        let mut out = String::new();
        render(&mut out, &excerpt, 8_192);
        assert!(out.len() < 8_192 + 100, "{}", out.len());
        assert!(out.contains("… 10477568 bytes left out …"));
    }

    #[test]
    fn nothing_blank_or_foreign_is_left() {
        let hostile: String = (0..=255u8).map(char::from).collect();
        for text in [hostile.clone(), format!("\u{1b}[31m{hostile}")] {
            let out = rendered(&text);
            assert!(!out.contains(['\n', '\r', '\u{1b}', '\u{9b}']), "{out:?}");
            assert!(!out.contains("{{"));
        }
    }
}
