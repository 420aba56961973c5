//! Scripts on other machines, and what it means when such a machine cannot be used.
//!
//! The transport is [`crate::remote`]'s; the report is that of a script on this machine.

use std::time::Duration;

use super::script::{Ran, left_behind, with_source};
use super::{Ended, Failure, Report};
use crate::process::{Cancel, Limits, Record};
use crate::remote::{Cause, Detached, Program, Remote, RemoteError, Script};

/// What the output of an agent may lack.
const CUT: &[&str] = &["stdout", "stderr", "output", "json", "table"];

/// A script that is ready to run elsewhere.
#[derive(Debug)]
pub struct Call {
    /// The script with its whole environment.
    pub script: Script,
    /// The time that the step has, for people; what is left of it may be less.
    pub limit: Duration,
    /// Whether a command that is not there means that the lab does not have it.
    pub lab: bool,
}

/// Runs a script on another machine to its end.
pub async fn run(
    remote: &Remote,
    call: Call,
    timeout: Duration,
    cancel: &Cancel,
    record: Record,
) -> Report {
    let command = call.script.text.clone();
    let place = call.lab.then(|| lab_name(remote));
    let program = Program::Script(call.script);
    let limits = Limits::new(timeout, cancel.clone());
    let report = match remote.run(&program, limits, record).await {
        Ok(finished) => {
            let cut = finished.cut;
            let ran = Ran {
                end: finished.end,
                code: finished.code,
                note: left_behind(finished.leftovers),
                output: finished.output,
            };
            Report {
                cut: if cut { CUT } else { &[] },
                ..ran.report(call.limit, place.as_deref())
            }
        }
        Err(error) => Report::of(ended(&error)),
    };
    report.command(command)
}

/// Starts a script that goes on without us, or finds it again, and waits for its end; `detached` is what tells it from others,
/// and the run.
pub async fn run_detached(
    remote: &Remote,
    call: Call,
    detached: (String, String),
    timeout: Duration,
    cancel: &Cancel,
    record: Record,
) -> Report {
    let command = call.script.text.clone();
    let place = call.lab.then(|| lab_name(remote));
    let (key, run) = detached;
    let detached = Detached {
        script: call.script,
        key,
        run,
    };
    let limits = Limits::new(timeout, cancel.clone());
    let report = match detached.run(remote, limits, record).await {
        Ok((finished, note)) => {
            let ran = Ran {
                end: finished.end,
                code: finished.code,
                note,
                output: finished.output,
            };
            ran.report(call.limit, place.as_deref())
        }
        Err(error) => Report::of(ended(&error)),
    };
    report.command(command)
}

/// What a machine of the lab is called when it lacks something: `the lab's pve1`.
pub fn lab_name(remote: &Remote) -> String {
    lab_target(remote.name())
}

/// The same of a target: `node/pve1`.
pub fn lab_target(target: &str) -> String {
    let name = target.split_once('/').map_or(target, |(_, name)| name);
    format!("the lab's {name}")
}

/// How a step ends whose machine cannot be used.
pub fn ended(error: &RemoteError) -> Ended {
    let failure = Failure::new(with_source(error)).hint(error.hint());
    match error {
        RemoteError::Stopped => Ended::Aborted,
        RemoteError::Script(_) => Ended::Failed(Failure {
            refused: true,
            ..failure
        }),
        // The place is there; what it lacks is a fact of it.
        RemoteError::Unavailable {
            cause: Cause::NoShell { .. },
            ..
        } => Ended::Failed(failure),
        _ => Ended::Unavailable(failure),
    }
}
