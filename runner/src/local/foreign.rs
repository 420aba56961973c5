//! Finds the addresses and names of the inventory's machines in a text that must not hold them: a script of the lab would
//! reach the real ones.

use std::net::IpAddr;

use aho_corasick::AhoCorasick;
use runbook::matcher::AddressRange;
use runbook::model::Book;
use runbook::template::expressions;

use crate::world::fixture;

/// The addresses and names of the inventory's machines.
#[derive(Debug, Default)]
pub struct Foreign {
    /// In lower case.
    names: Vec<String>,
    networks: Vec<Vec<u8>>,
    /// What clusters give to their services.
    ranges: Vec<AddressRange>,
    domains: Vec<String>,
    search: Option<AhoCorasick>,
}

impl Foreign {
    /// Those of a book's inventory: of its nodes, guests and hosts; and the domains of its home.
    pub fn of(book: &Book, domains: Vec<String>) -> Self {
        let mut names = Vec::new();
        for group in ["nodes", "guests", "hosts"] {
            let Some(machines) = book
                .inventory
                .node
                .as_ref()
                .and_then(|node| node.get(group))
            else {
                continue;
            };
            for machine in machines.as_map().into_iter().flatten() {
                names.push(machine.key.clone());
                names.extend(
                    machine
                        .value
                        .get("address")
                        .and_then(|address| address.as_text())
                        .map(str::to_owned),
                );
            }
        }
        let ranges = book.inventory.clusters.iter().filter_map(|(_, cluster)| {
            let range = fixture::text(fixture::lab(cluster)?, "load-balancers")?;
            AddressRange::parse(range).ok()
        });
        Self {
            ranges: ranges.collect(),
            ..Self::new(names, domains)
        }
    }

    /// These.
    pub fn new(mut names: Vec<String>, domains: Vec<String>) -> Self {
        names.retain(|name| !name.is_empty());
        names
            .iter_mut()
            .for_each(|name| name.make_ascii_lowercase());
        names.sort();
        names.dedup();
        // An automaton too large is never built silently without one: then nothing may run.
        let search = if names.is_empty() {
            None
        } else {
            // A resolver does not care for case.
            let mut builder = AhoCorasick::builder();
            builder.ascii_case_insensitive(true).build(&names).ok()
        };
        let addresses = names.iter().filter_map(|name| name.parse().ok());
        Self {
            networks: addresses.map(network).collect(),
            ranges: Vec::new(),
            names,
            domains,
            search,
        }
    }

    /// The first machine that a script names outside `{{ }}`.
    pub fn in_script(&self, script: &str) -> Option<&str> {
        if self.names.is_empty() {
            return None;
        }
        let mut at = 0;
        for expression in expressions(script) {
            if let Some(found) = self.in_text(&script[at..expression.range.start]) {
                return Some(found);
            }
            at = expression.range.end;
        }
        self.in_text(&script[at..])
    }

    /// Whether a probe of that host would reach a machine or a name of the home: by address or an address beside it, by name,
    /// or by any name below a domain of the home.
    pub fn is_host(&self, host: &str) -> bool {
        let host = host
            .trim_matches(['[', ']'])
            .trim_end_matches('.')
            .to_ascii_lowercase();
        if let Ok(address) = host.parse::<IpAddr>() {
            return self.names.contains(&host)
                || self.networks.contains(&network(address))
                || self.ranges.iter().any(|range| range.contains(address));
        }
        let below = |domain: &String| {
            host.strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.ends_with('.'))
        };
        !host.starts_with("localhost")
            && (self.names.contains(&host) || self.domains.iter().any(below))
    }

    /// The first machine that a text names.
    pub fn in_text(&self, text: &str) -> Option<&str> {
        let Some(search) = &self.search else {
            return self.names.first().map(String::as_str);
        };
        for found in search.find_overlapping_iter(text) {
            let before = text[..found.start()].chars().next_back();
            let after = text[found.end()..].chars().next();
            // `pve1` is in `root@pve1:` and `pve1.lan`, not in `my-pve1` or `pve10`; `10.0.0.1` is not in `10.0.0.12`.
            let name = &self.names[found.pattern().as_usize()];
            let part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
            let digits = name.parse::<std::net::IpAddr>().is_ok();
            if !before.is_some_and(|c| part(c) || digits && c == '.') && !after.is_some_and(part) {
                return Some(name);
            }
        }
        None
    }
}

/// The network of a private address, as homes have them: its first three bytes, of IPv6 its first eight.
fn network(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(four) if four.is_private() => four.octets()[..3].to_vec(),
        IpAddr::V6(six) if six.is_unique_local() => six.octets()[..8].to_vec(),
        // Of any other only the address itself is the home's.
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_found_by_whole_names_outside_templates() {
        let foreign = Foreign::new(
            vec!["pve1".into(), "10.0.0.1".into(), "still-fawn".into()],
            Vec::new(),
        );
        for (script, found) in [
            ("ssh root@pve1: uptime", Some("pve1")),
            ("ping pve1.lan", Some("pve1")),
            ("echo my-pve1 pve10", None),
            ("ssh PVE1 true", Some("pve1")),
            ("ping {{ inventory.nodes.pve1.address }}", None),
            ("curl http://10.0.0.1:8006/", Some("10.0.0.1")),
            ("curl http://10.0.0.12/ 110.0.0.1 1.10.0.0.1", None),
            ("scp a still-fawn:", Some("still-fawn")),
            ("echo {{ vars.x }} pve1", Some("pve1")),
        ] {
            assert_eq!(foreign.in_script(script), found, "{script}");
        }
        assert_eq!(Foreign::default().in_script("anything"), None);
    }

    #[test]
    fn a_probe_means_the_home_by_address_or_name() {
        let foreign = Foreign::new(
            vec!["pve1".into(), "10.0.0.1".into(), "fd00::1".into()],
            vec!["home.example".into(), "lan".into()],
        );
        for (host, is) in [
            ("pve1", true),
            ("PVE1.lan.", true),
            ("grafana.home.example", true),
            ("a.b.lan", true),
            ("10.0.0.1", true),
            ("10.0.0.77", true),
            ("10.0.1.1", false),
            ("[fd00::1]", true),
            ("127.0.0.1", false),
            ("192.0.2.1", false),
            ("pve1.example.com", false),
            ("home.example", false),
            ("plan", false),
            ("localhost", false),
        ] {
            assert_eq!(foreign.is_host(host), is, "{host}");
        }
        let range = AddressRange::parse("192.0.2.80-192.0.2.90").unwrap();
        let foreign = Foreign {
            ranges: vec![range],
            ..foreign
        };
        assert!(foreign.is_host("192.0.2.85"));
        assert!(!foreign.is_host("192.0.2.91"));
    }
}
