//! The children of a process that is the first of its namespace: every orphan becomes its child, and must be reaped.

use std::collections::HashMap;
use std::io;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rustix::process::{WaitId, WaitIdOptions, WaitOptions, WaitStatus, wait, waitid};

/// How a child ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
}

type OnEnd = Box<dyn FnOnce(End) + Send>;

/// Who starts children, and reaps them and everybody else's.
#[derive(Default)]
pub(super) struct Reaper {
    /// Held while a child is started: one that cannot be executed is reaped by who started it.
    children: Mutex<HashMap<i32, OnEnd>>,
    started: Condvar,
}

impl Reaper {
    /// Starts reaping in a thread of its own.
    pub(super) fn start() -> Arc<Self> {
        let reaper = Arc::new(Self::default());
        let own = Arc::clone(&reaper);
        std::thread::spawn(move || own.reap());
        reaper
    }

    /// Starts a child; `on_end` is called when it has ended, in the reaper's thread.
    pub(super) fn spawn(
        &self,
        command: &mut Command,
        on_end: impl FnOnce(End) + Send + 'static,
    ) -> io::Result<i32> {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
        children.insert(pid, Box::new(on_end));
        self.started.notify_all();
        Ok(pid)
    }

    fn reap(&self) {
        loop {
            // Looks without taking: what is there may be a child that is only being started.
            let look = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
            match look {
                Ok(_) => {
                    if let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG)
                        && let Some(on_end) = children.remove(&pid.as_raw_nonzero().get())
                    {
                        drop(children);
                        on_end(End::from(status));
                    }
                }
                Err(rustix::io::Errno::CHILD) if children.is_empty() => {
                    // Nobody can be orphaned to a process without children.
                    drop(
                        self.started
                            .wait(children)
                            .unwrap_or_else(PoisonError::into_inner),
                    );
                }
                Err(_) => {}
            }
        }
    }
}

impl From<WaitStatus> for End {
    fn from(status: WaitStatus) -> Self {
        Self {
            code: status.exit_status(),
            signal: status.terminating_signal(),
        }
    }
}
