//! Files that come from elsewhere: `download-url`, the list of appliances and their download.
//!
//! The lab has no network but its own: a URL of this machine's loopback is really fetched, any other file is a record of
//! its name. What the lab's own network serves, the hooks may give.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::Digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::storages::usable;
use super::{Act, Route};
use crate::pve::answer::{Fail, Outcome};
use crate::pve::cluster::Call;
use crate::pve::state::{State, file_volume};
use crate::pve::worker::Worker;

/// How long a connection may take.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long a whole download may take.
const DOWNLOAD_WAIT: Duration = Duration::from_secs(300);
/// The largest file that is fetched.
const DOWNLOAD_BYTES_MAX: u64 = 512 << 20;
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
    node: String,
    volid: String,
    path: String,
    url: String,
    checksum: Option<(String, String)>,
}

fn ends(content: &str) -> &'static [&'static str] {
    match content {
        "iso" => &[".iso", ".img"],
        "vztmpl" => &[".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2"],
        _ => &[".ova", ".ovf", ".qcow2", ".raw", ".vmdk"],
    }
}

fn download_url(call: &Call, state: &mut State) -> Outcome {
    let storage = usable(call, state)?;
    let content = call.text("content");
    if !storage.holds(&content) {
        return Err(Fail::die(format!(
            "storage '{}' is not configured for content-type '{content}'",
            storage.id
        )));
    }
    // Only the last part of a path, and no character a shell or a file system would mind.
    let sent = call.text("filename");
    let last = sent.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-+".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    if !ends(&content)
        .iter()
        .any(|end| name.to_lowercase().ends_with(end))
    {
        return Err(Fail::param("filename", "wrong file extension"));
    }
    let volid = format!("{}:{content}/{name}", storage.id);
    let path = storage.file(&format!("{content}/{name}"));
    let checksum = call
        .params
        .text("checksum-algorithm")
        .zip(call.params.text("checksum"));
    let file = File {
        node: call.node(),
        volid,
        path,
        url: call.text("url"),
        checksum,
    };
    call.task(state, "download", &name, move |worker| fetch(worker, file))
}

async fn fetch(worker: Worker, file: File) -> Result<(), Fail> {
    worker.log(format!("downloading {} to {}", file.url, file.path));
    let known = worker
        .cluster
        .lock()
        .volume(&file.node, &file.volid)
        .map(|volume| volume.payload.clone());
    if let Some(known) = known {
        let sums = known
            .and_then(|known| known.as_object().cloned())
            .unwrap_or_default();
        return match &file.checksum {
            None => Err(Fail::die(format!(
                "refusing to override existing file '{}'",
                file.path
            ))),
            Some((algorithm, sum)) => match sums.get(algorithm).and_then(Value::as_str) {
                Some(own) if own.eq_ignore_ascii_case(sum) => {
                    worker.log("OK, got correct file already, no need to download");
                    Ok(())
                }
                own => Err(Fail::die(format!(
                    "mismatch (got {} != expect {sum}), aborting",
                    own.unwrap_or("unknown")
                ))),
            },
        };
    }
    let got = match worker.cluster.hooks.download(&file.url).await {
        Some(got) => Some(got.map_err(|error| Fail::die(format!("download failed: {error}")))?),
        None if is_loopback(&file.url) => Some(
            get(&file.url)
                .await
                .map_err(|text| Fail::die(format!("download failed: {text}")))?,
        ),
        None => None,
    };
    let mut sums = serde_json::Map::new();
    let size = match &got {
        Some(bytes) => bytes.len() as u64,
        None => {
            worker.log("the lab has no network but its own: the file is a record of its name");
            RECORD_BYTES
        }
    };
    if let Some((algorithm, sum)) = &file.checksum {
        let own = match &got {
            Some(bytes) => hash(algorithm, bytes).ok_or_else(|| {
                Fail::die(format!("unable to calculate checksum with '{algorithm}'"))
            })?,
            None => sum.to_lowercase(),
        };
        worker.log("calculating checksum...");
        if !own.eq_ignore_ascii_case(sum) {
            return Err(Fail::die(format!(
                "checksum mismatch: got '{own}' != expect '{sum}'"
            )));
        }
        worker.log("OK, checksum verified");
        sums.insert(algorithm.clone(), own.into());
    }
    let now = worker.cluster.now();
    let mut state = worker.cluster.lock();
    let mut volume = file_volume(&state, &file.node, &file.volid, size, now);
    volume.payload = Some(Value::Object(sums));
    state.volumes.push(volume);
    drop(state);
    worker.log(format!(
        "download of '{}' to '{}' finished",
        file.url, file.path
    ));
    Ok(())
}

fn hash(algorithm: &str, bytes: &[u8]) -> Option<String> {
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    Some(match algorithm {
        "sha1" => hex(&sha1::Sha1::digest(bytes)),
        "sha224" => hex(&sha2::Sha224::digest(bytes)),
        "sha256" => hex(&sha2::Sha256::digest(bytes)),
        "sha384" => hex(&sha2::Sha384::digest(bytes)),
        "sha512" => hex(&sha2::Sha512::digest(bytes)),
        _ => return None,
    })
}

/// Host and port, and path of a plain HTTP URL.
fn parts(url: &str) -> Option<(String, u16, String)> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok()?),
        None => (host, 80),
    };
    Some((
        name.to_owned(),
        port,
        if path.is_empty() {
            "/".into()
        } else {
            path.to_owned()
        },
    ))
}

fn is_loopback(url: &str) -> bool {
    parts(url).is_some_and(|(host, ..)| {
        host == "localhost"
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    })
}

/// One GET of this machine, with its limits. The texts are those of the tool the real one uses.
async fn get(url: &str) -> Result<Vec<u8>, String> {
    let (host, port, path) = parts(url).ok_or("Unsupported scheme.")?;
    let connect = tokio::net::TcpStream::connect((host.as_str(), port));
    let mut stream = match tokio::time::timeout(CONNECT_WAIT, connect).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Err(format!(
                "Connecting to {host}:{port}... failed: Connection refused."
            ));
        }
        Ok(Err(error)) => return Err(format!("Connecting to {host}:{port}... failed: {error}.")),
        Err(_) => {
            return Err(format!(
                "Connecting to {host}:{port}... failed: Connection timed out."
            ));
        }
    };
    let whole = async {
        let request = format!(
            "GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nUser-Agent: Wget/1.25.0\r\nAccept: */*\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        (&mut stream)
            .take(DOWNLOAD_BYTES_MAX)
            .read_to_end(&mut bytes)
            .await?;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = match tokio::time::timeout(DOWNLOAD_WAIT, whole).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return Err(format!("Read error ({error}) in headers.")),
        Err(_) => return Err("Read error (Connection timed out) in headers.".into()),
    };
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .ok_or("No headers, assuming HTTP/0.9")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let line = head.lines().next().unwrap_or_default();
    let (_, status) = line.split_once(' ').ok_or("malformed status line")?;
    if !status.starts_with("200") {
        let (code, text) = status.split_once(' ').unwrap_or((status, ""));
        return Err(format!("ERROR {code}: {text}."));
    }
    Ok(bytes[end + 4..].to_vec())
}

/// What an appliance's file name says.
fn appliance(file: &str) -> Value {
    let stem = ends("vztmpl")
        .iter()
        .rev()
        .find_map(|end| file.strip_suffix(end))
        .unwrap_or(file);
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
