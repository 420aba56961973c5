//! `apply`: objects as a manifest wishes them, and a patch of an object that is there.
//!
//! What is to be done is found out by the client without changing anything; here it becomes lines that people read, and what is
//! needed to take it back.

use std::time::Duration;

use runbook_k8s::apply::{self, Action, Applied, Options, Plan};
use runbook_k8s::diff::{self, Difference};
use runbook_k8s::{Client, Content, Error, Key, Object, Query, change};
use serde_json::{Map, Value, json};

/// How many objects a diff shows in full; more are counted.
const OBJECTS_SHOWN_MAX: usize = 200;
/// How many lines of one object a diff shows.
const LINES_SHOWN_MAX: usize = 60;

/// A wish for objects.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The objects, in the order of the manifest.
    pub objects: Vec<Object>,
    /// How they are applied.
    pub options: Options,
    /// How they are patched, where they are not applied.
    pub patch: Option<Patch>,
}

/// The form of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patch {
    /// RFC 7396: the object's own form, `null` takes out.
    Merge,
    /// RFC 6902: a list of operations.
    Json,
}

/// What there is, and what is to be done.
#[derive(Debug, Clone)]
pub enum Found {
    /// To be applied.
    Plan(Box<Plan>),
    /// To be patched.
    Patches(Vec<Patched>),
}

/// What a patch would make of an object.
#[derive(Debug, Clone)]
pub struct Patched {
    /// Which object.
    pub query: Query,
    /// Its key.
    pub key: Key,
    /// How it is.
    pub before: Value,
    /// What is sent; none where it changes nothing.
    body: Option<Value>,
    differences: Vec<Difference>,
}

/// What an apply is taken back from.
#[derive(Debug, Clone, Default)]
pub struct Former {
    /// Who applied.
    pub manager: String,
    /// What was done, in order.
    pub done: Vec<Applied>,
    /// What is to be done and was not told: it may have been done all the same when its request was under way.
    pub planned: Vec<Applied>,
    /// What was patched: how it was, and how it was afterwards.
    pub patched: Vec<(Query, Value, Option<Value>)>,
    /// The record for pruning: where it is, and how it was.
    pub record: Option<(Query, Option<Value>)>,
}

/// Compares; changes nothing.
///
/// # Errors
///
/// Whatever the server would refuse.
pub async fn compare(client: &Client, wish: &Wish) -> Result<Found, Error> {
    match wish.patch {
        None => Plan::make(client, &wish.objects, &wish.options)
            .await
            .map(|plan| Found::Plan(Box::new(plan))),
        Some(form) => {
            let mut patches = Vec::new();
            for object in &wish.objects {
                patches.push(try_patch(client, wish, object, form).await?);
            }
            Ok(Found::Patches(patches))
        }
    }
}

async fn try_patch(
    client: &Client,
    wish: &Wish,
    object: &Object,
    form: Patch,
) -> Result<Patched, Error> {
    let query = client
        .query_of(object, wish.options.namespace.as_deref())
        .await?;
    let before = client.get(&query).await?;
    let key = Key::of(&before);
    let mut patched = Patched {
        query,
        key,
        before,
        body: None,
        differences: Vec::new(),
    };
    let body = match form {
        Patch::Merge => object.value.clone(),
        Patch::Json => match pending(&object.value["patch"], &patched.before) {
            Some(operations) => operations,
            None => return Ok(patched),
        },
    };
    let manager = &wish.options.manager;
    let query = &patched.query;
    let after = change::patch(client, query, form.content(), &body, manager, true).await?;
    patched.differences = diff::differences(&patched.before, &after);
    patched.body = (!patched.differences.is_empty()).then_some(body);
    Ok(patched)
}

impl Patch {
    fn content(self) -> Content {
        match self {
            Self::Merge => Content::Merge,
            Self::Json => Content::JsonPatch,
        }
    }
}

/// The operations that are still to be done: what is to be removed and is not there, or appended and is in the list, is done.
fn pending(operations: &Value, object: &Value) -> Option<Value> {
    let is_done = |operation: &Value| {
        let path = operation["path"].as_str().unwrap_or_default();
        match operation["op"].as_str() {
            Some("remove") => object.pointer(path).is_none(),
            Some("add") => path.strip_suffix("/-").is_some_and(|list| {
                let list = object.pointer(list).and_then(Value::as_array);
                list.is_some_and(|list| list.contains(&operation["value"]))
            }),
            _ => false,
        }
    };
    let Some(operations) = operations.as_array() else {
        return Some(operations.clone());
    };
    let left: Vec<Value> = operations
        .iter()
        .filter(|operation| !is_done(operation))
        .cloned()
        .collect();
    let changes = left.iter().any(|operation| operation["op"] != "test");
    changes.then_some(Value::Array(left))
}

