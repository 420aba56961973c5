//! Snapshots: their tree and what is kept in them.

use serde_json::{Map, Value};

use super::{Act, Route, index};
use crate::fixture::GuestKind::{self, Lxc, Qemu};
use crate::pve::answer::{Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::guest::{check_lock, disk, find_mut, is_indexed, of, snapshot};
use crate::pve::params::plain;
use crate::pve::state::{Config, Guest, Snapshot, State};

pub(super) const ROUTES: &[Route] = &[
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/snapshot",
        Act::Now(|call, state| list(call, state, Lxc)),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/snapshot",
        Act::Now(|call, state| list(call, state, Qemu)),
    ),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}",
        Act::Now(|_, _| index("cmd", &["rollback", "config"])),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}",
        Act::Now(|_, _| index("cmd", &["rollback", "config"])),
    ),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}/config",
        Act::Now(|call, state| read(call, state, Lxc)),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config",
        Act::Now(|call, state| read(call, state, Qemu)),
    ),
    (
        "PUT",
        "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}/config",
        Act::Now(|call, state| describe(call, state, Lxc)),
    ),
    (
        "PUT",
        "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config",
        Act::Now(|call, state| describe(call, state, Qemu)),
    ),
];

/// Whether every disk of a guest can be snapshotted: a container's raw file in a directory cannot, a machine's qcow2 can.
pub(super) fn supported(state: &State, guest: &Guest) -> bool {
    let bind = guest.kind == Lxc
        && guest.config.iter().any(|(option, value)| {
            is_indexed(option, "mp") && plain(value).is_some_and(|text| text.starts_with('/'))
        });
    !bind
        && disk::disks(guest.kind, &guest.config)
            .iter()
            .filter(|(option, _)| !is_indexed(option, "unused"))
            .all(|(_, volid)| {
                let cloudinit = volid.contains("cloudinit");
                let storage = volid
                    .split_once(':')
                    .and_then(|(storage, _)| state.storage(storage));
                cloudinit
                    || storage
                        .is_some_and(|storage| storage.has_snapshots() || volid.ends_with(".qcow2"))
            })
}

/// A description as it reads back: a container's ends with a line break.
fn description(kind: GuestKind, snapshot: &Snapshot) -> String {
    match &snapshot.description {
        Some(text) if kind == Lxc && !text.is_empty() => format!("{text}\n"),
        Some(text) => text.clone(),
        None => String::new(),
    }
}

fn list(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let guest = of(call, state, kind)?;
    let mut rows = Vec::new();
    for snapshot in &guest.snapshots {
        let mut row = Map::new();
        row.insert("name".into(), snapshot.name.clone().into());
        row.insert("snaptime".into(), snapshot.snaptime.into());
        row.insert("description".into(), description(kind, snapshot).into());
        if let Some(parent) = &snapshot.parent {
            row.insert("parent".into(), parent.clone().into());
        }
        if kind == Qemu {
            row.insert("vmstate".into(), u8::from(snapshot.vmstate).into());
        }
        if let Some(state) = snapshot.state {
            row.insert("snapstate".into(), state.into());
        }
        rows.push(Value::Object(row));
    }
    let mut now = Map::from_iter([
        ("name".to_owned(), Value::from("current")),
        ("description".to_owned(), "You are here!".into()),
        ("running".to_owned(), u8::from(guest.is_running()).into()),
        ("digest".to_owned(), guest.digest().into()),
    ]);
    if let Some(parent) = guest.config.get("parent") {
        now.insert("parent".into(), parent.clone());
    }
    rows.push(Value::Object(now));
    Ok(rows.into())
}

/// The configuration of a snapshot as it is shown.
pub(super) fn config_of(guest: &Guest, snapshot: &Snapshot) -> Config {
    let mut config = snapshot.config.clone();
    config.insert("snaptime".into(), snapshot.snaptime.into());
    if let Some(parent) = &snapshot.parent {
        config.insert("parent".into(), parent.clone().into());
    }
    if let Some(state) = snapshot.state {
        config.insert("snapstate".into(), state.into());
    }
    if snapshot
        .description
        .as_ref()
        .is_some_and(|text| !text.is_empty())
    {
        config.insert(
            "description".into(),
            description(guest.kind, snapshot).into(),
        );
    }
    config
}

fn read(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let guest = of(call, state, kind)?;
    let mut config = config_of(guest, snapshot(guest, &call.text("snapname"))?);
    if config.contains_key("cipassword") {
        config.insert("cipassword".into(), "**********".into());
    }
    Ok(Value::Object(config).into())
}

fn describe(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let name = call.text("snapname");
    let guest = find_mut(state, kind, &call.node(), call.vmid())?;
    check_lock(guest)?;
    snapshot(guest, &name)?;
    for snapshot in guest
        .snapshots
        .iter_mut()
        .filter(|snapshot| snapshot.name == name)
    {
        if let Some(text) = call.params.text("description") {
            snapshot.description = Some(text);
        }
    }
    Ok(Reply::null())
}
