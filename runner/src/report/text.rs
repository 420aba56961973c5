//! Words of the reports for people: signs, durations, counts, the rows of evidence.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use runbook::event::StepFinished;
use runbook::outcome::{State, Verdict};
use runbook::report::Plan;

/// The most rows of evidence that a failure shows; the rest is counted.
const ROWS_MAX: usize = 12;
/// The most lines of output that a failure shows.
const OUTPUT_LINES_MAX: usize = 12;
/// The most characters of such a line; the whole output is an artifact.
const LINE_CHARACTERS_MAX: usize = 400;

/// The state's sign; states differ by shape and word, not by colour alone.
pub fn sign(state: State) -> &'static str {
    match state {
        State::Passed => "✓",
        State::Failed => "✕",
        State::Drifted => "≠",
        State::TimedOut => "⏱",
        State::Blocked => "⊘",
        State::Pending => "✋",
        State::Skipped => "⤳",
        State::Aborted => "■",
    }
}

/// The ANSI style of a state.
pub fn style(state: State) -> &'static str {
    match state {
        State::Passed => "\u{1b}[32m",
        State::Failed | State::TimedOut | State::Aborted => "\u{1b}[1;31m",
        State::Drifted => "\u{1b}[35m",
        State::Blocked | State::Pending => "\u{1b}[33m",
        State::Skipped => "\u{1b}[2m",
    }
}

/// The end of any style.
pub const RESET: &str = "\u{1b}[0m";

/// `12ms`, `1.2s`, `3m 4s`.
pub fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{}m {}s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// `3 steps: 1 passed, 2 failed; 1 by a stand-in`, worst first.
pub fn counts(counts: &BTreeMap<State, u32>, stand_in: u32) -> String {
    let total: u32 = counts.values().sum();
    let mut text = format!("{total} {}", if total == 1 { "step" } else { "steps" });
    for (index, (state, count)) in counts.iter().filter(|(_, count)| **count > 0).enumerate() {
        let _ = write!(
            text,
            "{} {count} {state}",
            if index == 0 { ":" } else { "," }
        );
    }
    if stand_in > 0 {
        let _ = write!(text, "; {stand_in} by a stand-in");
    }
    text
}

/// What is wrong with a step, as a block of text: the place, the rows that do not hold, the message, the output's end, the hint.
pub fn failure(step: &StepFinished) -> String {
    let mut text = String::new();
    let what = match step.state {
        State::Failed => "failed",
        State::TimedOut => "timed out",
        State::Drifted => "drifted",
        State::Aborted => "was aborted",
        State::Blocked => "is blocked",
        State::Pending => "is pending",
        State::Skipped => "was skipped",
        State::Passed => "passed",
    };
    let _ = writeln!(text, "error: step `{}` {what}{}", step.id, reason(step));
    let _ = writeln!(text, " --> {}:{}:1", step.file, step.line);
    rows(&mut text, step);
    for line in beyond_rows(step).lines() {
        let _ = writeln!(text, "  {}", harmless(line));
    }
    if let Some(diff) = step
        .diff
        .as_deref()
        .filter(|_| step.state == State::Drifted)
    {
        for line in diff.lines() {
            let _ = writeln!(text, "  {}", harmless(line));
        }
    }
    output(&mut text, step);
    if let Some(hint) = &step.hint {
        let _ = writeln!(text, "hint: {hint}");
    }
    text
}

fn reason(step: &StepFinished) -> String {
    step.reason
        .as_deref()
        .map_or_else(String::new, |reason| format!(": {reason}"))
}

/// What the message says beyond the rows that do not hold, with which it begins: how objects stand, what their events are. What a
/// program said follows as its output.
fn beyond_rows(step: &StepFinished) -> &str {
    let message = step.message.as_deref().unwrap_or_default();
    let failing = step.checks.iter();
    let failing = failing.filter(|check| check.verdict == Verdict::Fails);
    let mut rest = message;
    for check in failing {
        let begins = format!("{}: expected {}, got", check.check, check.expected);
        let Some(after) = rest.strip_prefix(&begins) else {
            return rest;
        };
        let after = after.trim_start_matches([' ', '\n']);
        let after = after.strip_prefix(&check.actual).unwrap_or(after);
        rest = after.trim_start_matches('\n');
    }
    if rest.len() < message.len() && step.output.is_some() {
        return "";
    }
    rest
}

