//! What the target, the inventory and the keys of a step say together.

use runbook::inventory::GuestKind;
use runbook::model::Target;
use runbook::node::Node;
use runbook::outcome::Mode;
use runbook::read::Args;

use super::super::context::Cx;
use super::super::job::Job;
use super::{Read, outcome, refused};
use crate::action::pve::guest::{self, Known, Subject, Wrong};
use crate::action::pve::{image, snapshot};

/// What the inventory says about a target.
pub(super) fn known(cx: &Cx, target: &Target) -> Known {
    let name = match target {
        Target::Lxc(name) | Target::Vm(name) => name,
        Target::Node(node) => {
            return Known {
                node: Some(node.clone()),
                ..Known::default()
            };
        }
        _ => return Known::default(),
    };
    let number = name.parse::<u32>().ok();
    let inventory = &cx.run.book.inventory;
    let guest = inventory.guests.iter().find(|guest| {
        guest.name == *name
            || (number.is_some() && guest.vmid.and_then(|vmid| u32::try_from(vmid).ok()) == number)
    });
    let Some(guest) = guest else {
        return Known {
            vmid: number,
            ..Known::default()
        };
    };
    let text = |key: &str| {
        guest
            .node
            .get(key)
            .and_then(Node::as_text)
            .map(str::to_owned)
    };
    let vmid = guest.vmid.and_then(|vmid| u32::try_from(vmid).ok());
    Known {
        vmid: vmid.or(number),
        node: text("node"),
        name: Some(guest.name.clone()),
        address: text("address"),
        claimed: vmid.is_some(),
    }
}

pub(super) fn guest_wish(
    cx: &Cx,
    kind: GuestKind,
    args: &Args<'_>,
    mut known: Known,
) -> Read<guest::Wish> {
    let wrong = |wrong: Wrong| match wrong {
        Wrong::Read(error) => cx.read(&error),
        Wrong::Failure(failure) => outcome(failure.into()),
    };
    // A number that a step writes may be one of the inventory.
    if known.vmid.is_none()
        && let Ok(Some(vmid)) = args.opt_int("vmid")
    {
        let guests = &cx.run.book.inventory.guests;
        if let Some(guest) = guests.iter().find(|guest| guest.vmid == Some(vmid)) {
            let text = |key: &str| {
                guest
                    .node
                    .get(key)
                    .and_then(Node::as_text)
                    .map(str::to_owned)
            };
            known.claimed = true;
            known.address = text("address");
            known.name.get_or_insert_with(|| guest.name.clone());
        }
    }
    guest::Wish::read(kind, args, known).map_err(wrong)
}

pub(super) fn subject(target: &Target, known: Known) -> Read<Subject> {
    let kind = match target {
        Target::Lxc(_) => GuestKind::Lxc,
        Target::Vm(_) => GuestKind::Vm,
        _ => {
            return Err(refused(
                "it is not said which guest is meant",
                "write `on: lxc/NAME` or `on: vm/NAME`",
            ));
        }
    };
    Ok(Subject {
        kind,
        vmid: known.vmid,
        node: known.node,
        hostname: known.name,
        claimed: known.claimed,
        address: known.address,
    })
}

pub(super) fn image_wish(
    cx: &Cx,
    job: &Job<'_>,
    args: &Args<'_>,
    known: Known,
) -> Read<image::Wish> {
    let text = |field: &str| args.opt_text(field).map_err(|error| cx.read(&error));
    let node = match (text("node")?, known.node) {
        (Some(node), _) | (None, Some(node)) => node,
        (None, None) => {
            return Err(refused(
                "it is not said on which node the storage is",
                "write `on: node/NAME` or `node`",
            ));
        }
    };
    let from = match (text("name")?, text("url")?) {
        (Some(name), _) => image::From::Name(name),
        (None, url) => {
            let checksum = text("checksum")?.unwrap_or_default();
            let sha256 = checksum.strip_prefix("sha256:").unwrap_or(&checksum);
            image::From::Url {
                url: url.unwrap_or_default(),
                sha256: sha256.to_owned(),
            }
        }
    };
    let kind = match (text("kind")?.as_deref(), &from) {
        (Some("template"), _) => image::Kind::Template,
        (Some("iso"), _) => image::Kind::Iso,
        (Some("cloud"), _) => image::Kind::Cloud,
        (_, image::From::Name(name)) => image::Kind::of(name),
        (_, image::From::Url { url, .. }) => image::Kind::of(url),
    };
    Ok(image::Wish {
        node,
        storage: args.text("storage").map_err(|error| cx.read(&error))?,
        kind,
        from,
        verify: cx.mode.effective != Mode::Observe && job.artifact.is_some(),
    })
}

pub(super) fn snapshot_wish(
    cx: &Cx,
    job: &Job<'_>,
    args: &Args<'_>,
    known: Known,
) -> Read<snapshot::Wish> {
    let text = |field: &str| args.opt_text(field).map_err(|error| cx.read(&error));
    Ok(snapshot::Wish {
        subject: subject(&job.target, known)?,
        name: args.text("name").map_err(|error| cx.read(&error))?,
        description: text("description")?,
        memory: args
            .bool("memory", false)
            .map_err(|error| cx.read(&error))?,
        present: text("state")?.as_deref() != Some("absent"),
    })
}
