//! `pct` and `qm`: subcommands that are calls of the API, and those that reach into a guest.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde_json::Value;

use super::answer::{Said, fail, unserved};
use super::machine::Machine;
use super::node::{call, finish, options, refused};
use super::program::Call;
use super::within::{agent, copy, exec, guest_exec, read};
use crate::fixture::GuestKind;
use crate::pve::{Answer, Params};

/// Subcommands that are one call: name, verb, path below the guest, what the words after the vmid are.
const CALLS: &[(&str, &str, &str, &[&str])] = &[
    ("start", "POST", "/status/start", &[]),
    ("stop", "POST", "/status/stop", &[]),
    ("shutdown", "POST", "/status/shutdown", &[]),
    ("reboot", "POST", "/status/reboot", &[]),
    ("suspend", "POST", "/status/suspend", &[]),
    ("resume", "POST", "/status/resume", &[]),
    ("set", "PUT", "/config", &[]),
    ("destroy", "DELETE", "", &[]),
    ("clone", "POST", "/clone", &["newid"]),
    ("template", "POST", "/template", &[]),
    ("resize", "PUT", "/resize", &["disk", "size"]),
    ("snapshot", "POST", "/snapshot", &["snapname"]),
    ("rollback", "POST", "/snapshot/{}/rollback", &["snapname"]),
    ("delsnapshot", "DELETE", "/snapshot/{}", &["snapname"]),
];

/// Answers `pct` or `qm`.
pub(super) async fn answer(
    machine: &Arc<Machine>,
    asked: &Call,
    args: Vec<String>,
    streams: Vec<OwnedFd>,
) -> Said {
    let program = asked.program.as_str();
    let kind = if program == "pct" { "lxc" } else { "qemu" };
    let base = format!("/nodes/{}/{kind}", machine.spec.name);
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => fail(255, "ERROR: no command specified"),
        ["list", ..] => list(machine, program, &base).await,
        ["guest", "exec", vmid, rest @ ..] if program == "qm" => {
            guest_exec(machine, vmid, rest, &base).await
        }
        ["guest", "cmd", vmid, command] | ["agent", vmid, command] if program == "qm" => {
            agent(machine, vmid, command, &base).await
        }
        [verb, ..]
            if ![
                "exec",
                "push",
                "pull",
                "create",
                "status",
                "config",
                "listsnapshot",
                "unlock",
            ]
            .contains(verb)
                && !CALLS.iter().any(|(name, ..)| name == verb) =>
        {
            unserved(machine, &format!("{program} {verb}"))
        }
        [verb] => fail(
            255,
            format!("400 not enough arguments\n{program} {verb} <vmid> [OPTIONS]"),
        ),
        ["exec", vmid, rest @ ..] if program == "pct" => exec(machine, vmid, rest, streams).await,
        ["push", vmid, file, to, rest @ ..] if program == "pct" => {
            copy(machine, asked, vmid, file, to, rest, true).await
        }
        ["pull", vmid, from, file, rest @ ..] if program == "pct" => {
            copy(machine, asked, vmid, from, file, rest, false).await
        }
        ["status", vmid, rest @ ..] => status(machine, vmid, rest, &base).await,
        ["config", vmid, rest @ ..] => config(machine, vmid, rest, &base).await,
        ["listsnapshot", vmid] => snapshots(machine, vmid, &base).await,
        ["unlock", vmid] => unlock(machine, program, vmid).await,
        ["unlock", ..] => fail(255, "400 too many arguments"),
        ["create", vmid, rest @ ..] => {
            let (mut pairs, rest) = match rest.split_first() {
                Some((template, rest)) if !template.starts_with('-') && program == "pct" => (
                    vec![("ostemplate".to_owned(), (*template).to_owned())],
                    rest,
                ),
                _ => (Vec::new(), rest),
            };
            pairs.push(("vmid".to_owned(), (*vmid).to_owned()));
            one(machine, asked, "POST", &base, pairs, rest).await
        }
        [verb, vmid, rest @ ..] => match CALLS.iter().find(|(name, ..)| name == verb) {
            Some((_, method, path, names)) => {
                if rest.len() < names.len() {
                    return fail(255, "400 not enough arguments");
                }
                let (given, rest) = rest.split_at(names.len());
                let mut pairs: Vec<(String, String)> = names
                    .iter()
                    .zip(given)
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect();
                let mut path = (*path).to_owned();
                if path.contains("{}") {
                    path = path.replace("{}", &pairs.remove(0).1);
                }
                one(
                    machine,
                    asked,
                    method,
                    &format!("{base}/{vmid}{path}"),
                    pairs,
                    rest,
                )
                .await
            }
            None => unserved(machine, &format!("{program} {verb}")),
        },
    }
}

