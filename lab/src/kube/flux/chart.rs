//! HelmCharts: which file stands in for a chart, `NAME-VERSION.yaml`. Which chart and version it is comes from where the real ones
//! are: a folder with a `Chart.yaml` in a git repository, or the name and the range of versions that are asked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use semver::Version;
use serde_json::{Value, json};

use super::conditions::Status;
use super::tree::Tree;
use super::{DEPENDENCY, INTERVAL, duration, is_settled, keep, leaves, nudge, scripted};
use super::{kustomize, range};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

pub(super) const TABLE: &str = "helmcharts.source.toolkit.fluxcd.io";
const MANAGER: &str = "source-controller";

/// A chart that was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) app_version: String,
    /// The digest of the artifact of a registry that it was pulled as.
    pub(super) oci_digest: String,
    pub(super) file: PathBuf,
}

/// Why there is none: the reason, the words, and whether only a change of something can help.
struct Missing {
    reason: &'static str,
    text: String,
    stalled: bool,
}

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Option<Duration> {
    let value = &live.value;
    let uid = object::uid(value).to_owned();
    if leaves(state, live) {
        return None;
    }
    if keep(state, live, MANAGER) {
        return Some(Duration::ZERO);
    }
    if value["spec"]["suspend"] == true {
        return None;
    }
    let interval = duration(&value["spec"]["interval"], INTERVAL);
    let observed = &value["status"]["observedSourceArtifactRevision"];
    let same_source = source_revision(state, value)
        .as_ref()
        .map_or(Value::Null, |own| own.as_str().into())
        == *observed;
    if is_settled(state, value)
        && same_source
        && state.flux.charts.contains_key(&uid)
        && let Some(left) = state.marks.left(&uid, "interval", interval)
    {
        return Some(left);
    }
    state.marks.restart(&uid, "interval");
    let found = match scripted(state, value) {
        Some(_) => Err(Missing {
            reason: "ChartPullError",
            text: "set to fail by the lab".into(),
            stalled: false,
        }),
        None => find(state, value),
    };
    let mut status = Status::of(value);
    if let Some(revision) = source_revision(state, value) {
        status.value["observedSourceArtifactRevision"] = revision.into();
    }
    let before = value["status"]["artifact"]["revision"].clone();
    let again = match found {
        Ok(found) => {
            let packaged = value["spec"]["sourceRef"]["kind"] == "GitRepository";
            let (word, reason) = if packaged {
                ("packaged", "ChartPackageSucceeded")
            } else {
                ("pulled", "ChartPullSucceeded")
            };
            let text = format!(
                "{word} '{}' chart with version '{}'",
                found.name, found.version
            );
            status.drop(&["Stalled", "Reconciling", "FetchFailed"]);
            status.mark("Ready", "True", reason, &text);
            status.mark("ArtifactInStorage", "True", reason, &text);
            if before != found.version.as_str() {
                status.value["artifact"] = describe(value, &found);
            }
            status.value["observedChartName"] = found.name.as_str().into();
            status.observe();
            state.flux.charts.insert(uid, found);
            interval
        }
        Err(missing) => {
            state.flux.charts.remove(&uid);
            status.mark("Ready", "False", missing.reason, &missing.text);
            status.mark("FetchFailed", "True", missing.reason, &missing.text);
            if missing.stalled {
                status.drop(&["Reconciling"]);
                status.mark("Stalled", "True", missing.reason, &missing.text);
                status.observe();
            } else {
                status.drop(&["Stalled"]);
                status.mark(
                    "Reconciling",
                    "True",
                    "ProgressingWithRetry",
                    "building artifact",
                );
            }
            state.event(value, "Warning", missing.reason, &missing.text, MANAGER);
            if missing.reason == "SourceUnavailable" || missing.reason == "NoSourceArtifact" {
                DEPENDENCY
            } else {
                interval
            }
        }
    };
    status.handle(value);
    status.write(state, live, MANAGER);
    let key = format!("{}/{}", object::namespace(value), object::name(value));
    nudge(state, &["helmreleases.helm.toolkit.fluxcd.io"], |one| {
        one["status"]["helmChart"] == key.as_str()
    });
    Some(again)
}

/// The source that a chart names.
fn source(state: &State, value: &Value) -> Option<Arc<Object>> {
    let reference = &value["spec"]["sourceRef"];
    let table = match reference["kind"].as_str()? {
        "HelmRepository" => "helmrepositories.source.toolkit.fluxcd.io",
        "GitRepository" => "gitrepositories.source.toolkit.fluxcd.io",
        _ => return None,
    };
    state.get(
        table,
        object::namespace(value),
        reference["name"].as_str().unwrap_or_default(),
    )
}

fn source_revision(state: &State, value: &Value) -> Option<String> {
    let source = source(state, value)?;
    let revision = source.value["status"]["artifact"]["revision"].as_str()?;
    Some(revision.to_owned())
}

