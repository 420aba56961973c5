//! Whether an object is what it should be: the rules of kstatus, over its JSON alone.
//!
//! The rules and their order are those of `kstatus` (fluxcd/cli-utils 1.2, `pkg/kstatus/status`), which kubectl's peers and Flux
//! use; a running Job is not ready, as Flux has it (`pkg/runtime/statusreaders/job.go`). What we add is switched by [`Options`].
//! Nothing here asks a server or a clock.

mod apps;
mod batch;
mod core;

use jiff::Timestamp;
use serde_json::Value;

use crate::kind::is_builtin;
use crate::object::{group_version, text};

/// How an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It is what it should be.
    Current,
    /// It is on its way.
    InProgress,
    /// It will not get there by itself.
    Failed,
    /// It is being deleted.
    Terminating,
    /// It is not there.
    NotFound,
    /// Its status cannot be understood.
    Unknown,
    /// Flux does not look after it: its status may be of long ago.
    Suspended,
}

impl State {
    /// `Current`, `InProgress` …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "Current",
            Self::InProgress => "InProgress",
            Self::Failed => "Failed",
            Self::Terminating => "Terminating",
            Self::NotFound => "NotFound",
            Self::Unknown => "Unknown",
            Self::Suspended => "Suspended",
        }
    }
}

/// What is asked beyond kstatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The time: a pod that cannot be scheduled gets 15 s.
    pub now: Timestamp,
    /// A Pod that failed is `Failed`; to kstatus it is `Current`, it is over.
    pub failed_pods: bool,
    /// A Service of type LoadBalancer has its address; to kstatus a cluster IP is enough.
    pub load_balancers: bool,
    /// A suspended Flux object is `Suspended`; to kstatus it is as its last status says.
    pub suspended: bool,
}

impl Options {
    /// kstatus as it is.
    pub fn plain(now: Timestamp) -> Self {
        Self {
            now,
            failed_pods: false,
            load_balancers: false,
            suspended: false,
        }
    }

    /// With everything stricter.
    pub fn strict(now: Timestamp) -> Self {
        Self {
            now,
            failed_pods: true,
            load_balancers: true,
            suspended: true,
        }
    }
}

/// A condition of a status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    /// `Available`.
    pub kind: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// `MinimumReplicasUnavailable`.
    pub reason: String,
    /// What the controller says.
    pub message: String,
    /// Since when (RFC 3339); empty where it is not said.
    pub since: String,
    /// The generation it was written for, where it is said.
    pub observed: Option<i64>,
}

impl Condition {
    /// `Available=False (MinimumReplicasUnavailable): Deployment does not have minimum availability.`
    pub fn shown(&self) -> String {
        let mut shown = format!("{}={}", self.kind, self.status);
        if !self.reason.is_empty() {
            shown = format!("{shown} ({})", self.reason);
        }
        if !self.message.is_empty() {
            shown = format!("{shown}: {}", self.message);
        }
        shown
    }
}

/// How an object stands, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// How.
    pub state: State,
    /// One word: `LessAvailable`.
    pub reason: &'static str,
    /// A sentence without its end: `1 of 3 replicas are available`.
    pub message: String,
    /// The condition that says so, where one does.
    pub condition: Option<Condition>,
    /// `Current` only because nothing says otherwise: no controller has said anything about this custom resource.
    pub assumed: bool,
}

impl Status {
    pub(crate) fn new(state: State, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            state,
            reason,
            message: message.into(),
            condition: None,
            assumed: false,
        }
    }

    fn current(message: impl Into<String>) -> Self {
        Self::new(State::Current, "Current", message)
    }

    fn waiting(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(State::InProgress, reason, message)
    }

    fn failed(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(State::Failed, reason, message)
    }

    fn because(mut self, condition: Option<Condition>) -> Self {
        self.condition = condition;
        self
    }
}

/// How an object stands.
pub fn status(object: &Value, options: &Options) -> Status {
    if let Some(status) = generic(object, options) {
        return status;
    }
    let (group, _) = group_version(text(object, "/apiVersion"));
    let kind = text(object, "/kind");
    let of_kind = match group {
        "apps" => apps::status(object, kind),
        "" => self::core::status(object, kind, options),
        _ => None,
    };
    if let Some(status) = of_kind {
        return status;
    }
    match (group, kind) {
        ("batch", "Job") => batch::job(object),
        ("batch", "CronJob") => Status::current("a CronJob is always ready"),
        ("policy", "PodDisruptionBudget") => Status::current("its generation is observed"),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => self::core::crd(object),
        _ => by_ready(object, is_builtin(group, kind)),
    }
}

