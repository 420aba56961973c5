//! `/nodes/{node}/tasks`, `/cluster/tasks`: the lists, a task's state, log and stop.

use serde_json::{Map, Value, json};

use super::{Act, Route, index};
use crate::pve::access::split_token;
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::state::State;
use crate::pve::task::{Task, Upid};

const PAGE: i64 = 50;
/// How many tasks of a node the cluster's list shows.
const CLUSTER_TASKS: usize = 25;

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/cluster/tasks", Act::Now(cluster_tasks)),
    ("GET", "/nodes/{node}/tasks", Act::Now(list)),
    (
        "GET",
        "/nodes/{node}/tasks/{upid}",
        Act::Now(|_, _| index("name", &["log", "status"])),
    ),
    ("DELETE", "/nodes/{node}/tasks/{upid}", Act::Now(stop)),
    ("GET", "/nodes/{node}/tasks/{upid}/log", Act::Now(log)),
    ("GET", "/nodes/{node}/tasks/{upid}/status", Act::Now(status)),
];

/// The parts of a task id as every answer has them.
fn row(task: &Upid) -> Map<String, Value> {
    let mut row = Map::new();
    row.insert("upid".into(), task.to_string().into());
    row.insert("node".into(), task.node.clone().into());
    row.insert("pid".into(), task.pid.into());
    row.insert("pstart".into(), task.pstart.into());
    row.insert("starttime".into(), task.starttime.into());
    row.insert("type".into(), task.kind.clone().into());
    row.insert("id".into(), task.id.clone().into());
    match split_token(&task.user) {
        Some((user, token)) => {
            row.insert("user".into(), user.into());
            row.insert("tokenid".into(), token.into());
        }
        None => {
            row.insert("user".into(), task.user.clone().into());
        }
    }
    row
}

fn list_row(task: &Task) -> Value {
    let mut row = row(&task.upid);
    if let Some((exit, at)) = &task.end {
        row.insert("endtime".into(), (*at).into());
        row.insert("status".into(), exit.clone().into());
    }
    Value::Object(row)
}

/// Whether a task is the caller's: of the same user, and of the same token if one calls.
fn is_own(call: &Call, task: &Upid) -> bool {
    task.user == call.caller.authid()
        || !call.caller.authid().contains('!')
            && split_token(&task.user).is_some_and(|(user, _)| user == call.caller.user())
}

fn cluster_tasks(call: &Call, state: &mut State) -> Outcome {
    let mut rows = Vec::new();
    for node in &state.nodes {
        let all = call.may(state, &format!("/nodes/{}", node.name), &["Sys.Audit"]);
        let mine = state
            .tasks
            .newest()
            .filter(|task| task.upid.node == node.name);
        rows.extend(
            mine.take(CLUSTER_TASKS)
                .filter(|task| all || is_own(call, &task.upid))
                .map(list_row),
        );
    }
    Ok(rows.into())
}

fn list(call: &Call, state: &mut State) -> Outcome {
    let node = call.node();
    let params = &call.params;
    let all = call.may(state, &format!("/nodes/{node}"), &["Sys.Audit"]);
    let source = params.text("source").unwrap_or_else(|| "archive".into());
    let (vmid, kind, user) = (
        params.text("vmid"),
        params.text("typefilter"),
        params.text("userfilter"),
    );
    let statuses = params.list("statusfilter");
    let matches = |task: &&Task| {
        let ended = task.end.is_some();
        task.upid.node == node
            && (all || is_own(call, &task.upid))
            && match source.as_str() {
                "active" => !ended,
                "archive" => ended,
                _ => true,
            }
            && vmid.as_ref().is_none_or(|vmid| task.upid.id == *vmid)
            && kind.as_ref().is_none_or(|kind| task.upid.kind == *kind)
            && user
                .as_ref()
                .is_none_or(|user| task.upid.user.to_lowercase().contains(&user.to_lowercase()))
            && (!params.flag("errors") || task.failed())
            && params
                .int("since")
                .is_none_or(|since| task.upid.starttime >= since)
            && params
                .int("until")
                .is_none_or(|until| task.upid.starttime <= until)
            && (statuses.is_empty() || statuses.iter().any(|status| *status == class(task)))
    };
    let found: Vec<&Task> = state.tasks.newest().filter(matches).collect();
    let (start, limit) = (
        params.int("start").unwrap_or(0).max(0),
        params.int("limit").unwrap_or(PAGE).max(0),
    );
    let page = found
        .iter()
        .skip(usize::try_from(start).unwrap_or(usize::MAX))
        .take(usize::try_from(limit).unwrap_or(usize::MAX));
    let rows: Vec<Value> = page.map(|task| list_row(task)).collect();
    // Without rights and without own tasks the list has no total, as with the active ones.
    let total = found.len();
    match total {
        0 => Ok(rows.into()),
        _ => Ok(Reply::page(rows, total)),
    }
}

/// The class of an end that `statusfilter` asks for.
fn class(task: &Task) -> &'static str {
    match task.exit() {
        Some("OK") => "ok",
        Some(text) if text.starts_with("WARNINGS: ") => "warning",
        Some("unexpected status") | None => "unknown",
        Some(_) => "error",
    }
}

/// The task's id, if it is one and the caller may see it.
fn parse(call: &Call, state: &State, right: &str) -> Result<Upid, Fail> {
    let upid = Upid::parse(&call.text("upid"))
        .ok_or_else(|| Fail::param("upid", "unable to parse worker upid"))?;
    if !is_own(call, &upid) {
        call.check(state, &format!("/nodes/{}", call.node()), &[right])?;
    }
    Ok(upid)
}

fn status(call: &Call, state: &mut State) -> Outcome {
    let upid = parse(call, state, "Sys.Audit")?;
    let task = state
        .tasks
        .get(&upid.to_string())
        .ok_or_else(|| Fail::param("upid", "no such task"))?;
    let mut row = row(&upid);
    match task.exit() {
        Some(exit) => {
            row.insert("status".into(), "stopped".into());
            row.insert("exitstatus".into(), exit.into());
        }
        None => {
            row.insert("status".into(), "running".into());
        }
    }
    Ok(Value::Object(row).into())
}

fn log(call: &Call, state: &mut State) -> Outcome {
    let upid = parse(call, state, "Sys.Audit")?;
    let missing = ["unable to open file - No such file or directory".to_owned()];
    let empty = ["no content".to_owned()];
    let lines: &[String] = match state.tasks.get(&upid.to_string()) {
        None => &missing,
        Some(task) if task.log.is_empty() => &empty,
        Some(task) => &task.log,
    };
    let start = usize::try_from(call.params.int("start").unwrap_or(0)).unwrap_or(0);
    let limit = match call.params.int("limit").unwrap_or(PAGE) {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(0),
    };
    let rows = lines
        .iter()
        .enumerate()
        .skip(start)
        .take(limit)
        .map(|(at, line)| json!({"n": at + 1, "t": line}))
        .collect();
    Ok(Reply::page(rows, lines.len()))
}

fn stop(call: &Call, state: &mut State) -> Outcome {
    let upid = parse(call, state, "Sys.Modify")?.to_string();
    if state.tasks.get(&upid).is_none() {
        return Err(Fail::param("upid", "no such task"));
    }
    let now = call.cluster.now();
    state.tasks.interrupt(&upid, now);
    Ok(Reply::null())
}
