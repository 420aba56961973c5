//! HelmReleases: a chart is a file of objects, a stand-in. A chart that is not there is a failure that says so.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::chart::chart;
use super::health::{self, Health};
use super::{DEPENDENCY, FINALIZER, INTERVAL, LOOK, Outcome};
use super::{
    conclude, duration, is_ready, is_settled, keep, let_go, nudge_dependents, scripted, status_of,
};
use crate::kube::admit::Write;
use crate::kube::object::{self, Object};
use crate::kube::state::State;

const MANAGER: &str = "helm-controller";
const TABLE: &str = "helmreleases.helm.toolkit.fluxcd.io";
/// How long Helm waits for what it installed.
const WAIT: Duration = Duration::from_secs(300);

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Option<Duration> {
    let value = &live.value;
    if object::is_deleting(value) {
        end(state, live);
        return None;
    }
    if value["spec"]["suspend"] == true {
        return None;
    }
    if keep(state, live, MANAGER) {
        return Some(Duration::ZERO);
    }
    let uid = object::uid(value).to_owned();
    let interval = duration(&value["spec"]["interval"], INTERVAL);
    let forced = tokens(value);
    let asked = is_settled(state, value) && !forced;
    if asked
        && !state.marks.has(&uid, "waiting")
        && (is_ready(value) || value["status"]["conditions"].is_array())
        && let Some(left) = state.marks.left(&uid, "interval", interval)
    {
        return Some(left);
    }
    state.marks.restart(&uid, "interval");
    if let Some(text) = dependency(state, value) {
        fail(state, live, "DependencyNotReady", &text);
        state.marks.clear(&uid, "interval");
        return Some(DEPENDENCY);
    }
    if let Some(reason) = scripted(state, value) {
        fail(state, live, &reason, "set to fail by the lab");
        return Some(interval);
    }
    match install(state, live) {
        Ok(true) => Some(interval),
        Ok(false) => Some(LOOK),
        Err((reason, text)) => {
            state.marks.clear(&uid, "waiting");
            fail(state, live, reason, &text);
            Some(interval)
        }
    }
}

/// Whether a token for force or reset is new.
fn tokens(value: &Value) -> bool {
    [
        ("forceAt", "lastHandledForceAt"),
        ("resetAt", "lastHandledResetAt"),
    ]
    .iter()
    .any(|(key, handled)| {
        let token = object::annotation(value, &format!("reconcile.fluxcd.io/{key}"));
        !token.is_empty() && value["status"][handled] != token
    })
}

fn handle_tokens(value: &Value, status: &mut Value) {
    for (key, handled) in [
        ("forceAt", "lastHandledForceAt"),
        ("resetAt", "lastHandledResetAt"),
    ] {
        let token = object::annotation(value, &format!("reconcile.fluxcd.io/{key}"));
        if !token.is_empty() {
            status[handled] = token.into();
        }
    }
}

fn fail(state: &mut State, live: &Arc<Object>, reason: &str, message: &str) {
    let Some(live) = state.get(
        TABLE,
        object::namespace(&live.value),
        object::name(&live.value),
    ) else {
        return;
    };
    let mut status = status_of(&live.value);
    handle_tokens(&live.value, &mut status);
    if reason.ends_with("Failed") {
        status["failures"] =
            (object::number(&status, &["failures"]).unwrap_or_default() + 1).into();
    }
    let outcome = Outcome {
        ready: "False",
        reason,
        message,
        observed: false,
        reconciling: true,
        stalled: false,
    };
    conclude(&live.value, &mut status, &outcome, "");
    state.write_status(&live, status, MANAGER);
    state.event(&live.value, "Warning", reason, message, MANAGER);
}

fn dependency(state: &State, value: &Value) -> Option<String> {
    object::items(value, &["spec", "dependsOn"])
        .iter()
        .find_map(|one| {
            let namespace = one["namespace"]
                .as_str()
                .unwrap_or(object::namespace(value));
            let name = one["name"].as_str().unwrap_or_default();
            let good = state
                .get(TABLE, namespace, name)
                .is_some_and(|own| is_ready(&own.value));
            (!good).then(|| format!("dependency '{namespace}/{name}' is not ready"))
        })
}