/// What holds for every kind.
fn generic(object: &Value, options: &Options) -> Option<Status> {
    if !text(object, "/metadata/deletionTimestamp").is_empty() {
        let finalizers = finalizers(object);
        let held = if finalizers.is_empty() {
            String::new()
        } else {
            format!(", held by {}", finalizers.join(", "))
        };
        let message = format!("it is being deleted{held}");
        return Some(Status::new(State::Terminating, "Terminating", message));
    }
    if options.suspended && is_suspended(object) {
        let message =
            "it is suspended: Flux does not look after it, and its status may be of long ago";
        return Some(
            Status::new(State::Suspended, "Suspended", message).because(condition(object, "Ready")),
        );
    }
    let generation = integer(object, "/metadata/generation");
    let observed = integer(object, "/status/observedGeneration");
    if let (Some(generation), Some(observed)) = (generation, observed)
        && generation != observed
    {
        let message = format!("its controller has seen generation {observed}, not {generation}");
        // Flux moves `observedGeneration` only on success: what it says meanwhile is worth telling.
        return Some(
            Status::waiting("LatestGenerationNotObserved", message)
                .because(condition(object, "Ready")),
        );
    }
    for condition in conditions(object).filter(|condition| condition.status == "True") {
        let said = || {
            if condition.message.is_empty() {
                condition.reason.clone()
            } else {
                condition.message.clone()
            }
        };
        match condition.kind.as_str() {
            "Reconciling" => {
                return Some(Status::waiting("Reconciling", said()).because(Some(condition)));
            }
            "Stalled" => return Some(Status::failed("Stalled", said()).because(Some(condition))),
            _ => {}
        }
    }
    None
}

/// Kinds without a rule of their own.
fn by_ready(object: &Value, builtin: bool) -> Status {
    let Some(ready) = condition(object, "Ready") else {
        let mut status = Status::current("nothing says that it is not ready");
        let is_observed = integer(object, "/status/observedGeneration").is_some();
        status.assumed = !builtin && !is_observed;
        return status;
    };
    let said = if ready.message.is_empty() {
        ready.shown()
    } else {
        ready.message.clone()
    };
    let status = match ready.status.as_str() {
        "True" => Status::current(said),
        "False" => Status::waiting("NotReady", said),
        "Unknown" => Status::waiting("ReadyUnknown", said),
        other => Status::new(
            State::Unknown,
            "Unknown",
            format!("condition Ready is `{other}`"),
        ),
    };
    status.because(Some(ready))
}

/// Whether it is an object of Flux that is suspended.
pub fn is_suspended(object: &Value) -> bool {
    let (group, _) = group_version(text(object, "/apiVersion"));
    group.ends_with(".toolkit.fluxcd.io")
        && object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true)
}

/// The conditions of an object, in their order.
pub fn conditions(object: &Value) -> impl Iterator<Item = Condition> {
    let conditions = object
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    conditions
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .map(|one| Condition {
            kind: text(one, "/type").to_owned(),
            status: text(one, "/status").to_owned(),
            reason: text(one, "/reason").to_owned(),
            message: text(one, "/message").to_owned(),
            since: text(one, "/lastTransitionTime").to_owned(),
            observed: integer(one, "/observedGeneration"),
        })
}

/// One condition of an object.
pub fn condition(object: &Value, kind: &str) -> Option<Condition> {
    conditions(object).find(|condition| condition.kind == kind)
}

/// What must let go before an object is gone.
pub(crate) fn finalizers(object: &Value) -> Vec<String> {
    let texts = |pointer| {
        let list = object.pointer(pointer).and_then(Value::as_array);
        list.map(Vec::as_slice)
            .unwrap_or_default()
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
    };
    // A namespace's own one stands in its spec.
    texts("/metadata/finalizers")
        .chain(texts("/spec/finalizers").filter(|name| name == "kubernetes"))
        .collect()
}

fn integer(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// A count of a status, zero where it is not there.
fn count(object: &Value, pointer: &str) -> i64 {
    integer(object, pointer).unwrap_or_default()
}

#[cfg(test)]
mod tests;
