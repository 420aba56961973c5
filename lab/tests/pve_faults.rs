//! Faults that a fixture brings, each seen by a client over the real TLS socket.

use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use runbook_lab::fixture::Fixture;
use runbook_lab::pve::{Cluster, Options, Server};
use serde_json::{Value, json};

const TEMPLATE: &str = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst";
/// How often a task is looked at before it is given up, and how long between two looks.
const LOOKS_MAX: u32 = 2000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

struct Lab {
    server: Server,
    client: Client,
}

/// A lab with these faults in its fixture.
async fn lab(faults: Value) -> Lab {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let fixture = json!({
        "nodes": [{"name": "pve1"}],
        "storages": [{"id": "local", "type": "dir", "path": "/var/lib/vz", "content": "vztmpl,backup,rootdir,images"},
                     {"id": "thin", "type": "lvmthin", "content": "rootdir,images"}],
        "templates": [TEMPLATE],
        "tokens": [{"id": "root@pam!lab", "privsep": 0, "value": "1111"}],
        "guests": [{"vmid": 100, "type": "lxc", "config": {"hostname": "ct", "rootfs": "thin:vm-100-disk-0,size=1G"}},
                   {"vmid": 101, "type": "lxc", "status": "running", "config": {"hostname": "up"}},
                   {"vmid": 200, "type": "qemu", "status": "running", "config": {"name": "vm", "agent": "1"}}],
        "faults": faults,
    });
    let fixture = Fixture::parse(&fixture.to_string()).expect("the state is good");
    let mut options = Options::local().expect("a certificate is made");
    options.unauthorized_delay = Duration::ZERO;
    let server = Server::start(Cluster::new(&fixture), options)
        .await
        .expect("a port is free");
    let ca = reqwest::Certificate::from_pem(server.ca_pem.as_bytes())
        .expect("the authority is a certificate");
    let client = Client::builder()
        .tls_certs_only([ca])
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()
        .expect("a client is made");
    Lab { server, client }
}

impl Lab {
    /// Status, reason phrase and data of an answer; an error when the connection was cut.
    async fn send(
        &self,
        method: &str,
        path: &str,
        params: &[(&str, &str)],
    ) -> Result<(u16, String, Value), reqwest::Error> {
        let url = format!("{}/api2/json{path}", self.server.url());
        let method = Method::from_bytes(method.as_bytes()).expect("it is a method");
        let reads = matches!(method.as_str(), "GET" | "DELETE");
        let request = self
            .client
            .request(method, url)
            .header("Authorization", "PVEAPIToken=root@pam!lab=1111");
        let response = match reads {
            true => request.query(params),
            false => request.form(params),
        }
        .send()
        .await?;
        let reason = response
            .extensions()
            .get::<hyper::ext::ReasonPhrase>()
            .map_or_else(
                || "OK".to_owned(),
                |phrase| String::from_utf8_lossy(phrase.as_bytes()).into_owned(),
            );
        let status = response.status().as_u16();
        let body: Value = serde_json::from_str(&response.text().await?).unwrap_or_default();
        Ok((status, reason, body["data"].clone()))
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        params: &[(&str, &str)],
    ) -> (u16, String, Value) {
        self.send(method, path, params)
            .await
            .expect("there is an answer")
    }

    async fn get(&self, path: &str) -> Value {
        self.call("GET", path, &[]).await.2
    }

    /// Starts a task and returns its id.
    async fn start(&self, method: &str, path: &str, params: &[(&str, &str)]) -> String {
        let (status, reason, data) = self.call(method, path, params).await;
        let upid = data.as_str().unwrap_or_else(|| panic!("{status} {reason}"));
        upid.to_owned()
    }

