//! `/nodes/{node}/network`: interfaces; changes are staged until they are applied.

use serde_json::{Map, Value};

use super::{Act, Route};
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::params::plain;
use crate::pve::state::{Iface, Node, State};

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/nodes/{node}/network", Act::Now(list)),
    ("POST", "/nodes/{node}/network", Act::Now(create)),
    ("PUT", "/nodes/{node}/network", Act::Now(apply)),
    ("DELETE", "/nodes/{node}/network", Act::Now(revert)),
    ("GET", "/nodes/{node}/network/{iface}", Act::Now(read)),
    ("PUT", "/nodes/{node}/network/{iface}", Act::Now(update)),
    ("DELETE", "/nodes/{node}/network/{iface}", Act::Now(delete)),
];

/// The first interface's place in the file, after the loopback.
const PRIORITY_FIRST: usize = 3;

fn node<'a>(call: &Call, state: &'a mut State) -> Result<&'a mut Node, Fail> {
    let name = call.node();
    state
        .node_mut(&name)
        .ok_or_else(|| Fail::die(format!("no such node '{name}'")))
}

/// What is or will be.
fn shown(node: &Node) -> &[Iface] {
    node.staged.as_deref().unwrap_or(&node.ifaces)
}

fn kind_matches(iface: &Iface, wanted: &str) -> bool {
    let kind = iface.keys.get("type").and_then(plain).unwrap_or_default();
    match wanted {
        "any_bridge" | "any_local_bridge" | "include_sdn" => {
            matches!(kind.as_str(), "bridge" | "OVSBridge" | "vnet")
        }
        other => kind == other,
    }
}

fn list(call: &Call, state: &mut State) -> Outcome {
    let wanted = call.params.text("type");
    let node = node(call, state)?;
    let mut rows = Vec::new();
    for (at, iface) in shown(node).iter().enumerate() {
        if wanted
            .as_deref()
            .is_some_and(|wanted| !kind_matches(iface, wanted))
        {
            continue;
        }
        let mut row = iface.keys.clone();
        row.insert("iface".into(), iface.name.clone().into());
        row.insert("priority".into(), (at + PRIORITY_FIRST).into());
        rows.push(Value::Object(row));
    }
    let mut beside = Map::new();
    if let Some(staged) = &node.staged {
        beside.insert("changes".into(), changes(&node.ifaces, staged).into());
    }
    Ok(Reply {
        data: rows.into(),
        beside,
    })
}

/// The interfaces as the file has them.
fn file(ifaces: &[Iface]) -> String {
    let mut text = "auto lo\niface lo inet loopback\n\n".to_owned();
    for Iface { name, keys } in ifaces {
        let get = |key: &str| keys.get(key).and_then(plain);
        if get("autostart").as_deref() == Some("1") {
            text.push_str(&format!("auto {name}\n"));
        }
        text.push_str(&format!(
            "iface {name} inet {}\n",
            get("method").unwrap_or_else(|| "manual".into())
        ));
        for (key, shown) in [
            ("cidr", "address"),
            ("gateway", "gateway"),
            ("bridge_ports", "bridge-ports"),
            ("bridge_stp", "bridge-stp"),
            ("bridge_fd", "bridge-fd"),
        ] {
            if let Some(value) = get(key) {
                let value = if key == "bridge_ports" && value.is_empty() {
                    "none".into()
                } else {
                    value
                };
                text.push_str(&format!("\t{shown} {value}\n"));
            }
        }
        if let Some(comments) = get("comments") {
            text.push_str(
                &comments
                    .lines()
                    .map(|line| format!("#{line}\n"))
                    .collect::<String>(),
            );
        }
        text.push('\n');
    }
    text
}

