//! The cluster of a step: requests with the step's deadline and stop, tasks with their log, guests found wherever they are.
//!
//! A read ends at once when the run is stopped; a change that was sent is heard out, so that it is known what became of it. A
//! task goes on at the server when nobody waits any more, and the result says so.

mod see;
mod stop;

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use runbook::inventory::GuestKind;
use runbook_proxmox::guest::{Guest, Kind};
use runbook_proxmox::{Client, Error, ErrorKind, Request, Upid, task};
use serde_json::Value;

use crate::action::Ended;
use crate::process::{Cancel, Collector, Output, Record, Stream};

pub use see::Seen;
pub use stop::{Done, Stop};

/// The tag of every guest that was created by a book.
pub const TAG: &str = "runbook";
/// How long a guest's state may take to follow its task.
const FOLLOW_DURATION_MAX: Duration = Duration::from_secs(30);
/// How often a state is looked at meanwhile.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);
/// How long a changed configuration is changed again by somebody else, before it is told.
const SINCE_SLACK_SECONDS: i64 = 120;

/// Told of each task that begins, before it is waited for.
pub type OnTask = Box<dyn Fn(&Upid) + Send + Sync>;

/// The cluster of a step.
pub struct World {
    /// Who asks.
    pub client: Client,
    /// The login, for what a token may not do.
    pub login: Option<Client>,
    /// The tag of the book's guests.
    pub book_tag: String,
    /// The step, for what it creates.
    pub step: String,
    /// The numbers that guests without one may get.
    pub scratch: Option<(u32, u32)>,
    /// When the step's time is over.
    pub deadline: Instant,
    /// Stops it.
    pub cancel: Cancel,
    /// Told of each task.
    pub on_task: OnTask,
    log: Mutex<Option<Collector>>,
}

impl World {
    /// A cluster; `record` says what becomes of the logs of tasks.
    pub fn new(client: Client, login: Option<Client>, record: Record) -> Self {
        Self {
            client,
            login,
            book_tag: TAG.into(),
            step: String::new(),
            scratch: None,
            deadline: Instant::now(),
            cancel: Cancel::new(),
            on_task: Box::new(|_| {}),
            log: Mutex::new(Some(Collector::new(record))),
        }
    }

