//! What containers and machines have in common: numbers, configurations, digests, locks, copies, ends.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Lab, Verdict, cases, column, holds, is, refuses};

const TEMPLATE: &str = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst";

cases! {
    "a number that is taken is refused": taken,
    "the next free number is a text": next_id,
    "a change is read back, an unknown option is refused": change,
    "a change against an old digest is refused": digest,
    "a locked guest is left alone": locked,
    "a protected guest stays": protected,
    "a running guest is not removed": running_stays,
    "a removed guest is gone with its disks": removed,
    "a disk grows and does not shrink": resize,
    "a copy has its own address and disks": copy,
    "a copy without a name has one": copy_name,
    "what is no base is not linked": no_base,
    "a guest that is being made says so": begun,
    "guests say so while one is copied": copying,
    "a template is linked and cannot go before its copies": template,
    "a thin copy has a name of its own and stands alone": thin,
    "the cluster lists its guests": resources,
    "tags are sorted and each is there once": tags,
}

async fn taken(lab: Lab) -> Verdict {
    let params = [("vmid", "100"), ("ostemplate", TEMPLATE)];
    let lxc = lab.call("POST", "/nodes/pve1/lxc", &params).await;
    refuses(&lxc, 500, "CT 100 already exists on node 'pve1'")?;
    let qemu = lab
        .call("POST", "/nodes/pve1/qemu", &[("vmid", "200")])
        .await;
    refuses(
        &qemu,
        500,
        "unable to create VM 200 - VM 200 already exists on node 'pve1'",
    )
}

async fn next_id(lab: Lab) -> Verdict {
    is("the next", &lab.get("/cluster/nextid").await?, "103")?;
    let answer = lab.call("GET", "/cluster/nextid", &[("vmid", "200")]).await;
    is(
        "why",
        &answer.body["errors"]["vmid"],
        "VM 200 already exists",
    )
}

async fn change(lab: Lab) -> Verdict {
    let path = "/nodes/pve1/lxc/100/config";
    let params = [("memory", "1024"), ("description", "two\nlines")];
    is(
        "the answer",
        &lab.data("PUT", path, &params).await?,
        Value::Null,
    )?;
    let config = lab.get(path).await?;
    is("memory", &config["memory"], 1024)?;
    is("description", &config["description"], "two\nlines\n")?;
    lab.data("PUT", path, &[("delete", "description")]).await?;
    let config = lab.get(path).await?;
    holds("it is gone", config.get("description").is_none())?;
    let answer = lab.call("PUT", path, &[("delete", "bogus")]).await;
    is(
        "why",
        &answer.body["errors"]["delete"],
        "unknown option 'bogus'",
    )?;
    refuses(
        &lab.call("PUT", path, &[]).await,
        500,
        "no options specified",
    )
}

async fn digest(lab: Lab) -> Verdict {
    for (path, text) in [
        (
            "/nodes/pve1/lxc/100/config",
            "detected modified configuration - file changed by other user? Try again.",
        ),
        (
            "/nodes/pve1/qemu/201/config",
            "checksum mismatch (file change by other user?)",
        ),
    ] {
        let before = lab.get(path).await?;
        let old = before["digest"].as_str().ok_or("no digest")?;
        lab.data("PUT", path, &[("onboot", "1"), ("digest", old)])
            .await?;
        let now = lab.get(path).await?;
        holds(
            "a change changes the digest",
            now["digest"] != before["digest"],
        )?;
        let late = lab
            .call("PUT", path, &[("onboot", "0"), ("digest", old)])
            .await;
        refuses(&late, 500, text)?;
        is("onboot", &lab.get(path).await?["onboot"], 1)?;
    }
    Ok(())
}

async fn locked(lab: Lab) -> Verdict {
    let path = "/nodes/pve1/lxc/160";
    let state = lab.get(&format!("{path}/status/current")).await?;
    is("the lock", &state["lock"], "backup")?;
    lab.fails(
        "POST",
        &format!("{path}/status/start"),
        &[],
        "CT is locked (backup)",
    )
    .await?;
    let change = lab
        .call("PUT", &format!("{path}/config"), &[("memory", "600")])
        .await;
    refuses(&change, 500, "CT is locked (backup)")?;
    refuses(
        &lab.call("DELETE", path, &[]).await,
        500,
        "CT is locked (backup)",
    )?;
    let state = lab.get(&format!("{path}/status/current")).await?;
    is("it", &state["status"], "stopped")
}

async fn protected(lab: Lab) -> Verdict {
    lab.data("PUT", "/nodes/pve1/lxc/100/config", &[("protection", "1")])
        .await?;
    refuses(
        &lab.call("DELETE", "/nodes/pve1/lxc/100", &[]).await,
        500,
        "can't remove CT 100 - protection mode enabled",
    )?;
    lab.get("/nodes/pve1/lxc/100/config").await.map(drop)
}

