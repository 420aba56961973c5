//! Nodes, guests wherever they are, free numbers, versions.
//!
//! Node names are taken from the server, never from a URL. A list that is empty may mean missing rights: it proves nothing.

use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::guest::{self, Created, Guest, Kind};
use crate::loose::{flag_of, integer_of, text_of};
use crate::request::{Request, segment};
use crate::upid::Upid;

/// How many numbers are tried when others are faster.
const NUMBERS_MAX: usize = 20;

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// `online`, `offline` or `unknown`.
    pub status: String,
    /// The SHA-256 of its certificate.
    pub fingerprint: Option<String>,
}

/// What a client is connected to, for records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `9.2.11`.
    pub version: String,
    /// The node that answers.
    pub node: String,
    /// The cluster's name; `None` of a node without one.
    pub cluster: Option<String>,
}

/// A guest in the list of the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub guest: Guest,
    /// Its name, if it is known already.
    pub name: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether it is a template.
    pub template: bool,
}

/// The nodes.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn nodes(client: &Client) -> Result<Vec<Node>, Error> {
    let rows = client.call(&Request::get("/nodes")).await?;
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    let nodes = rows.iter().filter_map(|row| {
        Some(Node {
            name: text_of(row, "node")?,
            status: text_of(row, "status").unwrap_or_else(|| "unknown".to_owned()),
            fingerprint: text_of(row, "ssl_fingerprint"),
        })
    });
    let mut nodes: Vec<Node> = nodes.collect();
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(nodes)
}

/// Finds a node by its name.
///
/// # Errors
///
/// [`Error::Setting`] with the names there are when there is no such node: the server's own answer is a look-up of a host that
/// fails, or a time-out.
pub async fn node(client: &Client, name: &str) -> Result<Node, Error> {
    let nodes = nodes(client).await?;
    if let Some(node) = nodes.iter().find(|node| node.name == name) {
        return Ok(node.clone());
    }
    let near = nodes.iter().find(|node| {
        node.name.eq_ignore_ascii_case(name)
            || name
                .split_once('.')
                .is_some_and(|(first, _)| node.name.eq_ignore_ascii_case(first))
    });
    let hint = match near {
        Some(near) => format!("did you mean `{}`?", near.name),
        None => {
            let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
            format!("there are {}", names.join(", "))
        }
    };
    Err(Error::Setting(format!("no node `{name}`; {hint}")))
}

/// What one is connected to.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn identity(client: &Client) -> Result<Identity, Error> {
    let version = client.call(&Request::get("/version")).await?;
    let version = text_of(&version, "version").unwrap_or_default();
    let mut identity = Identity {
        version,
        node: String::new(),
        cluster: None,
    };
    match client.call(&Request::get("/cluster/status")).await {
        Ok(rows) => {
            for row in rows.as_array().map(Vec::as_slice).unwrap_or_default() {
                let name = text_of(row, "name").unwrap_or_default();
                match text_of(row, "type").as_deref() {
                    Some("cluster") => identity.cluster = Some(name),
                    Some("node") if flag_of(row, "local").unwrap_or(false) => identity.node = name,
                    _ => {}
                }
            }
        }
        // Without the right to see it there is less to tell.
        Err(Error::Forbidden { .. } | Error::NotImplemented(_)) => {}
        Err(error) => return Err(error),
    }
    if identity.node.is_empty() {
        let nodes = nodes(client).await?;
        if let [node] = &nodes[..] {
            identity.node.clone_from(&node.name);
        }
    }
    Ok(identity)
}

/// All guests that may be seen. New ones may lack name and tags for some seconds.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn guests(client: &Client) -> Result<Vec<Listed>, Error> {
    let request = Request::get("/cluster/resources").with("type", "vm");
    let rows = client.call(&request).await?;
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(rows.iter().filter_map(listed).collect())
}

fn listed(row: &Value) -> Option<Listed> {
    let kind = match text_of(row, "type")?.as_str() {
        "lxc" => Kind::Lxc,
        "qemu" => Kind::Qemu,
        _ => return None,
    };
    let vmid = u32::try_from(integer_of(row, "vmid")?).ok()?;
    let tags = text_of(row, "tags").unwrap_or_default();
    Some(Listed {
        guest: Guest::new(kind, text_of(row, "node")?, vmid),
        name: text_of(row, "name"),
        tags: tags
            .split([';', ',', ' '])
            .filter(|tag| !tag.is_empty())
            .map(str::to_owned)
            .collect(),
        template: flag_of(row, "template").unwrap_or(false),
    })
}

