//! Faults to inject: by request count or by path, each a number of times. A fixture brings them (`faults`, see
//! [`FaultSeed`]), or a test plans them while the lab runs.
//!
//! The server asks before and after a call; tasks, locks and the agent ask where they work. Without faults nothing here
//! costs more than a look at an empty list.

use std::sync::{Mutex, PoisonError};

use crate::fixture::FaultSeed;
pub use crate::fixture::{Death, Fault, When};

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

impl Faults {
    /// The faults of a fixture.
    pub(crate) fn seeded(seeds: &[FaultSeed]) -> Self {
        let faults = Self::default();
        for FaultSeed { when, what } in seeds {
            faults.plan(when.clone(), what.clone());
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
