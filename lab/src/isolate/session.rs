//! The processes of a host: where a program is, and which processes came of one command.
//!
//! A descendant is found by its parents, by its group and session, and by a mark in its environment that machines with
//! systemd have as well: the number of its session.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};
use rustix::process::{Pid, Signal, kill_process};

/// The mark in the environment.
pub(super) const MARK: &str = "XDG_SESSION_ID";
/// Where programs are looked for when the environment has no `PATH`.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long processes are ended that keep making new ones.
const KILL_MAX: Duration = Duration::from_secs(3);
/// How long is waited between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// Finds a program in the `PATH` of its own environment.
pub(super) fn locate(
    program: &OsStr,
    cwd: &Path,
    env: &[(OsString, OsString)],
) -> io::Result<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return Ok(cwd.join(program));
    }
    let path = env
        .iter()
        .rev()
        .find(|(name, _)| name == "PATH")
        .map_or(OsStr::new(PATH_DEFAULT), |(_, path)| path);
    std::env::split_paths(path)
        .map(|directory| cwd.join(directory).join(program))
        .find(|place| place.is_file() && access(place, Access::EXEC_OK).is_ok())
        .ok_or_else(|| io::Error::from(rustix::io::Errno::NOENT))
}

/// Ends a command's processes, until none is found twice; `leader` tells its first one while it runs. How many are left.
pub(super) fn kill(number: u64, leader: impl Fn() -> Option<i32>) -> usize {
    let deadline = Instant::now() + KILL_MAX;
    let mut quiet = 0;
    loop {
        let found = find(number, leader());
        quiet = if found.is_empty() { quiet + 1 } else { 0 };
        if quiet == 2 || Instant::now() >= deadline {
            return found.len();
        }
        for pid in found {
            if let Some(pid) = Pid::from_raw(pid) {
                // It may have ended meanwhile.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        std::thread::sleep(LOOK);
    }
}

struct Process {
    pid: i32,
    parent: i32,
    marked: bool,
}

fn find(number: u64, leader: Option<i32>) -> HashSet<i32> {
    let mark = format!("{MARK}={number}");
    let Ok(entries) = fs::read_dir("/proc") else {
        return HashSet::new();
    };
    let processes: Vec<_> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != 1)
        .filter_map(|pid| look(pid, leader, mark.as_bytes()))
        .collect();
    let mut found: HashSet<i32> = processes
        .iter()
        .filter(|process| process.marked)
        .map(|process| process.pid)
        .collect();
    // Children of what was found, until there are no more.
    loop {
        let before = found.len();
        for process in &processes {
            if found.contains(&process.parent) {
                found.insert(process.pid);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// A process that has not ended.
fn look(pid: i32, leader: Option<i32>, mark: &[u8]) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, also parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let mut number = || fields.next()?.parse::<i32>().ok();
    let (parent, group, session) = (number()?, number()?, number()?);
    let by_leader = leader.is_some_and(|leader| [pid, group, session].contains(&leader));
    let marked = by_leader
        || fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
            environment
                .split(|byte| *byte == 0)
                .any(|entry| entry == mark)
        });
    Some(Process {
        pid,
        parent,
        marked,
    })
}
