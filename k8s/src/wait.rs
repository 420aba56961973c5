//! Waiting until objects are ready, are gone, or are as somebody wishes, with a reason when they are not.
//!
//! Everything is seen by watches, so the end is seen when it happens. What cannot become true any more ends the wait at once. A
//! custom resource that no controller has said anything about counts as ready only when it has been at rest for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use crate::client::Client;
use crate::error::Error;
use crate::evidence;
use crate::get::Query;
use crate::kstatus::{self, State};
use crate::object::{Key, resource_version, text};
use crate::standing::Standing;
use crate::watched::{Seen, Watched};

/// How often is looked again without a change: some rules look at the clock.
const LOOK: Duration = Duration::from_millis(500);

/// What "ready" means beyond kstatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// A LoadBalancer has its address, and a failed Pod has failed.
    pub strict: bool,
    /// What has failed ends the wait at once. Else it is waited for to the end: it may recover.
    pub fail_fast: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            strict: true,
            fail_fast: true,
        }
    }
}

impl Wish {
    /// How an object stands, by this wish. A suspended Flux object is never ready.
    pub fn status(&self, object: &Value) -> kstatus::Status {
        let options = kstatus::Options {
            now: Timestamp::now(),
            failed_pods: self.strict,
            load_balancers: self.strict,
            suspended: true,
        };
        kstatus::status(object, &options)
    }
}

/// How an object stands to what is awaited of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is so.
    Holds,
    /// Not yet.
    Waits(Standing),
    /// Never any more.
    Fails(Standing),
}

/// Waits until everything that the queries mean is ready. A query by name waits for its object to come; one by selector is content
/// when at least one object is there and all of them are ready.
///
/// # Errors
///
/// [`Error::Failed`] when one has failed, [`Error::Deleted`] when one is deleted meanwhile, [`Error::Deadline`] with how each stands,
/// its events and logs; or the server cannot be asked.
pub async fn ready(
    client: &Client,
    queries: &[Query],
    wish: Wish,
    limit: Duration,
) -> Result<Vec<Value>, Error> {
    let deadline = Instant::now() + limit;
    let mut watched = Watched::start(client, queries);
    while !watched.is_listed() {
        match tokio::time::timeout_at(deadline, watched.next()).await {
            Ok(seen) => seen.map(|_| ())?,
            Err(_) => {
                let pending = queries.iter().map(|query| {
                    Standing::of(key_of(query), "Unknown", "the server gave no list in time")
                });
                return Err(evidence::deadline(client, pending.collect(), limit).await);
            }
        }
    }
    let awaited = Awaited {
        named: queries.iter().filter_map(Query::key).collect(),
        selected: queries
            .iter()
            .filter(|query| query.name.is_none())
            .map(|query| Standing::of(key_of(query), "NotFound", "nothing is found"))
            .collect(),
    };
    let found = each_ready(client, &mut watched, awaited, wish, deadline, limit).await?;
    Ok(found.into_values().collect())
}

/// What is awaited: objects by name, and what selectors find, whatever that is by then.
#[derive(Debug, Clone, Default)]
pub struct Awaited {
    /// These must be there. One that was there and is deleted ends the wait.
    pub named: BTreeSet<Key>,
    /// What is told of the selectors when nothing is found; empty where there is no selector. Of what they find at least one must be
    /// there; what comes is awaited too, what goes is awaited no more.
    pub selected: Vec<Standing>,
}

impl Awaited {
    /// Objects by name.
    pub fn named(keys: BTreeSet<Key>) -> Self {
        Self {
            named: keys,
            selected: Vec::new(),
        }
    }

    fn has(&self, key: &Key) -> bool {
        !self.selected.is_empty() || self.named.contains(key)
    }
}

/// Waits until each of the objects is ready.
pub(crate) async fn each_ready(
    client: &Client,
    watched: &mut Watched,
    awaited: Awaited,
    wish: Wish,
    deadline: Instant,
    limit: Duration,
) -> Result<BTreeMap<Key, Value>, Error> {
    let mut settling = Settling::new(client.times().settle);
    each(client, watched, awaited, deadline, limit, |key, object| {
        judge(key, object, wish, &mut settling)
    })
    .await
}

fn judge(key: &Key, object: Option<&Value>, wish: Wish, settling: &mut Settling) -> Verdict {
    let Some(object) = object else {
        return Verdict::Waits(Standing::of(key.clone(), "NotFound", "it is not there"));
    };
    let status = wish.status(object);
    let standing = || Standing::of_status(key.clone(), &status);
    match status.state {
        State::Current if status.assumed && !settling.is_settled(key, object) => {
            let message = "no controller has said anything about it yet";
            Verdict::Waits(Standing::of(key.clone(), "InProgress", message))
        }
        State::Current => Verdict::Holds,
        State::Failed if is_of_before(object) => Verdict::Waits(Standing::of(
            key.clone(),
            "InProgress",
            "its controller has not judged this rollout yet",
        )),
        // Nobody works on it: waiting is of no use.
        State::Suspended => Verdict::Fails(standing()),
        State::Failed | State::Unknown if wish.fail_fast || status.reason == "Stalled" => {
            Verdict::Fails(standing())
        }
        _ => Verdict::Waits(standing()),
    }
}

