//! Tasks: what takes long goes on at the server; here it is waited for, with its log line by line.
//!
//! The first look comes within 50 ms, then ever less often. A task is asked about at the node that its name says. When the
//! waiting is given up, the task goes on.

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
/// By how much the pause grows: so that the end is seen at most so much of the task's time late.
const LOOK_GROWTH: f64 = 1.25;
/// How many lines are read at once.
const LINES_PER_LOOK: usize = 500;
/// How many lines are kept of a log.
const LINES_MAX: usize = 20_000;
/// How long a server that does not answer is asked again.
const SILENCE_MAX: Duration = Duration::from_secs(120);

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
    Ok(match text_of(&status, "status").as_deref() {
        Some("running") => None,
        _ => Some(text_of(&status, "exitstatus").unwrap_or_else(|| "unexpected status".to_owned())),
    })
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
    let mut answered = Instant::now();
    let mut pause = LOOK_FIRST;
    let mut log = Log::default();
    loop {
        let left = limit.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(Error::Deadline {
                what: format!("task `{upid}`"),
                seconds: limit.as_secs(),
            });
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = pause.mul_f64(LOOK_GROWTH).min(LOOK_LAST);
        let looked = tokio::time::timeout(left, look(client, upid, &mut log, &mut line)).await;
        match looked {
            // The time was over during the look.
            Err(_) => {}
            Ok(Ok(None)) => answered = Instant::now(),
            Ok(Ok(Some(exit))) => {
                return Ok(Finished {
                    upid: upid.clone(),
                    end: end(exit, &log.lines),
                    log: log.lines,
                });
            }
            // A server that restarts does not end its tasks.
            Ok(Err(error)) if may_pass(&error) && answered.elapsed() < SILENCE_MAX => {}
            Ok(Err(error)) => return Err(error),
        }
    }
}

fn may_pass(error: &Error) -> bool {
    error.kind() == ErrorKind::Unknown
        || matches!(error, Error::Unreachable { .. } | Error::NodeDown(_))
}

#[derive(Default)]
struct Log {
    lines: Vec<String>,
    /// How many lines of the server's were read.
    read: usize,
}

async fn look(
    client: &Client,
    upid: &Upid,
    log: &mut Log,
    line: &mut impl FnMut(&str),
) -> Result<Option<String>, Error> {
    // First the status: what is in the log after the end is all there will be.
    let exit = status(client, upid).await?;
    loop {
        let request = path(upid, "log")
            .with("start", log.read)
            .with("limit", LINES_PER_LOOK);
        let read = match client.call(&request).await {
            Ok(Value::Array(read)) => read,
            Ok(_) => Vec::new(),
            // The status is what counts; a log may be gone before it.
            Err(_) if exit.is_some() => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut more = 0;
        for entry in &read {
            let number = integer_of(entry, "n").unwrap_or_default();
            if usize::try_from(number).is_ok_and(|number| number <= log.read) {
                continue;
            }
            let text = text_of(entry, "t").unwrap_or_default();
            // An empty log is one line that is none.
            if number == 1 && text == "no content" {
                continue;
            }
            log.read += 1;
            more += 1;
            // The last line repeats the status, and may be there a moment before it.
            if !ENDS.iter().any(|end| text.starts_with(end)) {
                line(&text);
                if log.lines.len() < LINES_MAX {
                    log.lines.push(text);
                }
            }
        }
        if more < LINES_PER_LOOK {
            return Ok(exit);
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
