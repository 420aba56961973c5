//! What several queries mean, kept up to date: the state that waits look at.
//!
//! Queries of the same kind and place share one watch. Dropping it ends all of them.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::error::Error;
use crate::get::Query;
use crate::object::{Key, is_older, resource_version};
use crate::watch::{self, Change, Start};

/// How many changes may be under way before the watches wait.
const CHANGES_MAX: usize = 1024;

/// Objects of some queries, as they are now.
#[derive(Debug)]
pub struct Watched {
    objects: BTreeMap<Key, Value>,
    /// Which watches have told all that was there.
    listed: Vec<bool>,
    changes: mpsc::Receiver<(usize, Result<Change, Error>)>,
    /// Ends them when it is dropped.
    tasks: JoinSet<()>,
}

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is there, or is different.
    Changed(Key),
    /// It was deleted.
    Deleted(Key),
    /// All that a query found at first was told.
    Listed,
}

impl Watched {
    /// Begins to watch; nothing was asked yet. Objects of one kind and namespace that are named share a watch of all of that kind
    /// there, so other objects are seen too.
    pub fn start(client: &Client, queries: &[Query]) -> Self {
        let queries = shared(queries).into_iter();
        Self::begin(
            client,
            queries.map(|query| (query, Start::default())).collect(),
        )
    }

    /// Begins where lists have ended.
    pub(crate) fn begin(client: &Client, queries: Vec<(Query, Start)>) -> Self {
        let (out, changes) = mpsc::channel(CHANGES_MAX);
        let mut shared: Vec<(Query, Start)> = Vec::new();
        for (query, start) in queries {
            if !shared.iter().any(|(other, _)| *other == query) {
                shared.push((query, start));
            }
        }
        let mut watched = Self {
            objects: BTreeMap::new(),
            listed: shared
                .iter()
                .map(|(_, start)| !start.resource_version.is_empty())
                .collect(),
            changes,
            tasks: JoinSet::new(),
        };
        for (id, (query, start)) in shared.into_iter().enumerate() {
            let items = start.items.iter().map(|item| (Key::of(item), item.clone()));
            watched.objects.extend(items);
            watched
                .tasks
                .spawn(watch::run(client.clone(), query, start, id, out.clone()));
        }
        watched
    }

    /// What is there, by key.
    pub fn objects(&self) -> &BTreeMap<Key, Value> {
        &self.objects
    }

    /// One of them.
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    /// Whether all that was there at first is known.
    pub fn is_listed(&self) -> bool {
        self.listed.iter().all(|&listed| listed)
    }

    /// Takes in an object as the server has just answered with it, unless a newer one is known.
    pub fn learn(&mut self, object: Value) {
        let key = Key::of(&object);
        let is_old = self
            .objects
            .get(&key)
            .is_some_and(|known| is_older(resource_version(&object), resource_version(known)));
        if !is_old {
            self.objects.insert(key, object);
        }
    }

    /// Waits for the next change. It has no deadline of its own; giving it up loses nothing.
    ///
    /// # Errors
    ///
    /// A right that is missing, a kind that is gone: whatever does not pass.
    pub async fn next(&mut self) -> Result<Seen, Error> {
        loop {
            let Some((id, change)) = self.changes.recv().await else {
                return Err(Error::Lost("the watches have ended".to_owned()));
            };
            match change? {
                Change::Listed => {
                    self.listed[id] = true;
                    return Ok(Seen::Listed);
                }
                Change::Set(object) => {
                    let key = Key::of(&object);
                    // An event may be older than an answer that was taken in.
                    let known = self.objects.get(&key).map(resource_version);
                    if known.is_some_and(|known| is_older(resource_version(&object), known)) {
                        continue;
                    }
                    self.objects.insert(key.clone(), object);
                    return Ok(Seen::Changed(key));
                }
                Change::Gone(object) => {
                    let key = Key::of(&object);
                    // One that was created anew since has another uid, and a newer version.
                    let known = self.objects.get(&key);
                    let is_another = known.is_some_and(|known| {
                        known.pointer("/metadata/uid") != object.pointer("/metadata/uid")
                            && is_older(resource_version(&object), resource_version(known))
                    });
                    if is_another {
                        continue;
                    }
                    self.objects.remove(&key);
                    return Ok(Seen::Deleted(key));
                }
            }
        }
    }
}

/// One query for all objects of a kind and namespace that are named. Where something is selected besides, nothing is put together:
/// what a selector finds must not be mixed with what nobody asked for.
fn shared(queries: &[Query]) -> Vec<Query> {
    let mut shared: Vec<Query> = Vec::new();
    let is_named = queries.iter().all(|query| query.name.is_some());
    for query in queries {
        let all = Query::all(&query.resource, query.namespace.as_deref());
        let mut of_kind = queries.iter().filter(|other| {
            (&other.resource, &other.namespace) == (&query.resource, &query.namespace)
                && *other != query
        });
        let query = if is_named && of_kind.next().is_some() {
            all
        } else {
            query.clone()
        };
        if !shared.contains(&query) {
            shared.push(query);
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Resource;

    #[test]
    fn named_objects_of_a_kind_and_place_share_a_watch() {
        let pod = |name: &str, namespace: &str| Query::one(&Resource::pod(), Some(namespace), name);
        let all = Query::all(&Resource::pod(), Some("a"));
        assert_eq!(
            shared(&[pod("x", "a"), pod("y", "a"), pod("x", "b"), pod("x", "b")]),
            [all.clone(), pod("x", "b")]
        );
        assert_eq!(shared(&[pod("x", "a")]), [pod("x", "a")]);
        let selected = all.labelled("app=web");
        let mixed = [pod("x", "a"), pod("y", "a"), selected];
        assert_eq!(shared(&mixed), mixed);
    }
}