/// The difference in the form of `diff -u`.
fn changes(now: &[Iface], then: &[Iface]) -> String {
    let (now, then) = (file(now), file(then));
    let (old, new): (Vec<&str>, Vec<&str>) = (now.lines().collect(), then.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[same..]
        .iter()
        .rev()
        .zip(new[same..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let from = same.saturating_sub(3);
    let after = tail.min(3);
    let mut text = String::from("--- /etc/network/interfaces\n+++ /etc/network/interfaces.new\n");
    let (gone, come) = (&old[same..old.len() - tail], &new[same..new.len() - tail]);
    let (had, has) = (
        same - from + gone.len() + after,
        same - from + come.len() + after,
    );
    text.push_str(&format!("@@ -{},{had} +{},{has} @@\n", from + 1, from + 1));
    old[from..same]
        .iter()
        .for_each(|line| text.push_str(&format!(" {line}\n")));
    gone.iter()
        .for_each(|line| text.push_str(&format!("-{line}\n")));
    come.iter()
        .for_each(|line| text.push_str(&format!("+{line}\n")));
    old[old.len() - tail..old.len() - tail + after]
        .iter()
        .for_each(|line| text.push_str(&format!(" {line}\n")));
    text
}

fn missing() -> Fail {
    Fail::param("iface", "interface does not exist")
}

fn read(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("iface");
    let node = node(call, state)?;
    let at = shown(node)
        .iter()
        .position(|iface| iface.name == name)
        .ok_or_else(missing)?;
    let mut row = shown(node)[at].keys.clone();
    row.insert("priority".into(), (at + PRIORITY_FIRST).into());
    Ok(Value::Object(row).into())
}

fn keys(call: &Call) -> Result<Map<String, Value>, Fail> {
    let mut keys = Map::new();
    for (key, value) in call
        .params
        .iter()
        .filter(|(key, _)| !matches!(*key, "node" | "iface" | "delete"))
    {
        let text = plain(value).unwrap_or_default();
        let number = matches!(key, "autostart" | "bridge_vlan_aware" | "mtu")
            .then(|| text.parse::<i64>().ok())
            .flatten();
        keys.insert(
            key.to_owned(),
            number.map_or_else(|| text.into(), Value::from),
        );
    }
    if let Some((address, prefix)) = call
        .params
        .text("cidr")
        .as_deref()
        .and_then(|cidr| cidr.split_once('/'))
    {
        keys.insert("address".into(), address.into());
        keys.insert("netmask".into(), prefix.into());
    } else if let (Some(address), Some(mask)) =
        (call.params.text("address"), call.params.text("netmask"))
    {
        keys.insert("cidr".into(), format!("{address}/{mask}").into());
    }
    if keys.get("type").and_then(plain).as_deref() == Some("bridge") {
        for (key, value) in [
            ("bridge_ports", ""),
            ("bridge_stp", "off"),
            ("bridge_fd", "0"),
        ] {
            keys.entry(key).or_insert(value.into());
        }
    }
    let method = if keys.contains_key("cidr") {
        "static"
    } else {
        "manual"
    };
    keys.insert("method".into(), method.into());
    keys.insert(
        "method6".into(),
        if keys.contains_key("cidr6") {
            "static"
        } else {
            "manual"
        }
        .into(),
    );
    keys.insert("families".into(), vec!["inet"].into());
    Ok(keys)
}

/// Refuses a second default route.
fn gateway(call: &Call, ifaces: &[Iface], name: &str) -> Result<(), Fail> {
    let other = ifaces
        .iter()
        .find(|iface| iface.name != name && iface.keys.contains_key("gateway"));
    match (call.params.text("gateway"), other) {
        (Some(_), Some(other)) => Err(Fail::param(
            "gateway",
            format!(
                "Default gateway already exists on interface '{}'.",
                other.name
            ),
        )),
        _ => Ok(()),
    }
}

fn create(call: &Call, state: &mut State) -> Outcome {
    let (name, keys) = (call.text("iface"), keys(call)?);
    let node = node(call, state)?;
    let mut ifaces = shown(node).to_vec();
    if ifaces.iter().any(|iface| iface.name == name) {
        return Err(Fail::param("iface", "interface already exists"));
    }
    gateway(call, &ifaces, &name)?;
    ifaces.push(Iface { name, keys });
    node.staged = Some(ifaces);
    Ok(Reply::null())
}

fn update(call: &Call, state: &mut State) -> Outcome {
    let (name, keys) = (call.text("iface"), keys(call)?);
    let deleted = call.params.list("delete");
    let node = node(call, state)?;
    let mut ifaces = shown(node).to_vec();
    gateway(call, &ifaces, &name)?;
    let iface = ifaces
        .iter_mut()
        .find(|iface| iface.name == name)
        .ok_or_else(missing)?;
    iface.keys.extend(keys);
    deleted.iter().for_each(|key| {
        iface.keys.shift_remove(key);
    });
    node.staged = Some(ifaces);
    Ok(Reply::null())
}

fn delete(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("iface");
    let node = node(call, state)?;
    let mut ifaces = shown(node).to_vec();
    let at = ifaces
        .iter()
        .position(|iface| iface.name == name)
        .ok_or_else(missing)?;
    ifaces.remove(at);
    node.staged = Some(ifaces);
    Ok(Reply::null())
}

fn revert(call: &Call, state: &mut State) -> Outcome {
    node(call, state)?.staged = None;
    Ok(Reply::null())
}

fn apply(call: &Call, state: &mut State) -> Outcome {
    let name = call.node();
    call.task(state, "srvreload", "networking", move |worker| async move {
        let mut state = worker.cluster.lock();
        if let Some(node) = state.node_mut(&name)
            && let Some(mut staged) = node.staged.take()
        {
            for iface in &mut staged {
                iface.keys.insert("active".into(), 1.into());
            }
            node.ifaces = staged;
        }
        Ok(())
    })
}
