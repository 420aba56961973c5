//! What stands in the cells of tables, as kubectl's users know it.

use serde_json::{Map, Value};

use crate::kube::object;

pub(super) fn spec(value: &Value, name: &str) -> i64 {
    object::number(value, &["spec", name]).unwrap_or_default()
}
pub(super) fn status(value: &Value, name: &str) -> i64 {
    object::number(value, &["status", name]).unwrap_or_default()
}
pub(super) fn count(value: &Value, name: &str) -> usize {
    value[name].as_object().map_or(0, Map::len)
}
pub(super) fn or_none(text: &str) -> Value {
    if text.is_empty() { "<none>" } else { text }.into()
}
pub(super) fn age(value: &Value) -> Value {
    since_or(value, &["metadata", "creationTimestamp"]).into()
}
pub(super) fn since_or(value: &Value, path: &[&str]) -> String {
    match object::text(value, path) {
        "" => "<unknown>".into(),
        time => since(time),
    }
}
/// How long ago, as kubectl writes it.
pub(super) fn since(time: &str) -> String {
    let Ok(then) = time.parse::<jiff::Timestamp>() else {
        return "<invalid>".into();
    };
    human(jiff::Timestamp::now().as_second() - then.as_second())
}
pub(super) fn human(seconds: i64) -> String {
    let two = |big: i64, unit: &str, small: i64, name: &str| {
        if small == 0 {
            format!("{big}{unit}")
        } else {
            format!("{big}{unit}{small}{name}")
        }
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        s if s < -1 => "<invalid>".into(),
        s if s < 0 => "0s".into(),
        s if s < 120 => format!("{s}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => two(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if days < 2920 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}
pub(super) fn containers(value: &Value, key: &str) -> Value {
    let list: Vec<&str> = object::items(value, &["spec", "template", "spec", "containers"])
        .iter()
        .filter_map(|one| one[key].as_str())
        .collect();
    list.join(",").into()
}
pub(super) fn pairs(map: Option<&Value>) -> Value {
    let list: Vec<String> = map
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    or_none(&list.join(","))
}
pub(super) fn selector(value: &Value) -> Value {
    pairs(object::at(value, &["spec", "selector", "matchLabels"]))
}
pub(super) fn pod_ready(value: &Value) -> Value {
    let ready = object::items(value, &["status", "containerStatuses"])
        .iter()
        .filter(|one| one["ready"] == true)
        .count();
    format!(
        "{ready}/{}",
        object::items(value, &["spec", "containers"]).len()
    )
    .into()
}
pub(super) fn pod_restarts(value: &Value) -> i64 {
    object::items(value, &["status", "containerStatuses"])
        .iter()
        .filter_map(|one| one["restartCount"].as_i64())
        .sum()
}
/// The word in the column `STATUS`.
pub(super) fn pod_status(value: &Value) -> String {
    let mut word = match object::text(value, &["status", "reason"]) {
        "" => object::text(value, &["status", "phase"]).to_owned(),
        reason => reason.to_owned(),
    };
    for one in object::items(value, &["status", "containerStatuses"]) {
        let waiting = object::text(one, &["state", "waiting", "reason"]);
        let ended = &one["state"]["terminated"];
        if !waiting.is_empty() {
            waiting.clone_into(&mut word);
        } else if let Some(reason) = ended["reason"].as_str() {
            reason.clone_into(&mut word);
        } else if !ended.is_null() {
            word = format!("ExitCode:{}", ended["exitCode"]);
        }
    }
    if object::is_deleting(value) {
        word = "Terminating".into();
    }
    word
}
pub(super) fn job_status(value: &Value) -> &'static str {
    let has = |name: &str| {
        object::items(value, &["status", "conditions"])
            .iter()
            .any(|one| one["type"] == name && one["status"] == "True")
    };
    match () {
        () if has("Complete") => "Complete",
        () if has("Failed") => "Failed",
        () if object::is_deleting(value) => "Terminating",
        () if has("Suspended") => "Suspended",
        () if has("FailureTarget") => "FailureTarget",
        () if has("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}
pub(super) fn duration(value: &Value) -> Value {
    let Ok(start) = object::text(value, &["status", "startTime"]).parse::<jiff::Timestamp>() else {
        return "".into();
    };
    let end = object::text(value, &["status", "completionTime"])
        .parse()
        .unwrap_or_else(|_| jiff::Timestamp::now());
    human(end.as_second() - start.as_second()).into()
}
pub(super) fn load_balancer(value: &Value) -> Vec<String> {
    object::items(value, &["status", "loadBalancer", "ingress"])
        .iter()
        .filter_map(|one| {
            one["ip"]
                .as_str()
                .or(one["hostname"].as_str())
                .map(str::to_owned)
        })
        .collect()
}
pub(super) fn external(value: &Value) -> Value {
    match object::text(value, &["spec", "type"]) {
        "ExternalName" => value["spec"]["externalName"].clone(),
        "LoadBalancer" => {
            let list = load_balancer(value);
            if list.is_empty() {
                "<pending>".into()
            } else {
                list.join(",").into()
            }
        }
        _ => "<none>".into(),
    }
}
pub(super) fn ports(value: &Value) -> Value {
    let list: Vec<String> = object::items(value, &["spec", "ports"])
        .iter()
        .map(|one| {
            let protocol = one["protocol"].as_str().unwrap_or("TCP");
            match one["nodePort"].as_i64() {
                Some(node) => format!("{}:{node}/{protocol}", one["port"]),
                None => format!("{}/{protocol}", one["port"]),
            }
        })
        .collect();
    or_none(&list.join(","))
}
pub(super) fn node_status(value: &Value) -> String {
    let ready = object::items(value, &["status", "conditions"])
        .iter()
        .any(|one| one["type"] == "Ready" && one["status"] == "True");
    let mut word = if ready { "Ready" } else { "NotReady" }.to_owned();
    if value["spec"]["unschedulable"] == true {
        word.push_str(",SchedulingDisabled");
    }
    word
}
/// The first address of this type that a node has.
pub(super) fn address(value: &Value, kind: &str) -> Value {
    let all = object::items(value, &["status", "addresses"]);
    let found = all.iter().find(|one| one["type"] == kind);
    or_none(
        found
            .and_then(|one| one["address"].as_str())
            .unwrap_or_default(),
    )
}
pub(super) fn node_info(value: &Value, key: &str) -> Value {
    match object::text(value, &["status", "nodeInfo", key]) {
        "" => "<unknown>".into(),
        own => own.into(),
    }
}
pub(super) fn roles(value: &Value) -> Value {
    let list: Vec<&str> = object::at(value, &["metadata", "labels"])
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|map| map.keys())
        .filter_map(|name| name.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    or_none(&list.join(","))
}
pub(super) fn modes(value: &Value, part: &str) -> String {
    let list: Vec<&str> = object::items(value, &[part, "accessModes"])
        .iter()
        .filter_map(|one| match one.as_str()? {
            "ReadWriteOnce" => Some("RWO"),
            "ReadOnlyMany" => Some("ROX"),
            "ReadWriteMany" => Some("RWX"),
            "ReadWriteOncePod" => Some("RWOP"),
            _ => None,
        })
        .collect();
    list.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_written_as_kubectl_writes_them() {
        for (seconds, wanted) in [
            (5, "5s"),
            (119, "119s"),
            (130, "2m10s"),
            (660, "11m"),
            (7300, "121m"),
            (90000, "25h"),
            (400_000, "4d15h"),
        ] {
            assert_eq!(human(seconds), wanted);
        }
    }
}
