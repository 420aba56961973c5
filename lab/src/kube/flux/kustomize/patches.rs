//! Patches: strategic merge and JSON 6902, for one resource by its name or for all that a target selects.

use regex::Regex;
use serde_json::{Value, json};

use super::item::Item;
use super::{Build, inside};
use crate::kube::object;
use crate::kube::patch;

pub(super) fn apply(
    build: &Build<'_>,
    folder: &str,
    items: &mut Vec<Item>,
    wanted: &[Value],
) -> Result<(), String> {
    for one in wanted {
        let (text, place) = match (one["patch"].as_str(), one["path"].as_str()) {
            (Some(text), _) if !text.is_empty() => (text.to_owned(), text),
            (_, Some(path)) => (build.read(&inside(folder, path)?)?, path),
            _ => return Err("must specify one of patch and path in a patch".into()),
        };
        let unreadable = || format!("unable to parse SM or JSON patch from [patch: {text:?}]");
        // What begins as a JSON list is read as JSON, not as YAML.
        let changes: Vec<Value> = if text.trim_start().starts_with('[') {
            vec![serde_json::from_str(&text).map_err(|_| unreadable())?]
        } else {
            serde_saphyr::from_multiple(&text).map_err(|_| unreadable())?
        };
        for change in changes.iter().filter(|change| !change.is_null()) {
            if change.is_array() {
                if !one["target"].is_object() {
                    return Err(format!("must specify a target for JSON patch `{place}`"));
                }
                for item in items
                    .iter_mut()
                    .filter(|item| selects(item, &one["target"]))
                {
                    patch::json_patch(&mut item.value, change)?;
                }
            } else {
                merge(build, items, change, &one["target"])?;
            }
        }
    }
    items.retain(|item| !item.value.is_null());
    Ok(())
}

/// A strategic merge. Without a target it is of one resource, which must be there.
fn merge(
    build: &Build<'_>,
    items: &mut [Item],
    change: &Value,
    target: &Value,
) -> Result<(), String> {
    let named = Item::new(change.clone());
    let fits = |item: &Item| {
        if target.is_object() {
            return selects(item, target);
        }
        item.kind() == named.kind()
            && item.group().0 == named.group().0
            && item.answers_to(named.name())
            && (named.namespace().is_empty() || item.namespace() == named.namespace())
    };
    let mut hits = 0;
    for item in items.iter_mut().filter(|item| fits(item)) {
        hits += 1;
        if change["$patch"] == "delete" {
            item.value = Value::Null;
            continue;
        }
        let mut change = change.clone();
        // A patch changes neither name nor kind, whatever it says.
        object::remove(&mut change, &["metadata", "name"]);
        object::remove(&mut change, &["kind"]);
        object::remove(&mut change, &["apiVersion"]);
        let resource = build.registry.of_kind(
            item.value["apiVersion"].as_str().unwrap_or_default(),
            item.kind(),
        );
        match resource {
            Some(resource) => {
                patch::strategic_patch(Some(resource.schema()), &mut item.value, &change)?;
            }
            None => patch::merge_patch(&mut item.value, &change),
        }
    }
    if hits == 0 && !target.is_object() {
        let id = named.id();
        return Err(format!(
            "no resource matches strategic merge patch \"{id}\": no matches for Id {id}; failed to find unique target for patch {id}"
        ));
    }
    Ok(())
}

/// Whether a target selects a resource: kinds and names are whole regular expressions.
pub(super) fn selects(item: &Item, target: &Value) -> bool {
    if item.value.is_null() {
        return false;
    }
    let whole = |key: &str, texts: &[&str]| {
        target[key]
            .as_str()
            .filter(|pattern| !pattern.is_empty())
            .is_none_or(|pattern| {
                Regex::new(&format!("^(?:{pattern})$"))
                    .is_ok_and(|regex| texts.iter().any(|text| regex.is_match(text)))
            })
    };
    let (group, version) = item.group();
    let chosen = |key: &str, part: &str| {
        target[key]
            .as_str()
            .filter(|text| !text.is_empty())
            .is_none_or(|text| {
                let labels = item.value["metadata"]
                    .get(part)
                    .cloned()
                    .unwrap_or_else(|| json!({}));
                selected(&labels, text)
            })
    };
    whole("kind", &[item.kind()])
        && whole("group", &[group])
        && whole("version", &[version])
        && whole("name", &[item.name(), item.first_name()])
        && whole("namespace", &[item.namespace()])
        && chosen("labelSelector", "labels")
        && chosen("annotationSelector", "annotations")
}

/// Terms `a=b`, `a==b`, `a!=b`, `a`, `!a` and `a in (b,c)`, all of which must hold.
fn selected(labels: &Value, text: &str) -> bool {
    let mut terms: Vec<String> = vec![String::new()];
    let mut within = false;
    for c in text.chars() {
        within = (within || c == '(') && c != ')';
        match c {
            ',' if !within => terms.push(String::new()),
            c => terms.last_mut().expect("there is one").push(c),
        }
    }
    terms.iter().map(|term| term.trim()).all(|term| {
        let label = |key: &str| labels[key.trim()].as_str();
        let listed = |rest: &str, value: &str| {
            rest.trim()
                .trim_matches(['(', ')'])
                .split(',')
                .any(|own| own.trim() == value)
        };
        if let Some((key, rest)) = term.split_once(" notin ") {
            label(key).is_none_or(|value| !listed(rest, value))
        } else if let Some((key, rest)) = term.split_once(" in ") {
            label(key).is_some_and(|value| listed(rest, value))
        } else if let Some((key, value)) = term.split_once("!=") {
            label(key) != Some(value.trim())
        } else if let Some((key, value)) = term.split_once('=') {
            label(key) == Some(value.trim_start_matches('=').trim())
        } else if let Some(key) = term.strip_prefix('!') {
            label(key).is_none()
        } else {
            label(term).is_some()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_selectors_are_read() {
        let labels = json!({"app": "web", "tier": "front"});
        for (text, holds) in [
            ("app=web", true),
            ("app==web,tier!=back", true),
            ("app in (api, web)", true),
            ("app notin (api,web)", false),
            ("app,!team", true),
            ("team", false),
        ] {
            assert_eq!(selected(&labels, text), holds, "{text}");
        }
    }
}
