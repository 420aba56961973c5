//! The machines of a lab from a file of states: its nodes and guests, by name and by the addresses they are configured with.

use std::collections::BTreeSet;
use std::net::IpAddr;

use runbook_lab::fixture::{Fixture, GuestKind, GuestSeed};
use runbook_lab::hosts::{Role, Spec};

/// The node of a state that names none.
const NODE: &str = "pve1";

/// The machines of a state.
pub(super) fn specs(fixture: &Fixture) -> Vec<Spec> {
    let mut taken = BTreeSet::new();
    let mut specs = Vec::new();
    for node in &fixture.nodes {
        let mut spec = Spec::new(node.name.clone(), Role::Node);
        spec.addresses = node.ip.iter().filter_map(|ip| usable(ip)).collect();
        spec.devices.clone_from(&node.devices);
        let pools = node.pools.iter();
        spec.pools = pools
            .map(|pool| (pool.name.clone(), pool.size.unwrap_or_default()))
            .collect();
        taken.insert(node.name.clone());
        specs.push(spec);
    }
    if specs.is_empty() {
        taken.insert(NODE.to_owned());
        specs.push(Spec::new(NODE.to_owned(), Role::Node));
    }
    let first = specs[0].name.clone();
    for guest in &fixture.guests {
        let role = Role::Guest {
            vmid: guest.vmid,
            kind: guest.kind,
            node: guest.node.clone().unwrap_or_else(|| first.clone()),
        };
        let name = name(guest).filter(|name| !taken.contains(name));
        let name = name.unwrap_or_else(|| format!("guest-{}", guest.vmid));
        taken.insert(name.clone());
        let mut spec = Spec::new(name, role);
        spec.addresses = addresses(guest);
        spec.up = guest.status.as_deref() == Some("running");
        specs.push(spec);
    }
    specs
}

/// An address that only this machine has: a loopback address is everybody's.
fn usable(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.split('/').next()?.parse().ok()?;
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// What a guest is called, where OpenSSH can call it so.
fn name(guest: &GuestSeed) -> Option<String> {
    let key = match guest.kind {
        GuestKind::Lxc => "hostname",
        GuestKind::Qemu => "name",
    };
    let name = guest.config.get(key)?.as_str()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (!name.is_empty() && !name.starts_with('-') && name.chars().all(fits)).then(|| name.to_owned())
}

/// The addresses that its network cards are configured with.
fn addresses(guest: &GuestSeed) -> Vec<IpAddr> {
    let key = match guest.kind {
        GuestKind::Lxc => "net",
        GuestKind::Qemu => "ipconfig",
    };
    let cards = guest.config.iter().filter(|(option, _)| {
        option
            .strip_prefix(key)
            .is_some_and(|number| number.parse::<u8>().is_ok())
    });
    cards
        .filter_map(|(_, value)| value.as_str())
        .flat_map(|value| value.split(','))
        .filter_map(|part| part.strip_prefix("ip=").or(part.strip_prefix("ip6=")))
        .filter_map(usable)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_states_nodes_and_guests_are_machines() {
        let state = r#"{
            "nodes": [{"name": "pve1", "ip": "192.168.7.1"}, {"name": "pve2", "ip": "127.0.0.1"}],
            "guests": [
                {"vmid": 101, "type": "lxc", "status": "running",
                 "config": {"hostname": "web", "net0": "name=eth0,bridge=vmbr0,ip=192.168.7.10/24,type=veth"}},
                {"vmid": 102, "type": "qemu", "node": "pve2", "config": {"name": "web", "ipconfig0": "ip=dhcp"}},
                {"vmid": 103, "type": "lxc", "status": "running", "config": {"hostname": "-bad"}}]
        }"#;
        let fixture = Fixture::parse(state).expect("a state");
        let found: Vec<(String, Vec<String>, bool)> = specs(&fixture)
            .into_iter()
            .map(|spec| {
                let addresses = spec.addresses.iter().map(ToString::to_string).collect();
                (spec.name, addresses, spec.up)
            })
            .collect();
        let is = |name: &str, addresses: &[&str], up: bool| {
            let addresses = addresses.iter().map(|address| (*address).to_owned());
            (name.to_owned(), addresses.collect(), up)
        };
        let expected = [
            is("pve1", &["192.168.7.1"], true),
            is("pve2", &[], true),
            is("web", &["192.168.7.10"], true),
            is("guest-102", &[], false),
            is("guest-103", &[], true),
        ];
        assert_eq!(found, expected);
    }
}
