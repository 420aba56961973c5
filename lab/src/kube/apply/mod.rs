//! Who owns which field: server-side apply with its conflicts, and what every other write means for ownership.
//!
//! The rules are those of structured-merge-diff: sets of paths, a merge, a comparison. Nothing here stores anything.

mod conflict;
mod go;
mod managed;
mod set;
mod walk;

use serde_json::Value;

use super::object;
use super::resource::Resource;
use super::schema::Schema;
use super::status::{Refusal, Result};
use managed::{Entry, Operation};
use set::{Element, Set};

pub(crate) use managed::{ManagedBy, zero};

/// The manager that kubectl applies as, and where it notes what it applied by itself.
const KUBECTL: &str = "kubectl";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Who owns what nobody noted an owner of.
const BEFORE: &str = "before-first-apply";

/// Parts that no manager owns.
const UNOWNED: [&[&str]; 10] = [
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "generation"],
    &["metadata", "resourceVersion"],
];

/// What a server-side apply leads to, before defaults and checks.
pub(crate) fn apply(
    resource: &Resource,
    live: Option<&Value>,
    (config, sent_namespace): (&Value, &str),
    by: &ManagedBy<'_>,
    force: bool,
) -> Result<Value> {
    if object::at(config, &["metadata", "managedFields"]).is_some_and(|fields| !fields.is_null()) {
        return Err(Refusal::bad_request("metadata.managedFields must be nil"));
    }
    let schema = resource.schema();
    if let Some(text) = walk::undeclared(schema, config) {
        let (namespace, name) = (sent_namespace, object::name(config));
        let group = resource.version_shown();
        return Err(Refusal::new(
            500,
            "",
            format!(
                "failed to create typed patch object ({namespace}/{name}; {group}, Kind={}): {text}",
                resource.kind
            ),
        ));
    }
    let empty = managed::empty_of(resource);
    let mut entries = live.map(managed::read).unwrap_or_default();
    if let Some(live) = live.filter(|_| entries.is_empty()) {
        let mut set = walk::field_set(schema, live);
        strip(&mut set, resource, by.subresource);
        let before = ManagedBy {
            manager: BEFORE,
            subresource: "",
        };
        entries.push(Entry::new(
            Operation::Update,
            &before,
            resource.api_version(),
            set,
        ));
    }
    let live = live.unwrap_or(&empty);
    let whole = walk::field_set(schema, config);
    let mut owned = whole.clone();
    strip(&mut owned, resource, by.subresource);
    let own = entries
        .iter()
        .position(|entry| entry.is(Operation::Apply, by, &resource.api_version()));
    let last = own
        .map(|index| entries[index].set.clone())
        .unwrap_or_default();
    let mut config = config.clone();
    object::remove(&mut config, &["metadata", "managedFields"]);
    let mut merged = walk::merge(Some(schema), live, &config);
    let others = entries
        .iter()
        .enumerate()
        .filter(|(index, _)| Some(*index) != own)
        .fold(whole, |set, (_, entry)| set.union(&entry.set));
    walk::prune(schema, &mut merged, &last, &others);
    let compared = walk::compare(schema, live, &merged);
    let changed = compared.modified.union(&compared.added);
    let mut conflicts = Vec::new();
    for (index, entry) in entries.iter_mut().enumerate() {
        if Some(index) == own {
            continue;
        }
        let both = entry.set.intersection(&changed);
        if !both.is_empty() {
            conflicts.push((entry.shown(), both.clone()));
            entry.set = entry.set.difference(&both);
        }
        entry.set = entry.set.difference(&compared.removed);
    }
    if !force && !conflicts.is_empty() && !migrates(schema, live, by, &conflicts) {
        return Err(conflict::refusal(&conflicts));
    }
    let fresh = Entry::new(Operation::Apply, by, resource.api_version(), owned);
    match own {
        Some(index) if entries[index].set == fresh.set && compared.is_same() => {
            entries[index].api_version = fresh.api_version;
        }
        Some(index) => entries[index] = fresh,
        None => entries.push(fresh),
    }
    if by.manager == KUBECTL && !object::annotation(&merged, LAST_APPLIED).is_empty() {
        // Who goes back to applying by the client finds what was applied last.
        let mut text = object::sorted(&config).to_string();
        text.push('\n');
        merged["metadata"]["annotations"][LAST_APPLIED] = text.into();
    }
    managed::write(&mut merged, entries);
    Ok(merged)
}

