//! Faults to inject into requests and watches: each by method and path, a number of times.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A status: 429 and 503 with `Retry-After` seconds, 500, 504, 401, 410.
    Status {
        /// The HTTP status.
        status: u16,
        /// Seconds for `Retry-After`.
        retry_after: Option<u64>,
    },
    /// The answer comes late.
    Slow(Duration),
    /// The connection is cut instead of an answer; the work was done or not.
    Reset {
        /// Whether the request ran.
        done: bool,
    },
    /// A watch sends nothing any more and stays open.
    WatchSilent,
    /// A watch is cut after this time, without its last chunk.
    WatchCut(Duration),
    /// A watch ends at once with an `ERROR` event, 410 Expired.
    WatchExpired,
}

/// When a fault strikes.
#[derive(Clone, Debug, Default)]
pub struct When {
    /// Only requests with this method.
    pub method: Option<String>,
    /// Only paths (with their query) that contain this text.
    pub path: Option<String>,
    /// Only watches, or only what is none.
    pub watch: Option<bool>,
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
    struck: u64,
    planned: Vec<(When, Fault, u32)>,
}

impl Faults {
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

    /// How often a planned fault has struck.
    pub fn struck(&self) -> u64 {
        self.lock().struck
    }

    /// Counts a request and says what goes wrong with it.
    pub(crate) fn request(&self, method: &str, path: &str, watch: bool) -> Option<Fault> {
        let mut inner = self.lock();
        inner.requests += 1;
        let inner = &mut *inner;
        let (_, fault, struck) = inner.planned.iter_mut().find(|(when, _, struck)| {
            (when.times == 0 || *struck < when.times)
                && when.method.as_deref().is_none_or(|own| own == method)
                && when.path.as_deref().is_none_or(|own| path.contains(own))
                && when.watch.is_none_or(|own| own == watch)
        })?;
        *struck += 1;
        inner.struck += 1;
        Some(fault.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
