//! `/nodes/{node}/storage/{storage}/content`: the volumes of a storage.

use serde_json::Value;

use super::storages::{missing, usable};
use super::{Act, Route, object};
use crate::fixture::GuestKind;
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::hooks::HookFuture;
use crate::pve::state::{State, Volume, parse_size};

pub(super) const ROUTES: &[Route] = &[
    (
        "GET",
        "/nodes/{node}/storage/{storage}/content",
        Act::Later(list),
    ),
    (
        "POST",
        "/nodes/{node}/storage/{storage}/content",
        Act::Now(create),
    ),
    (
        "GET",
        "/nodes/{node}/storage/{storage}/content/{volume}",
        Act::Now(read),
    ),
    (
        "PUT",
        "/nodes/{node}/storage/{storage}/content/{volume}",
        Act::Now(update),
    ),
    (
        "DELETE",
        "/nodes/{node}/storage/{storage}/content/{volume}",
        Act::Now(delete),
    ),
];

/// What a volume is: a guest's disk is `rootdir` of a container and `images` of anything else.
fn content(state: &State, volume: &Volume) -> String {
    if !matches!(volume.content.as_str(), "images" | "rootdir") {
        return volume.content.clone();
    }
    let lxc = volume
        .vmid
        .and_then(|vmid| state.guests.get(&vmid))
        .is_some_and(|guest| guest.kind == GuestKind::Lxc);
    if lxc {
        "rootdir".into()
    } else {
        "images".into()
    }
}

fn row(state: &State, volume: &Volume) -> Value {
    let mut row = object([
        ("volid", volume.volid.clone().into()),
        ("content", content(state, volume).into()),
        ("format", volume.format.clone().into()),
        ("size", volume.size.into()),
        ("ctime", volume.ctime.into()),
        ("vmid", volume.vmid.into()),
        ("notes", volume.notes.clone().into()),
    ]);
    if matches!(volume.content.as_str(), "images" | "rootdir") {
        row.insert("used".into(), volume.used.into());
        row.insert("parent".into(), volume.parent.clone().into());
    }
    if volume.content == "backup" {
        let kind = if volume.volid.contains("vzdump-lxc") {
            "lxc"
        } else {
            "qemu"
        };
        row.insert("subtype".into(), kind.into());
        if volume.protected {
            row.insert("protected".into(), 1.into());
        }
    }
    Value::Object(row)
}

/// Whether the caller may see (or, with `change`, remove) a volume.
fn access(call: &Call, state: &State, volume: &Volume, change: bool) -> Result<(), Fail> {
    let path = format!("/storage/{}", volume.storage());
    if call.may(state, &path, &["Datastore.Allocate"]) {
        return Ok(());
    }
    match (volume.content.as_str(), volume.vmid) {
        ("iso" | "vztmpl" | "snippets" | "import", _) if change => {
            call.check(state, &path, &["Datastore.AllocateTemplate"])
        }
        ("iso" | "vztmpl" | "snippets" | "import", _) => call.check_any(
            state,
            &path,
            &["Datastore.AllocateSpace", "Datastore.Audit"],
        ),
        ("backup", Some(vmid)) => {
            call.check(state, &path, &["Datastore.AllocateSpace"])?;
            call.check(state, &format!("/vms/{vmid}"), &["VM.Backup"])
        }
        (_, Some(vmid)) => {
            call.check(state, &path, &["Datastore.AllocateSpace"])?;
            call.check(state, &format!("/vms/{vmid}"), &["VM.Config.Disk"])
        }
        _ => call.check(state, &path, &["Datastore.Allocate"]),
    }
}

fn list(call: Call) -> HookFuture<'static, Outcome> {
    Box::pin(async move {
        let folder = {
            let state = call.cluster.lock();
            let storage = usable(&call, &state)?;
            let reads = storage.is_directory() && storage.holds("snippets");
            let wanted = call.params.text("content");
            let wants = wanted.is_none_or(|content| content == "snippets");
            (reads && wants).then(|| storage.file("snippets/"))
        };
        if let Some(folder) = folder {
            follow(&call, &folder).await;
        }
        listed(&call, &call.cluster.lock())
    })
}

