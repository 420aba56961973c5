//! `/storage`: the configuration of storages; `/nodes/{node}/storage`: how they are on a node.

use serde_json::{Map, Value, json};

use super::{Act, Route, index, object};
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::params::{plain, split_list};
use crate::pve::state::{State, Storage, sha1_hex};

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/storage", Act::Now(list)),
    ("POST", "/storage", Act::Now(create)),
    ("GET", "/storage/{storage}", Act::Now(read)),
    ("PUT", "/storage/{storage}", Act::Now(update)),
    ("DELETE", "/storage/{storage}", Act::Now(delete)),
    ("GET", "/nodes/{node}/storage", Act::Now(on_node)),
    (
        "GET",
        "/nodes/{node}/storage/{storage}",
        Act::Now(storage_index),
    ),
    (
        "GET",
        "/nodes/{node}/storage/{storage}/status",
        Act::Now(status),
    ),
];

const AUDIT: [&str; 2] = ["Datastore.Audit", "Datastore.AllocateSpace"];
/// Space that is in use besides the volumes.
const USED_BYTES: u64 = 2 << 30;
/// What a new storage's disk has.
const SIZE_BYTES: u64 = 100 << 30;

/// A storage's entry of `storage.cfg`.
fn config(state: &State, storage: &Storage) -> Map<String, Value> {
    let mut row = object([
        ("storage", storage.id.clone().into()),
        ("type", storage.kind.clone().into()),
        ("content", storage.content.join(",").into()),
        ("path", storage.path.clone().into()),
    ]);
    row.extend(storage.options.clone());
    if storage.disabled {
        row.insert("disable".into(), 1.into());
    }
    if storage.shared && storage.is_directory() {
        row.insert("shared".into(), 1.into());
    }
    if !storage.nodes.is_empty() {
        row.insert("nodes".into(), storage.nodes.join(",").into());
    }
    row.insert("digest".into(), digest(state).into());
    row
}

fn digest(state: &State) -> String {
    let line = |storage: &Storage| {
        format!(
            "{}: {}\n\tpath {:?}\n\tcontent {}\n\tnodes {}\n\tdisable {}\n\t{:?}\n\n",
            storage.kind,
            storage.id,
            storage.path,
            storage.content.join(","),
            storage.nodes.join(","),
            storage.disabled,
            storage.options
        )
    };
    sha1_hex(&state.storages.iter().map(line).collect::<String>())
}

fn list(call: &Call, state: &mut State) -> Outcome {
    let only = call.params.text("type");
    let seen = |storage: &&Storage| {
        call.may(state, &format!("/storage/{}", storage.id), &AUDIT)
            && only.as_ref().is_none_or(|only| *only == storage.kind)
    };
    Ok(state
        .storages
        .iter()
        .filter(seen)
        .map(|storage| Value::Object(config(state, storage)))
        .collect::<Vec<_>>()
        .into())
}

fn read(call: &Call, state: &mut State) -> Outcome {
    Ok(Value::Object(config(state, known(call, state)?)).into())
}

/// The storage of the path.
pub(super) fn known<'a>(call: &Call, state: &'a State) -> Result<&'a Storage, Fail> {
    let id = call.text("storage");
    state.storage(&id).ok_or_else(|| missing(&id))
}

pub(super) fn missing(id: &str) -> Fail {
    Fail::die(format!("storage '{id}' does not exist"))
}

/// The storage of the path, if that node has it and it is enabled.
pub(super) fn usable<'a>(call: &Call, state: &'a State) -> Result<&'a Storage, Fail> {
    let storage = known(call, state)?;
    let node = call.node();
    match storage {
        _ if storage.disabled => Err(Fail::die(format!("storage '{}' is disabled", storage.id))),
        _ if !storage.on(&node) => Err(Fail::die(format!(
            "storage '{}' is not available on node '{node}'",
            storage.id
        ))),
        _ => Ok(storage),
    }
}

fn set(call: &Call, storage: &mut Storage) -> Result<(), Fail> {
    for (key, value) in call.params.iter() {
        let text = plain(value).unwrap_or_default();
        match key {
            "storage" | "type" | "digest" | "delete" | "password" | "encryption-key" => {}
            "path" => storage.path = Some(text),
            "content" => storage.content = split_list(&text),
            "nodes" => storage.nodes = split_list(&text),
            "shared" => storage.shared = text == "1",
            "disable" => storage.disabled = text == "1",
            _ => {
                storage.options.insert(key.to_owned(), value.clone());
            }
        }
    }
    for key in call.params.list("delete") {
        match key.as_str() {
            "content" => storage.content = vec!["images".into(), "rootdir".into()],
            "nodes" => storage.nodes.clear(),
            "shared" => storage.shared = false,
            "disable" => storage.disabled = false,
            _ if storage.options.shift_remove(&key).is_some() => {}
            _ => return Err(Fail::param("delete", format!("no such option '{key}'"))),
        }
    }
    Ok(())
}

fn summary(storage: &Storage) -> Value {
    json!({"storage": storage.id, "type": storage.kind})
}