fn rows(text: &mut String, step: &StepFinished) {
    let failing: Vec<_> = step
        .checks
        .iter()
        .filter(|check| check.verdict == Verdict::Fails)
        .collect();
    for check in failing.iter().take(ROWS_MAX) {
        let _ = writeln!(text, "  ✕ {}", check.check);
        block(text, "expected", &check.expected);
        block(text, "actual", &check.actual);
    }
    if failing.len() > ROWS_MAX {
        let _ = writeln!(
            text,
            "  … and {} more that do not hold",
            failing.len() - ROWS_MAX
        );
    }
}

fn block(text: &mut String, label: &str, value: &str) {
    for (index, line) in value
        .lines()
        .chain(value.is_empty().then_some(""))
        .enumerate()
    {
        let label = if index == 0 { label } else { "" };
        let _ = writeln!(text, "    {label:<9} {line}");
    }
}

/// The last lines that the step printed, without control characters.
fn output(text: &mut String, step: &StepFinished) {
    let Some(output) = &step.output else { return };
    let both = if output.both.tail.is_empty() {
        &output.both.head
    } else {
        &output.both.tail
    };
    let lines: Vec<&str> = both.lines().collect();
    if lines.is_empty() {
        return;
    }
    let shown = &lines[lines.len().saturating_sub(OUTPUT_LINES_MAX)..];
    let all = output.both.lines.max(lines.len() as u64);
    let _ = writeln!(
        text,
        "  output ({}{all} {}):",
        if shown.len() < all as usize {
            "the end of "
        } else {
            ""
        },
        if all == 1 { "line" } else { "lines" }
    );
    for line in shown {
        let line = harmless(line);
        let more = line.chars().count().saturating_sub(LINE_CHARACTERS_MAX);
        let shown: String = line.chars().take(LINE_CHARACTERS_MAX).collect();
        let _ = if more > 0 {
            writeln!(text, "  | {shown}… and {more} characters more")
        } else {
            writeln!(text, "  | {shown}")
        };
    }
}

/// A plan for people: a line per step, the difference below it, and what needs approval.
pub fn plan(plan: &Plan, color: bool) -> String {
    let mut text = String::new();
    let width = plan
        .steps
        .iter()
        .map(|step| step.id.to_string().chars().count())
        .max()
        .unwrap_or(0);
    let mut would: BTreeMap<&str, u32> = BTreeMap::new();
    for step in &plan.steps {
        let word = step.would.split(':').next().unwrap_or_default();
        *would.entry(word).or_default() += 1;
        let (on, off) = match word {
            "change" | "run" if color => ("\u{1b}[33m", RESET),
            _ => ("", ""),
        };
        let _ = writeln!(
            text,
            "{:<width$}  {on}{}{off}  ({} on {}, {})",
            step.id.to_string(),
            harmless(&step.would),
            step.action,
            step.target,
            step.effect
        );
        for line in step.diff.iter().flat_map(|diff| diff.lines()) {
            let _ = writeln!(text, "    {}", harmless(line));
        }
        if let Some(approval) = &step.approval {
            let _ = writeln!(text, "    needs approval: {}", harmless(approval));
        }
    }
    if !plan.lacks.is_empty() {
        let _ = writeln!(text, "a run would need rights that are missing:");
    }
    for line in &plan.lacks {
        let _ = writeln!(text, "    {}", harmless(line));
    }
    let counts: Vec<String> = would
        .iter()
        .map(|(word, count)| format!("{count} would {word}"))
        .collect();
    let _ = writeln!(
        text,
        "\n{} {}: {}; nothing was changed",
        plan.steps.len(),
        if plan.steps.len() == 1 {
            "step"
        } else {
            "steps"
        },
        counts.join(", ")
    );
    text
}

