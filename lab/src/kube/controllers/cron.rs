//! CronJobs: a job at each minute that the schedule names. Names of months and days, and time zones, are not read.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Again, owner};
use crate::kube::object::{self, Object};
use crate::kube::state::State;

const MANAGER: &str = "kube-controller-manager";
const SOURCE: &str = "cronjob-controller";

pub(super) fn react(state: &mut State, live: &Arc<Object>) -> Again {
    let value = &live.value;
    if object::is_deleting(value) {
        return None;
    }
    let jobs = state.store.owned_in(object::uid(value), "jobs.batch");
    let over = |job: &Value| {
        ["Complete", "Failed"]
            .iter()
            .find(|name| super::condition(job, name).is_some_and(|one| one["status"] == "True"))
            .copied()
    };
    let active: Vec<&Arc<Object>> = jobs
        .iter()
        .filter(|job| over(&job.value).is_none())
        .collect();
    let mut status = value["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    let references: Vec<Value> = active.iter().map(|job| reference(&job.value)).collect();
    object::remove(&mut status, &["active"]);
    if !references.is_empty() {
        status["active"] = references.into();
    }
    for (name, key) in [
        ("Complete", "successfulJobsHistoryLimit"),
        ("Failed", "failedJobsHistoryLimit"),
    ] {
        let mut old: Vec<&Arc<Object>> = jobs
            .iter()
            .filter(|job| over(&job.value) == Some(name))
            .collect();
        if name == "Complete"
            && let Some(last) = old
                .iter()
                .filter_map(|job| job.value["status"]["completionTime"].as_str())
                .max()
        {
            status["lastSuccessfulTime"] = last.into();
        }
        old.sort_by_key(|job| {
            object::text(&job.value, &["metadata", "creationTimestamp"]).to_owned()
        });
        let kept =
            usize::try_from(object::number(value, &["spec", key]).unwrap_or(1)).unwrap_or_default();
        for job in old.iter().take(old.len().saturating_sub(kept)) {
            state.end(&job.value);
        }
    }
    let now = Timestamp::now();
    let minute = now.as_second() - now.as_second().rem_euclid(60);
    let again = Some(Duration::from_secs(
        u64::try_from(minute + 60 - now.as_second()).unwrap_or(60),
    ));
    let seen = object::text(&status, &["lastScheduleTime"])
        .parse::<Timestamp>()
        .map(Timestamp::as_second)
        .unwrap_or_default();
    let born = object::text(value, &["metadata", "creationTimestamp"])
        .parse::<Timestamp>()
        .map(Timestamp::as_second)
        .unwrap_or_default();
    let due = minute > seen
        && minute > born
        && is_due(object::text(value, &["spec", "schedule"]), minute);
    if !due || value["spec"]["suspend"] == true {
        state.write_status(live, status, MANAGER);
        return again;
    }
    match (
        object::text(value, &["spec", "concurrencyPolicy"]),
        active.is_empty(),
    ) {
        ("Forbid", false) => {
            state.event(value, "Normal", "JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid", SOURCE);
            state.write_status(live, status, MANAGER);
            return again;
        }
        ("Replace", false) => active.iter().for_each(|job| state.end(&job.value)),
        _ => {}
    }
    let template = &value["spec"]["jobTemplate"];
    let mut meta = json!({
        "name": format!("{}-{}", object::name(value), minute / 60),
        "ownerReferences": [owner(("batch/v1", "CronJob"), value)],
        "annotations": {"batch.kubernetes.io/cronjob-scheduled-timestamp": object::stamp(Timestamp::from_second(minute).unwrap_or(now))},
    });
    for key in ["labels", "annotations"] {
        for (name, one) in template["metadata"][key].as_object().into_iter().flatten() {
            meta[key][name] = one.clone();
        }
    }
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": template["spec"]});
    match state.make(object::namespace(value), job, MANAGER) {
        Ok(made) => {
            status["lastScheduleTime"] =
                object::stamp(Timestamp::from_second(minute).unwrap_or(now)).into();
            let text = format!("Created job {}", object::name(&made.value));
            state.event(value, "Normal", "SuccessfulCreate", &text, SOURCE);
        }
        Err(message) => state.event(
            value,
            "Warning",
            "FailedCreate",
            &format!("Error creating job: {message}"),
            SOURCE,
        ),
    }
    state.write_status(live, status, MANAGER);
    again
}

fn reference(job: &Value) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "namespace": object::namespace(job), "name": object::name(job),
        "uid": object::uid(job), "resourceVersion": job["metadata"]["resourceVersion"],
    })
}

/// Whether a schedule of five fields names this minute, in UTC.
fn is_due(schedule: &str, second: i64) -> bool {
    let schedule = match schedule.trim() {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        other => other,
    };
    let Ok(time) = Timestamp::from_second(second) else {
        return false;
    };
    let time: DateTime = time.to_zoned(TimeZone::UTC).datetime();
    let weekday = i64::from(time.weekday().to_sunday_zero_offset());
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    let [minute, hour, day, month, week] = fields.as_slice() else {
        return false;
    };
    let days = match (*day, *week) {
        (_, "*") => has(day, i64::from(time.day()), 1, 31),
        ("*", _) => has(week, weekday, 0, 7),
        // Both are given: either will do.
        _ => has(day, i64::from(time.day()), 1, 31) || has(week, weekday, 0, 7),
    };
    has(minute, i64::from(time.minute()), 0, 59)
        && has(hour, i64::from(time.hour()), 0, 23)
        && days
        && has(month, i64::from(time.month()), 1, 12)
}

fn has(field: &str, number: i64, first: i64, last: i64) -> bool {
    field.split(',').any(|part| {
        let (range, step) = part.split_once('/').map_or((part, 1), |(range, step)| {
            (range, step.parse().unwrap_or(1))
        });
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (first, last),
            Some((from, to)) => (from.parse().unwrap_or(-1), to.parse().unwrap_or(-1)),
            None => {
                let own = range.parse().unwrap_or(-1);
                (own, if part.contains('/') { last } else { own })
            }
        };
        let hit =
            |number: i64| number >= from && number <= to && (number - from) % step.max(1) == 0;
        hit(number) || (last == 7 && number == 0 && hit(7))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_name_their_minutes() {
        // 2026-11-23T10:15:00Z, a Monday.
        let second = "2026-11-23T10:15:00Z"
            .parse::<Timestamp>()
            .unwrap()
            .as_second();
        for schedule in [
            "* * * * *",
            "*/15 * * * *",
            "15 10 * * 1",
            "10-20/5 8-12 23 11 *",
            "15 10 1 * 1",
        ] {
            assert!(is_due(schedule, second), "{schedule}");
        }
        for schedule in [
            "0 * * * *",
            "15 10 * * 0",
            "@hourly",
            "nonsense",
            "15 11 * * *",
        ] {
            assert!(!is_due(schedule, second), "{schedule}");
        }
    }
}
