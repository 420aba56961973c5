//! `/cluster/mapping` (devices by name for the whole cluster) and `/nodes/{node}/hardware` (the devices themselves).

use serde_json::{Value, json};

use super::{Act, Route, index, object};
use crate::fixture::Device;
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::params::plain;
use crate::pve::state::{Config, Node, State, sha1_hex};

pub(super) const ROUTES: &[Route] = &[
    (
        "GET",
        "/cluster/mapping",
        Act::Now(|_, _| index("name", &["cpu", "dir", "pci", "usb"])),
    ),
    (
        "GET",
        "/cluster/mapping/pci",
        Act::Now(|call, state| list(call, state, "pci")),
    ),
    (
        "POST",
        "/cluster/mapping/pci",
        Act::Now(|call, state| create(call, state, "pci")),
    ),
    (
        "GET",
        "/cluster/mapping/pci/{id}",
        Act::Now(|call, state| read(call, state, "pci")),
    ),
    (
        "PUT",
        "/cluster/mapping/pci/{id}",
        Act::Now(|call, state| update(call, state, "pci")),
    ),
    (
        "DELETE",
        "/cluster/mapping/pci/{id}",
        Act::Now(|call, state| delete(call, state, "pci")),
    ),
    (
        "GET",
        "/cluster/mapping/usb",
        Act::Now(|call, state| list(call, state, "usb")),
    ),
    (
        "POST",
        "/cluster/mapping/usb",
        Act::Now(|call, state| create(call, state, "usb")),
    ),
    (
        "GET",
        "/cluster/mapping/usb/{id}",
        Act::Now(|call, state| read(call, state, "usb")),
    ),
    (
        "PUT",
        "/cluster/mapping/usb/{id}",
        Act::Now(|call, state| update(call, state, "usb")),
    ),
    (
        "DELETE",
        "/cluster/mapping/usb/{id}",
        Act::Now(|call, state| delete(call, state, "usb")),
    ),
    (
        "GET",
        "/cluster/mapping/dir",
        Act::Now(|call, state| list(call, state, "dir")),
    ),
    (
        "POST",
        "/cluster/mapping/dir",
        Act::Now(|call, state| create(call, state, "dir")),
    ),
    (
        "GET",
        "/cluster/mapping/dir/{id}",
        Act::Now(|call, state| read(call, state, "dir")),
    ),
    (
        "PUT",
        "/cluster/mapping/dir/{id}",
        Act::Now(|call, state| update(call, state, "dir")),
    ),
    (
        "DELETE",
        "/cluster/mapping/dir/{id}",
        Act::Now(|call, state| delete(call, state, "dir")),
    ),
    (
        "GET",
        "/nodes/{node}/hardware",
        Act::Now(|_, _| index("type", &["pci", "usb"])),
    ),
    ("GET", "/nodes/{node}/hardware/pci", Act::Now(pci)),
    (
        "GET",
        "/nodes/{node}/hardware/pci/{pci-id-or-mapping}",
        Act::Now(|_, _| index("method", &["mdev"])),
    ),
    ("GET", "/nodes/{node}/hardware/usb", Act::Now(usb)),
];

/// PCI classes that lists leave out unless asked: memory, bridges, processors.
const CLASSES_LEFT_OUT: &str = "05;06;0b";

fn digest(state: &State, kind: &str) -> String {
    let line = |((_, id), config): (&(String, String), &Config)| {
        format!("{id}\n{}\n\n", Value::Object(config.clone()))
    };
    sha1_hex(
        &state
            .mappings
            .iter()
            .filter(|((own, _), _)| own == kind)
            .map(line)
            .collect::<String>(),
    )
}

/// An entry's parts: `node=pve1,path=…,id=…`.
fn part<'a>(entry: &'a str, key: &str) -> Option<&'a str> {
    entry.split(',').find_map(|part| {
        part.split_once('=')
            .filter(|(own, _)| *own == key)
            .map(|(_, value)| value)
    })
}

fn list(call: &Call, state: &mut State, kind: &str) -> Outcome {
    let privs = ["Mapping.Modify", "Mapping.Use", "Mapping.Audit"];
    let node = call.params.text("check-node");
    if let Some(node) = node.as_deref() {
        call.check_any(
            state,
            &format!("/nodes/{node}"),
            &["Sys.Audit", "Sys.Modify"],
        )?;
    }
    let digest = digest(state, kind);
    let mut rows = Vec::new();
    for ((_, id), config) in state.mappings.iter().filter(|((own, _), _)| own == kind) {
        if !call.may(state, &format!("/mapping/{kind}/{id}"), &privs) {
            continue;
        }
        let mut row = config.clone();
        row.insert("id".into(), id.clone().into());
        row.insert("digest".into(), digest.clone().into());
        if let Some(node) = &node {
            row.insert(
                if kind == "usb" { "errors" } else { "checks" }.into(),
                checks(state, node, kind, config).into(),
            );
        }
        rows.push(Value::Object(row));
    }
    Ok(rows.into())
}

/// What is wrong with a mapping on a node.
fn checks(state: &State, node: &str, kind: &str, config: &Config) -> Vec<Value> {
    let entries: Vec<String> = config
        .get("map")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(plain)
        .collect();
    let here: Vec<&String> = entries
        .iter()
        .filter(|entry| part(entry, "node") == Some(node))
        .collect();
    if here.is_empty() {
        return vec![
            json!({"severity": "warning", "message": format!("No mapping for node {node}.")}),
        ];
    }
    if kind != "pci" {
        return Vec::new();
    }
    let devices = state
        .node(node)
        .map(|node| node.devices.as_slice())
        .unwrap_or_default();
    let mut found = Vec::new();
    for path in here
        .iter()
        .filter_map(|entry| part(entry, "path"))
        .flat_map(|path| path.split(';'))
    {
        if !devices
            .iter()
            .any(|device| device.pci.as_deref().is_some_and(|pci| same_pci(pci, path)))
        {
            let message =
                format!("Configuration for {node} is invalid: pci device '{path}' not found");
            found.push(json!({"severity": "error", "message": message}));
        }
    }
    found
}

