//! Ends what a killed runner left running: a process of this program that outlives the runner by a moment.
//!
//! A runner that is ended by KILL cannot end its children. The watchdog holds the end of a pipe whose other end is the runner's: when
//! the pipe closes without a farewell, it ends every process that carries a mark of that runner (`system`), by TERM and then by KILL.
//! On systems without marks there is none.

use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::run::GRACE;
use super::system;
use super::tree;

/// The first argument of this program when it is a watchdog; the second is the runner's process ID.
const ARGUMENT: &str = "--end-children-of";
/// What a runner says that ends by itself.
const FAREWELL: u8 = b'.';
/// How long the watchdog may take to end after the farewell.
const FAREWELL_MAX: Duration = Duration::from_millis(500);
/// How long it tries to end what is left.
const END_MAX: Duration = Duration::from_secs(5);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How many looks must find nothing: a process may start its successor while `/proc` is read.
const EMPTY_LOOKS: usize = 3;

/// A watchdog of this process; told farewell when it is dropped.
#[derive(Debug)]
pub struct Watchdog {
    child: Child,
}

impl Watchdog {
    /// Starts one; `program` is this program, whose `main` asks [`watch_if_asked`] first. `None` where there are no marks.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(program: &Path) -> io::Result<Option<Self>> {
        if system::ticks_since_boot().is_none() {
            return Ok(None);
        }
        let mut command = Command::new(program);
        command
            .arg(ARGUMENT)
            .arg(std::process::id().to_string())
            .current_dir("/")
            .env_clear()
            .stdin(Stdio::piped())
            // Whoever reads the runner's output must not wait for the watchdog.
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // A group of its own: Ctrl-C is for the runner.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = tree::start_watchdog(&mut command)?;
        Ok(Some(Self { child }))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.child.stdin.take() {
            // One that is gone has nothing to be told.
            let _ = pipe.write_all(&[FAREWELL]);
        }
        let started = Instant::now();
        while let Ok(None) = self.child.try_wait() {
            if started.elapsed() >= FAREWELL_MAX {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        tree::forget_watchdog(&self.child);
    }
}

/// Is the watchdog, when this program was started as one: returns when the runner has ended and nothing of it is left.
pub fn watch_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(ARGUMENT)) {
        return None;
    }
    let runner = arguments.next().and_then(|pid| pid.to_str()?.parse().ok());
    let Some(runner) = runner else {
        return Some(ExitCode::FAILURE);
    };
    let mut said = Vec::new();
    // Returns when the runner has ended, however: nobody else has the other end.
    let _ = io::stdin().lock().take(1).read_to_end(&mut said);
    if said.first() != Some(&FAREWELL) {
        end(runner);
    }
    Some(ExitCode::SUCCESS)
}

fn end(runner: u32) {
    let started = Instant::now();
    let mut empty = 0;
    while empty < EMPTY_LOOKS && started.elapsed() < END_MAX {
        let signal = if started.elapsed() < GRACE {
            Signal::TERM
        } else {
            Signal::KILL
        };
        let left = children_of(runner);
        empty = if left.is_empty() { empty + 1 } else { 0 };
        for pid in left.into_iter().filter_map(Pid::from_raw) {
            // One that is gone meanwhile needs no signal.
            let _ = kill_process(pid, signal);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Living processes that carry a mark of this runner.
fn children_of(runner: u32) -> Vec<i32> {
    system::processes()
        .into_iter()
        .filter(|process| !process.is_zombie)
        .map(|process| process.pid)
        .filter(|pid| system::mark_of(*pid).is_some_and(|mark| system::runner_of(mark) == runner))
        .collect()
}
