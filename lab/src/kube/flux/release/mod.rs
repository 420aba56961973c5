//! HelmReleases: a chart is a file of objects, a stand-in; one that is not there is a failure that says so. Installed, upgraded, rolled
//! back and uninstalled as helm-controller does it, with its tries and its ends.

mod action;
mod drift;
mod hooks;
mod render;
mod run;
mod source;
mod status;
mod trial;
mod values;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::chart::{self, Found};
use super::checks::Checks;
use super::conditions::Status;
use super::depends::Unmet;
use super::tree::sha256;
use super::{DEPENDENCY, FINALIZER, INTERVAL, LOOK, account, give_up};
use super::{duration, is_settled, keep, let_go, scripted};
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
    /// The hooks of the last action's chart.
    hooks: Vec<hooks::Hook>,
    /// Tests that are under way.
    trial: Option<trial::Trial>,
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
    let checks = match Checks::read(&value["spec"]) {
        Ok(checks) => checks,
        Err(text) => return invalid(state, live, &text),
    };
    let interval = duration(&value["spec"]["interval"], INTERVAL);
    let settled = is_settled(state, value) && !status::is_asked(value);
    let waits = state.marks.has(&uid, "waiting") || state.marks.has(&uid, "testing");
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
        trial::stop(state, &uid);
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
    match source::dependency(state, &live.value) {
        None => {}
        Some(Unmet::Never(text)) => return invalid(state, &live, &text),
        Some(Unmet::Waits(text)) => {
            let reason = "DependencyNotReady";
            return refuse(state, &live, reason, &text, "Normal", DEPENDENCY);
        }
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
    if let Some((reason, text)) = unserved(state, &live.value) {
        return refuse(state, &live, reason, &text, "Warning", interval);
    }
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
    match run::run(state, &live, &release, &checks) {
        Again::Done => Some(interval),
        Again::Look => Some(LOOK),
        Again::AtOnce => {
            state.marks.clear(&uid, "interval");
            Some(Duration::ZERO)
        }
    }
}

/// What of a spec the lab does not do, and would be wrong without; or what the account that it names may not do.
fn unserved(state: &State, value: &Value) -> Option<(&'static str, String)> {
    let spec = &value["spec"];
    if spec["kubeConfig"].is_object() {
        let text = "the lab releases to no other cluster, which `spec.kubeConfig` asks for";
        return Some(("RESTClientError", text.to_owned()));
    }
    let verify = &spec["chart"]["spec"]["verify"];
    if verify.is_object() {
        let text = "the lab verifies no signatures, which `spec.chart.spec.verify` asks for";
        return Some(("VerificationError", text.to_owned()));
    }
    let storage = match object::text(spec, &["storageNamespace"]) {
        "" => object::namespace(value),
        own => own,
    };
    let secrets = state.kind("v1", "Secret").ok()?;
    let refused = account::check(state, value, "list", &secrets, (storage, "")).err()?;
    let text = format!(
        "Could not determine release state: failed to retrieve last release from storage: query: failed to query with labels: {}",
        refused.message
    );
    Some(("StateError", text))
}

/// A spec that no further try can help.
fn invalid(state: &mut State, live: &Arc<Object>, text: &str) -> Option<Duration> {
    give_up(state, live, MANAGER, text, text);
    None
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
