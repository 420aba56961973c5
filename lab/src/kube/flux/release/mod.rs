//! HelmReleases: a chart is a file of objects, a stand-in; one that is not there is a failure that says so. Installed, upgraded, rolled
//! back and uninstalled as helm-controller does it, with its tries and its ends.

mod action;
mod source;
mod status;
mod values;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::chart::{self, Found};
use super::conditions::Status;
use super::tree::sha256;
use super::{DEPENDENCY, FINALIZER, INTERVAL, LOOK, go, kustomize};
use super::{duration, is_settled, keep, let_go, nudge_dependents, scripted};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

const MANAGER: &str = "helm-controller";
const TABLE: &str = "helmreleases.helm.toolkit.fluxcd.io";
/// How long Helm waits for what it installed, where the spec does not say.
const WAIT: Duration = Duration::from_secs(300);

/// What one release has in the cluster.
#[derive(Debug, Default)]
pub(crate) struct Releases {
    /// The objects of the last action.
    current: Vec<Value>,
    /// Those of the last one that was deployed: what a rollback goes back to.
    deployed: Vec<Value>,
}

/// What is to be released.
struct Release {
    name: String,
    namespace: String,
    chart: Found,
    config_digest: String,
    values: Value,
}

impl Release {
    fn versioned(&self) -> String {
        format!("{}@{}", self.chart.name, self.chart.version)
    }
}

/// An action of Helm.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Install,
    Upgrade,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Upgrade => "upgrade",
        }
    }

    fn reason(self, ended: &str) -> String {
        match self {
            Self::Install => format!("Install{ended}"),
            Self::Upgrade => format!("Upgrade{ended}"),
        }
    }

    fn failures(self) -> &'static str {
        match self {
            Self::Install => "installFailures",
            Self::Upgrade => "upgradeFailures",
        }
    }
}

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Option<Duration> {
    let value = &live.value;
    if object::is_deleting(value) {
        end(state, live);
        return None;
    }
    if keep(state, live, MANAGER) {
        return Some(Duration::ZERO);
    }
    if value["spec"]["suspend"] == true {
        let mut status = Status::of(value);
        status.observe();
        status.handle(value);
        status.write(state, live, MANAGER);
        return None;
    }
    let uid = object::uid(value).to_owned();
    let interval = duration(&value["spec"]["interval"], INTERVAL);
    let settled = is_settled(state, value) && !status::is_asked(value);
    let waits = state.marks.has(&uid, "waiting");
    let mark = source::mark(state, value);
    let seen = state.marks.has(&uid, &mark);
    if settled
        && seen
        && !waits
        && state.marks.has(&uid, "interval")
        && let Some(left) = state.marks.left(&uid, "interval", interval)
    {
        return Some(left);
    }
    state.marks.restart(&uid, &mark);
    if waits && !settled {
        state.marks.clear(&uid, "waiting");
    }
    state.marks.restart(&uid, "interval");
    let mut live = live.clone();
    if !waits {
        let mut status = Status::of(value);
        status.drop(&["Stalled"]);
        status.mark(
            "Reconciling",
            "True",
            "Progressing",
            "Fulfilling prerequisites",
        );
        if let Some(key) = source::template(state, value) {
            status.value["helmChart"] = key.into();
        }
        live = status.write(state, &live, MANAGER);
    }
    if let Some(text) = source::dependency(state, &live.value) {
        return refuse(
            state,
            &live,
            "DependencyNotReady",
            &text,
            "Normal",
            DEPENDENCY,
        );
    }
    if let Some(reason) = scripted(state, value) {
        return refuse(
            state,
            &live,
            &reason,
            "set to fail by the lab",
            "Warning",
            interval,
        );
    }
    let chart = match source::found(state, &live.value) {
        Ok(chart) => chart,
        // The chart nudges its release when something becomes of it.
        Err(text) => return refuse(state, &live, "SourceNotReady", &text, "Warning", interval),
    };
    let values = match values::compose(state, &live.value) {
        Ok(values) => values,
        Err(text) => return refuse(state, &live, "ValuesError", &text, "Warning", DEPENDENCY),
    };
    let named = |path: &[&str], other: &str| match object::text(value, path) {
        "" => other.to_owned(),
        own => own.to_owned(),
    };
    let target = object::text(value, &["spec", "targetNamespace"]);
    let usual = if target.is_empty() {
        object::name(value).to_owned()
    } else {
        format!("{target}-{}", object::name(value))
    };
    let release = Release {
        name: named(&["spec", "releaseName"], &usual),
        namespace: named(&["spec", "targetNamespace"], object::namespace(value)),
        chart,
        config_digest: sha256(object::sorted(&values).to_string().as_bytes()),
        values,
    };
    match run(state, &live, &release) {
        Again::Done => Some(interval),
        Again::Look => Some(LOOK),
        Again::AtOnce => {
            state.marks.clear(&uid, "interval");
            Some(Duration::ZERO)
        }
    }
}