async fn one(
    machine: &Machine,
    asked: &Call,
    method: &str,
    path: &str,
    mut pairs: Vec<(String, String)>,
    rest: &[&str],
) -> Said {
    let rest: Vec<String> = rest.iter().map(|word| (*word).to_owned()).collect();
    match options(&rest) {
        Ok(more) => pairs.extend(more),
        Err(word) => return fail(255, format!("400 too many arguments: {word}")),
    }
    for (name, value) in &mut pairs {
        if matches!(name.as_str(), "sshkeys" | "sshkey" | "ssh-public-keys") {
            let text = match read(machine, asked, value).await {
                Ok(text) => text,
                Err(said) => return said,
            };
            *value = if name == "ssh-public-keys" {
                text
            } else {
                escape(&text)
            };
        }
    }
    let answer = call(machine, method, path, Params::from_pairs(pairs)).await;
    finish(machine, answer).await
}

/// Percent-encoding, as `qm` does with keys before it sends them.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// A value of an answer as a text.
pub(super) fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

/// There is no call for it: it is the node's own.
async fn unlock(machine: &Machine, program: &str, vmid: &str) -> Said {
    let kind = match program {
        "pct" => GuestKind::Lxc,
        _ => GuestKind::Qemu,
    };
    let Ok(vmid) = vmid.parse::<u32>() else {
        let why = "vmid: type check ('integer') failed - got";
        return fail(
            255,
            format!("400 Parameter verification failed.\n{why} '{vmid}'"),
        );
    };
    let Some(cluster) = machine.lab.upgrade().and_then(|lab| lab.cluster()) else {
        return fail(255, "the lab has no cluster");
    };
    match cluster.unlock(kind, &machine.spec.name, vmid).await {
        Ok(()) => Said::default(),
        Err(error) => refused(&Answer::from(Err(error))),
    }
}

async fn list(machine: &Machine, program: &str, base: &str) -> Said {
    let answer = call(machine, "GET", base, Params::new()).await;
    if !answer.is_ok() {
        return refused(&answer);
    }
    let mut guests = answer.data.as_array().cloned().unwrap_or_default();
    guests.sort_by_key(|guest| text(guest, "vmid").parse::<u32>().unwrap_or(0));
    if guests.is_empty() {
        return Said::default();
    }
    let number = |guest: &Value, key: &str| guest.get(key).and_then(Value::as_f64).unwrap_or(0.0);
    let mut out = if program == "pct" {
        format!(
            "{:<10} {:<10} {:<12} {:<20}\n",
            "VMID", "Status", "Lock", "Name"
        )
    } else {
        format!(
            "{:>10} {:<20} {:<10} {:<10} {:>12} {:<10}\n",
            "VMID", "NAME", "STATUS", "MEM(MB)", "BOOTDISK(GB)", "PID"
        )
    };
    for guest in &guests {
        let (vmid, status, name) = (
            text(guest, "vmid"),
            text(guest, "status"),
            text(guest, "name"),
        );
        out.push_str(&if program == "pct" {
            format!(
                "{vmid:<10} {status:<10} {:<12} {name:<20}\n",
                text(guest, "lock")
            )
        } else {
            let (memory, disk) = (
                (number(guest, "maxmem") / 1_048_576.0).floor(),
                number(guest, "maxdisk") / 1_073_741_824.0,
            );
            let pid = text(guest, "pid");
            format!(
                "{vmid:>10} {name:<20} {status:<10} {memory:<10} {disk:>12.2} {:<10}\n",
                if pid.is_empty() { "0".to_owned() } else { pid }
            )
        });
    }
    Said::out(out)
}

