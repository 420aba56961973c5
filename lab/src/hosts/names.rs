//! Names and addresses of the machines: what the inventory gives them, what their guests are configured with, and the name
//! server that all of them ask.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError, Weak};

use serde_json::Value;

use super::machine::Machine;
use super::node::{call, where_is};
use super::{Error, Inner, Role, Spec};
use crate::dns;
use crate::fixture::GuestKind;
use crate::isolate::Sandbox;
use crate::pve::Params;

/// Where the machines ask for names.
pub(super) const NAMES_PORT: u16 = 53;
/// The last part of the first address that is given out in the nodes' network, and of the last one.
const LEASES: (u8, u8) = (150, 249);
/// The network of addresses that are given out where no machine has one of IPv4.
const NETWORK: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 0);
/// The length of the nodes' network, as a home has it.
const NETWORK_BITS: u8 = 24;

/// The unit of a machine that answers names for the house: it knows those of the machine's `/etc/hosts` as well.
pub(super) const HOUSE: &str = "dnsmasq.service";

/// The names of a lab: those of its machines, alone and below its domains.
pub(super) fn zone(specs: &[Spec], domains: &[String]) -> dns::Zone {
    let zone = dns::Zone::new(domains.iter().cloned());
    for spec in specs {
        spec.addresses
            .iter()
            .for_each(|address| zone.add(&spec.name, *address));
    }
    zone
}

/// The name server that `/etc/resolv.conf` of the machines names.
pub(super) async fn serve(sandbox: &Sandbox, zone: dns::Zone) -> Result<dns::Server, Error> {
    let at = (Ipv4Addr::LOCALHOST, NAMES_PORT).into();
    let (udp, tcp) = (sandbox.listen_udp(at).await?, sandbox.listen(at).await?);
    dns::Server::serve(zone, udp, tcp).map_err(Error::Names)
}

/// What the machines are called and have now, for the name server: guests come and go.
pub(super) fn now(lab: &Weak<Inner>) -> Vec<(String, IpAddr)> {
    let Some(lab) = lab.upgrade() else {
        return Vec::new();
    };
    let up = lab.all().into_iter().filter(|machine| machine.is_up());
    up.flat_map(|machine| {
        let name = machine.called();
        let addresses = machine.addresses().into_iter();
        let own = addresses.map(|address| (name.clone(), address));
        let served = machine.served_names().into_iter();
        own.chain(served).collect::<Vec<_>>()
    })
    .collect()
}

impl Machine {
    /// What the machine answers for the house: what stood in its `/etc/hosts` when the unit was last told to read it.
    fn served_names(&self) -> Vec<(String, IpAddr)> {
        if self.unit(HOUSE).is_some_and(|unit| unit.active) {
            self.records().names.clone()
        } else {
            Vec::new()
        }
    }

    /// Reads `/etc/hosts` for the unit, as dnsmasq does when it starts and when it is told to reload. The lab's own machines
    /// are left out: they come and go.
    pub(super) fn read_names(&self) -> Vec<(String, IpAddr)> {
        let text = super::boot::read(self.root.path(), "etc/hosts");
        let mut names = Vec::new();
        for line in text.lines().filter(|line| !self.is_known(line)) {
            let mut words = line
                .split('#')
                .next()
                .unwrap_or_default()
                .split_whitespace();
            let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
            if let Some(address) = address.filter(|address| !address.is_loopback()) {
                names.extend(words.map(|name| (name.to_owned(), address)));
            }
        }
        names
    }
}

impl Inner {
    /// The address that DHCP gives to a guest: the inventory's, else a free one of the nodes' network, or of another machine's
    /// where no node has an address of IPv4; always the same.
    pub(super) fn lease(&self, vmid: u32) -> Option<(IpAddr, u8)> {
        if let Some(own) = self
            .guest(vmid)
            .and_then(|machine| machine.spec.addresses.first().copied())
        {
            return Some((own, NETWORK_BITS));
        }
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = leases.get(&vmid) {
            return Some((*address, NETWORK_BITS));
        }
        let machines = self.all();
        let four = |machine: &Arc<Machine>| {
            let mut own = machine.spec.addresses.iter();
            own.find_map(|address| match address {
                IpAddr::V4(address) => Some(*address),
                IpAddr::V6(_) => None,
            })
        };
        let is_node = |machine: &&Arc<Machine>| machine.spec.role == Role::Node;
        let mut nodes = machines.iter().filter(is_node);
        let network = nodes
            .find_map(four)
            .or_else(|| machines.iter().find_map(four))
            .unwrap_or(NETWORK);
        let mut taken: BTreeSet<IpAddr> = leases.values().copied().collect();
        for machine in &machines {
            taken.extend(machine.spec.addresses.iter().copied());
            taken.extend(machine.addresses());
        }
        let [a, b, c, _] = network.octets();
        let mut free = (LEASES.0..=LEASES.1).map(|d| IpAddr::from([a, b, c, d]));
        let address = free.find(|address| !taken.contains(address))?;
        leases.insert(vmid, address);
        Some((address, NETWORK_BITS))
    }

    /// Whether another machine that is up has the address.
    pub(super) fn is_shared(&self, address: IpAddr, but: &Machine) -> bool {
        self.all().iter().any(|machine| {
            !std::ptr::eq(&**machine, but)
                && machine.is_up()
                && machine.addresses().contains(&address)
        })
    }
}

/// Learns what a guest is called and which addresses it has, from its configuration.
pub(super) async fn learn(machine: &Arc<Machine>) {
    let Role::Guest { vmid, kind, .. } = machine.spec.role else {
        return;
    };
    let Some(lab) = machine.lab.upgrade() else {
        return;
    };
    let Some(config) = config(machine, vmid, kind, &lab).await else {
        return;
    };
    let text = |key: &str| config.get(key).and_then(Value::as_str);
    let name = match kind {
        GuestKind::Lxc => text("hostname"),
        GuestKind::Qemu => text("name"),
    };
    let mut addresses = Vec::new();
    for (key, value) in config.as_object().into_iter().flatten() {
        let holds = match kind {
            GuestKind::Lxc => "net",
            GuestKind::Qemu => "ipconfig",
        };
        if !is_indexed(key, holds) {
            continue;
        }
        let value = value.as_str().unwrap_or_default();
        for (option, value) in value.split(',').filter_map(|part| part.split_once('=')) {
            match (option, value) {
                ("ip", "dhcp") => addresses.extend(lab.lease(vmid).map(|(address, _)| address)),
                ("ip" | "ip6", _) => {
                    let address = value.split('/').next().unwrap_or_default();
                    addresses.extend(address.parse::<IpAddr>().ok());
                }
                _ => {}
            }
        }
    }
    if addresses.is_empty() && kind == GuestKind::Qemu {
        // What is set inside is not in its configuration.
        addresses.clone_from(&machine.spec.addresses);
    }
    machine.call(name.map(str::to_owned), addresses);
}

fn is_indexed(key: &str, prefix: &str) -> bool {
    key.strip_prefix(prefix).is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// A guest's configuration, wherever it is now.
async fn config(machine: &Machine, vmid: u32, kind: GuestKind, lab: &Inner) -> Option<Value> {
    let node = where_is(machine, vmid, lab).await?;
    let kind = match kind {
        GuestKind::Lxc => "lxc",
        GuestKind::Qemu => "qemu",
    };
    let path = format!("/nodes/{}/{kind}/{vmid}/config", node.spec.name);
    let answer = call(machine, "GET", &path, Params::new()).await;
    answer.is_ok().then_some(answer.data)
}
