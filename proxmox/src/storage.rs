//! Storages and what lies on them: templates, images, backups.

use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::loose::{flag_of, integer_of, text_of};
use crate::request::{Request, Retry, segment};

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// `local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst`.
    pub volid: String,
    /// `vztmpl`, `iso`, `import`, `backup`, `images`, `rootdir`.
    pub content: String,
    /// Bytes.
    pub size: i64,
    /// The guest that it belongs to.
    pub vmid: Option<i64>,
    /// When it was made, in seconds since 1970.
    pub time: Option<i64>,
}

/// A storage of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Its ID.
    pub id: String,
    /// `dir`, `lvmthin`, …
    pub kind: String,
    /// What it may hold.
    pub content: Vec<String>,
    /// Whether it can be used.
    pub active: bool,
    /// Bytes altogether, used, free.
    pub total: i64,
    /// Bytes in use.
    pub used: i64,
    /// Bytes free.
    pub free: i64,
}

/// A template that can be downloaded by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appliance {
    /// `debian-12-standard_12.7-1_amd64.tar.zst`.
    pub template: String,
    /// `debian-12-standard`.
    pub package: String,
    /// `12.7-1`.
    pub version: String,
}

fn path(node: &str, storage: &str, rest: &str) -> String {
    format!(
        "/nodes/{}/storage/{}{rest}",
        segment(node),
        segment(storage)
    )
}

/// The volumes of a storage, of one kind if given.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn content(
    client: &Client,
    node: &str,
    storage: &str,
    content: Option<&str>,
) -> Result<Vec<Volume>, Error> {
    let request = Request::get(path(node, storage, "/content")).maybe("content", content);
    let rows = client.call(&request).await?;
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(rows.iter().filter_map(volume).collect())
}

fn volume(row: &Value) -> Option<Volume> {
    Some(Volume {
        volid: text_of(row, "volid")?,
        content: text_of(row, "content").unwrap_or_default(),
        size: integer_of(row, "size").unwrap_or_default(),
        vmid: integer_of(row, "vmid"),
        time: integer_of(row, "ctime"),
    })
}

/// The storages of a node.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn list(client: &Client, node: &str) -> Result<Vec<Storage>, Error> {
    let request = Request::get(format!("/nodes/{}/storage", segment(node)));
    let rows = client.call(&request).await?;
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    let storages = rows.iter().filter_map(|row| {
        let content = text_of(row, "content").unwrap_or_default();
        Some(Storage {
            id: text_of(row, "storage")?,
            kind: text_of(row, "type").unwrap_or_default(),
            content: content.split(',').map(str::to_owned).collect(),
            active: flag_of(row, "active").unwrap_or(false),
            total: integer_of(row, "total").unwrap_or_default(),
            used: integer_of(row, "used").unwrap_or_default(),
            free: integer_of(row, "avail").unwrap_or_default(),
        })
    });
    Ok(storages.collect())
}

/// The templates that can be downloaded by name.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn appliances(client: &Client, node: &str) -> Result<Vec<Appliance>, Error> {
    let request = Request::get(format!("/nodes/{}/aplinfo", segment(node)));
    let rows = client.call(&request).await?;
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    let appliances = rows.iter().filter_map(|row| {
        Some(Appliance {
            template: text_of(row, "template")?,
            package: text_of(row, "package").unwrap_or_default(),
            version: text_of(row, "version").unwrap_or_default(),
        })
    });
    Ok(appliances.collect())
}

/// Downloads a template by name. Gives a task; what is there already is downloaded again, so look first.
pub fn download_appliance(node: &str, storage: &str, template: &str) -> Request {
    Request::post(format!("/nodes/{}/aplinfo", segment(node)))
        .retry(Retry::Once)
        .with("storage", storage)
        .with("template", template)
}

/// Downloads a file and checks its SHA-256. Gives a task; what is there already with that checksum is left alone.
pub fn download_url(
    node: &str,
    storage: &str,
    content: &str,
    url: &str,
    filename: &str,
    sha256: &str,
) -> Request {
    Request::post(path(node, storage, "/download-url"))
        .retry(Retry::Once)
        .with("content", content)
        .with("url", url)
        .with("filename", filename)
        .with("checksum", sha256)
        .with("checksum-algorithm", "sha256")
}

/// Removes a volume. Gives a task, or nothing when it was done at once.
pub fn delete(node: &str, storage: &str, volid: &str) -> Request {
    Request::delete(path(node, storage, &format!("/content/{}", segment(volid))))
}