async fn status(machine: &Machine, vmid: &str, rest: &[&str], base: &str) -> Said {
    let answer = call(
        machine,
        "GET",
        &format!("{base}/{vmid}/status/current"),
        Params::new(),
    )
    .await;
    if !answer.is_ok() {
        return refused(&answer);
    }
    match rest {
        [] => Said::out(format!("status: {}\n", text(&answer.data, "status"))),
        ["--verbose"] | ["-verbose"] | ["--verbose", "1"] => Said::out(lines(&answer.data)),
        other => fail(255, format!("400 too many arguments: {}", other.join(" "))),
    }
}

async fn config(machine: &Machine, vmid: &str, rest: &[&str], base: &str) -> Said {
    let rest: Vec<String> = rest.iter().map(|word| (*word).to_owned()).collect();
    let Ok(mut pairs) = options(&rest) else {
        return fail(255, "400 too many arguments");
    };
    if !pairs
        .iter()
        .any(|(name, _)| name == "snapshot" || name == "current")
    {
        // The command line shows what is, unless it is asked for what waits.
        pairs.push(("current".to_owned(), "1".to_owned()));
    }
    let answer = call(
        machine,
        "GET",
        &format!("{base}/{vmid}/config"),
        Params::from_pairs(pairs),
    )
    .await;
    if answer.is_ok() {
        Said::out(lines(&answer.data))
    } else {
        refused(&answer)
    }
}

/// `key: value`, sorted.
fn lines(data: &Value) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (key, value) in data
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != "digest")
    {
        match value {
            Value::Array(pairs) => lines.extend(pairs.iter().filter_map(|pair| {
                Some(format!(
                    "{}: {}",
                    pair.get(0)?.as_str()?,
                    pair.get(1)?.as_str()?
                ))
            })),
            Value::Object(_) => lines.push(format!("{key}:")),
            _ => lines.push(format!(
                "{key}: {}",
                text(data, key).trim_end().replace('\n', "%0A")
            )),
        }
    }
    lines.sort();
    lines.iter().map(|line| format!("{line}\n")).collect()
}

async fn snapshots(machine: &Machine, vmid: &str, base: &str) -> Said {
    let answer = call(
        machine,
        "GET",
        &format!("{base}/{vmid}/snapshot"),
        Params::new(),
    )
    .await;
    if !answer.is_ok() {
        return refused(&answer);
    }
    let items = answer.data.as_array().cloned().unwrap_or_default();
    let (mut out, mut at, mut depth) = (String::new(), String::new(), 0);
    // Each under its parent; a chain is what a guest without rollbacks has.
    let mut waiting: Vec<(usize, Value)> = items
        .iter()
        .filter(|item| text(item, "parent").is_empty())
        .map(|item| (0, item.clone()))
        .rev()
        .collect();
    while let Some((level, item)) = waiting.pop() {
        at.clone_from(&text(&item, "name"));
        depth = depth.max(level);
        let description = text(&item, "description").trim_end().to_owned();
        out.push_str(&format!(
            "{}`-> {:<24} {}\n",
            " ".repeat(level),
            at,
            if description.is_empty() {
                "no-description"
            } else {
                &description
            }
        ));
        waiting.extend(
            items
                .iter()
                .filter(|other| text(other, "parent") == at)
                .map(|other| (level + 1, other.clone()))
                .rev(),
        );
    }
    Said::out(out)
}
