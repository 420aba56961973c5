//! What is told while the cases run, and the summary.

use std::process::ExitCode;
use std::time::Duration;

pub(crate) enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

#[derive(Default)]
pub(crate) struct Report {
    passed: usize,
    failed: Vec<(String, String)>,
    skipped: Vec<(String, String)>,
}

impl Report {
    pub(crate) fn add(&mut self, name: String, outcome: Outcome, time: Duration) {
        let seconds = time.as_secs_f64();
        match outcome {
            Outcome::Passed => {
                println!("ok      {name} ({seconds:.1} s)");
                self.passed += 1;
            }
            Outcome::Failed(text) => {
                println!("FAILED  {name} ({seconds:.1} s)\n{}", indent(&text));
                self.failed.push((name, text));
            }
            Outcome::Skipped(reason) => {
                println!("skipped {name}: {reason}");
                self.skipped.push((name, reason));
            }
        }
    }

    /// Prints the failures again, the skips with their reasons and the summary line, in an order that does not change from run to run.
    pub(crate) fn finish(mut self, time: Duration, most_skips: Option<usize>) -> ExitCode {
        self.failed.sort();
        self.skipped.sort();
        if !self.failed.is_empty() {
            println!("\nfailures:");
            for (name, text) in &self.failed {
                println!("  {name}\n{}", indent(text));
            }
        }
        if !self.skipped.is_empty() {
            println!("\nskipped:");
            for (name, reason) in &self.skipped {
                println!("  {name}: {reason}");
            }
        }
        println!(
            "\nkubernetes conformance: {} passed, {} failed, {} skipped, in {:.0} s",
            self.passed,
            self.failed.len(),
            self.skipped.len(),
            time.as_secs_f64()
        );
        let too_many = most_skips.filter(|most| self.skipped.len() > *most);
        if let Some(most) = too_many {
            println!("kubernetes conformance: at most {most} skipped were expected");
        }
        // Nothing that ran is nothing that was proved.
        if self.failed.is_empty() && too_many.is_none() && self.passed > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

fn indent(text: &str) -> String {
    text.lines()
        .map(|line| format!("        {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
