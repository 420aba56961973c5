//! Tasks: their states, their logs, their ends.

use std::time::Duration;

use serde_json::json;

use super::{Lab, Verdict, cases, column, holds, is, refuses};

cases! {
    "a task runs before it has an end": runs,
    "a task's log ends with how it ended": log,
    "warnings are counted and shown": warnings,
    "a stopped task says that it was interrupted": interrupted,
    "a node's restart ends its tasks without a word": vanished,
    "what is no task is refused": unknown,
    "the newest task is the first of the list": list,
    "two who want one number do not both get it": race,
}

async fn runs(lab: Lab) -> Verdict {
    lab.0.slow_tasks(Duration::from_millis(300));
    let upid = lab
        .data("POST", "/nodes/pve1/lxc/100/status/start", &[])
        .await?;
    let upid = upid.as_str().ok_or("no task")?;
    let status = lab.get(&format!("/nodes/pve1/tasks/{upid}/status")).await?;
    is("its state", &status["status"], "running")?;
    holds("it has no end yet", status.get("exitstatus").is_none())?;
    is(
        "whose it is",
        &json!([
            status["type"],
            status["id"],
            status["user"],
            status["tokenid"]
        ]),
        json!(["vzstart", "100", "root@pam", "lab"]),
    )?;
    is("its end", &lab.end(upid).await?.into(), "OK")
}

async fn log(lab: Lab) -> Verdict {
    let upid = lab
        .data("DELETE", "/nodes/pve1/lxc/100", &[("purge", "1")])
        .await?;
    let upid = upid.as_str().ok_or("no task")?;
    is("its end", &lab.end(upid).await?.into(), "OK")?;
    let lines = lab.log(upid).await?;
    is(
        "the first line",
        &lines.first().cloned().into(),
        "purging CT 100 from related configurations..",
    )?;
    is("the last line", &lines.last().cloned().into(), "TASK OK")?;
    let path = format!("/nodes/pve1/tasks/{upid}/log?start=1&limit=1");
    let part = lab.call("GET", &path, &[]).await;
    is("its number", &part.body["data"][0]["n"], 2)?;
    is("the whole", &part.body["total"], lines.len())?;
    let missing = lab
        .data("POST", "/nodes/pve1/lxc/999/status/start", &[])
        .await?;
    let missing = missing.as_str().ok_or("no task")?;
    lab.end(missing).await?;
    is(
        "an error's last line",
        &lab.log(missing).await?.last().cloned().into(),
        "TASK ERROR: Configuration file 'nodes/pve1/lxc/999.conf' does not exist",
    )
}

async fn warnings(lab: Lab) -> Verdict {
    let template = "local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst";
    let params = [
        ("vmid", "130"),
        ("ostemplate", template),
        ("rootfs", "thin:1"),
    ];
    let upid = lab.data("POST", "/nodes/pve1/lxc", &params).await?;
    let upid = upid.as_str().ok_or("no task")?;
    is("its end", &lab.end(upid).await?.into(), "WARNINGS: 1")?;
    let lines = lab.log(upid).await?;
    let warned = lines.iter().filter(|line| line.starts_with("WARN: "));
    is("the warnings", &warned.count().into(), 1)?;
    is(
        "the last line",
        &lines.last().cloned().into(),
        "TASK WARNINGS: 1",
    )
}

async fn interrupted(lab: Lab) -> Verdict {
    lab.0.slow_tasks(Duration::from_secs(20));
    let upid = lab
        .data("POST", "/nodes/pve1/lxc/100/status/start", &[])
        .await?;
    let upid = upid.as_str().ok_or("no task")?;
    let path = format!("/nodes/pve1/tasks/{upid}");
    lab.data("DELETE", &path, &[]).await?;
    is(
        "its end",
        &lab.end(upid).await?.into(),
        "received interrupt",
    )?;
    let state = lab.get("/nodes/pve1/lxc/100/status/current").await?;
    is("the work was not done", &state["status"], "stopped")?;
    lab.data("DELETE", &path, &[]).await.map(drop)
}

async fn vanished(lab: Lab) -> Verdict {
    lab.0.slow_tasks(Duration::from_secs(20));
    let upid = lab
        .data("POST", "/nodes/pve1/lxc/100/status/start", &[])
        .await?;
    let upid = upid.as_str().ok_or("no task")?;
    lab.data("POST", "/nodes/pve1/status", &[("command", "reboot")])
        .await?;
    is("its end", &lab.end(upid).await?.into(), "unexpected status")
}

async fn unknown(lab: Lab) -> Verdict {
    let answer = lab
        .call("GET", "/nodes/pve1/tasks/garbage/status", &[])
        .await;
    is(
        "why",
        &answer.body["errors"]["upid"],
        "unable to parse worker upid",
    )?;
    let upid = "UPID:pve1:00000001:00000002:60000000:vzstart:100:root@pam:";
    let answer = lab
        .call("GET", &format!("/nodes/pve1/tasks/{upid}/status"), &[])
        .await;
    refuses(&answer, 400, "Parameter verification failed.")?;
    is("why", &answer.body["errors"]["upid"], "no such task")
}

async fn list(lab: Lab) -> Verdict {
    lab.done("POST", "/nodes/pve1/lxc/100/status/start", &[])
        .await?;
    lab.done("POST", "/nodes/pve1/lxc/100/status/stop", &[])
        .await?;
    lab.task("POST", "/nodes/pve1/lxc/160/status/start", &[])
        .await?;
    let rows = lab.get("/nodes/pve1/tasks").await?;
    is(
        "types",
        &column(&rows, "type").into(),
        json!(["vzstart", "vzstop", "vzstart"]),
    )?;
    is(
        "ends",
        &column(&rows, "status").into(),
        json!(["CT is locked (backup)", "OK", "OK"]),
    )?;
    let errors = lab
        .data("GET", "/nodes/pve1/tasks", &[("errors", "1")])
        .await?;
    is("errors", &column(&errors, "id").into(), json!(["160"]))
}

async fn race(lab: Lab) -> Verdict {
    lab.0.slow_tasks(Duration::from_millis(50));
    let template = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst";
    let params = [
        ("vmid", "130"),
        ("ostemplate", template),
        ("rootfs", "thin:1"),
    ];
    let (one, two) = tokio::join!(
        lab.task("POST", "/nodes/pve1/lxc", &params),
        lab.task("POST", "/nodes/pve1/lxc", &params)
    );
    let ends = [one, two];
    let good = ends.iter().filter(|end| end.as_deref() == Ok("OK")).count();
    is("who got it", &good.into(), 1)?;
    let text = format!("{ends:?}");
    holds(
        "the other is told why",
        text.contains("CT 130 already exists on node 'pve1'"),
    )
}
