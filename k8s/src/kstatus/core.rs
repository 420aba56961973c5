//! Pod, PersistentVolumeClaim, Service, Secret, ConfigMap, and CustomResourceDefinition.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Options, State, Status, condition, conditions};
use crate::object::text;

/// How long a pod may be without a node before that is a failure.
const SCHEDULE_WINDOW: SignedDuration = SignedDuration::from_secs(15);

/// None for a kind that is none of these.
pub(super) fn status(object: &Value, kind: &str, options: &Options) -> Option<Status> {
    match kind {
        "Secret" | "ConfigMap" => Some(Status::current("it is there")),
        "PersistentVolumeClaim" => Some(claim(object)),
        "Service" => Some(service(object, options)),
        "Pod" => Some(pod(object, options)),
        _ => None,
    }
}

fn claim(object: &Value) -> Status {
    match text(object, "/status/phase") {
        "Bound" => Status::current("it is bound"),
        "" => Status::waiting("NotBound", "it is not bound"),
        phase => Status::waiting("NotBound", format!("it is not bound, but {phase}")),
    }
}

fn service(object: &Value, options: &Options) -> Status {
    if text(object, "/spec/type") != "LoadBalancer" {
        return Status::current("it is there");
    }
    if text(object, "/spec/clusterIP").is_empty() {
        return Status::waiting("NoIPAssigned", "it has no cluster address");
    }
    if options.load_balancers {
        let addresses = object
            .pointer("/status/loadBalancer/ingress")
            .and_then(Value::as_array);
        if addresses.is_none_or(Vec::is_empty) {
            return Status::waiting("NoLoadBalancerAddress", "its load balancer has no address");
        }
    }
    Status::current("it has its address")
}

fn pod(object: &Value, options: &Options) -> Status {
    let ready = condition(object, "Ready");
    match text(object, "/status/phase") {
        "Succeeded" => Status::current("it has ended successfully"),
        "Failed" => {
            let message = format!("it has failed{}", ended(object));
            if options.failed_pods {
                return Status::failed("PodFailed", message).because(ready);
            }
            Status::current(message)
        }
        "Running" => {
            if ready.as_ref().is_some_and(|ready| ready.status == "True") {
                return Status::current("it is ready").because(ready);
            }
            let looping = waiting(object, |reason| reason == "CrashLoopBackOff");
            if !looping.is_empty() {
                return Status::failed("CrashLoopBackOff", looping.join("; ")).because(ready);
            }
            let blocked = waiting(object, |_| true);
            let why = if blocked.is_empty() {
                String::new()
            } else {
                format!(": {}", blocked.join("; "))
            };
            Status::waiting(
                "PodRunningNotReady",
                format!("it runs but is not ready{why}"),
            )
            .because(ready)
        }
        "Pending" => pending(object, options),
        "" => Status::waiting("PodNotObserved", "no phase is known of it"),
        other => Status::new(
            State::Unknown,
            "Unknown",
            format!("`{other}` is no phase of a pod"),
        ),
    }
}

fn pending(object: &Value, options: &Options) -> Status {
    let unscheduled = conditions(object).find(|one| {
        one.kind == "PodScheduled" && one.status == "False" && one.reason == "Unschedulable"
    });
    if let Some(condition) = unscheduled {
        let said = if condition.message.is_empty() {
            String::new()
        } else {
            format!(": {}", condition.message)
        };
        let created = text(object, "/metadata/creationTimestamp").parse::<Timestamp>();
        let is_young =
            created.is_ok_and(|created| options.now.duration_since(created) < SCHEDULE_WINDOW);
        let status = if is_young {
            Status::waiting("PodNotScheduled", format!("it has no node yet{said}"))
        } else {
            Status::failed(
                "PodUnschedulable",
                format!("it cannot be given a node{said}"),
            )
        };
        return status.because(Some(condition));
    }
    let blocked = waiting(object, |reason| {
        !matches!(reason, "ContainerCreating" | "PodInitializing")
    });
    let why = if blocked.is_empty() {
        String::new()
    } else {
        format!(": {}", blocked.join("; "))
    };
    let status = Status::waiting("PodPending", format!("it is pending{why}"));
    status.because(conditions(object).find(|condition| condition.status == "False"))
}

fn containers(object: &Value) -> impl Iterator<Item = &Value> {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .flat_map(|pointer| {
            let list = object.pointer(pointer).and_then(Value::as_array);
            list.map(Vec::as_slice).unwrap_or_default().iter()
        })
}

/// The containers that wait for a reason: `container web: CrashLoopBackOff: back-off 5m0s restarting …`.
fn waiting(object: &Value, reason: impl Fn(&str) -> bool) -> Vec<String> {
    let waiting = containers(object).filter_map(|one| {
        let why = text(one, "/state/waiting/reason");
        if why.is_empty() || !reason(why) {
            return None;
        }
        let mut shown = format!("container {}: {why}", text(one, "/name"));
        let message = text(one, "/state/waiting/message");
        if !message.is_empty() {
            shown = format!("{shown}: {message}");
        }
        Some(shown)
    });
    waiting.collect()
}

/// How the containers of a failed pod ended, as far as they say it.
fn ended(object: &Value) -> String {
    let mut ends: Vec<String> = containers(object)
        .filter_map(|one| {
            let code = one
                .pointer("/state/terminated/exitCode")
                .and_then(Value::as_i64)?;
            let reason = text(one, "/state/terminated/reason");
            (code != 0).then(|| {
                format!(
                    "container {} ended with {code} ({reason})",
                    text(one, "/name")
                )
            })
        })
        .collect();
    let (reason, message) = (
        text(object, "/status/reason"),
        text(object, "/status/message"),
    );
    if !reason.is_empty() || !message.is_empty() {
        ends.push(format!("{reason} {message}").trim().to_owned());
    }
    if ends.is_empty() {
        String::new()
    } else {
        format!(": {}", ends.join("; "))
    }
}

pub(super) fn crd(object: &Value) -> Status {
    let mut established = None;
    for condition in conditions(object) {
        let said = condition.message.clone();
        match (condition.kind.as_str(), condition.status.as_str()) {
            ("NamesAccepted", "False") => {
                return Status::failed("NamesNotAccepted", said).because(Some(condition));
            }
            ("Established", "False") if condition.reason != "Installing" => {
                return Status::failed("NotEstablished", said).because(Some(condition));
            }
            ("Established", "True") => {
                established =
                    Some(Status::current("its kinds are served").because(Some(condition)));
                break;
            }
            _ => {}
        }
    }
    established.unwrap_or_else(|| Status::waiting("Installing", "its kinds are not served yet"))
}
