//! Scripts on this machine: `bash`, `sh`, `python`.
//!
//! Makes the command and reads its result; the child itself is [`crate::process`]'s. A shell runs strictly, so that no failing
//! line hides behind the next.

use std::ffi::OsString;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use runbook::result::Fields;

use super::{Ended, Failure, Report};
use crate::process::{
    self, Cancel, Command, End, Exit, Limits, Output, ProcessError, Record, Script, Through,
};

/// A script that is ready to run.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The action's name: `bash`, `sh`, `python`.
    pub language: &'a str,
    /// The script, rendered.
    pub text: &'a str,
    /// Whether a failing line ends it.
    pub strict: bool,
    /// Where it starts.
    pub directory: &'a Path,
    /// The environment of the place.
    pub environment: &'a [(OsString, OsString)],
    /// What the place starts scripts through.
    pub through: &'a Through,
    /// What the step adds to it.
    pub env: &'a [(String, String)],
    /// The time that the step has, for people; what is left of it may be less.
    pub limit: Duration,
    /// Whether a command that is not there means that the lab does not have it.
    pub lab: bool,
}

/// The command that runs a script.
pub fn command(call: Call<'_>) -> Command {
    let (program, args): (&str, &[&str]) = match (call.language, call.strict) {
        ("python", _) => ("python3", &[]),
        ("sh", true) => ("sh", &["-eu"]),
        ("sh", false) => ("sh", &[]),
        (_, true) => ("bash", &["-eu", "-o", "pipefail"]),
        (_, false) => ("bash", &[]),
    };
    let mut command = Command::new(program, call.directory);
    command.through = call.through.clone();
    command.args = args.iter().map(Into::into).collect();
    command.script = Some(Script {
        flag: "-c",
        text: call.text.to_owned(),
    });
    command
        .env
        .reserve_exact(call.environment.len() + call.env.len());
    command.env.extend_from_slice(call.environment);
    command.env.extend(
        call.env
            .iter()
            .map(|(name, value)| (name.into(), value.into())),
    );
    command
}

/// Runs a script to its end.
pub async fn run(call: Call<'_>, timeout: Duration, cancel: &Cancel, record: Record) -> Report {
    let result = process::run(&command(call), Limits::new(timeout, cancel.clone()), record).await;
    let report = match result {
        Ok(exit) => report(call, exit),
        Err(error) => refused(call, &error),
    };
    report.command(call.text)
}

/// Why a script did not even start.
pub fn refused(call: Call<'_>, error: &ProcessError) -> Report {
    let message = with_source(error);
    Report::of(match error {
        ProcessError::NotFound { program } if call.lab => {
            Ended::Missing(format!("this machine has no `{program}`"))
        }
        ProcessError::TooLong | ProcessError::ZeroByte => Ended::Failed(Failure::new(message)),
        _ => Ended::Unavailable(Failure::new(message)),
    })
}

fn report(call: Call<'_>, exit: Exit) -> Report {
    let ran = Ran {
        end: exit.end,
        code: exit.code(),
        note: note(&exit),
        output: exit.output,
    };
    ran.report(call.limit, call.lab.then_some("this machine"))
}

/// A script that ran, here or elsewhere.
pub(super) struct Ran {
    pub(super) end: End,
    pub(super) code: Option<i32>,
    pub(super) output: Output,
    pub(super) note: Option<String>,
}

impl Ran {
    /// Its report; `lab` is the place of the lab that may not have a command.
    pub(super) fn report(self, limit: Duration, lab: Option<&str>) -> Report {
        let mut fields = Fields::new();
        if let Some(code) = self.code {
            fields.set("exit", code);
        }
        fields.set("stdout", self.output.stdout.text().into_owned());
        fields.set("stderr", self.output.stderr.text().into_owned());
        fields.set("output", self.output.both().text().into_owned());
        let end = match self.end {
            End::TimedOut => Ended::TimedOut(format!(
                "ended after its time of {}",
                runbook::value::print_duration(limit)
            )),
            End::Cancelled => Ended::Aborted,
            End::Itself => match (lab, missing_program(self.code, &self.output.stderr.text())) {
                (Some(lab), Some(program)) => Ended::Missing(format!("{lab} has no `{program}`")),
                _ => Ended::Done,
            },
        };
        Report {
            end,
            output: Some(self.output),
            note: self.note,
            ..Report::of(Ended::Done).with(fields)
        }
    }
}

/// The command that was not there, as the shell reports it; any other 127 is a failure.
pub fn missing_program(code: Option<i32>, said: &str) -> Option<String> {
    static REPORT: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?m)^\S+: (?:line )?\d+: (.+?): (?:command )?not found$").ok()
    });
    if code != Some(127) {
        return None;
    }
    let found = REPORT.as_ref()?.captures_iter(said).last()?;
    Some(found[1].to_owned())
}

fn note(exit: &Exit) -> Option<String> {
    if !exit.survivors.is_empty() {
        return Some(format!(
            "{} of its processes could not be ended",
            exit.survivors.len()
        ));
    }
    left_behind(exit.leftovers)
}

/// What is told of processes that were left behind.
pub(super) fn left_behind(count: usize) -> Option<String> {
    match count {
        0 => None,
        1 => Some(
            "a process that it left behind was ended; a server belongs in `background`".to_owned(),
        ),
        count => Some(format!(
            "{count} processes that it left behind were ended; a server belongs in `background`"
        )),
    }
}

/// An error with what caused it.
pub fn with_source(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl Report {
    fn with(mut self, fields: Fields) -> Self {
        self.fields = fields;
        self
    }
}