fn install(state: &mut State, live: &Arc<Object>) -> Result<bool, (&'static str, String)> {
    let value = &live.value;
    let uid = object::uid(value).to_owned();
    let (name, version, objects) = chart(state, value).map_err(|text| ("ChartNotReady", text))?;
    let namespace = match object::text(value, &["spec", "targetNamespace"]) {
        "" => object::namespace(value),
        own => own,
    }
    .to_owned();
    let release = match object::text(value, &["spec", "releaseName"]) {
        "" => object::name(value),
        own => own,
    }
    .to_owned();
    let history = object::items(value, &["status", "history"]).to_vec();
    let upgrade = !history.is_empty();
    let (word, failed) = if upgrade {
        ("upgrade", "UpgradeFailed")
    } else {
        ("install", "InstallFailed")
    };
    if !state.marks.has(&uid, "waiting") {
        let mut ids = Vec::new();
        for mut object in objects.clone() {
            let resource = state
                .kind(object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default())
                .map_err(|refusal| (failed, format!("Helm {word} failed for release {namespace}/{release} with chart {name}@{version}: {}", refusal.message)))?;
            let own = object::namespace(&object).to_owned();
            let place = if !resource.namespaced {
                String::new()
            } else if own.is_empty() {
                namespace.clone()
            } else {
                own
            };
            let meta = object::meta_mut(&mut object);
            meta.entry("labels").or_insert_with(|| json!({}))["app.kubernetes.io/managed-by"] =
                "Helm".into();
            let notes = meta.entry("annotations").or_insert_with(|| json!({}));
            notes["meta.helm.sh/release-name"] = release.as_str().into();
            notes["meta.helm.sh/release-namespace"] = namespace.as_str().into();
            let own_name = object::name(&object).to_owned();
            state.apply(&resource, &place, &own_name, object, true, &mut Write::by("helm")).map_err(|refusal| {
                (failed, format!("Helm {word} failed for release {namespace}/{release} with chart {name}@{version}: {}", refusal.message))
            })?;
            ids.push((resource.qualified(), place, own_name));
        }
        state.releases.insert(uid.clone(), ids);
        let Some(live) = state.get(TABLE, object::namespace(value), object::name(value)) else {
            return Ok(true);
        };
        let mut status = status_of(&live.value);
        let text = format!(
            "Running '{word}' action with timeout of {}s",
            WAIT.as_secs()
        );
        let outcome = Outcome {
            ready: "Unknown",
            reason: "Progressing",
            message: &text,
            observed: true,
            reconciling: true,
            stalled: false,
        };
        conclude(&live.value, &mut status, &outcome, "");
        state.write_status(&live, status, MANAGER);
        state.marks.restart(&uid, "waiting");
    }
    let limit = duration(&value["spec"]["timeout"], WAIT);
    for (table, place, own) in state.releases.get(&uid).cloned().unwrap_or_default() {
        let waits = value["spec"][word]["disableWait"] != true;
        let health = state
            .get(&table, &place, &own)
            .map(|object| health::of(&object.value));
        match health {
            _ if !waits => {}
            Some(Health::Current) => {}
            _ if state.marks.since(&uid, "waiting") < limit => return Ok(false),
            _ => {
                return Err((
                    failed,
                    format!(
                        "Helm {word} failed for release {namespace}/{release} with chart {name}@{version}: resource {table}/{place}/{own} not ready: context deadline exceeded"
                    ),
                ));
            }
        }
    }
    state.marks.clear(&uid, "waiting");
    let Some(live) = state.get(TABLE, object::namespace(value), object::name(value)) else {
        return Ok(true);
    };
    let mut status = status_of(&live.value);
    let number = i64::try_from(history.len()).unwrap_or_default() + 1;
    let (reason, shown) = if upgrade {
        ("UpgradeSucceeded", "upgrade")
    } else {
        ("InstallSucceeded", "install")
    };
    let message = format!(
        "Helm {shown} succeeded for release {namespace}/{release}.v{number} with chart {name}@{version}"
    );
    let outcome = Outcome {
        ready: "True",
        reason,
        message: &message,
        observed: true,
        reconciling: false,
        stalled: false,
    };
    conclude(&live.value, &mut status, &outcome, "Released");
    handle_tokens(&live.value, &mut status);
    object::remove(&mut status, &["failures"]);
    status["lastAttemptedRevision"] = version.as_str().into();
    status["lastAttemptedGeneration"] = live.value["metadata"]["generation"].clone();
    status["lastAttemptedReleaseAction"] = shown.into();
    status["storageNamespace"] = object::namespace(value).into();
    let digest: String = format!("{:016x}", object::stable_hash(&json!(objects))).repeat(4);
    let same = history
        .first()
        .is_some_and(|one| one["digest"] == format!("sha256:{digest}"));
    if !same {
        let mut all = vec![json!({
            "chartName": name, "chartVersion": version, "configDigest": format!("sha256:{digest}"), "digest": format!("sha256:{digest}"),
            "firstDeployed": object::now(), "lastDeployed": object::now(), "name": release, "namespace": namespace,
            "status": "deployed", "version": number,
        })];
        all.extend(history.into_iter().take(1).map(|mut one| {
            one["status"] = "superseded".into();
            one
        }));
        status["history"] = all.into();
    }
    state.write_status(&live, status, MANAGER);
    state.event(&live.value, "Normal", reason, &message, MANAGER);
    nudge_dependents(state, TABLE, value);
    Ok(true)
}

/// With a release goes what it installed.
fn end(state: &mut State, live: &Arc<Object>) {
    if !object::has_finalizer(&live.value, FINALIZER) {
        return;
    }
    for (table, place, own) in state
        .releases
        .remove(object::uid(&live.value))
        .unwrap_or_default()
    {
        if let Some(object) = state.get(&table, &place, &own) {
            state.end(&object.value);
        }
    }
    let_go(state, live);
}
