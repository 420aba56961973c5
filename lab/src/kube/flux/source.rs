//! Sources: every one shows the directory that was set, under the revision that it has there.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use super::{INTERVAL, Outcome, conclude, duration, is_settled, nudge, scripted, status_of};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

const MANAGER: &str = "source-controller";
/// Files of a source that are read for its revision.
const FILES_MAX: usize = 10_000;
const CONSUMERS: [&str; 2] = [
    "kustomizations.kustomize.toolkit.fluxcd.io",
    "helmreleases.helm.toolkit.fluxcd.io",
];

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Option<Duration> {
    let value = &live.value;
    if object::is_deleting(value) || value["spec"]["suspend"] == true {
        return None;
    }
    let uid = object::uid(value).to_owned();
    let interval = duration(&value["spec"]["interval"], INTERVAL);
    if is_settled(state, value)
        && let Some(left) = state.marks.left(&uid, "interval", interval)
    {
        return Some(left);
    }
    state.marks.restart(&uid, "interval");
    let before = value["status"]["artifact"]["revision"].clone();
    let mut status = status_of(value);
    let kind = value["kind"].as_str().unwrap_or_default();
    let outcome = match scripted(state, value) {
        Some(reason) => Err((reason, "set to fail by the lab".to_owned())),
        None => revision(state, value, kind),
    };
    match outcome {
        Ok(revision) => {
            let message = format!("stored artifact for revision '{revision}'");
            if before != revision.as_str() {
                status["artifact"] = artifact(value, kind, &revision);
            }
            let outcome = Outcome {
                ready: "True",
                reason: "Succeeded",
                message: &message,
                observed: true,
                reconciling: false,
                stalled: false,
            };
            conclude(value, &mut status, &outcome, "ArtifactInStorage");
        }
        Err((reason, message)) => {
            let outcome = Outcome {
                ready: "False",
                reason: &reason,
                message: &message,
                observed: false,
                reconciling: true,
                stalled: false,
            };
            conclude(value, &mut status, &outcome, "FetchFailed");
            state.event(value, "Warning", &reason, &message, MANAGER);
        }
    }
    let changed = before != status["artifact"]["revision"];
    state.write_status(live, status, MANAGER);
    if changed {
        let name = object::name(value).to_owned();
        nudge(state, &CONSUMERS, |one| {
            one["spec"]["sourceRef"]["name"] == name.as_str()
                || one["spec"]["chart"]["spec"]["sourceRef"]["name"] == name.as_str()
                || one["spec"]["chartRef"]["name"] == name.as_str()
        });
    }
    Some(interval)
}

fn revision(state: &State, value: &Value, kind: &str) -> Result<String, (String, String)> {
    let flux = state.settings.flux.as_ref().ok_or((
        "GitOperationFailed".to_owned(),
        "Flux is not set up".to_owned(),
    ))?;
    match kind {
        "HelmRepository" => Ok(format!(
            "sha256:{}",
            tree(&flux.charts)
                .repeat(2)
                .chars()
                .take(64)
                .collect::<String>()
        )),
        "OCIRepository" => {
            let tag = object::text(value, &["spec", "ref", "tag"]);
            let digest: String = tree(&flux.root).repeat(2).chars().take(64).collect();
            Ok(format!(
                "{}@sha256:{digest}",
                if tag.is_empty() { "latest" } else { tag }
            ))
        }
        _ => git(&flux.root, &value["spec"]["ref"]),
    }
}

/// The revision of a git work tree, or of a directory that is none and counts as its branch `main`.
fn git(root: &Path, reference: &Value) -> Result<String, (String, String)> {
    let failed = |text: String| {
        (
            "GitOperationFailed".to_owned(),
            format!("failed to checkout and determine revision: {text}"),
        )
    };
    if !root.is_dir() {
        return Err(failed(format!(
            "unable to clone '{}': repository not found",
            root.display()
        )));
    }
    let text = |key: &str| reference[key].as_str().unwrap_or_default();
    let branch = match text("branch") {
        "" => "master",
        branch => branch,
    };
    let folder = root.join(".git");
    if !folder.exists() {
        if !text("commit").is_empty() || !matches!(branch, "main" | "master") {
            return Err(failed(format!(
                "couldn't find remote ref \"refs/heads/{branch}\""
            )));
        }
        return Ok(format!("{branch}@sha1:{}", tree(root)));
    }
    let find = |name: &str| {
        let loose = std::fs::read_to_string(folder.join(name))
            .ok()
            .map(|text| text.trim().to_owned());
        loose.or_else(|| {
            let packed = std::fs::read_to_string(folder.join("packed-refs")).ok()?;
            packed
                .lines()
                .find_map(|line| line.strip_suffix(name).map(|hash| hash.trim().to_owned()))
        })
    };
    if !text("commit").is_empty() {
        return Ok(format!("sha1:{}", text("commit")));
    }
    let (name, shown) = match text("tag") {
        "" => (format!("refs/heads/{branch}"), branch),
        tag => (format!("refs/tags/{tag}"), tag),
    };
    match find(&name) {
        Some(hash) => Ok(format!("{shown}@sha1:{hash}")),
        None => Err(failed(format!("couldn't find remote ref \"{name}\""))),
    }
}

/// A hash of the names and contents below a directory.
fn tree(root: &Path) -> String {
    let mut files = Vec::new();
    collect(root, &mut files);
    files.sort();
    let mut hash = Sha1::new();
    for file in files {
        hash.update(
            file.strip_prefix(root)
                .unwrap_or(&file)
                .to_string_lossy()
                .as_bytes(),
        );
        hash.update(std::fs::read(&file).unwrap_or_default());
    }
    let mut out = String::new();
    for byte in hash.finalize() {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name() == ".git" || files.len() >= FILES_MAX {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&path, files),
            Ok(kind) if kind.is_file() => files.push(path),
            _ => {}
        }
    }
}

fn artifact(value: &Value, kind: &str, revision: &str) -> Value {
    let path = format!(
        "{}/{}/{}/{revision}.tar.gz",
        kind.to_lowercase(),
        object::namespace(value),
        object::name(value)
    );
    let digest: String = revision
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .repeat(2)
        .chars()
        .take(64)
        .collect();
    json!({
        "digest": format!("sha256:{digest}"), "lastUpdateTime": object::now(), "path": path, "revision": revision, "size": 1024,
        "url": format!("http://source-controller.flux-system.svc.cluster.local./{path}"),
    })
}