impl Found {
    /// What differs, for people; `None` when all is as wished.
    pub fn diff(&self) -> Option<String> {
        let mut lines = Vec::new();
        match self {
            Self::Plan(plan) => {
                let todo = plan
                    .objects()
                    .iter()
                    .filter(|planned| planned.action != Action::Same);
                let todo: Vec<_> = todo.collect();
                for planned in todo.iter().take(OBJECTS_SHOWN_MAX) {
                    object_lines(
                        &planned.key,
                        planned.action,
                        &planned.differences,
                        &mut lines,
                    );
                    if let Some(Error::Conflict { conflicts, .. }) = &planned.conflict {
                        lines.extend(conflicts.iter().map(|one| format!("    ! {one}")));
                    }
                }
                more(todo.len(), &mut lines);
                if todo.is_empty() && !plan.is_recorded() {
                    lines.push("+ the record of what was applied, for pruning".to_owned());
                }
            }
            Self::Patches(patches) => {
                for patched in patches.iter().filter(|patched| patched.body.is_some()) {
                    object_lines(
                        &patched.key,
                        Action::Change,
                        &patched.differences,
                        &mut lines,
                    );
                }
            }
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// The objects that would be made.
    pub fn created(&self) -> impl Iterator<Item = (&Key, &Value)> {
        let plan = match self {
            Self::Plan(plan) => plan.objects(),
            Self::Patches(_) => &[],
        };
        plan.iter()
            .filter(|planned| planned.action == Action::Create)
            .map(|planned| (&planned.key, &planned.wished))
    }
}

fn more(count: usize, lines: &mut Vec<String>) {
    if count > OBJECTS_SHOWN_MAX {
        lines.push(format!("… and {} objects more", count - OBJECTS_SHOWN_MAX));
    }
}

fn object_lines(key: &Key, action: Action, differences: &[Difference], lines: &mut Vec<String>) {
    let mark = match action {
        Action::Create => '+',
        Action::Prune => '-',
        Action::Change | Action::Same => '~',
    };
    lines.push(format!("{mark} {key}"));
    if action == Action::Prune {
        return;
    }
    let names_itself = |difference: &&Difference| {
        action == Action::Create
            && matches!(
                difference.path.as_str(),
                "metadata.name" | "metadata.namespace"
            )
    };
    let shown: Vec<&Difference> = differences
        .iter()
        .filter(|difference| !names_itself(difference))
        .collect();
    for difference in shown.iter().take(LINES_SHOWN_MAX) {
        lines.push(format!("    {difference}"));
    }
    if shown.len() > LINES_SHOWN_MAX {
        lines.push(format!(
            "    … and {} lines more",
            shown.len() - LINES_SHOWN_MAX
        ));
    }
}

/// How it is taken back, as far as that is known before it begins.
pub fn former(wish: &Wish, found: &Found) -> Former {
    let mut former = Former {
        manager: wish.options.manager.clone(),
        ..Former::default()
    };
    match found {
        Found::Plan(plan) => {
            let todo = plan
                .objects()
                .iter()
                .filter(|planned| planned.action != Action::Same);
            former.planned = todo
                .map(|planned| Applied {
                    key: planned.key.clone(),
                    resource: planned.resource.clone(),
                    wished: planned.wished.clone(),
                    action: planned.action,
                    before: planned.before.clone(),
                    after: None,
                })
                .collect();
        }
        Found::Patches(patches) => {
            let todo = patches.iter().filter(|patched| patched.body.is_some());
            former.patched = todo
                .map(|patched| (patched.query.clone(), patched.before.clone(), None))
                .collect();
        }
    }
    former
}

/// Changes what differs. What has to be taken back is in `former`, also when it fails.
///
/// # Errors
///
/// What the server refuses after all; what must be ready before the rest and is not.
pub async fn run(
    client: &Client,
    wish: &Wish,
    found: &Found,
    former: &mut Former,
    limit: Duration,
) -> Result<(), Error> {
    match found {
        Found::Plan(plan) => {
            if let Some(inventory) = &wish.options.inventory {
                let query = Query::one(
                    &runbook_k8s::Resource::config_map(),
                    Some(&inventory.namespace),
                    &inventory.name,
                );
                let was = match client.get(&query).await {
                    Ok(was) => Some(was),
                    Err(error) if error.is_absent() => None,
                    Err(error) => return Err(error),
                };
                former.record = Some((query, was));
            }
            let told = |applied: &Applied| {
                former.planned.retain(|planned| planned.key != applied.key);
                former.done.push(applied.clone());
            };
            (**plan).clone().run(client, limit, told).await.map(|_| ())
        }
        Found::Patches(patches) => {
            let form = wish.patch.unwrap_or(Patch::Merge);
            for patched in patches {
                let Some(body) = &patched.body else { continue };
                let (query, manager) = (&patched.query, &wish.options.manager);
                let after =
                    change::patch(client, query, form.content(), body, manager, false).await?;
                let entry = former.patched.iter_mut().find(|(other, ..)| other == query);
                if let Some((_, _, kept)) = entry {
                    *kept = Some(after);
                }
            }
            Ok(())
        }
    }
}

/// Takes it back, and waits until what is deleted is gone.
///
/// # Errors
///
/// An object that something holds; whatever else the server refuses.
pub async fn restore(client: &Client, former: &Former, limit: Duration) -> Result<(), Error> {
    for done in [&former.planned, &former.done] {
        apply::take_back(client, done, &former.manager, limit).await?;
    }
    for (query, before, after) in former.patched.iter().rev() {
        let Some(now) = unless_absent(client.get(query).await)? else {
            continue;
        };
        // Another of the same name is not what was patched.
        if now["metadata"]["uid"] != before["metadata"]["uid"] {
            continue;
        }
        // What was not answered may have been done: how it is now tells.
        let back = reverse(after.as_ref().unwrap_or(&now), before);
        if back != json!({}) {
            let manager = &former.manager;
            let patch = change::patch(client, query, Content::Merge, &back, manager, false).await;
            unless_absent(patch)?;
        }
    }
    match &former.record {
        Some((query, None)) => {
            change::absent(
                client,
                std::slice::from_ref(query),
                change::Propagation::Background,
                limit,
            )
            .await?;
        }
        Some((query, Some(was))) => {
            let body = json!({ "data": was["data"] });
            let manager = format!("{}-inventory", apply::MANAGER);
            let patch = change::patch(client, query, Content::Merge, &body, &manager, false).await;
            unless_absent(patch)?;
        }
        None => {}
    }
    Ok(())
}

/// What is gone has nothing to be put back.
fn unless_absent(result: Result<Value, Error>) -> Result<Option<Value>, Error> {
    match result {
        Err(error) if error.is_absent() => Ok(None),
        result => result.map(Some),
    }
}

/// The merge patch that leads back.
fn reverse(after: &Value, before: &Value) -> Value {
    let (mut after, mut before) = (after.clone(), before.clone());
    for object in [&mut after, &mut before] {
        if let Some(object) = object.as_object_mut() {
            object.remove("status");
        }
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|key, _| {
                matches!(
                    key.as_str(),
                    "labels" | "annotations" | "finalizers" | "ownerReferences"
                )
            });
        }
    }
    Value::Object(reverse_map(&after, &before))
}

