//! The machines of a lab: what the inventory says of each node, guest and host becomes files and processes of its own.
//!
//! Everything lives in one temporary directory that goes with the lab.

use std::path::{Path, PathBuf};

use runbook::inventory::{Guest, GuestKind, Inventory};
use runbook::node::Node;
use runbook::read;
use runbook_lab::Homelab;
use runbook_lab::fixture::{self, Fixture};
use runbook_lab::hosts::{Error, Hosts, Role, Spec};
use runbook_lab::isolate::SandboxConfig;
use runbook_lab::pve::Hooks;
use runbook_lab::ssh;

use super::fixture::{lab, node_names, text, vmids};
use super::stand_ins;
use crate::action::Failure;
use crate::process::start_beside;
use crate::scratch::Scratch;

/// The port of the API on every node, and the unit behind it.
const API: (u16, &str) = (8006, "pveproxy");
/// Where a book keeps files that are laid over a machine's, beside the inventory.
pub(super) const OVERLAYS: &str = "lab";

/// The machines of a lab that runs.
pub struct Machines {
    // What talks to them goes first, their files last.
    ssh: ssh::Server,
    hosts: Hosts,
    _scratch: Scratch,
}

impl Machines {
    /// The file for `ssh -F`.
    pub fn ssh_config(&self) -> PathBuf {
        self.ssh.config().to_owned()
    }

    /// The machines themselves.
    pub(super) fn hosts(&self) -> Hosts {
        self.hosts.clone()
    }
}

/// Machines that are there before the API that they follow.
pub(super) struct Prepared {
    hosts: Hosts,
    scratch: Scratch,
}

/// Makes the machines of an inventory. The inner error is why scripts on them are skipped.
///
/// # Errors
///
/// What the inventory says of stand-ins and cannot be.
pub(super) async fn prepare(
    inventory: &Inventory,
    folder: &Path,
    domains: &[String],
    fixture: &Fixture,
) -> Result<Result<Prepared, String>, Failure> {
    let specs = specs(inventory, folder, fixture)?;
    Ok(start(specs, domains).await)
}

/// Makes machines. The error is why there are none.
pub(super) async fn start(specs: Vec<Spec>, domains: &[String]) -> Result<Prepared, String> {
    let scratch = Scratch::new().map_err(|error| format!("the lab has no directory: {error}"))?;
    for name in ["roots", "ssh"] {
        let made = std::fs::create_dir(scratch.path().join(name));
        made.map_err(|error| format!("the lab has no directory: {error}"))?;
    }
    let program = std::env::current_exe()
        .map_err(|error| format!("the path of this program cannot be found: {error}"))?;
    let mut place = SandboxConfig::new(program, Vec::new());
    place.spawn = start_beside;
    let roots = scratch.path().join("roots");
    match Hosts::start(place, &roots, specs, domains).await {
        Ok(hosts) => Ok(Prepared { hosts, scratch }),
        Err(Error::Forbidden(forbidden)) => Err(format!("{forbidden}; hint: {}", forbidden.hint)),
        Err(error) => Err(said(&error)),
    }
}

impl Prepared {
    /// What the cluster tells of its guests.
    pub(super) fn hooks(&self) -> Box<dyn Hooks> {
        self.hosts.hooks()
    }

    /// Opens the machines to SSH, now that there is an API.
    pub(super) async fn serve(self, lab: &Homelab, nodes: Vec<String>) -> Result<Machines, String> {
        let Self { hosts, scratch } = self;
        hosts.set_cluster(lab.cluster());
        let ssh = hosts.ssh(&scratch.path().join("ssh")).await;
        let ssh = ssh.map_err(|error| said(&error))?;
        for node in nodes {
            let (port, unit) = API;
            hosts.serve(&node, port, unit, lab.serves()).await;
        }
        Ok(Machines {
            ssh,
            hosts,
            _scratch: scratch,
        })
    }
}

fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

fn specs(inventory: &Inventory, folder: &Path, fixture: &Fixture) -> Result<Vec<Spec>, Failure> {
    let overlay = |name: &str| Some(folder.join(OVERLAYS).join(name)).filter(|path| path.is_dir());
    let nodes = node_names(inventory);
    let first = nodes.first().cloned().unwrap_or_default();
    let mut specs = Vec::new();
    for name in &nodes {
        let written = inventory.nodes.iter().find(|(known, _)| known == name);
        let mut spec = spec(name, Role::Node, written.map(|(_, node)| node));
        if let Some(seed) = fixture.nodes.iter().find(|seed| seed.name == *name) {
            spec.devices.clone_from(&seed.devices);
            let pools = seed.pools.iter();
            spec.pools = pools
                .map(|pool| (pool.name.clone(), pool.size.unwrap_or_default()))
                .collect();
        }
        specs.push(spec);
    }
    let vmids = vmids(inventory);
    for guest in &inventory.guests {
        let vmid = vmids
            .get(&guest.name)
            .and_then(|vmid| u32::try_from(*vmid).ok());
        if let Some(vmid) = vmid {
            specs.push(guest_spec(guest, vmid, &first, fixture));
        }
    }
    for (name, node) in &inventory.hosts {
        let mut spec = spec(name, Role::Host, Some(node));
        spec.up = !matches!(
            lab(node).and_then(|lab| text(lab, "state")),
            Some("stopped" | "absent")
        );
        specs.push(spec);
    }
    for spec in &mut specs {
        spec.overlay = overlay(&spec.name);
        spec.stand_ins = stand_ins::of(inventory, &spec.name, folder)?;
    }
    Ok(specs)
}

fn guest_spec(guest: &Guest, vmid: u32, first: &str, fixture: &Fixture) -> Spec {
    let kind = match guest.kind {
        GuestKind::Lxc => fixture::GuestKind::Lxc,
        GuestKind::Vm => fixture::GuestKind::Qemu,
    };
    let node = text(&guest.node, "node").unwrap_or(first).to_owned();
    let mut spec = spec(
        &guest.name,
        Role::Guest { vmid, kind, node },
        Some(&guest.node),
    );
    let seed = fixture.guests.iter().find(|seed| seed.vmid == vmid);
    spec.up = seed.is_some_and(|seed| seed.status.as_deref() == Some("running"));
    spec
}

fn spec(name: &str, role: Role, written: Option<&Node>) -> Spec {
    let list = |key: &str| -> Vec<String> {
        let list = written.and_then(lab).and_then(|lab| lab.get(key));
        list.and_then(|list| read::list_of_text(list).ok())
            .unwrap_or_default()
    };
    let word = |key: &str| written.and_then(|node| text(node, key));
    Spec {
        addresses: word("address")
            .and_then(|address| address.parse().ok())
            .into_iter()
            .collect(),
        user: word("user").map(str::to_owned),
        units: list("units"),
        packages: list("packages"),
        ..Spec::new(name, role)
    }
}
