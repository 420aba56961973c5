//! `apply`, `absent`, and `flux` that suspends or resumes: from a step's keys to a wish, from what is there to its fields.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use runbook::read::{self, Args};
use runbook_k8s::apply::{Action, Inventory, Options};
use runbook_k8s::{Error, Key, Object, Query, Resource};
use serde_json::Value;

use super::super::context::Cx;
use super::super::job::{Job, left};
use super::super::outcome::Outcome;
use super::former::{Former, What as FormerWhat};
use super::{
    Read, above, cluster, failed, flux as flux_step, locks, manager, manifest, refused, silent,
    unless_stopped,
};
use crate::action::kube::{absent, apply, flux, look};
use crate::process::Cancel;
use crate::world::Cluster;

/// A wish for something of a cluster.
pub(in crate::execute) struct Wish {
    pub(super) cluster: Arc<Cluster>,
    pub(super) what: What,
    locks: Vec<String>,
    deadline: Instant,
    cancel: Cancel,
    /// What was compared last, to be waited for.
    seen: Mutex<Option<Found>>,
}

pub(super) enum What {
    Apply(Box<apply::Wish>),
    Absent(Vec<Query>),
    Flux(flux::Wish),
}

/// What is there.
#[derive(Clone)]
pub(in crate::execute) enum Found {
    Apply(apply::Found),
    Absent(absent::Found),
    Flux(flux::Found),
}

impl Wish {
    /// Reads the wish of a job.
    ///
    /// # Errors
    ///
    /// A value that is not what its key wants; no cluster to ask.
    pub(in crate::execute) async fn read(cx: &Cx, job: &Job<'_>, deadline: Instant) -> Read<Self> {
        let rendered = manifest::rendered(cx, job)?;
        let args = Args::new(job.action, &rendered).map_err(|error| cx.read(&error))?;
        // What is wrong with the step itself is told before anybody is asked.
        let objects = match job.action.name {
            "apply" => manifest::objects(cx, job, &args)?,
            "absent" if !args.has("objects") => manifest::objects(cx, job, &args)?,
            _ => Vec::new(),
        };
        let cluster = cluster(cx, job, deadline).await?;
        let (what, locks) = match job.action.name {
            "apply" => {
                let wish = apply_wish(cx, &args, &cluster, objects)?;
                let locks = locks_of(&cluster, &wish.objects, wish.options.namespace.as_deref());
                (What::Apply(Box::new(wish)), locks)
            }
            "absent" => {
                let asked = queries(cx, &args, &cluster, &objects);
                let asked = tokio::time::timeout_at(deadline.into(), asked).await;
                let queries = asked.map_err(|_| silent(&cluster.name))??;
                let keys: Vec<Key> = queries.iter().map(place).collect();
                let locks = locks(&cluster, keys.iter());
                (What::Absent(queries), locks)
            }
            _ => {
                let asked = flux_step::wish(cx, &args, &cluster);
                let asked = tokio::time::timeout_at(deadline.into(), asked).await;
                let wish = asked.map_err(|_| silent(&cluster.name))??;
                let keys: Vec<Key> = wish.queries.iter().map(place).collect();
                let locks = locks(&cluster, keys.iter());
                (What::Flux(wish), locks)
            }
        };
        Ok(Self {
            cluster,
            what,
            locks,
            deadline,
            cancel: cx.cancel.clone(),
            seen: Mutex::default(),
        })
    }

    /// What nobody else may touch meanwhile.
    pub(in crate::execute) fn locks(&self) -> Vec<String> {
        self.locks.clone()
    }

