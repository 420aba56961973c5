//! Units as records: which a machine has, and whether each is active, enabled, masked. Nothing is started, nothing listens.

use std::collections::BTreeMap;

use super::machine::Machine;
use super::{Role, Spec};

/// Units that a node has.
const OF_NODES: &[&str] = &[
    "pve-cluster",
    "pvedaemon",
    "pveproxy",
    "pvestatd",
    "pvescheduler",
    "pve-firewall",
    "chrony",
    "cron",
    "ssh",
];
/// Units that any other machine has.
const OF_OTHERS: &[&str] = &["cron", "ssh"];
/// One unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) active: bool,
    pub(super) enabled: bool,
    pub(super) masked: bool,
}

/// The units of a machine.
#[derive(Debug, Clone)]
pub(super) struct Units(pub(super) BTreeMap<String, Unit>);

impl Units {
    pub(super) fn new(spec: &Spec) -> Self {
        let base = if spec.role == Role::Node {
            OF_NODES
        } else {
            OF_OTHERS
        };
        let names = base
            .iter()
            .map(|name| (*name).to_owned())
            .chain(spec.units.iter().cloned());
        let on = Unit {
            active: true,
            enabled: true,
            masked: false,
        };
        Self(names.map(|name| (full(&name), on)).collect())
    }

    /// At a start what is enabled runs.
    pub(super) fn boot(&mut self) {
        for unit in self.0.values_mut() {
            unit.active = unit.enabled && !unit.masked;
        }
    }
}

/// `nginx` is `nginx.service`.
pub(super) fn full(name: &str) -> String {
    let known = [
        ".service", ".timer", ".socket", ".target", ".mount", ".path",
    ];
    if known.iter().any(|end| name.ends_with(end)) {
        name.to_owned()
    } else {
        format!("{name}.service")
    }
}

impl Machine {
    /// The unit's record; one that a package or a unit file brings is there as well.
    pub(super) fn unit(&self, name: &str) -> Option<Unit> {
        let name = full(name);
        let mut records = self.records();
        if let Some(unit) = records.units.0.get(&name) {
            return Some(*unit);
        }
        let bare = name
            .rsplit_once('.')
            .map_or(name.as_str(), |(bare, _)| bare);
        let packaged = records.packages.has(bare);
        let file = ["etc/systemd/system", "usr/local/lib/systemd/system"]
            .iter()
            .any(|dir| {
                !name.contains('/')
                    && self
                        .root
                        .path()
                        .join(dir)
                        .join(&name)
                        .symlink_metadata()
                        .is_ok()
            });
        // Debian starts what it installs; a file alone starts nothing.
        let unit = (packaged || file).then_some(Unit {
            active: packaged,
            enabled: packaged,
            masked: false,
        })?;
        records.units.0.insert(name, unit);
        Some(unit)
    }
}
