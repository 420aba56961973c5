//! From a directory to objects: manifests, and the part of Kustomize that the lab knows. Any other key is an error.

use base64::Engine;
use serde_json::{Map, Value, json};

use super::transform::{common, images, matches, merge, place_in, refer, rename};
use super::tree::Tree;
use crate::kube::object;
use crate::kube::patch;
use crate::kube::resource::Registry;

/// The largest manifest that is read.
const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Kustomizations within kustomizations.
const DEPTH_MAX: usize = 16;
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
const KEYS: [&str; 16] = [
    "apiVersion",
    "kind",
    "metadata",
    "resources",
    "namespace",
    "namePrefix",
    "nameSuffix",
    "labels",
    "commonLabels",
    "commonAnnotations",
    "images",
    "patches",
    "configMapGenerator",
    "secretGenerator",
    "generatorOptions",
    "components",
];

type Built = Result<Vec<Value>, String>;

/// The objects of a path below the root, with what the Flux object itself changes.
pub(super) fn build(tree: &Tree, path: &str, spec: &Value) -> Built {
    let folder = inside("", path)?;
    let mut objects = if kustomization(tree, &folder).is_some() {
        kustomize(tree, &folder, 0)?
    } else {
        plain(tree, &folder)?
    };
    let prefix = spec["namePrefix"].as_str().unwrap_or_default();
    let suffix = spec["nameSuffix"].as_str().unwrap_or_default();
    rename(&mut objects, prefix, suffix);
    images(&mut objects, object::items(spec, &["images"]));
    patches(
        tree,
        &folder,
        &mut objects,
        object::items(spec, &["patches"]),
    )?;
    common(
        &mut objects,
        &spec["commonMetadata"]["labels"],
        "labels",
        false,
    );
    common(
        &mut objects,
        &spec["commonMetadata"]["annotations"],
        "annotations",
        false,
    );
    Ok(objects)
}

/// A path below the root, written from a folder.
pub(super) fn inside(folder: &str, path: &str) -> Result<String, String> {
    if path.contains("://") || path.starts_with("git@") {
        return Err(format!("the lab fetches nothing: `{path}`"));
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts
                    .pop()
                    .ok_or_else(|| format!("`{path}` leads out of the source"))?;
            }
            name => parts.push(name),
        }
    }
    Ok(parts.join("/"))
}

fn kustomization(tree: &Tree, folder: &str) -> Option<String> {
    NAMES
        .iter()
        .map(|name| join(folder, name))
        .find(|path| tree.is_file(path))
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

fn read(tree: &Tree, path: &str) -> Result<String, String> {
    let content = tree
        .read(path)
        .ok_or_else(|| format!("{path}: no such file or directory"))?;
    if content.len() > FILE_BYTES_MAX {
        return Err(format!("{path}: larger than {FILE_BYTES_MAX} bytes"));
    }
    String::from_utf8(content.to_vec()).map_err(|_| format!("{path}: not UTF-8"))
}

/// The documents of a manifest; lists are taken apart.
pub(super) fn manifests(text: &str, place: &str) -> Built {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| format!("{place}: {error}"))?;
    let mut out = Vec::new();
    for document in documents {
        match document {
            Value::Null => {}
            Value::Object(map)
                if map
                    .get("kind")
                    .and_then(Value::as_str)
                    .is_some_and(|kind| kind.ends_with("List"))
                    && map.contains_key("items") =>
            {
                out.extend(
                    map.get("items")
                        .and_then(Value::as_array)
                        .cloned()
                        .unwrap_or_default(),
                );
            }
            own if own["kind"].is_string() && own["apiVersion"].is_string() => out.push(own),
            _ => return Err(format!("{place}: a document has no apiVersion or no kind")),
        }
    }
    if let Some(secret) = out.iter().find(|one| one.get("sops").is_some()) {
        return Err(format!(
            "{place}: the lab cannot decrypt `{}`",
            object::name(secret)
        ));
    }
    Ok(out)
}

