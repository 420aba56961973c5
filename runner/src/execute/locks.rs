//! Keeps actions that touch the same thing from overlapping: the same file, the same repository, the same target.
//!
//! Locks are held around one action; several are taken together and in the order of their names, so nothing can wait in a circle.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

/// Locks by what they keep.
#[derive(Default)]
pub(super) struct Locks {
    by_name: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

/// Beyond so many names those that nobody holds are forgotten.
const NAMES_MAX: usize = 256;

impl Locks {
    /// Waits until nobody else touches any of them.
    pub(super) async fn hold_all(&self, mut names: Vec<String>) -> Vec<OwnedMutexGuard<()>> {
        names.sort();
        names.dedup();
        let mut held = Vec::with_capacity(names.len());
        for name in names {
            held.push(self.hold(name).await);
        }
        held
    }

    /// Waits until nobody else touches it.
    pub(super) async fn hold(&self, name: String) -> OwnedMutexGuard<()> {
        let lock = {
            let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
            if by_name.len() > NAMES_MAX {
                by_name.retain(|_, lock| lock.strong_count() > 0);
            }
            match by_name.get(&name).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(tokio::sync::Mutex::new(()));
                    by_name.insert(name, Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_name_is_held_once() {
        let locks = Locks::default();
        let first = locks.hold("file a".into()).await;
        let other = locks.hold("file b".into()).await;
        let second = locks.hold("file a".into());
        tokio::pin!(second);
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(
                second.as_mut().poll(context).is_pending()
            ))
            .await
        );
        drop((first, other));
        let _second = second.await;
    }
}
