//! The API's manners on the wire: reason phrases, content types, refusals before a call, and every injected fault.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder};
use runbook_lab::fixture::Fixture;
use runbook_lab::pve::faults::{Death, Fault, When};
use runbook_lab::pve::hooks::HookFuture;
use runbook_lab::pve::{Cluster, Hooks, Options, Server};
use serde_json::{Value, json};

const STATE: &str = r#"{
  "nodes": [{"name": "pve1"}, {"name": "down", "status": "offline"}],
  "users": [{"userid": "root@pam", "password": "rootpw"}],
  "tokens": [{"id": "root@pam!lab", "privsep": 0, "value": "1111"}],
  "guests": [{"vmid": 100, "type": "lxc", "config": {"hostname": "ct", "memory": 512}},
             {"vmid": 200, "type": "qemu", "status": "running", "config": {"name": "vm", "agent": "1"}}]
}"#;

struct Lab {
    cluster: Arc<Cluster>,
    server: Server,
    client: Client,
}

/// An answer as it came over the wire.
#[derive(Debug)]
struct Answer {
    status: u16,
    reason: String,
    kind: Option<String>,
    text: String,
}

impl Answer {
    fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

async fn lab_with(hooks: Box<dyn Hooks>) -> Lab {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cluster = Cluster::with_hooks(&Fixture::parse(STATE).expect("the state is good"), hooks);
    let mut options = Options::local().expect("a certificate is made");
    options.unauthorized_delay = Duration::from_millis(300);
    options.proxy_wait = Duration::from_millis(400);
    let server = Server::start(cluster.clone(), options)
        .await
        .expect("a port is free");
    let ca = reqwest::Certificate::from_pem(server.ca_pem.as_bytes())
        .expect("the authority is a certificate");
    let client = Client::builder()
        .tls_certs_only([ca])
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .expect("a client is made");
    Lab {
        cluster,
        server,
        client,
    }
}

async fn lab() -> Lab {
    lab_with(Box::new(runbook_lab::pve::NoHooks)).await
}

impl Lab {
    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("it is a method");
        self.client
            .request(method, format!("{}{path}", self.server.url()))
            .header("Authorization", "PVEAPIToken=root@pam!lab=1111")
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.send().await?;
        let reason = response
            .extensions()
            .get::<hyper::ext::ReasonPhrase>()
            .map(|phrase| String::from_utf8_lossy(phrase.as_bytes()).into_owned());
        let kind = response
            .headers()
            .get("content-type")
            .map(|kind| String::from_utf8_lossy(kind.as_bytes()).into_owned());
        let status = response.status().as_u16();
        Ok(Answer {
            status,
            reason: reason.unwrap_or_else(|| "OK".into()),
            kind,
            text: response.text().await?,
        })
    }

    async fn call(&self, method: &str, path: &str) -> Answer {
        self.send(self.request(method, path))
            .await
            .expect("there is an answer")
    }