fn find(state: &State, value: &Value) -> Result<Found, Missing> {
    let waits = |reason, text| Missing {
        reason,
        text,
        stalled: false,
    };
    let spec = &value["spec"];
    let kind = spec["sourceRef"]["kind"].as_str().unwrap_or_default();
    let name = spec["sourceRef"]["name"].as_str().unwrap_or_default();
    if !matches!(kind, "HelmRepository" | "GitRepository") {
        return Err(waits(
            "SourceUnavailable",
            format!("the lab serves no charts of a source of kind `{kind}`"),
        ));
    }
    let source = source(state, value).ok_or_else(|| {
        waits(
            "SourceUnavailable",
            format!("failed to get source: {kind}.source.toolkit.fluxcd.io \"{name}\" not found"),
        )
    })?;
    let registry = source.value["spec"]["type"] == "oci";
    if source.value["status"]["artifact"].is_null() && !registry {
        return Err(waits(
            "NoSourceArtifact",
            format!("no artifact available for {kind} source '{name}'"),
        ));
    }
    let chart = spec["chart"].as_str().unwrap_or_default();
    let charts = state
        .settings
        .flux
        .as_ref()
        .map(|flux| flux.charts.clone())
        .unwrap_or_default();
    if kind == "HelmRepository" {
        let wanted = spec["version"].as_str().unwrap_or("*");
        return newest(&charts, chart, wanted).map_err(|text| waits("ChartPullError", text));
    }
    let invalid = |text: String| Missing {
        reason: "InvalidChartReference",
        text: format!("invalid chart reference: {text}"),
        stalled: true,
    };
    let artifact = state
        .flux
        .artifacts
        .get(object::uid(&source.value))
        .ok_or_else(|| {
            waits(
                "NoSourceArtifact",
                format!("no artifact available for {kind} source '{name}'"),
            )
        })?;
    let folder = kustomize::inside("", chart).map_err(&invalid)?;
    if !artifact.tree.is_folder(&folder) {
        return Err(invalid(format!("stat {folder}: no such file or directory")));
    }
    let meta = artifact
        .tree
        .read(&format!("{folder}/Chart.yaml"))
        .ok_or_else(|| {
            invalid(format!(
                "stat {folder}/Chart.yaml: no such file or directory"
            ))
        })?;
    let own = described(&charts, meta).map_err(|why| match why {
        Undescribed::Unreadable(text) => invalid(text),
        Undescribed::Missing(text) => waits("ChartPackageError", text),
    })?;
    let version = if spec["reconcileStrategy"] == "Revision" {
        let short: String = artifact.file.chars().take(12).collect();
        format!("{}+{short}", own.version)
    } else {
        own.version
    };
    Ok(Found { version, ..own })
}

/// Why nothing stands in for a chart that has a `Chart.yaml`.
enum Undescribed {
    Unreadable(String),
    Missing(String),
}

/// The file that stands in for the chart of a `Chart.yaml`.
fn described(charts: &Path, meta: &[u8]) -> Result<Found, Undescribed> {
    let meta: Value = serde_saphyr::from_str(&String::from_utf8_lossy(meta))
        .map_err(|error| Undescribed::Unreadable(error.to_string()))?;
    let text = |key: &str| meta[key].as_str().unwrap_or_default().to_owned();
    let (name, version) = (text("name"), text("version"));
    let file = charts.join(format!("{name}-{version}.yaml"));
    if name.is_empty() || version.is_empty() || !file.is_file() {
        let text = format!("chart not in the lab: `{name}-{version}.yaml`");
        return Err(Undescribed::Missing(text));
    }
    Ok(Found {
        name,
        version,
        app_version: text("appVersion"),
        oci_digest: String::new(),
        file,
    })
}

/// The file that stands in for a chart that was pulled, packed as Helm packs one: `NAME/Chart.yaml` and what belongs to it.
pub(super) fn packed(charts: &Path, tree: &Tree) -> Result<Found, String> {
    let is_meta = |path: &str| {
        path.strip_suffix("/Chart.yaml")
            .is_some_and(|name| !name.contains('/'))
    };
    let (_, meta) = tree
        .below("")
        .find(|(path, _)| is_meta(path))
        .ok_or("there is no chart in the artifact")?;
    described(charts, meta).map_err(|why| match why {
        Undescribed::Unreadable(text) | Undescribed::Missing(text) => text,
    })
}

/// The newest file of a chart that a range of versions allows.
pub(super) fn newest(folder: &Path, name: &str, wanted: &str) -> Result<Found, String> {
    let name = name.rsplit('/').next().unwrap_or(name);
    let missing = || format!("chart not in the lab: `{name}-{wanted}.yaml`");
    let exact = folder.join(format!("{name}-{wanted}.yaml"));
    let range = range::Range::read(wanted);
    let mut all: Vec<(Version, String, PathBuf)> = std::fs::read_dir(folder)
        .map_err(|_| missing())?
        .flatten()
        .map(|entry| entry.path())
        .filter_map(|file| {
            let stem = file
                .file_name()?
                .to_str()?
                .strip_suffix(".yaml")?
                .to_owned();
            let shown = stem.strip_prefix(name)?.strip_prefix('-')?.to_owned();
            let version = Version::parse(shown.trim_start_matches('v')).ok()?;
            let fits = file == exact || range.as_ref().is_ok_and(|range| range.allows(&version));
            fits.then_some((version, shown, file))
        })
        .collect();
    all.sort();
    let (_, version, file) = all.pop().ok_or_else(missing)?;
    Ok(Found {
        name: name.to_owned(),
        version,
        app_version: String::new(),
        oci_digest: String::new(),
        file,
    })
}

fn describe(value: &Value, found: &Found) -> Value {
    let path = format!(
        "helmchart/{}/{}/{}-{}.tgz",
        object::namespace(value),
        object::name(value),
        found.name,
        found.version
    );
    let content = std::fs::read(&found.file).unwrap_or_default();
    json!({
        "digest": super::tree::sha256(&content), "lastUpdateTime": object::now(), "path": path, "revision": found.version,
        "size": content.len(), "url": format!("http://source-controller.flux-system.svc.cluster.local./{path}"),
    })
}
