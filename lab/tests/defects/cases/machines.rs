//! Virtual machines: made, stopped, changed while they run, and their agents.

use serde_json::json;

use super::{Lab, Verdict, cases, holds, is, refuses};

cases! {
    "a machine is made as it was asked for": made,
    "stopping a stopped machine is no error, restarting it is": stopped,
    "a machine that runs is not started again": running,
    "a running machine's processors change at its restart": pending,
    "a change that waits can be taken back": revert,
    "an asynchronous change is a task": later,
    "a machine's password is never shown": password,
    "the agent is asked in the real one's order": agent,
    "a paused machine says so": paused,
    "a machine that does not hear is shut down by force only": deaf,
}

async fn made(lab: Lab) -> Verdict {
    let params = [
        ("vmid", "210"),
        ("name", "new"),
        ("memory", "2048"),
        ("scsi0", "thin:8"),
        ("net0", "virtio,bridge=vmbr0"),
    ];
    lab.done("POST", "/nodes/pve1/qemu", &params).await?;
    let config = lab.get("/nodes/pve1/qemu/210/config").await?;
    is("memory is a text", &config["memory"], "2048")?;
    is("scsi0", &config["scsi0"], "thin:vm-210-disk-0,size=8G")?;
    is("boot", &config["boot"], "order=scsi0;net0")?;
    let net = config["net0"].as_str().unwrap_or_default();
    holds(
        "the address was completed",
        net.starts_with("virtio=BC:24:11:"),
    )?;
    for key in ["digest", "meta", "smbios1", "vmgenid"] {
        holds(key, config[key].is_string())?;
    }
    let bad = [("vmid", "211"), ("name", "not a name")];
    let answer = lab.call("POST", "/nodes/pve1/qemu", &bad).await;
    is(
        "why",
        &answer.body["errors"]["name"],
        "invalid format - value does not look like a valid DNS name\n",
    )
}

async fn stopped(lab: Lab) -> Verdict {
    let path = "/nodes/pve1/qemu/201/status";
    for how in ["stop", "shutdown"] {
        lab.done("POST", &format!("{path}/{how}"), &[]).await?;
    }
    for how in ["reboot", "reset", "suspend"] {
        let answer = lab.call("POST", &format!("{path}/{how}"), &[]).await;
        refuses(&answer, 500, "VM 201 not running")?;
    }
    Ok(())
}

async fn running(lab: Lab) -> Verdict {
    lab.fails(
        "POST",
        "/nodes/pve1/qemu/200/status/start",
        &[],
        "VM 200 already running",
    )
    .await?;
    lab.done("POST", "/nodes/pve1/qemu/201/status/start", &[])
        .await?;
    let state = lab.get("/nodes/pve1/qemu/201/status/current").await?;
    is(
        "it",
        &json!([state["status"], state["qmpstatus"]]),
        json!(["running", "running"]),
    )
}

async fn pending(lab: Lab) -> Verdict {
    let path = "/nodes/pve1/qemu/200/config";
    lab.data("PUT", path, &[("cores", "4")]).await?;
    let now = lab.get(&format!("{path}?current=1")).await?;
    is("cores now", &now["cores"], 2)?;
    is("cores later", &lab.get(path).await?["cores"], 4)?;
    let rows = lab.get("/nodes/pve1/qemu/200/pending").await?;
    let row = rows
        .as_array()
        .into_iter()
        .flatten()
        .find(|row| row["key"] == "cores");
    is(
        "the row",
        row.ok_or("the change is not on the list")?,
        json!({"key": "cores", "value": 2, "pending": 4}),
    )?;
    lab.done("POST", "/nodes/pve1/qemu/200/status/reboot", &[])
        .await?;
    let now = lab.get(&format!("{path}?current=1")).await?;
    is("cores after it", &now["cores"], 4)
}

async fn revert(lab: Lab) -> Verdict {
    let path = "/nodes/pve1/qemu/200/config";
    lab.data("PUT", path, &[("cores", "4")]).await?;
    lab.data("PUT", path, &[("revert", "cores")]).await?;
    is("cores", &lab.get(path).await?["cores"], 2)
}

async fn later(lab: Lab) -> Verdict {
    let path = "/nodes/pve1/qemu/201/config";
    let upid = lab.data("POST", path, &[("cores", "2")]).await?;
    let upid = upid.as_str().ok_or("no task")?;
    holds("its type", upid.contains(":qmconfig:201:"))?;
    is("its end", &lab.end(upid).await?.into(), "OK")?;
    is(
        "its log",
        &lab.log(upid).await?.into(),
        json!(["update VM 201: -cores 2", "TASK OK"]),
    )?;
    is("cores", &lab.get(path).await?["cores"], 2)
}

async fn password(lab: Lab) -> Verdict {
    let config = lab.get("/nodes/pve1/qemu/201/config").await?;
    is("cipassword", &config["cipassword"], "**********")?;
    let rows = lab.get("/nodes/pve1/qemu/201/pending").await?;
    holds("nor as a change", !rows.to_string().contains("geheim"))
}

async fn agent(lab: Lab) -> Verdict {
    for (vmid, text) in [
        (202, "No QEMU guest agent configured"),
        (201, "VM 201 is not running"),
    ] {
        let path = format!("/nodes/pve1/qemu/{vmid}/agent/ping");
        refuses(&lab.call("POST", &path, &[]).await, 500, text)?;
    }
    let ping = lab
        .data("POST", "/nodes/pve1/qemu/200/agent/ping", &[])
        .await?;
    is("its answer", &ping, json!({"result": {}}))?;
    let rows = lab
        .get("/nodes/pve1/qemu/200/agent/network-get-interfaces")
        .await?;
    is(
        "its address",
        &rows["result"][1]["hardware-address"],
        "bc:24:11:00:02:00",
    )
}

async fn paused(lab: Lab) -> Verdict {
    let path = "/nodes/pve1/qemu/200/status";
    lab.done("POST", &format!("{path}/suspend"), &[]).await?;
    let state = lab.get(&format!("{path}/current")).await?;
    is("it", &state["qmpstatus"], "paused")?;
    refuses(
        &lab.call("POST", &format!("{path}/shutdown"), &[]).await,
        500,
        "VM is paused - cannot shutdown",
    )?;
    lab.done("POST", &format!("{path}/resume"), &[]).await?;
    let state = lab.get(&format!("{path}/current")).await?;
    is("it again", &state["qmpstatus"], "running")
}

async fn deaf(lab: Lab) -> Verdict {
    let path = "/nodes/pve1/qemu/202/status";
    lab.fails(
        "POST",
        &format!("{path}/shutdown"),
        &[("timeout", "1")],
        "VM quit/powerdown failed - got timeout",
    )
    .await?;
    let state = lab.get(&format!("{path}/current")).await?;
    is("it", &state["status"], "running")?;
    let force = [("timeout", "1"), ("forceStop", "1")];
    let upid = lab
        .data("POST", &format!("{path}/shutdown"), &force)
        .await?;
    let upid = upid.as_str().ok_or("no task")?;
    is("its end", &lab.end(upid).await?.into(), "OK")?;
    let log = lab.log(upid).await?;
    is(
        "its log",
        &log.into(),
        json!(["VM still running - terminating now with SIGTERM", "TASK OK"]),
    )?;
    let state = lab.get(&format!("{path}/current")).await?;
    is("it, forced", &state["status"], "stopped")
}
