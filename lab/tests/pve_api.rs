//! The API in process, without the wire: users and rights, storages and pools, tasks and locks, guests' whole life.

use std::sync::Arc;
use std::time::Duration;

use runbook_lab::fixture::Fixture;
use runbook_lab::pve::faults::{Fault, When};
use runbook_lab::pve::{Answer, Caller, Cluster, Params};
use serde_json::{Value, json};

const TEMPLATE: &str = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst";
const STATE: &str = r#"{
  "nodes": [{"name": "pve1", "cpus": 2}, {"name": "pve2"}],
  "storages": [{"id": "local", "type": "dir", "path": "/var/lib/vz", "content": "iso,vztmpl,backup,rootdir,images"},
               {"id": "thin", "type": "lvmthin", "content": "rootdir,images"}],
  "templates": ["local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst", "local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst"],
  "users": [{"userid": "bob@pve", "password": "secret"}]
}"#;

fn lab() -> Arc<Cluster> {
    Cluster::new(&Fixture::parse(STATE).expect("the state is good"))
}

async fn call(lab: &Cluster, verb: &str, path: &str, params: &[(&str, &str)]) -> Answer {
    lab.call(
        verb,
        path,
        Params::from_pairs(params.iter().copied()),
        &Caller::root(),
    )
    .await
}

async fn good(lab: &Cluster, verb: &str, path: &str, params: &[(&str, &str)]) -> Value {
    let answer = call(lab, verb, path, params).await;
    assert!(
        answer.is_ok(),
        "{verb} {path}: {} {:?}",
        answer.text(),
        answer.errors
    );
    answer.data
}

/// Runs a task and returns its exit status.
async fn task(lab: &Cluster, verb: &str, path: &str, params: &[(&str, &str)]) -> String {
    let upid = good(lab, verb, path, params).await;
    end(lab, upid.as_str().expect("it is a task")).await
}