/// Without a kustomization: all manifests below.
fn plain(tree: &Tree, folder: &str) -> Built {
    let mut out = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (path, _) in tree.below(folder) {
        let hidden = path[folder.len()..]
            .split('/')
            .any(|part| part.starts_with('.'));
        let yaml = path.ends_with(".yaml") || path.ends_with(".yml");
        if hidden || seen.iter().any(|own| path.starts_with(own.as_str())) {
            continue;
        }
        // The folder nearest to the root that has a kustomization of its own stands for all below it.
        let own = path
            .char_indices()
            .filter(|(at, c)| *c == '/' && *at > folder.len())
            .map(|(at, _)| &path[..at])
            .find(|part| kustomization(tree, part).is_some());
        if let Some(own) = own {
            out.extend(kustomize(tree, own, 1)?);
            seen.push(format!("{own}/"));
        } else if yaml {
            out.extend(manifests(&read(tree, path)?, path)?);
        }
    }
    Ok(out)
}

fn kustomize(tree: &Tree, folder: &str, depth: usize) -> Built {
    let Some(place) = kustomization(tree, folder) else {
        return plain(tree, folder);
    };
    if depth > DEPTH_MAX {
        return Err(format!("{place}: too deep"));
    }
    let own: Value = serde_saphyr::from_str(&read(tree, &place)?)
        .map_err(|error| format!("{place}: {error}"))?;
    if let Some(key) = own
        .as_object()
        .into_iter()
        .flat_map(|map| map.keys())
        .find(|key| !KEYS.contains(&key.as_str()))
    {
        return Err(format!(
            "{place}: the lab knows no `{key}` in a kustomization"
        ));
    }
    let mut objects = Vec::new();
    for part in object::items(&own, &["resources"])
        .iter()
        .chain(object::items(&own, &["components"]))
    {
        let path = inside(folder, part.as_str().unwrap_or_default())?;
        if tree.is_folder(&path) {
            objects.extend(kustomize(tree, &path, depth + 1)?);
        } else {
            objects.extend(manifests(&read(tree, &path)?, &path)?);
        }
    }
    let mut renamed = Vec::new();
    for (key, kind) in [
        ("configMapGenerator", "ConfigMap"),
        ("secretGenerator", "Secret"),
    ] {
        for one in object::items(&own, &[key]) {
            let (object, from) = generate(tree, folder, one, kind, &own["generatorOptions"])?;
            renamed.push((kind, from, object::name(&object).to_owned()));
            objects.push(object);
        }
    }
    for (kind, from, to) in &renamed {
        refer(&mut objects, kind, from, to);
    }
    patches(
        tree,
        folder,
        &mut objects,
        object::items(&own, &["patches"]),
    )?;
    if let Some(namespace) = own["namespace"].as_str() {
        let registry = Registry::builtin();
        for one in &mut objects {
            place_in(&registry, one, namespace);
        }
    }
    rename(
        &mut objects,
        own["namePrefix"].as_str().unwrap_or_default(),
        own["nameSuffix"].as_str().unwrap_or_default(),
    );
    common(&mut objects, &own["commonLabels"], "labels", true);
    for one in object::items(&own, &["labels"]) {
        common(
            &mut objects,
            &one["pairs"],
            "labels",
            one["includeSelectors"] == true,
        );
        if one["includeTemplates"] == true {
            for object in &mut objects {
                if let Some(template) = object.pointer_mut("/spec/template") {
                    merge(template, &one["pairs"], "labels");
                }
            }
        }
    }
    common(
        &mut objects,
        &own["commonAnnotations"],
        "annotations",
        false,
    );
    images(&mut objects, object::items(&own, &["images"]));
    Ok(objects)
}

