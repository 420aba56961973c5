//! JUnit as nextest writes it: a suite per guide, a case per step, with the file and line of the step's fence.
//!
//! Drifted, timed out and aborted are failures; pending, blocked and skipped are skipped (DESIGN section 6).

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use runbook::event::{Event, EventKind, Excerpt, StepFinished};
use runbook::id::Id;
use runbook::outcome::State;

use super::text;

/// How much of a step's output a case shows; the whole stands in the run's directory.
const OUTPUT_CHARACTERS_MAX: usize = 4 * 1024;

/// Gathers a run's results for JUnit.
#[derive(Debug, Default)]
pub struct Junit {
    suites: BTreeMap<String, TestSuite>,
    /// Steps of which items were told: a step with items is its items here, counting it too would count a failure twice.
    with_items: HashSet<Id>,
    duration_ms: u64,
    run: String,
}

impl Junit {
    /// Takes one event.
    pub fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted(run) => self.run.clone_from(&run.run),
            EventKind::StepFinished(step) => self.step(step),
            EventKind::RunFinished(end) => self.duration_ms = end.duration_ms,
            _ => {}
        }
    }

    /// The document.
    ///
    /// # Errors
    /// When it cannot be written as XML.
    pub fn document(self) -> Result<String, quick_junit::SerializeError> {
        let mut report = Report::new("runbook");
        report.set_time(Duration::from_millis(self.duration_ms));
        report.add_test_suites(self.suites.into_values());
        report.to_string()
    }

    fn step(&mut self, step: &StepFinished) {
        if step.id.item.is_some() {
            self.with_items.insert(step.id.without_item());
        } else if self.with_items.contains(&step.id) {
            return;
        }
        let run = &self.run;
        let suite = self.suites.entry(step.id.guide.clone()).or_insert_with(|| {
            let mut suite = TestSuite::new(step.id.guide.clone());
            suite.add_property(("run", run.as_str()));
            suite.add_property(("profile", step.profile.as_str()));
            suite
        });
        suite.add_test_case(case(step));
    }
}

fn case(step: &StepFinished) -> TestCase {
    let mut status = match step.state {
        State::Passed => TestCaseStatus::success(),
        State::Failed | State::Drifted | State::TimedOut | State::Aborted => {
            TestCaseStatus::non_success(NonSuccessKind::Failure)
        }
        State::Pending | State::Blocked | State::Skipped => TestCaseStatus::skipped(),
    };
    if step.state != State::Passed {
        let message = step
            .reason
            .clone()
            .or_else(|| step.message.clone())
            .unwrap_or_else(|| step.state.to_string());
        status.set_message(message.lines().next().unwrap_or_default().to_owned());
        status.set_type(step.state.as_str());
        if step.state.is_failure() {
            status.set_description(text::failure(step));
        }
    }
    let mut case = TestCase::new(step.id.to_string(), status);
    case.set_classname(step.id.guide.clone());
    case.set_time(Duration::from_millis(step.duration_ms));
    case.set_assertions(step.checks.len());
    if step.stand_in {
        case.add_property(("stand-in", "true"));
    }
    case.extra.insert("file".into(), step.file.clone().into());
    case.extra
        .insert("line".into(), step.line.to_string().into());
    if let Some(output) = step.output.as_ref().filter(|output| output.both.bytes > 0) {
        case.set_system_out(excerpt(&output.both));
    }
    case
}

/// The output's end, where failures say why.
fn excerpt(both: &Excerpt) -> String {
    let text = if both.tail.is_empty() {
        &both.head
    } else {
        &both.tail
    };
    let skip = text.chars().count().saturating_sub(OUTPUT_CHARACTERS_MAX);
    let shown: String = text.chars().skip(skip).collect();
    if shown.len() as u64 == both.bytes {
        shown
    } else {
        format!("… (the end of {} bytes)\n{shown}", both.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_output_is_cut_to_its_end() {
        let both = Excerpt {
            head: "a".repeat(9_000),
            tail: String::new(),
            bytes: 9_000,
            lines: 1,
        };
        let text = excerpt(&both);
        assert!(text.starts_with("… (the end of 9000 bytes)\n") && text.chars().count() < 5_000);
        let both = Excerpt {
            head: "ab".into(),
            tail: String::new(),
            bytes: 2,
            lines: 1,
        };
        assert_eq!(excerpt(&both), "ab");
    }
}
