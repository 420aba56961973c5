//! Addresses: cluster IPs, node ports, load balancer addresses, pod IPs. Given once, taken back with the service.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

use crate::kube::object;
use crate::kube::resource::Resource;
use crate::kube::settings::Error;
use crate::kube::state::State;
use crate::kube::status::{Cause, Refusal, Result};

/// 10.96.0.0/16, as kubeadm has it.
const CLUSTER_FIRST: u32 = 0x0a60_000a;
const CLUSTER_LAST: u32 = 0x0a60_fffe;
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;
/// 10.244.0.0/16.
const POD_FIRST: u32 = 0x0af4_0002;
const POD_LAST: u32 = 0x0af4_fffe;
/// Addresses of a load balancer range that are used.
const RANGE_MAX: usize = 4096;

/// What is given out.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    cluster: BTreeSet<u32>,
    node_ports: BTreeSet<u16>,
    balancers: Vec<IpAddr>,
    balanced: BTreeSet<IpAddr>,
    next_pod: u32,
}

impl Pool {
    pub(crate) fn new(range: Option<&str>) -> std::result::Result<Self, Error> {
        let balancers = range.map(addresses).transpose()?.unwrap_or_default();
        Ok(Self {
            balancers,
            ..Self::default()
        })
    }

    /// The next pod's address.
    pub(crate) fn pod_ip(&mut self) -> String {
        let span = POD_LAST - POD_FIRST;
        let address = POD_FIRST + self.next_pod % span;
        self.next_pod = self.next_pod.wrapping_add(1);
        Ipv4Addr::from(address).to_string()
    }

    /// A free address for a load balancer: the wished one, else the first.
    pub(crate) fn balancer(&mut self, wished: &str) -> Option<IpAddr> {
        let wished = wished.parse::<IpAddr>().ok();
        let found = self
            .balancers
            .iter()
            .find(|address| {
                !self.balanced.contains(*address) && wished.is_none_or(|wished| wished == **address)
            })
            .copied()?;
        self.balanced.insert(found);
        Some(found)
    }

    /// Notes that an address is in use.
    pub(crate) fn keep_balancer(&mut self, address: &str) {
        if let Ok(address) = address.parse() {
            self.balanced.insert(address);
        }
    }

    /// Takes back what a service had.
    pub(crate) fn release(&mut self, service: &Value) {
        if let Ok(address) = object::text(service, &["spec", "clusterIP"]).parse::<Ipv4Addr>() {
            self.cluster.remove(&u32::from(address));
        }
        for port in object::items(service, &["spec", "ports"]) {
            if let Some(number) = port["nodePort"]
                .as_u64()
                .and_then(|number| u16::try_from(number).ok())
            {
                self.node_ports.remove(&number);
            }
        }
        self.release_balancer(service);
    }

    pub(crate) fn release_balancer(&mut self, service: &Value) {
        for one in object::items(service, &["status", "loadBalancer", "ingress"]) {
            if let Some(address) = one["ip"].as_str().and_then(|text| text.parse().ok()) {
                self.balanced.remove(&address);
            }
        }
    }
}

/// The addresses of `A-B` or a CIDR.
fn addresses(range: &str) -> std::result::Result<Vec<IpAddr>, Error> {
    let bad = || Error::Range(range.to_owned());
    if let Some((first, last)) = range.split_once('-') {
        let first: Ipv4Addr = first.trim().parse().map_err(|_| bad())?;
        let last: Ipv4Addr = last.trim().parse().map_err(|_| bad())?;
        if first > last {
            return Err(bad());
        }
        return Ok((u32::from(first)..=u32::from(last))
            .take(RANGE_MAX)
            .map(|one| Ipv4Addr::from(one).into())
            .collect());
    }
    let net: ipnet::IpNet = range.trim().parse().map_err(|_| bad())?;
    Ok(net.hosts().take(RANGE_MAX).collect())
}

