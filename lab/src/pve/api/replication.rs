//! `/cluster/replication`, `/nodes/{node}/replication`: jobs are refused where nothing can replicate; lists are true.

use serde_json::Value;

use super::{Act, Route};
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::state::State;

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/cluster/replication", Act::Now(list)),
    ("POST", "/cluster/replication", Act::Now(create)),
    ("GET", "/cluster/replication/{id}", Act::Now(read)),
    ("DELETE", "/cluster/replication/{id}", Act::Now(delete)),
    (
        "GET",
        "/nodes/{node}/replication",
        Act::Now(|_, _| Ok(Vec::<Value>::new().into())),
    ),
];

fn list(call: &Call, state: &mut State) -> Outcome {
    let seen = |id: &str| {
        id.split('-')
            .next()
            .is_some_and(|vmid| call.may(state, &format!("/vms/{vmid}"), &["VM.Audit"]))
    };
    Ok(state
        .replication
        .iter()
        .filter(|(id, _)| seen(id))
        .map(|(_, job)| Value::Object(job.clone()))
        .collect::<Vec<_>>()
        .into())
}

fn create(call: &Call, state: &mut State) -> Outcome {
    let (id, target) = (call.text("id"), call.text("target"));
    if state.node(&target).is_none() {
        return Err(Fail::die(format!("node '{target}' does not exist")));
    }
    if state.replication.contains_key(&id) {
        return Err(Fail::die(format!("replication job '{id}' already exists")));
    }
    let vmid = id
        .split('-')
        .next()
        .and_then(|vmid| vmid.parse::<u32>().ok())
        .unwrap_or_default();
    let Some(guest) = state.guests.get(&vmid) else {
        return Err(Fail::die(format!("no such guest '{vmid}'")));
    };
    if guest.node == target {
        return Err(Fail::die(format!(
            "source and target node are the same: {target}"
        )));
    }
    let mut job: serde_json::Map<String, Value> = call
        .params
        .iter()
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect();
    job.insert("guest".into(), vmid.into());
    state.replication.insert(id, job);
    Ok(Reply::null())
}

fn read(call: &Call, state: &mut State) -> Outcome {
    let id = call.text("id");
    let job = state
        .replication
        .get(&id)
        .ok_or_else(|| Fail::die(format!("no such replication job '{id}'")))?;
    Ok(Value::Object(job.clone()).into())
}

fn delete(call: &Call, state: &mut State) -> Outcome {
    let id = call.text("id");
    state
        .replication
        .remove(&id)
        .ok_or_else(|| Fail::die(format!("no such job '{id}'")))?;
    Ok(Reply::null())
}
