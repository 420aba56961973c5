//! Linux: `/proc`, the subreaper, and a mark that every descendant inherits.
//!
//! The mark is a resource limit: the soft limit of `RLIMIT_RTTIME`, which no ordinary process feels, is set to a number
//! of ours far beyond any real time. Unlike a variable it survives `env -i`, unlike a group or a session `setsid`, unlike
//! a parent a double fork, and it does not show in the child's environment. Where the hard limit is too low for that, a
//! variable has to do.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use rustix::process::{
    Pid, Resource, Rlimit, WaitId, WaitIdOptions, getpid, getrlimit, set_child_subreaper,
    setrlimit, waitid,
};

use super::Process;

/// Marks are this plus the runner's process (22 bits) and a counter (24 bits): 146,000 years of real-time computing.
const MARK_BASE: u64 = 1 << 62;
const MARK_COUNTER_BITS: u32 = 24;
/// Ticks of the clock that tells when a process started (`USER_HZ`; 100 wherever Rust runs).
const TICKS_PER_SECOND: u64 = 100;
/// The variable that carries the mark where the limit cannot.
const MARK_VARIABLE: &str = "RUNBOOK_STEP";
/// How much of a list of children is read; beyond that all of `/proc` is.
const CHILDREN_BYTES_MAX: usize = 16 << 10;

/// Makes orphans of our children ours; false where the system does not.
pub(in crate::process) fn become_reaper() -> bool {
    set_child_subreaper(Some(getpid())).is_ok()
}

/// Gives out marks.
pub(in crate::process) struct Marks {
    /// The runner's own limit; `None` where it cannot carry a mark.
    own: Option<Rlimit>,
    next: u64,
}

impl Marks {
    pub(in crate::process) fn new() -> Self {
        let own = getrlimit(Resource::Rttime);
        // A runner inside a step has that step's mark as soft limit; its hard limit is what counts.
        Self {
            own: own.maximum.is_none().then_some(own),
            next: 0,
        }
    }

    /// A mark that no other tree has.
    pub(in crate::process) fn next(&mut self) -> u64 {
        self.next = (self.next + 1) & ((1 << MARK_COUNTER_BITS) - 1);
        let runner = u64::from(getpid().as_raw_nonzero().get().unsigned_abs());
        MARK_BASE | runner << MARK_COUNTER_BITS | self.next
    }

    /// The variable to set for a child, where the limit cannot carry the mark.
    pub(in crate::process) fn variable(&self, mark: u64) -> Option<(&'static str, String)> {
        self.own
            .is_none()
            .then(|| (MARK_VARIABLE, format!("{mark:x}")))
    }

    /// Starts a child with the mark. The limit is our own for that moment: a child has it from its first instruction.
    pub(in crate::process) fn with<T>(&self, mark: u64, start: impl FnOnce() -> T) -> T {
        let Some(own) = &self.own else { return start() };
        let marked = setrlimit(
            Resource::Rttime,
            Rlimit {
                current: Some(mark),
                maximum: own.maximum,
            },
        )
        .is_ok();
        let started = start();
        if marked {
            // Raising the soft limit to what it was is always allowed.
            let _ = setrlimit(Resource::Rttime, *own);
        }
        started
    }
}

/// The mark of a process; `None` where it has none of ours or must not be looked at.
pub(in crate::process) fn mark_of(pid: i32) -> Option<u64> {
    let limit = || {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max realtime timeout"))?;
        line.split_whitespace()
            .next()?
            .parse()
            .ok()
            .filter(|soft| soft & MARK_BASE != 0 && soft >> 63 == 0)
    };
    let variable = || {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let prefix = format!("{MARK_VARIABLE}=");
        let value = environment
            .split(|byte| *byte == 0)
            .find_map(|entry| entry.strip_prefix(prefix.as_bytes()))?;
        u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok()
    };
    limit().or_else(variable)
}