/// Waits until a judge is content with each of the objects; a judge is asked again when an object changes, and now and then.
///
/// # Errors
///
/// As [`ready`].
pub async fn each(
    client: &Client,
    watched: &mut Watched,
    awaited: Awaited,
    deadline: Instant,
    limit: Duration,
    mut judge: impl FnMut(&Key, Option<&Value>) -> Verdict,
) -> Result<BTreeMap<Key, Value>, Error> {
    let there = watched.objects().keys().filter(|key| awaited.has(key));
    // Who was seen and is not there any more was deleted.
    let mut seen: BTreeSet<Key> = there.cloned().collect();
    let mut members: BTreeSet<Key> = seen.union(&awaited.named).cloned().collect();
    let mut look: Vec<Key> = members.iter().cloned().collect();
    let mut pending: BTreeMap<Key, Standing> = BTreeMap::new();
    loop {
        let mut failed = Vec::new();
        for key in look.drain(..) {
            match judge(&key, watched.get(&key)) {
                Verdict::Holds => drop(pending.remove(&key)),
                // What was ready may stop to be so while others are awaited.
                Verdict::Waits(standing) => drop(pending.insert(key, standing)),
                Verdict::Fails(standing) => failed.push(standing),
            }
        }
        if !failed.is_empty() {
            return Err(Error::Failed(evidence::gather(client, failed).await));
        }
        let is_found = awaited.selected.is_empty() || members.len() > awaited.named.len();
        if pending.is_empty() && is_found {
            let object = |key: Key| watched.get(&key).cloned().map(|object| (key, object));
            return Ok(members.into_iter().filter_map(object).collect());
        }
        let soon = deadline.min(Instant::now() + LOOK);
        match tokio::time::timeout_at(soon, watched.next()).await {
            Ok(Ok(Seen::Changed(key))) if awaited.has(&key) => {
                seen.insert(key.clone());
                members.insert(key.clone());
                look.push(key);
            }
            Ok(Ok(Seen::Deleted(key))) if awaited.named.contains(&key) => {
                if seen.contains(&key) {
                    return Err(Error::Deleted {
                        what: key.to_string(),
                    });
                }
            }
            Ok(Ok(Seen::Deleted(key))) => {
                members.remove(&key);
                pending.remove(&key);
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) if Instant::now() >= deadline => {
                let mut standings: Vec<Standing> = pending.into_values().collect();
                if !is_found {
                    standings.extend(awaited.selected);
                }
                return Err(evidence::deadline(client, standings, limit).await);
            }
            Err(_) => look = pending.keys().cloned().collect(),
        }
    }
}

/// What a query means, as a key that people can read.
fn key_of(query: &Query) -> Key {
    query.key().unwrap_or_else(|| {
        let selector = query
            .labels
            .as_deref()
            .or(query.fields.as_deref())
            .unwrap_or("*");
        Key::new(
            &query.resource.group,
            &query.resource.kind,
            query.namespace.as_deref(),
            selector,
        )
    })
}

/// Since when custom resources without a status are at rest.
struct Settling {
    settle: Duration,
    since: BTreeMap<Key, (String, Instant)>,
}

impl Settling {
    fn new(settle: Duration) -> Self {
        Self {
            settle,
            since: BTreeMap::new(),
        }
    }

    fn is_settled(&mut self, key: &Key, object: &Value) -> bool {
        let version = resource_version(object);
        match self.since.get(key) {
            Some((known, since)) if known == version => since.elapsed() >= self.settle,
            known => {
                // What was there long before anybody waited for it is at rest.
                let is_first = known.is_none();
                self.since
                    .insert(key.clone(), (version.to_owned(), Instant::now()));
                is_first && is_of_old(object, self.settle)
            }
        }
    }
}

/// Whether a Deployment's missed deadline is that of the rollout before: the condition stays until the new rollout makes progress,
/// though its generation is observed. It is so when the spec was written after it.
fn is_of_before(object: &Value) -> bool {
    let conditions = object
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    let mut conditions = conditions.map(Vec::as_slice).unwrap_or_default().iter();
    let late = conditions.find(|one| text(one, "/reason") == "ProgressDeadlineExceeded");
    let judged = late.and_then(|one| text(one, "/lastUpdateTime").parse::<Timestamp>().ok());
    let managed = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let managed = managed.map(Vec::as_slice).unwrap_or_default().iter();
    let written = managed
        .filter(|one| text(one, "/subresource").is_empty())
        .filter_map(|one| text(one, "/time").parse::<Timestamp>().ok())
        .max();
    matches!((judged, written), (Some(judged), Some(written)) if judged <= written)
}

/// Whether nothing of an object was written for a while: `time` of its managed fields, else when it was created.
fn is_of_old(object: &Value, settle: Duration) -> bool {
    let managed = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let times = managed
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .map(|one| text(one, "/time"));
    let times = times.chain([text(object, "/metadata/creationTimestamp")]);
    let newest = times
        .filter_map(|time| time.parse::<Timestamp>().ok())
        .max();
    // Whole seconds, and clocks that differ: twice the time to be sure.
    let settle = i64::try_from(settle.as_millis())
        .unwrap_or(i64::MAX)
        .saturating_mul(2)
        .saturating_add(1000);
    newest.is_some_and(|newest| {
        Timestamp::now().duration_since(newest).as_millis() > i128::from(settle)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_missed_deadline_counts_only_when_it_came_after_the_last_write() {
        let object = |judged: &str, written: &str| {
            json!({"metadata": {"managedFields": [
                {"operation": "Apply", "time": written},
                {"operation": "Update", "subresource": "status", "time": "2026-11-30T23:00:00Z"}]},
                "status": {"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded", "lastUpdateTime": judged}]}})
        };
        assert!(is_of_before(&object(
            "2026-11-30T12:00:00Z",
            "2026-11-30T12:00:05Z"
        )));
        assert!(!is_of_before(&object(
            "2026-11-30T12:00:05Z",
            "2026-11-30T12:00:00Z"
        )));
        assert!(!is_of_before(&object("", "2026-11-30T12:00:00Z")));
        assert!(!is_of_before(
            &json!({"status": {"conditions": [{"type": "Failed", "lastUpdateTime": "2020-01-01T00:00:00Z"}]}})
        ));
    }
}
