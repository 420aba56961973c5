//! Backups: one now, and the jobs that make them.

use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::guest::Guest;
use crate::request::{Request, Retry, segment};

/// Backs a guest up now. Gives a task that fails when the guest cannot be backed up.
pub fn now(guest: &Guest, storage: &str, mode: &str) -> Request {
    Request::post(format!("/nodes/{}/vzdump", segment(&guest.node)))
        .retry(Retry::Never)
        .with("vmid", guest.vmid)
        .with("storage", storage)
        .with("mode", mode)
        .with("compress", "zstd")
}

/// The jobs.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn jobs(client: &Client) -> Result<Vec<Value>, Error> {
    match client.call(&Request::get("/cluster/backup")).await? {
        Value::Array(jobs) => Ok(jobs),
        _ => Ok(Vec::new()),
    }
}
