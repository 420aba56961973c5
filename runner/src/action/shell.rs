//! A shell on this machine or another, for actions that are a few commands of ours.
//!
//! Values reach the commands as variables, never as text of the script; what they print is bounded by [`crate::process`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::script::with_source;
use super::{Ended, Failure, elsewhere};
use crate::process::{self, Cancel, Command, End, Limits, Record};
use crate::remote::{Program, Remote, Script};

/// The longest part of what a command said that a message has.
const MESSAGE_LINES_MAX: usize = 12;

/// Where the commands run.
#[derive(Clone)]
pub enum Place {
    /// On this machine.
    Here {
        /// Where they start.
        directory: PathBuf,
        /// Their environment.
        environment: Vec<(OsString, OsString)>,
    },
    /// On another one.
    There(Remote),
}

/// A shell, for as long as a step may take.
#[derive(Clone)]
pub struct Shell {
    /// Where.
    pub place: Place,
    /// Until when.
    pub deadline: Instant,
    /// The step's time, for people.
    pub limit: Duration,
    /// Who may stop it.
    pub cancel: Cancel,
    /// Whether a command that is not there means that the lab does not have it.
    pub lab: bool,
}

/// What commands said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Whether standard output is all there was.
    pub is_whole: bool,
}

impl Shell {
    /// What people call the place: `this machine`, `host/nas`.
    pub fn name(&self) -> &str {
        match &self.place {
            Place::Here { .. } => "this machine",
            Place::There(remote) => remote.name(),
        }
    }

    /// Runs commands, strictly; any exit code is an answer.
    ///
    /// # Errors
    ///
    /// How the step ends when they cannot be run to their end.
    pub async fn ask(&self, text: &str, env: &[(&str, &str)]) -> Result<Said, Ended> {
        let limits = Limits::new(
            self.deadline.saturating_duration_since(Instant::now()),
            self.cancel.clone(),
        );
        let (end, code, output) = match &self.place {
            Place::Here {
                directory,
                environment,
            } => {
                let mut command = Command::new("sh", directory).arg("-eu").script(text);
                command.env.clone_from(environment);
                let command = env
                    .iter()
                    .fold(command, |command, (name, value)| command.env(name, value));
                let exit = process::run(&command, limits, Record::default())
                    .await
                    .map_err(|error| Ended::Unavailable(Failure::new(with_source(&error))))?;
                (exit.end, exit.code(), exit.output)
            }
            Place::There(remote) => {
                let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
                let script = Script {
                    language: "sh".into(),
                    text: text.into(),
                    strict: true,
                    env: env.iter().map(own).collect(),
                };
                let program = Program::Script(script);
                let finished = remote
                    .run(&program, limits, Record::default())
                    .await
                    .map_err(|error| elsewhere::ended(&error))?;
                (finished.end, finished.code, finished.output)
            }
        };
        match end {
            End::TimedOut => Err(Ended::TimedOut(format!(
                "ended after its time of {}",
                runbook::value::print_duration(self.limit)
            ))),
            End::Cancelled => Err(Ended::Aborted),
            End::Itself => Ok(Said {
                code: code.unwrap_or(255),
                is_whole: output.stdout.is_whole(),
                stdout: output.stdout.text().into_owned(),
                stderr: output.stderr.text().into_owned(),
            }),
        }
    }

    /// Runs commands that must succeed.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`], and when they fail; `what` is the message's beginning: `` `nginx` cannot be started``.
    pub async fn must(&self, what: &str, text: &str, env: &[(&str, &str)]) -> Result<Said, Ended> {
        let said = self.ask(text, env).await?;
        if said.code == 0 {
            return Ok(said);
        }
        let message = format!("{what} on {}: {}", self.name(), said.why());
        Err(Ended::Failed(Failure::new(message)))
    }

    /// How a step ends that needs a program which is not there.
    pub fn lacks(&self, program: &str) -> Ended {
        match &self.place {
            Place::There(remote) if self.lab => Ended::Missing(format!(
                "{} has no `{program}`",
                elsewhere::lab_name(remote)
            )),
            _ => Ended::Failed(Failure::new(format!("{} has no `{program}`", self.name()))),
        }
    }
}

impl Said {
    /// Why it failed: the last lines of what it said.
    pub fn why(&self) -> String {
        let said = if self.stderr.trim().is_empty() {
            &self.stdout
        } else {
            &self.stderr
        };
        let lines: Vec<&str> = said.trim_end().lines().collect();
        if lines.is_empty() {
            return format!("exit code {}", self.code);
        }
        lines[lines.len().saturating_sub(MESSAGE_LINES_MAX)..].join("\n")
    }
}