/// Snippets are files that are written on the node; the list follows them.
async fn follow(call: &Call, folder: &str) {
    let (node, storage) = (call.node(), call.text("storage"));
    let files = call.cluster.hooks.node_files(&node, folder).await;
    let now = call.cluster.now();
    let mut state = call.cluster.lock();
    let prefix = format!("{storage}:snippets/");
    state.volumes.retain(|volume| {
        !volume.by_hand
            || volume.node.as_deref() != Some(&node)
            || !volume.volid.starts_with(&prefix)
            || files
                .iter()
                .any(|(name, _)| volume.volid[prefix.len()..] == *name)
    });
    for (name, size) in files {
        let volid = format!("{prefix}{name}");
        if state.volume(&node, &volid).is_some() {
            continue;
        }
        state.volumes.push(Volume {
            volid,
            node: Some(node.clone()),
            content: "snippets".into(),
            format: "snippet".into(),
            size,
            used: size,
            ctime: now,
            by_hand: true,
            ..Volume::default()
        });
    }
}

fn listed(call: &Call, state: &State) -> Outcome {
    let (node, storage) = (call.node(), usable(call, state)?);
    let (only, vmid) = (call.params.text("content"), call.params.int("vmid"));
    let seen = |volume: &&Volume| {
        volume.storage() == storage.id
            && volume.seen_from(&node)
            && only
                .as_ref()
                .is_none_or(|only| *only == content(state, volume))
            && vmid.is_none_or(|vmid| volume.vmid.map(i64::from) == Some(vmid))
            && access(call, state, volume, false).is_ok()
    };
    let mut found: Vec<&Volume> = state.volumes.iter().filter(seen).collect();
    found.sort_by_key(|volume| volume.volid.to_lowercase());
    Ok(found
        .into_iter()
        .map(|volume| row(state, volume))
        .collect::<Vec<_>>()
        .into())
}

/// The volume id of the path: `local:iso/x` as it is, `iso/x` of the path's storage.
fn volid(call: &Call) -> Result<String, Fail> {
    let (storage, volume) = (call.text("storage"), call.text("volume"));
    match volume.split_once(':') {
        Some((own, _)) if own == storage => Ok(volume),
        Some((own, _)) => Err(Fail::param(
            "storage",
            format!("storage ID mismatch ({storage} != {own})"),
        )),
        None => Ok(format!("{storage}:{volume}")),
    }
}

fn read(call: &Call, state: &mut State) -> Outcome {
    let volid = volid(call)?;
    let storage = usable(call, state)?;
    let volume = state
        .volume(&call.node(), &volid)
        .ok_or_else(|| Fail::die(format!("volume_size_info on '{volid}' failed")))?;
    access(call, state, volume, false)?;
    let name = volid.split_once(':').map_or("", |(_, name)| name);
    let disk = matches!(volume.content.as_str(), "images" | "rootdir");
    let mut data = object([
        ("path", storage.file(name).into()),
        ("size", volume.size.into()),
        ("used", volume.used.into()),
        (
            "format",
            if disk {
                volume.format.clone()
            } else {
                "raw".into()
            }
            .into(),
        ),
        ("notes", volume.notes.clone().into()),
    ]);
    if volume.protected {
        data.insert("protected".into(), 1.into());
    }
    Ok(Value::Object(data).into())
}

