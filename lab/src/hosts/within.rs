//! What `pct` and `qm` do inside of a guest: run a command, copy a file, ask the agent.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::answer::{Said, fail, unserved};
use super::guests::text;
use super::machine::Machine;
use super::node::{call, options, refused};
use super::program::Call;
use crate::pve::Params;

/// The running container of that number on this node.
async fn container(machine: &Machine, vmid: &str) -> Result<Arc<Machine>, Said> {
    let answer = call(
        machine,
        "GET",
        &format!("/nodes/{}/lxc/{vmid}/status/current", machine.spec.name),
        Params::new(),
    )
    .await;
    if !answer.is_ok() {
        return Err(refused(&answer));
    }
    if text(&answer.data, "status") != "running" {
        return Err(fail(255, format!("container '{vmid}' not running!")));
    }
    let guest = vmid
        .parse()
        .ok()
        .and_then(|vmid| machine.lab.upgrade()?.guest(vmid));
    guest.ok_or_else(|| unserved(machine, &format!("files of container {vmid}")))
}

/// `pct exec VMID [--] COMMAND…`: the program's own streams go to the command.
pub(super) async fn exec(
    machine: &Machine,
    vmid: &str,
    rest: &[&str],
    streams: Vec<OwnedFd>,
) -> Said {
    let guest = match container(machine, vmid).await {
        Ok(guest) => guest,
        Err(said) => return said,
    };
    let mut words = rest;
    while let [first, others @ ..] = words {
        match *first {
            "--" => {
                words = others;
                break;
            }
            "--keep-env" => words = others.get(1..).unwrap_or_default(),
            other if other.starts_with("--") => {
                return unserved(machine, &format!("pct exec {other}"));
            }
            _ => break,
        }
    }
    let argv: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    if argv.is_empty() {
        return fail(255, "missing command");
    }
    guest.hand_over(argv, "/root".into(), streams).await
}

/// `pct push` and `pct pull`: a file from one machine's files to the other's, by programs of theirs.
pub(super) async fn copy(
    machine: &Machine,
    asked: &Call,
    vmid: &str,
    from: &str,
    to: &str,
    rest: &[&str],
    push: bool,
) -> Said {
    let rest: Vec<String> = rest.iter().map(|word| (*word).to_owned()).collect();
    let mode = match options(&rest) {
        Ok(pairs)
            if pairs
                .iter()
                .all(|(name, _)| matches!(name.as_str(), "perms" | "user" | "group")) =>
        {
            pairs
                .into_iter()
                .find(|(name, _)| name == "perms")
                .map_or("0644".to_owned(), |(_, mode)| mode)
        }
        _ => return unserved(machine, "pct push with these options"),
    };
    let guest = match container(machine, vmid).await {
        Ok(guest) => guest,
        Err(said) => return said,
    };
    let here = PathBuf::from(OsString::from_vec(asked.cwd.clone()));
    let ((source, from_at), (target, to_at)) = if push {
        ((machine, here), (&*guest, PathBuf::from("/root")))
    } else {
        ((&*guest, PathBuf::from("/root")), (machine, here))
    };
    let Ok((reader, writer)) = std::io::pipe() else {
        return fail(255, "no pipe is left");
    };
    let (Ok(nothing), Ok(sink), Ok(other)) = (null(), null(), null()) else {
        return fail(255, "no descriptor is left");
    };
    let env = || super::commands::environment("/root".as_ref(), "root", &[]);
    let put = [
        "sh",
        "-c",
        "cat > \"$1\" && chmod \"$2\" \"$1\"",
        "sh",
        to,
        &mode,
    ]
    .map(OsString::from)
    .to_vec();
    let get = ["cat", "--", from].map(OsString::from).to_vec();
    let taking = target
        .exec(put, env(), to_at, None, [reader.into(), sink, other])
        .await;
    let Ok(again) = null() else {
        return fail(255, "no descriptor is left");
    };
    let giving = source
        .exec(get, env(), from_at, None, [nothing, writer.into(), again])
        .await;
    match (giving, taking) {
        (Ok((given, _giving)), Ok((taken, _taking))) => {
            let (given, taken) = tokio::join!(given, taken);
            let good = crate::command::End::Code(0);
            if given != good {
                fail(
                    255,
                    format!("failed to open {from} for reading: No such file or directory"),
                )
            } else if taken != good {
                fail(
                    255,
                    format!("failed to create file: {to}: No such file or directory"),
                )
            } else {
                Said::default()
            }
        }
        (Err(error), _) | (_, Err(error)) => fail(255, error),
    }
}