/// When to look again.
enum Again {
    Done,
    Look,
    AtOnce,
}

/// What keeps a release from its action.
fn refuse(
    state: &mut State,
    live: &Arc<Object>,
    reason: &str,
    text: &str,
    kind: &str,
    again: Duration,
) -> Option<Duration> {
    let known = crate::kube::controllers::condition(&live.value, "Ready")
        .is_some_and(|one| one["reason"] == reason && one["message"] == text);
    let mut status = Status::of(&live.value);
    status.mark("Ready", "False", reason, text);
    status.handle(&live.value);
    let live = status.write(state, live, MANAGER);
    if !known {
        state.event(&live.value, kind, reason, text, MANAGER);
    }
    // What it waits for may be there long before the interval is over.
    state.marks.clear(object::uid(&live.value), "interval");
    Some(again)
}

/// Brings a release to where its spec has it, by one action at a time.
fn run(state: &mut State, live: &Arc<Object>, release: &Release) -> Again {
    let value = &live.value;
    let uid = object::uid(value).to_owned();
    let history = object::items(value, &["status", "history"]).to_vec();
    let last = history.first().cloned().unwrap_or_default();
    let moved = last.is_object()
        && (last["chartName"] != release.chart.name.as_str()
            || last["name"] != release.name.as_str()
            || last["namespace"] != release.namespace.as_str());
    if moved {
        return replace(state, live);
    }
    let same = last["configDigest"] == release.config_digest.as_str()
        && last["chartVersion"] == release.chart.version.as_str();
    let attempted = value["status"]["lastAttemptedConfigDigest"] == release.config_digest.as_str()
        && value["status"]["lastAttemptedRevision"] == release.chart.version.as_str()
        && value["status"]["lastAttemptedGeneration"] == value["metadata"]["generation"];
    let forced = status::is_new(value, "forceAt");
    let reset = status::is_new(value, "resetAt");
    let mut status = Status::of(value);
    // Once is enough: the tokens are handled when what they ask for begins.
    status::take(&mut status, value);
    if !attempted || reset || forced {
        for key in ["failures", "installFailures", "upgradeFailures"] {
            object::remove(&mut status.value, &[key]);
        }
    }
    let action = match last["status"].as_str() {
        None => Action::Install,
        Some(_) => Action::Upgrade,
    };
    let waits = state.marks.has(&uid, "waiting");
    let deployed = last["status"] == "deployed" && same;
    if deployed && !forced && !waits {
        return in_sync(state, live, release, status);
    }
    // What was tried last decides whether there is another try, whatever that would be.
    let tried = match value["status"]["lastAttemptedReleaseAction"].as_str() {
        Some("install") => Action::Install,
        Some(_) => Action::Upgrade,
        None => action,
    };
    let failures = object::number(&status.value, &[tried.failures()]).unwrap_or_default();
    let retries = status::retries(value, tried.word());
    if failures > retries && retries >= 0 && !waits {
        return status::stall(state, live, status, tried, failures);
    }
    status.value["storageNamespace"] = value["spec"]["storageNamespace"]
        .as_str()
        .unwrap_or(object::namespace(value))
        .into();
    status.value["lastAttemptedGeneration"] = value["metadata"]["generation"].clone();
    status.value["lastAttemptedRevision"] = release.chart.version.as_str().into();
    status.value["lastAttemptedConfigDigest"] = release.config_digest.as_str().into();
    status.value["lastAttemptedReleaseAction"] = action.word().into();
    if !waits {
        let limit = limit(value, action);
        status.progress(&format!(
            "Running '{}' action with timeout of {}",
            action.word(),
            go::show(limit)
        ));
        let live = status.write(state, live, MANAGER);
        state.marks.restart(&uid, "waiting");
        let number = last["version"].as_i64().unwrap_or_default() + 1;
        let objects = match render(state, &live.value, release, number) {
            Ok(objects) => objects,
            Err(text) => return status::fail(state, &live, release, action, &text),
        };
        let before = state
            .flux
            .releases
            .entry(uid.clone())
            .or_default()
            .current
            .clone();
        state
            .flux
            .releases
            .entry(uid.clone())
            .or_default()
            .current
            .clone_from(&objects);
        if let Err(text) = action::apply(state, &objects, &before) {
            return status::fail(state, &live, release, action, &text);
        }
        return check(state, &live, release, action);
    }
    let live = status.write(state, live, MANAGER);
    check(state, &live, release, action)
}

