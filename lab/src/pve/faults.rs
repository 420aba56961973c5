//! Faults to inject: by request count or by path, each a number of times. A fixture brings them (`faults`, see
//! [`FaultSeed`]), or a test plans them while the lab runs.
//!
//! The server asks before and after a call; tasks, locks and the agent ask where they work. Without faults nothing here
//! costs more than a look at an empty list.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::fixture::{FaultKind, FaultSeed};

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A new connection is cut before anything is read. Neither method nor path are known then; `from` counts requests.
    Refuse,
    /// The connection is cut instead of an answer; the work was done or not.
    Reset {
        /// Whether the call ran.
        done: bool,
    },
    /// A status with a text; the work was done or not.
    Status {
        /// `500`, `595`, `596`, …
        status: u16,
        /// The reason phrase.
        text: String,
        /// Whether the call ran.
        done: bool,
    },
    /// The credentials are refused.
    Unauthorized,
    /// The answer comes late.
    Slow(Duration),
    /// A guest's configuration lock is held: tasks and calls that want it time out.
    Locked,
    /// A task that is started ends like that before its work is done. What it had begun stays where its worker vanished:
    /// a guest's lock, a configuration half made. A backup job with an error ends with `job errors`, as the real one.
    Task(Death),
    /// The guest agent does not answer.
    AgentDown,
    /// A guest does not hear that it is asked to shut down.
    Deaf,
}

/// How a task dies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Death {
    /// `unexpected status`, without a last line.
    Vanished,
    /// With an error.
    Failed(String),
}

/// When a fault strikes.
#[derive(Clone, Debug, Default)]
pub struct When {
    /// Only from this request on (the first is 1).
    pub from: u64,
    /// Only requests with this method.
    pub method: Option<String>,
    /// Only paths that contain this text; for tasks the type.
    pub path: Option<String>,
    /// How often; 0 is always.
    pub times: u32,
}

/// The faults of a cluster.
#[derive(Debug, Default)]
pub struct Faults {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    requests: u64,
    planned: Vec<(When, Fault, u32)>,
}

impl From<&FaultSeed> for Fault {
    fn from(seed: &FaultSeed) -> Self {
        match seed.what.clone() {
            FaultKind::Refuse => Self::Refuse,
            FaultKind::Reset { done } => Self::Reset { done },
            FaultKind::Status { status, text, done } => Self::Status { status, text, done },
            FaultKind::Unauthorized => Self::Unauthorized,
            FaultKind::Slow { ms } => Self::Slow(Duration::from_millis(ms)),
            FaultKind::Locked => Self::Locked,
            FaultKind::TaskVanishes => Self::Task(Death::Vanished),
            FaultKind::TaskFails { text } => Self::Task(Death::Failed(text)),
            FaultKind::AgentDown => Self::AgentDown,
            FaultKind::Deaf => Self::Deaf,
        }
    }
}

impl Faults {
    /// The faults of a fixture.
    pub(crate) fn seeded(seeds: &[FaultSeed]) -> Self {
        let faults = Self::default();
        for seed in seeds {
            let when = When {
                from: seed.from,
                method: seed.method.clone(),
                path: seed.path.clone(),
                times: seed.times,
            };
            faults.plan(when, seed.into());
        }
        faults
    }

    /// Plans a fault.
    pub fn plan(&self, when: When, fault: Fault) {
        self.lock().planned.push((when, fault, 0));
    }

    /// Forgets all planned faults.
    pub fn clear(&self) {
        self.lock().planned.clear();
    }

    /// How many requests there were.
    pub fn requests(&self) -> u64 {
        self.lock().requests
    }

    /// Counts a request and says what goes wrong with it.
    pub(crate) fn request(&self, method: &str, path: &str) -> Option<Fault> {
        let mut inner = self.lock();
        inner.requests += 1;
        inner.take(Some(method), path, |fault| {
            !matches!(
                fault,
                Fault::Task(_) | Fault::AgentDown | Fault::Deaf | Fault::Locked | Fault::Refuse
            )
        })
    }

    /// Whether the next connection is cut.
    pub(crate) fn refuses(&self) -> bool {
        self.lock()
            .take(None, "", |fault| *fault == Fault::Refuse)
            .is_some()
    }

    /// How a task of that type is to die.
    pub(crate) fn task_dies(&self, kind: &str) -> Option<Death> {
        match self
            .lock()
            .take(None, kind, |fault| matches!(fault, Fault::Task(_)))
        {
            Some(Fault::Task(death)) => Some(death),
            _ => None,
        }
    }

    /// Whether the guest agent of that guest is to be silent.
    pub(crate) fn agent_down(&self, vmid: u32) -> bool {
        self.lock()
            .take(None, &format!("/{vmid}/"), |fault| {
                *fault == Fault::AgentDown
            })
            .is_some()
    }

    /// Whether that guest is not to hear that it is asked to shut down.
    pub(crate) fn deaf(&self, vmid: u32) -> bool {
        self.lock()
            .take(None, &format!("/{vmid}/"), |fault| *fault == Fault::Deaf)
            .is_some()
    }

    /// Whether a guest's lock is to be held by someone else.
    pub(crate) fn locked(&self, vmid: u32) -> bool {
        self.lock()
            .take(None, &format!("/{vmid}/"), |fault| *fault == Fault::Locked)
            .is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn take(
        &mut self,
        method: Option<&str>,
        path: &str,
        wanted: impl Fn(&Fault) -> bool,
    ) -> Option<Fault> {
        let requests = self.requests;
        let (_, fault, struck) = self.planned.iter_mut().find(|(when, fault, struck)| {
            wanted(fault)
                && requests >= when.from
                && (when.times == 0 || *struck < when.times)
                && when
                    .method
                    .as_deref()
                    .is_none_or(|own| method.is_none_or(|method| method == own))
                && when.path.as_deref().is_none_or(|own| path.contains(own))
        })?;
        *struck += 1;
        Some(fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_its_path_its_number_of_times() {
        let faults = Faults::default();
        let reset = Fault::Reset { done: true };
        faults.plan(
            When {
                path: Some("/lxc".into()),
                times: 1,
                ..When::default()
            },
            reset.clone(),
        );
        assert_eq!(faults.request("GET", "/version"), None);
        assert_eq!(faults.request("POST", "/nodes/pve1/lxc"), Some(reset));
        assert_eq!(faults.request("POST", "/nodes/pve1/lxc"), None);
        assert_eq!(faults.requests(), 3);
    }

    #[test]
    fn a_fault_waits_for_its_request() {
        let faults = Faults::default();
        faults.plan(
            When {
                from: 3,
                ..When::default()
            },
            Fault::Unauthorized,
        );
        let struck: Vec<bool> = (0..4)
            .map(|_| faults.request("GET", "/version").is_some())
            .collect();
        assert_eq!(struck, [false, false, true, true]);
    }
}
