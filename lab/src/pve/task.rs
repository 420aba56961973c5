//! Tasks: long work with an id (UPID), a log and an end. What does the work is in `worker`.
//!
//! Every log has a maximum of lines, and there is a maximum of tasks.

use std::collections::VecDeque;

use tokio::sync::watch;

use super::answer::Fail;

/// Lines of one task's log; more are dropped.
pub const TASK_LOG_LINES_MAX: usize = 20_000;
/// Tasks that are remembered; the oldest are forgotten, as the real one's logs are.
pub const TASKS_MAX: usize = 5_000;
/// How a task ended whose worker is gone without a last line.
pub(crate) const VANISHED: &str = "unexpected status";

/// A task id in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upid {
    pub(crate) node: String,
    pub(crate) pid: u32,
    pub(crate) pstart: u64,
    pub(crate) starttime: i64,
    pub(crate) kind: String,
    pub(crate) id: String,
    /// User or token.
    pub(crate) user: String,
}

/// A task that runs or ran.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) upid: Upid,
    pub(crate) log: Vec<String>,
    pub(crate) warnings: usize,
    /// The exit text and when; none while it runs.
    pub(crate) end: Option<(String, i64)>,
    /// Ends the worker.
    kill: watch::Sender<bool>,
}

/// All tasks, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Tasks(VecDeque<Task>);

impl std::fmt::Display for Upid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            node,
            pid,
            pstart,
            starttime,
            kind,
            id,
            user,
        } = self;
        write!(
            f,
            "UPID:{node}:{pid:08X}:{pstart:08X}:{starttime:08X}:{kind}:{id}:{user}:"
        )
    }
}

impl Upid {
    /// Reads a task id; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let [head, node, pid, pstart, starttime, kind, id, user, ""] = parts[..] else {
            return None;
        };
        let hex = |text: &str, min: usize, max: usize| {
            let good = (min..=max).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            good.then(|| u64::from_str_radix(text, 16).ok()).flatten()
        };
        let word = |text: &str| !text.contains(|c: char| c.is_whitespace() || c == '/');
        let node_ok = !node.is_empty()
            && node
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if head != "UPID"
            || !node_ok
            || kind.is_empty()
            || user.is_empty()
            || ![kind, id, user].iter().all(|text| word(text))
        {
            return None;
        }
        Some(Self {
            node: node.to_owned(),
            pid: u32::try_from(hex(pid, 8, 8)?).ok()?,
            pstart: hex(pstart, 8, 9)?,
            starttime: i64::try_from(hex(starttime, 8, 8)?).ok()?,
            kind: kind.to_owned(),
            id: id.to_owned(),
            user: user.to_owned(),
        })
    }
}

impl Task {
    /// The exit text as lists show it; none while it runs.
    pub(crate) fn exit(&self) -> Option<&str> {
        self.end.as_ref().map(|(text, _)| text.as_str())
    }

    /// Whether it ended in an error.
    pub(crate) fn failed(&self) -> bool {
        self.exit()
            .is_some_and(|text| text != "OK" && !text.starts_with("WARNINGS: "))
    }
}

