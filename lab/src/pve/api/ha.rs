//! `/cluster/ha`: resources, rules and the manager's view. The lab starts and stops what its state says.

use serde_json::{Value, json};

use super::{Act, Route, index};
use crate::fixture::GuestKind;
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::{Call, Caller};
use crate::pve::params::{Params, plain};
use crate::pve::state::{Config, State, sha1_hex};

pub(super) const ROUTES: &[Route] = &[
    (
        "GET",
        "/cluster/ha",
        Act::Now(|_, _| index("id", &["status", "resources", "groups", "rules"])),
    ),
    ("GET", "/cluster/ha/resources", Act::Now(list)),
    ("POST", "/cluster/ha/resources", Act::Now(create)),
    ("GET", "/cluster/ha/resources/{sid}", Act::Now(read)),
    ("PUT", "/cluster/ha/resources/{sid}", Act::Now(update)),
    ("DELETE", "/cluster/ha/resources/{sid}", Act::Now(delete)),
    ("GET", "/cluster/ha/groups", Act::Now(groups)),
    ("POST", "/cluster/ha/groups", Act::Now(create_group)),
    ("GET", "/cluster/ha/rules", Act::Now(rules)),
    ("POST", "/cluster/ha/rules", Act::Now(create_rule)),
    ("GET", "/cluster/ha/rules/{rule}", Act::Now(rule)),
    ("DELETE", "/cluster/ha/rules/{rule}", Act::Now(delete_rule)),
    (
        "GET",
        "/cluster/ha/status",
        Act::Now(|_, _| {
            index(
                "name",
                &["current", "manager_status", "arm-ha", "disarm-ha"],
            )
        }),
    ),
    ("GET", "/cluster/ha/status/current", Act::Now(current)),
    (
        "GET",
        "/cluster/ha/status/manager_status",
        Act::Now(manager),
    ),
];

/// `130` as `ct:130` or `vm:130`, by the guest it is.
fn sid(state: &State, given: &str) -> Result<String, Fail> {
    let (kind, name) = match given.split_once(':') {
        Some((kind, name)) => (Some(kind), name),
        None => (None, given),
    };
    let vmid: u32 = name
        .parse()
        .map_err(|_| Fail::die(format!("invalid HA resource ID '{given}'")))?;
    let own = match state.guests.get(&vmid).map(|guest| guest.kind) {
        Some(GuestKind::Lxc) => "ct",
        Some(GuestKind::Qemu) => "vm",
        None => match kind {
            Some(kind) => kind,
            None => return Err(Fail::die(format!("resource '{given}' does not exist"))),
        },
    };
    match kind {
        Some(kind) if kind != own && state.guests.contains_key(&vmid) => Err(Fail::die(format!(
            "invalid type '{kind}' for HA resource '{given}': it is of type '{own}'"
        ))),
        _ => Ok(format!("{own}:{vmid}")),
    }
}

fn digest(state: &State) -> String {
    let line = |(sid, config): (&String, &Config)| {
        let keys: String = config
            .iter()
            .map(|(key, value)| format!("\t{key} {}\n", plain(value).unwrap_or_default()))
            .collect();
        format!("{sid}\n{keys}\n")
    };
    sha1_hex(&state.ha_resources.iter().map(line).collect::<String>())
}

fn row(state: &State, sid: &str, config: &Config) -> Value {
    let mut row = config.clone();
    row.insert("sid".into(), sid.into());
    row.insert(
        "type".into(),
        sid.split(':').next().unwrap_or_default().into(),
    );
    row.entry("state").or_insert("started".into());
    row.insert("digest".into(), digest(state).into());
    Value::Object(row)
}

fn list(call: &Call, state: &mut State) -> Outcome {
    let only = call.params.text("type");
    let wanted = |sid: &str| {
        only.as_ref()
            .is_none_or(|only| sid.split(':').next() == Some(only))
    };
    let rows = state
        .ha_resources
        .iter()
        .filter(|(sid, _)| wanted(sid))
        .map(|(sid, config)| row(state, sid, config));
    Ok(rows.collect::<Vec<_>>().into())
}

