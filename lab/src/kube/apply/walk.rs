//! Walks over objects with their schema: the set of fields, the merge, the comparison, and the removal of what lost its owner.

use serde_json::{Map, Value};

use super::go;
use super::names_field;
use super::set::{Element, Set};
use crate::kube::schema::{ListKind, Schema, Shape, shape};

/// How two objects differ.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) added: Set,
    pub(super) modified: Set,
    pub(super) removed: Set,
}

impl Compared {
    pub(super) fn is_same(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }
}

/// How an item of a list is told from others.
fn element(kind: &ListKind<'_>, items: Option<&Schema>, item: &Value) -> Element {
    match kind {
        ListKind::Map(keys) => {
            let mut found: Vec<(String, String)> = keys
                .iter()
                .filter_map(|key| {
                    let default = || items?.resolve().properties.get(key)?.default.clone();
                    let value = item.get(key).cloned().or_else(default)?;
                    Some((key.clone(), value.to_string()))
                })
                .collect();
            found.sort();
            Element::Key(found)
        }
        ListKind::Set | ListKind::Atomic => Element::Value(item.to_string()),
    }
}

fn child<'a>(shape: &Shape<'a>, name: &str) -> Option<&'a Schema> {
    match shape {
        Shape::Fields { schema, .. } => schema.field(name),
        Shape::Map { items, .. } => *items,
        _ => None,
    }
}

/// The fields that a configuration has an opinion on.
pub(super) fn field_set(schema: &Schema, config: &Value) -> Set {
    let mut set = Set::default();
    fields(Some(schema), config, &mut Vec::new(), &mut set);
    set
}

fn fields(schema: Option<&Schema>, value: &Value, path: &mut Vec<Element>, set: &mut Set) {
    let shape = shape(schema, value);
    match (&shape, value) {
        (
            Shape::Fields { atomic: false, .. } | Shape::Map { atomic: false, .. },
            Value::Object(map),
        ) => {
            for (name, value) in map {
                path.push(Element::Field(name.clone()));
                let schema = child(&shape, name);
                fields(schema, value, path, set);
                let bare = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if bare
                    || !matches!(&shape, Shape::Fields { schema, .. } if schema.properties.contains_key(name))
                {
                    set.insert(path);
                }
                path.pop();
            }
        }
        (
            Shape::List {
                items,
                kind: kind @ (ListKind::Set | ListKind::Map(_)),
            },
            Value::Array(list),
        ) => {
            for item in list {
                path.push(element(kind, *items, item));
                if matches!(kind, ListKind::Map(_)) {
                    fields(*items, item, path, set);
                }
                set.insert(path);
                path.pop();
            }
        }
        _ => set.insert(path),
    }
}

/// The live object with the configuration on top.
pub(super) fn merge(schema: Option<&Schema>, live: &Value, config: &Value) -> Value {
    let shape = shape(schema, config);
    match (&shape, live, config) {
        (
            Shape::Fields { atomic: false, .. } | Shape::Map { atomic: false, .. },
            Value::Object(live),
            Value::Object(config),
        ) => {
            let mut out = live.clone();
            for (name, value) in config {
                let merged = match live.get(name) {
                    Some(own) => merge(child(&shape, name), own, value),
                    None => value.clone(),
                };
                out.insert(name.clone(), merged);
            }
            Value::Object(out)
        }
        (
            Shape::List {
                items,
                kind: kind @ (ListKind::Set | ListKind::Map(_)),
            },
            Value::Array(live),
            Value::Array(config),
        ) => merge_list(*items, kind, live, config),
        _ => config.clone(),
    }
}

/// Items that both have come in the order of the configuration; those only the live object has keep their neighbours.
fn merge_list(
    items: Option<&Schema>,
    kind: &ListKind<'_>,
    live: &[Value],
    config: &[Value],
) -> Value {
    let ours: Vec<Element> = live.iter().map(|item| element(kind, items, item)).collect();
    let theirs: Vec<Element> = config
        .iter()
        .map(|item| element(kind, items, item))
        .collect();
    let mut out = Vec::with_capacity(live.len().max(config.len()));
    let (mut left, mut right) = (0, 0);
    while left < live.len() || right < config.len() {
        if left < live.len() && !theirs.contains(&ours[left]) {
            out.push(live[left].clone());
            left += 1;
        } else if right < config.len() {
            let merged = match ours.iter().position(|one| *one == theirs[right]) {
                Some(index) => merge(items, &live[index], &config[right]),
                None => config[right].clone(),
            };
            out.push(merged);
            if left < live.len() && ours[left] == theirs[right] {
                left += 1;
            }
            right += 1;
        } else {
            // Came already, in the place the configuration gave it.
            left += 1;
        }
    }
    Value::Array(out)
}

/// How the second object differs from the first.
pub(super) fn compare(schema: &Schema, live: &Value, new: &Value) -> Compared {
    let mut compared = Compared::default();
    differ(
        Some(schema),
        Some(live),
        Some(new),
        &mut Vec::new(),
        &mut compared,
    );
    compared
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        Some(_) => false,
    }
}

