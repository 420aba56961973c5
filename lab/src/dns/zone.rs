//! What the server knows: names, their addresses, and which domains are its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use hickory_proto::rr::{Name, RData, RecordType, rdata};

/// Names and addresses that are looked up anew for each question, such as a host's `/etc/hosts`.
pub type More = Arc<dyn Fn() -> Vec<(String, IpAddr)> + Send + Sync>;

/// The names of a lab. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Zone(Arc<RwLock<Inner>>);

#[derive(Default)]
struct Inner {
    /// The first is that of names that are asked for by their address.
    domains: Vec<String>,
    names: BTreeMap<String, BTreeSet<IpAddr>>,
    more: Vec<More>,
}

/// What a question is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The name exists; there may be no record of the asked type.
    Found(Vec<RData>),
    /// The name would be ours and does not exist.
    NoSuchName,
    /// The name is not ours.
    NotOurs,
}

impl Zone {
    /// No names; those below `domains` are ours, as are names of one label.
    pub fn new(domains: impl IntoIterator<Item = String>) -> Self {
        let zone = Self::default();
        zone.write(|inner| {
            inner.domains = domains.into_iter().map(|domain| plain(&domain)).collect()
        });
        zone
    }

    /// Adds a name: `pve1`, `web.home.arpa`, `*.apps.home.arpa`. A name of one label is known below each domain too.
    pub fn add(&self, name: &str, address: IpAddr) {
        let name = plain(name);
        self.write(|inner| {
            inner.names.entry(name).or_default().insert(address);
        });
    }

    /// A name of one label below each domain.
    pub fn aliases(&self, name: &str) -> Vec<String> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let domains = inner.domains.iter();
        domains.map(|domain| format!("{name}.{domain}")).collect()
    }

    /// Removes a name with all its addresses.
    pub fn remove(&self, name: &str) {
        let name = plain(name);
        self.write(|inner| {
            inner.names.remove(&name);
        });
    }

    /// Adds names that are asked for with each question.
    pub fn also(&self, more: More) {
        self.write(|inner| inner.more.push(more));
    }

    /// Answers a question.
    pub fn answer(&self, name: &Name, kind: RecordType) -> Answer {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut names = inner.names.clone();
        for (name, address) in inner.more.iter().flat_map(|more| more()) {
            names.entry(plain(&name)).or_default().insert(address);
        }
        if let Ok(net) = name.parse_arpa_name() {
            return reverse(&names, &inner.domains, net.addr(), net.prefix_len(), kind);
        }
        let asked = plain(&name.to_ascii());
        match inner.find(&names, &asked) {
            Some(addresses) => Answer::Found(records(addresses, kind)),
            None if inner.is_ours(&names, &asked) => Answer::NoSuchName,
            None => Answer::NotOurs,
        }
    }

    fn write(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Inner {
    fn find<'a>(
        &self,
        names: &'a BTreeMap<String, BTreeSet<IpAddr>>,
        asked: &str,
    ) -> Option<&'a BTreeSet<IpAddr>> {
        if let Some(found) = names.get(asked) {
            return Some(found);
        }
        let label = self
            .domains
            .iter()
            .find_map(|domain| asked.strip_suffix(domain)?.strip_suffix('.'));
        if let Some(found) = label.and_then(|label| names.get(label)) {
            return Some(found);
        }
        // A wildcard stands for names below its parent, the nearest parent first.
        let mut rest = asked;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(found) = names.get(&format!("*.{parent}")) {
                return Some(found);
            }
            rest = parent;
        }
        None
    }

    fn is_ours(&self, names: &BTreeMap<String, BTreeSet<IpAddr>>, asked: &str) -> bool {
        let below = |parent: &str| {
            asked == parent
                || asked
                    .strip_suffix(parent)
                    .is_some_and(|rest| rest.ends_with('.'))
        };
        !asked.contains('.')
            || self.domains.iter().any(|domain| below(domain))
            // A parent of a name that is there exists, if only as a place between.
            || names.keys().any(|name| name.strip_suffix(asked).is_some_and(|rest| rest.ends_with('.')))
    }
}

fn records(addresses: &BTreeSet<IpAddr>, kind: RecordType) -> Vec<RData> {
    let wanted = |address: &&IpAddr| match kind {
        RecordType::A => address.is_ipv4(),
        RecordType::AAAA => address.is_ipv6(),
        RecordType::ANY => true,
        _ => false,
    };
    addresses
        .iter()
        .filter(wanted)
        .map(|address| RData::from(*address))
        .collect()
}