fn set(call: &Call, config: &mut Config) {
    for (key, value) in call
        .params
        .iter()
        .filter(|(key, _)| !matches!(*key, "sid" | "type" | "delete" | "digest"))
    {
        let text = plain(value).unwrap_or_default();
        // `enabled` is the old name of `started`.
        let text = if key == "state" && text == "enabled" {
            "started".to_owned()
        } else {
            text
        };
        let number = matches!(
            key,
            "max_restart" | "max_relocate" | "failback" | "auto-rebalance"
        )
        .then(|| text.parse::<i64>().ok());
        config.insert(
            key.to_owned(),
            number.flatten().map_or_else(|| text.into(), Value::from),
        );
    }
    for key in call.params.list("delete") {
        config.shift_remove(&key);
    }
}

fn create(call: &Call, state: &mut State) -> Outcome {
    let sid = sid(state, &call.text("sid"))?;
    let vmid = sid
        .split(':')
        .nth(1)
        .and_then(|vmid| vmid.parse::<u32>().ok())
        .unwrap_or_default();
    if !state.guests.contains_key(&vmid) {
        return Err(Fail::die(format!(
            "create resource failed: resource '{sid}' does not exist in cluster"
        )));
    }
    refuse_group(call)?;
    if state.ha_resources.contains_key(&sid) {
        return Err(Fail::die(format!(
            "create resource failed: resource ID '{sid}' already defined"
        )));
    }
    let mut config = Config::new();
    set(call, &mut config);
    state.ha_resources.insert(sid.clone(), config);
    follow(call, state, &sid);
    Ok(Reply::null())
}

fn refuse_group(call: &Call) -> Result<(), Fail> {
    match call.params.has("group") {
        true => Err(Fail::die(
            "invalid parameter 'group': ha groups have been migrated to rules",
        )),
        false => Ok(()),
    }
}

fn known<'a>(state: &'a mut State, sid: &str) -> Result<&'a mut Config, Fail> {
    state
        .ha_resources
        .get_mut(sid)
        .ok_or_else(|| Fail::die(format!("no such resource '{sid}'")))
}

fn read(call: &Call, state: &mut State) -> Outcome {
    let sid = sid(state, &call.text("sid"))?;
    let config = known(state, &sid)?.clone();
    Ok(row(state, &sid, &config).into())
}

fn update(call: &Call, state: &mut State) -> Outcome {
    let sid = sid(state, &call.text("sid"))?;
    let now = digest(state);
    super::same_digest(call, &now)?;
    known(state, &sid)?;
    refuse_group(call)?;
    set(call, known(state, &sid)?);
    follow(call, state, &sid);
    Ok(Reply::null())
}

fn delete(call: &Call, state: &mut State) -> Outcome {
    let sid = sid(state, &call.text("sid"))?;
    if state.ha_resources.remove(&sid).is_none() {
        return Err(Fail::die(format!(
            "delete resource failed: cannot delete service '{sid}', not HA managed!"
        )));
    }
    Ok(Reply::null())
}

/// The manager brings the guest to the wanted state, by the call a person would make.
fn follow(call: &Call, state: &State, sid: &str) {
    let wanted = state
        .ha_resources
        .get(sid)
        .and_then(|config| config.get("state"))
        .and_then(plain);
    let vmid = sid
        .split(':')
        .nth(1)
        .and_then(|vmid| vmid.parse::<u32>().ok())
        .unwrap_or_default();
    let Some(guest) = state.guests.get(&vmid) else {
        return;
    };
    let verb = match (wanted.as_deref().unwrap_or("started"), guest.is_running()) {
        ("started", false) => "start",
        ("stopped" | "disabled", true) => "shutdown",
        _ => return,
    };
    let kind = if guest.kind == GuestKind::Lxc {
        "lxc"
    } else {
        "qemu"
    };
    let path = format!("/nodes/{}/{kind}/{vmid}/status/{verb}", guest.node);
    let cluster = call.cluster.clone();
    tokio::spawn(async move {
        let answer = cluster
            .call("POST", &path, Params::new(), &Caller::manager())
            .await;
        if !answer.is_ok() {
            tracing::debug!(path, text = answer.text(), "the manager's call was refused");
        }
    });
}

fn groups(_: &Call, _: &mut State) -> Outcome {
    Err(Fail::die(
        "cannot index groups: ha groups have been migrated to rules",
    ))
}

