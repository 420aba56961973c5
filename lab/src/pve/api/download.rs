//! Files that come from elsewhere: `download-url`, the list of appliances and their download.
//!
//! The lab has no network but its own: a URL of this machine's loopback or of a host of the lab is really fetched, any
//! other file is a record of its name, and the log says so.

use serde_json::{Map, Value, json};

use super::landing::{Checksum, Landing};
use super::storages::usable;
use super::{Act, Route};
use crate::pve::answer::{Fail, Outcome};
use crate::pve::cluster::Call;
use crate::pve::state::{State, file_volume};
use crate::pve::web;
use crate::pve::worker::Worker;

/// The size of a file that is only a record.
const RECORD_BYTES: u64 = 350 << 20;

pub(super) const ROUTES: &[Route] = &[
    (
        "POST",
        "/nodes/{node}/storage/{storage}/download-url",
        Act::Now(download_url),
    ),
    ("GET", "/nodes/{node}/aplinfo", Act::Now(appliances)),
    (
        "POST",
        "/nodes/{node}/aplinfo",
        Act::Now(download_appliance),
    ),
];

/// A file to fetch.
struct File {
    to: Landing,
    url: String,
    checksum: Option<Checksum>,
}

fn download_url(call: &Call, state: &mut State) -> Outcome {
    let storage = usable(call, state)?;
    if !storage.is_directory() {
        return Err(Fail::die(format!(
            "can't upload to storage type '{}', not a file based storage!",
            storage.kind
        )));
    }
    let content = call.text("content");
    if !storage.holds(&content) {
        return Err(Fail::die(format!(
            "storage '{}' is not configured for content-type '{content}'",
            storage.id
        )));
    }
    let file = File {
        to: Landing::new(storage, &call.node(), &content, &call.text("filename"))?,
        url: call.text("url"),
        checksum: Checksum::of(call),
    };
    let id = file.to.name.clone();
    call.task(state, "download", &id, move |worker| fetch(worker, file))
}

/// The texts and their order are those of pve-common (`Tools.pm`, `download_file_from_url`).
async fn fetch(worker: Worker, file: File) -> Result<(), Fail> {
    let (path, url) = (&file.to.path, &file.url);
    worker.log(format!("downloading {url} to {path}"));
    let known = file.to.there(&worker.cluster.lock());
    if let Some(known) = known {
        return existing(&worker, &file, &known);
    }
    let while_written = format!("{path}.tmp_dwnl.{}", web::PID);
    let hooks = &*worker.cluster.hooks;
    let got = web::get(hooks, url, &while_written, |line| worker.log(line)).await;
    let got = got.map_err(|text| Fail::die(format!("download failed: {text}")))?;
    let (size, sums) = match &got {
        Some(bytes) => {
            let sums = match &file.checksum {
                Some(checksum) => checksum.verify(&worker, bytes)?,
                None => Map::new(),
            };
            (bytes.len() as u64, sums)
        }
        None => {
            worker.log("the lab has no network but its own: the file is a record of its name, nothing was compared");
            (
                RECORD_BYTES,
                file.checksum
                    .as_ref()
                    .map(Checksum::record)
                    .unwrap_or_default(),
            )
        }
    };
    file.to.land(&worker.cluster, size, sums);
    worker.log(format!("download of '{url}' to '{path}' finished"));
    Ok(())
}

/// A file that is there is not fetched again: it is the right one, or that is an error.
fn existing(worker: &Worker, file: &File, known: &Map<String, Value>) -> Result<(), Fail> {
    let Some(checksum) = &file.checksum else {
        return Err(Fail::die(format!(
            "refusing to override existing file '{}'",
            file.to.path
        )));
    };
    const WHAT: &str = "calculating checksum of existing file...";
    match known.get(&checksum.algorithm).and_then(Value::as_str) {
        Some(own) if own.eq_ignore_ascii_case(&checksum.expected) => {
            worker.log(format!(
                "{WHAT}OK, got correct file already, no need to download"
            ));
            Ok(())
        }
        own => {
            worker.log(WHAT);
            Err(Fail::die(format!(
                "checksum mismatch: got '{}' != expect '{}', aborting",
                own.unwrap_or("unknown"),
                checksum.expected
            )))
        }
    }
}

/// What an appliance's file name says.
fn appliance(file: &str) -> Value {
    let stem = file.split_once(".tar").map_or(file, |(stem, _)| stem);
    let mut parts = stem.split('_');
    let (package, version) = (parts.next().unwrap_or(stem), parts.next().unwrap_or("1"));
    let os: Vec<&str> = package.split('-').take(2).collect();
    json!({
        "template": file, "package": package, "version": version, "os": os.join("-"), "section": "system", "type": "lxc",
        "architecture": "amd64", "source": "http://download.proxmox.com/images", "location": format!("system/{file}"),
        "headline": format!("LXC default image for {}", os.join(" ")), "sha512sum": "0".repeat(128),
    })
}

fn appliances(_: &Call, state: &mut State) -> Outcome {
    Ok(state
        .appliances
        .iter()
        .map(|file| appliance(file))
        .collect::<Vec<_>>()
        .into())
}

fn download_appliance(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("template");
    let Some(file) = state.appliances.iter().find(|file| **file == name).cloned() else {
        return Err(Fail::param("template", "no such template"));
    };
    let storage = usable(call, state)?;
    if !storage.holds("vztmpl") {
        return Err(Fail::die(format!(
            "storage '{}' does not support templates",
            storage.id
        )));
    }
    let (node, volid, path) = (
        call.node(),
        format!("{}:vztmpl/{file}", storage.id),
        storage.file(&format!("vztmpl/{file}")),
    );
    let url = format!("http://download.proxmox.com/images/system/{file}");
    call.task(state, "download", "", move |worker| async move {
        worker.log(format!("downloading {url} to {path}"));
        let now = worker.cluster.now();
        let mut state = worker.cluster.lock();
        if state.volume(&node, &volid).is_none() {
            let volume = file_volume(&state, &node, &volid, RECORD_BYTES, now);
            state.volumes.push(volume);
        }
        drop(state);
        worker.log(format!("download of '{url}' to '{path}' finished"));
        Ok(())
    })
}
