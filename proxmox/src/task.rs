//! Tasks: what takes long goes on at the server; here it is waited for, with its log line by line.
//!
//! The first look comes within 50 ms, then ever less often: a tenth of the time waited so far. There are no events and no long
//! poll. A task is asked about at the node that its name says. A server that does not answer ends no wait: its tasks go on when
//! it restarts. When the waiting is given up, the task goes on.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::loose::{integer_of, text_of};
use crate::request::{Request, Retry, segment};
use crate::upid::Upid;

/// When is looked first.
const LOOK_FIRST: Duration = Duration::from_millis(20);
/// How often is looked at last.
const LOOK_LAST: Duration = Duration::from_millis(1500);
/// The pause is this part of the time waited so far: so late is the end seen at most.
const LOOK_PART: u32 = 10;
/// The log is read no more often than this while the task runs, so that it does not slow the looking.
const LOG_PAUSE: Duration = Duration::from_millis(250);
/// How long the rest of the log is asked for after the end.
const LOG_REST_MAX: Duration = Duration::from_secs(10);
/// How many lines are read at once.
const LINES_PER_LOOK: usize = 500;
/// How many lines are kept of a log.
const LINES_MAX: usize = 20_000;

/// How the last line of a log begins.
const ENDS: [&str; 3] = ["TASK OK", "TASK ERROR: ", "TASK WARNINGS: "];

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnd {
    /// `OK`.
    Ok,
    /// `WARNINGS: n`, which is success; the lines that begin with `WARN:`.
    Warnings(Vec<String>),
    /// Anything else, `unexpected status` of a killed worker too.
    Failed(String),
}

/// A task that ended, with its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Which.
    pub upid: Upid,
    /// How.
    pub end: TaskEnd,
    /// The log, without its last line of the form `TASK …`.
    pub log: Vec<String>,
}

impl Finished {
    /// The log as a text.
    pub fn text(&self) -> String {
        self.log.join("\n")
    }

    /// The last line of the log, which the server writes with the end: `TASK OK`.
    pub fn last_line(&self) -> String {
        match &self.end {
            TaskEnd::Ok => "TASK OK".to_owned(),
            TaskEnd::Warnings(lines) => format!("TASK WARNINGS: {}", lines.len()),
            TaskEnd::Failed(why) => format!("TASK ERROR: {why}"),
        }
    }

    /// The error of a failed one.
    ///
    /// # Errors
    ///
    /// When it failed.
    pub fn ok(self) -> Result<Self, Error> {
        match &self.end {
            TaskEnd::Failed(why) => Err(Error::Task(why.clone())),
            _ => Ok(self),
        }
    }
}

/// Reads a task's name from an answer.
///
/// # Errors
///
/// When the answer is none.
pub fn upid(answer: &Value) -> Result<Upid, Error> {
    let text = answer.as_str().unwrap_or_default();
    text.parse()
        .map_err(|error: crate::upid::NoUpid| Error::Answer(error.to_string()))
}

/// How a task stands: `None` while it runs, else its exit status.
///
/// # Errors
///
/// As [`Client::call`]; a task that nobody knows any more is [`Error::Parameters`].
pub async fn status(client: &Client, upid: &Upid) -> Result<Option<String>, Error> {
    let status = client.call(&path(upid, "status")).await?;
    match text_of(&status, "status").as_deref() {
        Some("running") => Ok(None),
        Some("stopped") => Ok(Some(
            text_of(&status, "exitstatus").unwrap_or_else(|| "unexpected status".to_owned()),
        )),
        other => Err(Error::Answer(format!(
            "a task is `running` or `stopped`, not `{}`",
            other.unwrap_or_default()
        ))),
    }
}

/// Waits until a task has ended; `line` gets each line of its log as it comes.
///
/// # Errors
///
/// [`Error::Deadline`] when it takes longer (it goes on), or when the server cannot be asked. How the task ended is no
/// error: see [`Finished::ok`].
pub async fn wait(
    client: &Client,
    upid: &Upid,
    limit: Duration,
    mut line: impl FnMut(&str),
) -> Result<Finished, Error> {
    let started = Instant::now();
    let mut logged = started;
    let mut log = Log::default();
    // Whoever waits was mostly known when the task was started.
    let mut known = true;
    let mut last = String::new();
    loop {
        let pause = pause(started.elapsed());
        let left = limit.saturating_sub(started.elapsed());
        tokio::time::sleep(pause.min(left)).await;
        let left = limit.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(Error::Deadline {
                what: format!("task `{upid}`{last}"),
                seconds: limit.as_secs(),
            });
        }
        match tokio::time::timeout(left, status(client, upid)).await {
            // The time was over during the look.
            Err(_) => {}
            Ok(Ok(None)) => {
                (known, last) = (true, String::new());
                if logged.elapsed() >= LOG_PAUSE.max(pause) {
                    // What cannot be read now is read later.
                    let _ = tokio::time::timeout(left, log.read(client, upid, &mut line)).await;
                    logged = Instant::now();
                }
            }
            Ok(Ok(Some(exit))) => {
                let rest = log.read(client, upid, &mut line);
                if !matches!(tokio::time::timeout(LOG_REST_MAX, rest).await, Ok(Ok(()))) {
                    line("(the rest of the task's log could not be read)");
                }
                return Ok(Finished {
                    upid: upid.clone(),
                    end: end(exit, &log.lines),
                    log: log.lines,
                });
            }
            // Who was known a moment ago gets one more chance: a member of a cluster may not have heard yet.
            Ok(Err(error @ Error::Unauthorized(_))) if known => {
                (known, last) = (false, format!(" (last: {error})"));
            }
            Ok(Err(error)) if may_pass(&error) => last = format!(" (last: {error})"),
            Ok(Err(error)) => return Err(error),
        }
    }
}