    /// Compares; changes nothing.
    pub(in crate::execute) async fn compare(&self, cx: &Cx) -> Read<(Found, Option<String>)> {
        let compared = tokio::time::timeout_at(self.deadline.into(), self.compared());
        let compared = match unless_stopped(&self.cancel, compared).await? {
            Err(_) => return Err(silent(&self.cluster.name)),
            Ok(compared) => compared,
        };
        let (found, diff) = match compared {
            Ok(compared) => compared,
            Err(error) => {
                return Err(
                    match above::forgives(cx, &self.cluster, &error, &self.queries()) {
                        Some(skipped) => skipped,
                        None => failed(cx, &self.cluster, &error).await,
                    },
                );
            }
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok((found, diff))
    }

    async fn compared(&self) -> Result<(Found, Option<String>), Error> {
        let client = &self.cluster.client;
        Ok(match &self.what {
            What::Apply(wish) => {
                let found = apply::compare(client, wish).await?;
                let diff = found.diff();
                (Found::Apply(found), diff)
            }
            What::Absent(queries) => {
                let found = absent::compare(client, queries).await?;
                let diff = found.diff();
                (Found::Absent(found), diff)
            }
            What::Flux(wish) => {
                let found = flux::compare(client, wish).await?;
                let diff = found.diff(wish);
                (Found::Flux(found), diff)
            }
        })
    }

    /// What the comparison found last.
    pub(super) fn seen(&self) -> Option<Found> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Remembers what would be made, for the steps below, where nothing is changed.
    pub(in crate::execute) fn note(&self, cx: &Cx, found: &Found) {
        if let Found::Apply(found) = found {
            above::note(cx, &self.cluster, found);
        }
    }

    /// Why the server would refuse the change, where the comparison told a conflict.
    pub(in crate::execute) async fn refused(&self, cx: &Cx, found: &Found) -> Option<Box<Outcome>> {
        let Found::Apply(apply::Found::Plan(plan)) = found else {
            return None;
        };
        Some(failed(cx, &self.cluster, plan.conflict()?).await)
    }

    /// How a change is taken back, as far as it is known before it begins.
    pub(in crate::execute) fn former(&self, found: &Found) -> Former {
        let what = match (&self.what, found) {
            (What::Apply(wish), Found::Apply(found)) => {
                FormerWhat::Apply(Box::new(apply::former(wish, found)))
            }
            (What::Flux(wish), Found::Flux(found)) => {
                FormerWhat::Flux(found.others.clone(), !wish.suspended)
            }
            _ => FormerWhat::Nothing,
        };
        Former {
            cluster: self.cluster.name.clone(),
            what,
        }
    }

    /// Changes what differs. What has to be taken back is in `former`, also when it fails.
    pub(in crate::execute) async fn change(
        &self,
        cx: &Cx,
        found: &Found,
        former: &mut Former,
    ) -> Read<()> {
        let client = &self.cluster.client;
        let limit = left(self.deadline);
        let work = async {
            match (&self.what, found, &mut former.what) {
                (What::Apply(wish), Found::Apply(found), FormerWhat::Apply(former)) => {
                    apply::run(client, wish, found, former, limit).await
                }
                (What::Absent(queries), ..) => absent::run(client, queries, limit).await,
                (What::Flux(wish), Found::Flux(found), _) => {
                    flux::set(client, &found.others, wish.suspended).await
                }
                _ => Ok(()),
            }
        };
        match unless_stopped(&self.cancel, work).await? {
            Ok(()) => Ok(()),
            Err(error) => Err(failed(cx, &self.cluster, &error).await),
        }
    }

    /// What the wish is about, by name, as far as that is known.
    fn queries(&self) -> Vec<Query> {
        match &self.what {
            // Only of a patch must the object itself be there.
            What::Apply(wish) if wish.patch.is_some() => {
                let objects = wish.objects.iter();
                let default = wish.options.namespace.as_deref();
                let default = default.unwrap_or(self.cluster.client.default_namespace());
                let query = |object: &Object| {
                    let group = Key::of(&object.value).group;
                    let version = object.api_version().rsplit('/').next().unwrap_or_default();
                    let resource = Resource::known(&group, version, object.kind())?;
                    let namespace = object.namespace().unwrap_or(default);
                    Some(Query::one(&resource, Some(namespace), object.name()))
                };
                objects.filter_map(query).collect()
            }
            What::Apply(_) => Vec::new(),
            What::Absent(queries) => queries.clone(),
            What::Flux(wish) => wish.queries.clone(),
        }
    }
}

/// Where a query looks, as a key: of several objects their namespace.
fn place(query: &Query) -> Key {
    query.key().unwrap_or_else(|| {
        Key::new(
            &query.resource.group,
            &query.resource.kind,
            query.namespace.as_deref(),
            "*",
        )
    })
}

/// An object that names no namespace may be in the default one, or belong to the whole cluster: both are locked.
fn locks_of(cluster: &Cluster, objects: &[Object], namespace: Option<&str>) -> Vec<String> {
    let default = namespace.unwrap_or(cluster.client.default_namespace());
    let mut keys = Vec::new();
    for object in objects {
        let key = object.key();
        if key.namespace.is_none() && key.kind != "Namespace" {
            keys.push(Key::new(&key.group, &key.kind, Some(default), &key.name));
        }
        keys.push(key);
    }
    locks(cluster, keys.iter())
}

fn apply_wish(
    cx: &Cx,
    args: &Args<'_>,
    cluster: &Cluster,
    objects: Vec<Object>,
) -> Read<apply::Wish> {
    let text = |field: &str| args.opt_text(field).map_err(|error| cx.read(&error));
    let flag = |field: &str| args.bool(field, false).map_err(|error| cx.read(&error));
    let namespace = text("namespace")?;
    let patch = match text("patch")?.as_deref() {
        Some("merge") => Some(apply::Patch::Merge),
        Some("json") => Some(apply::Patch::Json),
        _ => None,
    };
    let prune = flag("prune")?;
    if patch == Some(apply::Patch::Json)
        && let Some(object) = objects
            .iter()
            .find(|object| !object.value["patch"].is_array())
    {
        return Err(refused(
            format!("{} has no `patch`, a list of operations", object.key()),
            "write `apiVersion`, `kind` and `metadata` of the object, and beside them `patch: [{op, path, value}]`",
        ));
    }
    let is_made = |name: &str| {
        let mut made = objects.iter();
        made.any(|object| object.kind() == "Namespace" && object.name() == name)
    };
    // The record must stand in a namespace that is there before.
    let home = namespace.clone().filter(|namespace| !is_made(namespace));
    let inventory = prune.then(|| Inventory {
        namespace: home.unwrap_or_else(|| cluster.client.default_namespace().to_owned()),
        name: record_name(&cx.id.to_string(), &manager(cx)),
    });
    Ok(apply::Wish {
        options: Options {
            manager: manager(cx),
            namespace,
            force: flag("force")?,
            inventory,
            prune,
            tell_conflicts: true,
            coming: above::coming(cx, cluster),
            ..Options::default()
        },
        objects,
        patch,
    })
}

/// How the record of a step is called: the same each time, and another one for every step of every book.
fn record_name(id: &str, manager: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let digest = Sha256::digest(format!("{manager} {id}"));
    let digest: String = digest
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("runbook-applied-{digest}")
}

/// What `absent` means. A kind that the cluster does not have has no objects.
async fn queries(
    cx: &Cx,
    args: &Args<'_>,
    cluster: &Cluster,
    objects: &[Object],
) -> Read<Vec<Query>> {
    let client = &cluster.client;
    let mut asked = Vec::new();
    for object in objects {
        asked.push(client.query_of(object, None).await);
    }
    for node in args
        .get("objects")
        .map(read::items)
        .unwrap_or_default()
        .iter()
    {
        let text = |key: &str| {
            let text = node.get(key).map(read::text).transpose();
            text.map_err(|error| cx.read(&error))
        };
        let which = look::Which {
            kind: text("kind")?.unwrap_or_default(),
            api: text("api")?,
            name: text("name")?,
            labels: text("selector")?,
            fields: None,
            namespace: text("namespace")?,
            everywhere: false,
        };
        asked.push(which.query(client).await);
    }
    let mut queries = Vec::new();
    for query in asked {
        match query {
            Ok(query) => queries.push(query),
            Err(Error::NoSuchKind { .. }) => {}
            Err(error) => return Err(failed(cx, cluster, &error).await),
        }
    }
    Ok(queries)
}

/// The objects of a comparison where all is as wished.
pub(super) fn objects(found: &Found) -> Vec<Value> {
    match found {
        Found::Apply(apply::Found::Plan(plan)) => {
            let there = plan
                .objects()
                .iter()
                .filter(|planned| planned.action != Action::Prune);
            there.filter_map(|planned| planned.before.clone()).collect()
        }
        Found::Apply(apply::Found::Patches(patches)) => patches
            .iter()
            .map(|patched| patched.before.clone())
            .collect(),
        Found::Flux(found) => found.objects.clone(),
        Found::Absent(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_of_each_book_has_a_record_of_its_own() {
        let name = record_name("guides/a#s/deploy", "runbook-home");
        assert_eq!(name, record_name("guides/a#s/deploy", "runbook-home"));
        assert!(
            name.len() < 63 && name.starts_with("runbook-applied-"),
            "{name}"
        );
        assert_ne!(name, record_name("guides/a#s/other", "runbook-home"));
        assert_ne!(name, record_name("guides/a#s/deploy", "runbook-other"));
    }
}
