//! Charts: files of objects that stand in for them, `NAME-VERSION.yaml`.

use serde_json::Value;

use super::build::manifests;
use crate::kube::object;
use crate::kube::state::State;

/// The chart's name, version and objects.
pub(super) fn chart(state: &State, value: &Value) -> Result<(String, String, Vec<Value>), String> {
    let spec = &value["spec"]["chart"]["spec"];
    let (name, version) = match spec["chart"].as_str() {
        Some(name) => (
            name.rsplit('/').next().unwrap_or(name).to_owned(),
            spec["version"].as_str().unwrap_or("*").to_owned(),
        ),
        None => {
            let reference = &value["spec"]["chartRef"];
            let namespace = reference["namespace"]
                .as_str()
                .unwrap_or(object::namespace(value));
            let own = reference["name"].as_str().unwrap_or_default();
            let source = state
                .get("ocirepositories.source.toolkit.fluxcd.io", namespace, own)
                .ok_or_else(|| format!("OCIRepository/{namespace}/{own} not found"))?;
            let url = object::text(&source.value, &["spec", "url"]);
            let tag = object::text(&source.value, &["spec", "ref", "tag"]);
            (
                url.rsplit('/').next().unwrap_or(own).to_owned(),
                if tag.is_empty() {
                    "*".into()
                } else {
                    tag.to_owned()
                },
            )
        }
    };
    if let Some(reference) = spec.get("sourceRef") {
        let namespace = reference["namespace"]
            .as_str()
            .unwrap_or(object::namespace(value));
        let (kind, own) = (
            reference["kind"].as_str().unwrap_or_default(),
            reference["name"].as_str().unwrap_or_default(),
        );
        let table = match kind {
            "HelmRepository" => "helmrepositories.source.toolkit.fluxcd.io",
            "GitRepository" => "gitrepositories.source.toolkit.fluxcd.io",
            _ => return Err(format!("the lab serves no source of kind `{kind}`")),
        };
        let source = state
            .get(table, namespace, own)
            .ok_or_else(|| format!("{kind} '{namespace}/{own}' not found"))?;
        if source.value["status"]["artifact"].is_null() {
            return Err(format!("{kind} '{namespace}/{own}' is not ready"));
        }
    }
    let folder = state
        .settings
        .flux
        .as_ref()
        .map(|flux| flux.charts.clone())
        .unwrap_or_default();
    let file = find(&folder, &name, &version)
        .ok_or_else(|| format!("chart not in the lab: `{name}-{version}.yaml`"))?;
    let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
    let found = file
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    let version = found
        .strip_prefix(&format!("{name}-"))
        .unwrap_or(&version)
        .to_owned();
    Ok((
        name,
        version,
        manifests(&text, &file.display().to_string())?,
    ))
}
/// The file of a version; with a range the last of those that fit its beginning.
fn find(folder: &std::path::Path, name: &str, version: &str) -> Option<std::path::PathBuf> {
    let exact = folder.join(format!("{name}-{version}.yaml"));
    if exact.is_file() {
        return Some(exact);
    }
    let open = version.find(['x', '*', '^', '~', '>', '<']).is_some();
    if !open {
        return None;
    }
    let beginning = version
        .trim_start_matches(['^', '~', '>', '<', '=', ' '])
        .split(['x', '*', ' '])
        .next()
        .unwrap_or_default();
    let beginning = if version.starts_with(['^', '>', '<']) {
        beginning.split('.').next().unwrap_or_default()
    } else {
        beginning
    };
    let mut all: Vec<std::path::PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let stem = path
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default();
            stem.strip_prefix(&format!("{name}-")).is_some_and(|rest| {
                rest.starts_with(beginning) && rest.starts_with(|c: char| c.is_ascii_digit())
            })
        })
        .collect();
    all.sort();
    all.pop()
}