    /// The end of a task, waited for.
    async fn end(&self, upid: &str) -> Value {
        let path = format!("/api2/json/nodes/pve1/tasks/{upid}/status");
        for _ in 0..200 {
            let data = self.call("GET", &path).await.body()["data"].clone();
            if data["status"] == "stopped" {
                return data["exitstatus"].clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the task does not end");
    }
}

#[tokio::test]
async fn success_and_errors_have_the_envelope_and_the_reason() {
    let lab = lab().await;
    for path in [
        "/api2/json/version",
        "/api2/json//version",
        "/api2/json/version/",
    ] {
        let answer = lab.call("GET", path).await;
        assert_eq!(
            (answer.status, answer.body()["data"]["release"].as_str()),
            (200, Some("9.2")),
            "{path}"
        );
        assert_eq!(
            answer.kind.as_deref(),
            Some("application/json;charset=UTF-8")
        );
    }
    let missing = lab
        .call("GET", "/api2/json/nodes/pve1/lxc/999/config")
        .await;
    assert_eq!(
        (missing.status, missing.reason.as_str()),
        (
            500,
            "Configuration file 'nodes/pve1/lxc/999.conf' does not exist"
        )
    );
    assert_eq!(
        missing.body(),
        json!({"data": null, "message": "Configuration file 'nodes/pve1/lxc/999.conf' does not exist\n"})
    );
    let unknown = lab.call("GET", "/api2/json/nosuch").await;
    assert_eq!(
        (unknown.status, unknown.reason.as_str()),
        (501, "Method 'GET /nosuch' not implemented")
    );
    // Known to the real one, not served here: the same.
    assert_eq!(
        lab.call("GET", "/api2/json/cluster/ceph/status")
            .await
            .status,
        501
    );
    let clash = lab
        .send(
            lab.request("POST", "/api2/json/nodes/pve1/lxc/100/status/start")
                .form(&[("vmid", "101")]),
        )
        .await
        .expect("an answer");
    assert_eq!(
        (clash.status, clash.reason.as_str()),
        (
            400,
            "duplicate parameter (already defined in URI) with conflicting values"
        )
    );
}

#[tokio::test]
async fn the_other_format_is_always_200() {
    let lab = lab().await;
    assert_eq!(
        lab.call("GET", "/api2/extjs/version").await.body()["success"],
        1
    );
    let missing = lab
        .call("GET", "/api2/extjs/nodes/pve1/lxc/999/config")
        .await;
    assert_eq!(
        (
            missing.status,
            missing.body()["status"].as_u64(),
            missing.body()["success"].as_u64()
        ),
        (200, Some(500), Some(0))
    );
}

#[tokio::test]
async fn a_401_is_late_and_bare() {
    let lab = lab().await;
    let start = Instant::now();
    let answer = lab
        .send(
            lab.client
                .get(format!("{}/api2/json/version", lab.server.url())),
        )
        .await
        .expect("an answer");
    assert!(
        start.elapsed() >= Duration::from_millis(300),
        "it came at once"
    );
    assert_eq!(
        (
            answer.status,
            answer.reason.as_str(),
            answer.kind,
            answer.text.as_str()
        ),
        (401, "No ticket", None, "")
    );
    let wrong = lab
        .client
        .get(format!("{}/api2/json/version", lab.server.url()))
        .header("Authorization", "PVEAPIToken=root@pam!lab=2222");
    assert_eq!(
        lab.send(wrong).await.expect("an answer").reason,
        "Authentication failed!"
    );
}

#[tokio::test]
async fn what_is_no_call_is_refused_before_any_login() {
    let lab = lab().await;
    let refusal = |answer: Answer| (answer.status, answer.reason, answer.text);
    let patch = lab.call("PATCH", "/api2/json/version").await;
    assert_eq!(
        refusal(patch),
        (501, "method 'PATCH' not available".into(), String::new())
    );
    let content = lab
        .send(
            lab.request("DELETE", "/api2/json/nodes/pve1/lxc/100")
                .body("a=1"),
        )
        .await
        .expect("an answer");
    assert_eq!(
        refusal(content),
        (
            501,
            "Unexpected content for method 'DELETE'".into(),
            String::new()
        )
    );
    let kind = lab
        .request("POST", "/api2/json/access/users")
        .header("Content-Type", "text/plain")
        .body("x");
    assert_eq!(
        refusal(lab.send(kind).await.expect("an answer")),
        (
            506,
            "upload 'Content-Type 'text/plain' not implemented".into(),
            String::new()
        )
    );
    let broken = lab
        .request("POST", "/api2/json/access/users")
        .header("Content-Type", "application/json")
        .body("{bad");
    let broken = lab.send(broken).await.expect("an answer");
    assert!(
        broken.status == 500 && broken.reason.starts_with("malformed JSON string"),
        "{broken:?}"
    );
    let large = lab
        .request("POST", "/api2/json/access/users")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(vec![b'a'; 600 * 1024]);
    // The connection may be cut while the body is still on its way.
    assert!(
        lab.send(large)
            .await
            .map_or(true, |answer| answer.status == 501)
    );
}

#[tokio::test]
async fn plain_http_is_sent_to_tls() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let lab = lab().await;
    let mut stream = tokio::net::TcpStream::connect(lab.server.addr)
        .await
        .expect("it listens");
    stream
        .write_all(b"GET /x HTTP/1.1\r\nHost: pve1:8006\r\n\r\n")
        .await
        .expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("it answers");
    assert!(
        text.starts_with("HTTP/1.1 301 ") && text.contains("location: https://pve1:8006/x"),
        "{text}"
    );
}

#[tokio::test]
async fn an_unknown_node_does_not_resolve_and_one_that_is_down_is_595() {
    let lab = lab().await;
    let unknown = lab.call("GET", "/api2/json/nodes/PVE1/lxc").await;
    assert_eq!(
        unknown.reason,
        "hostname lookup 'PVE1' failed - failed to get address info for: PVE1: Name or service not known"
    );
    let down = lab.call("GET", "/api2/json/nodes/down/status").await;
    assert_eq!(
        (down.status, down.reason.as_str(), down.text.as_str()),
        (595, "No route to host", "")
    );
    lab.cluster.set_online("down", true);
    assert_eq!(
        lab.call("GET", "/api2/json/nodes/down/status").await.status,
        200
    );
}

/// An agent that takes its time.
struct Slow;

impl Hooks for Slow {
    fn file_write(
        &self,
        _: u32,
        _: &str,
        _: Vec<u8>,
    ) -> HookFuture<'_, Option<std::io::Result<()>>> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            Some(Ok(()))
        })
    }
}