fn reverse(
    names: &BTreeMap<String, BTreeSet<IpAddr>>,
    domains: &[String],
    address: IpAddr,
    prefix: u8,
    kind: RecordType,
) -> Answer {
    let whole = prefix == if address.is_ipv4() { 32 } else { 128 };
    let of = |(name, addresses): (&String, &BTreeSet<IpAddr>)| {
        let full = match domains.first() {
            Some(domain) if !name.contains('.') => format!("{name}.{domain}."),
            _ => format!("{name}."),
        };
        (addresses.contains(&address) && !name.starts_with('*'))
            .then(|| Name::from_ascii(full).ok())
            .flatten()
    };
    let found: Vec<RData> = names
        .iter()
        .filter_map(of)
        .map(|name| RData::PTR(rdata::PTR(name)))
        .collect();
    if !whole || found.is_empty() {
        // Private networks are the lab's; nobody else could answer for them.
        let private = match address {
            IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
            IpAddr::V6(v6) => {
                v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local()
            }
        };
        return if private {
            Answer::NoSuchName
        } else {
            Answer::NotOurs
        };
    }
    Answer::Found(if matches!(kind, RecordType::PTR | RecordType::ANY) {
        found
    } else {
        Vec::new()
    })
}

/// Lower case, without the dot at the end.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(zone: &Zone, name: &str, kind: RecordType) -> Answer {
        zone.answer(&Name::from_ascii(name).unwrap(), kind)
    }

    fn found(addresses: &[&str]) -> Answer {
        Answer::Found(
            addresses
                .iter()
                .map(|text| RData::from(text.parse::<IpAddr>().unwrap()))
                .collect(),
        )
    }

    fn zone() -> Zone {
        let zone = Zone::new(["home.arpa".to_owned()]);
        zone.add("pve1", "192.168.4.11".parse().unwrap());
        zone.add("pve1", "fd00::11".parse().unwrap());
        zone.add("grafana.lan.example", "192.168.4.80".parse().unwrap());
        zone.add("*.apps.home.arpa", "192.168.4.81".parse().unwrap());
        zone
    }

    #[test]
    fn a_name_is_found_alone_below_the_domain_and_in_any_case() {
        let zone = zone();
        for name in ["pve1.", "PVE1.Home.Arpa.", "pve1.home.arpa"] {
            assert_eq!(
                ask(&zone, name, RecordType::A),
                found(&["192.168.4.11"]),
                "{name}"
            );
        }
        assert_eq!(ask(&zone, "pve1.", RecordType::AAAA), found(&["fd00::11"]));
        assert_eq!(
            ask(&zone, "pve1.", RecordType::MX),
            Answer::Found(Vec::new()),
            "it exists without such a record"
        );
        assert_eq!(
            ask(&zone, "x.y.apps.home.arpa.", RecordType::A),
            found(&["192.168.4.81"])
        );
    }

    #[test]
    fn what_is_not_there_is_told_from_what_is_not_ours() {
        let zone = zone();
        for name in [
            "pve9.",
            "pve9.home.arpa.",
            "home.arpa.",
            "lan.example.",
            "9.4.168.192.in-addr.arpa.",
        ] {
            assert_eq!(
                ask(&zone, name, RecordType::A),
                Answer::NoSuchName,
                "{name}"
            );
        }
        for name in [
            "example.org.",
            "www.lan.example.org.",
            "8.8.8.8.in-addr.arpa.",
        ] {
            assert_eq!(ask(&zone, name, RecordType::A), Answer::NotOurs, "{name}");
        }
    }

    #[test]
    fn an_address_has_its_names() {
        let name = |text: &str| {
            Answer::Found(vec![RData::PTR(rdata::PTR(
                Name::from_ascii(text).unwrap(),
            ))])
        };
        assert_eq!(
            ask(&zone(), "11.4.168.192.in-addr.arpa.", RecordType::PTR),
            name("pve1.home.arpa.")
        );
        assert_eq!(
            ask(&zone(), "80.4.168.192.in-addr.arpa.", RecordType::PTR),
            name("grafana.lan.example.")
        );
    }

    #[test]
    fn names_come_and_go() {
        let zone = zone();
        let extra = Arc::new(RwLock::new(Vec::new()));
        let shared = extra.clone();
        zone.also(Arc::new(move || shared.read().unwrap().clone()));
        assert_eq!(
            ask(&zone, "web.home.arpa.", RecordType::A),
            Answer::NoSuchName
        );
        extra
            .write()
            .unwrap()
            .push(("web.home.arpa".to_owned(), "192.168.4.150".parse().unwrap()));
        assert_eq!(
            ask(&zone, "web.home.arpa.", RecordType::A),
            found(&["192.168.4.150"])
        );
        zone.remove("PVE1");
        assert_eq!(ask(&zone, "pve1.", RecordType::A), Answer::NoSuchName);
    }
}
