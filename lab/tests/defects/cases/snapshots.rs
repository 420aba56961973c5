//! Snapshots: taken, gone back to, removed.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Lab, Verdict, cases, column, holds, is, refuses};

const PATH: &str = "/nodes/pve1/lxc/100/snapshot";

cases! {
    "a snapshot is in the tree with what was said about it": taken,
    "a snapshot's name is used once and not reserved": names,
    "going back brings the configuration back and stops the guest": back,
    "a removed snapshot is gone from the tree": removed,
    "a guest says so while a snapshot is taken": taking,
    "a storage without snapshots refuses them": unsupported,
    "a snapshot that is not there is missed by the task": missing,
}

async fn take(lab: &Lab, name: &str) -> Verdict {
    lab.done("POST", PATH, &[("snapname", name), ("description", "why")])
        .await
}

async fn taken(lab: Lab) -> Verdict {
    take(&lab, "one").await?;
    take(&lab, "two").await?;
    let rows = lab.get(PATH).await?;
    is(
        "names",
        &column(&rows, "name").into(),
        json!(["one", "two", "current"]),
    )?;
    is("its description", &rows[0]["description"], "why\n")?;
    is("its parent", &rows[1]["parent"], "one")?;
    is("where we are", &rows[2]["parent"], "two")?;
    is("running", &rows[2]["running"], 0)?;
    holds("it has a time", rows[0]["snaptime"].is_number())
}

async fn names(lab: Lab) -> Verdict {
    take(&lab, "one").await?;
    lab.fails(
        "POST",
        PATH,
        &[("snapname", "one")],
        "snapshot name 'one' already used",
    )
    .await?;
    refuses(
        &lab.call("POST", PATH, &[("snapname", "current")]).await,
        500,
        "unable to use snapshot name 'current' (reserved name)",
    )?;
    let answer = lab.call("POST", PATH, &[("snapname", "x")]).await;
    is(
        "why",
        &answer.body["errors"]["snapname"],
        "invalid format - invalid configuration ID 'x'\n",
    )
}

async fn back(lab: Lab) -> Verdict {
    let config = "/nodes/pve1/lxc/100/config";
    take(&lab, "one").await?;
    lab.data("PUT", config, &[("memory", "1024"), ("hostname", "other")])
        .await?;
    lab.done("POST", "/nodes/pve1/lxc/100/status/start", &[])
        .await?;
    lab.done("POST", &format!("{PATH}/one/rollback"), &[])
        .await?;
    let now = lab.get(config).await?;
    is(
        "the configuration",
        &json!([now["memory"], now["hostname"], now["parent"]]),
        json!([512, "ct", "one"]),
    )?;
    let state = lab.get("/nodes/pve1/lxc/100/status/current").await?;
    is("it", &state["status"], "stopped")?;
    lab.done("POST", &format!("{PATH}/one/rollback"), &[("start", "1")])
        .await?;
    let state = lab.get("/nodes/pve1/lxc/100/status/current").await?;
    is("it, asked to start", &state["status"], "running")
}

async fn removed(lab: Lab) -> Verdict {
    take(&lab, "one").await?;
    take(&lab, "two").await?;
    lab.done("DELETE", &format!("{PATH}/one"), &[]).await?;
    let rows = lab.get(PATH).await?;
    is(
        "names",
        &column(&rows, "name").into(),
        json!(["two", "current"]),
    )?;
    holds("its child has no parent", rows[0].get("parent").is_none())?;
    lab.fails(
        "POST",
        &format!("{PATH}/one/rollback"),
        &[],
        "snapshot 'one' does not exist",
    )
    .await
}

async fn unsupported(lab: Lab) -> Verdict {
    let path = "/nodes/pve1/lxc/102/snapshot";
    lab.fails(
        "POST",
        path,
        &[("snapname", "one")],
        "snapshot feature is not available",
    )
    .await?;
    is(
        "names",
        &column(&lab.get(path).await?, "name").into(),
        json!(["current"]),
    )
}

async fn missing(lab: Lab) -> Verdict {
    for (verb, path) in [
        ("DELETE", format!("{PATH}/nope")),
        ("POST", format!("{PATH}/nope/rollback")),
    ] {
        lab.fails(verb, &path, &[], "snapshot 'nope' does not exist")
            .await?;
    }
    Ok(())
}

async fn taking(lab: Lab) -> Verdict {
    lab.0.slow_tasks(Duration::from_millis(300));
    let upid = lab.data("POST", PATH, &[("snapname", "one")]).await?;
    let mut state = Value::Null;
    for _ in 0..super::LOOKS_MAX {
        state = lab.get("/nodes/pve1/lxc/100/status/current").await?;
        if state.get("lock").is_some() {
            break;
        }
        tokio::time::sleep(super::BETWEEN_LOOKS).await;
    }
    is("its lock", &state["lock"], "snapshot")?;
    let rows = lab.get(PATH).await?;
    is("its state", &rows[0]["snapstate"], "prepare")?;
    refuses(
        &lab.call("DELETE", "/nodes/pve1/lxc/100", &[]).await,
        500,
        "CT is locked (snapshot)",
    )?;
    let end = lab.end(upid.as_str().unwrap_or_default()).await?;
    is("its end", &end.into(), "OK")?;
    let state = lab.get("/nodes/pve1/lxc/100/status/current").await?;
    holds("the lock is gone", state.get("lock").is_none())?;
    let rows = lab.get(PATH).await?;
    holds("it is whole", rows[0].get("snapstate").is_none())
}
