//! `KUBECONFIG` for local scripts: the profile's contexts, never the user's default.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use runbook::model::Book;
use serde_json::json;

use crate::request::RunRequest;
use crate::secrets::expand;

/// The current context where a profile has several clusters: none, and its name says why.
const CHOOSE: &str = "say-which-with---context";

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
            let file = cluster
                .value
                .get("kubeconfig")
                .and_then(|file| file.as_text());
            let file = file.map(|file| expand(folder, file).into_os_string());
            files.extend(file.filter(|file| !files.contains(file)));
        }
    }
    let current = match (&contexts[..], files.is_empty()) {
        ([only], _) => only.as_str(),
        ([], true) => "",
        _ => CHOOSE,
    };
    // JSON is YAML.
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "clusters": [], "contexts": [], "users": [], "current-context": current,
    });
    let path = directory.join("kubeconfig");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    io::Write::write_all(&mut file, text.to_string().as_bytes())?;
    let mut value = path.into_os_string();
    for file in files {
        value.push(":");
        value.push(file);
    }
    Ok(value)
}