fn null() -> std::io::Result<OwnedFd> {
    Ok(std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?
        .into())
}

/// A file of this machine that an option names.
pub(super) async fn read(machine: &Machine, asked: &Call, path: &str) -> Result<String, Said> {
    let cwd = PathBuf::from(OsString::from_vec(asked.cwd.clone()));
    let argv = ["cat", "--", path].map(OsString::from).to_vec();
    let env = super::commands::environment("/root".as_ref(), "root", &[]);
    let lost = |error: String| fail(255, format!("can't open '{path}' - {error}"));
    let mut process = machine.process(argv, env, cwd, None).await.map_err(lost)?;
    let mut text = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut process.stdout, &mut text)
        .await
        .map_err(|error| lost(error.to_string()))?;
    match process.ended.await {
        crate::command::End::Code(0) => Ok(text),
        _ => Err(lost("No such file or directory".to_owned())),
    }
}

/// `qm guest exec VMID [--pass-stdin 0] [--] COMMAND…`: JSON, and always status 0 when the agent answered.
pub(super) async fn guest_exec(machine: &Machine, vmid: &str, rest: &[&str], base: &str) -> Said {
    let mut words = rest.iter().peekable();
    while let Some(word) = words.peek() {
        match **word {
            "--" => {
                words.next();
                break;
            }
            "--timeout" | "--synchronous" => drop((words.next(), words.next())),
            other if other.starts_with('-') => {
                return unserved(machine, &format!("qm guest exec {other}"));
            }
            _ => break,
        }
    }
    let mut params = Params::new();
    words.for_each(|word| params.push("command", (*word).to_owned()));
    let started = call(
        machine,
        "POST",
        &format!("{base}/{vmid}/agent/exec"),
        params,
    )
    .await;
    if !started.is_ok() {
        return refused(&started);
    }
    let pid = text(&started.data, "pid");
    let begin = std::time::Instant::now();
    loop {
        let path = format!("{base}/{vmid}/agent/exec-status");
        let answer = call(
            machine,
            "GET",
            &path,
            Params::from_pairs([("pid", pid.clone())]),
        )
        .await;
        if !answer.is_ok() {
            return refused(&answer);
        }
        if matches!(text(&answer.data, "exited").as_str(), "1" | "true") {
            return Said::out(format!(
                "{}\n",
                serde_json::to_string_pretty(&answer.data).unwrap_or_default()
            ));
        }
        // The tool's own limit; the command goes on.
        if begin.elapsed() > std::time::Duration::from_secs(30) {
            return Said::out(format!("{{\n   \"pid\" : {pid}\n}}\n"));
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// `qm guest cmd VMID COMMAND`, `qm agent VMID COMMAND`.
pub(super) async fn agent(machine: &Machine, vmid: &str, command: &str, base: &str) -> Said {
    let path = format!("{base}/{vmid}/agent/{command}");
    let verb =
        if command.starts_with("get-") || command.starts_with("network-get") || command == "info" {
            "GET"
        } else {
            "POST"
        };
    let answer = call(machine, verb, &path, Params::new()).await;
    if !answer.is_ok() {
        return refused(&answer);
    }
    match answer.data.get("result") {
        Some(Value::Object(map)) if map.is_empty() => Said::default(),
        Some(result) => Said::out(format!(
            "{}\n",
            serde_json::to_string_pretty(result).unwrap_or_default()
        )),
        None => Said::default(),
    }
}
