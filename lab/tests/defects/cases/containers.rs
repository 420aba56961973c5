//! Containers: made, started, stopped, changed while they run.

use serde_json::{Value, json};

use super::{Lab, Verdict, cases, column, holds, is, refuses};

const TEMPLATE: &str = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst";

cases! {
    "a container is made as it was asked for": made,
    "a missing template fails in the task and leaves nothing": no_template,
    "a container starts once": start,
    "a container stops once": stop,
    "a container has addresses while it runs": interfaces,
    "a missing bridge stops the start": bridge,
    "a running container takes memory at once and features later": pending,
    "a mount point that is taken off is kept": unused,
    "what starts at boot runs after the node's restart": onboot,
}

async fn made(lab: Lab) -> Verdict {
    let params = [
        ("vmid", "130"),
        ("ostemplate", TEMPLATE),
        ("hostname", "web"),
        ("rootfs", "thin:8"),
        ("net0", "name=eth0,bridge=vmbr0,ip=dhcp"),
    ];
    lab.done("POST", "/nodes/pve1/lxc", &params).await?;
    let config = lab.get("/nodes/pve1/lxc/130/config").await?;
    for (key, wanted) in [
        ("hostname", json!("web")),
        ("rootfs", json!("thin:vm-130-disk-0,size=8G")),
        ("memory", json!(512)),
        ("swap", json!(512)),
        ("unprivileged", json!(1)),
        ("ostype", json!("debian")),
    ] {
        is(key, &config[key], wanted)?;
    }
    let net = config["net0"].as_str().unwrap_or_default();
    holds(
        "the address was completed",
        net.starts_with("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:")
            && net.ends_with(",ip=dhcp,type=veth"),
    )?;
    let state = lab.get("/nodes/pve1/lxc/130/status/current").await?;
    is("it", &state["status"], "stopped")?;
    let disks = column(
        &lab.get("/nodes/pve1/storage/thin/content?vmid=130").await?,
        "volid",
    );
    is("its disks", &disks.into(), json!(["thin:vm-130-disk-0"]))
}

async fn no_template(lab: Lab) -> Verdict {
    let params = [
        ("vmid", "130"),
        ("ostemplate", "local:vztmpl/nope.tar.zst"),
        ("rootfs", "thin:1"),
    ];
    lab.fails(
        "POST",
        "/nodes/pve1/lxc",
        &params,
        "unable to create CT 130 - volume 'local:vztmpl/nope.tar.zst' does not exist",
    )
    .await?;
    let list = column(&lab.get("/nodes/pve1/lxc").await?, "vmid");
    holds("no container is left", !list.contains(&"130".into()))?;
    let disks = lab.get("/nodes/pve1/storage/thin/content?vmid=130").await?;
    is("no disk is left", &disks, json!([]))?;
    let storage = [
        ("vmid", "130"),
        ("ostemplate", TEMPLATE),
        ("rootfs", "nope:1"),
    ];
    refuses(
        &lab.call("POST", "/nodes/pve1/lxc", &storage).await,
        500,
        "storage 'nope' does not exist",
    )
}

async fn start(lab: Lab) -> Verdict {
    let path = "/nodes/pve1/lxc/100/status";
    lab.done("POST", &format!("{path}/start"), &[]).await?;
    let state = lab.get(&format!("{path}/current")).await?;
    is("it", &state["status"], "running")?;
    holds("it has a process", state["pid"].is_number())?;
    let again = lab.call("POST", &format!("{path}/start"), &[]).await;
    refuses(&again, 500, "CT 100 already running")
}

async fn stop(lab: Lab) -> Verdict {
    let path = "/nodes/pve1/lxc/101/status";
    lab.done("POST", &format!("{path}/stop"), &[]).await?;
    let state = lab.get(&format!("{path}/current")).await?;
    is("it", &state["status"], "stopped")?;
    holds("it has no process", state.get("pid").is_none())?;
    for how in ["stop", "shutdown"] {
        let again = lab.call("POST", &format!("{path}/{how}"), &[]).await;
        refuses(&again, 500, "CT 101 not running")?;
    }
    // The text is the real one's.
    let reboot = lab.call("POST", &format!("{path}/reboot"), &[]).await;
    refuses(&reboot, 500, "VM 101 not running")
}

