//! Everything that descends from a child, and how it is ended.
//!
//! A tree is a leader and all that it started. The runner is the subreaper of its descendants, so an orphan becomes its
//! own child instead of escaping to the system's; which tree an orphan belongs to says the mark that every descendant
//! inherits (`system`). So a child that ended alone costs two system calls to prove it: no process in its group, and no
//! child of the runner that nobody accounts for. Only where something is left all of `/proc` is read.
//!
//! Whoever starts a child outside this module leaves it in the runner's own process group: children in other groups that
//! are not leaders here are taken for orphans, and reaped.

mod registry;

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, getpgrp, kill_process, kill_process_group, test_kill_process_group,
};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::cancel::Cancel;
use super::system;
use registry::{Registry, registry};

/// How long KILL may take until survivors are given up.
const KILL_MAX: Duration = Duration::from_secs(2);
/// The same where nothing else may run meanwhile: when a future is dropped.
const DROP_KILL_MAX: Duration = Duration::from_secs(1);
/// How often is looked whether a tree is gone, at first and at last.
const LOOK_FIRST: Duration = Duration::from_millis(2);
const LOOK_LAST: Duration = Duration::from_millis(50);
/// Uncertainty of the time since boot against our own clock, in ticks.
const START_SLACK_TICKS: u64 = 20;

/// What it took to end a tree.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// How many processes there were.
    pub(super) count: usize,
    /// Those that could not be ended.
    pub(super) survivors: Vec<i32>,
}

/// A leader and everything that descends from it. Ended when it is dropped.
#[derive(Debug)]
pub(super) struct Tree {
    identity: Identity,
    /// Processes that were seen to belong to it, with their start.
    known: HashMap<i32, u64>,
    /// The leader was reaped: its process ID may be another's now.
    is_reaped: bool,
    is_over: bool,
}

/// What tells a tree from others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    pub(super) leader: i32,
    mark: u64,
    started: Instant,
}

