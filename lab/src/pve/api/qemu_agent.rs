//! The guest agent: programs, files and facts of a running machine, through the hooks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::{Act, Route, index};
use crate::fixture::GuestKind::Qemu;
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::guest::{find_mut, of, parse};
use crate::pve::hooks::{AgentResult, HookFuture};
use crate::pve::params::plain;
use crate::pve::state::{Guest, State, Status};

/// Bytes of one stream that the agent keeps.
const CAPTURE_BYTES_MAX: usize = 16 << 20;
/// Programs of one lab whose ends nobody asked for.
const JOBS_MAX: usize = 1000;
const NAMES: [&str; 24] = [
    "exec",
    "exec-status",
    "file-read",
    "file-write",
    "fsfreeze-freeze",
    "fsfreeze-status",
    "fsfreeze-thaw",
    "fstrim",
    "get-fsinfo",
    "get-host-name",
    "get-memory-block-info",
    "get-memory-blocks",
    "get-osinfo",
    "get-time",
    "get-timezone",
    "get-users",
    "get-vcpus",
    "info",
    "network-get-interfaces",
    "ping",
    "set-user-password",
    "shutdown",
    "suspend-disk",
    "suspend-ram",
];

pub(super) const ROUTES: &[Route] = &[
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/agent",
        Act::Now(|_, _| index("name", &NAMES)),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/agent/ping",
        Act::Now(ping),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/agent/info",
        Act::Now(info),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/agent/exec",
        Act::Now(exec),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/agent/exec-status",
        Act::Now(exec_status),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/agent/file-read",
        Act::Later(file_read),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/agent/file-write",
        Act::Later(file_write),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces",
        Act::Now(interfaces),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/agent/get-host-name",
        Act::Now(host_name),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/agent/get-osinfo",
        Act::Now(osinfo),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/agent/get-time",
        Act::Now(time),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/agent/get-timezone",
        Act::Now(|call, state| fixed(call, state, json!({"offset": 0, "zone": "UTC"}))),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/agent/get-users",
        Act::Now(|call, state| fixed(call, state, json!([]))),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/agent/get-fsinfo",
        Act::Now(|call, state| fixed(call, state, json!([]))),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/agent/fsfreeze-status",
        Act::Now(|call, state| fixed(call, state, json!("thawed"))),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/agent/fstrim",
        Act::Now(|call, state| fixed(call, state, json!({"paths": []}))),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/agent/shutdown",
        Act::Later(shutdown),
    ),
];

/// The machine of a call, if its agent is configured, it runs, and the agent answers; in this order.
fn ready<'a>(call: &Call, state: &'a State) -> Result<&'a Guest, Fail> {
    let guest = of(call, state, Qemu)?;
    let agent = guest
        .config
        .get("agent")
        .and_then(plain)
        .unwrap_or_default();
    if !parse(Qemu, "agent", &agent).flag("enabled") {
        return Err(Fail::die("No QEMU guest agent configured"));
    }
    if !guest.is_running() {
        return Err(Fail::die(format!("VM {} is not running", guest.vmid)));
    }
    let paused = matches!(guest.status, Status::Running { paused: true, .. });
    if paused || call.cluster.faults.agent_down(guest.vmid) {
        return Err(Fail::die("QEMU guest agent is not running"));
    }
    Ok(guest)
}

fn result(value: Value) -> Outcome {
    Ok(json!({"result": value}).into())
}

fn fixed(call: &Call, state: &State, value: Value) -> Outcome {
    ready(call, state)?;
    result(value)
}

fn ping(call: &Call, state: &mut State) -> Outcome {
    fixed(call, state, json!({}))
}

fn info(call: &Call, state: &mut State) -> Outcome {
    let names = [
        "guest-exec",
        "guest-exec-status",
        "guest-file-open",
        "guest-network-get-interfaces",
        "guest-ping",
        "guest-get-osinfo",
    ];
    let commands: Vec<Value> = names
        .iter()
        .map(|name| json!({"name": name, "enabled": true, "success-response": true}))
        .collect();
    fixed(
        call,
        state,
        json!({"version": "10.0.0", "supported_commands": commands}),
    )
}