async fn running_stays(lab: Lab) -> Verdict {
    refuses(
        &lab.call("DELETE", "/nodes/pve1/lxc/101", &[]).await,
        500,
        "unable to destroy CT 101 - container is running",
    )?;
    refuses(
        &lab.call("DELETE", "/nodes/pve1/qemu/200", &[]).await,
        500,
        "VM 200 is running - destroy failed",
    )
}

async fn removed(lab: Lab) -> Verdict {
    let path = "/nodes/pve1/storage/thin/content";
    let before = column(&lab.get(path).await?, "volid");
    holds(
        "its disk is there",
        before.contains(&"thin:vm-100-disk-0".into()),
    )?;
    lab.done("DELETE", "/nodes/pve1/lxc/100", &[]).await?;
    let after = column(&lab.get(path).await?, "volid");
    holds(
        "its disk is gone",
        !after.contains(&"thin:vm-100-disk-0".into()),
    )?;
    let list = column(&lab.get("/nodes/pve1/lxc").await?, "vmid");
    holds("it is not listed", !list.contains(&"100".into()))?;
    refuses(
        &lab.call("GET", "/nodes/pve1/lxc/100/config", &[]).await,
        500,
        "Configuration file 'nodes/pve1/lxc/100.conf' does not exist",
    )
}

async fn resize(lab: Lab) -> Verdict {
    let path = "/nodes/pve1/lxc/100/resize";
    let more = [("disk", "rootfs"), ("size", "+2G")];
    lab.done("PUT", path, &more).await?;
    let config = lab.get("/nodes/pve1/lxc/100/config").await?;
    is("rootfs", &config["rootfs"], "thin:vm-100-disk-0,size=6G")?;
    let less = [("disk", "rootfs"), ("size", "1G")];
    refuses(
        &lab.call("PUT", path, &less).await,
        500,
        "unable to shrink disk size",
    )?;
    lab.fails(
        "PUT",
        "/nodes/pve1/qemu/201/resize",
        &[("disk", "scsi0"), ("size", "1G")],
        "shrinking disks is not supported",
    )
    .await
}

async fn copy(lab: Lab) -> Verdict {
    let params = [("newid", "140"), ("hostname", "copy")];
    lab.done("POST", "/nodes/pve1/lxc/100/clone", &params)
        .await?;
    let source = lab.get("/nodes/pve1/lxc/100/config").await?;
    let copy = lab.get("/nodes/pve1/lxc/140/config").await?;
    is("hostname", &copy["hostname"], "copy")?;
    is("rootfs", &copy["rootfs"], "thin:vm-140-disk-0,size=4G")?;
    let net = copy["net0"].as_str().unwrap_or_default();
    holds(
        "it has an address of the vendor",
        net.contains("hwaddr=BC:24:11:"),
    )?;
    holds("the address is its own", copy["net0"] != source["net0"])?;
    refuses(
        &lab.call("POST", "/nodes/pve1/lxc/101/clone", &[("newid", "141")])
            .await,
        500,
        "Full clone of a running container is only possible from a snapshot",
    )
}

async fn template(lab: Lab) -> Verdict {
    lab.done("POST", "/nodes/pve1/qemu/201/template", &[])
        .await?;
    lab.fails(
        "POST",
        "/nodes/pve1/qemu/201/status/start",
        &[],
        "you can't start a vm if it's a template",
    )
    .await?;
    lab.done(
        "POST",
        "/nodes/pve1/qemu/201/clone",
        &[("newid", "210"), ("name", "linked")],
    )
    .await?;
    let config = lab.get("/nodes/pve1/qemu/201/config").await?;
    is("its disk", &config["scsi0"], "tank:base-201-disk-0,size=8G")?;
    let copy = lab.get("/nodes/pve1/qemu/210/config").await?;
    is(
        "the copy's disk",
        &copy["scsi0"],
        "tank:base-201-disk-0/vm-210-disk-0,size=8G",
    )?;
    is("template", &config["template"], 1)?;
    let exit = lab.task("DELETE", "/nodes/pve1/qemu/201", &[]).await?;
    is(
        "removing the base",
        &exit.into(),
        "base volume 'tank:base-201-disk-0' is still in use by linked cloned",
    )?;
    lab.done("DELETE", "/nodes/pve1/qemu/210", &[]).await?;
    lab.done("DELETE", "/nodes/pve1/qemu/201", &[]).await
}

async fn thin(lab: Lab) -> Verdict {
    lab.done("POST", "/nodes/pve1/qemu/200/status/stop", &[])
        .await?;
    lab.done("POST", "/nodes/pve1/qemu/200/template", &[])
        .await?;
    lab.done("POST", "/nodes/pve1/qemu/200/clone", &[("newid", "210")])
        .await?;
    let base = lab.get("/nodes/pve1/qemu/200/config").await?;
    is("the base", &base["scsi0"], "thin:base-200-disk-0,size=8G")?;
    let copy = lab.get("/nodes/pve1/qemu/210/config").await?;
    is("the copy", &copy["scsi0"], "thin:vm-210-disk-0,size=8G")?;
    // A thin volume does not need what it was copied from.
    lab.done("DELETE", "/nodes/pve1/qemu/200", &[]).await?;
    let copy = lab.get("/nodes/pve1/qemu/210/config").await?;
    is("it stays", &copy["scsi0"], "thin:vm-210-disk-0,size=8G")
}