fn patches(
    tree: &Tree,
    folder: &str,
    objects: &mut Vec<Value>,
    wanted: &[Value],
) -> Result<(), String> {
    let registry = Registry::builtin();
    for one in wanted {
        let text = match (one["patch"].as_str(), one["path"].as_str()) {
            (Some(text), _) => text.to_owned(),
            (None, Some(path)) => read(tree, &inside(folder, path)?)?,
            (None, None) => return Err("a patch has neither `patch` nor `path`".into()),
        };
        let changes: Vec<Value> = serde_saphyr::from_multiple(&text)
            .map_err(|error| format!("a patch cannot be read: {error}"))?;
        for change in changes {
            let target = if one["target"].is_object() {
                one["target"].clone()
            } else {
                json!({"kind": change["kind"], "name": change["metadata"]["name"]})
            };
            let mut hits = 0;
            for object in objects.iter_mut().filter(|object| matches(object, &target)) {
                hits += 1;
                if change.is_array() {
                    patch::json_patch(object, &change)?;
                    continue;
                }
                if change["$patch"] == "delete" {
                    *object = Value::Null;
                    continue;
                }
                let resource = registry.of_kind(
                    object["apiVersion"].as_str().unwrap_or_default(),
                    object["kind"].as_str().unwrap_or_default(),
                );
                let mut change = change.clone();
                // A patch for many names none of them.
                if one["target"].is_object() {
                    object::remove(&mut change, &["metadata", "name"]);
                    object::remove(&mut change, &["kind"]);
                    object::remove(&mut change, &["apiVersion"]);
                }
                match resource {
                    Some(resource) => {
                        patch::strategic_patch(Some(resource.schema()), object, &change)?
                    }
                    None => patch::merge_patch(object, &change),
                }
            }
            if hits == 0 && !one["target"].is_object() {
                return Err(format!(
                    "no matches for a patch of {} {}",
                    target["kind"], target["name"]
                ));
            }
        }
    }
    objects.retain(|object| !object.is_null());
    Ok(())
}

fn generate(
    tree: &Tree,
    folder: &str,
    one: &Value,
    kind: &str,
    options: &Value,
) -> Result<(Value, String), String> {
    let name = one["name"].as_str().unwrap_or_default().to_owned();
    let mut data: Map<String, Value> = Map::new();
    for pair in object::items(one, &["literals"]) {
        let (key, value) = pair
            .as_str()
            .unwrap_or_default()
            .split_once('=')
            .ok_or("a literal has no `=`")?;
        data.insert(key.to_owned(), value.trim_matches(['"', '\'']).into());
    }
    for file in object::items(one, &["files"]) {
        let text = file.as_str().unwrap_or_default();
        let (key, path) = text
            .split_once('=')
            .unwrap_or((text.rsplit('/').next().unwrap_or(text), text));
        data.insert(key.to_owned(), read(tree, &inside(folder, path)?)?.into());
    }
    for file in object::items(one, &["envs"]) {
        let text = read(tree, &inside(folder, file.as_str().unwrap_or_default())?)?;
        for line in text
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            data.insert(key.trim().to_owned(), value.into());
        }
    }
    let mut value = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
    if kind == "Secret" {
        for text in data.values_mut() {
            *text = base64::engine::general_purpose::STANDARD
                .encode(text.as_str().unwrap_or_default())
                .into();
        }
        value["type"] = one["type"].as_str().unwrap_or("Opaque").into();
    }
    value["data"] = data.into();
    if let Some(namespace) = one["namespace"].as_str() {
        value["metadata"]["namespace"] = namespace.into();
    }
    let plain = [&one["options"], options]
        .iter()
        .any(|options| options["disableNameSuffixHash"] == true);
    if !plain {
        let hash = object::safe(object::stable_hash(&value), 10);
        value["metadata"]["name"] = format!("{name}-{hash}").into();
    }
    merge(&mut value, &options["labels"], "labels");
    merge(&mut value, &one["options"]["labels"], "labels");
    Ok((value, name))
}