/// Where a guest is. `None`: there is none, or it may not be seen; [`free`] tells which.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn find_guest(client: &Client, vmid: u32) -> Result<Option<Listed>, Error> {
    let guests = guests(client).await?;
    Ok(guests.into_iter().find(|listed| listed.guest.vmid == vmid))
}

/// Whether a number is free, also of guests that may not be seen.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn free(client: &Client, vmid: u32) -> Result<bool, Error> {
    let request = Request::get("/cluster/nextid").with("vmid", vmid);
    match client.call(&request).await {
        Ok(_) => Ok(true),
        Err(error @ Error::Parameters { .. }) if error.is_taken() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The lowest free number of a range. It is not reserved: who creates a guest must be ready for "already exists".
///
/// # Errors
///
/// [`Error::Refused`] when all are taken; as [`Client::call`].
pub async fn next_free(
    client: &Client,
    range: std::ops::RangeInclusive<u32>,
    not: &[u32],
) -> Result<u32, Error> {
    let taken: Vec<u32> = guests(client)
        .await?
        .iter()
        .map(|listed| listed.guest.vmid)
        .collect();
    for vmid in range
        .clone()
        .filter(|vmid| !taken.contains(vmid) && !not.contains(vmid))
    {
        // The list lacks what may not be seen.
        if free(client, vmid).await? {
            return Ok(vmid);
        }
    }
    Err(Error::Refused {
        status: 500,
        message: format!("no number of {}-{} is free", range.start(), range.end()),
        errors: Default::default(),
    })
}

/// Creates a guest under the lowest free number of a range; when somebody else takes it meanwhile, under the next one.
/// `request` makes the request for a number (whose node and kind it knows).
///
/// # Errors
///
/// As [`guest::create`]; [`Error::Refused`] when no number is free.
pub async fn create_next(
    client: &Client,
    range: std::ops::RangeInclusive<u32>,
    task_type: &str,
    task_node: &str,
    request: impl Fn(u32) -> (Guest, Request),
) -> Result<(Guest, Upid), Error> {
    let mut taken = Vec::new();
    loop {
        let vmid = next_free(client, range.clone(), &taken).await?;
        let (new, request) = request(vmid);
        match guest::create(client, &new, &request, task_type, task_node).await? {
            Created::Task(upid) => return Ok((new, upid)),
            Created::Taken(why) if taken.len() >= NUMBERS_MAX => {
                return Err(Error::Refused {
                    status: 500,
                    message: why,
                    errors: Default::default(),
                });
            }
            Created::Taken(_) => taken.push(vmid),
        }
    }
}

/// Where a guest is, told apart from one that may not be seen: a list that lacks it may be for want of rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// There.
    At(Listed),
    /// There is none.
    Absent,
    /// It exists, but who asks lacks `VM.Audit` on it.
    Hidden,
}

/// Where a guest is.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn place(client: &Client, vmid: u32) -> Result<Place, Error> {
    if let Some(listed) = find_guest(client, vmid).await? {
        return Ok(Place::At(listed));
    }
    Ok(match free(client, vmid).await? {
        true => Place::Absent,
        false => Place::Hidden,
    })
}

/// The devices of a node that could be passed through; an `iommugroup` of -1 is none.
pub fn pci_devices(node: &str) -> Request {
    Request::get(format!("/nodes/{}/hardware/pci", segment(node)))
}

/// The mappings of devices, checked against a node. A token may only use these, with Mapping.Use on them; a raw device is
/// `root@pam`'s alone, with a ticket.
pub fn pci_mappings(node: &str) -> Request {
    Request::get("/cluster/mapping/pci").with("check-node", node)
}

/// The pools.
pub fn pools() -> Request {
    Request::get("/pools")
}

/// The members of a pool.
pub fn pool(name: &str) -> Request {
    Request::get("/pools").with("poolid", name)
}

/// Puts a guest into a pool, or out of it.
pub fn pool_member(name: &str, vmid: u32, member: bool) -> Request {
    Request::put("/pools")
        .with("poolid", name)
        .with("vms", vmid)
        .maybe("delete", (!member).then_some(1))
}

/// How long a node has been up, in seconds.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn uptime(client: &Client, node: &str) -> Result<i64, Error> {
    let path = format!("/nodes/{}/status", segment(node));
    let status = client.call(&Request::get(path)).await?;
    Ok(integer_of(&status, "uptime").unwrap_or_default())
}
