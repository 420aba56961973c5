//! What no call of the API does: taking the mark away that a crash left in a guest's configuration, as `pct unlock` and
//! `qm unlock` do on a node. Texts: `remove_lock` of pve-guest-common, `unlock` of `PVE/CLI/qm.pm`.

use super::find;
use crate::fixture::GuestKind;
use crate::pve::answer::Fail;
use crate::pve::cluster::Cluster;

impl Cluster {
    /// Takes a guest's mark away, once nobody holds the lock of its file.
    ///
    /// # Errors
    ///
    /// That the guest is not there, that its file is held, and of a container that it has no mark.
    pub(crate) async fn unlock(&self, kind: GuestKind, node: &str, vmid: u32) -> Result<(), Fail> {
        let _held = self.guest_lock(kind, vmid).await?;
        let mut state = self.lock();
        let is_marked = find(&state, kind, node, vmid)?.lock().is_some();
        if !is_marked && kind == GuestKind::Lxc {
            return Err(Fail::die("no lock found trying to remove any lock"));
        }
        if let Some(guest) = state.guests.get_mut(&vmid) {
            guest.config.remove("lock");
        }
        Ok(())
    }
}
