//! Restarts another machine and waits until it is back: with another boot, not merely reachable.
//!
//! The connection may go at any moment of it; that is no failure. A container shares its node's kernel, so there the start of
//! its first process counts too.

use std::time::{Duration, Instant};

use runbook::result::Fields;

use super::elsewhere::ended;
use super::{Ended, Failure, Report};
use crate::process::{Cancel, Limits};
use crate::remote::{Cause, Program, Remote, RemoteError};

/// How long one look may take.
const LOOK_DURATION_MAX: Duration = Duration::from_secs(15);
/// How often is looked whether it is back.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The longest answer.
const ANSWER_BYTES_MAX: usize = 4 << 10;
/// What tells one boot from another: the kernel's number, the time since, the start of the first process.
const LOOK: &str = "cat /proc/sys/kernel/random/boot_id && cat /proc/uptime && cat /proc/1/stat";
/// Whose start it is in `/proc/1/stat`, counted behind the name in parentheses.
const START_FIELD: usize = 19;

/// One boot.
#[derive(Debug, Clone, PartialEq)]
struct Boot {
    id: String,
    /// When its first process started, in ticks.
    start: String,
    uptime: f64,
}

/// Restarts a machine; `is_container`: its kernel is another machine's. `limit` is the step's time, for people; `time` is
/// what is left of it.
pub async fn run(
    remote: &Remote,
    is_container: bool,
    time: Duration,
    limit: Duration,
    cancel: &Cancel,
) -> Report {
    let deadline = Instant::now() + time;
    match restart(remote, is_container, deadline, limit, cancel).await {
        Ok(boot) => {
            let mut fields = Fields::new();
            fields.set("uptime", boot.uptime);
            fields.set("boot-id", boot.id);
            Report {
                fields,
                ..Report::of(Ended::Done)
            }
        }
        Err(end) => Report::of(end),
    }
    .command(format!("restart {}", remote.name()))
}

async fn restart(
    remote: &Remote,
    is_container: bool,
    deadline: Instant,
    limit: Duration,
    cancel: &Cancel,
) -> Result<Boot, Ended> {
    let before = look(remote, deadline, cancel)
        .await
        .map_err(|error| ended(&error))?;
    // Where each look is a first process of its own, its start tells nothing.
    let again = look(remote, deadline, cancel)
        .await
        .map_err(|error| ended(&error))?;
    let start_counts = is_container && before.start == again.start;
    ask(remote, deadline, cancel).await?;
    let mut last = String::new();
    loop {
        remote.forget().await;
        match look(remote, deadline, cancel).await {
            Ok(boot) if boot.id != before.id => return Ok(boot),
            Ok(boot) if start_counts && boot.start != before.start => return Ok(boot),
            Ok(_) => "it has not gone down yet".clone_into(&mut last),
            Err(RemoteError::Stopped) => return Err(Ended::Aborted),
            // Going on would never mend these.
            Err(
                error @ RemoteError::Unavailable {
                    cause: Cause::HostKeyChanged { .. } | Cause::HostKeyUnknown,
                    ..
                },
            ) => return Err(ended(&error)),
            // The end of the time cut this look short: the one before says more.
            Err(RemoteError::TimedOut { .. }) if Instant::now() >= deadline && !last.is_empty() => {
            }
            Err(error) => last = error.to_string(),
        }
        if Instant::now() + LOOK_EVERY >= deadline {
            let limit = runbook::value::print_duration(limit);
            return Err(Ended::TimedOut(format!("not back within {limit}: {last}")));
        }
        tokio::select! {
            biased;
            () = cancel.stopped() => return Err(Ended::Aborted),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Asks it to restart. That the connection goes is what is hoped for.
async fn ask(remote: &Remote, deadline: Instant, cancel: &Cancel) -> Result<(), Ended> {
    let lines = "if command -v systemctl >/dev/null; then systemctl reboot; else reboot; fi";
    match remote
        .lines(
            &Program::lines(lines),
            ANSWER_BYTES_MAX,
            limits(deadline, cancel),
        )
        .await
    {
        Ok(answer) if answer.code == 0 => Ok(()),
        Ok(answer) => Err(Ended::Failed(Failure::new(format!(
            "{} does not restart: {}",
            remote.name(),
            answer
                .stderr
                .lines()
                .next_back()
                .unwrap_or("without a word")
        )))),
        Err(RemoteError::Stopped) => Err(Ended::Aborted),
        Err(RemoteError::Lost { .. } | RemoteError::TimedOut { .. }) => Ok(()),
        Err(error) => Err(ended(&error)),
    }
}

async fn look(remote: &Remote, deadline: Instant, cancel: &Cancel) -> Result<Boot, RemoteError> {
    let program = Program::lines(LOOK);
    let answer = remote
        .lines(&program, ANSWER_BYTES_MAX, limits(deadline, cancel))
        .await?;
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    boot(&text).ok_or_else(|| RemoteError::Unavailable {
        name: remote.name().to_owned(),
        cause: Cause::Other {
            said: format!("it does not tell its boot: {}", answer.stderr),
        },
    })
}

fn boot(text: &str) -> Option<Boot> {
    let mut lines = text.lines();
    let (id, uptime, stat) = (lines.next()?, lines.next()?, lines.next()?);
    let start = stat.rsplit_once(") ")?.1.split(' ').nth(START_FIELD)?;
    Some(Boot {
        id: id.trim().to_owned(),
        start: start.to_owned(),
        uptime: uptime.split(' ').next()?.parse().ok()?,
    })
}

fn limits(deadline: Instant, cancel: &Cancel) -> Limits {
    let left = deadline.saturating_duration_since(Instant::now());
    Limits::new(left.min(LOOK_DURATION_MAX), cancel.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_read_whatever_the_first_process_is_called() {
        let stat = "1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1 1";
        let read = boot(&format!("f00\n12.5 3.0\n{stat}\n")).unwrap();
        assert_eq!(
            (read.id.as_str(), read.start.as_str(), read.uptime),
            ("f00", "4711", 12.5)
        );
        assert_eq!(boot("f00\n12.5 3.0\n"), None);
    }
}