/// Another chart or another place is another release: the one before is uninstalled first.
fn replace(state: &mut State, live: &Arc<Object>) -> Again {
    let uid = object::uid(&live.value).to_owned();
    let installed = state.flux.releases.remove(&uid).unwrap_or_default();
    action::remove(state, &installed.current);
    state.marks.clear(&uid, "waiting");
    let mut status = Status::of(&live.value);
    for key in [
        "history",
        "failures",
        "installFailures",
        "upgradeFailures",
        "storageNamespace",
    ] {
        object::remove(&mut status.value, &[key]);
    }
    status.write(state, live, MANAGER);
    state.marks.clear(&uid, "interval");
    Again::AtOnce
}

fn limit(value: &Value, action: Action) -> Duration {
    let usual = duration(&value["spec"]["timeout"], WAIT);
    duration(&value["spec"][action.word()]["timeout"], usual)
}

/// The objects of a release.
fn render(
    state: &State,
    value: &Value,
    release: &Release,
    number: i64,
) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(&release.chart.file).map_err(|error| error.to_string())?;
    let known = json!({
        "Values": release.values,
        "Release": {"Name": release.name, "Namespace": release.namespace, "Service": "Helm", "Revision": number},
        "Chart": {"Name": release.chart.name, "Version": release.chart.version, "AppVersion": release.chart.app_version},
    });
    let text = values::fill(&text, &known)?;
    let objects = kustomize::manifests(&text, &release.chart.file.display().to_string())?;
    Ok(action::prepare(state, value, release, objects))
}

/// Looks at the health of what was applied.
fn check(state: &mut State, live: &Arc<Object>, release: &Release, action: Action) -> Again {
    let uid = object::uid(&live.value).to_owned();
    let objects = state
        .flux
        .releases
        .get(&uid)
        .map(|own| own.current.clone())
        .unwrap_or_default();
    let waits = live.value["spec"][action.word()]["disableWait"] != true;
    let (unhealthy, failed) = action::unhealthy(state, &objects);
    let since = state.marks.since(&uid, "waiting");
    if unhealthy.is_empty() || !waits {
        return status::succeed(state, live, release, action);
    }
    if failed {
        let text = format!(
            "failed early due to stalled resources: [{}]",
            unhealthy.join(", ")
        );
        return status::fail(state, live, release, action, &text);
    }
    if since < limit(&live.value, action) {
        return Again::Look;
    }
    let text = format!("timeout waiting for: [{}]", unhealthy.join(", "));
    status::fail(state, live, release, action, &text)
}

/// Nothing is to be done but to correct what others have changed, where that is asked for.
fn in_sync(state: &mut State, live: &Arc<Object>, release: &Release, mut status: Status) -> Again {
    let value = &live.value;
    let uid = object::uid(value).to_owned();
    let mode = value["spec"]["driftDetection"]["mode"]
        .as_str()
        .unwrap_or_default();
    if matches!(mode, "warn" | "enabled") {
        let objects = state
            .flux
            .releases
            .get(&uid)
            .map(|own| own.current.clone())
            .unwrap_or_default();
        let drifted = action::drifted(state, &objects);
        if !drifted.is_empty() {
            let number = &value["status"]["history"][0]["version"];
            let shown = format!(
                "release {}/{}.v{number} with chart {}",
                release.namespace,
                release.name,
                release.versioned()
            );
            let text = format!(
                "Cluster state of {shown} has drifted from the desired state:\n{}",
                drifted.join("\n")
            );
            state.event(value, "Warning", "DriftDetected", &text, MANAGER);
            if mode == "enabled" {
                let (kind, reason, text) = match action::apply(state, &objects, &[]) {
                    Ok(()) => (
                        "Normal",
                        "DriftCorrected",
                        format!(
                            "Cluster state of {shown} has been corrected:\n{}",
                            drifted.join("\n")
                        ),
                    ),
                    Err(text) => (
                        "Warning",
                        "DriftCorrectionFailed",
                        format!("Failed to correct cluster state of {shown}: {text}"),
                    ),
                };
                state.event(value, kind, reason, &text, MANAGER);
            }
        }
    }
    status::settle(&mut status, value);
    status.write(state, live, MANAGER);
    nudge_dependents(state, TABLE, value);
    Again::Done
}

/// With a release goes what it installed, and its chart.
fn end(state: &mut State, live: &Arc<Object>) {
    let value = &live.value;
    if !object::has_finalizer(value, FINALIZER) {
        return;
    }
    let uid = object::uid(value).to_owned();
    if value["spec"]["suspend"] != true {
        let installed = state.flux.releases.remove(&uid).unwrap_or_default();
        action::remove(state, &installed.current);
        let key = object::text(value, &["status", "helmChart"]);
        if let Some((namespace, name)) = key.split_once('/')
            && let Some(chart) = state.get(chart::TABLE, namespace, name)
        {
            state.end(&chart.value);
        }
    }
    state.flux.forget(&uid);
    let_go(state, live);
}