fn create(call: &Call, state: &mut State) -> Outcome {
    let (node, storage) = (call.node(), usable(call, state)?);
    let vmid = call.vmid();
    let name = call.text("filename");
    let good = name.starts_with(&format!("vm-{vmid}-")) || name.starts_with(&format!("{vmid}/"));
    if !good {
        return Err(Fail::param(
            "filename",
            format!("illegal name '{name}' - should be 'vm-{vmid}-*'"),
        ));
    }
    let format = call
        .params
        .text("format")
        .unwrap_or_else(|| match name.rsplit_once('.') {
            Some((_, end @ ("qcow2" | "vmdk" | "raw"))) => end.to_owned(),
            _ => "raw".to_owned(),
        });
    let size = call.text("size");
    let bytes = match size.bytes().last() {
        Some(b'M' | b'G') => parse_size(&size).unwrap_or_default(),
        // Without a unit it is kibibytes.
        _ => size.parse::<u64>().unwrap_or_default() << 10,
    };
    let volid = if storage.is_directory() {
        format!("{}:{vmid}/{name}", storage.id)
    } else {
        format!("{}:{name}", storage.id)
    };
    if state.volume(&node, &volid).is_some() {
        return Err(Fail::die(format!(
            "disk image '{}' already exists",
            storage.file(volid.split_once(':').map_or("", |(_, name)| name))
        )));
    }
    let shared = storage.shared;
    state.volumes.push(Volume {
        volid: volid.clone(),
        node: (!shared).then_some(node),
        content: "images".into(),
        format,
        size: bytes,
        used: 0,
        ctime: call.cluster.now(),
        vmid: Some(vmid),
        ..Volume::default()
    });
    Ok(volid.into())
}

fn update(call: &Call, state: &mut State) -> Outcome {
    let (volid, node) = (volid(call)?, call.node());
    usable(call, state)?;
    let volume = state
        .volume(&node, &volid)
        .ok_or_else(|| Fail::die(format!("volume '{volid}' does not exist")))?;
    access(call, state, volume, true)?;
    if volume.content != "backup" {
        let what = if call.params.has("notes") {
            "notes"
        } else {
            "protected"
        };
        return Err(Fail::die(format!(
            "only backups support attribute '{what}'"
        )));
    }
    for volume in state
        .volumes
        .iter_mut()
        .filter(|volume| volume.volid == volid && volume.seen_from(&node))
    {
        if let Some(notes) = call.params.text("notes") {
            volume.notes = Some(notes).filter(|notes| !notes.is_empty());
        }
        if call.params.has("protected") {
            volume.protected = call.params.flag("protected");
        }
    }
    Ok(Reply::null())
}

fn delete(call: &Call, state: &mut State) -> Outcome {
    let (volid, node) = (volid(call)?, call.node());
    let storage =
        usable(call, state).map_err(|fail| match state.storage(&call.text("storage")) {
            Some(_) => fail,
            None => missing(&call.text("storage")),
        })?;
    let id = storage.id.clone();
    match state.volume(&node, &volid) {
        Some(volume) => access(call, state, volume, true)?,
        None => call.check_any(
            state,
            &format!("/storage/{id}"),
            &[
                "Datastore.Allocate",
                "Datastore.AllocateSpace",
                "Datastore.AllocateTemplate",
            ],
        )?,
    }
    call.task(state, "imgdel", &id.clone(), move |worker| async move {
        let _held = worker.cluster.locks.storage(&id).await?;
        {
            let mut state = worker.cluster.lock();
            if state
                .volume(&node, &volid)
                .is_some_and(|volume| volume.protected)
            {
                return Err(Fail::die("can't remove protected archive"));
            }
            if state
                .volumes
                .iter()
                .any(|volume| volume.parent.as_deref() == Some(&volid))
            {
                return Err(Fail::die(format!(
                    "base volume '{volid}' is still in use by linked cloned"
                )));
            }
            state
                .volumes
                .retain(|volume| !(volume.volid == volid && volume.seen_from(&node)));
        }
        worker.cluster.hooks.volume_removed(&volid).await;
        worker.log(format!("Removed volume '{volid}'"));
        Ok(())
    })
}