/// The process ID of the runner that gave out a mark.
pub(in crate::process) fn runner_of(mark: u64) -> u32 {
    u32::try_from((mark & !MARK_BASE) >> MARK_COUNTER_BITS).unwrap_or(0)
}

/// The runner's children, orphans that became ours among them: the kernel gives orphans to the first thread.
pub(in crate::process) struct Children {
    file: Option<File>,
}

impl Children {
    pub(in crate::process) fn new() -> Self {
        let pid = getpid().as_raw_nonzero();
        Self {
            file: File::open(format!("/proc/{pid}/task/{pid}/children")).ok(),
        }
    }

    /// Their process IDs; `None` where the system does not tell.
    pub(in crate::process) fn list(&self) -> Option<Vec<i32>> {
        let file = self.file.as_ref()?;
        let mut buffer = [0; 512];
        let mut length = file.read_at(&mut buffer, 0).ok()?;
        if length < buffer.len() {
            return Some(numbers(&buffer[..length]));
        }
        let mut large = vec![0; CHILDREN_BYTES_MAX];
        length = 0;
        // The kernel gives a list like this in pieces of a page.
        while length < large.len() {
            match file.read_at(&mut large[length..], length as u64).ok()? {
                0 => return Some(numbers(&large[..length])),
                read => length += read,
            }
        }
        None
    }
}

fn numbers(bytes: &[u8]) -> Vec<i32> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    text.split_ascii_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect()
}

/// Takes the status of an ended child; false while it runs.
pub(in crate::process) fn reap(pid: i32) -> bool {
    let Some(pid) = Pid::from_raw(pid) else {
        return false;
    };
    matches!(
        waitid(
            WaitId::Pid(pid),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG
        ),
        Ok(Some(_))
    )
}

/// One process; `None` when there is no such process.
pub(in crate::process) fn process(pid: i32) -> Option<Process> {
    parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// All processes that may be seen.
pub(in crate::process) fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(process).collect()
}

fn parse(stat: &[u8]) -> Option<Process> {
    // `PID (NAME) STATE PARENT GROUP SESSION …`; a name may hold blanks and parentheses.
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let pid = std::str::from_utf8(&stat[..open])
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let mut fields = std::str::from_utf8(&stat[close + 1..])
        .ok()?
        .split_ascii_whitespace();
    let is_zombie = matches!(fields.next()?, "Z" | "X");
    let mut number = || fields.next()?.parse().ok();
    let (parent, group, session) = (number()?, number()?, number()?);
    let start = fields.nth(15)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        group,
        session,
        start,
        is_zombie,
    })
}

/// A duration in ticks.
pub(in crate::process) fn ticks(duration: Duration) -> u64 {
    duration.as_secs() * TICKS_PER_SECOND
        + u64::from(duration.subsec_millis()) / (1000 / TICKS_PER_SECOND)
}

/// Ticks since boot, on the clock of `Process::start`.
pub(in crate::process) fn ticks_since_boot() -> Option<u64> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, rest) = uptime.split_once('.')?;
    let hundredths = rest.get(..2)?.parse::<u64>().ok()?;
    Some(seconds.parse::<u64>().ok()? * TICKS_PER_SECOND + hundredths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_read_over() {
        let stat = b"42 (a) b (c) S 7 41 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 99 0\n";
        let expect = Process {
            pid: 42,
            parent: 7,
            group: 41,
            session: 40,
            start: 123_456,
            is_zombie: false,
        };
        assert_eq!(parse(stat), Some(expect));
    }

    #[test]
    fn a_mark_tells_its_runner() {
        let mark = Marks::new().next();
        assert_eq!(runner_of(mark), std::process::id());
    }

    #[test]
    fn we_find_ourselves_and_when_we_started() {
        let own = process(getpid().as_raw_nonzero().get()).expect("we run");
        assert!(processes().contains(&own));
        let now = ticks_since_boot().expect("the time since boot");
        assert!(
            own.start <= now && now - own.start < 24 * 3600 * TICKS_PER_SECOND,
            "{own:?} {now}"
        );
    }
}