fn exec(call: &Call, state: &mut State) -> Outcome {
    let vmid = ready(call, state)?.vmid;
    let argv = call.params.list("command");
    if argv.first().is_none_or(String::is_empty) {
        return Err(Fail::die(
            "Agent error: Guest agent command failed, error was 'empty program name'",
        ));
    }
    let input = call
        .params
        .text("input-data")
        .unwrap_or_default()
        .into_bytes();
    state.ticks += 1;
    let pid = 500 + u32::try_from(state.ticks % 60_000).unwrap_or_default();
    if state.agent_jobs.len() >= JOBS_MAX {
        state.agent_jobs.pop_first();
    }
    state.agent_jobs.insert((vmid, pid), None);
    let cluster = call.cluster.clone();
    tokio::spawn(async move {
        let ended = cluster
            .hooks
            .agent_exec(vmid, argv.clone(), input)
            .await
            .unwrap_or_else(|| AgentResult {
                exitcode: Some(127),
                err: format!("{}: the lab runs no programs in this machine\n", argv[0])
                    .into_bytes(),
                ..AgentResult::default()
            });
        if let Some(job) = cluster.lock().agent_jobs.get_mut(&(vmid, pid)) {
            *job = Some(ended);
        }
    });
    Ok(json!({"pid": pid}).into())
}

fn exec_status(call: &Call, state: &mut State) -> Outcome {
    let vmid = ready(call, state)?.vmid;
    let pid = call
        .params
        .int("pid")
        .and_then(|pid| u32::try_from(pid).ok())
        .unwrap_or_default();
    let job = state.agent_jobs.get(&(vmid, pid)).cloned();
    let Some(job) = job else {
        return Err(Fail::die("Agent error: Invalid parameter 'pid'"));
    };
    let Some(ended) = job else {
        return Ok(json!({"exited": 0}).into());
    };
    // The agent forgets an end once it told it.
    state.agent_jobs.remove(&(vmid, pid));
    let mut row = Map::from_iter([("exited".to_owned(), Value::from(1))]);
    if let Some(code) = ended.exitcode {
        row.insert("exitcode".into(), code.into());
    }
    if let Some(signal) = ended.signal {
        row.insert("signal".into(), signal.into());
    }
    for (key, cut, bytes) in [
        ("out-data", "out-truncated", &ended.out),
        ("err-data", "err-truncated", &ended.err),
    ] {
        let shown = &bytes[..bytes.len().min(CAPTURE_BYTES_MAX)];
        if !shown.is_empty() {
            row.insert(
                key.into(),
                String::from_utf8_lossy(shown).into_owned().into(),
            );
        }
        if shown.len() < bytes.len() {
            row.insert(cut.into(), 1.into());
        }
    }
    Ok(Value::Object(row).into())
}

fn agent_error(error: &std::io::Error, file: &str) -> Fail {
    let why = if error.kind() == std::io::ErrorKind::NotFound {
        "No such file or directory".to_owned()
    } else {
        error.to_string()
    };
    Fail::die(format!(
        "Agent error: failed to open file '{file}' (mode: 'r'): {why}"
    ))
}