    async fn end(&self, upid: &str) -> String {
        for _ in 0..LOOKS_MAX {
            let status = self.get(&format!("/nodes/pve1/tasks/{upid}/status")).await;
            if let Some(exit) = status["exitstatus"].as_str() {
                return exit.to_owned();
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        panic!("the task does not end");
    }

    async fn task(&self, method: &str, path: &str, params: &[(&str, &str)]) -> String {
        let upid = self.start(method, path, params).await;
        self.end(&upid).await
    }
}

#[tokio::test]
async fn a_first_connection_is_refused() {
    let lab = lab(json!([{"fault": "refuse"}])).await;
    assert!(lab.send("GET", "/version", &[]).await.is_err());
    assert_eq!(lab.call("GET", "/version", &[]).await.0, 200, "only once");
}

#[tokio::test]
async fn an_answer_is_cut_with_and_without_the_work_done() {
    let lab = lab(json!([
        {"fault": "reset", "method": "POST", "path": "/pools"},
        {"fault": "reset", "method": "POST", "path": "/access/groups", "done": true}
    ]))
    .await;
    for (path, key) in [("/pools", "poolid"), ("/access/groups", "groupid")] {
        assert!(
            lab.send("POST", path, &[(key, "one")]).await.is_err(),
            "{path}"
        );
    }
    assert_eq!(lab.get("/pools").await, json!([]));
    assert_eq!(lab.get("/access/groups").await[0]["groupid"], "one");
}

#[tokio::test]
async fn a_status_comes_instead_of_the_answer() {
    let lab = lab(json!([
        {"fault": "status", "status": 596, "method": "POST", "path": "/pools", "done": true},
        {"fault": "status", "status": 595, "path": "/nodes/pve1/status", "times": 2},
        {"fault": "status", "status": 500, "text": "got no worker upid - start worker failed", "path": "/version"}
    ]))
    .await;
    let lost = lab.call("POST", "/pools", &[("poolid", "one")]).await;
    assert_eq!((lost.0, lost.1.as_str()), (596, "Connection timed out"));
    assert_eq!(
        lab.get("/pools").await[0]["poolid"],
        "one",
        "the work was done"
    );
    for wanted in [595, 595, 200] {
        let answer = lab.call("GET", "/nodes/pve1/status", &[]).await;
        assert_eq!(answer.0, wanted, "{}", answer.1);
    }
    let failed = lab.call("GET", "/version", &[]).await;
    assert_eq!(failed.1, "got no worker upid - start worker failed");
}

#[tokio::test]
async fn the_credentials_are_refused_in_the_middle_of_a_run() {
    let lab = lab(json!([{"fault": "unauthorized", "from": 3}])).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(lab.call("GET", "/version", &[]).await.0);
    }
    assert_eq!(statuses, [200, 200, 401, 200]);
}

#[tokio::test]
async fn an_answer_is_late() {
    let lab = lab(json!([{"fault": "slow", "ms": 300, "path": "/version"}])).await;
    let start = Instant::now();
    assert_eq!(lab.call("GET", "/version", &[]).await.0, 200);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_lock_is_held_and_an_agent_is_silent() {
    let lab = lab(json!([
        {"fault": "locked", "path": "/100/"},
        {"fault": "agent-down", "path": "/200/"}
    ]))
    .await;
    let start = "/nodes/pve1/lxc/100/status/start";
    assert_eq!(
        lab.task("POST", start, &[]).await,
        "can't lock file '/run/lock/lxc/pve-config-100.lock' - got timeout"
    );
    assert_eq!(lab.task("POST", start, &[]).await, "OK");
    let ping = "/nodes/pve1/qemu/200/agent/ping";
    let silent = lab.call("POST", ping, &[]).await;
    assert_eq!(silent.1, "QEMU guest agent is not running");
    assert_eq!(lab.call("POST", ping, &[]).await.0, 200);
}

#[tokio::test]
async fn a_task_that_vanishes_leaves_its_lock() {
    let lab = lab(json!([
        {"fault": "task-vanishes", "path": "vzcreate"},
        {"fault": "task-vanishes", "path": "vzsnapshot"}
    ]))
    .await;
    let params = [
        ("vmid", "130"),
        ("ostemplate", TEMPLATE),
        ("rootfs", "thin:1"),
    ];
    assert_eq!(
        lab.task("POST", "/nodes/pve1/lxc", &params).await,
        "unexpected status"
    );
    let state = lab.get("/nodes/pve1/lxc/130/status/current").await;
    assert_eq!(
        (&state["status"], &state["lock"]),
        (&json!("stopped"), &json!("create"))
    );
    let gone = lab.call("DELETE", "/nodes/pve1/lxc/130", &[]).await;
    assert_eq!(gone.1, "CT is locked (create)");
    let path = "/nodes/pve1/lxc/100/snapshot";
    assert_eq!(
        lab.task("POST", path, &[("snapname", "one")]).await,
        "unexpected status"
    );
    let rows = lab.get(path).await;
    assert_eq!(rows[0]["snapstate"], "prepare");
    let back = lab.task("POST", &format!("{path}/one/rollback"), &[]).await;
    assert_eq!(
        back,
        "unable to rollback to incomplete snapshot (snapstate = prepare)"
    );
}

#[tokio::test]
async fn a_task_that_fails_puts_right_what_it_began() {
    let lab = lab(json!([
        {"fault": "task-fails", "path": "vzcreate", "text": "no space left"},
        {"fault": "task-fails", "path": "vzclone", "text": "no space left"},
        {"fault": "task-fails", "path": "vzstart", "text": "startup for container '100' failed"}
    ]))
    .await;
    let params = [
        ("vmid", "130"),
        ("ostemplate", TEMPLATE),
        ("rootfs", "thin:1"),
    ];
    assert_eq!(
        lab.task("POST", "/nodes/pve1/lxc", &params).await,
        "unable to create CT 130 - no space left"
    );
    let clone = [("newid", "130")];
    assert_eq!(
        lab.task("POST", "/nodes/pve1/lxc/100/clone", &clone).await,
        "clone failed: no space left"
    );
    let missing = lab.call("GET", "/nodes/pve1/lxc/130/config", &[]).await;
    assert_eq!(
        missing.1,
        "Configuration file 'nodes/pve1/lxc/130.conf' does not exist"
    );
    let state = lab.get("/nodes/pve1/lxc/100/status/current").await;
    assert_eq!(state.get("lock"), None, "the source is not locked");
    let start = "/nodes/pve1/lxc/100/status/start";
    assert_eq!(
        lab.task("POST", start, &[]).await,
        "startup for container '100' failed"
    );
    let state = lab.get("/nodes/pve1/lxc/100/status/current").await;
    assert_eq!(state["status"], "stopped");
}

#[tokio::test]
async fn a_guest_that_does_not_hear_is_stopped_by_force_or_not_at_all() {
    let lab = lab(json!([
        {"fault": "deaf", "path": "/101/", "times": 3},
        {"fault": "deaf", "path": "/200/", "times": 1}
    ]))
    .await;
    let path = "/nodes/pve1/lxc/101/status";
    let shutdown = format!("{path}/shutdown");
    let upid = lab.start("POST", &shutdown, &[("timeout", "1")]).await;
    assert_eq!(lab.end(&upid).await, "container did not stop");
    let log = lab.get(&format!("/nodes/pve1/tasks/{upid}/log")).await;
    assert_eq!(
        log[0]["t"],
        "command 'lxc-stop -n 101 --nokill --timeout 1' failed: exit code 1"
    );
    let state = lab.get(&format!("{path}/current")).await;
    assert_eq!(state["status"], "running");
    // A stop may end a shutdown that waits.
    let waits = lab.start("POST", &shutdown, &[("timeout", "60")]).await;
    let stop = [("overrule-shutdown", "1")];
    let upid = lab.start("POST", &format!("{path}/stop"), &stop).await;
    assert_eq!(lab.end(&upid).await, "OK");
    let log = lab.get(&format!("/nodes/pve1/tasks/{upid}/log")).await;
    assert_eq!(
        log[0]["t"],
        json!(format!("overruled vzshutdown tasks: {waits}"))
    );
    assert_eq!(lab.end(&waits).await, "received interrupt");
    let state = lab.get(&format!("{path}/current")).await;
    assert_eq!(state["status"], "stopped");
    // By force it ends all the same.
    assert_eq!(lab.task("POST", &format!("{path}/start"), &[]).await, "OK");
    let force = [("timeout", "1"), ("forceStop", "1")];
    assert_eq!(lab.task("POST", &shutdown, &force).await, "OK");
    let vm = "/nodes/pve1/qemu/200/status/shutdown";
    assert_eq!(
        lab.task("POST", vm, &[("timeout", "1")]).await,
        "VM quit/powerdown failed - got timeout"
    );
    assert_eq!(lab.task("POST", vm, &[("timeout", "1")]).await, "OK");
}
