//! What containers and virtual machines have in common: finding them, their locks, their volumes, their changes.
//!
//! Rules and texts that both families of endpoints need. It answers no call itself.

pub(crate) mod change;
pub(crate) mod disk;
pub(crate) mod rights;
mod unlock;

use serde_json::Value;

use super::answer::Fail;
use super::cluster::{Call, Cluster};
use super::locks::Held;
use super::params::{Params, plain};
use super::schema::{self, Keys, keys_of, parse_property_string, print_property_string};
use super::state::{Guest, Snapshot, State, Status};
use crate::fixture::GuestKind;

/// What a name of a kind is in texts, tasks and paths.
pub(crate) trait Naming {
    /// `CT`, `VM`.
    fn word(self) -> &'static str;
    /// `vzstart`, `qmstart`.
    fn task(self, what: &str) -> String;
    /// The template of the create call, whose parameters are the configuration's.
    fn template(self) -> &'static str;
}

impl Naming for GuestKind {
    fn word(self) -> &'static str {
        match self {
            Self::Lxc => "CT",
            Self::Qemu => "VM",
        }
    }

    fn task(self, what: &str) -> String {
        match self {
            Self::Lxc => format!("vz{what}"),
            Self::Qemu => format!("qm{what}"),
        }
    }

    fn template(self) -> &'static str {
        match self {
            Self::Lxc => "/nodes/{node}/lxc",
            Self::Qemu => "/nodes/{node}/qemu",
        }
    }
}

/// The guest of that kind on that node.
pub(crate) fn find<'a>(
    state: &'a State,
    kind: GuestKind,
    node: &str,
    vmid: u32,
) -> Result<&'a Guest, Fail> {
    let guest = state
        .guests
        .get(&vmid)
        .filter(|guest| guest.kind == kind && guest.node == node);
    guest.ok_or_else(|| {
        Fail::die(format!(
            "Configuration file '{}' does not exist",
            Guest::file(kind, node, vmid)
        ))
    })
}

/// The guest of that kind on that node, to change.
pub(crate) fn find_mut<'a>(
    state: &'a mut State,
    kind: GuestKind,
    node: &str,
    vmid: u32,
) -> Result<&'a mut Guest, Fail> {
    let guest = state
        .guests
        .get_mut(&vmid)
        .filter(|guest| guest.kind == kind && guest.node == node);
    guest.ok_or_else(|| {
        Fail::die(format!(
            "Configuration file '{}' does not exist",
            Guest::file(kind, node, vmid)
        ))
    })
}

/// The guest of a call.
pub(crate) fn of<'a>(call: &Call, state: &'a State, kind: GuestKind) -> Result<&'a Guest, Fail> {
    find(state, kind, &call.node(), call.vmid())
}

/// Refuses a guest that is locked for something.
pub(crate) fn check_lock(guest: &Guest) -> Result<(), Fail> {
    match guest.lock() {
        Some(lock) => Err(Fail::die(format!(
            "{} is locked ({lock})",
            guest.kind.word()
        ))),
        None => Ok(()),
    }
}

/// Refuses `skiplock` from anyone but root@pam.
pub(crate) fn check_skiplock(call: &Call) -> Result<bool, Fail> {
    let asked = call.params.flag("skiplock");
    if asked && !call.caller.is_root() {
        return Err(Fail::param("skiplock", "Only root may use this option."));
    }
    Ok(asked)
}

/// Refuses a number that is taken.
pub(crate) fn check_unused(state: &State, vmid: u32) -> Result<(), Fail> {
    match state.guests.get(&vmid) {
        Some(guest) => Err(Fail::die(format!(
            "{} {vmid} already exists on node '{}'",
            guest.kind.word(),
            guest.node
        ))),
        None => Ok(()),
    }
}

impl Cluster {
    /// The lock of a guest's configuration, or the text of a time-out.
    pub(crate) async fn guest_lock(&self, kind: GuestKind, vmid: u32) -> Result<Held, Fail> {
        if self.faults.locked(vmid) {
            return Err(self.locks.timeout(kind, vmid));
        }
        self.locks.guest(kind, vmid).await
    }
}

/// A random MAC address with the prefix of Proxmox Server Solutions.
pub(crate) fn mac() -> String {
    let [a, b, c]: [u8; 3] = super::auth::random();
    format!("BC:24:11:{a:02X}:{b:02X}:{c:02X}")
}

/// The keys of a property string of the configuration.
pub(crate) fn keys(kind: GuestKind, option: &str) -> Option<&'static Keys> {
    keys_of(schema::method(kind.template(), "POST")?.parameter(option)?)
}

/// A property string of the configuration, read; an unreadable one is empty.
pub(crate) fn parse(kind: GuestKind, option: &str, text: &str) -> Params {
    keys(kind, option)
        .and_then(|keys| parse_property_string(keys, text, option).ok())
        .unwrap_or_default()
}

/// A property string of the configuration, printed as the API reads it back.
pub(crate) fn print(kind: GuestKind, option: &str, values: &Params) -> String {
    keys(kind, option)
        .map(|keys| print_property_string(keys, values))
        .unwrap_or_default()
}

/// Whether an option is one of an indexed family: `net0` of `net`.
pub(crate) fn is_indexed(option: &str, family: &str) -> bool {
    option
        .strip_prefix(family)
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Tags in lower case, sorted, each once.
pub(crate) fn tags(text: &str) -> String {
    let mut all: Vec<String> = super::params::split_list(text)
        .into_iter()
        .map(|tag| tag.to_lowercase())
        .collect();
    all.sort();
    all.dedup();
    all.join(";")
}

/// An option as number; the default when it is missing.
pub(crate) fn number(guest: &Guest, option: &str, default: u64) -> u64 {
    guest
        .config
        .get(option)
        .and_then(plain)
        .and_then(|text| text.parse::<f64>().ok())
        .map_or(default, |number| number as u64)
}

/// The bridges a guest's devices need that its node has not.
pub(crate) fn missing_bridge(state: &State, guest: &Guest) -> Option<String> {
    let node = state.node(&guest.node)?;
    guest
        .config
        .iter()
        .filter(|(option, _)| is_indexed(option, "net"))
        .find_map(|(option, value)| {
            let bridge = parse(guest.kind, option, &plain(value)?).text("bridge")?;
            (!node.has_iface(&bridge)).then_some(bridge)
        })
}

/// Sets a guest running.
pub(crate) fn run(state: &mut State, vmid: u32, now: i64) {
    state.ticks += 1;
    let pid = 2000 + u32::try_from(state.ticks % 4_000_000).unwrap_or_default();
    if let Some(guest) = state.guests.get_mut(&vmid) {
        guest.status = Status::Running {
            pid,
            since: now,
            paused: false,
        };
    }
}

/// The snapshot of that name.
pub(crate) fn snapshot<'a>(guest: &'a Guest, name: &str) -> Result<&'a Snapshot, Fail> {
    let found = guest
        .snapshots
        .iter()
        .find(|snapshot| snapshot.name == name);
    found.ok_or_else(|| Fail::die(format!("snapshot '{name}' does not exist")))
}

/// What the option's value is in answers: whole numbers where the schema says so, text otherwise.
pub(crate) fn typed(kind: GuestKind, option: &str, text: &str) -> Value {
    let property =
        schema::method(kind.template(), "POST").and_then(|method| method.parameter(option));
    match property.map(|property| property.kind) {
        Some(schema::Kind::Integer | schema::Kind::Boolean) => text
            .parse::<i64>()
            .map_or_else(|_| text.into(), Value::from),
        _ => text.into(),
    }
}
