//! A request to stop, shared by whoever may ask and everything that has to obey.
//!
//! Two levels: `Stop` lets children end by themselves within their grace, `StopNow` does not wait.

use std::sync::Arc;

use tokio::sync::watch;

/// How urgently work is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nobody asked.
    Go,
    /// Stop after cleaning up.
    Stop,
    /// Stop at once.
    StopNow,
}

/// A request to stop. Clones are the same request.
#[derive(Debug, Clone)]
pub struct Cancel {
    level: Arc<watch::Sender<Level>>,
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

impl Cancel {
    /// A request that nobody has made yet.
    pub fn new() -> Self {
        Self {
            level: Arc::new(watch::Sender::new(Level::Go)),
        }
    }

    /// Asks everything that holds a clone to stop after cleaning up.
    pub fn stop(&self) {
        self.raise(Level::Stop);
    }

    /// Asks everything that holds a clone to stop at once.
    pub fn stop_now(&self) {
        self.raise(Level::StopNow);
    }

    /// How urgently work is to stop.
    pub fn level(&self) -> Level {
        *self.level.borrow()
    }

    /// Whether somebody asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.level() > Level::Go
    }

    /// Resolves when somebody asks to stop; at once if somebody did.
    pub async fn stopped(&self) {
        self.reached(Level::Stop).await;
    }

    /// Resolves when somebody asks to stop at once.
    pub async fn stopped_now(&self) {
        self.reached(Level::StopNow).await;
    }

    fn raise(&self, to: Level) {
        // A request is never taken back.
        self.level.send_if_modified(|level| {
            let raised = *level < to;
            if raised {
                *level = to;
            }
            raised
        });
    }

    async fn reached(&self, at_least: Level) {
        // The sender lives in `self`, so the channel cannot be closed meanwhile.
        let _ = self
            .level
            .subscribe()
            .wait_for(|level| *level >= at_least)
            .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_hears_of_it_and_urgency_only_grows() {
        let cancel = Cancel::new();
        let other = cancel.clone();
        let waiter = tokio::spawn(async move {
            other.stopped().await;
            other.stopped_now().await;
            other.level()
        });
        assert!(!cancel.is_stopped());
        cancel.stop();
        cancel.stop_now();
        cancel.stop();
        assert_eq!(
            waiter.await.expect("the waiter does not panic"),
            Level::StopNow
        );
        cancel.stopped().await;
    }
}
