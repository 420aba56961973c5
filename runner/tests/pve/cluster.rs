//! A cluster of a test that outlives its runs, and books that know it as their profile `home`.

use std::sync::Arc;
use std::time::Duration;

use runbook::outcome::Mode;
use runbook_lab::fixture::Fixture;
use runbook_lab::pve::{Caller, Cluster, Options, Params, Server};
use serde_json::{Value, json};

use crate::book_test::{BookTest, step};

const TOKEN: &str = "11111111-2222-3333-4444-555555555555";
const PASSWORD: &str = "lab-password";

/// A cluster with one node, `pve1`, storages, a template, and the guests `db` (200, foreign) and `web` (130, absent).
pub(crate) struct Home {
    pub(crate) cluster: Arc<Cluster>,
    url: String,
    fingerprint: String,
    _server: Server,
    _runtime: tokio::runtime::Runtime,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::with(json!([guest(200, "lxc", "db")]))
    }

    pub(crate) fn with(guests: Value) -> Self {
        Self::with_access(guests, json!([]), json!([]), json!([]))
    }

    /// The same with more users, tokens and grants than the administrator's.
    pub(crate) fn with_access(guests: Value, users: Value, tokens: Value, acl: Value) -> Self {
        let more = |own: Value, more: Value| -> Value {
            let lists = [own, more];
            lists
                .iter()
                .flat_map(|list| list.as_array().cloned().unwrap_or_default())
                .collect()
        };
        let fixture: Fixture = serde_json::from_value(json!({
            "nodes": [{"name": "pve1", "standalone": true}],
            "storages": [
                {"id": "local", "type": "dir", "content": "iso,vztmpl,backup,import,snippets"},
                {"id": "local-lvm", "type": "lvmthin", "content": "rootdir,images"},
                {"id": "plain", "type": "dir", "content": "rootdir,images"},
            ],
            "templates": [
                "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst",
                "local:import/debian-13-genericcloud-amd64.qcow2",
            ],
            "users": more(json!([{"userid": "root@pam", "enable": 1, "password": PASSWORD}]), users),
            "tokens": more(json!([{"id": "root@pam!lab", "privsep": 0, "value": TOKEN}]), tokens),
            "acl": acl,
            "bridges": [{"iface": "vmbr0", "bridge_ports": "none"}],
            "guests": guests,
        }))
        .unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let cluster = Cluster::new(&fixture);
        cluster.set_task_duration(Duration::from_millis(20));
        let mut options = Options::local().unwrap();
        options.unauthorized_delay = Duration::from_millis(10);
        let server = runtime
            .block_on(Server::start(Arc::clone(&cluster), options))
            .unwrap();
        Self {
            url: server.url(),
            fingerprint: server.fingerprint.clone(),
            cluster,
            _server: server,
            _runtime: runtime,
        }
    }

    /// A book with these steps, converged on this cluster.
    pub(crate) fn book(&self, steps: &str) -> BookTest {
        self.book_as(steps, &format!("root@pam!lab={TOKEN}"), &self.fingerprint)
    }

    /// The same, only observed.
    pub(crate) fn observed(&self, steps: &str) -> BookTest {
        self.book(steps).mode(Mode::Observe)
    }

    pub(crate) fn book_as(&self, steps: &str, token: &str, fingerprint: &str) -> BookTest {
        self.book_of(steps, "token: pve", token, fingerprint)
    }

    /// The same with a login: beside the token, or alone.
    pub(crate) fn book_with_login(&self, steps: &str, beside_token: bool) -> BookTest {
        let login = "login: {user: root@pam, password: word}";
        let keys = match beside_token {
            true => format!("token: pve, {login}"),
            false => login.to_owned(),
        };
        self.book_of(
            steps,
            &keys,
            &format!("root@pam!lab={TOKEN}"),
            &self.fingerprint,
        )
    }

    fn book_of(&self, steps: &str, keys: &str, token: &str, fingerprint: &str) -> BookTest {
        let inventory = format!(
            "profiles:\n  home:\n    proxmox: {{url: '{}', {keys}, fingerprint: '{fingerprint}'}}\n    \
             scratch: {{vmids: 9000-9009}}\nsecrets: {{pve: {{file: token}}, word: {{file: word}}}}\n\
             nodes: {{pve1: {{}}, PVE2: {{}}, PVE1: {{}}}}\nguests:\n  web: {{kind: lxc, vmid: 130, node: pve1}}\n  \
             misplaced: {{kind: lxc, vmid: 131, node: PVE2}}\n  miscased: {{kind: lxc, vmid: 132, node: PVE1}}\n  box: {{kind: vm, vmid: 140, node: pve1}}\n",
            self.url
        );
        BookTest::new(steps)
            .home()
            .inventory(&inventory)
            .file("token", &format!("{token}\n"))
            .file("word", &format!("{PASSWORD}\n"))
            .file("book.toml", "[book]\ntitle = \"Tests\"\n")
    }

    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Asks the cluster itself.
    pub(crate) fn get(&self, path: &str) -> Value {
        let root = Caller::root();
        let call = self.cluster.call("GET", path, Params::default(), &root);
        let answer = self._runtime.block_on(call);
        answer.data
    }

    pub(crate) fn config(&self, vmid: u32) -> Value {
        self.get(&format!("/nodes/pve1/lxc/{vmid}/config"))
    }
}

pub(crate) fn guest(vmid: u32, kind: &str, name: &str) -> Value {
    let mut config = json!({
        "cores": 1, "memory": 512, "swap": 512, "net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth",
        "hostname": name, "arch": "amd64", "ostype": "debian", "unprivileged": 1,
        "rootfs": format!("local-lvm:vm-{vmid}-disk-0,size=8G"),
    });
    if kind == "qemu" {
        config = json!({
            "cores": 1, "memory": "512", "name": name, "scsi0": format!("local-lvm:vm-{vmid}-disk-0,size=8G"),
            "net0": "virtio=BC:24:11:00:00:02,bridge=vmbr0", "boot": "order=scsi0",
        });
    }
    json!({"vmid": vmid, "type": kind, "node": "pve1", "status": "running", "config": config})
}

/// A step that makes `web`, with more fields.
pub(crate) fn web(id: &str, more: &str) -> String {
    step(&format!(
        "id: {id}\non: lxc/web\nlxc:\n  template: debian-12-standard\n  disk: 'local-lvm:8GiB'\n  \
         net: {{bridge: vmbr0, ip: dhcp}}\n{more}"
    ))
}
