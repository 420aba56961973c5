//! GitHub Actions: annotations at the step's place, and the summary as Markdown.
//!
//! Annotations go to standard output, the summary into the file that `GITHUB_STEP_SUMMARY` names; only where `GITHUB_ACTIONS` is
//! `true`. Texts are escaped as the runner's workflow commands want it, so that output can neither end nor start a command.

use std::fmt::Write as _;

use runbook::event::{Event, EventKind, StepFinished};
use runbook::outcome::{State, Verdict};

use super::text;

/// The most rows the summary shows; GitHub cuts summaries at 1 MiB.
const ROWS_MAX: usize = 500;

/// Gathers a run's results for GitHub.
#[derive(Debug, Default)]
pub struct Github {
    /// The book's root relative to the repository: `book/`, so that annotations find their file.
    prefix: String,
    head: String,
    rows: Vec<String>,
    more: usize,
    end: String,
}

impl Github {
    /// `prefix` is the book's root relative to the repository, empty or ending in `/`.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            ..Self::default()
        }
    }

    /// Takes one event; gives the annotation to print, if any.
    pub fn event(&mut self, event: &Event) -> Option<String> {
        match &event.kind {
            EventKind::RunStarted(run) => {
                self.head = format!("Run `{}` on profile `{}`", run.run, run.profile);
                None
            }
            EventKind::StepFinished(step) => {
                self.row(step);
                annotation(&self.prefix, step)
            }
            EventKind::RunFinished(end) => {
                self.end = format!(
                    "{} in {}",
                    text::counts(&end.counts, end.stand_in),
                    text::duration(end.duration_ms)
                );
                None
            }
            _ => None,
        }
    }

    /// The summary as Markdown.
    pub fn summary(&self) -> String {
        let mut text = format!("## runbook: {}\n\n{}\n\n", self.end, self.head);
        if self.rows.is_empty() {
            text.push_str("Every step passed.\n");
            return text;
        }
        text.push_str("| step | state | expected | actual |\n|---|---|---|---|\n");
        text.push_str(&self.rows.concat());
        if self.more > 0 {
            let _ = writeln!(text, "\n… and {} more.", self.more);
        }
        text
    }

    fn row(&mut self, step: &StepFinished) {
        if step.state == State::Passed {
            return;
        }
        if self.rows.len() == ROWS_MAX {
            self.more += 1;
            return;
        }
        let failing = step
            .checks
            .iter()
            .find(|check| check.verdict == Verdict::Fails);
        let (expected, actual) = match failing {
            Some(check) => (
                format!("{} {}", check.check, check.expected),
                check.actual.clone(),
            ),
            None => (
                String::new(),
                step.reason
                    .clone()
                    .or_else(|| step.message.clone())
                    .unwrap_or_default(),
            ),
        };
        let (sign, state) = (text::sign(step.state), step.state);
        self.rows.push(format!(
            "| `{}` | {sign} {state} | {} | {} |\n",
            step.id,
            cell(&expected),
            cell(&actual)
        ));
    }
}

fn annotation(prefix: &str, step: &StepFinished) -> Option<String> {
    let level = match step.state {
        state if state.is_failure() => "error",
        State::Pending => "notice",
        _ => return None,
    };
    let title = format!("{} {}", step.id, step.state);
    Some(format!(
        "::{level} file={},line={},title={}::{}",
        property(&format!("{prefix}{}", step.file)),
        step.line,
        property(&title),
        data(&text::failure(step)),
    ))
}

/// A value of a workflow command's property.
fn property(value: &str) -> String {
    data(value).replace(':', "%3A").replace(',', "%2C")
}

/// The message of a workflow command.
fn data(value: &str) -> String {
    value
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A table's cell: one line, no markup of its own.
fn cell(value: &str) -> String {
    let line: String = value
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect();
    text::harmless(&line)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('|', "\\|")
        .replace('`', "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_cannot_end_or_start_a_command() {
        assert_eq!(data("a\n::error::b\r100%"), "a%0A::error::b%0D100%25");
        assert_eq!(property("a:b,c"), "a%3Ab%2Cc");
    }
}