async fn interfaces(lab: Lab) -> Verdict {
    is(
        "a stopped one's",
        &lab.get("/nodes/pve1/lxc/100/interfaces").await?,
        Value::Null,
    )?;
    let rows = lab.get("/nodes/pve1/lxc/101/interfaces").await?;
    is(
        "names",
        &column(&rows, "name").into(),
        json!(["lo", "eth0"]),
    )?;
    is("inet", &rows[1]["inet"], "192.0.2.101/24")?;
    is(
        "an address",
        &rows[1]["ip-addresses"][0],
        json!({"ip-address": "192.0.2.101", "ip-address-type": "inet", "prefix": "24"}),
    )
}

async fn bridge(lab: Lab) -> Verdict {
    let net = [("net1", "name=eth1,bridge=vmbr9")];
    lab.data("PUT", "/nodes/pve1/lxc/100/config", &net).await?;
    lab.fails(
        "POST",
        "/nodes/pve1/lxc/100/status/start",
        &[],
        "bridge 'vmbr9' does not exist",
    )
    .await?;
    let state = lab.get("/nodes/pve1/lxc/100/status/current").await?;
    is("it", &state["status"], "stopped")
}

async fn pending(lab: Lab) -> Verdict {
    let path = "/nodes/pve1/lxc/101/config";
    let params = [("memory", "700"), ("features", "nesting=1")];
    lab.data("PUT", path, &params).await?;
    let now = lab.get(&format!("{path}?current=1")).await?;
    is("memory now", &now["memory"], 700)?;
    holds("features wait", now.get("features").is_none())?;
    let rows = lab.get("/nodes/pve1/lxc/101/pending").await?;
    let row = rows
        .as_array()
        .into_iter()
        .flatten()
        .find(|row| row["key"] == "features");
    let row = row.ok_or("the change is not on the list")?;
    is(
        "the row",
        row,
        json!({"key": "features", "pending": "nesting=1"}),
    )?;
    lab.done("POST", "/nodes/pve1/lxc/101/status/reboot", &[])
        .await?;
    let now = lab.get(&format!("{path}?current=1")).await?;
    is("features after it", &now["features"], "nesting=1")
}

async fn unused(lab: Lab) -> Verdict {
    let path = "/nodes/pve1/lxc/100/config";
    lab.data("PUT", path, &[("mp0", "thin:2,mp=/data")]).await?;
    let config = lab.get(path).await?;
    is("mp0", &config["mp0"], "thin:vm-100-disk-1,mp=/data,size=2G")?;
    lab.data("PUT", path, &[("delete", "mp0")]).await?;
    is(
        "unused0",
        &lab.get(path).await?["unused0"],
        "thin:vm-100-disk-1",
    )?;
    lab.data("PUT", path, &[("delete", "unused0")]).await?;
    let disks = column(
        &lab.get("/nodes/pve1/storage/thin/content?vmid=100").await?,
        "volid",
    );
    is("its disks", &disks.into(), json!(["thin:vm-100-disk-0"]))
}

async fn onboot(lab: Lab) -> Verdict {
    lab.data("PUT", "/nodes/pve1/lxc/100/config", &[("onboot", "1")])
        .await?;
    lab.data("POST", "/nodes/pve1/status", &[("command", "reboot")])
        .await?;
    for (vmid, wanted) in [(100, "running"), (101, "stopped")] {
        let path = format!("/nodes/pve1/lxc/{vmid}/status/current");
        let mut last = Value::Null;
        for _ in 0..super::LOOKS_MAX {
            last = lab.get(&path).await?["status"].clone();
            if last == wanted {
                break;
            }
            tokio::time::sleep(super::BETWEEN_LOOKS).await;
        }
        is(&path, &last, wanted)?;
    }
    Ok(())
}
