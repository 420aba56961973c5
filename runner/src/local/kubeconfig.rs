//! `KUBECONFIG` for local scripts: the profile's contexts, never the user's default.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use runbook::model::Book;
use serde_json::json;

use crate::request::RunRequest;
use crate::secrets::expand;
use crate::world::clusters::USUAL;
use crate::world::clusters::kubeconfig::{self, CHOOSE};

/// Writes a configuration of our own and returns the value of `KUBECONFIG`: that file first, so that its current context
/// wins, then the profile's files.
pub(super) fn write(directory: &Path, book: &Book, request: &RunRequest) -> io::Result<OsString> {
    let inventory = request.root.join(&book.options.inventory);
    let folder = inventory.parent().unwrap_or(&request.root);
    let mut contexts: Vec<String> = Vec::new();
    let mut files: Vec<OsString> = Vec::new();
    if !request.is_lab() {
        let profile = book
            .inventory
            .profiles
            .iter()
            .find(|(name, _)| *name == request.profile);
        let clusters = profile.and_then(|(_, profile)| profile.node.as_ref()?.get("clusters"));
        for cluster in clusters
            .and_then(|clusters| clusters.as_map())
            .into_iter()
            .flatten()
        {
            contexts.extend(
                cluster
                    .value
                    .get("context")
                    .and_then(|context| context.as_text())
                    .map(str::to_owned),
            );
            let file = cluster.value.get("kubeconfig");
            let file = file.and_then(|file| file.as_text()).unwrap_or(USUAL);
            let file = expand(folder, file).into_os_string();
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    let current = match (&contexts[..], files.is_empty()) {
        ([only], _) => only.as_str(),
        ([], true) => "",
        _ => CHOOSE,
    };
    let path = directory.join("kubeconfig");
    kubeconfig::write(&path, &empty(current))?;
    let mut value = path.into_os_string();
    for file in files {
        value.push(":");
        value.push(file);
    }
    Ok(value)
}

/// Writes one that names no cluster.
pub(super) fn write_empty(path: &Path) -> io::Result<()> {
    kubeconfig::write(path, &empty(""))
}

fn empty(current: &str) -> String {
    // JSON is YAML.
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "clusters": [], "contexts": [], "users": [], "current-context": current,
    });
    config.to_string()
}