fn differ(
    schema: Option<&Schema>,
    live: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<Element>,
    out: &mut Compared,
) {
    let Some(any) = new.filter(|new| !new.is_null()).or(live).or(new) else {
        return;
    };
    let shape = shape(schema, any);
    let mut leaf = matches!(
        shape,
        Shape::Scalar
            | Shape::Fields { atomic: true, .. }
            | Shape::Map { atomic: true, .. }
            | Shape::List {
                kind: ListKind::Atomic,
                ..
            }
    ) || (is_empty(live) && is_empty(new));
    // Of two kinds of value none is below the other.
    if let (Some(live), Some(new)) = (live, new) {
        leaf |= !live.is_null()
            && !new.is_null()
            && std::mem::discriminant(live) != std::mem::discriminant(new);
    }
    if leaf {
        match (live, new) {
            (None, Some(_)) => out.added.insert(path),
            (Some(_), None) => out.removed.insert(path),
            (Some(live), Some(new)) if live != new => out.modified.insert(path),
            _ => {}
        }
        return;
    }
    match &shape {
        Shape::List { items, kind } => {
            let list = |value: Option<&Value>| {
                value.and_then(Value::as_array).cloned().unwrap_or_default()
            };
            let (ours, theirs) = (list(live), list(new));
            let mut known: std::collections::BTreeMap<Element, (Option<&Value>, Option<&Value>)> =
                Default::default();
            for item in &ours {
                known.entry(element(kind, *items, item)).or_default().0 = Some(item);
            }
            for item in &theirs {
                known.entry(element(kind, *items, item)).or_default().1 = Some(item);
            }
            for (element, (live, new)) in known {
                path.push(element);
                differ(*items, live, new, path, out);
                path.pop();
            }
        }
        _ => {
            let empty = Map::new();
            let ours = live.and_then(Value::as_object).unwrap_or(&empty);
            let theirs = new.and_then(Value::as_object).unwrap_or(&empty);
            let names = ours
                .keys()
                .chain(theirs.keys().filter(|name| !ours.contains_key(*name)));
            for name in names {
                path.push(Element::Field(name.clone()));
                differ(
                    child(&shape, name),
                    ours.get(name),
                    theirs.get(name),
                    path,
                    out,
                );
                path.pop();
            }
        }
    }
    match (live, new) {
        (None, Some(_)) => out.added.insert(path),
        (Some(_), None) => out.removed.insert(path),
        _ => {}
    }
}

/// Takes away what was in `last` and is owned by nobody any more.
pub(super) fn prune(schema: &Schema, value: &mut Value, last: &Set, owned: &Set) {
    prune_node(Some(schema), value, last, Some(owned));
}

fn prune_node(schema: Option<&Schema>, value: &mut Value, last: &Set, owned: Option<&Set>) {
    let shape = shape(schema, value);
    match value {
        Value::Object(map) => {
            for (element, below) in &last.children {
                let Element::Field(name) = element else {
                    continue;
                };
                let theirs = owned.and_then(|owned| owned.children.get(element));
                let named = names_field(schema, name);
                let was = below.member || named;
                let is = theirs.is_some_and(|set| set.member || (named && !set.is_empty()));
                if was && !is {
                    map.shift_remove(name);
                } else if let Some(value) = map.get_mut(name) {
                    prune_node(child(&shape, name), value, below, theirs);
                }
            }
        }
        Value::Array(list) => {
            let Shape::List { items, kind } = &shape else {
                return;
            };
            list.retain_mut(|item| {
                let element = element(kind, *items, item);
                let Some(below) = last.children.get(&element) else {
                    return true;
                };
                let theirs = owned.and_then(|owned| owned.children.get(&element));
                if below.member && !theirs.is_some_and(|set| set.member) {
                    return false;
                }
                prune_node(*items, item, below, theirs);
                true
            });
        }
        _ => {}
    }
}

/// The first thing that the schema does not have, as the API says it.
pub(super) fn undeclared(schema: &Schema, config: &Value) -> Option<String> {
    look(Some(schema), config, &mut Vec::new())
}

fn shown(path: &[Element]) -> String {
    path.iter().map(Element::shown).collect()
}

fn look(schema: Option<&Schema>, value: &Value, path: &mut Vec<Element>) -> Option<String> {
    let shape = shape(schema, value);
    if let Some(schema) = schema.filter(|schema| !schema.is_any()) {
        let own = schema.resolve();
        let wanted = match own.kind.as_deref() {
            _ if own.int_or_string || value.is_null() => "",
            Some("object") if !value.is_object() => "map",
            Some("array") if !value.is_array() => "list",
            Some("string") if !value.is_string() && !schema.is_quantity() => "string",
            Some("integer" | "number") if !value.is_number() => "numeric (int or float)",
            Some("boolean") if !value.is_boolean() => "boolean",
            _ => "",
        };
        if !wanted.is_empty() {
            let got = go::got(wanted, value);
            return Some(format!("{}: expected {wanted}, got {got}", shown(path)));
        }
    }
    match (&shape, value) {
        (Shape::Fields { .. } | Shape::Map { .. }, Value::Object(map)) => {
            map.iter().find_map(|(name, value)| {
                path.push(Element::Field(name.clone()));
                let found = match &shape {
                    Shape::Fields { schema, .. }
                        if schema.field(name).is_none() && !schema.preserve =>
                    {
                        Some(format!("{}: field not declared in schema", shown(path)))
                    }
                    _ => look(child(&shape, name), value, path),
                };
                path.pop();
                found
            })
        }
        (Shape::List { items, kind }, Value::Array(list)) => {
            let mut seen = std::collections::BTreeSet::new();
            list.iter().enumerate().find_map(|(index, item)| {
                let own = match kind {
                    ListKind::Atomic => Element::Index(index),
                    _ => element(kind, *items, item),
                };
                if !matches!(kind, ListKind::Atomic) && !seen.insert(own.clone()) {
                    return Some(format!(
                        "{}: duplicate entries for key {}",
                        shown(path),
                        own.shown()
                    ));
                }
                path.push(own);
                let found = look(*items, item, path);
                path.pop();
                found
            })
        }
        _ => None,
    }
}
