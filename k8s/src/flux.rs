//! Flux: asks for reconciliations and waits for what comes of them, suspends, resumes.
//!
//! A request is a token in an annotation; it is handled when the controller has written the token into its status. Only then Ready is
//! about it. What is stalled ends a wait at once, what is suspended is never ready; any other failure may pass (a dependency, a
//! registry), so it is told at the deadline.

mod state;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::apply::MANAGER;
use crate::change;
use crate::client::Client;
use crate::error::Error;
use crate::evidence;
use crate::get::{Query, without_managed_fields};
use crate::object::{Key, text};
use crate::request::Content;
use crate::standing::Standing;
use crate::wait::Verdict;
use crate::watched::{Seen, Watched};

use state::{FORCED, REQUESTED, RESET, chart, source};
pub use state::{Flux, read};
use verdict::verdict;

/// Kinds of Flux, their short names, and their groups. Versions are the server's.
const KINDS: [(&str, &str, &str); 9] = [
    ("Kustomization", "ks", "kustomize.toolkit.fluxcd.io"),
    ("HelmRelease", "hr", "helm.toolkit.fluxcd.io"),
    ("GitRepository", "gitrepo", "source.toolkit.fluxcd.io"),
    ("OCIRepository", "ocirepo", "source.toolkit.fluxcd.io"),
    ("HelmRepository", "helmrepo", "source.toolkit.fluxcd.io"),
    ("HelmChart", "hc", "source.toolkit.fluxcd.io"),
    ("Bucket", "", "source.toolkit.fluxcd.io"),
    ("ExternalArtifact", "", "source.toolkit.fluxcd.io"),
    ("Receiver", "", "notification.toolkit.fluxcd.io"),
];

/// What a reconciliation is asked for besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Request {
    /// The source first.
    pub with_source: bool,
    /// A HelmRelease is upgraded once, whatever its state.
    pub force: bool,
    /// A HelmRelease forgets its failures.
    pub reset: bool,
}

/// The object that `KIND/NAME` means.
///
/// # Errors
///
/// [`Error::Setting`] for another form, or a kind that is none of Flux; [`Error::NoSuchKind`] where Flux is not installed.
pub async fn object(client: &Client, named: &str, namespace: &str) -> Result<Query, Error> {
    let form = || Error::Setting(format!("`{named}` is not of the form KIND/NAME"));
    let (kind, name) = named
        .split_once('/')
        .filter(|(_, name)| !name.is_empty())
        .ok_or_else(form)?;
    kind_of(client, kind)
        .await
        .map(|resource| Query::one(&resource, Some(namespace), name))
}

async fn kind_of(client: &Client, word: &str) -> Result<crate::kind::Resource, Error> {
    let plural = |kind: &str| match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    };
    let found = KINDS.iter().find(|(kind, short, _)| {
        kind.eq_ignore_ascii_case(word)
            || !short.is_empty() && *short == word
            || plural(kind).eq_ignore_ascii_case(word)
    });
    let Some((kind, _, group)) = found else {
        let kinds: Vec<_> = KINDS.iter().map(|(kind, ..)| *kind).collect();
        return Err(Error::Setting(format!(
            "`{word}` is no kind of Flux: {}",
            kinds.join(", ")
        )));
    };
    client
        .resource_called(&format!("{kind}.{group}"), None)
        .await
}