/// A line that cannot move the cursor or change colours of the terminal that shows it.
pub fn harmless(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            if chars.next_if_eq(&'[').is_some() {
                while chars
                    .next_if(|c| !('\u{40}'..='\u{7e}').contains(c))
                    .is_some()
                {}
                chars.next();
            }
        } else if c == '\t' || !c.is_control() {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use runbook::outcome::Check;
    use serde_json::json;

    use super::*;

    fn step() -> StepFinished {
        let step = json!({"id": "a#s/b", "state": "failed", "changed": false, "duration_ms": 1, "profile": "lab", "target": "local",
            "file": "src/a.md", "line": 3, "effect": "read", "mode": "converge"});
        serde_json::from_value(step).unwrap()
    }

    #[test]
    fn durations_are_short() {
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1_250, "1.2s"),
            (61_000, "1m 1s"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn what_is_known_beyond_the_rows_is_told_once() {
        let row = |check: &str, actual: &str| Check {
            check: check.into(),
            expected: "true".into(),
            actual: actual.into(),
            verdict: Verdict::Fails,
            stand_in: false,
        };
        let told = |message: &str, checks: Vec<Check>, output: bool| {
            let mut step = step();
            step.message = Some(message.into());
            step.checks = checks;
            step.output = output.then(Default::default);
            beyond_rows(&step).to_owned()
        };
        let ready = "ready: expected true, got false";
        let rows = || vec![row("ready", "false")];
        assert_eq!(told(ready, rows(), false), "");
        let more = format!("{ready}\nPod a/b is InProgress");
        assert_eq!(told(&more, rows(), false), "Pod a/b is InProgress");
        assert_eq!(
            told("not ready within 2 s: …", rows(), false),
            "not ready within 2 s: …"
        );
        assert_eq!(told("refused", Vec::new(), false), "refused");
        let two = format!("{ready}\njson $: expected true, got\na\nb\nmore");
        let rows = vec![row("ready", "false"), row("json $", "a\nb")];
        assert_eq!(told(&two, rows, false), "more");
        let exit = "exit: expected true, got 1\nwhat it said";
        assert_eq!(told(exit, vec![row("exit", "1")], true), "");
    }

    #[test]
    fn counts_are_worst_first() {
        let map = BTreeMap::from([(State::Passed, 2), (State::Failed, 1), (State::Skipped, 0)]);
        assert_eq!(counts(&map, 0), "3 steps: 1 failed, 2 passed");
        assert_eq!(
            counts(&map, 2),
            "3 steps: 1 failed, 2 passed; 2 by a stand-in"
        );
        assert_eq!(
            counts(&BTreeMap::from([(State::Passed, 1)]), 0),
            "1 step: 1 passed"
        );
    }

    #[test]
    fn a_long_line_of_output_is_cut() {
        let mut text = String::new();
        let event = serde_json::json!({"id": "g#s/a", "state": "failed", "changed": false, "repaired": false, "duration_ms": 1,
            "profile": "lab", "target": "local", "file": "src/g.md", "line": 3, "checks": [], "stand_in": false, "title": "a",
            "action": "bash", "effect": "read", "mode": "observe", "attempts": 1,
            "output": {"stdout": {"bytes": 0, "lines": 0}, "stderr": {"bytes": 0, "lines": 0},
                "both": {"head": "z".repeat(1_000), "bytes": 1_000, "lines": 1}}});
        output(&mut text, &serde_json::from_value(event).unwrap());
        assert!(text.ends_with("z… and 600 characters more\n"), "{text}");
        assert!(text.len() < 500);
    }

    #[test]
    fn output_cannot_paint_the_terminal() {
        assert_eq!(harmless("\u{1b}[31mred\u{1b}[0m\u{7}\u{1b}[2Jx\r"), "redx");
    }
}
