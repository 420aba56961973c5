//! The wire between a case and the API: a request, its answer, and the real lab behind a real TLS socket.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::{Client, Method};
use runbook_lab::fixture::Fixture;
use runbook_lab::identity::Identity;
use runbook_lab::pve::{Cluster, Options, Server};
use serde_json::Value;

/// How long one answer may take before a case is given up.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// The homelab every case starts with.
pub(crate) const STATE: &str = r#"{
  "nodes": [{"name": "pve1", "cpus": 2}, {"name": "down", "status": "offline"}],
  "storages": [{"id": "local", "type": "dir", "path": "/var/lib/vz", "content": "iso,vztmpl,backup,rootdir,images"},
               {"id": "thin", "type": "lvmthin", "content": "rootdir,images"},
               {"id": "tank", "type": "zfspool", "content": "rootdir,images"}],
  "templates": ["local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst", "local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst"],
  "users": [{"userid": "root@pam", "password": "rootpw"}, {"userid": "bob@pve", "password": "bobpw"}],
  "tokens": [{"id": "root@pam!lab", "privsep": 0, "value": "1111"},
             {"id": "root@pam!old", "privsep": 0, "value": "2222", "expire": 1000000000},
             {"id": "root@pam!sep", "value": "3333"},
             {"id": "bob@pve!full", "privsep": 0, "value": "4444"}],
  "guests": [
    {"vmid": 100, "type": "lxc", "config": {"hostname": "ct", "memory": 512, "cores": 1, "ostype": "debian", "arch": "amd64", "unprivileged": 1,
      "rootfs": "thin:vm-100-disk-0,size=4G", "net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:01:00,ip=192.0.2.100/24,type=veth"}},
    {"vmid": 101, "type": "lxc", "status": "running", "config": {"hostname": "up", "memory": 512, "ostype": "debian", "arch": "amd64",
      "unprivileged": 1, "rootfs": "thin:vm-101-disk-0,size=4G",
      "net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:01:01,ip=192.0.2.101/24,type=veth"}},
    {"vmid": 102, "type": "lxc", "config": {"hostname": "flat", "memory": 512, "rootfs": "local:102/vm-102-disk-0.raw,size=4G"}},
    {"vmid": 160, "type": "lxc", "config": {"hostname": "busy", "memory": 512, "lock": "backup", "rootfs": "thin:vm-160-disk-0,size=4G"}},
    {"vmid": 200, "type": "qemu", "status": "running", "config": {"name": "vm", "memory": "1024", "cores": 2, "agent": "1",
      "scsi0": "thin:vm-200-disk-0,size=8G", "net0": "virtio=BC:24:11:00:02:00,bridge=vmbr0", "boot": "order=scsi0"}},
    {"vmid": 201, "type": "qemu", "config": {"name": "off", "memory": "512", "agent": "1", "ciuser": "root", "cipassword": "geheim",
      "scsi0": "tank:vm-201-disk-0,size=8G", "net0": "virtio=BC:24:11:00:02:01,bridge=vmbr0", "boot": "order=scsi0"}},
    {"vmid": 202, "type": "qemu", "status": "running", "config": {"name": "mute", "memory": "512", "acpi": 0}}]
}"#;

/// With what a request is sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Auth {
    Nothing,
    /// `USER@REALM!TOKEN=SECRET`.
    Token(String),
    Ticket {
        ticket: String,
        csrf: Option<String>,
    },
}

/// One request; `path` is what follows `/api2/json`.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) verb: &'static str,
    pub(crate) path: String,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) auth: Auth,
}

/// An answer as a client sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    /// The content type, if there is one.
    pub(crate) kind: Option<String>,
    /// The JSON body; null where there is none.
    pub(crate) body: Value,
}

