//! An OCI registry of a case: read-only HTTP on loopback, from memory. The real source-controller and the lab pull from it alike.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request's head.
const HEAD_MAX: usize = 16 * 1024;
const REQUEST_TIME: Duration = Duration::from_secs(30);
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// What `flux push artifact` makes.
pub(crate) const CONFIG: &str = "application/vnd.cncf.flux.config.v1+json";
pub(crate) const CONTENT: &str = "application/vnd.cncf.flux.content.v1.tar+gzip";

#[derive(Default)]
struct Content {
    /// By `NAME:TAG`, the digest.
    tags: BTreeMap<String, String>,
    /// By digest: manifests, configurations, layers.
    blobs: BTreeMap<String, Vec<u8>>,
    /// What `Authorization` must be.
    login: Option<String>,
}

pub(crate) struct Registry {
    address: SocketAddr,
    content: Arc<Mutex<Content>>,
    serving: JoinHandle<()>,
}

impl Registry {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let content = Arc::<Mutex<Content>>::default();
        let shared = content.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(REQUEST_TIME, serve(stream, &shared)).await;
                });
            }
        });
        Ok(Self {
            address,
            content,
            serving,
        })
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// `oci://127.0.0.1:PORT/NAME`.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("oci://{}/{name}", self.address)
    }

    /// From now on only this user is answered.
    pub(crate) fn lock(&self, user: &str, password: &str) {
        let pair = STANDARD.encode(format!("{user}:{password}"));
        self.change(|content| content.login = Some(format!("Basic {pair}")));
    }

    /// Makes an artifact of files (path, text) under a tag; its digest.
    pub(crate) fn push(&self, name: &str, tag: &str, files: &[(&str, &str)]) -> Result<String> {
        self.push_layers(name, tag, &[(CONTENT, packed(files)?)])
    }

    /// Makes an artifact of layers (type, content) under a tag; its digest.
    pub(crate) fn push_layers(
        &self,
        name: &str,
        tag: &str,
        layers: &[(&str, Vec<u8>)],
    ) -> Result<String> {
        let config = b"{}".to_vec();
        let entry = |kind: &str, content: &[u8]| json!({"mediaType": kind, "digest": digest(content), "size": content.len()});
        let listed: Vec<Value> = layers
            .iter()
            .map(|(kind, content)| entry(kind, content))
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": entry(CONFIG, &config), "layers": listed,
            "annotations": {"org.opencontainers.image.source": "https://git.lab/book", "org.opencontainers.image.revision": tag},
        })
        .to_string()
        .into_bytes();
        let own = digest(&manifest);
        self.change(|content| {
            for blob in layers
                .iter()
                .map(|(_, blob)| blob)
                .chain([&config, &manifest])
            {
                content.blobs.insert(digest(blob), blob.clone());
            }
            content.tags.insert(format!("{name}:{tag}"), own.clone());
        });
        Ok(own)
    }

    /// Puts something else in the place of every layer, under the same digest.
    pub(crate) fn spoil(&self, layer: &[u8]) {
        self.change(|content| {
            let other = layer.iter().rev().copied().collect();
            content.blobs.insert(digest(layer), other);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Content)) {
        change(&mut self.content.lock().expect("nobody panics while holding it"));
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Files as a gzipped tar.
pub(crate) fn packed(files: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, text.as_bytes())?;
    }
    Ok(archive.into_inner()?.finish()?)
}

fn digest(content: &[u8]) -> String {
    let mut out = "sha256:".to_owned();
    for byte in Sha256::digest(content) {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Answers the requests of one connection.
async fn serve(mut stream: TcpStream, content: &Mutex<Content>) -> Result<()> {
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            anyhow::ensure!(read.len() < HEAD_MAX, "the head is too long");
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        read.drain(..end + 4);
        let mut lines = head.lines();
        let mut words = lines.next().context("a request has a line")?.split(' ');
        let (method, path) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let login = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))
            .map(|(_, value)| value.trim().to_owned());
        let (status, headers, body) = {
            let content = content.lock().expect("nobody panics while holding it");
            answer(&content, path, login.as_deref())
        };
        let mut out = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            let _ = write!(out, "{name}: {value}\r\n");
        }
        out.push_str("\r\n");
        stream.write_all(out.as_bytes()).await?;
        if method != "HEAD" {
            stream.write_all(&body).await?;
        }
    }
}

type Answer = (&'static str, Vec<(&'static str, String)>, Vec<u8>);

fn answer(content: &Content, path: &str, login: Option<&str>) -> Answer {
    let refused = |status, code: &str, message: &str| {
        let body = json!({"errors": [{"code": code, "message": message}]}).to_string();
        let headers = vec![("Content-Type", "application/json".to_owned())];
        (status, headers, body.into_bytes())
    };
    if content.login.is_some() && content.login.as_deref() != login {
        let mut out = refused(
            "401 Unauthorized",
            "UNAUTHORIZED",
            "authentication required",
        );
        out.1
            .push(("WWW-Authenticate", "Basic realm=\"registry\"".to_owned()));
        return out;
    }
    let path = path.split('?').next().unwrap_or_default();
    let found = |kind: &str, body: Vec<u8>| {
        let headers = vec![
            ("Content-Type", kind.to_owned()),
            ("Docker-Content-Digest", digest(&body)),
        ];
        ("200 OK", headers, body)
    };
    let rest = path.strip_prefix("/v2/").unwrap_or_default();
    if let Some(name) = rest.strip_suffix("/tags/list") {
        let prefix = format!("{name}:");
        let tags: Vec<&str> = content
            .tags
            .keys()
            .filter_map(|key| key.strip_prefix(&prefix))
            .collect();
        let body = json!({"name": name, "tags": tags}).to_string();
        return found("application/json", body.into_bytes());
    }
    if let Some((name, reference)) = rest.split_once("/manifests/") {
        let digest = match reference.contains(':') {
            true => Some(reference),
            false => content
                .tags
                .get(&format!("{name}:{reference}"))
                .map(String::as_str),
        };
        return match digest.and_then(|digest| content.blobs.get(digest)) {
            Some(manifest) => found(MANIFEST, manifest.clone()),
            None => refused("404 Not Found", "MANIFEST_UNKNOWN", "manifest unknown"),
        };
    }
    if let Some((_, digest)) = rest.split_once("/blobs/") {
        return match content.blobs.get(digest) {
            Some(blob) => found("application/octet-stream", blob.clone()),
            None => refused("404 Not Found", "BLOB_UNKNOWN", "blob unknown"),
        };
    }
    match path {
        "/v2/" => found("application/json", b"{}".to_vec()),
        _ => refused("404 Not Found", "NAME_UNKNOWN", "repository name not known"),
    }
}
