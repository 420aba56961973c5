//! Kustomize, the part that the lab knows: resources and components, generators, patches, namespace, prefix and suffix, labels,
//! annotations, images. Any other key is an error. Names that change are followed at the very end, as Kustomize does it.

mod generate;
mod item;
mod labels;
mod patches;
mod references;
mod transform;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::sops::Identity;
use super::tree::Tree;
use crate::kube::object;
use crate::kube::resource::Registry;
use item::Item;
pub(super) use item::shown;

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

/// What a build reads from.
pub(super) struct Build<'a> {
    pub(super) tree: &'a Tree,
    pub(super) registry: Registry,
    /// What opens encrypted files of secret generators, where decryption is asked for.
    pub(super) identities: Option<&'a [Identity]>,
}

/// The objects of a folder, with what the Flux object's spec changes in its kustomization.
///
/// # Errors
///
/// The controller's words where they are known, else what is wrong and in which file.
pub(super) fn build(
    tree: &Tree,
    folder: &str,
    spec: &Value,
    identities: Option<&[Identity]>,
) -> Result<Vec<Value>, String> {
    let build = Build {
        tree,
        registry: Registry::builtin(),
        identities,
    };
    let (mut own, place) = match file_of(tree, folder) {
        Some(place) => (build.read_kustomization(&place)?, place),
        None => (
            json!({"resources": build.scan(folder)?}),
            join(folder, NAMES[0]),
        ),
    };
    // An empty one is no error for the controller.
    overlay(&mut own, spec, tree, folder)?;
    let mut layers = 0;
    let mut items = build
        .accumulate(folder, &place, &own, 0, &mut layers)
        .map_err(|text| format!("kustomize build failed: {text}"))?;
    for item in items.iter_mut().filter(|item| item.needs_hash) {
        let name = format!("{}-{}", item.name(), generate::hash(&item.value));
        item.rename(name);
    }
    references::follow(&mut items).map_err(|text| format!("kustomize build failed: {text}"))?;
    Ok(items.into_iter().map(|item| item.value).collect())
}

/// The objects that a directory below a root describes, as `kustomize build` gives them, as far as it is known here; without a
/// kustomization those of all manifests below it. Nothing is fetched.
///
/// # Errors
///
/// A file that is not there or cannot be read, a key that is not known, a path that leads out of the root; a lowercase fragment.
pub fn kustomized(root: &Path, folder: &str) -> Result<Vec<Value>, String> {
    let folder = inside("", folder)?;
    let tree = reached(root, &folder)?;
    build(&tree, &folder, &Value::Null, None)
}

/// The files below a folder, and what kustomizations lead to outside of theirs: of a large directory nothing else is read.
fn reached(root: &Path, folder: &str) -> Result<Tree, String> {
    let mut tree = Tree::default();
    let mut seen = BTreeSet::from([folder.to_owned()]);
    let mut pending = vec![folder.to_owned()];
    while let Some(path) = pending.pop() {
        tree.load(root, &path)?;
        let kustomizations: Vec<(String, Vec<u8>)> = tree
            .below(&path)
            .filter(|(file, _)| NAMES.contains(&file.rsplit('/').next().unwrap_or_default()))
            .map(|(file, content)| (file.to_owned(), content.to_vec()))
            .collect();
        for (file, content) in kustomizations {
            // One that cannot be read is told when it is built.
            let own: Value =
                serde_saphyr::from_str(&String::from_utf8_lossy(&content)).unwrap_or_default();
            let own_folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
            upward(&own, own_folder, &mut |other| {
                if seen.insert(other.clone()) {
                    pending.push(other);
                }
            });
        }
    }
    Ok(tree)
}