fn create(call: &Call, state: &mut State) -> Outcome {
    let (id, kind) = (call.text("storage"), call.text("type"));
    if state.storage(&id).is_some() {
        return Err(Fail::die(format!(
            "create storage failed: storage ID '{id}' already defined"
        )));
    }
    let needs: &[&str] = match kind.as_str() {
        "dir" | "btrfs" => &["path"],
        "nfs" => &["server", "export"],
        "cifs" => &["server", "share"],
        "lvm" => &["vgname"],
        "lvmthin" => &["vgname", "thinpool"],
        "zfspool" | "rbd" => &["pool"],
        "pbs" => &["server", "datastore"],
        _ => &[],
    };
    if let Some(need) = needs.iter().find(|need| !call.params.has(need)) {
        return Err(Fail::die(format!(
            "create storage failed: missing value for required option '{need}'"
        )));
    }
    let mut storage = Storage {
        id,
        kind,
        size: SIZE_BYTES,
        content: vec!["images".into(), "rootdir".into()],
        ..Storage::default()
    };
    storage.shared = matches!(
        storage.kind.as_str(),
        "nfs" | "cifs" | "cephfs" | "rbd" | "pbs" | "iscsi"
    );
    set(call, &mut storage)?;
    if matches!(storage.kind.as_str(), "nfs" | "cifs" | "cephfs") && storage.path.is_none() {
        storage.path = Some(format!("/mnt/pve/{}", storage.id));
    }
    let answer = summary(&storage);
    state.storages.push(storage);
    Ok(answer.into())
}

fn update(call: &Call, state: &mut State) -> Outcome {
    let id = call.text("storage");
    let current = digest(state);
    let Some(at) = state.storages.iter().position(|storage| storage.id == id) else {
        return Err(Fail::die(format!(
            "update storage failed: storage '{id}' does not exist"
        )));
    };
    super::same_digest(call, &current)?;
    let mut storage = state.storages[at].clone();
    set(call, &mut storage)?;
    let answer = summary(&storage);
    state.storages[at] = storage;
    Ok(answer.into())
}

fn delete(call: &Call, state: &mut State) -> Outcome {
    let id = call.text("storage");
    if state.storage(&id).is_none() {
        return Err(Fail::die(format!(
            "delete storage failed: storage '{id}' does not exist"
        )));
    }
    if state
        .volumes
        .iter()
        .any(|volume| volume.storage() == id && volume.parent.is_some())
    {
        return Err(Fail::die(
            "delete storage failed: can't remove storage - storage is used as base for linked volumes",
        ));
    }
    state.storages.retain(|storage| storage.id != id);
    Ok(Reply::null())
}

fn storage_index(call: &Call, state: &mut State) -> Outcome {
    known(call, state)?;
    let names = [
        "content",
        "download-url",
        "file-restore",
        "identity",
        "import-metadata",
        "oci-registry-pull",
        "prunebackups",
        "rrd",
        "rrddata",
        "status",
        "upload",
    ];
    index("subdir", &names)
}

/// Use and room of a storage on a node.
pub(super) fn space(state: &State, node: &str, storage: &Storage) -> (u64, u64) {
    let volumes = state
        .volumes
        .iter()
        .filter(|volume| volume.storage() == storage.id && volume.seen_from(node));
    let used = (USED_BYTES + volumes.map(|volume| volume.used).sum::<u64>()).min(storage.size);
    (used, storage.size - used)
}

fn row(state: &State, node: &str, storage: &Storage) -> Map<String, Value> {
    let on = !storage.disabled;
    let (used, avail) = if on {
        space(state, node, storage)
    } else {
        (0, 0)
    };
    let total = used + avail;
    let mut row = object([
        ("type", storage.kind.clone().into()),
        ("content", storage.content.join(",").into()),
        ("shared", u8::from(storage.shared).into()),
        ("enabled", u8::from(on).into()),
        ("active", u8::from(on).into()),
    ]);
    row.insert("total".into(), total.into());
    row.insert("used".into(), used.into());
    row.insert("avail".into(), avail.into());
    row
}

fn on_node(call: &Call, state: &mut State) -> Outcome {
    let node = call.node();
    let contents = call.params.list("content");
    let only = call.params.text("storage");
    if let Some(only) = only.as_deref().filter(|only| state.storage(only).is_none()) {
        return Err(missing(only));
    }
    let mut rows = Vec::new();
    for storage in &state.storages {
        let wanted = only.as_ref().is_none_or(|only| *only == storage.id)
            && (contents.is_empty() || contents.iter().any(|content| storage.holds(content)))
            && storage.on(&node)
            && call
                .params
                .text("target")
                .is_none_or(|target| storage.shared || target == node || storage.on(&target))
            && (!call.params.flag("enabled") || !storage.disabled);
        if !wanted || !call.may(state, &format!("/storage/{}", storage.id), &AUDIT) {
            continue;
        }
        let mut row = row(state, &node, storage);
        row.insert("storage".into(), storage.id.clone().into());
        if let (Some(total), Some(used)) = (row["total"].as_f64(), row["used"].as_f64())
            && total > 0.0
        {
            row.insert("used_fraction".into(), (used / total).into());
        }
        if call.params.flag("format") {
            let formats: &[&str] = if storage.is_directory() {
                &["raw", "qcow2", "vmdk", "subvol"]
            } else {
                &["raw"]
            };
            row.insert(
                "formats".into(),
                json!({"supported": formats, "default": formats[0]}),
            );
        }
        rows.push(Value::Object(row));
    }
    Ok(rows.into())
}

fn status(call: &Call, state: &mut State) -> Outcome {
    let storage = known(call, state).map_err(|_| Fail::param("storage", "No such storage."))?;
    Ok(Value::Object(row(state, &call.node(), storage)).into())
}