impl State {
    /// Gives a service its cluster IP and node ports, as the API does while it is written.
    pub(crate) fn give_addresses(
        &mut self,
        resource: &Resource,
        value: &mut Value,
        live: Option<&Value>,
    ) -> Result<()> {
        if resource.qualified() != "services" {
            return Ok(());
        }
        let kind = object::text(value, &["spec", "type"]).to_owned();
        let name = object::name(value).to_owned();
        if kind == "ExternalName" {
            for key in [
                "clusterIP",
                "clusterIPs",
                "ipFamilies",
                "ipFamilyPolicy",
                "internalTrafficPolicy",
            ] {
                object::remove(value, &["spec", key]);
            }
            return Ok(());
        }
        let mut address = object::text(value, &["spec", "clusterIP"]).to_owned();
        let had = live
            .map(|live| object::text(live, &["spec", "clusterIP"]).to_owned())
            .unwrap_or_default();
        if address.is_empty() {
            address = had.clone();
        }
        if address.is_empty() {
            address = (CLUSTER_FIRST..=CLUSTER_LAST)
                .find(|one| !self.pool.cluster.contains(one))
                .map(|one| Ipv4Addr::from(one).to_string())
                .unwrap_or_default();
        }
        if address != "None" && address != had {
            let taken = match address.parse::<Ipv4Addr>() {
                Ok(one) => !self.pool.cluster.insert(u32::from(one)),
                Err(_) => true,
            };
            if taken {
                let detail = "failed to allocate IP ".to_owned()
                    + &address
                    + ": provided IP is already allocated";
                let cause = Cause::invalid("spec.clusterIPs", &json!([address]), &detail);
                return Err(Refusal::invalid("Service", &name, &[cause]));
            }
        }
        value["spec"]["clusterIP"] = address.as_str().into();
        value["spec"]["clusterIPs"] = json!([address]);
        for (key, default) in [
            ("ipFamilies", json!(["IPv4"])),
            ("ipFamilyPolicy", json!("SingleStack")),
        ] {
            if value["spec"].get(key).is_none() {
                value["spec"][key] = default;
            }
        }
        self.give_ports(&kind, value, live)
    }

    fn give_ports(&mut self, kind: &str, value: &mut Value, live: Option<&Value>) -> Result<()> {
        let wants = kind == "NodePort"
            || (kind == "LoadBalancer" && value["spec"]["allocateLoadBalancerNodePorts"] != false);
        let name = object::name(value).to_owned();
        let old: Vec<Value> = live
            .map(|live| object::items(live, &["spec", "ports"]).to_vec())
            .unwrap_or_default();
        let mut ports = object::items(value, &["spec", "ports"]).to_vec();
        for (index, port) in ports.iter_mut().enumerate() {
            if !wants {
                if kind == "ClusterIP" {
                    object::remove(port, &["nodePort"]);
                }
                continue;
            }
            let same =
                |one: &&Value| one["port"] == port["port"] && one["protocol"] == port["protocol"];
            let had = old
                .iter()
                .find(same)
                .and_then(|one| one["nodePort"].as_u64());
            let wished = port["nodePort"].as_u64().filter(|number| *number != 0);
            let number = match wished.or(had) {
                Some(number) => u16::try_from(number).unwrap_or_default(),
                None => NODE_PORTS
                    .clone()
                    .find(|one| !self.pool.node_ports.contains(one))
                    .unwrap_or_default(),
            };
            let place = format!("spec.ports[{index}].nodePort");
            if !NODE_PORTS.contains(&number) {
                let detail = "provided port is not in the valid range. The range of valid ports is 30000-32767";
                return Err(Refusal::invalid(
                    "Service",
                    &name,
                    &[Cause::invalid(place, &number.into(), detail)],
                ));
            }
            if had != Some(number.into()) && !self.pool.node_ports.insert(number) {
                let cause =
                    Cause::invalid(place, &number.into(), "provided port is already allocated");
                return Err(Refusal::invalid("Service", &name, &[cause]));
            }
            port["nodePort"] = number.into();
        }
        if !ports.is_empty() {
            value["spec"]["ports"] = ports.into();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_and_given_out() {
        let mut pool = Pool::new(Some("192.168.4.80-192.168.4.81")).unwrap();
        assert_eq!(pool.balancer("").unwrap().to_string(), "192.168.4.80");
        assert_eq!(pool.balancer("").unwrap().to_string(), "192.168.4.81");
        assert_eq!(pool.balancer(""), None);
        assert!(Pool::new(Some("nonsense")).is_err());
        assert!(Pool::new(Some("10.0.0.9-10.0.0.1")).is_err());
    }
}
