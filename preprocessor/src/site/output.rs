//! What a step printed, as HTML: ANSI colours as spans, everything else as harmless text.
//!
//! Hostile output is the normal case: HTML, control bytes, cursor movements, very long lines. Only colours and weights survive; the rest
//! of every escape sequence is dropped. Nothing is longer than [`OUTPUT_BYTES_MAX`] on a page.

use std::fmt::Write as _;

use runbook::event::Excerpt;
use vte::{Params, Parser, Perform};

use super::html::escape;

/// How much of an output stands on a page; the whole stands in the run's directory.
pub const OUTPUT_BYTES_MAX: usize = 8 * 1024;

/// Appends an output's head and tail, and a line between them that says what was left out.
pub fn render(out: &mut String, excerpt: &Excerpt) {
    let half = OUTPUT_BYTES_MAX / 2;
    if excerpt.tail.is_empty() && excerpt.head.len() <= OUTPUT_BYTES_MAX {
        ansi(out, &excerpt.head);
        return;
    }
    let last = if excerpt.tail.is_empty() {
        &excerpt.head
    } else {
        &excerpt.tail
    };
    let head = cut_front(&excerpt.head, half);
    let tail = cut_back(last, half);
    ansi(out, head);
    let left_out = excerpt
        .bytes
        .saturating_sub((head.len() + tail.len()) as u64);
    let _ = write!(
        out,
        "&#10;<span class=\"ad\">… {left_out} bytes left out …</span>&#10;"
    );
    ansi(out, tail);
}

/// Appends a text with its ANSI colours.
pub fn ansi(out: &mut String, text: &str) {
    let mut painter = Painter {
        out,
        style: Style::default(),
        open: false,
    };
    Parser::new().advance(&mut painter, text.as_bytes());
    painter.close();
}

fn cut_front(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // Whole lines read better than halves of them, where there are any.
    text[..end]
        .rfind('\n')
        .filter(|at| *at > end / 2)
        .map_or(&text[..end], |at| &text[..at])
}

fn cut_back(text: &str, bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let cut = &text[start..];
    cut.find('\n')
        .filter(|at| *at < cut.len() / 2)
        .map_or(cut, |at| &cut[at + 1..])
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Style {
    color: Option<u8>,
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
        let mut classes = Vec::new();
        if let Some(color) = style.color {
            classes.push(format!("a{color}"));
        }
        for (on, class) in [
            (style.bold, "ab"),
            (style.dim, "ad"),
            (style.italic, "ai"),
            (style.underline, "au"),
        ] {
            if on {
                classes.push(class.to_owned());
            }
        }
        let _ = write!(self.out, "<span class=\"{}\">", classes.join(" "));
        self.open = true;
    }
}

impl Perform for Painter<'_> {
    fn print(&mut self, c: char) {
        let mut buffer = [0; 4];
        escape(self.out, c.encode_utf8(&mut buffer));
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => self.out.push_str("&#10;"),
            b'\t' => self.out.push('\t'),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, _: &[u8], _: bool, action: char) {
        if action != 'm' {
            return;
        }
        let mut style = self.style;
        let mut codes = params
            .iter()
            .map(|param| param.first().copied().unwrap_or(0));
        while let Some(code) = codes.next() {
            match code {
                0 => style = Style::default(),
                1 => style.bold = true,
                2 => style.dim = true,
                3 => style.italic = true,
                4 => style.underline = true,
                22 => (style.bold, style.dim) = (false, false),
                23 => style.italic = false,
                24 => style.underline = false,
                30..=37 => style.color = Some((code - 30) as u8),
                90..=97 => style.color = Some((code - 90) as u8),
                39 => style.color = None,
                // A colour of 256 or of all: what follows belongs to it.
                38 | 48 => match codes.next() {
                    Some(5) => drop(codes.next()),
                    Some(2) => drop((codes.next(), codes.next(), codes.next())),
                    _ => {}
                },
                _ => {}
            }
        }
        self.paint(style);
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
        assert_eq!(
            rendered("\u{1b}[1;31mred\u{1b}[0m plain"),
            "<span class=\"a1 ab\">red</span> plain"
        );
        assert_eq!(
            rendered("<script>alert(1)</script>\n\n{{#include x}}"),
            "&lt;script&gt;alert(1)&lt;/script&gt;&#10;&#10;&#123;&#123;#include x}}"
        );
        assert_eq!(
            rendered(
                "\u{1b}[2J\u{1b}]0;title\u{7}a\u{8}\r\u{0}b\u{1b}[38;5;9mc\u{1b}[38;2;1;2;3md"
            ),
            "abcd"
        );
        assert_eq!(rendered("\u{1b}[32mopen"), "<span class=\"a2\">open</span>");
    }

    #[test]
    fn a_long_output_is_cut_in_the_middle_and_says_so() {
        let line = "x".repeat(10 * 1024 * 1024);
        let excerpt = Excerpt {
            head: line.clone(),
            tail: String::new(),
            bytes: line.len() as u64,
            lines: 1,
        };
        let mut out = String::new();
        render(&mut out, &excerpt);
        assert!(out.len() < OUTPUT_BYTES_MAX + 200, "{}", out.len());
        assert!(
            out.contains("… 10477568 bytes left out …"),
            "{}",
            &out[4_000..4_300]
        );
    }

    #[test]
    fn nothing_blank_or_foreign_is_left() {
        let hostile: String = (0..=255u8).map(char::from).collect();
        let out = rendered(&hostile);
        assert!(!out.contains('\n') && !out.contains('\u{1b}') && !out.contains("{{"));
    }
}