pub(crate) type Sent<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// What a case speaks to: the real lab, or one with something left out.
pub(crate) trait Api: Send + Sync {
    fn send(&self, request: Request) -> Sent<'_>;
    /// Time passes for tickets and tokens.
    fn pass(&self, time: Duration);
    /// Tasks take at least that long from now on.
    fn slow_tasks(&self, time: Duration);
}

/// The lab, asked over its TLS socket.
pub(crate) struct Real {
    cluster: Arc<Cluster>,
    server: Server,
    client: Client,
}

impl Request {
    pub(crate) fn new(verb: &'static str, path: &str, params: &[(&str, &str)]) -> Self {
        Self {
            verb,
            path: path.to_owned(),
            params: params
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            auth: Auth::root(),
        }
    }

    pub(crate) fn with(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }
}

impl Auth {
    /// A token with all of root's rights, which is not root.
    pub(crate) fn root() -> Self {
        Self::Token("root@pam!lab=1111".into())
    }

    /// A user who may nothing at first.
    pub(crate) fn bob() -> Self {
        Self::Token("bob@pve!full=4444".into())
    }
}

/// One certificate for all labs: making one is the slowest part of starting one.
fn identity() -> Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    let made = IDENTITY.get_or_init(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Options::local().expect("a certificate is made").identity
    });
    made.clone()
}

impl Real {
    /// A fresh lab.
    pub(crate) async fn start() -> Self {
        let identity = identity();
        let cluster = Cluster::new(&Fixture::parse(STATE).expect("the state is good"));
        let options = Options {
            bind: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            identity,
            unauthorized_delay: Duration::ZERO,
            proxy_wait: ANSWER_WAIT,
        };
        let server = Server::start(cluster.clone(), options)
            .await
            .expect("a port is free");
        let ca = reqwest::Certificate::from_pem(server.ca_pem.as_bytes())
            .expect("the authority is a certificate");
        let client = Client::builder()
            .tls_certs_only([ca])
            .no_proxy()
            .timeout(ANSWER_WAIT)
            .build()
            .expect("a client is made");
        Self {
            cluster,
            server,
            client,
        }
    }
}

impl Api for Real {
    fn send(&self, request: Request) -> Sent<'_> {
        Box::pin(async move {
            let method = Method::from_bytes(request.verb.as_bytes()).expect("it is a method");
            let url = format!("{}/api2/json{}", self.server.url(), request.path);
            let mut http = self.client.request(method, url);
            http = match &request.auth {
                Auth::Nothing => http,
                Auth::Token(token) => http.header("Authorization", format!("PVEAPIToken={token}")),
                Auth::Ticket { ticket, csrf } => {
                    let ticket = ticket
                        .replace('%', "%25")
                        .replace('+', "%2B")
                        .replace('=', "%3D");
                    let http = http.header("Cookie", format!("PVEAuthCookie={ticket}"));
                    match csrf {
                        Some(csrf) => http.header("CSRFPreventionToken", csrf),
                        None => http,
                    }
                }
            };
            http = match request.verb {
                "POST" | "PUT" => http.form(&request.params),
                _ => http.query(&request.params),
            };
            let response = http.send().await.expect("the lab answers");
            let reason = response
                .extensions()
                .get::<hyper::ext::ReasonPhrase>()
                .map(|phrase| String::from_utf8_lossy(phrase.as_bytes()).into_owned());
            let kind = response
                .headers()
                .get("content-type")
                .map(|kind| String::from_utf8_lossy(kind.as_bytes()).into_owned());
            let status = response.status().as_u16();
            let text = response.text().await.expect("the answer is whole");
            Answer {
                status,
                // hyper keeps a phrase only where it is not the usual one.
                reason: reason.unwrap_or_else(|| "OK".into()),
                kind,
                body: serde_json::from_str(&text).unwrap_or_default(),
            }
        })
    }

    fn pass(&self, time: Duration) {
        self.cluster.advance(time);
    }

    fn slow_tasks(&self, time: Duration) {
        self.cluster.set_task_duration(time);
    }
}
