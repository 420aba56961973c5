//! `/cluster/backup`: backup jobs. One-off backups are the guests' endpoints.

use serde_json::{Map, Value};

use super::{Act, Route, index};
use crate::fixture::GuestKind;
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::auth;
use crate::pve::cluster::Call;
use crate::pve::params::{plain, split_list};
use crate::pve::schema::{Kind, method};
use crate::pve::state::{Config, State};

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/cluster/backup", Act::Now(list)),
    ("POST", "/cluster/backup", Act::Now(create)),
    ("GET", "/cluster/backup/{id}", Act::Now(read)),
    ("PUT", "/cluster/backup/{id}", Act::Now(update)),
    ("DELETE", "/cluster/backup/{id}", Act::Now(delete)),
    (
        "GET",
        "/cluster/backup-info",
        Act::Now(|_, _| index("subdir", &["not-backed-up"])),
    ),
    (
        "GET",
        "/cluster/backup-info/not-backed-up",
        Act::Now(not_backed_up),
    ),
];

/// The next run as lists show it.
const NEXT_RUN_SECONDS: i64 = 3600;

fn row(id: &str, job: &Config, now: i64, next: bool) -> Value {
    let mut row = Map::new();
    row.insert("id".into(), id.into());
    row.insert("type".into(), "vzdump".into());
    row.insert("enabled".into(), 1.into());
    row.extend(job.clone());
    if next && row.get("enabled").and_then(plain).as_deref() == Some("1") {
        row.insert("next-run".into(), (now + NEXT_RUN_SECONDS).into());
    }
    Value::Object(row)
}

fn list(call: &Call, state: &mut State) -> Outcome {
    let now = call.cluster.now();
    Ok(state
        .backup_jobs
        .iter()
        .map(|(id, job)| row(id, job, now, true))
        .collect::<Vec<_>>()
        .into())
}

fn missing(id: &str) -> Fail {
    Fail::param("id", format!("No such job '{id}'"))
}

/// An exception that passed through a locked section: its text in a 500.
fn wrapped(fail: Fail) -> Fail {
    let errors: String = fail
        .errors
        .iter()
        .map(|(key, why)| format!("{key}: {}\n", why.as_str().unwrap_or_default()))
        .collect();
    Fail::status(500, format!("{} {}{errors}", fail.status, fail.message))
}

/// What contradicts itself.
fn verify(job: &Config, complete: bool) -> Result<(), Fail> {
    let has = |key: &str| {
        job.get(key)
            .and_then(plain)
            .is_some_and(|text| !text.is_empty() && text != "0")
    };
    let conflict = |key: &str, with: &str| {
        Err(Fail::param(
            key,
            format!("option conflicts with option '{with}'"),
        ))
    };
    if has("all") && has("vmid") {
        return conflict("all", "vmid");
    }
    if has("exclude") && has("vmid") {
        return conflict("exclude", "vmid");
    }
    if has("pool") && has("vmid") {
        return conflict("pool", "vmid");
    }
    if complete && !(has("all") || has("pool") || has("vmid") || has("exclude")) {
        return Err(Fail::param("vmid", "property is missing"));
    }
    Ok(())
}

/// Booleans are numbers in answers, the rest is text.
fn set(job: &mut Config, call: &Call, verb: &str, template: &str) {
    let table = method(template, verb);
    for (key, value) in call
        .params
        .iter()
        .filter(|(key, _)| !matches!(*key, "id" | "delete" | "digest" | "node"))
    {
        let text = plain(value).unwrap_or_default();
        let boolean = table
            .and_then(|table| table.parameter(key))
            .is_some_and(|property| property.kind == Kind::Boolean);
        let value = if boolean {
            Value::from(u8::from(text == "1"))
        } else {
            Value::from(text)
        };
        job.insert(key.to_owned(), value);
    }
    if let (Some(time), None) = (
        job.shift_remove("starttime").and_then(|time| plain(&time)),
        job.get("schedule"),
    ) {
        let days = job
            .shift_remove("dow")
            .and_then(|days| plain(&days))
            .unwrap_or_default();
        job.insert(
            "schedule".into(),
            format!("{} {time}", days).trim().to_owned().into(),
        );
    }
}

