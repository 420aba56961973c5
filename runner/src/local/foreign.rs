//! Finds the addresses and names of the inventory's machines in a text that must not hold them: a script of the lab would
//! reach the real ones.

use aho_corasick::AhoCorasick;
use runbook::model::Book;
use runbook::template::expressions;

/// The addresses and names of the inventory's machines.
#[derive(Debug, Default)]
pub struct Foreign {
    names: Vec<String>,
    search: Option<AhoCorasick>,
}

impl Foreign {
    /// Those of a book's inventory: of its nodes, guests and hosts.
    pub fn of(book: &Book) -> Self {
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
        Self::new(names)
    }

    /// These.
    pub fn new(mut names: Vec<String>) -> Self {
        names.retain(|name| !name.is_empty());
        names.sort();
        names.dedup();
        // An automaton too large is never built silently without one: then nothing may run.
        let search = if names.is_empty() {
            None
        } else {
            AhoCorasick::new(&names).ok()
        };
        Self { names, search }
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

    /// The machine that a host of a probe is: by address, by name, or by name in a domain of a home.
    pub fn host(&self, host: &str) -> Option<&str> {
        let host = host
            .trim_matches(['[', ']'])
            .trim_end_matches('.')
            .to_ascii_lowercase();
        let local = host
            .split_once('.')
            .filter(|(_, domain)| is_private(domain))
            .map(|(name, _)| name);
        self.names
            .iter()
            .map(String::as_str)
            .find(|name| name.eq_ignore_ascii_case(&host) || Some(*name) == local)
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

/// Domains that only a home's own name server knows.
fn is_private(domain: &str) -> bool {
    [
        "lan",
        "local",
        "localdomain",
        "home",
        "internal",
        "home.arpa",
        "intranet",
    ]
    .contains(&domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_found_by_whole_names_outside_templates() {
        let foreign = Foreign::new(vec!["pve1".into(), "10.0.0.1".into(), "still-fawn".into()]);
        for (script, found) in [
            ("ssh root@pve1: uptime", Some("pve1")),
            ("ping pve1.lan", Some("pve1")),
            ("echo my-pve1 pve10 PVE1", None),
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
    fn a_probe_names_a_machine_by_address_or_name() {
        let foreign = Foreign::new(vec!["pve1".into(), "10.0.0.1".into(), "fd00::1".into()]);
        for (host, found) in [
            ("pve1", Some("pve1")),
            ("PVE1.lan.", Some("pve1")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("[fd00::1]", Some("fd00::1")),
            ("pve1.example.com", None),
            ("localhost", None),
        ] {
            assert_eq!(foreign.host(host), found, "{host}");
        }
    }
}