#[tokio::test]
async fn the_proxy_gives_up_with_596() {
    let lab = lab_with(Box::new(Slow)).await;
    let write = lab
        .request("POST", "/api2/json/nodes/pve1/qemu/200/agent/file-write")
        .form(&[("file", "/x"), ("content", "y")]);
    let answer = lab.send(write).await.expect("an answer");
    assert_eq!(
        (answer.status, answer.reason.as_str(), answer.text.as_str()),
        (596, "Connection timed out", "")
    );
}

/// A form with a file in its last part.
fn multipart(content: &str, name: &str, sum: &str, file: &str) -> String {
    let field = |name: &str, value: &str| {
        format!("--bound\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    format!(
        "{}{}{}--bound\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"{name}\"\r\nContent-Type: \
        application/octet-stream\r\n\r\n{file}\r\n--bound--\r\n",
        field("content", content),
        field("checksum-algorithm", "sha256"),
        field("checksum", sum),
    )
}

#[tokio::test]
async fn a_file_is_uploaded_and_compared() {
    let lab = lab().await;
    let path = "/api2/json/nodes/pve1/storage/local/upload";
    let sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let send = async |content: &str, name: &str, sum: &str| {
        let request = lab
            .request("POST", path)
            .header("Content-Type", "multipart/form-data; boundary=bound")
            .body(multipart(content, name, sum, "hello"));
        lab.send(request).await.expect("an answer")
    };
    let upid = send("iso", "a b.iso", sum).await.body()["data"].clone();
    let upid = upid.as_str().expect("it is a task");
    assert!(upid.contains(":imgcopy::"), "{upid}");
    assert_eq!(lab.end(upid).await, "OK");
    let log = lab
        .call("GET", &format!("/api2/json/nodes/pve1/tasks/{upid}/log"))
        .await
        .text;
    for line in [
        "calculating checksum...OK, checksum verified",
        "target file: /var/lib/vz/template/iso/a_b.iso",
        "file size is: 5",
        "finished file import successfully",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    let list = lab
        .call(
            "GET",
            "/api2/json/nodes/pve1/storage/local/content?content=iso",
        )
        .await
        .body();
    assert_eq!(
        (&list["data"][0]["volid"], &list["data"][0]["size"]),
        (&json!("local:iso/a_b.iso"), &json!(5))
    );
    let wrong = send("iso", "b.iso", "00").await.body()["data"].clone();
    assert_eq!(
        lab.end(wrong.as_str().expect("it is a task")).await,
        format!("checksum mismatch: got '{sum}' != expect '00'")
    );
    let refused = send("iso", "a.txt", sum).await;
    assert_eq!(
        refused.body()["errors"],
        json!({"filename": "wrong file extension"})
    );
    let refused = send("import", "a.qcow2", sum).await;
    assert_eq!(
        (refused.status, refused.reason.as_str()),
        (200, "OK"),
        "a fresh storage takes images"
    );
    let plain = lab
        .request("POST", path)
        .form(&[("content", "iso"), ("filename", "a.iso")]);
    let plain = lab.send(plain).await.expect("an answer");
    assert_eq!(plain.reason, "missing temporary file name");
}

fn once(path: &str) -> When {
    When {
        path: Some(path.into()),
        times: 1,
        ..When::default()
    }
}

#[tokio::test]
async fn a_cut_connection_has_done_its_work_or_not() {
    let lab = lab().await;
    let create = |name: &str| {
        lab.request("POST", "/api2/json/access/groups")
            .form(&[("groupid", name)])
    };
    lab.cluster
        .faults()
        .plan(once("/access/groups"), Fault::Reset { done: false });
    assert!(
        lab.send(create("one")).await.is_err(),
        "the connection was to be cut"
    );
    lab.cluster
        .faults()
        .plan(once("/access/groups"), Fault::Reset { done: true });
    assert!(
        lab.send(create("two")).await.is_err(),
        "the connection was to be cut"
    );
    let groups = lab.call("GET", "/api2/json/access/groups").await.body();
    let names: Vec<&str> = groups["data"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|group| group["groupid"].as_str())
        .collect();
    assert_eq!(names, ["two"]);
    lab.cluster.faults().plan(
        When {
            times: 1,
            ..When::default()
        },
        Fault::Refuse,
    );
    let fresh = Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .expect("a client");
    assert!(
        fresh
            .get(format!("{}/api2/json/version", lab.server.url()))
            .send()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn statuses_refusals_and_delays_are_injected() {
    let lab = lab().await;
    let faults = lab.cluster.faults();
    faults.plan(
        once("/version"),
        Fault::Status {
            status: 596,
            text: "Connection timed out".into(),
            done: true,
        },
    );
    assert_eq!(lab.call("GET", "/api2/json/version").await.status, 596);
    faults.plan(
        once("/version"),
        Fault::Status {
            status: 500,
            text: "got no worker".into(),
            done: false,
        },
    );
    assert_eq!(
        lab.call("GET", "/api2/json/version").await.reason,
        "got no worker"
    );
    faults.plan(once("/version"), Fault::Unauthorized);
    assert_eq!(lab.call("GET", "/api2/json/version").await.status, 401);
    faults.plan(once("/version"), Fault::Slow(Duration::from_millis(300)));
    let start = Instant::now();
    assert_eq!(lab.call("GET", "/api2/json/version").await.status, 200);
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(
        lab.call("GET", "/api2/json/version").await.status,
        200,
        "each struck once"
    );
}

#[tokio::test]
async fn tasks_die_locks_are_held_and_the_agent_is_silent() {
    let lab = lab().await;
    let faults = lab.cluster.faults();
    let stop = "/api2/json/nodes/pve1/qemu/200/status/suspend";
    let task = |answer: Answer| {
        answer.body()["data"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    faults.plan(once("qmsuspend"), Fault::Task(Death::Vanished));
    assert_eq!(
        lab.end(&task(lab.call("POST", stop).await)).await,
        "unexpected status"
    );
    faults.plan(
        once("qmresume"),
        Fault::Task(Death::Failed("no space left".into())),
    );
    assert_eq!(
        lab.end(&task(
            lab.call("POST", &stop.replace("suspend", "resume")).await
        ))
        .await,
        "no space left"
    );
    faults.plan(once("/100/"), Fault::Locked);
    let start = lab
        .call("POST", "/api2/json/nodes/pve1/lxc/100/status/start")
        .await;
    assert_eq!(
        lab.end(&task(start)).await,
        "can't lock file '/run/lock/lxc/pve-config-100.lock' - got timeout"
    );
    faults.plan(once("/200/"), Fault::AgentDown);
    assert_eq!(
        lab.call("POST", "/api2/json/nodes/pve1/qemu/200/agent/ping")
            .await
            .reason,
        "QEMU guest agent is not running"
    );
    assert_eq!(
        lab.call("POST", "/api2/json/nodes/pve1/qemu/200/agent/ping")
            .await
            .body(),
        json!({"data": {"result": {}}})
    );
}

#[tokio::test]
async fn a_node_that_restarts_takes_its_tasks_with_it() {
    let lab = lab().await;
    lab.cluster.set_task_duration(Duration::from_secs(20));
    let start = lab
        .call("POST", "/api2/json/nodes/pve1/lxc/100/status/start")
        .await;
    let upid = start.body()["data"].as_str().unwrap_or_default().to_owned();
    let running = lab
        .call("GET", &format!("/api2/json/nodes/pve1/tasks/{upid}/status"))
        .await
        .body();
    assert_eq!(
        (
            &running["data"]["status"],
            running["data"].get("exitstatus")
        ),
        (&json!("running"), None)
    );
    lab.cluster.node_restarted("pve1");
    assert_eq!(lab.end(&upid).await, "unexpected status");
    let log = lab
        .call("GET", &format!("/api2/json/nodes/pve1/tasks/{upid}/log"))
        .await
        .body();
    assert_eq!(log["data"], json!([{"n": 1, "t": "no content"}]));
}