async fn copy_name(lab: Lab) -> Verdict {
    lab.done("POST", "/nodes/pve1/lxc/100/clone", &[("newid", "140")])
        .await?;
    let lxc = lab.get("/nodes/pve1/lxc/140/config").await?;
    is("a container's", &lxc["hostname"], "ct")?;
    lab.done("POST", "/nodes/pve1/qemu/201/clone", &[("newid", "210")])
        .await?;
    let qemu = lab.get("/nodes/pve1/qemu/210/config").await?;
    is("a machine's", &qemu["name"], "Copy-of-VM-off")
}

async fn no_base(lab: Lab) -> Verdict {
    let linked = [("newid", "140"), ("full", "0")];
    for (path, text) in [
        (
            "/nodes/pve1/lxc/100/clone",
            "Linked clone feature for 'thin:vm-100-disk-0' is not available",
        ),
        (
            "/nodes/pve1/qemu/200/clone",
            "Linked clone feature is not supported for 'thin:vm-200-disk-0' (scsi0)",
        ),
    ] {
        refuses(&lab.call("POST", path, &linked).await, 500, text)?;
    }
    let stored = [("newid", "140"), ("full", "0"), ("storage", "thin")];
    refuses(
        &lab.call("POST", "/nodes/pve1/lxc/100/clone", &stored).await,
        500,
        "parameter 'storage' not allowed for linked clones",
    )?;
    let state = lab.get("/nodes/pve1/lxc/100/status/current").await?;
    holds("its source is not locked", state.get("lock").is_none())
}

async fn begun(lab: Lab) -> Verdict {
    lab.0.slow_tasks(Duration::from_millis(300));
    for (family, vmid) in [("lxc", "130"), ("qemu", "230")] {
        let mut params = vec![("vmid", vmid)];
        if family == "lxc" {
            params.extend([("ostemplate", TEMPLATE), ("rootfs", "thin:1")]);
        }
        let upid = lab
            .data("POST", &format!("/nodes/pve1/{family}"), &params)
            .await?;
        let path = format!("/nodes/pve1/{family}/{vmid}");
        let state = lab.get(&format!("{path}/status/current")).await?;
        is("its lock", &state["lock"], "create")?;
        let config = lab.get(&format!("{path}/config")).await?;
        is("its configuration's lock", &config["lock"], "create")?;
        let end = lab.end(upid.as_str().unwrap_or_default()).await?;
        is("its end", &end.into(), "OK")?;
        let state = lab.get(&format!("{path}/status/current")).await?;
        holds("the lock is gone", state.get("lock").is_none())?;
    }
    Ok(())
}

async fn copying(lab: Lab) -> Verdict {
    lab.0.slow_tasks(Duration::from_millis(300));
    let lock = async |path: &str| {
        let state = lab.get(&format!("{path}/status/current")).await;
        state.map(|state| state["lock"].clone())
    };
    let upid = lab
        .data("POST", "/nodes/pve1/lxc/100/clone", &[("newid", "140")])
        .await?;
    is("the source's", &lock("/nodes/pve1/lxc/100").await?, "disk")?;
    is("the copy's", &lock("/nodes/pve1/lxc/140").await?, "create")?;
    let change = [("memory", "600")];
    refuses(
        &lab.call("PUT", "/nodes/pve1/lxc/100/config", &change).await,
        500,
        "CT is locked (disk)",
    )?;
    let end = lab.end(upid.as_str().unwrap_or_default()).await?;
    is("its end", &end.into(), "OK")?;
    for path in ["/nodes/pve1/lxc/100", "/nodes/pve1/lxc/140"] {
        is(path, &lock(path).await?, Value::Null)?;
    }
    Ok(())
}

async fn resources(lab: Lab) -> Verdict {
    let rows = lab
        .data("GET", "/cluster/resources", &[("type", "vm")])
        .await?;
    let mut ids = column(&rows, "id");
    ids.sort();
    let all = [
        "lxc/100", "lxc/101", "lxc/102", "lxc/160", "qemu/200", "qemu/201", "qemu/202",
    ];
    is("the guests", &ids.into(), json!(all))
}

async fn tags(lab: Lab) -> Verdict {
    lab.data("PUT", "/nodes/pve1/lxc/100/config", &[("tags", "b;A;b")])
        .await?;
    let config = lab.get("/nodes/pve1/lxc/100/config").await?;
    is("tags", &config["tags"], "a;b")
}
