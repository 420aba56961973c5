//! `absent`: objects are not there.

use std::time::Duration;

use runbook_k8s::change::{self, Propagation};
use runbook_k8s::{Client, Error, Key, Query};

/// What is there of what should not be.
#[derive(Debug, Clone)]
pub struct Found {
    /// The objects.
    pub keys: Vec<Key>,
}

/// What queries find. A kind that is not there has no objects.
///
/// # Errors
///
/// The server cannot be asked.
pub async fn compare(client: &Client, queries: &[Query]) -> Result<Found, Error> {
    let mut keys = Vec::new();
    for query in queries {
        match client.list(query).await {
            Ok(list) => keys.extend(list.items.iter().map(Key::of)),
            Err(Error::NoSuchKind { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    keys.dedup();
    Ok(Found { keys })
}

impl Found {
    /// What is to be deleted, for people.
    pub fn diff(&self) -> Option<String> {
        let lines: Vec<String> = self.keys.iter().map(|key| format!("- {key}")).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// Deletes what queries find and waits until it is gone.
///
/// # Errors
///
/// [`Error::Stuck`] with the finalizers that hold an object; whatever else the server refuses.
pub async fn run(client: &Client, queries: &[Query], limit: Duration) -> Result<(), Error> {
    change::absent(client, queries, Propagation::Foreground, limit)
        .await
        .map(|_| ())
}
