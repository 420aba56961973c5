//! `doctor`: what this machine has and lacks for running a book, and who asks a real profile's Proxmox VE; each with what to do.
//!
//! Looks only; every look has a deadline. A missing thing is no error of the command: the book decides what it needs.

mod clusters;

use std::borrow::Cow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::open::Opened;
use super::shell::Shell;
use super::wait_for;
use crate::execute::{self, Cancel, LAB, Missing, Purpose, RunRequest};
use crate::revision;

/// How long one look may take.
const LOOK_DEADLINE: Duration = Duration::from_secs(5);
/// How often a look is asked whether it ended.
const LOOK_POLL: Duration = Duration::from_millis(10);

/// `doctor --json`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct Report {
    /// Version of this shape.
    pub version: u32,
    /// Every look.
    pub checks: Vec<Look>,
}

/// One look at the machine.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct Look {
    /// What was looked for.
    pub name: Cow<'static, str>,
    /// Whether it is there.
    pub present: bool,
    /// What was found, or why not.
    pub found: String,
    /// What it is for, and what to do when it is missing.
    pub hint: String,
}

/// Looks at the machine, and at the profile when a real one is chosen.
pub(super) fn examine(opened: Option<&Opened>) -> Report {
    let mut checks = vec![
        kernel(),
        program(
            "bash",
            &["--version"],
            "`bash` steps run with it: install bash",
        ),
        program(
            "python3",
            &["--version"],
            "`python` steps run with it: install python3",
        ),
        program(
            "git",
            &["--version"],
            "the `git` action and revisions in reports: install git",
        ),
        program(
            "ssh",
            &["-V"],
            "scripts on nodes, guests and hosts run over it: install openssh-client",
        ),
        program(
            "kubectl",
            &["version", "--client"],
            "only scripts of the book that call it: install kubectl; steps on clusters and pods do without",
        ),
        isolation(),
        browser(),
        program(
            "mdbook-runbook",
            &["supports", "html"],
            "only for stock `mdbook build`: cargo install --path preprocessor",
        ),
        records(opened.map(Opened::root)),
    ];
    let real = opened.filter(|opened| opened.profile() != LAB);
    checks.extend(real.map(rights));
    checks.extend(real.map(clusters::looks).into_iter().flatten());
    Report { version: 1, checks }
}

