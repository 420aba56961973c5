//! Who runs which state of the book: the run's ID, the commit, the person or job.
//!
//! Asks git with a deadline; a book outside of a repository has no revision, and that is no error.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long git may take.
const GIT_DEADLINE: Duration = Duration::from_secs(10);
/// How often git is asked whether it ended.
const GIT_POLL: Duration = Duration::from_millis(2);

/// A new run's ID: the time and four random digits, `20261124T235959Z-1a2b`; sorts by time.
pub fn run_id() -> String {
    let now = jiff::Timestamp::now();
    // Randomness without a crate for it: the hasher's keys are random per process and per instance.
    let random =
        std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), now.as_nanosecond());
    format!("{}-{:04x}", now.strftime("%Y%m%dT%H%M%SZ"), random & 0xffff)
}

/// The commit of a repository, with `+` when tracked files differ from it.
pub fn of(repository: &Path) -> Option<String> {
    if !repository.join(".git").exists() {
        return None;
    }
    let commit = git(repository, &["rev-parse", "--short=12", "HEAD"])?;
    let unchanged = git(repository, &["diff", "--quiet", "HEAD"]).is_some();
    Some(if unchanged {
        commit
    } else {
        format!("{commit}+")
    })
}

/// Who asks: the CI job, else the user's name.
pub fn asker() -> Option<String> {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let (Some(repository), Some(run)) = (var("GITHUB_REPOSITORY"), var("GITHUB_RUN_ID")) {
        return Some(format!("GitHub Actions {repository} run {run}"));
    }
    var("GITLAB_CI")
        .and(var("CI_PIPELINE_ID"))
        .map(|id| format!("GitLab CI pipeline {id}"))
        .or_else(|| var("USER"))
        .or_else(|| var("LOGNAME"))
}

fn git(repository: &Path, args: &[&str]) -> Option<String> {
    let mut child = Command::new("git")
        .arg("-C")
        .arg(repository)
        .args(args)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    // What these print is short: a pipe holds it, so waiting first cannot block.
    let started = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if started.elapsed() > GIT_DEADLINE {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(GIT_POLL);
    }
    let output = child.wait_with_output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_sort_by_time_and_differ() {
        let (a, b) = (run_id(), run_id());
        assert_eq!(a.len(), "20261124T235959Z-1a2b".len());
        assert_ne!(a, b);
        assert!(a.is_ascii() && !a.contains(['/', ' ']));
    }
}