    /// The time that is left.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Shows a line as output of the step.
    pub fn say(&self, line: &str) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = log.as_mut() {
            log.push(Stream::Stdout, line.as_bytes());
            log.push(Stream::Stdout, b"\n");
        }
    }

    /// Everything that was said, once.
    pub fn output(&self) -> Option<Output> {
        let log = self
            .log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let output = log.map(|mut log| log.take())?;
        (!output.both().is_empty()).then_some(output)
    }

    /// Reads, as long as there is time and nobody stops it.
    ///
    /// # Errors
    ///
    /// Those of the read, the end of the time, a stop.
    pub async fn read<T>(&self, reading: impl Future<Output = Result<T, Error>>) -> Done<T> {
        tokio::select! {
            biased;
            () = self.cancel.stopped() => Err(Ended::Aborted.into()),
            () = tokio::time::sleep_until(self.deadline.into()) => Err(self.late("an answer")),
            result = reading => Ok(result?),
        }
    }

    fn late(&self, what: &str) -> Stop {
        Ended::TimedOut(format!("no time was left for {what}")).into()
    }

    /// Sends a change and hears it out; what a token may not do is asked for with the login, where there is one.
    ///
    /// # Errors
    ///
    /// The request's own.
    pub async fn send(&self, request: &Request) -> Result<Value, Error> {
        let error = match self.client.call(request).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        match &self.login {
            Some(login) if only_root(&error) => login.call(request).await,
            _ => Err(error),
        }
    }

    /// Sends a change and waits for its task, where it gives one.
    ///
    /// # Errors
    ///
    /// The request's, the task's, the end of the time, a stop.
    pub async fn run(&self, request: &Request) -> Done<Value> {
        self.may_go_on()?;
        let value = self.send(request).await?;
        self.finish(&value).await?;
        Ok(value)
    }

    /// The same for a guest: a task whose answer was lost is looked for by its type.
    ///
    /// # Errors
    ///
    /// As [`World::run`].
    pub async fn run_for(&self, guest: &Guest, kind: &str, request: &Request) -> Done<()> {
        self.may_go_on()?;
        let since = now() - SINCE_SLACK_SECONDS;
        match self.send(request).await {
            Ok(value) => self.finish(&value).await,
            Err(error) if error.kind() == ErrorKind::Unknown => {
                let kind = format!("{}{kind}", guest.kind.task_prefix());
                let found = self
                    .read(task::find(
                        &self.client,
                        &guest.node,
                        guest.vmid,
                        &kind,
                        since,
                    ))
                    .await?;
                match found {
                    Some(upid) => self.wait(&upid).await,
                    None => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn may_go_on(&self) -> Done<()> {
        if self.cancel.is_stopped() {
            return Err(Ended::Aborted.into());
        }
        if self.left().is_zero() {
            return Err(self.late("a change"));
        }
        Ok(())
    }

    /// Waits for the task that an answer names, if it names one.
    ///
    /// # Errors
    ///
    /// As [`World::wait`].
    pub async fn finish(&self, answer: &Value) -> Done<()> {
        match answer.as_str() {
            Some(text) if text.starts_with("UPID:") => {
                let upid = task::upid(answer)?;
                self.wait(&upid).await
            }
            _ => Ok(()),
        }
    }

    /// Waits for a task; its log is output of the step. Warnings are success.
    ///
    /// # Errors
    ///
    /// How it failed; that it goes on at the server when nobody waits any more.
    pub async fn wait(&self, upid: &Upid) -> Done<()> {
        (self.on_task)(upid);
        let waiting = task::wait(&self.client, upid, self.left(), |line| self.say(line));
        let goes_on = || format!("task `{upid}` goes on at the server");
        let finished = tokio::select! {
            biased;
            finished = waiting => finished,
            () = self.cancel.stopped() => {
                return Err(Stop { note: Some(goes_on()), ..Ended::Aborted.into() });
            }
        };
        match finished {
            Ok(finished) => {
                self.say(&finished.last_line());
                finished.ok()?;
                Ok(())
            }
            Err(error @ Error::Deadline { .. }) => Err(Stop {
                note: Some(goes_on()),
                ..error.into()
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until something is so that follows a task; `None` as long as it is not.
    ///
    /// # Errors
    ///
    /// That it is not so in time; those of the looks.
    pub async fn follow<T, F, L>(&self, what: &str, look: L) -> Done<T>
    where
        F: Future<Output = Done<Option<T>>>,
        L: Fn() -> F,
    {
        let until = self.deadline.min(Instant::now() + FOLLOW_DURATION_MAX);
        loop {
            if let Some(seen) = look().await? {
                return Ok(seen);
            }
            if Instant::now() + FOLLOW_PAUSE >= until {
                return Err(Ended::TimedOut(format!("{what} did not come about in time")).into());
            }
            tokio::select! {
                biased;
                () = self.cancel.stopped() => return Err(Ended::Aborted.into()),
                () = tokio::time::sleep(FOLLOW_PAUSE) => {}
            }
        }
    }
}

/// The tag of a book's guests: `runbook-` and the book's name, in the characters of a tag.
pub fn book_tag(name: &str) -> String {
    let mut tag = String::from("runbook-");
    for c in name.trim().to_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            tag.push(c);
        } else if !tag.ends_with('-') {
            tag.push('-');
        }
    }
    tag.truncate(60);
    tag.trim_end_matches('-').to_owned()
}

/// The client's word for a kind.
pub fn kind_of(kind: GuestKind) -> Kind {
    match kind {
        GuestKind::Lxc => Kind::Lxc,
        GuestKind::Vm => Kind::Qemu,
    }
}

/// Whether an error says that only `root@pam` with a ticket may do it.
pub fn only_root(error: &Error) -> bool {
    let text = match error {
        Error::Parameters { errors, .. } => errors.values().cloned().collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    let text = text.to_ascii_lowercase();
    [
        "only allowed for root@pam",
        "only root can",
        "only root may",
        "need proper ticket",
    ]
    .iter()
    .any(|part| text.contains(part))
}

fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| now.as_secs() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_has_a_tag_in_the_characters_of_tags() {
        assert_eq!(book_tag("My Homelab (2026)"), "runbook-my-homelab-2026");
        assert_eq!(book_tag("Ü"), "runbook");
        assert!(book_tag(&"x".repeat(200)).len() <= 60);
    }
}
