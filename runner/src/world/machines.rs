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
use crate::process::start_beside;
use crate::scratch::Scratch;

/// Where a book keeps files that are laid over a machine's, beside the inventory.
const OVERLAYS: &str = "lab";

/// The machines of a lab that runs.
pub struct Machines {
    // What talks to them goes first, their files last.
    ssh: ssh::Server,
    _hosts: Hosts,
    _scratch: Scratch,
}

impl Machines {
    /// The file for `ssh -F`.
    pub fn ssh_config(&self) -> PathBuf {
        self.ssh.config().to_owned()
    }
}

/// Machines that are there before the API that they follow.
pub(super) struct Prepared {
    hosts: Hosts,
    scratch: Scratch,
}

/// Makes the machines of an inventory. The error is why scripts on them are skipped.
pub(super) async fn prepare(
    inventory: &Inventory,
    folder: &Path,
    fixture: &Fixture,
) -> Result<Prepared, String> {
    let scratch = Scratch::new().map_err(|error| format!("the lab has no directory: {error}"))?;
    for name in ["roots", "ssh"] {
        let made = std::fs::create_dir(scratch.path().join(name));
        made.map_err(|error| format!("the lab has no directory: {error}"))?;
    }
    let program = std::env::current_exe()
        .map_err(|error| format!("the path of this program cannot be found: {error}"))?;
    let mut place = SandboxConfig::new(program, Vec::new());
    place.spawn = start_beside;
    let specs = specs(inventory, folder, fixture);
    match Hosts::start(place, &scratch.path().join("roots"), specs).await {
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
    pub(super) async fn serve(self, lab: &Homelab) -> Result<Machines, String> {
        let Self { hosts, scratch } = self;
        hosts.set_cluster(lab.cluster());
        let ssh = hosts.ssh(&scratch.path().join("ssh")).await;
        Ok(Machines {
            ssh: ssh.map_err(|error| said(&error))?,
            _hosts: hosts,
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

fn specs(inventory: &Inventory, folder: &Path, fixture: &Fixture) -> Vec<Spec> {
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
    }
    specs
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
        name: name.to_owned(),
        role,
        addresses: word("address")
            .and_then(|address| address.parse().ok())
            .into_iter()
            .collect(),
        user: word("user").map(str::to_owned),
        units: list("units"),
        packages: list("packages"),
        devices: Vec::new(),
        pools: Vec::new(),
        overlay: None,
        up: true,
    }
}