/// All Kustomizations, HelmReleases and sources of a namespace; kinds that are not installed are left out.
///
/// # Errors
///
/// [`Error::NoSuchKind`] where none of them is installed; or the server cannot be asked.
pub async fn all(client: &Client, namespace: &str) -> Result<Vec<Query>, Error> {
    let mut queries = Vec::new();
    let mut missing = None;
    for (kind, ..) in KINDS.iter().take(5) {
        let resource = match kind_of(client, kind).await {
            Ok(resource) => resource,
            Err(error @ Error::NoSuchKind { .. }) => {
                missing = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        let list = client.list(&Query::all(&resource, Some(namespace))).await?;
        let names = list.items.iter().map(|item| text(item, "/metadata/name"));
        queries.extend(names.map(|name| Query::one(&resource, Some(namespace), name)));
    }
    match missing {
        Some(error) if queries.is_empty() => Err(error),
        _ => Ok(queries),
    }
}

/// Suspends or resumes; gives the object, and whether anything was changed.
///
/// # Errors
///
/// [`Error::NotFound`]; whatever else the server refuses.
pub async fn suspend(
    client: &Client,
    query: &Query,
    suspended: bool,
) -> Result<(Value, bool), Error> {
    let before = client.get(query).await?;
    if before
        .pointer("/spec/suspend")
        .and_then(Value::as_bool)
        .unwrap_or(false)
        == suspended
    {
        return Ok((before, false));
    }
    let body = json!({"spec": {"suspend": suspended}});
    let after = change::patch(client, query, Content::Merge, &body, MANAGER, false).await?;
    Ok((after, true))
}

/// Asks for a reconciliation and waits until it has succeeded.
///
/// # Errors
///
/// [`Error::Failed`] when it is suspended or stalls; [`Error::Deadline`] with what its controller says; whatever else the server
/// refuses.
pub async fn reconcile(
    client: &Client,
    query: &Query,
    request: Request,
    limit: Duration,
) -> Result<Value, Error> {
    let deadline = Instant::now() + limit;
    let object = client.get(query).await?;
    refuse_suspended(client, query, &object).await?;
    if request.with_source {
        for source in sources(client, query, &object).await? {
            let found = client.get(&source).await?;
            // A repository of charts in a registry has nothing to fetch and no status.
            if text(&found, "/spec/type") == "oci" {
                continue;
            }
            refuse_suspended(client, &source, &found).await?;
            ask(client, &source, Request::default(), deadline, limit).await?;
        }
    }
    ask(client, query, request, deadline, limit).await
}

/// Where an object gets its content from, the first first: a repository, then the chart Flux makes of it.
async fn sources(client: &Client, query: &Query, object: &Value) -> Result<Vec<Query>, Error> {
    let mut sources = Vec::new();
    if let Some((kind, namespace, name)) = source(object) {
        let resource = kind_of(client, &kind).await?;
        sources.push(Query::one(&resource, Some(&namespace), &name));
    }
    if query.resource.kind == "HelmRelease"
        && let Some((namespace, name)) = chart(object)
    {
        let resource = kind_of(client, "HelmChart").await?;
        sources.push(Query::one(&resource, Some(&namespace), &name));
    }
    Ok(sources)
}

async fn refuse_suspended(client: &Client, query: &Query, object: &Value) -> Result<(), Error> {
    if !read(object).suspended {
        return Ok(());
    }
    let key = query.key().unwrap_or_else(|| Key::of(object));
    let standing = Standing::of(key, "Suspended", "it is suspended: resume it first");
    Err(Error::Failed(
        evidence::gather(client, vec![standing]).await,
    ))
}

/// One request, until it is handled and the object is ready.
async fn ask(
    client: &Client,
    query: &Query,
    request: Request,
    deadline: Instant,
    limit: Duration,
) -> Result<Value, Error> {
    let token = Timestamp::now().to_string();
    let mut annotations = json!({ REQUESTED: token });
    let is_release = query.resource.kind == "HelmRelease";
    for (name, is_asked) in [(FORCED, request.force), (RESET, request.reset)] {
        if is_asked && is_release {
            annotations[name] = json!(token);
        }
    }
    let body = json!({"metadata": {"annotations": annotations}});
    change::patch(client, query, Content::Merge, &body, MANAGER, false).await?;
    let found = wait_for(
        client,
        std::slice::from_ref(query),
        Some(&token),
        deadline,
        limit,
    )
    .await?;
    found
        .into_iter()
        .next()
        .ok_or_else(|| Error::Answer("the object is gone".to_owned()))
}

/// Waits until objects of Flux are ready, Kustomizations with what their source has now.
///
/// # Errors
///
/// As [`reconcile`].
pub async fn ready(
    client: &Client,
    queries: &[Query],
    limit: Duration,
) -> Result<Vec<Value>, Error> {
    wait_for(client, queries, None, Instant::now() + limit, limit).await
}

async fn wait_for(
    client: &Client,
    queries: &[Query],
    token: Option<&str>,
    deadline: Instant,
    limit: Duration,
) -> Result<Vec<Value>, Error> {
    let keys: BTreeSet<Key> = queries.iter().filter_map(Query::key).collect();
    let mut wanted = Wanted {
        keys,
        sources_of: BTreeMap::new(),
        token,
        deadline,
        limit,
    };
    // Their sources are watched too: they may move meanwhile.
    let mut watching = queries.to_vec();
    for query in queries
        .iter()
        .filter(|query| query.resource.kind == "Kustomization")
    {
        let object = match client.get(query).await {
            // Another one may be about to make it.
            Err(error) if error.is_absent() => {
                let mut watched = Watched::start(client, queries);
                let all_there =
                    |watched: &Watched| wanted.keys.iter().all(|key| watched.get(key).is_some());
                wanted.wait(client, &mut watched, all_there).await?;
                client.get(query).await?
            }
            found => found?,
        };
        let (Some((kind, namespace, name)), Some(key)) = (source(&object), query.key()) else {
            continue;
        };
        let source = Query::one(&kind_of(client, &kind).await?, Some(&namespace), &name);
        if let Some(source_key) = source.key() {
            wanted.sources_of.insert(key, source_key);
            watching.push(source);
        }
    }
    let mut watched = Watched::start(client, &watching);
    wanted.wait(client, &mut watched, |_| false).await?;
    let mut found: Vec<Value> = wanted
        .keys
        .iter()
        .filter_map(|key| watched.get(key).cloned())
        .collect();
    found.iter_mut().for_each(without_managed_fields);
    Ok(found)
}

/// What is awaited of which objects, and until when.
struct Wanted<'a> {
    keys: BTreeSet<Key>,
    sources_of: BTreeMap<Key, Key>,
    token: Option<&'a str>,
    deadline: Instant,
    limit: Duration,
}

impl Wanted<'_> {
    /// Waits until all are as wanted, or what is watched is enough for now.
    async fn wait(
        &self,
        client: &Client,
        watched: &mut Watched,
        is_enough: impl Fn(&Watched) -> bool,
    ) -> Result<(), Error> {
        loop {
            if is_enough(watched) {
                return Ok(());
            }
            match judge(&self.keys, watched, &self.sources_of, self.token) {
                Looked::Ready => return Ok(()),
                Looked::Failed(standings) => {
                    return Err(Error::Failed(evidence::gather(client, standings).await));
                }
                Looked::Waits(standings) => {
                    match tokio::time::timeout_at(self.deadline, watched.next()).await {
                        Ok(Ok(Seen::Deleted(key))) if self.keys.contains(&key) => {
                            return Err(Error::Deleted {
                                what: key.to_string(),
                            });
                        }
                        Ok(seen) => drop(seen?),
                        Err(_) => {
                            return Err(evidence::deadline(client, standings, self.limit).await);
                        }
                    }
                }
            }
        }
    }
}

enum Looked {
    Ready,
    Waits(Vec<Standing>),
    Failed(Vec<Standing>),
}

fn judge(
    keys: &BTreeSet<Key>,
    watched: &Watched,
    sources_of: &BTreeMap<Key, Key>,
    token: Option<&str>,
) -> Looked {
    let mut waits = Vec::new();
    let mut failed = Vec::new();
    for key in keys {
        let source = sources_of.get(key).and_then(|source| watched.get(source));
        match verdict(key, watched.get(key), source, token) {
            Verdict::Holds => {}
            Verdict::Waits(standing) => waits.push(standing),
            // What is not there yet may still come to be known.
            Verdict::Fails(standing) if watched.is_listed() => failed.push(standing),
            Verdict::Fails(standing) => waits.push(standing),
        }
    }
    if !failed.is_empty() {
        Looked::Failed(failed)
    } else if waits.is_empty() {
        Looked::Ready
    } else {
        Looked::Waits(waits)
    }
}
