//! Creating guests: what became of a request whose answer was lost, or whose number somebody else has.
//!
//! A request that creates is never sent again blindly: the state is read first.

use std::time::Instant;

use serde_json::Value;

use super::Guest;
use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::loose::{integer_of, text_of};
use crate::request::{Request, segment};
use crate::task;
use crate::upid::Upid;

/// What became of a request to create a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The task that creates it.
    Task(Upid),
    /// The number is another's: nothing was done.
    Taken(String),
}

/// Sends a request that creates a guest, once. When the answer is lost, the state is read until it is known what became of
/// it: the task is found by its type and guest, and never is the request sent again blindly.
///
/// # Errors
///
/// As [`Client::call`]; the original error where nothing of the creation can be found.
pub async fn create(
    client: &Client,
    new: &Guest,
    request: &Request,
    task_type: &str,
    task_node: &str,
) -> Result<Created, Error> {
    let since = server_time(client, task_node).await?;
    let error = match client.call(request).await {
        Ok(answer) => return task::upid(&answer).map(Created::Task),
        Err(error) if error.is_taken() => return Ok(Created::Taken(error.to_string())),
        Err(error) if error.kind() == ErrorKind::Unknown => error,
        Err(error) => return Err(error),
    };
    let started = Instant::now();
    loop {
        // A copy's task is about the guest that is copied: its number stands in the path.
        let about = match request.path().strip_suffix("/clone") {
            Some(source) => source.rsplit('/').next().and_then(|vmid| vmid.parse().ok()),
            None => Some(new.vmid),
        };
        let found = client
            .call(&task::list(task_node, about, Some(task_type)))
            .await;
        if let Ok(Value::Array(tasks)) = found {
            let upids = tasks
                .iter()
                .filter_map(|task| text_of(task, "upid")?.parse::<Upid>().ok());
            let mine = upids.filter(|upid| upid.start >= since && upid.user == client.user());
            if let Some(upid) = mine.max_by_key(|upid| upid.start) {
                return Ok(Created::Task(upid));
            }
        }
        if started.elapsed() >= client.times().search {
            return Err(error);
        }
        tokio::time::sleep(client.times().pause).await;
    }
}

async fn server_time(client: &Client, node: &str) -> Result<i64, Error> {
    let time = client
        .call(&Request::get(format!("/nodes/{}/time", segment(node))))
        .await;
    match time {
        Ok(time) => Ok(integer_of(&time, "time").unwrap_or_default()),
        // Without the right to see the clock ours has to do.
        Err(Error::Forbidden { .. }) => Ok(std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| now.as_secs() as i64 - 5)),
        Err(error) => Err(error),
    }
}