/// Tells the report to people.
pub(super) fn tell(shell: &Shell, report: &Report) -> std::io::Result<()> {
    let width = report
        .checks
        .iter()
        .map(|look| look.name.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for look in &report.checks {
        let (sign, style) = if look.present {
            ("✓", "\u{1b}[32m")
        } else {
            ("✕", "\u{1b}[33m")
        };
        let (on, off) = if shell.color_out {
            (style, "\u{1b}[0m")
        } else {
            ("", "")
        };
        let found = look.found.replace('\n', &format!("\n  {:<width$}  ", ""));
        text.push_str(&format!("{on}{sign}{off} {:<width$}  {found}\n", look.name));
        if !look.present {
            text.push_str(&format!("  {:<width$}  hint: {}\n", "", look.hint));
        }
    }
    shell.out(&text)
}

fn kernel() -> Look {
    let release =
        std::fs::read_to_string("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned());
    let subreaper = cfg!(target_os = "linux");
    Look {
        name: "kernel".into(),
        present: subreaper,
        found: match release {
            Ok(release) => {
                format!("Linux {release}: children that leave their session are found and ended")
            }
            Err(_) => format!(
                "{}: children that leave their process group cannot be found again",
                std::env::consts::OS
            ),
        },
        hint: "on Linux a step's whole process tree is ended; elsewhere only its process group"
            .into(),
    }
}

fn program(name: &'static str, args: &[&str], hint: &str) -> Look {
    let (present, found) = match look(name, args) {
        Ok(text) => (true, text),
        Err(why) => (false, why),
    };
    Look {
        name: name.into(),
        present,
        found,
        hint: hint.into(),
    }
}

fn isolation() -> Look {
    let (present, found, hint) = match runbook_lab::isolate::available() {
        Ok(()) => (
            true,
            "user, mount, process and network namespaces can be made".to_owned(),
            String::new(),
        ),
        Err(forbidden) => (false, forbidden.reason, format!(": {}", forbidden.hint)),
    };
    Look {
        name: "isolation".into(),
        present,
        found,
        hint: format!("scripts on lab hosts need it{hint}"),
    }
}

fn browser() -> Look {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = names
        .iter()
        .find_map(|name| look(name, &["--version", "--no-sandbox"]).ok());
    Look {
        name: "browser".into(),
        present: found.is_some(),
        found: found.unwrap_or_else(|| "no Chromium on PATH".into()),
        hint: "only for this program's own browser tests: install chromium".into(),
    }
}

fn records(book: Option<&Path>) -> Look {
    let Some(root) = book else {
        return Look {
            name: "book".into(),
            present: false,
            found: "no `book.toml` here or above".into(),
            hint: "make one with `runbook init`, or name it with --book".into(),
        };
    };
    let writable = tempfile::Builder::new()
        .prefix(".runbook-doctor-")
        .tempfile_in(root);
    let (present, found) = match writable {
        Ok(_) => (true, format!("{} (runs can be recorded)", root.display())),
        Err(why) => (
            false,
            format!("{}: runs cannot be recorded: {why}", root.display()),
        ),
    };
    Look {
        name: "book".into(),
        present,
        found,
        hint: "make the folder writable: runs are recorded in `.runbook`".into(),
    }
}

/// Whether the profile's user or token may do what the book's steps need, named as a run that is refused names it.
fn rights(opened: &Opened) -> Look {
    let profile = opened.profile();
    let (present, found, hint) = match lacks(opened) {
        Ok(None) => (
            true,
            format!("profile `{profile}`: no step asks its Proxmox VE"),
            None,
        ),
        Ok(Some(missing)) if missing.lines.is_empty() => {
            let Missing { user, needed, .. } = missing;
            let all = match needed {
                1 => "the right".to_owned(),
                _ => format!("the {needed} rights"),
            };
            let found = format!(
                "profile `{profile}`: `{user}` has {all} that the book's steps are known to need"
            );
            (true, found, None)
        }
        Ok(Some(missing)) => {
            let lines = missing.lines.join("\n  ");
            let found = format!("profile `{profile}` lacks rights that a run needs:\n  {lines}");
            (false, found, Some(missing.hint))
        }
        Err((why, hint)) => (false, format!("profile `{profile}`: {why}"), hint),
    };
    Look {
        name: "rights".into(),
        present,
        found,
        hint: hint.unwrap_or_else(|| {
            "steps on Proxmox VE are executed with the rights of the profile's token".into()
        }),
    }
}

/// What is missing; why it cannot be said, and what to do then.
fn lacks(opened: &Opened) -> Result<Option<Missing>, (String, Option<String>)> {
    let check = || Some("see `runbook check`".to_owned());
    let read = opened.load(&Default::default());
    let read = read.map_err(|_| ("the book cannot be read".to_owned(), check()))?;
    if read.is_invalid() {
        return Err(("the book is not valid".to_owned(), check()));
    }
    let mut request = RunRequest::new(revision::run_id(), Purpose::Run, opened.root());
    request.repository = opened.repository();
    request.profile = opened.profile();
    let asked = wait_for(execute::lacks(Arc::new(read.book), request, Cancel::new()));
    match asked {
        Ok(Ok(missing)) => missing.map_err(|failure| (failure.message, failure.hint)),
        Ok(Err(error)) => Err((error.to_string(), error.hint())),
        Err(_) => Err(("the runtime cannot be started".to_owned(), None)),
    }
}

/// The first line that a program prints, within the deadline.
fn look(name: &str, args: &[&str]) -> Result<String, String> {
    let child = Command::new(name)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err("not on PATH".into());
        }
        Err(error) => return Err(error.to_string()),
    };
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(_)) => break,
            Ok(None) if started.elapsed() < LOOK_DEADLINE => std::thread::sleep(LOOK_POLL),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no answer within {} s", LOOK_DEADLINE.as_secs()));
            }
        }
    }
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8_lossy(&text);
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("")
        .trim()
        .to_owned();
    if output.status.success() {
        Ok(if first.is_empty() {
            "there".into()
        } else {
            first
        })
    } else {
        Err(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_told_with_what_to_do() {
        let look = program("no-such-program-here", &[], "install it");
        assert_eq!(
            (look.present, look.found.as_str(), look.hint.as_str()),
            (false, "not on PATH", "install it")
        );
    }

    #[test]
    fn every_look_ends_and_says_something() {
        let report = examine(None);
        assert!(
            report
                .checks
                .iter()
                .all(|look| !look.found.is_empty() && !look.hint.is_empty())
        );
    }
}
