//! A machine and the cluster: calls of the API as root, their tasks and errors as command line tools show them, restarts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::answer::{Said, fail};
use super::machine::Machine;
use super::{Inner, Role};
use crate::fixture::GuestKind;
use crate::pve::{Answer, Caller, Params};

/// How long a program waits for a task.
const TASK: Duration = Duration::from_secs(1800);
/// The first pause between two looks at a task, and the longest.
const LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// A call of the API as root, from a machine.
pub(super) async fn call(machine: &Machine, verb: &str, path: &str, params: Params) -> Answer {
    match machine.lab.upgrade().and_then(|lab| lab.cluster()) {
        Some(cluster) => cluster.call(verb, path, params, &Caller::root()).await,
        None => nobody("the lab has no cluster"),
    }
}

/// An answer that no cluster gives.
fn nobody(text: &str) -> Answer {
    Answer {
        status: 500,
        message: Some(format!("{text}\n")),
        data: Value::Null,
        beside: serde_json::Map::new(),
        errors: serde_json::Map::new(),
    }
}

/// The error of a refused call, as the command line tools print it.
pub(super) fn refused(answer: &Answer) -> Said {
    let mut text = match answer.status {
        500 => answer.text().to_owned(),
        status => format!("{status} {}", answer.text()),
    };
    for (name, why) in &answer.errors {
        text.push_str(&format!(
            "\n{name}: {}",
            why.as_str().unwrap_or_default().trim_end()
        ));
    }
    // What Perl ends with when a file was missing.
    fail(
        if text.contains("does not exist") {
            2
        } else {
            255
        },
        text,
    )
}

/// Waits for a call's task, if it started one: its log, and its failure.
pub(super) async fn finish(machine: &Machine, answer: Answer) -> Said {
    if !answer.is_ok() {
        return refused(&answer);
    }
    let Some(upid) = answer
        .data
        .as_str()
        .filter(|text| text.starts_with("UPID:"))
    else {
        return Said::default();
    };
    let node = upid.split(':').nth(1).unwrap_or_default();
    let path = format!("/nodes/{node}/tasks/{upid}");
    let (begin, mut pause) = (Instant::now(), LOOK.0);
    let end = loop {
        let status = call(machine, "GET", &format!("{path}/status"), Params::new()).await;
        if !status.is_ok() {
            return refused(&status);
        }
        if let Some(end) = status.data.get("exitstatus").and_then(Value::as_str) {
            break end.to_owned();
        }
        if begin.elapsed() > TASK {
            return fail(255, "the task takes too long");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK.1);
    };
    let log = call(
        machine,
        "GET",
        &format!("{path}/log"),
        Params::from_pairs([("limit", "0")]),
    )
    .await;
    let lines = log.data.as_array().cloned().unwrap_or_default();
    let lines = lines.iter().filter_map(|line| line.get("t")?.as_str());
    let out: String = lines
        .filter(|line| !line.starts_with("TASK ") && *line != "no content")
        .map(|line| format!("{line}\n"))
        .collect();
    if end == "OK" || end.starts_with("WARNINGS: ") {
        Said::out(out)
    } else {
        Said {
            out,
            ..fail(255, end)
        }
    }
}

/// A value as a text.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// `--name value`, `-name value`, `--name=value`; a name alone is true.
pub(super) fn options(args: &[String]) -> Result<Vec<(String, String)>, String> {
    let (mut pairs, mut at) = (Vec::new(), 0);
    while let Some(arg) = args.get(at) {
        let name = arg.trim_start_matches('-');
        if name.len() == arg.len() || name.is_empty() {
            return Err(arg.clone());
        }
        at += 1;
        if let Some((name, value)) = name.split_once('=') {
            pairs.push((name.to_owned(), value.to_owned()));
            continue;
        }
        let value = args.get(at).filter(|value| {
            // `-5` is a number, `-` is standard input.
            let option = value.strip_prefix('-').filter(|rest| !rest.is_empty());
            option.is_none_or(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        });
        at += usize::from(value.is_some());
        pairs.push((
            name.to_owned(),
            value.cloned().unwrap_or_else(|| "1".to_owned()),
        ));
    }
    Ok(pairs)
}

/// The node that a guest is on.
pub(super) async fn where_is(machine: &Machine, vmid: u32, lab: &Inner) -> Option<Arc<Machine>> {
    let answer = call(
        machine,
        "GET",
        "/cluster/resources",
        Params::from_pairs([("type", "vm")]),
    )
    .await;
    let item = answer
        .data
        .as_array()?
        .iter()
        .find(|item| item.get("vmid").and_then(Value::as_u64) == Some(vmid.into()))?
        .clone();
    lab.find(item.get("node")?.as_str()?)
}

/// Restarts a machine. A node does so by the API, which knows what becomes of its guests and tells the machine's hook.
pub(super) async fn restart(machine: &Arc<Machine>) {
    if machine.spec.role != Role::Node {
        return machine.restart().await;
    }
    let path = format!("/nodes/{}/status", machine.spec.name);
    let said = call(
        machine,
        "POST",
        &path,
        Params::from_pairs([("command", "reboot")]),
    )
    .await;
    if !said.is_ok() {
        tracing::warn!(
            text = said.text(),
            node = machine.spec.name,
            "the node of a lab does not restart"
        );
    }
}

/// `systemctl poweroff`: a guest stops, as the API sees it too; anything else goes down and stays so.
pub(super) fn power_off(machine: &Arc<Machine>) -> Said {
    let machine = machine.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Role::Guest { vmid, kind, node } = &machine.spec.role {
            let Some(lab) = machine.lab.upgrade() else {
                return;
            };
            let node = where_is(&machine, *vmid, &lab)
                .await
                .map_or_else(|| node.clone(), |node| node.spec.name.clone());
            let kind = if *kind == GuestKind::Lxc {
                "lxc"
            } else {
                "qemu"
            };
            let stopped = call(
                &machine,
                "POST",
                &format!("/nodes/{node}/{kind}/{vmid}/status/stop"),
                Params::new(),
            )
            .await;
            finish(&machine, stopped).await;
        } else {
            machine.stop().await;
        }
    });
    Said::default()
}
