//! Where a command's words go: results to standard output, everything else to standard error; colours only where wanted.
//!
//! No command prints by itself. A reader that went away (`| head`) ends a command quietly.

use std::io::{self, IsTerminal, Write};

use runbook::diagnostic::{Diagnostic, Severity};
use serde::Serialize;

/// The way to the user.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shell {
    /// Colours on standard output.
    pub color_out: bool,
    /// Colours on standard error.
    pub color_err: bool,
    /// Whether bars of running steps may be drawn on standard error.
    pub bars: bool,
    /// Machine output instead of text.
    pub json: bool,
}

impl Shell {
    /// Looks at the environment: `NO_COLOR`, `CI`, and whether a terminal is there.
    pub(super) fn new(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
        let err = io::stderr().is_terminal();
        Self {
            color_out: wanted && !dumb && io::stdout().is_terminal(),
            color_err: wanted && !dumb && err,
            bars: err && !dumb && !ci && !json,
            json,
        }
    }

    /// A result, as text.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub(super) fn out(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// A result, as one JSON document on a line.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub(super) fn json(&self, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&line)?;
        out.flush()
    }

    /// Something for people beside the result.
    pub(super) fn err(&self, text: &str) {
        // Nowhere to say that standard error cannot be written.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// `error: …`, with what to do.
    pub(super) fn error(&self, message: &str, hint: Option<&str>) {
        self.label("error", "\u{1b}[1;31m", message, hint);
    }

    /// `warning: …`, with what to do.
    pub(super) fn warning(&self, message: &str, hint: Option<&str>) {
        self.label("warning", "\u{1b}[1;33m", message, hint);
    }

    /// `note: …`.
    pub(super) fn note(&self, message: &str) {
        self.label("note", "\u{1b}[1m", message, None);
    }

    /// Findings about the book, and how many there are.
    pub(super) fn diagnostics(&self, diagnostics: &[Diagnostic]) {
        let mut text = String::new();
        for diagnostic in diagnostics {
            text.push_str(diagnostic.render(self.color_err).trim_end());
            text.push_str("\n\n");
        }
        let count = |severity| {
            diagnostics
                .iter()
                .filter(|d| d.severity == severity)
                .count()
        };
        let errors = plural(count(Severity::Error), "error");
        let warnings = plural(count(Severity::Warning), "warning");
        text.push_str(
            &[errors, warnings]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(", "),
        );
        text.push('\n');
        self.err(&text);
    }

    fn label(&self, label: &str, style: &str, message: &str, hint: Option<&str>) {
        let (on, off) = if self.color_err {
            (style, "\u{1b}[0m")
        } else {
            ("", "")
        };
        let mut text = format!("{on}{label}:{off} {message}\n");
        if let Some(hint) = hint {
            text.push_str(&format!("hint: {hint}\n"));
        }
        self.err(&text);
    }
}

/// `1 error`, `2 errors`; `None` for zero.
fn plural(count: usize, noun: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 {noun}")),
        _ => Some(format!("{count} {noun}s")),
    }
}
