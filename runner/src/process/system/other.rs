//! Other Unix: nothing but the process group is known, so children that leave it are not found.

use std::time::Duration;

use super::Process;

pub(in crate::process) fn become_reaper() -> bool {
    false
}

pub(in crate::process) struct Marks {
    next: u64,
}

impl Marks {
    pub(in crate::process) fn new() -> Self {
        Self { next: 0 }
    }

    pub(in crate::process) fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(in crate::process) fn variable(&self, _mark: u64) -> Option<(&'static str, String)> {
        None
    }

    pub(in crate::process) fn with<T>(&self, _mark: u64, start: impl FnOnce() -> T) -> T {
        start()
    }
}

pub(in crate::process) fn mark_of(_pid: i32) -> Option<u64> {
    None
}

pub(in crate::process) fn runner_of(_mark: u64) -> u32 {
    0
}

pub(in crate::process) struct Children;

impl Children {
    pub(in crate::process) fn new() -> Self {
        Self
    }

    pub(in crate::process) fn list(&self) -> Option<Vec<i32>> {
        Some(Vec::new())
    }
}

pub(in crate::process) fn reap(_pid: i32) -> bool {
    false
}

pub(in crate::process) fn process(_pid: i32) -> Option<Process> {
    None
}

pub(in crate::process) fn processes() -> Vec<Process> {
    Vec::new()
}

pub(in crate::process) fn ticks_since_boot() -> Option<u64> {
    None
}

pub(in crate::process) fn ticks(_duration: Duration) -> u64 {
    0
}
