//! `/pools`: resource pools and their members.

use serde_json::{Map, Value, json};

use super::cluster::guest_row;
use super::{Act, Route, object};
use crate::fixture::GuestKind;
use crate::pve::access::Pool;
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::state::State;

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/pools", Act::Now(list)),
    ("POST", "/pools", Act::Now(create)),
    ("PUT", "/pools", Act::Now(update)),
    ("DELETE", "/pools", Act::Now(delete)),
    ("GET", "/pools/{poolid}", Act::Now(read)),
    ("PUT", "/pools/{poolid}", Act::Now(update)),
    ("DELETE", "/pools/{poolid}", Act::Now(delete)),
];

fn missing(id: &str) -> Fail {
    Fail::die(format!("pool '{id}' does not exist"))
}

fn list(call: &Call, state: &mut State) -> Outcome {
    if let Some(id) = call.params.text("poolid") {
        call.check(state, &format!("/pool/{id}"), &["Pool.Audit"])?;
        let pool = state.access.pools.get(&id).ok_or_else(|| missing(&id))?;
        let mut data = data(call, state, pool);
        data.insert("poolid".into(), id.into());
        return Ok(vec![Value::Object(data)].into());
    }
    let seen = |(name, _): &(&String, &Pool)| {
        call.may(
            state,
            &format!("/pool/{name}"),
            &["Pool.Allocate", "Pool.Audit"],
        )
    };
    let row = |(name, pool): (&String, &Pool)| {
        Value::Object(object([
            ("poolid", name.clone().into()),
            ("comment", pool.comment.clone().into()),
        ]))
    };
    Ok(state
        .access
        .pools
        .iter()
        .filter(seen)
        .map(row)
        .collect::<Vec<_>>()
        .into())
}

fn data(call: &Call, state: &State, pool: &Pool) -> Map<String, Value> {
    let only = call.params.text("type");
    let wanted = |kind: &str| only.as_deref().is_none_or(|only| only == kind);
    let now = call.cluster.now();
    let mut members = Vec::new();
    for guest in pool.vms.iter().filter_map(|vmid| state.guests.get(vmid)) {
        if wanted(if guest.kind == GuestKind::Lxc {
            "lxc"
        } else {
            "qemu"
        }) {
            members.push(guest_row(state, guest, now, false));
        }
    }
    if wanted("storage") {
        for (node, storage) in state
            .nodes
            .iter()
            .flat_map(|node| pool.storages.iter().map(move |storage| (node, storage)))
        {
            if let Some(found) = state
                .storage(storage)
                .filter(|storage| storage.on(&node.name))
            {
                members.push(json!({
                    "id": format!("storage/{}/{storage}", node.name), "type": "storage", "node": node.name, "storage": storage,
                    "status": "available", "content": found.content.join(","), "plugintype": found.kind,
                    "shared": u8::from(found.shared),
                }));
            }
        }
    }
    let mut row = object([("comment", pool.comment.clone().into())]);
    row.insert("members".into(), members.into());
    row
}

fn read(call: &Call, state: &mut State) -> Outcome {
    let id = call.text("poolid");
    let pool = state.access.pools.get(&id).ok_or_else(|| missing(&id))?;
    let mut data = data(call, state, pool);
    // As the list's form has it.
    data.insert("poolid".into(), id.into());
    Ok(Value::Object(data).into())
}

fn create(call: &Call, state: &mut State) -> Outcome {
    let id = call.text("poolid");
    if state.access.pools.contains_key(&id) {
        return Err(Fail::die(format!(
            "create pool failed: pool '{id}' already exists"
        )));
    }
    if let Some((parent, _)) = id.rsplit_once('/')
        && !state.access.pools.contains_key(parent)
    {
        return Err(Fail::die(format!(
            "create pool failed: parent '{parent}' of pool '{id}' does not exist"
        )));
    }
    state.access.pools.insert(
        id,
        Pool {
            comment: call.params.text("comment"),
            ..Pool::default()
        },
    );
    Ok(Reply::null())
}

fn update(call: &Call, state: &mut State) -> Outcome {
    let id = call.text("poolid");
    let fail = |text: String| Fail::die(format!("update pools failed: {text}"));
    let mut pool = state
        .access
        .pools
        .get(&id)
        .cloned()
        .ok_or_else(|| fail(format!("pool '{id}' does not exist")))?;
    if let Some(comment) = call.params.text("comment") {
        pool.comment = Some(comment);
    }
    let (remove, may_move) = (call.params.flag("delete"), call.params.flag("allow-move"));
    let mut moved = Vec::new();
    for vmid in call.params.list("vms") {
        call.check_any(
            state,
            &format!("/vms/{vmid}"),
            &["VM.Allocate", "Permissions.Modify"],
        )?;
        let number: u32 = vmid
            .parse()
            .map_err(|_| fail(format!("VM {vmid} does not exist")))?;
        match remove {
            true if !pool.vms.remove(&number) => {
                return Err(fail(format!("VM {vmid} is not a pool member")));
            }
            true => {}
            false => {
                if pool.vms.contains(&number) {
                    return Err(fail(format!("VM {vmid} is already a pool member")));
                }
                if let Some(other) = state.pool_of(number).map(str::to_owned) {
                    if !may_move {
                        return Err(fail(format!(
                            "VM {vmid} belongs to pool '{other}' and '--allow-move' not set"
                        )));
                    }
                    moved.push((other, number));
                }
                pool.vms.insert(number);
            }
        }
    }
    for storage in call.params.list("storage") {
        call.check(
            state,
            &format!("/storage/{storage}"),
            &["Datastore.Allocate"],
        )?;
        match remove {
            true if !pool.storages.remove(&storage) => {
                return Err(fail(format!("Storage '{storage}' is not a pool member")));
            }
            false if !pool.storages.insert(storage.clone()) => {
                return Err(fail(format!(
                    "Storage '{storage}' is already a pool member"
                )));
            }
            _ => {}
        }
    }
    for (other, vmid) in moved {
        if let Some(other) = state.access.pools.get_mut(&other) {
            other.vms.remove(&vmid);
        }
    }
    state.access.pools.insert(id, pool);
    Ok(Reply::null())
}

fn delete(call: &Call, state: &mut State) -> Outcome {
    let id = call.text("poolid");
    let fail = |text: String| Fail::die(format!("delete pool failed: {text}"));
    let pool = state
        .access
        .pools
        .get(&id)
        .ok_or_else(|| fail(format!("pool '{id}' does not exist")))?;
    // A guest that is gone does not hold its pool.
    if let Some(vmid) = pool.vms.iter().find(|vmid| state.guests.contains_key(vmid)) {
        return Err(fail(format!(
            "pool '{id}' is not empty (contains VM {vmid})"
        )));
    }
    if let Some(storage) = pool.storages.iter().next() {
        return Err(fail(format!(
            "pool '{id}' is not empty (contains storage '{storage}')"
        )));
    }
    if let Some(child) = state
        .access
        .pools
        .keys()
        .find(|name| name.starts_with(&format!("{id}/")))
    {
        return Err(fail(format!(
            "pool '{id}' is not empty (contains pool '{child}')"
        )));
    }
    state.access.pools.remove(&id);
    state
        .access
        .grants
        .retain(|grant| grant.path != format!("/pool/{id}"));
    Ok(Reply::null())
}