impl Tree {
    /// Starts a child as the leader of a new tree.
    pub(super) fn start(command: &mut Command) -> io::Result<(Self, Child)> {
        let started = Instant::now();
        let (leader, mark, child) = registry().start(command)?;
        let identity = Identity {
            leader,
            mark,
            started,
        };
        Ok((
            Self {
                identity,
                known: HashMap::new(),
                is_reaped: false,
                is_over: false,
            },
            child,
        ))
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// The leader has ended and its status was taken.
    pub(super) fn leader_is_reaped(&mut self) {
        self.is_reaped = true;
        registry().leader_is_reaped(&self.identity);
    }

    /// Whether anything is left of it, now that its leader was reaped.
    pub(super) fn is_left(&mut self) -> bool {
        let mut registry = registry();
        match registry.has_orphans_of(self.identity.mark) {
            Some(found) => found || self.is_group_alive(&registry),
            None => !self.members(&mut registry).is_empty(),
        }
    }

    /// Ends all of it: TERM, and KILL after the grace or when somebody asks to stop at once.
    pub(super) async fn end(
        &mut self,
        child: &mut Child,
        grace: Duration,
        cancel: &Cancel,
    ) -> Ended {
        let mut ended = Ended {
            count: self.signal(Signal::TERM).len(),
            survivors: Vec::new(),
        };
        let patience = sleep(grace);
        let hurry = cancel.stopped_now();
        tokio::pin!(patience, hurry);
        let mut pause = LOOK_FIRST;
        loop {
            if self.is_gone(child) {
                return ended;
            }
            tokio::select! {
                biased;
                () = &mut hurry => break,
                () = &mut patience => break,
                () = sleep(pause) => pause = (pause * 2).min(LOOK_LAST),
            }
        }
        let started = Instant::now();
        pause = LOOK_FIRST;
        loop {
            // A process may have started another between the look and the signal: until nothing is found.
            let found = self.signal(Signal::KILL);
            ended.count = ended.count.max(found.len());
            self.take_status(child);
            if found.is_empty() {
                return ended;
            }
            if started.elapsed() >= KILL_MAX {
                ended.survivors = found;
                return ended;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LOOK_LAST);
        }
    }

    /// It has ended, or could not be: nothing more is done about it.
    pub(super) fn close(&mut self, survivors: &[i32]) {
        self.is_over = true;
        registry().forget(&self.identity, survivors);
    }

    fn is_gone(&mut self, child: &mut Child) -> bool {
        self.take_status(child);
        let mut registry = registry();
        // The first look is not only cheaper: what starts its successor and ends escapes the second.
        registry.has_orphans_of(self.identity.mark) != Some(true)
            && self.members(&mut registry).is_empty()
    }

    fn take_status(&mut self, child: &mut Child) {
        if !self.is_reaped && !matches!(child.try_wait(), Ok(None)) {
            self.leader_is_reaped();
        }
    }

    /// Signals all of it; says who was there.
    fn signal(&mut self, signal: Signal) -> Vec<i32> {
        // Under the lock: nobody can start a child, so no process ID that was looked at gets another meaning by us.
        let mut registry = registry();
        let members = self.members(&mut registry);
        if self.is_group_alive(&registry)
            && let Some(group) = Pid::from_raw(self.identity.leader)
        {
            let _ = kill_process_group(group, signal);
        }
        for pid in &members {
            if self.known.insert(pid.pid, pid.start) != Some(pid.start) || signal == Signal::KILL {
                let in_group = pid.group == self.identity.leader;
                if let (false, Some(pid)) = (in_group, Pid::from_raw(pid.pid)) {
                    let _ = kill_process(pid, signal);
                }
            }
        }
        let mut found: Vec<_> = members.into_iter().map(|member| member.pid).collect();
        if signal == Signal::KILL {
            let chased = registry.chase(self.identity.mark);
            found.extend(
                chased
                    .into_iter()
                    .filter(|pid| !self.known.contains_key(pid)),
            );
        }
        found
    }

    /// Whether a process of the leader's group is there, be it a zombie.
    fn is_group_alive(&self, registry: &Registry) -> bool {
        let group =
            Pid::from_raw(self.identity.leader).filter(|_| registry.may_own_group(&self.identity));
        match group.map(test_kill_process_group) {
            Some(Ok(())) => true,
            // Others' processes; elsewhere than on Linux also what has ended.
            Some(Err(Errno::PERM)) => cfg!(target_os = "linux"),
            _ => false,
        }
    }

    /// All living processes that belong to it.
    fn members(&self, registry: &mut Registry) -> Vec<system::Process> {
        let Some(now) = system::ticks_since_boot() else {
            // Not Linux: the leader stands for its group.
            let leader = self.identity.leader;
            let alone = system::Process {
                pid: leader,
                parent: 0,
                group: leader,
                session: 0,
                start: 0,
                is_zombie: false,
            };
            return if self.is_group_alive(registry) {
                vec![alone]
            } else {
                Vec::new()
            };
        };
        let age = system::ticks(self.identity.started.elapsed());
        let mut rest = system::processes();
        let leader = registry
            .may_own_group(&self.identity)
            .then_some(self.identity.leader);
        let is_ours = |process: &system::Process| {
            Some(process.group) == leader || self.known.get(&process.pid) == Some(&process.start)
        };
        // Whatever is older than its leader does not descend from it. Our clock stands still while the machine sleeps.
        let earliest = now.saturating_sub(age).saturating_sub(START_SLACK_TICKS);
        let earliest = rest
            .iter()
            .filter(|process| is_ours(process))
            .map(|process| process.start)
            .fold(earliest, u64::min);
        rest.retain(|process| process.start >= earliest);
        registry.reap_orphans(&mut rest);
        rest.retain(|process| !process.is_zombie);

        let mut members = Vec::new();
        take(&mut rest, &mut members, |process, _| is_ours(process));
        descend(&mut rest, &mut members);
        let own = getpgrp().as_raw_nonzero().get();
        take(&mut rest, &mut members, |process, _| {
            registry.owns(process, self.identity.mark, own)
        });
        descend(&mut rest, &mut members);
        members
    }
}

/// Moves what fits from one list to the other; says whether anything did.
fn take(
    rest: &mut Vec<system::Process>,
    members: &mut Vec<system::Process>,
    fits: impl Fn(&system::Process, &[system::Process]) -> bool,
) -> bool {
    let before = members.len();
    rest.retain(|process| {
        let is_member = fits(process, members);
        if is_member {
            members.push(*process);
        }
        !is_member
    });
    members.len() > before
}

/// Adds children of members and members of their sessions until there are no more.
fn descend(rest: &mut Vec<system::Process>, members: &mut Vec<system::Process>) {
    while take(rest, members, |process, members| {
        members
            .iter()
            .any(|member| process.parent == member.pid || process.session == member.pid)
    }) {}
}

impl Drop for Tree {
    fn drop(&mut self) {
        if !self.is_over {
            let survivors = self.kill_now();
            self.close(&survivors);
        }
    }
}

impl Tree {
    /// Kills all of it without a runtime; returns survivors.
    fn kill_now(&mut self) -> Vec<i32> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            let found = self.signal(Signal::KILL);
            if found.is_empty() || started.elapsed() >= DROP_KILL_MAX {
                return found;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LOOK_LAST);
        }
    }
}

impl Identity {
    /// Kills the whole tree without its owner, which may be a task that no longer runs.
    pub(super) fn kill_now(self) {
        let mut tree = Tree {
            identity: self,
            known: HashMap::new(),
            is_reaped: false,
            is_over: true,
        };
        tree.kill_now();
    }
}

/// Reaps what ended meanwhile; for long waits, so that orphans do not pile up as zombies.
pub(super) fn reap_orphans() {
    // The look itself reaps; no tree has this mark.
    registry().has_orphans_of(0);
}

/// Ends orphans that no running tree accounts for; the last thing before the runner ends. Returns how many there were.
pub fn end_orphans() -> usize {
    let started = Instant::now();
    let mut count = 0;
    loop {
        let found = registry().strays();
        count = count.max(found.len());
        if found.is_empty() || started.elapsed() >= DROP_KILL_MAX {
            return count;
        }
        for pid in found.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(LOOK_FIRST);
    }
}

/// Starts the watchdog, which is in no tree.
pub(super) fn start_watchdog(
    command: &mut std::process::Command,
) -> io::Result<std::process::Child> {
    registry().start_watchdog(command)
}

/// Starts a process that is of no step, the lab's isolated place: no end of a step's tree takes it for an orphan. Whoever
/// starts it ends it.
///
/// # Errors
///
/// When it cannot be started.
pub fn start_beside(command: &mut std::process::Command) -> io::Result<std::process::Child> {
    registry().start_watchdog(command)
}

/// The watchdog has ended.
pub(super) fn forget_watchdog(child: &std::process::Child) {
    registry().forget_watchdog(child);
}

/// Whether orphans of our children become ours. Where not, children that leave their process group can escape.
pub fn is_reaper() -> bool {
    registry().is_reaper()
}
