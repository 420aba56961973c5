//! Reading a guest's configuration: as it is, as it will be, and the changes between.

use serde_json::{Map, Value, json};

use super::{Act, Route};
use crate::fixture::GuestKind::{self, Lxc, Qemu};
use crate::pve::answer::{Fail, Outcome};
use crate::pve::cluster::Call;
use crate::pve::guest::{change, of, snapshot};
use crate::pve::state::{Pending, State};

pub(super) const ROUTES: &[Route] = &[
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/config",
        Act::Now(|call, state| config(call, state, Lxc)),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/config",
        Act::Now(|call, state| config(call, state, Qemu)),
    ),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/pending",
        Act::Now(|call, state| pending(call, state, Lxc)),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/pending",
        Act::Now(|call, state| pending(call, state, Qemu)),
    ),
];

/// What a hidden value reads as.
const HIDDEN: &str = "**********";

/// What is never shown, hidden.
fn shown(option: &str, value: &Value) -> Value {
    if option == "cipassword" {
        HIDDEN.into()
    } else {
        value.clone()
    }
}

fn config(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let guest = of(call, state, kind)?;
    let config = match call.params.text("snapshot") {
        Some(_) if call.params.flag("current") => {
            return Err(Fail::param(
                "snapshot",
                "cannot use 'snapshot' parameter with 'current'",
            ));
        }
        Some(name) => super::guest_snapshot::config_of(guest, snapshot(guest, &name)?),
        None if call.params.flag("current") => guest.config.clone(),
        None => change::upcoming(guest),
    };
    let mut row: Map<String, Value> = config
        .iter()
        .map(|(option, value)| (option.clone(), shown(option, value)))
        .collect();
    row.insert("digest".into(), guest.digest().into());
    Ok(Value::Object(row).into())
}

fn pending(call: &Call, state: &mut State, kind: GuestKind) -> Outcome {
    let guest = of(call, state, kind)?;
    let mut rows = Vec::new();
    for (option, value) in &guest.config {
        let mut row = Map::from_iter([
            ("key".to_owned(), option.clone().into()),
            ("value".to_owned(), shown(option, value)),
        ]);
        match guest.pending.iter().find(|(own, _)| own == option) {
            Some((_, Pending::Set(value))) => {
                row.insert("pending".into(), shown(option, value));
            }
            Some((_, Pending::Delete { force })) => {
                row.insert("delete".into(), if *force { 2 } else { 1 }.into());
            }
            None => {}
        }
        rows.push(Value::Object(row));
    }
    for (option, change) in guest
        .pending
        .iter()
        .filter(|(option, _)| !guest.config.contains_key(option))
    {
        match change {
            Pending::Set(value) => {
                rows.push(json!({"key": option, "pending": shown(option, value)}))
            }
            Pending::Delete { force } => {
                rows.push(json!({"key": option, "delete": if *force { 2 } else { 1 }}))
            }
        }
    }
    rows.push(json!({"key": "digest", "value": guest.digest()}));
    Ok(rows.into())
}
