//! JUnit as nextest writes it: a suite per guide, a case per step, with the file and line of the step's fence.
//!
//! Drifted, timed out and aborted are failures; pending, blocked and skipped are skipped (DESIGN section 6).

use std::collections::BTreeMap;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use runbook::event::{Event, EventKind, StepFinished};
use runbook::outcome::State;

use super::text;

/// Gathers a run's results for JUnit.
#[derive(Debug, Default)]
pub struct Junit {
    steps: Vec<StepFinished>,
    duration_ms: u64,
    run: String,
}

impl Junit {
    /// Takes one event.
    pub fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted(run) => self.run.clone_from(&run.run),
            EventKind::StepFinished(step) => self.steps.push(StepFinished::clone(step)),
            EventKind::RunFinished(end) => self.duration_ms = end.duration_ms,
            _ => {}
        }
    }

    /// The document.
    ///
    /// # Errors
    /// When it cannot be written as XML.
    pub fn document(&self) -> Result<String, quick_junit::SerializeError> {
        let mut report = Report::new("runbook");
        report.set_time(Duration::from_millis(self.duration_ms));
        let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
        for step in &self.steps {
            // A step with items is its items here: counting it too would count a failure twice.
            if step.id.item.is_none()
                && self
                    .steps
                    .iter()
                    .any(|s| s.id.item.is_some() && s.id.without_item() == step.id)
            {
                continue;
            }
            let suite = suites.entry(&step.id.guide).or_insert_with(|| {
                let mut suite = TestSuite::new(step.id.guide.clone());
                suite.add_property(("run", self.run.as_str()));
                suite.add_property(("profile", step.profile.as_str()));
                suite
            });
            suite.add_test_case(case(step));
        }
        report.add_test_suites(suites.into_values());
        report.to_string()
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
    case.extra.insert("file".into(), step.file.clone().into());
    case.extra
        .insert("line".into(), step.line.to_string().into());
    if let Some(output) = &step.output {
        let both = &output.both;
        let shown = if both.tail.is_empty() {
            both.head.clone()
        } else {
            format!("{}\n…\n{}", both.head, both.tail)
        };
        case.set_system_out(shown);
    }
    case
}