fn create_group(_: &Call, _: &mut State) -> Outcome {
    Err(Fail::die(
        "cannot create group: ha groups have been migrated to rules",
    ))
}

fn rule_row(name: &str, config: &Config) -> Value {
    let mut row = config.clone();
    row.insert("rule".into(), name.into());
    let text: String = row
        .iter()
        .map(|(key, value)| format!("{key} {value}\n"))
        .collect();
    row.insert("digest".into(), sha1_hex(&text).into());
    Value::Object(row)
}

fn rules(_: &Call, state: &mut State) -> Outcome {
    Ok(state
        .ha_rules
        .iter()
        .map(|(name, config)| rule_row(name, config))
        .collect::<Vec<_>>()
        .into())
}

fn create_rule(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("rule");
    if state.ha_rules.contains_key(&name) {
        return Err(Fail::die(format!("HA rule '{name}' already defined")));
    }
    let keys = call
        .params
        .iter()
        .filter(|(key, _)| !matches!(*key, "rule" | "digest"));
    let config: Config = keys
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect();
    state.ha_rules.insert(name, config);
    Ok(Reply::null())
}

fn rule(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("rule");
    let config = state
        .ha_rules
        .get(&name)
        .ok_or_else(|| Fail::die(format!("no such ha rule '{name}'")))?;
    Ok(rule_row(&name, config).into())
}

fn delete_rule(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("rule");
    state
        .ha_rules
        .remove(&name)
        .ok_or_else(|| Fail::die(format!("no such ha rule '{name}'")))?;
    Ok(Reply::null())
}

fn current(call: &Call, state: &mut State) -> Outcome {
    let first = state.nodes[0].name.clone();
    let online = state.nodes.iter().filter(|node| node.online).count();
    let quorate = online * 2 > state.nodes.len();
    let mut rows = vec![
        json!({
            "id": "quorum", "type": "quorum", "node": first, "status": if quorate { "OK" } else { "No quorum on node!" },
            "quorate": u8::from(quorate),
        }),
        json!({"id": "fencing", "type": "fencing", "status": "CRM watchdog standby", "armed-state": "standby"}),
    ];
    if !state.ha_resources.is_empty() {
        rows[1] =
            json!({"id": "fencing", "type": "fencing", "status": "armed", "armed-state": "armed"});
        let now = call.cluster.now();
        rows.push(json!({"id": "master", "type": "master", "node": first, "status": format!("{first} (active)"), "timestamp": now}));
        for node in &state.nodes {
            let status = if node.online {
                "active"
            } else {
                "old timestamp - dead?"
            };
            rows.push(json!({
                "id": format!("lrm:{}", node.name), "type": "lrm", "node": node.name,
                "status": format!("{} ({status})", node.name), "timestamp": now,
            }));
        }
    }
    for (sid, config) in &state.ha_resources {
        let vmid = sid
            .split(':')
            .nth(1)
            .and_then(|vmid| vmid.parse::<u32>().ok())
            .unwrap_or_default();
        let guest = state.guests.get(&vmid);
        let is = if guest.is_some_and(|guest| guest.is_running()) {
            "started"
        } else {
            "stopped"
        };
        let node = guest.map_or(first.clone(), |guest| guest.node.clone());
        let wanted = config
            .get("state")
            .and_then(plain)
            .unwrap_or_else(|| "started".into());
        rows.push(json!({
            "id": format!("service:{sid}"), "type": "service", "sid": sid, "node": node, "state": is,
            "crm_state": is, "request_state": wanted, "status": format!("{sid} ({node}, {is})"),
        }));
    }
    Ok(rows.into())
}

fn manager(call: &Call, state: &mut State) -> Outcome {
    let now = call.cluster.now();
    let nodes: Config = state
        .nodes
        .iter()
        .map(|node| {
            (
                node.name.clone(),
                if node.online { "online" } else { "unknown" }.into(),
            )
        })
        .collect();
    Ok(json!({
        "manager_status": {"master_node": state.nodes[0].name, "node_status": nodes, "service_status": {}, "timestamp": now},
        "quorum": {"node": state.nodes[0].name, "quorate": "1"}, "lrm_status": {},
    })
    .into())
}
