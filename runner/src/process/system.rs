//! What the operating system tells about processes: the part of `tree` that differs between systems.
//!
//! On Linux descendants are found wherever they went; elsewhere only the process group is known.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub(super) use linux::{
    Children, Marks, become_reaper, mark_of, process, processes, reap, runner_of, ticks,
    ticks_since_boot,
};
#[cfg(not(target_os = "linux"))]
pub(super) use other::{
    Children, Marks, become_reaper, mark_of, process, processes, reap, runner_of, ticks,
    ticks_since_boot,
};

/// One process as the system shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// Ticks from boot to its start.
    pub(super) start: u64,
    /// It has ended and waits to be reaped.
    pub(super) is_zombie: bool,
}
