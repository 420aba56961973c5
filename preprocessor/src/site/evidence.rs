//! What was recorded of a result, as HTML: checks, output, differences, what was run where.
//!
//! Everything in here came from outside (a program's output, a host's name) and is shown as text, bounded. Cards and run pages
//! are made of these parts.

use std::fmt::Write as _;

use runbook::event::StepFinished;
use runbook::outcome::{Check, State, Verdict};

use super::html::{address, bounded, count, escape, escaped, sign};
use super::output;
use super::page::Page;

/// How many rows of evidence a page shows of one result.
const ROWS_MAX: usize = 40;
/// How long an expected or actual value is on a page, in characters.
const VALUE_CHARACTERS_MAX: usize = 1_500;
/// How many facts a page shows of one result.
const FACTS_MAX: usize = 24;
/// How much of the output of a step that holds stands on its card.
const QUIET_BYTES_MAX: usize = 1_024;
/// How much of the output of any other stands there.
const LOUD_BYTES_MAX: usize = 8 * 1_024;

/// How much of an output is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Amount {
    /// The result holds.
    Quiet,
    /// It does not.
    Loud,
}

/// Appends the table of checks; those that do not hold first.
pub(super) fn checks(out: &mut String, checks: &[Check]) {
    if checks.is_empty() {
        return;
    }
    out.push_str("<table class=\"rb-c\"><thead><tr><th>Check</th><th>Expected</th><th>Actual</th><th>Verdict</th></tr></thead><tbody>");
    let mut ordered: Vec<&Check> = checks.iter().collect();
    ordered.sort_by_key(|check| check.verdict == Verdict::Holds);
    for check in ordered.iter().take(ROWS_MAX) {
        let (state, word) = match check.verdict {
            Verdict::Holds => (State::Passed, "holds"),
            Verdict::Fails => (State::Failed, "fails"),
        };
        let _ = write!(
            out,
            "<tr><td>{}</td><td data-l=\"expected\">{}</td><td data-l=\"actual\">{}</td><td data-s=\"{state}\">",
            escaped(&check.check),
            escaped(&bounded(&check.expected, VALUE_CHARACTERS_MAX)),
            escaped(&bounded(&check.actual, VALUE_CHARACTERS_MAX)),
        );
        sign(out, Some(state));
        out.push_str(word);
        if check.stand_in {
            out.push_str(" (stand-in)");
        }
        out.push_str("</td></tr>");
    }
    out.push_str("</tbody></table>");
    more(out, checks.len());
}

/// Appends checks that all hold, a line each: `exit: 0`.
pub(super) fn rows(out: &mut String, checks: &[Check]) {
    if checks.is_empty() {
        return;
    }
    out.push_str("<ul>");
    for check in checks.iter().take(ROWS_MAX) {
        let _ = write!(
            out,
            "<li>{}: {}",
            escaped(&check.check),
            escaped(&bounded(&check.expected, VALUE_CHARACTERS_MAX))
        );
        if check.actual != check.expected && !check.actual.is_empty() {
            let actual = bounded(&check.actual, VALUE_CHARACTERS_MAX);
            let _ = write!(out, " <span class=\"rb-m\">{}</span>", escaped(&actual));
        }
        if check.stand_in {
            out.push_str(" (stand-in)");
        }
        out.push_str("</li>");
    }
    out.push_str("</ul>");
    more(out, checks.len());
}

fn more(out: &mut String, all: usize) {
    if all > ROWS_MAX {
        let _ = write!(out, "<p>… and {} more</p>", all - ROWS_MAX);
    }
}

/// Appends what was printed. Of a result that holds it stands open inside its fold; else it has a fold of its own.
pub(super) fn output(out: &mut String, step: &StepFinished, amount: Amount) {
    let Some(printed) = step.output.as_ref().filter(|output| output.both.bytes > 0) else {
        return;
    };
    let bytes_max = match amount {
        Amount::Quiet => QUIET_BYTES_MAX,
        Amount::Loud => LOUD_BYTES_MAX,
    };
    if amount == Amount::Loud {
        let lines = usize::try_from(printed.both.lines).unwrap_or(usize::MAX);
        let lines = count(lines.max(1), "line");
        let _ = write!(out, "<details><summary>Output ({lines})</summary>");
    }
    out.push_str("<pre class=\"rb-out\" tabindex=\"0\">");
    output::render(out, &printed.both, bytes_max);
    out.push_str("</pre>");
    if amount == Amount::Loud {
        out.push_str("</details>");
    }
}

/// Appends a difference: added and removed lines are marked, and begin with `+` and `-` as they came.
pub(super) fn diff(out: &mut String, text: &str) {
    out.push_str("<pre class=\"rb-out\" tabindex=\"0\">");
    let text = bounded(text, VALUE_CHARACTERS_MAX);
    for (index, line) in text.lines().enumerate() {
        if index > 0 {
            out.push_str("&#10;");
        }
        let tag = match line.as_bytes().first() {
            Some(b'+') => Some("ins"),
            Some(b'-') => Some("del"),
            _ => None,
        };
        match tag {
            Some(tag) => {
                let _ = write!(out, "<{tag}>{}</{tag}>", escaped(line));
            }
            None => escape(out, line),
        }
    }
    out.push_str("</pre>");
}

/// Appends a text of several lines.
pub(super) fn text(out: &mut String, text: &str) {
    out.push_str("<pre class=\"rb-out\" tabindex=\"0\">");
    output::ansi(out, bounded(text, VALUE_CHARACTERS_MAX).trim_end());
    out.push_str("</pre>");
}

/// Appends what was run: the script or request with its values filled in.
pub(super) fn command(out: &mut String, step: &StepFinished) {
    if let Some(command) = &step.command {
        text(out, command);
    }
}

/// Appends mode, target, identity, captures and what else is known of a result.
pub(super) fn facts(out: &mut String, step: &StepFinished) {
    out.push_str("<dl class=\"rb-f\">");
    let mut left = FACTS_MAX;
    let mut fact = |name: &str, value: &str| {
        if left > 0 {
            left -= 1;
            let value = escaped(&bounded(value, VALUE_CHARACTERS_MAX));
            let _ = write!(out, "<dt>{}</dt><dd>{value}</dd>", escaped(name));
        }
    };
    fact("mode", step.mode.as_str());
    fact("target", &step.target);
    for (name, value) in &step.identity {
        fact(name, value);
    }
    if step.attempts > 1 {
        fact("attempts", &step.attempts.to_string());
    }
    for (name, value) in &step.captures {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        fact(&format!("captured {name}"), &text);
    }
    for artifact in &step.artifacts {
        fact("artifact", artifact);
    }
    out.push_str("</dl>");
}

/// Appends the link to the run.
pub(super) fn run(out: &mut String, run: Option<&str>, page: &Page<'_>) {
    let Some(run) = run else { return };
    out.push_str("<p>");
    match page.run(run) {
        Some(href) => {
            let _ = write!(
                out,
                "<a href=\"{}\">Run {}</a>",
                address(&href),
                escaped(run)
            );
        }
        None => {
            let _ = write!(out, "Run {}", escaped(run));
        }
    }
    out.push_str("</p>");
}