fn file_read(call: Call) -> HookFuture<'static, Outcome> {
    Box::pin(async move {
        let vmid = ready(&call, &call.cluster.lock())?.vmid;
        let file = call.text("file");
        let read = call.cluster.hooks.file_read(vmid, &file).await;
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let bytes = read
            .unwrap_or_else(|| Err(missing()))
            .map_err(|error| agent_error(&error, &file))?;
        let offset = usize::try_from(call.params.int("offset").unwrap_or(0))
            .unwrap_or(0)
            .min(bytes.len());
        let count = call
            .params
            .int("count")
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(CAPTURE_BYTES_MAX);
        let part = &bytes[offset..(offset + count.min(CAPTURE_BYTES_MAX)).min(bytes.len())];
        let text = if call.params.flag_or("decode", true) {
            String::from_utf8_lossy(part).into_owned()
        } else {
            BASE64.encode(part)
        };
        let mut row = Map::from_iter([
            ("content".to_owned(), Value::from(text)),
            ("bytes-read".to_owned(), part.len().into()),
        ]);
        if offset + part.len() < bytes.len() {
            row.insert("truncated".into(), 1.into());
        }
        Ok(Value::Object(row).into())
    })
}

fn file_write(call: Call) -> HookFuture<'static, Outcome> {
    Box::pin(async move {
        let vmid = ready(&call, &call.cluster.lock())?.vmid;
        let (file, content) = (call.text("file"), call.text("content"));
        let bytes = match call.params.flag_or("encode", true) {
            true => content.into_bytes(),
            false => BASE64
                .decode(content.trim())
                .map_err(|_| Fail::die("Agent error: invalid base64 content"))?,
        };
        match call.cluster.hooks.file_write(vmid, &file, bytes).await {
            Some(Ok(())) => Ok(Reply::null()),
            Some(Err(error)) => Err(agent_error(&error, &file)),
            None => Err(Fail::die(format!(
                "Agent error: failed to open file '{file}' (mode: 'wb'): No such file or directory"
            ))),
        }
    })
}

fn interfaces(call: &Call, state: &mut State) -> Outcome {
    let guest = ready(call, state)?;
    let list = super::guest_read::interfaces_of(call, guest);
    let row = |name: &str, mac: &str, addresses: Vec<Value>| json!({"name": name, "hardware-address": mac, "ip-addresses": addresses});
    let address = |ip: &std::net::IpAddr, prefix: u8| json!({"ip-address": ip.to_string(), "ip-address-type": if ip.is_ipv6() { "ipv6" } else { "ipv4" }, "prefix": prefix});
    let lo = [(std::net::IpAddr::from([127, 0, 0, 1]), 8)]
        .iter()
        .map(|(ip, prefix)| address(ip, *prefix))
        .collect();
    let mut rows = vec![row("lo", "00:00:00:00:00:00", lo)];
    for own in list.iter().filter(|own| own.name != "lo") {
        rows.push(row(
            &own.name,
            &own.hwaddr,
            own.addresses
                .iter()
                .map(|(ip, prefix)| address(ip, *prefix))
                .collect(),
        ));
    }
    result(rows.into())
}

fn host_name(call: &Call, state: &mut State) -> Outcome {
    let name = ready(call, state)?.name();
    result(json!({"host-name": name}))
}

fn osinfo(call: &Call, state: &mut State) -> Outcome {
    fixed(
        call,
        state,
        json!({
            "id": "debian", "name": "Debian GNU/Linux", "pretty-name": "Debian GNU/Linux 13 (trixie)", "version": "13 (trixie)",
            "version-id": "13", "machine": "x86_64", "kernel-release": "6.12.48+deb13-amd64",
            "kernel-version": "#1 SMP PREEMPT_DYNAMIC Debian 6.12.48-1",
        }),
    )
}

fn time(call: &Call, state: &mut State) -> Outcome {
    let nanoseconds = call.cluster.now().saturating_mul(1_000_000_000);
    fixed(call, state, nanoseconds.into())
}

fn shutdown(call: Call) -> HookFuture<'static, Outcome> {
    Box::pin(async move {
        let vmid = call.vmid();
        {
            let mut state = call.cluster.lock();
            ready(&call, &state)?;
            find_mut(&mut state, Qemu, &call.node(), vmid)?.status = Status::Stopped;
        }
        call.cluster.hooks.stopped(vmid).await;
        result(json!({}))
    })
}
