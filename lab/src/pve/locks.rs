//! Locks with waiting: one per guest's configuration and one per storage, with the API's time limits and texts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::answer::Fail;
use crate::fixture::GuestKind;

/// How long a call or task waits for a lock.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);

/// All locks, by the file they stand for.
#[derive(Debug, Default)]
pub(crate) struct Locks(Mutex<HashMap<String, Arc<AsyncMutex<()>>>>);

/// A held lock; free again when dropped.
pub(crate) type Held = OwnedMutexGuard<()>;

impl Locks {
    /// What a call or task says that waited in vain for a guest's lock.
    pub(crate) fn timeout(&self, kind: GuestKind, vmid: u32) -> Fail {
        Fail::die(format!(
            "can't lock file '{}' - got timeout",
            guest_file(kind, vmid)
        ))
    }

    /// The lock of a guest's configuration.
    pub(crate) async fn guest(&self, kind: GuestKind, vmid: u32) -> Result<Held, Fail> {
        self.take(&guest_file(kind, vmid), LOCK_WAIT).await
    }

    /// The lock of a storage.
    pub(crate) async fn storage(&self, id: &str) -> Result<Held, Fail> {
        self.take(
            &format!("/var/lock/pve-manager/pve-storage-{id}"),
            LOCK_WAIT,
        )
        .await
    }

    async fn take(&self, file: &str, wait: Duration) -> Result<Held, Fail> {
        let lock = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(file.to_owned()).or_default().clone()
        };
        match tokio::time::timeout(wait, lock.lock_owned()).await {
            Ok(held) => Ok(held),
            Err(_) => Err(Fail::die(format!("can't lock file '{file}' - got timeout"))),
        }
    }
}

fn guest_file(kind: GuestKind, vmid: u32) -> String {
    match kind {
        GuestKind::Lxc => format!("/run/lock/lxc/pve-config-{vmid}.lock"),
        GuestKind::Qemu => format!("/var/lock/qemu-server/lock-{vmid}.conf"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_held_lock_times_out_with_its_file_in_the_text() {
        let locks = Locks::default();
        let held = locks
            .take("/var/lock/x", Duration::from_millis(10))
            .await
            .expect("nobody holds it");
        let refused = locks
            .take("/var/lock/x", Duration::from_millis(10))
            .await
            .expect_err("it is held");
        assert_eq!(
            refused.message,
            "can't lock file '/var/lock/x' - got timeout\n"
        );
        drop(held);
        assert!(
            locks
                .take("/var/lock/x", Duration::from_millis(10))
                .await
                .is_ok()
        );
    }
}