/// Every path of a kustomization that leads upwards, `KEY=PATH` of generators too.
fn upward(value: &Value, folder: &str, found: &mut impl FnMut(String)) {
    match value {
        Value::String(text) => {
            let path = text.rsplit('=').next().unwrap_or_default().trim();
            if path.split('/').any(|part| part == "..")
                && !path.contains(char::is_whitespace)
                && let Ok(path) = inside(folder, path)
                // A kustomization within itself is refused; all around it would be much to read.
                && !format!("{folder}/").starts_with(&format!("{path}/"))
                && !path.is_empty()
            {
                found(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| upward(item, folder, found)),
        Value::Object(map) => map.values().for_each(|item| upward(item, folder, found)),
        _ => {}
    }
}

/// Whether a target, as patches have it, aims at an object; one that says nothing aims at all.
pub(super) fn aims_at(target: &Value, object: &Value) -> bool {
    patches::selects(&Item::new(object.clone()), target)
}

/// What the Flux object's spec adds to the kustomization, before it is built.
fn overlay(own: &mut Value, spec: &Value, tree: &Tree, folder: &str) -> Result<(), String> {
    for (key, from) in [
        ("namespace", "targetNamespace"),
        ("namePrefix", "namePrefix"),
        ("nameSuffix", "nameSuffix"),
    ] {
        if spec[from].is_string() {
            own[key] = spec[from].clone();
        }
    }
    let mut add = |key: &str, more: Vec<Value>| {
        if !more.is_empty() {
            let mut all = object::items(own, &[key]).to_vec();
            all.extend(more);
            own[key] = all.into();
        }
    };
    add("patches", object::items(spec, &["patches"]).to_vec());
    let mut components = Vec::new();
    for one in object::items(spec, &["components"]) {
        let path = one.as_str().unwrap_or_default();
        let there = inside(folder, path).is_ok_and(|path| tree.is_folder(&path));
        if there || spec["ignoreMissingComponents"] != true {
            components.push(one.clone());
        }
    }
    add("components", components);
    let mut images = object::items(own, &["images"]).to_vec();
    for image in object::items(spec, &["images"]) {
        let Some(same) = images.iter_mut().find(|own| own["name"] == image["name"]) else {
            images.push(image.clone());
            continue;
        };
        if image["newName"].is_string() {
            same["newName"] = image["newName"].clone();
        }
        // Tag and digest choose the version together.
        if image["newTag"].is_string() || image["digest"].is_string() {
            same["newTag"] = image["newTag"].clone();
            same["digest"] = image["digest"].clone();
        }
    }
    if !images.is_empty() {
        own["images"] = images.into();
    }
    Ok(())
}

impl Build<'_> {
    fn read_kustomization(&self, place: &str) -> Result<Value, String> {
        let text = self.read(place)?;
        let own: Value =
            serde_saphyr::from_str(&text).map_err(|error| format!("{place}: {error}"))?;
        let own = if own.is_null() { json!({}) } else { own };
        let Some(map) = own.as_object() else {
            return Err(format!("{place}: a kustomization is a map"));
        };
        match map.keys().find(|key| !KEYS.contains(&key.as_str())) {
            Some(key) => Err(format!(
                "{place}: `{key}` of a kustomization is not known here"
            )),
            None => Ok(own),
        }
    }

    pub(super) fn read(&self, path: &str) -> Result<String, String> {
        let content = self.read_bytes(path)?;
        String::from_utf8(content.to_vec()).map_err(|_| format!("{path}: not UTF-8"))
    }

    pub(super) fn read_bytes(&self, path: &str) -> Result<&[u8], String> {
        let content = self
            .tree
            .read(path)
            .ok_or_else(|| format!("open {path}: no such file or directory"))?;
        if content.len() > FILE_BYTES_MAX {
            return Err(format!("{path}: larger than {FILE_BYTES_MAX} bytes"));
        }
        Ok(content)
    }

    /// The resources of a folder without a kustomization: all manifests below; a folder that has one stands for all below it.
    fn scan(&self, folder: &str) -> Result<Vec<Value>, String> {
        let mut out: Vec<String> = Vec::new();
        let start = if folder.is_empty() {
            0
        } else {
            folder.len() + 1
        };
        for (path, _) in self.tree.below(folder) {
            let below = &path[start..];
            let own = below
                .char_indices()
                .filter(|(_, c)| *c == '/')
                .map(|(at, _)| &path[..start + at])
                .find(|part| file_of(self.tree, part).is_some());
            if let Some(own) = own {
                let relative = own[start..].to_owned();
                if !out.contains(&relative) {
                    out.push(relative);
                }
            } else if path.ends_with(".yaml") || path.ends_with(".yml") {
                manifests(&self.read(path)?, path)
                    .map_err(|text| format!("failed to decode Kubernetes YAML from {text}"))?;
                out.push(below.to_owned());
            }
        }
        Ok(out.into_iter().map(Value::from).collect())
    }

    /// One kustomization, with all it stands on.
    fn accumulate(
        &self,
        folder: &str,
        place: &str,
        own: &Value,
        depth: usize,
        layers: &mut usize,
    ) -> Result<Vec<Item>, String> {
        if depth > DEPTH_MAX {
            return Err(format!("{place}: too deep"));
        }
        let mut items: Vec<Item> = Vec::new();
        for part in object::items(own, &["resources"]) {
            let text = part.as_str().unwrap_or_default();
            let failed = |text: String| format!("accumulating resources: {text}");
            for item in self.resource(folder, text, depth, layers).map_err(failed)? {
                add(&mut items, item, text)?;
            }
        }
        self.generators(folder, own, &mut items)?;
        for part in object::items(own, &["components"]) {
            let text = part.as_str().unwrap_or_default();
            let path = inside(folder, text)?;
            let place = file_of(self.tree, &path).ok_or_else(|| {
                format!("accumulating components: unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory '{path}'")
            })?;
            let component = self.read_kustomization(&place)?;
            // A component works on what is there already.
            for part in object::items(&component, &["resources"]) {
                let text = part.as_str().unwrap_or_default();
                for item in self.resource(&path, text, depth, layers)? {
                    add(&mut items, item, text)?;
                }
            }
            self.generators(&path, &component, &mut items)?;
            self.transform(&path, &component, &mut items)?;
        }
        self.transform(folder, own, &mut items)?;
        *layers += 1;
        for item in &mut items {
            item.layers.push(*layers);
        }
        Ok(items)
    }

    fn resource(
        &self,
        folder: &str,
        text: &str,
        depth: usize,
        layers: &mut usize,
    ) -> Result<Vec<Item>, String> {
        let path = inside(folder, text)?;
        if self.tree.is_folder(&path) {
            let place = file_of(self.tree, &path).ok_or_else(|| {
                format!("unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory '{path}'")
            })?;
            let own = self.read_kustomization(&place)?;
            return self.accumulate(&path, &place, &own, depth + 1, layers);
        }
        let manifest = self.read(&path).map_err(|error| {
            format!("accumulation err='accumulating resources from '{text}': {error}'")
        })?;
        Ok(manifests(&manifest, &path)?
            .into_iter()
            .map(Item::new)
            .collect())
    }

    fn generators(&self, folder: &str, own: &Value, items: &mut Vec<Item>) -> Result<(), String> {
        for (key, kind) in [
            ("configMapGenerator", "ConfigMap"),
            ("secretGenerator", "Secret"),
        ] {
            for one in object::items(own, &[key]) {
                self.generate(folder, one, kind, &own["generatorOptions"], items)?;
            }
        }
        Ok(())
    }

    fn transform(&self, folder: &str, own: &Value, items: &mut Vec<Item>) -> Result<(), String> {
        patches::apply(self, folder, items, object::items(own, &["patches"]))?;
        if let Some(namespace) = own["namespace"].as_str().filter(|own| !own.is_empty()) {
            transform::place(&self.registry, items, namespace);
        }
        transform::fix(
            items,
            own["namePrefix"].as_str().unwrap_or_default(),
            own["nameSuffix"].as_str().unwrap_or_default(),
        );
        for one in object::items(own, &["labels"]) {
            let how = if one["includeSelectors"] == true {
                labels::Where::Selectors
            } else if one["includeTemplates"] == true {
                labels::Where::Templates
            } else {
                labels::Where::Metadata
            };
            labels::set(items, &one["pairs"], how);
        }
        labels::set(items, &own["commonLabels"], labels::Where::Selectors);
        labels::annotate(items, &own["commonAnnotations"]);
        transform::images(items, object::items(own, &["images"]));
        Ok(())
    }
}

/// One more item, unless there is one of its name.
fn add(items: &mut Vec<Item>, item: Item, from: &str) -> Result<(), String> {
    if items.iter().any(|own| own.id() == item.id()) {
        return Err(format!(
            "accumulating resources: accumulation err='merging resources from '{from}': may not add resource with an already registered id: {}'",
            item.id()
        ));
    }
    items.push(item);
    Ok(())
}

fn file_of(tree: &Tree, folder: &str) -> Option<String> {
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

/// A path below the root, written from a folder.
pub(super) fn inside(folder: &str, path: &str) -> Result<String, String> {
    if path.contains("://") || path.starts_with("git@") || path.starts_with("github.com/") {
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

/// The documents of a manifest; lists are taken apart.
pub(super) fn manifests(text: &str, place: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| format!("{place}: {error}"))?;
    let mut out = Vec::new();
    for document in documents {
        let is_list = document["kind"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("List"));
        match document {
            Value::Null => {}
            Value::Object(map) if is_list && map.contains_key("items") => {
                out.extend(map["items"].as_array().cloned().unwrap_or_default());
            }
            own if own["kind"].is_string()
                && own["apiVersion"].is_string()
                && own["metadata"]["name"].is_string() =>
            {
                out.push(own);
            }
            own => {
                let missing = if own["kind"].is_string() && own["apiVersion"].is_string() {
                    "missing metadata.name in object"
                } else {
                    "a document has no apiVersion or no kind"
                };
                return Err(format!("{place}: {missing}"));
            }
        }
    }
    Ok(out)
}

/// A map of an object, made where there is none.
fn map_at<'a>(value: &'a mut Value, path: &[&str]) -> Option<&'a mut Map<String, Value>> {
    let mut at = value;
    for key in path {
        let map = at.as_object_mut()?;
        let next = map.entry(*key).or_insert_with(|| json!({}));
        if next.is_null() {
            *next = json!({});
        }
        at = next;
    }
    at.as_object_mut()
}
