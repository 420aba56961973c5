//! Who used a stand-in: where each connection came from, and what the program that opened it has in its environment.
//!
//! The kernel tells it (`listeners`). Who cannot be told from others is told as nobody.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::{Hosts, Inner, listeners};
use crate::stand_in::Seen;

/// Where connections come from that are made from outside of the lab.
pub(super) const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77));
/// How many connections are remembered one by one.
const USES_MAX: usize = 1 << 16;
/// How long it is waited for who opened a connection, and how often is looked.
const KNOWN_MAX: Duration = Duration::from_secs(2);
const KNOWN_LOOK: Duration = Duration::from_millis(2);

/// A connection that a stand-in has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    /// Made from outside, by [`Hosts::connect`].
    Outside,
    /// By a program of a machine, whose environment has this as the value of the variable that was asked for.
    Marked(String),
    /// By somebody.
    Unknown,
}

/// The connections so far.
#[derive(Default)]
pub(super) struct Uses(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// `None` where it is still looked who it was.
    uses: Vec<Option<Use>>,
    /// How many came after those: they are counted, but not told apart any more.
    beyond: usize,
}

impl Uses {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that was taken; whatever becomes of it, it is told who it was.
struct Taken {
    lab: Arc<Inner>,
    at: Option<usize>,
    by: Use,
}

impl Taken {
    fn new(lab: Arc<Inner>) -> Self {
        let mut known = lab.uses.lock();
        let at = (known.uses.len() < USES_MAX).then_some(known.uses.len());
        match at {
            Some(_) => known.uses.push(None),
            None => known.beyond += 1,
        }
        drop(known);
        let by = Use::Unknown;
        Self { lab, at, by }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut known = self.lab.uses.lock();
        if let Some(use_) = self.at.and_then(|at| known.uses.get_mut(at)) {
            *use_ = Some(self.by.clone());
        }
    }
}

/// What a stand-in tells of its connections at an address.
pub(super) fn seen(lab: Weak<Inner>, own: SocketAddr) -> Seen {
    Arc::new(move |peer| {
        let taken = lab.upgrade().map(Taken::new);
        Box::pin(async move {
            let Some(mut taken) = taken else { return };
            if peer.ip().to_canonical() == OUTSIDE {
                taken.by = Use::Outside;
            } else if let Some(variable) = taken.lab.mark.get().copied() {
                let place = taken.lab.sandbox.pid();
                let look = move || listeners::mark(place, peer, own, variable);
                let mark = tokio::task::spawn_blocking(look).await;
                taken.by = mark.ok().flatten().map_or(Use::Unknown, Use::Marked);
            }
        })
    })
}

impl Hosts {
    /// The variable by which programs of the machines are told apart. Once.
    pub fn mark_by(&self, variable: &'static str) {
        // A second one would be a mistake of the caller; the first stays.
        let _ = self.0.mark.set(variable);
    }

    /// How many connections stand-ins have taken so far.
    pub fn stand_ins_used(&self) -> usize {
        let known = self.0.uses.lock();
        known.uses.len() + known.beyond
    }

    /// The connections from that number on.
    pub async fn stand_in_uses(&self, from: usize) -> Vec<Use> {
        let begun = tokio::time::Instant::now();
        loop {
            let uses: Vec<Option<Use>> = {
                let known = self.0.uses.lock();
                let all = known.uses.get(from..).unwrap_or_default().iter().cloned();
                let beyond = known.uses.len() + known.beyond > from.max(USES_MAX);
                all.chain(beyond.then_some(Some(Use::Unknown))).collect()
            };
            let is_over = begun.elapsed() > KNOWN_MAX;
            if is_over || uses.iter().all(Option::is_some) {
                let uses = uses.into_iter();
                return uses.map(|by| by.unwrap_or(Use::Unknown)).collect();
            }
            tokio::time::sleep(KNOWN_LOOK).await;
        }
    }
}