/// kubectl may take over what it applied before it did so by the server: what its own note names.
fn migrates(
    schema: &Schema,
    live: &Value,
    by: &ManagedBy<'_>,
    conflicts: &[(String, Set)],
) -> bool {
    let note = object::annotation(live, LAST_APPLIED);
    let Ok(applied) = serde_json::from_str::<Value>(note) else {
        return false;
    };
    let allowed = walk::field_set(schema, &applied);
    by.manager == KUBECTL
        && conflicts
            .iter()
            .all(|(_, set)| set.difference(&allowed).is_empty())
}

/// Gives one who applies what others own: those whom `from` names by manager and whether they apply.
pub(crate) fn take_over(
    resource: &Resource,
    value: &mut Value,
    to: &str,
    from: impl Fn(&str, bool) -> bool,
) {
    let by = ManagedBy {
        manager: to,
        subresource: "",
    };
    let entries = managed::read(value);
    let (own, others): (Vec<Entry>, Vec<Entry>) = entries
        .into_iter()
        .partition(|entry| entry.is(Operation::Apply, &by, &resource.api_version()));
    let (taken, mut kept): (Vec<Entry>, Vec<Entry>) =
        others.into_iter().partition(|entry| entry.is_whole(&from));
    if taken.is_empty() {
        return;
    }
    let set = own
        .iter()
        .chain(&taken)
        .fold(Set::default(), |set, entry| set.union(&entry.set));
    kept.push(Entry::new(
        Operation::Apply,
        &by,
        resource.api_version(),
        set,
    ));
    managed::write(value, kept);
}

/// Notes in `new` what this write changed, and who no longer owns it.
pub(crate) fn update(
    resource: &Resource,
    live: Option<&Value>,
    new: &mut Value,
    by: &ManagedBy<'_>,
) {
    let schema = resource.schema();
    let given = object::at(new, &["metadata", "managedFields"]).cloned();
    let reset = matches!(&given, Some(Value::Array(list)) if live.is_some()
        && (list.is_empty() || list.iter().all(|one| one.as_object().is_some_and(serde_json::Map::is_empty))));
    // What a client sends of it counts: that is how owners are migrated. What it leaves out is kept.
    let mut entries = match (&given, live) {
        (Some(Value::Array(list)), Some(_)) if !list.is_empty() && !reset => managed::read(new),
        (_, Some(_)) if reset => {
            object::remove(new, &["metadata", "managedFields"]);
            return;
        }
        (_, Some(live)) => managed::read(live),
        (_, None) => Vec::new(),
    };
    let empty = managed::empty_of(resource);
    let compared = walk::compare(schema, live.unwrap_or(&empty), new);
    let mut changed = compared.modified.union(&compared.added);
    strip(&mut changed, resource, by.subresource);
    let own = entries
        .iter()
        .position(|entry| entry.is(Operation::Update, by, &resource.api_version()));
    for (index, entry) in entries.iter_mut().enumerate() {
        if Some(index) != own {
            entry.set = entry.set.difference(&changed);
        }
        entry.set = entry.set.difference(&compared.removed);
    }
    if !changed.is_empty() {
        let set = match own {
            Some(index) => entries[index].set.union(&changed),
            None => changed,
        };
        let fresh = Entry::new(Operation::Update, by, resource.api_version(), set);
        match own {
            Some(index) => entries[index] = fresh,
            None => entries.push(fresh),
        }
    }
    managed::write(new, entries);
}

fn strip(set: &mut Set, resource: &Resource, subresource: &str) {
    for path in UNOWNED {
        let path: Vec<Element> = path
            .iter()
            .map(|name| Element::Field((*name).into()))
            .collect();
        set.remove(&path);
    }
    set.remove_below(&[
        Element::Field("metadata".into()),
        Element::Field("managedFields".into()),
    ]);
    if resource.qualified() == "namespaces" && subresource.is_empty() {
        set.remove_below(&[Element::Field("spec".into())]);
    }
    let status = Element::Field("status".into());
    if subresource == "status" {
        if resource.is_custom() {
            set.keep_only(&status);
        } else {
            set.remove_below(&[Element::Field("spec".into())]);
        }
    } else if resource.sub("status").is_some() {
        set.remove_below(&[status]);
    }
}

/// The schema of a path's parent has this field by name: only such are removed with their last owner.
fn names_field(schema: Option<&Schema>, name: &str) -> bool {
    schema.is_some_and(|schema| schema.resolve().properties.contains_key(name))
}
