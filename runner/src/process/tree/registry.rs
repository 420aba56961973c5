//! Which of the runner's children are leaders, and which are orphans and whose. One for the whole program.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, getpgrp, getpid, kill_process};
use tokio::process::{Child, Command};

use super::Identity;
use crate::process::system::{self, Children, Marks, Process};

/// The owner of an orphan that could not be ended: nobody tries again.
const GIVEN_UP: u64 = u64::MAX;
/// How often new orphans are looked for at once; each look takes some microseconds.
const CHASE_MAX: usize = 500;
/// How many empty looks more it takes to believe the first: the kernel's list can miss a child while another is reaped.
const EMPTY_LOOKS: usize = 2;
/// How often is looked again, when orphans have ended since the last look.
const LOOKS_MAX: usize = 16;
/// The owner of an orphan without a mark.
const UNKNOWN: u64 = 0;
/// The mark under which the watchdog stands among the leaders: it is no orphan, and no tree has it.
const WATCHDOG: u64 = u64::MAX - 1;

/// What the runner knows of its children.
pub(super) struct Registry {
    is_reaper: bool,
    marks: Marks,
    children: Children,
    /// Children whose owner will take their status.
    leaders: HashMap<i32, u64>,
    /// Trees that are not over.
    live: HashSet<u64>,
    /// Orphans that became ours, with the mark they carry. Nobody but us reaps them, so a process ID stays theirs.
    orphans: HashMap<i32, u64>,
}

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(|| {
    Mutex::new(Registry {
        is_reaper: system::become_reaper(),
        marks: Marks::new(),
        children: Children::new(),
        leaders: HashMap::new(),
        live: HashSet::new(),
        orphans: HashMap::new(),
    })
});

