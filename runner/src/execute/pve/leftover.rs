//! The texts of cloud-init that a virtual machine which goes leaves behind: files of ours that nobody names any more.

use std::collections::BTreeSet;
use std::time::Instant;

use runbook::model::Target;
use runbook::outcome::Mode;
use runbook_proxmox::guest::Guest;

use super::super::context::Cx;
use super::{Read, World, outcome};
use crate::action::Failure;
use crate::action::pve::guest::{self, State};
use crate::action::pve::life;
use crate::action::pve::snippet;
use crate::action::pve::world::{Done, Stop};
use crate::action::shell::{Place, Shell};

/// A shell on a node, where its files are changed; none where it is only looked.
///
/// # Errors
///
/// How the step ends when the node cannot be used.
pub(super) async fn shell(cx: &Cx, node: &str, deadline: Instant) -> Read<Option<Shell>> {
    if cx.mode.effective == Mode::Observe {
        return Ok(None);
    }
    Ok(Some(Shell {
        place: Place::There(cx.machine(&Target::Node(node.to_owned())).await?.remote),
        deadline,
        limit: cx.timing.timeout,
        cancel: cx.cancel.clone(),
        lab: cx.is_lab(),
    }))
}

/// The files of a machine that goes.
pub(super) struct Leftover {
    node: String,
    volumes: BTreeSet<String>,
    /// The node; none where it is only looked, or why it cannot be used.
    shell: Result<Option<Shell>, String>,
}

impl Leftover {
    /// The files that a machine names which is not wished any more.
    pub(super) async fn take(
        cx: &Cx,
        world: &World,
        wish: &guest::Wish,
        deadline: Instant,
    ) -> Read<Option<Self>> {
        if wish.state != Some(State::Absent) {
            return Ok(None);
        }
        let Some(seen) = world.see(&wish.subject).await.map_err(outcome)? else {
            return Ok(None);
        };
        let volumes = snippet::given(world, &seen.guest).await.map_err(outcome)?;
        if volumes.is_empty() {
            return Ok(None);
        }
        let node = seen.guest.node;
        // The machine goes all the same where its node has no SSH.
        let shell = shell(cx, &node, deadline).await.map_err(|ended| {
            let said = ended.message.or(ended.reason);
            said.unwrap_or_else(|| format!("`{node}` cannot be used"))
        });
        Ok(Some(Self {
            node,
            volumes,
            shell,
        }))
    }

    /// Adds the files that go to what differs.
    pub(super) async fn compare(&self, world: &World, found: &mut life::Found) -> Done<()> {
        let (Some(seen), Some(diff)) = (&found.seen, &mut found.diff) else {
            return Ok(());
        };
        let others = snippet::named_by_others(world, Some(&seen.guest)).await?;
        for volume in self.volumes.difference(&others) {
            diff.push_str(&format!("\n- {volume} on {}", self.node));
        }
        Ok(())
    }

    /// Removes the files, now that the machine is gone; why one stays is a remark.
    pub(super) async fn remove(&self, world: &World, guest: &Guest) -> Option<String> {
        let shell = match &self.shell {
            Ok(Some(shell)) => Ok(shell),
            Ok(None) => return None,
            Err(why) => Err(why),
        };
        let others = snippet::named_by_others(world, Some(guest)).await;
        let mut stay = Vec::new();
        for volume in &self.volumes {
            let dropped = match &others {
                Ok(others) => {
                    let shell = shell.map_err(|why| Failure::new(why.clone()).into());
                    drop_volume(shell, volume, others).await
                }
                Err(stop) => Err(Failure::new(stop.message()).into()),
            };
            if let Err(stop) = dropped {
                stay.push(stays(volume, &self.node, &stop));
            }
        }
        (!stay.is_empty()).then(|| stay.join("; "))
    }
}

/// Removes a file, unless it is one of those that machines name.
///
/// # Errors
///
/// Why it stays.
pub(super) async fn drop_volume(
    shell: Done<&Shell>,
    volume: &str,
    named: &BTreeSet<String>,
) -> Done<()> {
    if named.contains(volume) {
        return Err(Failure::new("a machine or a snapshot names it").into());
    }
    Ok(snippet::remove(shell?, volume).await?)
}

/// That a file stays, for people.
pub(super) fn stays(volume: &str, node: &str, why: &Stop) -> String {
    format!("`{volume}` stays on `{node}`: {}", why.message())
}
