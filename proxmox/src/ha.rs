//! High availability: what the cluster keeps of a guest.

use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::guest::{Guest, Kind};
use crate::loose::{integer_of, text_of};
use crate::request::{Request, Retry, segment};

/// What is wished of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// `started`, `stopped`, `disabled`, `ignored`.
    pub state: String,
    /// The group, on clusters that still have groups.
    pub group: Option<String>,
    /// How often it is started again at most.
    pub max_restart: Option<i64>,
    /// How often it is moved at most.
    pub max_relocate: Option<i64>,
    /// The digest under which it was read.
    pub digest: Option<String>,
}

/// The name of a guest there: `ct:130`, `vm:200`.
pub fn sid(guest: &Guest) -> String {
    let kind = match guest.kind {
        Kind::Lxc => "ct",
        Kind::Qemu => "vm",
    };
    format!("{kind}:{}", guest.vmid)
}

fn path(guest: &Guest) -> String {
    format!("/cluster/ha/resources/{}", segment(&sid(guest)))
}

/// What is wished of a guest; `None` when nothing is.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn read(client: &Client, guest: &Guest) -> Result<Option<Resource>, Error> {
    let list = client.call(&Request::get("/cluster/ha/resources")).await?;
    let sid = sid(guest);
    let rows = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let listed = rows
        .iter()
        .any(|row| text_of(row, "sid").as_deref() == Some(&sid));
    if !listed {
        return Ok(None);
    }
    let row = client.call(&Request::get(path(guest))).await?;
    Ok(Some(Resource {
        state: text_of(&row, "state").unwrap_or_else(|| "started".to_owned()),
        group: text_of(&row, "group"),
        max_restart: integer_of(&row, "max_restart"),
        max_relocate: integer_of(&row, "max_relocate"),
        digest: text_of(&row, "digest"),
    }))
}

/// How it stands: the manager's state of a guest and its node.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn status(client: &Client, guest: &Guest) -> Result<Option<(String, String)>, Error> {
    let rows = client
        .call(&Request::get("/cluster/ha/status/current"))
        .await?;
    let sid = sid(guest);
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    let row = rows
        .iter()
        .find(|row: &&Value| text_of(row, "sid").as_deref() == Some(&sid));
    Ok(row.map(|row| {
        (
            text_of(row, "state")
                .or_else(|| text_of(row, "crm_state"))
                .unwrap_or_default(),
            text_of(row, "node").unwrap_or_default(),
        )
    }))
}

/// Puts a guest under its care.
pub fn add(guest: &Guest) -> Request {
    Request::post("/cluster/ha/resources")
        .retry(Retry::Once)
        .with("sid", sid(guest))
}

/// Changes what is wished.
pub fn set(guest: &Guest) -> Request {
    Request::put(path(guest))
}

/// Takes a guest out of its care.
pub fn remove(guest: &Guest) -> Request {
    Request::delete(path(guest))
}