pub(super) fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    pub(super) fn is_reaper(&self) -> bool {
        self.is_reaper
    }

    /// Starts a leader with a new mark. Nobody else looks at children meanwhile: an unknown child would be an orphan.
    pub(super) fn start(&mut self, command: &mut Command) -> io::Result<(i32, u64, Child)> {
        let mark = self.marks.next();
        if let Some((name, value)) = self.marks.variable(mark) {
            command.env(name, value);
        }
        let child = self.marks.with(mark, || command.spawn())?;
        let leader = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .ok_or_else(|| io::Error::other("child without a process ID"))?;
        self.leaders.insert(leader, mark);
        self.live.insert(mark);
        Ok((leader, mark, child))
    }

    /// Starts the watchdog. Here, because only here no leader is started meanwhile, whose mark it would carry.
    pub(super) fn start_watchdog(
        &mut self,
        command: &mut std::process::Command,
    ) -> io::Result<std::process::Child> {
        let child = command.spawn()?;
        if let Ok(pid) = i32::try_from(child.id()) {
            self.leaders.insert(pid, WATCHDOG);
        }
        Ok(child)
    }

    pub(super) fn forget_watchdog(&mut self, child: &std::process::Child) {
        if let Ok(pid) = i32::try_from(child.id())
            && self.leaders.get(&pid) == Some(&WATCHDOG)
        {
            self.leaders.remove(&pid);
        }
    }

    /// Whether the process ID of a tree's leader, and so its group, is still its own and not that of a later leader.
    pub(super) fn may_own_group(&self, identity: &Identity) -> bool {
        self.leaders
            .get(&identity.leader)
            .is_none_or(|mark| *mark == identity.mark)
    }

    pub(super) fn leader_is_reaped(&mut self, identity: &Identity) {
        // Its process ID may be that of another leader already.
        if self.leaders.get(&identity.leader) == Some(&identity.mark) {
            self.leaders.remove(&identity.leader);
        }
    }

    /// A tree is over; what survived is left alone from now on.
    pub(super) fn forget(&mut self, identity: &Identity, survivors: &[i32]) {
        self.leader_is_reaped(identity);
        self.live.remove(&identity.mark);
        for pid in survivors {
            self.orphans.insert(*pid, GIVEN_UP);
        }
    }

    /// Whether living orphans belong to the tree with this mark; `None` where the system does not list children. Orphans
    /// that have ended are reaped, whosesoever.
    pub(super) fn has_orphans_of(&mut self, mark: u64) -> Option<bool> {
        for _ in 0..LOOKS_MAX {
            match self.look(mark, |_| {})? {
                Look::Found => return Some(true),
                Look::Ended => {}
                Look::Nothing => return Some(false),
            }
        }
        // Something ends and appears all the time: whoever asks has to end it.
        Some(true)
    }

    /// Looks at all orphans; tells of each living one of the tree with this mark.
    fn look(&mut self, mark: u64, mut each: impl FnMut(i32)) -> Option<Look> {
        let mut look = Look::Nothing;
        for pid in self.children.list()? {
            if self.leaders.contains_key(&pid) {
                continue;
            }
            match self.orphan(pid) {
                Orphan::Lives(owner) if self.is_owner(owner, mark) => {
                    each(pid);
                    look = Look::Found;
                }
                // It may have started its successor since the list was made.
                Orphan::Ended => look = look.max(Look::Ended),
                Orphan::Lives(_) | Orphan::None => {}
            }
        }
        Some(look)
    }

    /// Kills orphans of the tree with this mark as long as new ones appear: what starts another and ends at once is gone
    /// before all of `/proc` has been read. Nothing is left after a look that found no orphan, not even an ended one: a
    /// chain of successors has a member among our children at every instant. Returns those that the last look found.
    pub(super) fn chase(&mut self, mark: u64) -> Vec<i32> {
        let mut found = Vec::new();
        let mut empty = 0;
        for _ in 0..CHASE_MAX {
            found.clear();
            let look = self.look(mark, |pid| {
                if let Some(process) = Pid::from_raw(pid) {
                    let _ = kill_process(process, Signal::KILL);
                }
                found.push(pid);
            });
            match look {
                Some(Look::Found | Look::Ended) => empty = 0,
                Some(Look::Nothing) if empty < EMPTY_LOOKS => empty += 1,
                Some(Look::Nothing) | None => break,
            }
        }
        found
    }

    /// Orphans that no running tree accounts for.
    pub(super) fn strays(&mut self) -> Vec<i32> {
        let Some(children) = self.children.list() else {
            return Vec::new();
        };
        let mut strays = Vec::new();
        for pid in children {
            if !self.leaders.contains_key(&pid)
                && let Orphan::Lives(owner) = self.orphan(pid)
                && !self.live.contains(&owner)
                && owner != GIVEN_UP
            {
                strays.push(pid);
            }
        }
        strays
    }

    /// Reaps orphans among these processes that have ended, as the full look finds them.
    pub(super) fn reap_orphans(&mut self, processes: &mut Vec<Process>) {
        let own = getpid().as_raw_nonzero().get();
        let group = getpgrp().as_raw_nonzero().get();
        processes.retain(|process| {
            let is_ours = process.parent == own
                && process.group != group
                && !self.leaders.contains_key(&process.pid);
            let is_reaped = process.is_zombie && is_ours && system::reap(process.pid);
            if is_reaped {
                self.orphans.remove(&process.pid);
            }
            !is_reaped
        });
    }

    /// Whether a process that nothing else tells belongs to a tree: by its mark, or, when it is our orphan with the mark
    /// of no tree of ours, because there is only this tree.
    pub(super) fn owns(&self, process: &Process, mark: u64, own_group: i32) -> bool {
        if self.leaders.contains_key(&process.pid)
            || self.orphans.get(&process.pid) == Some(&GIVEN_UP)
        {
            return false;
        }
        let owner = system::mark_of(process.pid).unwrap_or(UNKNOWN);
        let is_orphan =
            process.parent == getpid().as_raw_nonzero().get() && process.group != own_group;
        owner == mark || (is_orphan && self.is_owner(owner, mark))
    }

    fn is_owner(&self, owner: u64, mark: u64) -> bool {
        owner == mark
            || (owner != GIVEN_UP
                && !self.live.contains(&owner)
                && self.live.len() == 1
                && self.live.contains(&mark))
    }

    /// Who owns a child that is no leader. One that has ended is reaped.
    fn orphan(&mut self, pid: i32) -> Orphan {
        if let Some(owner) = self.orphans.get(&pid).copied() {
            if system::reap(pid) {
                self.orphans.remove(&pid);
                return Orphan::Ended;
            }
            return Orphan::Lives(owner);
        }
        let Some(process) = system::process(pid) else {
            return Orphan::None;
        };
        if process.group == getpgrp().as_raw_nonzero().get() {
            return Orphan::None;
        }
        if process.is_zombie {
            system::reap(pid);
            return Orphan::Ended;
        }
        let owner = system::mark_of(pid).unwrap_or(UNKNOWN);
        self.orphans.insert(pid, owner);
        Orphan::Lives(owner)
    }
}

/// What a child that is no leader turned out to be.
enum Orphan {
    /// A living orphan and the mark of its owner.
    Lives(u64),
    /// An orphan that had ended.
    Ended,
    /// No orphan, or no more.
    None,
}

/// What a look at all orphans found of one tree; the weightier the later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    Nothing,
    /// Only such as had ended, whosesoever.
    Ended,
    /// Living ones.
    Found,
}