/// `01:00` is every function of `0000:01:00`.
pub(crate) fn same_pci(own: &str, asked: &str) -> bool {
    let full = |text: &str| {
        if text.matches(':').count() < 2 {
            format!("0000:{text}")
        } else {
            text.to_owned()
        }
    };
    let (own, asked) = (full(own), full(asked));
    own == asked || own.starts_with(&format!("{asked}."))
}

fn set(call: &Call, config: &mut Config) {
    for (key, value) in call
        .params
        .iter()
        .filter(|(key, _)| !matches!(*key, "id" | "delete" | "digest"))
    {
        let value = match value {
            Value::Array(_) => value.clone(),
            other => plain(other).map_or(Value::Null, |text| match key {
                "mdev" | "live-migration-capable" => {
                    text.parse::<u8>().map_or_else(|_| text.into(), Value::from)
                }
                _ => text.into(),
            }),
        };
        config.insert(key.to_owned(), value);
    }
    for key in call.params.list("delete") {
        config.shift_remove(&key);
    }
}

fn create(call: &Call, state: &mut State, kind: &str) -> Outcome {
    let key = (kind.to_owned(), call.text("id"));
    if state.mappings.contains_key(&key) {
        return Err(Fail::die(format!(
            "create hardware mapping failed: {kind} ID '{}' already defined",
            key.1
        )));
    }
    let mut config = Config::new();
    set(call, &mut config);
    state.mappings.insert(key, config);
    Ok(Reply::null())
}

fn known<'a>(call: &Call, state: &'a mut State, kind: &str) -> Result<&'a mut Config, Fail> {
    let key = (kind.to_owned(), call.text("id"));
    let what = if kind == "dir" { "directory" } else { kind };
    state.mappings.get_mut(&key).ok_or_else(|| match kind {
        "pci" | "usb" => Fail::die(format!("mapping '{}' not found", key.1)),
        _ => Fail::die(format!("{what} mapping '{}' not found", key.1)),
    })
}

fn read(call: &Call, state: &mut State, kind: &str) -> Outcome {
    let mut row = known(call, state, kind)?.clone();
    row.insert("digest".into(), digest(state, kind).into());
    Ok(Value::Object(row).into())
}

fn update(call: &Call, state: &mut State, kind: &str) -> Outcome {
    let now = digest(state, kind);
    super::same_digest(call, &now)?;
    let id = call.text("id");
    let config = known(call, state, kind).map_err(|_| {
        Fail::die(format!(
            "update hardware mapping failed: {kind} ID '{id}' does not exist"
        ))
    })?;
    set(call, config);
    Ok(Reply::null())
}

fn delete(call: &Call, state: &mut State, kind: &str) -> Outcome {
    state.mappings.remove(&(kind.to_owned(), call.text("id")));
    Ok(Reply::null())
}

fn devices<'a>(call: &Call, state: &'a State) -> impl Iterator<Item = &'a Device> {
    state
        .node(&call.node())
        .into_iter()
        .flat_map(|node: &Node| node.devices.iter())
}

fn pci(call: &Call, state: &mut State) -> Outcome {
    let left_out = call
        .params
        .text("pci-class-blacklist")
        .unwrap_or_else(|| CLASSES_LEFT_OUT.into());
    let left_out: Vec<&str> = left_out
        .split([';', ','])
        .filter(|class| !class.is_empty())
        .collect();
    let verbose = call.params.flag_or("verbose", true);
    let row = |device: &Device| {
        let id = device.pci.clone()?;
        let class = device.class.clone().unwrap_or_else(|| "0x030000".into());
        if left_out
            .iter()
            .any(|out| class.trim_start_matches("0x").starts_with(out))
        {
            return None;
        }
        if !verbose {
            return Some(json!({"id": id}));
        }
        Some(Value::Object(object([
            ("id", id.into()),
            ("class", class.into()),
            ("vendor", device.vendor.clone().into()),
            ("device", device.device.clone().into()),
            ("device_name", device.name.clone().into()),
            ("iommugroup", device.iommu_group.unwrap_or(-1).into()),
        ])))
    };
    Ok(devices(call, state)
        .filter_map(row)
        .collect::<Vec<_>>()
        .into())
}

fn usb(call: &Call, state: &mut State) -> Outcome {
    let row = |(at, device): (usize, &Device)| {
        let place = device.usb.clone()?;
        let (bus, port) = place.split_once('-').unwrap_or(("1", "1"));
        let hex = |text: &Option<String>| {
            text.clone()
                .unwrap_or_default()
                .trim_start_matches("0x")
                .to_owned()
        };
        Some(json!({
            "busnum": bus.parse::<u32>().unwrap_or(1), "devnum": at + 2, "port": port.parse::<u32>().unwrap_or(1), "usbpath": port,
            "vendid": hex(&device.vendor), "prodid": hex(&device.device), "product": device.name, "class": 0, "level": 1, "speed": "480",
        }))
    };
    Ok(devices(call, state)
        .enumerate()
        .filter_map(row)
        .collect::<Vec<_>>()
        .into())
}