async fn end(lab: &Cluster, upid: &str) -> String {
    let node = upid.split(':').nth(1).unwrap_or("pve1").to_owned();
    for _ in 0..500 {
        let status = good(
            lab,
            "GET",
            &format!("/nodes/{node}/tasks/{upid}/status"),
            &[],
        )
        .await;
        if let Some(exit) = status["exitstatus"].as_str() {
            return exit.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the task does not end");
}

async fn container(lab: &Cluster, vmid: &str, more: &[(&str, &str)]) {
    let mut params = vec![
        ("vmid", vmid),
        ("ostemplate", TEMPLATE),
        ("rootfs", "thin:1"),
        ("net0", "name=eth0,bridge=vmbr0,ip=192.0.2.7/24"),
    ];
    params.extend(more);
    assert_eq!(task(lab, "POST", "/nodes/pve1/lxc", &params).await, "OK");
}

#[tokio::test]
async fn a_container_lives_its_whole_life() {
    let lab = lab();
    container(
        &lab,
        "130",
        &[("hostname", "web"), ("tags", "b;A;b"), ("description", "x")],
    )
    .await;
    let config = good(&lab, "GET", "/nodes/pve1/lxc/130/config", &[]).await;
    assert_eq!(
        (&config["tags"], &config["description"], &config["rootfs"]),
        (
            &json!("a;b"),
            &json!("x\n"),
            &json!("thin:vm-130-disk-0,size=1G")
        )
    );
    assert_eq!(
        good(&lab, "GET", "/nodes/pve1/lxc/130/interfaces", &[]).await,
        Value::Null
    );
    assert_eq!(
        task(&lab, "POST", "/nodes/pve1/lxc/130/status/start", &[]).await,
        "OK"
    );
    assert_eq!(
        call(&lab, "POST", "/nodes/pve1/lxc/130/status/start", &[])
            .await
            .text(),
        "CT 130 already running"
    );
    assert_eq!(
        good(&lab, "GET", "/nodes/pve1/lxc/130/interfaces", &[]).await[1]["inet"],
        "192.0.2.7/24"
    );
    assert_eq!(
        task(
            &lab,
            "POST",
            "/nodes/pve1/lxc/130/snapshot",
            &[("snapname", "before")]
        )
        .await,
        "OK"
    );
    good(
        &lab,
        "PUT",
        "/nodes/pve1/lxc/130/config",
        &[("memory", "1024")],
    )
    .await;
    assert_eq!(
        task(
            &lab,
            "POST",
            "/nodes/pve1/lxc/130/snapshot/before/rollback",
            &[]
        )
        .await,
        "OK"
    );
    let config = good(&lab, "GET", "/nodes/pve1/lxc/130/config", &[]).await;
    assert_eq!(
        (&config["memory"], &config["parent"]),
        (&json!(512), &json!("before"))
    );
    assert_eq!(
        good(&lab, "GET", "/nodes/pve1/lxc/130/status/current", &[]).await["status"],
        "stopped",
        "going back stops it"
    );
    assert_eq!(
        task(
            &lab,
            "POST",
            "/nodes/pve1/lxc/130/clone",
            &[("newid", "131"), ("hostname", "copy")]
        )
        .await,
        "OK"
    );
    let copy = good(&lab, "GET", "/nodes/pve1/lxc/131/config", &[]).await;
    assert_ne!(
        copy["net0"], config["net0"],
        "a copy has an address of its own"
    );
    assert_eq!(
        task(&lab, "DELETE", "/nodes/pve1/lxc/130", &[("purge", "1")]).await,
        "OK"
    );
    let left = good(&lab, "GET", "/nodes/pve1/storage/thin/content", &[]).await;
    assert_eq!(
        left.as_array().map(Vec::len),
        Some(1),
        "only the copy's disk is left: {left}"
    );
}

#[tokio::test]
async fn a_backup_comes_back_on_another_number() {
    let lab = lab();
    container(&lab, "130", &[("hostname", "web"), ("memory", "256")]).await;
    let params = [
        ("vmid", "130"),
        ("storage", "local"),
        ("compress", "zstd"),
        ("notes-template", "{{guestname}} on {{node}}"),
    ];
    assert_eq!(
        task(&lab, "POST", "/nodes/pve1/vzdump", &params).await,
        "OK"
    );
    let backups = good(
        &lab,
        "GET",
        "/nodes/pve1/storage/local/content",
        &[("content", "backup")],
    )
    .await;
    let volid = backups[0]["volid"]
        .as_str()
        .expect("there is a backup")
        .to_owned();
    assert!(
        volid.starts_with("local:backup/vzdump-lxc-130-") && volid.ends_with(".tar.zst"),
        "{volid}"
    );
    assert_eq!(backups[0]["notes"], "web on pve1");
    // A storage of another node takes none.
    let elsewhere = [("nodes", "pve2")];
    good(&lab, "PUT", "/storage/local", &elsewhere).await;
    let answer = call(&lab, "POST", "/nodes/pve1/vzdump", &params).await;
    assert_eq!(
        answer.text(),
        "could not get storage information for 'local': storage 'local' is not available on node 'pve1'"
    );
    good(&lab, "PUT", "/storage/local", &[("delete", "nodes")]).await;
    let restore = [
        ("vmid", "140"),
        ("ostemplate", volid.as_str()),
        ("restore", "1"),
        ("storage", "thin"),
    ];
    assert_eq!(task(&lab, "POST", "/nodes/pve1/lxc", &restore).await, "OK");
    let config = good(&lab, "GET", "/nodes/pve1/lxc/140/config", &[]).await;
    assert_eq!(
        (&config["hostname"], &config["memory"], &config["rootfs"]),
        (
            &json!("web"),
            &json!(256),
            &json!("thin:vm-140-disk-0,size=1G")
        )
    );
    let missing = [("vmid", "999"), ("storage", "local")];
    assert_eq!(
        task(&lab, "POST", "/nodes/pve1/vzdump", &missing).await,
        "job errors"
    );
}

#[tokio::test]
async fn backups_are_pruned_as_the_preview_said() {
    let lab = lab();
    container(&lab, "130", &[("hostname", "web")]).await;
    container(&lab, "131", &[("hostname", "db")]).await;
    let path = "/nodes/pve1/storage/local/prunebackups";
    for vmid in ["130", "130", "130", "131"] {
        let params = [("vmid", vmid), ("storage", "local")];
        assert_eq!(
            task(&lab, "POST", "/nodes/pve1/vzdump", &params).await,
            "OK"
        );
    }
    let marks = async |params: &[(&str, &str)]| {
        let rows = good(&lab, "GET", path, params).await;
        let rows = rows.as_array().cloned().unwrap_or_default();
        rows.iter()
            .map(|row| {
                format!(
                    "{} {}",
                    row["vmid"],
                    row["mark"].as_str().unwrap_or_default()
                )
            })
            .collect::<Vec<_>>()
    };
    let last = ("prune-backups", "keep-last=1");
    assert_eq!(
        marks(&[last]).await,
        ["130 remove", "130 remove", "130 keep", "131 keep"]
    );
    assert_eq!(marks(&[last, ("vmid", "131")]).await, ["131 keep"]);
    assert_eq!(marks(&[last, ("type", "qemu")]).await, [] as [&str; 0]);
    assert_eq!(
        call(&lab, "GET", path, &[]).await.text(),
        "no prune-backups options configured for storage 'local'"
    );
    // What is protected stays and takes no place of another.
    let all = good(
        &lab,
        "GET",
        "/nodes/pve1/storage/local/content",
        &[("content", "backup")],
    )
    .await;
    let oldest = all[0]["volid"]
        .as_str()
        .expect("there is a backup")
        .to_owned();
    let one = format!("/nodes/pve1/storage/local/content/{oldest}");
    good(&lab, "PUT", &one, &[("protected", "1")]).await;
    assert_eq!(
        marks(&[last, ("vmid", "130")]).await,
        ["130 protected", "130 remove", "130 keep"]
    );
    let upid = good(&lab, "DELETE", path, &[last, ("vmid", "130")]).await;
    let upid = upid.as_str().expect("it is a task");
    assert!(upid.contains(":prunebackups:130@local:"), "{upid}");
    assert_eq!(end(&lab, upid).await, "OK");
    assert_eq!(
        marks(&[last]).await,
        ["130 protected", "130 keep", "131 keep"]
    );
    // A backup prunes those before it, of its own guest only.
    let params = [("vmid", "131"), ("storage", "local"), last];
    let upid = good(&lab, "POST", "/nodes/pve1/vzdump", &params).await;
    let upid = upid.as_str().expect("it is a task");
    assert_eq!(end(&lab, upid).await, "OK");
    let log = good(&lab, "GET", &format!("/nodes/pve1/tasks/{upid}/log"), &[]).await;
    assert!(
        log.to_string()
            .contains("pruned 1 backup(s) not covered by keep-retention policy"),
        "{log}"
    );
    assert_eq!(
        marks(&[("prune-backups", "keep-all=1")]).await,
        ["130 protected", "130 keep", "131 keep"]
    );
}

#[tokio::test]
async fn a_machine_starts_and_its_changes_wait() {
    let lab = lab();
    let params = [
        ("vmid", "200"),
        ("name", "vm"),
        ("scsi0", "thin:8"),
        ("net0", "virtio,bridge=vmbr0"),
        ("memory", "512"),
        ("agent", "1"),
    ];
    assert_eq!(task(&lab, "POST", "/nodes/pve1/qemu", &params).await, "OK");
    let config = good(&lab, "GET", "/nodes/pve1/qemu/200/config", &[]).await;
    assert_eq!(
        (&config["scsi0"], &config["boot"]),
        (
            &json!("thin:vm-200-disk-0,size=8G"),
            &json!("order=scsi0;net0")
        )
    );
    assert_eq!(
        call(&lab, "POST", "/nodes/pve1/qemu/200/agent/ping", &[])
            .await
            .text(),
        "VM 200 is not running"
    );
    assert_eq!(
        task(&lab, "POST", "/nodes/pve1/qemu/200/status/start", &[]).await,
        "OK"
    );
    good(
        &lab,
        "PUT",
        "/nodes/pve1/qemu/200/config",
        &[("cores", "4")],
    )
    .await;
    let pending = good(&lab, "GET", "/nodes/pve1/qemu/200/pending", &[]).await;
    let cores = pending
        .as_array()
        .into_iter()
        .flatten()
        .find(|row| row["key"] == "cores")
        .expect("the change waits");
    assert_eq!((cores.get("value"), &cores["pending"]), (None, &json!(4)));
    assert_eq!(
        task(&lab, "POST", "/nodes/pve1/qemu/200/status/reboot", &[]).await,
        "OK"
    );
    let current = good(
        &lab,
        "GET",
        "/nodes/pve1/qemu/200/config",
        &[("current", "1")],
    )
    .await;
    assert_eq!(current["cores"], 4);
    assert_eq!(
        call(&lab, "DELETE", "/nodes/pve1/qemu/200", &[])
            .await
            .text(),
        "VM 200 is running - destroy failed"
    );
    good(&lab, "POST", "/nodes/pve1/qemu/200/agent/ping", &[]).await;
}

#[tokio::test]
async fn disks_are_numbered_from_the_root_and_kept_when_they_are_taken_off() {
    let lab = lab();
    container(&lab, "130", &[("mp0", "thin:2,mp=/data")]).await;
    let path = "/nodes/pve1/lxc/130/config";
    let config = good(&lab, "GET", path, &[]).await;
    assert_eq!(
        (&config["rootfs"], &config["mp0"]),
        (
            &json!("thin:vm-130-disk-0,size=1G"),
            &json!("thin:vm-130-disk-1,mp=/data,size=2G")
        )
    );
    good(&lab, "PUT", path, &[("delete", "mp0")]).await;
    assert_eq!(
        good(&lab, "GET", path, &[]).await["unused0"],
        "thin:vm-130-disk-1"
    );
    good(&lab, "PUT", path, &[("delete", "unused0")]).await;
    let left = good(&lab, "GET", "/nodes/pve1/storage/thin/content", &[]).await;
    assert_eq!(left.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn warnings_are_counted_and_shown() {
    let lab = lab();
    let template = "local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst";
    let upid = good(
        &lab,
        "POST",
        "/nodes/pve1/lxc",
        &[("vmid", "130"), ("ostemplate", template)],
    )
    .await;
    let upid = upid.as_str().expect("it is a task");
    assert_eq!(end(&lab, upid).await, "WARNINGS: 1");
    let log = good(
        &lab,
        "GET",
        &format!("/nodes/pve1/tasks/{upid}/log"),
        &[("limit", "0")],
    )
    .await;
    let lines: Vec<&str> = log
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|row| row["t"].as_str())
        .collect();
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("WARN: Systemd 257"))
            && lines.last() == Some(&"TASK WARNINGS: 1"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn two_who_want_one_number_do_not_both_get_it() {
    let lab = lab();
    lab.set_task_duration(Duration::from_millis(50));
    let params = [
        ("vmid", "130"),
        ("ostemplate", TEMPLATE),
        ("rootfs", "thin:1"),
    ];
    let upid = good(&lab, "POST", "/nodes/pve1/lxc", &params).await;
    // The number is taken when the first call returns, not when its work is done.
    let second = call(&lab, "POST", "/nodes/pve1/lxc", &params).await;
    assert_eq!(
        (second.status, second.text()),
        (500, "CT 130 already exists on node 'pve1'")
    );
    let config = "/nodes/pve1/lxc/130/config";
    assert_eq!(
        call(&lab, "PUT", config, &[("memory", "600")]).await.text(),
        "CT is locked (create)"
    );
    assert_eq!(end(&lab, upid.as_str().expect("it is a task")).await, "OK");
}

#[tokio::test]
async fn a_failed_creation_leaves_nothing() {
    let lab = lab();
    let params = [
        ("vmid", "130"),
        ("ostemplate", "local:vztmpl/nope.tar.zst"),
        ("rootfs", "thin:1"),
    ];
    let exit = task(&lab, "POST", "/nodes/pve1/lxc", &params).await;
    assert_eq!(
        exit,
        "unable to create CT 130 - volume 'local:vztmpl/nope.tar.zst' does not exist"
    );
    assert_eq!(good(&lab, "GET", "/nodes/pve1/lxc", &[]).await, json!([]));
    assert_eq!(
        good(&lab, "GET", "/nodes/pve1/storage/thin/content", &[]).await,
        json!([])
    );
}

#[tokio::test]
async fn a_bridge_is_missed_at_the_start_and_at_run_time() {
    let lab = lab();
    container(&lab, "130", &[]).await;
    good(
        &lab,
        "PUT",
        "/nodes/pve1/lxc/130/config",
        &[("net1", "name=eth1,bridge=vmbr9")],
    )
    .await;
    assert_eq!(
        task(&lab, "POST", "/nodes/pve1/lxc/130/status/start", &[]).await,
        "bridge 'vmbr9' does not exist"
    );
    good(
        &lab,
        "PUT",
        "/nodes/pve1/lxc/130/config",
        &[("delete", "net1")],
    )
    .await;
    assert_eq!(
        task(&lab, "POST", "/nodes/pve1/lxc/130/status/start", &[]).await,
        "OK"
    );
    let refused = call(
        &lab,
        "PUT",
        "/nodes/pve1/lxc/130/config",
        &[("net1", "name=eth1,bridge=vmbr9")],
    )
    .await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.errors["net1"]
            .as_str()
            .is_some_and(|text| text.starts_with("unable to hotplug net1: bridge 'vmbr9'"))
    );
}

#[tokio::test]
async fn a_token_is_not_root() {
    let lab = lab();
    good(
        &lab,
        "POST",
        "/access/users/root@pam/token/tok",
        &[("privsep", "0")],
    )
    .await;
    let token = Caller::named("root@pam!tok");
    let params = Params::from_pairs([
        ("vmid", "130"),
        ("ostemplate", TEMPLATE),
        ("features", "keyctl=1"),
    ]);
    let refused = lab.call("POST", "/nodes/pve1/lxc", params, &token).await;
    assert_eq!(
        refused.text(),
        "Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)"
    );
    let bind = Params::from_pairs([
        ("vmid", "130"),
        ("ostemplate", TEMPLATE),
        ("mp0", "/srv,mp=/srv"),
    ]);
    assert_eq!(
        lab.call("POST", "/nodes/pve1/lxc", bind, &token)
            .await
            .status,
        403
    );
    assert_eq!(
        lab.call("POST", "/access/ticket", Params::new(), &token)
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn rights_come_with_a_grant_and_lists_are_filtered() {
    let lab = lab();
    container(&lab, "130", &[]).await;
    let bob = Caller::named("bob@pve");
    let list = lab
        .call("GET", "/nodes/pve1/lxc", Params::new(), &bob)
        .await;
    assert_eq!((list.status, list.data), (200, json!([])));
    let refused = lab
        .call("GET", "/nodes/pve1/lxc/130/config", Params::new(), &bob)
        .await;
    assert_eq!(
        refused.text(),
        "Permission check failed (/vms/130, VM.Audit)"
    );
    good(
        &lab,
        "PUT",
        "/access/acl",
        &[
            ("path", "/vms"),
            ("roles", "PVEVMUser"),
            ("users", "bob@pve"),
        ],
    )
    .await;
    assert!(
        lab.call("GET", "/nodes/pve1/lxc/130/config", Params::new(), &bob)
            .await
            .is_ok()
    );
    let change = lab
        .call(
            "PUT",
            "/nodes/pve1/lxc/130/config",
            Params::from_pairs([("memory", "600")]),
            &bob,
        )
        .await;
    assert_eq!(change.status, 403);
    good(&lab, "DELETE", "/access/users/bob@pve", &[]).await;
    assert_eq!(
        good(&lab, "GET", "/access/acl", &[]).await,
        json!([]),
        "the grants go with the user"
    );
}

#[tokio::test]
async fn a_pool_holds_its_members() {
    let lab = lab();
    container(&lab, "130", &[]).await;
    good(&lab, "POST", "/pools", &[("poolid", "labs")]).await;
    good(&lab, "PUT", "/pools", &[("poolid", "labs"), ("vms", "130")]).await;
    assert_eq!(
        call(&lab, "DELETE", "/pools/labs", &[]).await.text(),
        "delete pool failed: pool 'labs' is not empty (contains VM 130)"
    );
    assert_eq!(task(&lab, "DELETE", "/nodes/pve1/lxc/130", &[]).await, "OK");
    good(&lab, "DELETE", "/pools/labs", &[]).await;
}

#[tokio::test]
async fn downloads_are_checked_and_not_repeated() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let lab = lab();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let url = format!(
        "http://{}/x.iso",
        listener.local_addr().expect("it has an address")
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let answer: &[u8] = match request[..read].windows(7).any(|part| part == b"missing") {
                true => b"HTTP/1.0 404 Not Found\r\n\r\n",
                false => b"HTTP/1.0 200 OK\r\n\r\nhello",
            };
            let _ = stream.write_all(answer).await;
        }
    });
    let path = "/nodes/pve1/storage/local/download-url";
    let sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let with = |name: &'static str, sum: &'static str| {
        [
            ("url", url.clone()),
            ("content", "iso".into()),
            ("filename", name.into()),
            ("checksum", sum.into()),
            ("checksum-algorithm", "sha256".to_owned()),
        ]
    };
    let fetch = async |params: &[(&str, String)]| {
        let params: Vec<(&str, &str)> = params
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        task(&lab, "POST", path, &params).await
    };
    let wrong = fetch(&with("x.iso", "00")).await;
    assert_eq!(
        wrong,
        format!("checksum mismatch: got '{sum}' != expect '00'")
    );
    assert_eq!(fetch(&with("x.iso", sum)).await, "OK");
    assert_eq!(
        fetch(&with("x.iso", sum)).await,
        "OK",
        "the right file is there already"
    );
    assert_eq!(
        fetch(&with("x.iso", "00")).await,
        format!("checksum mismatch: got '{sum}' != expect '00', aborting")
    );
    let missing = url.replace("x.iso", "missing");
    let params = [
        ("url", missing.as_str()),
        ("content", "iso"),
        ("filename", "y.iso"),
    ];
    let upid = good(&lab, "POST", path, &params).await;
    let upid = upid.as_str().expect("it is a task");
    assert_eq!(end(&lab, upid).await, "download failed: exit code 8");
    let log = good(&lab, "GET", &format!("/nodes/pve1/tasks/{upid}/log"), &[])
        .await
        .to_string();
    for line in [
        format!("downloading {missing} to /var/lib/vz/template/iso/y.iso"),
        "HTTP request sent, awaiting response... 404 Not Found".into(),
        " ERROR 404: Not Found.".into(),
    ] {
        assert!(log.contains(&line), "{line}: {log}");
    }
    let list = good(
        &lab,
        "GET",
        "/nodes/pve1/storage/local/content",
        &[("content", "iso")],
    )
    .await;
    assert_eq!(
        (list.as_array().map(Vec::len), &list[0]["size"]),
        (Some(1), &json!(5))
    );
}

#[tokio::test]
async fn a_restarted_node_runs_what_starts_at_boot() {
    let lab = lab();
    container(&lab, "130", &[("onboot", "1"), ("start", "1")]).await;
    container(&lab, "131", &[("start", "1")]).await;
    assert_eq!(lab.node_restarted("pve1"), (vec![130, 131], vec![130]));
    assert_eq!(
        good(&lab, "GET", "/nodes/pve1/lxc/131/status/current", &[]).await["status"],
        "stopped"
    );
}

#[tokio::test]
async fn a_held_lock_is_a_time_out_and_nothing_changes() {
    let lab = lab();
    container(&lab, "130", &[]).await;
    lab.faults().plan(
        When {
            path: Some("/130/".into()),
            times: 1,
            ..When::default()
        },
        Fault::Locked,
    );
    let exit = task(
        &lab,
        "POST",
        "/nodes/pve1/lxc/130/snapshot",
        &[("snapname", "one")],
    )
    .await;
    assert_eq!(
        exit,
        "can't lock file '/run/lock/lxc/pve-config-130.lock' - got timeout"
    );
    assert_eq!(
        good(&lab, "GET", "/nodes/pve1/lxc/130/snapshot", &[])
            .await
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}