impl Tasks {
    /// Newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Task> {
        self.0.iter().rev()
    }

    pub(crate) fn get(&self, upid: &str) -> Option<&Task> {
        self.0
            .iter()
            .rev()
            .find(|task| task.upid.to_string() == upid)
    }

    pub(crate) fn get_mut(&mut self, upid: &str) -> Option<&mut Task> {
        self.0
            .iter_mut()
            .rev()
            .find(|task| task.upid.to_string() == upid)
    }

    /// Adds a running task; what it returns tells the worker to die.
    pub(crate) fn start(&mut self, upid: Upid) -> watch::Receiver<bool> {
        let (kill, killed) = watch::channel(false);
        if self.0.len() >= TASKS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Task {
            upid,
            log: Vec::new(),
            warnings: 0,
            end: None,
            kill,
        });
        killed
    }

    pub(crate) fn log(&mut self, upid: &str, line: &str) {
        if let Some(task) = self.get_mut(upid) {
            for line in line
                .lines()
                .take(TASK_LOG_LINES_MAX.saturating_sub(task.log.len()))
            {
                task.log.push(line.to_owned());
            }
        }
    }

    /// The worker returned.
    pub(crate) fn finish(&mut self, upid: &str, result: Result<(), Fail>, now: i64) {
        let Some(task) = self.get_mut(upid).filter(|task| task.end.is_none()) else {
            return;
        };
        let exit = match result {
            Ok(()) if task.warnings > 0 => format!("WARNINGS: {}", task.warnings),
            Ok(()) => "OK".to_owned(),
            Err(fail) => fail.message.trim_end().replace('\n', " "),
        };
        let last = match exit.as_str() {
            "OK" => "TASK OK".to_owned(),
            text if text.starts_with("WARNINGS: ") => format!("TASK {text}"),
            text => format!("TASK ERROR: {text}"),
        };
        task.log.push(last);
        task.end = Some((exit, now));
    }

    /// The worker's process is gone without a last line.
    pub(crate) fn vanish(&mut self, upid: &str, now: i64) {
        if let Some(task) = self.get_mut(upid).filter(|task| task.end.is_none()) {
            task.end = Some((VANISHED.to_owned(), now));
            let _ = task.kill.send(true);
        }
    }

    /// Asks a worker to end; false if it has ended.
    pub(crate) fn interrupt(&mut self, upid: &str, now: i64) -> bool {
        let Some(task) = self.get_mut(upid).filter(|task| task.end.is_none()) else {
            return false;
        };
        task.log.push("received interrupt".to_owned());
        task.log.push("TASK ERROR: received interrupt".to_owned());
        task.end = Some(("received interrupt".to_owned(), now));
        let _ = task.kill.send(true);
        true
    }

    /// Everything that runs on a node is gone: it restarted.
    pub(crate) fn vanish_on(&mut self, node: &str, now: i64) {
        let running: Vec<String> = self
            .0
            .iter()
            .filter(|task| task.end.is_none() && task.upid.node == node)
            .map(|task| task.upid.to_string())
            .collect();
        for upid in running {
            self.vanish(&upid, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_upid_reads_back_as_it_was_written() {
        let text = "UPID:pve1:00007EEC:00078C8C:6B03C64C:vzstart:200:root@pam!lab:";
        let upid = Upid::parse(text).expect("it is a task id");
        assert_eq!(
            (upid.kind.as_str(), upid.user.as_str()),
            ("vzstart", "root@pam!lab")
        );
        assert_eq!(upid.to_string(), text);
    }

    #[test]
    fn what_is_no_upid_is_refused() {
        for text in [
            "garbage",
            "UPID:pve1:1:2:3:a:b:c:",
            "UPID:pve1:00007EEC:00078C8C:6B03C64C::200:root@pam:",
        ] {
            assert_eq!(Upid::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_end_says_how_in_status_and_in_the_last_line() {
        let upid = Upid::parse("UPID:pve1:00007EEC:00078C8C:6B03C64C:vzstart:200:root@pam:")
            .expect("it is a task id");
        let text = upid.to_string();
        let mut tasks = Tasks::default();
        tasks.start(upid.clone());
        tasks.finish(&text, Err(Fail::die("no\nway")), 5);
        let task = tasks.get(&text).expect("it is remembered");
        assert_eq!(
            (task.exit(), task.log.last().map(String::as_str)),
            (Some("no way"), Some("TASK ERROR: no way"))
        );
        assert!(task.failed());
        // The end does not change any more.
        tasks.finish(&text, Ok(()), 6);
        assert_eq!(tasks.get(&text).and_then(Task::exit), Some("no way"));
    }
}