fn reverse_map(after: &Value, before: &Value) -> Map<String, Value> {
    let empty = Map::new();
    let (is, was) = (
        after.as_object().unwrap_or(&empty),
        before.as_object().unwrap_or(&empty),
    );
    let mut back = Map::new();
    for (key, value) in was {
        match is.get(key) {
            Some(now) if now == value => {}
            Some(now) if now.is_object() && value.is_object() => {
                back.insert(key.clone(), Value::Object(reverse_map(now, value)));
            }
            _ => drop(back.insert(key.clone(), value.clone())),
        }
    }
    for key in is.keys().filter(|key| !was.contains_key(*key)) {
        back.insert(key.clone(), Value::Null);
    }
    back
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_that_are_done_are_left_out() {
        let object = json!({"spec": {"args": ["a"], "x": 1}});
        let operations = json!([{"op": "remove", "path": "/spec/gone"}, {"op": "add", "path": "/spec/args/-", "value": "a"},
            {"op": "test", "path": "/spec/x", "value": 1}]);
        assert_eq!(pending(&operations, &object), None);
        let operations = json!([{"op": "remove", "path": "/spec/gone"}, {"op": "replace", "path": "/spec/x", "value": 2}]);
        assert_eq!(
            pending(&operations, &object),
            Some(json!([{"op": "replace", "path": "/spec/x", "value": 2}]))
        );
    }

    #[test]
    fn the_way_back_takes_out_what_came_and_brings_back_what_went() {
        let before = json!({"metadata": {"name": "a", "resourceVersion": "1", "labels": {"l": "1"}}, "spec": {"x": 1, "gone": true, "list": [1]}});
        let after = json!({"metadata": {"name": "a", "resourceVersion": "2", "labels": {"l": "2"}}, "spec": {"x": 2, "new": {"a": 1}, "list": [1, 2]}, "status": {"s": 1}});
        assert_eq!(
            reverse(&after, &before),
            json!({"metadata": {"labels": {"l": "1"}}, "spec": {"x": 1, "gone": true, "list": [1], "new": null}})
        );
        assert_eq!(reverse(&before, &before), json!({}));
    }
}
