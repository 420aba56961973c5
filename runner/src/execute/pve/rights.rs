//! What a step needs, as far as it is known before the run begins.

use runbook::inventory::GuestKind;
use runbook::model::{Step, Target};
use runbook::read::{self, Args};
use runbook_proxmox::access::Need;

use super::super::context::Cx;
use super::super::job::Job;
use super::act::call_of;
use super::helper_wish::told_subject;
use super::world::scratch;
use super::{Wish, asked, guest_wish, image_wish, is_act, known, snapshot_wish, subject};
use crate::action::pve::needs::{self, Before};
use crate::action::pve::{declared, image};

/// Whether a step may ask the API for something that needs rights which are known.
pub(in crate::execute) fn needs_rights(step: &Step) -> bool {
    Wish::is_of(step.action.name)
        || is_act(step.action.name)
        || step
            .target
            .as_text()
            .is_some_and(|target| target.starts_with("vm/") || target.contains("{{"))
        || !step.keys.each.is_empty()
}

/// What a step needs; nothing where its values are not known yet.
pub(in crate::execute) fn needs(
    cx: &Cx,
    job: &Job<'_>,
    changes: bool,
    is_there: &dyn Fn(u32) -> bool,
) -> Vec<Need> {
    of(cx, job, changes, is_there).unwrap_or_default()
}

fn of(cx: &Cx, job: &Job<'_>, changes: bool, is_there: &dyn Fn(u32) -> bool) -> Option<Vec<Need>> {
    let known = known(cx, &job.target);
    let action = job.action.name;
    if !Wish::is_of(action) && !is_act(action) {
        return match (&job.target, known.vmid) {
            (Target::Vm(name), Some(vmid)) if by_agent(cx, name) => Some(needs::agent(vmid)),
            _ => None,
        };
    }
    let rendered = job.rendered(cx).ok()?;
    let args = Args::new(job.action, &rendered).ok()?;
    let number = scratch(cx).map(|(low, _)| low);
    let before = |vmid: Option<u32>| Before {
        is_there: vmid.is_some_and(is_there),
        number,
        changes,
        agent: asked(job).agent,
    };
    let guest = |kind| -> Option<Vec<Need>> {
        let wish = guest_wish(cx, kind, &args, known.clone()).ok()?;
        let before = before(wish.subject.vmid);
        Some(needs::guest(&wish, before))
    };
    match action {
        "lxc" => guest(GuestKind::Lxc),
        "vm" => guest(GuestKind::Vm),
        "snapshot" => {
            let wish = snapshot_wish(cx, job, &args, known).ok()?;
            Some(needs::snapshot(&wish, changes))
        }
        // What is done once is not done where it is only looked, unless it reads.
        "rollback" if changes => Some(needs::rollback(&subject(&job.target, known).ok()?)),
        "proxmox" => {
            let call = call_of(&args).ok()?;
            (changes || call.method == "GET").then(|| declared::call(&call))
        }
        "ha" => Some(needs::ha(changes)),
        "image" => {
            let wish: image::Wish = image_wish(cx, job, &args, known).ok()?;
            Some(needs::image(&wish, changes))
        }
        "helper-script" => {
            let vars = match args.get("vars") {
                Some(vars) => read::map_of_text(vars).ok()?,
                None => Vec::new(),
            };
            let kind = match job.target {
                Target::Vm(_) => GuestKind::Vm,
                _ => GuestKind::Lxc,
            };
            let subject = told_subject(cx, kind, known, &vars).ok()?;
            Some(needs::installed(&subject, before(subject.vmid)))
        }
        _ => None,
    }
}

/// Whether programs get onto a virtual machine by its agent.
fn by_agent(cx: &Cx, name: &str) -> bool {
    let inventory = &cx.run.book.inventory;
    let guest = inventory.guest(name);
    let exec = guest.and_then(|guest| guest.node.get("exec")?.as_text());
    exec != Some("ssh")
}