/// How long after a look the next one comes, after waiting so long: the end is seen at most so late.
fn pause(waited: Duration) -> Duration {
    (waited / LOOK_PART).clamp(LOOK_FIRST, LOOK_LAST)
}

fn may_pass(error: &Error) -> bool {
    error.kind() == ErrorKind::Unknown || error.is_passing()
}

#[derive(Default)]
struct Log {
    lines: Vec<String>,
    /// How many lines of the server's were read.
    read: usize,
}

impl Log {
    /// Hands on what is new.
    async fn read(
        &mut self,
        client: &Client,
        upid: &Upid,
        line: &mut impl FnMut(&str),
    ) -> Result<(), Error> {
        loop {
            let request = path(upid, "log")
                .with("start", self.read)
                .with("limit", LINES_PER_LOOK);
            let answer = client.call(&request).await?;
            let entries = answer.as_array().map(Vec::as_slice).unwrap_or_default();
            let mut more = 0;
            for entry in entries {
                let number = integer_of(entry, "n").unwrap_or_default();
                let text = text_of(entry, "t").unwrap_or_default();
                // An empty log is one line that is none.
                let is_none = number == 1 && text == "no content";
                let is_old = usize::try_from(number).is_ok_and(|number| number <= self.read);
                if is_none || is_old {
                    continue;
                }
                self.read += 1;
                more += 1;
                // The last line repeats the status, and may be there a moment before it.
                if !ENDS.iter().any(|end| text.starts_with(end)) {
                    line(&text);
                    if self.lines.len() < LINES_MAX {
                        self.lines.push(text);
                    }
                }
            }
            if more < LINES_PER_LOOK {
                return Ok(());
            }
        }
    }
}

fn end(exit: String, log: &[String]) -> TaskEnd {
    let warnings = exit
        .strip_prefix("WARNINGS: ")
        .is_some_and(|count| count.parse::<u32>().is_ok());
    if exit == "OK" {
        TaskEnd::Ok
    } else if warnings {
        let lines = log.iter().filter(|line| line.starts_with("WARN"));
        TaskEnd::Warnings(lines.cloned().collect())
    } else {
        TaskEnd::Failed(exit)
    }
}

fn path(upid: &Upid, what: &str) -> Request {
    Request::get(format!(
        "/nodes/{}/tasks/{}/{what}",
        segment(&upid.node),
        segment(upid.as_str())
    ))
}

/// Stops a task: TERM to its worker, then KILL.
pub fn stop(upid: &Upid) -> Request {
    let path = format!(
        "/nodes/{}/tasks/{}",
        segment(&upid.node),
        segment(upid.as_str())
    );
    Request::delete(path).retry(Retry::Idempotent)
}

/// Tasks of a node, newest first; of one guest, and of one type, if given.
pub fn list(node: &str, vmid: Option<u32>, kind: Option<&str>) -> Request {
    Request::get(format!("/nodes/{}/tasks", segment(node)))
        .with("source", "all")
        .maybe("vmid", vmid)
        .maybe("typefilter", kind)
}

/// The newest task of a guest of one type that began at or after a time: what became of a request whose answer was lost.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn find(
    client: &Client,
    node: &str,
    vmid: u32,
    kind: &str,
    since: i64,
) -> Result<Option<Upid>, Error> {
    let tasks = client.call(&list(node, Some(vmid), Some(kind))).await?;
    let tasks = tasks.as_array().map(Vec::as_slice).unwrap_or_default();
    let upids = tasks
        .iter()
        .filter_map(|task| text_of(task, "upid")?.parse::<Upid>().ok());
    Ok(upids
        .filter(|upid| upid.start >= since)
        .max_by_key(|upid| upid.start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_look_is_soon_and_the_end_is_seen_at_most_a_tenth_late() {
        let (mut waited, mut looks) = (Duration::ZERO, 0);
        assert!(pause(waited) <= Duration::from_millis(50));
        while waited < Duration::from_secs(3600) {
            let next = pause(waited);
            assert!(next >= LOOK_FIRST && next <= LOOK_LAST, "{waited:?}");
            assert!(next <= (waited / 10).max(LOOK_FIRST), "{waited:?}");
            waited += next;
            looks += 1;
        }
        // An hour is not asked through at the pace of the first second.
        assert!(looks < 2600, "{looks}");
    }

    #[test]
    fn warnings_are_success_and_whatever_else_is_not() {
        let log = vec!["WARN: old".to_owned(), "done".to_owned()];
        assert_eq!(end("OK".into(), &log), TaskEnd::Ok);
        assert_eq!(
            end("WARNINGS: 1".into(), &log),
            TaskEnd::Warnings(vec!["WARN: old".into()])
        );
        for text in [
            "unexpected status",
            "WARNINGS: x",
            "ok",
            "received interrupt",
        ] {
            assert_eq!(end(text.into(), &log), TaskEnd::Failed(text.into()));
        }
    }
}