fn create(call: &Call, state: &mut State) -> Outcome {
    let id = call
        .params
        .text("id")
        .unwrap_or_else(|| format!("backup-{}", &auth::uuid()[..13]));
    if state.backup_jobs.contains_key(&id) {
        return Err(Fail::die(format!("Job '{id}' already exists")));
    }
    let mut job = Config::new();
    set(&mut job, call, "POST", "/cluster/backup");
    if !job.contains_key("schedule") {
        return Err(Fail::param(
            "schedule",
            "property is missing and it is not optional",
        ));
    }
    verify(&job, true)?;
    storage(call, state)?;
    job.entry("enabled").or_insert(1.into());
    if job.contains_key("exclude") {
        job.entry("all").or_insert(1.into());
    }
    state.backup_jobs.insert(id, job);
    Ok(Reply::null())
}

/// A storage that is named must be there.
fn storage(call: &Call, state: &State) -> Result<(), Fail> {
    match call.params.text("storage") {
        Some(id) if state.storage(&id).is_none() => Err(super::storages::missing(&id)),
        _ => Ok(()),
    }
}

fn read(call: &Call, state: &mut State) -> Outcome {
    let id = call.text("id");
    let job = state.backup_jobs.get(&id).ok_or_else(|| missing(&id))?;
    Ok(row(&id, job, call.cluster.now(), false).into())
}

fn update(call: &Call, state: &mut State) -> Outcome {
    let id = call.text("id");
    let mut job = state
        .backup_jobs
        .get(&id)
        .cloned()
        .ok_or_else(|| wrapped(missing(&id)))?;
    for key in call.params.list("delete") {
        let known = method("/cluster/backup/{id}", "PUT")
            .and_then(|table| table.parameter(&key))
            .is_some();
        if !known || matches!(key.as_str(), "enabled" | "id" | "delete") {
            return Err(wrapped(Fail::param(
                "delete",
                format!("unknown option '{key}'"),
            )));
        }
        job.shift_remove(&key);
    }
    // Choosing one way to select guests replaces the others.
    for (key, others) in [
        ("vmid", ["all", "pool", "exclude"]),
        ("pool", ["vmid", "all", "exclude"]),
        ("all", ["vmid", "pool", "all"]),
    ] {
        if call.params.has(key) {
            others
                .iter()
                .filter(|other| **other != key && !call.params.has(other))
                .for_each(|other| {
                    job.shift_remove(*other);
                });
        }
    }
    set(&mut job, call, "PUT", "/cluster/backup/{id}");
    verify(&job, false)?;
    storage(call, state)?;
    state.backup_jobs.insert(id, job);
    Ok(Reply::null())
}

fn delete(call: &Call, state: &mut State) -> Outcome {
    let id = call.text("id");
    match state.backup_jobs.remove(&id) {
        Some(_) => Ok(Reply::null()),
        None => Err(wrapped(missing(&id))),
    }
}

fn not_backed_up(call: &Call, state: &mut State) -> Outcome {
    let text = |job: &Config, key: &str| job.get(key).and_then(plain).unwrap_or_default();
    let covered = |vmid: u32| {
        state.backup_jobs.values().any(|job| {
            let listed = |key: &str| split_list(&text(job, key)).contains(&vmid.to_string());
            text(job, "all") == "1" && !listed("exclude")
                || listed("vmid")
                || state
                    .pool_of(vmid)
                    .is_some_and(|pool| pool == text(job, "pool"))
        })
    };
    let open = state.guests.values().filter(|guest| {
        call.may(state, &format!("/vms/{}", guest.vmid), &["VM.Audit"])
            && !guest.is_template()
            && !covered(guest.vmid)
    });
    let row = |guest: &crate::pve::state::Guest| {
        let kind = if guest.kind == GuestKind::Lxc {
            "lxc"
        } else {
            "qemu"
        };
        serde_json::json!({"vmid": guest.vmid, "type": kind, "name": guest.name()})
    };
    Ok(open.map(row).collect::<Vec<_>>().into())
}
