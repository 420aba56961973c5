//! `runbook lab`: the line that machines read, what answers, and that nothing is left when it ends.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use runbook_lab::isolate;
use serde_json::Value;

use crate::book::{TestBook, clean};

/// How long the lab may take to be ready, and to end.
const DEADLINE: Duration = Duration::from_secs(60);

const INVENTORY: &str = "\
nodes:
  pve1: {address: 192.168.4.11}
  pve2: {address: 192.168.4.12}
guests:
  web: {kind: lxc, vmid: 101, node: pve1, address: 192.168.4.53}
hosts:
  nas: {address: 192.168.4.20, user: admin}
";
/// The same with clusters.
const CLUSTERS: &str =
    "clusters: {home: {}, other: {facts: {lab: {load-balancers: 192.168.9.1-192.168.9.2}}}}\n";
const STATE: &str = r#"{
    "nodes": [{"name": "pve9", "ip": "192.168.7.1"}],
    "users": [{"userid": "root@pam", "enable": 1, "password": "geheim-genug"}],
    "tokens": [{"id": "root@pam!t", "privsep": 0, "value": "11111111-2222-3333-4444-555555555555"}],
    "bridges": [{"iface": "vmbr0", "cidr": "192.168.7.1/24", "bridge_ports": "none"}],
    "guests": [{"vmid": 101, "type": "lxc", "status": "running",
        "config": {"hostname": "web", "net0": "name=eth0,bridge=vmbr0,ip=192.168.7.10/24,type=veth"}}]
}"#;

struct Lab {
    child: Child,
    line: Value,
    /// Where it keeps what it writes.
    tmp: tempfile::TempDir,
}

impl Lab {
    fn start(mut command: Command) -> Self {
        let tmp = tempfile::tempdir().expect("a folder");
        clean(&mut command);
        command
            .env("TMPDIR", tmp.path())
            .env_remove("SSH_AUTH_SOCK");
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let line = serde_json::from_str(&line).expect("the line is JSON");
        Self { child, line, tmp }
    }

    fn of_book(book: &TestBook) -> Self {
        Self::start(book.command(&["lab", "--json"]))
    }

    fn of_state(file: &std::path::Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
        command.args(["lab", "--json", "--state"]).arg(file);
        Self::start(command)
    }

    /// What a command on a machine prints.
    fn ssh(&self, host: &str, command: &str) -> String {
        let config = self.line["ssh"]["config"].as_str().expect("a file");
        let output = Command::new("ssh")
            .args(["-F", config, "-o", "BatchMode=yes", host, command])
            .stdin(Stdio::null())
            .output()
            .expect("ssh starts");
        assert!(output.status.success(), "{host}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Processes that descend from it.
    fn descendants(&self) -> BTreeSet<u32> {
        let mut found = BTreeSet::from([self.child.id()]);
        loop {
            let before = found.len();
            for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
                let Some(pid) = entry
                    .file_name()
                    .to_str()
                    .and_then(|name| name.parse().ok())
                else {
                    continue;
                };
                let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
                let parent = stat
                    .rsplit_once(')')
                    .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
                if parent.is_some_and(|parent: u32| found.contains(&parent)) {
                    found.insert(pid);
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }

    /// Ends it by a signal: nothing of it is left.
    fn end(mut self, signal: &str) {
        let all = self.descendants();
        let networks: BTreeSet<_> = all.iter().filter_map(|pid| network(*pid)).collect();
        let own = network(std::process::id());
        assert!(
            networks.iter().any(|network| Some(network) != own.as_ref()),
            "the lab has a network of its own"
        );
        let sent = Command::new("kill")
            .args(["-s", signal, &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill").success());
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                break status;
            }
            assert!(started.elapsed() < DEADLINE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(status.code(), Some(0), "{signal}");
        let alive = |pid: &&u32| std::path::Path::new(&format!("/proc/{pid}")).exists();
        while let Some(pid) = all.iter().find(alive) {
            assert!(started.elapsed() < DEADLINE, "{pid} is left of {all:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let left: Vec<_> = std::fs::read_dir(self.tmp.path())
            .expect("a folder")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Only when a test failed is there something to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The network that a process lives in.
fn network(pid: u32) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}

fn isolated() -> bool {
    let found = isolate::available_with(env!("CARGO_BIN_EXE_runbook").as_ref());
    if let Err(why) = &found {
        eprintln!("skipped: {why}");
    }
    found.is_ok()
}

#[test]
fn a_lab_of_a_book_says_one_line_serves_its_machines_and_leaves_nothing() {
    if !isolated() {
        return;
    }
    let book = TestBook::new("# Guide\n");
    book.write("inventory.yaml", INVENTORY);
    let lab = Lab::of_book(&book);
    let keys = |value: &Value| -> Vec<String> {
        value.as_object().expect("a map").keys().cloned().collect()
    };
    assert_eq!(keys(&lab.line), ["version", "proxmox", "kubernetes", "ssh"]);
    let proxmox = &lab.line["proxmox"];
    assert_eq!(keys(proxmox), ["url", "node", "token", "fingerprint", "ca"]);
    assert_eq!(lab.line["version"], 1);
    assert_eq!(lab.line["kubernetes"], Value::Null);
    assert_eq!(proxmox["node"], "pve1");
    assert_eq!(keys(&lab.line["ssh"]), ["config"]);
    for (host, command, says) in [
        ("pve1", "hostname", "pve1\n"),
        ("192.168.4.12", "hostname", "pve2\n"),
        ("web", "hostname -I", "192.168.4.53 \n"),
        ("pve1.home.arpa", "pct status 101", "status: running\n"),
        ("nas", "id -un", "admin\n"),
    ] {
        assert_eq!(lab.ssh(host, command), says, "{host}");
    }
    let url = format!(
        "{}/api2/json/version",
        proxmox["url"].as_str().expect("a URL")
    );
    let token = format!(
        "Authorization: PVEAPIToken={}",
        proxmox["token"].as_str().expect("a token")
    );
    let asked = Command::new("curl")
        .args(["-sf", "--noproxy", "*", "--cacert"])
        .arg(proxmox["ca"].as_str().expect("a file"))
        .args(["-H", &token, &url])
        .output();
    let asked = asked.expect("curl starts");
    let answer: Value = serde_json::from_slice(&asked.stdout).expect("JSON");
    assert!(
        answer["data"]["version"]
            .as_str()
            .expect("a version")
            .starts_with("9."),
        "{answer}"
    );
    lab.end("TERM");
}

#[test]
fn a_lab_of_a_book_serves_its_clusters_by_one_kubeconfig() {
    if !isolated() {
        return;
    }
    if Command::new("kubectl").arg("--help").output().is_err() {
        eprintln!("skipped: there is no kubectl");
        return;
    }
    let book = TestBook::new("# Guide\n");
    book.write("inventory.yaml", format!("{INVENTORY}{CLUSTERS}"));
    let lab = Lab::of_book(&book);
    let kubeconfig = lab.line["kubernetes"]["kubeconfig"]
        .as_str()
        .expect("a file");
    let kubectl = |arguments: &[&str]| {
        let output = Command::new("kubectl")
            .args(["--kubeconfig", kubeconfig])
            .args(arguments)
            .env_remove("KUBECONFIG")
            .output()
            .expect("kubectl starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (
            output.status.success(),
            text(output.stdout) + &text(output.stderr),
        )
    };
    for (context, node) in [("home", "node/pve1"), ("other", "node/pve2")] {
        let (done, said) = kubectl(&["--context", context, "get", "nodes", "-o", "name"]);
        assert!(done && said.contains(node), "{context}: {said}");
    }
    let (done, said) = kubectl(&["get", "nodes"]);
    assert!(!done && said.contains("say-which-with---context"), "{said}");
    as_a_real_profile(kubeconfig);
    lab.end("TERM");
}

/// A profile that names a kubeconfig: what `doctor` says of its clusters, and steps there.
fn as_a_real_profile(kubeconfig: &str) {
    let step = |keys: &str| format!("```runbook\n{keys}\n```\n\n");
    let chapter = [
        "---\non: cluster/home\n---\n# Guide\n\n## S\n\n".to_owned(),
        step("id: nodes\nget: {kind: Node}\nexpect: {count: 2}"),
        step("id: pod\non: pod/default/none\neffect: read\nneeds: []\nsh: 'true'"),
        step(
            "id: kubectl\non: local\neffect: read\nneeds: []\nbash: kubectl --context home get nodes -o name\nexpect: {stdout: {contains: node/pve1}}",
        ),
        step("id: gone\non: cluster/gone\nneeds: []\nget: {kind: Node}"),
    ];
    let book = TestBook::new(&chapter.concat());
    let profile = format!(
        "clusters: {{home: {{}}, gone: {{}}}}\nprofiles:\n  house:\n    clusters:\n      home: {{kubeconfig: '{kubeconfig}', context: home}}\n      gone: {{kubeconfig: none}}\n"
    );
    book.write("inventory.yaml", profile);
    let (_, events) = book.events(&["verify", "--profile", "house", "--json"]);
    let ended = crate::helper::ended(&events);
    for (id, state, why) in [
        ("nodes", "passed", ""),
        ("pod", "failed", "pods \"none\" not found"),
        ("kubectl", "passed", ""),
        ("gone", "failed", "inventory.yaml:6: kubeconfig"),
    ] {
        let told = crate::helper::told(&ended[id]);
        assert_eq!(ended[id]["state"], state, "{id}: {told}");
        assert!(told.contains(why), "{id}: {told}");
    }
    let said = book.run(&["doctor", "--profile", "house", "--json"]);
    let report: Value = serde_json::from_str(&said.out).expect("JSON");
    let look = |name: &str| {
        let checks = report["checks"].as_array().expect("looks");
        let found = checks.iter().find(|look| look["name"] == name);
        found
            .unwrap_or_else(|| panic!("{name}: {report:#}"))
            .clone()
    };
    let home = look("cluster/home");
    assert_eq!(home["present"], true, "{home}");
    let found = home["found"].as_str().expect("a text");
    assert!(
        found.starts_with("v1.") && found.ends_with("who may do everything"),
        "{found}"
    );
    let gone = look("cluster/gone");
    assert_eq!(gone["present"], false, "{gone}");
    assert!(
        gone["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("kubeconfig: FILE")),
        "{gone}"
    );
    look("kubectl");
}

#[test]
fn a_lab_of_a_state_serves_its_nodes_and_guests_by_ssh_too() {
    if !isolated() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("state.json");
    // As a file of recorded exchanges: its first line counts, however many follow.
    let state: serde_json::Value = serde_json::from_str(STATE).expect("a state");
    let exchange = format!("{{\"scenario\": \"{}\"}}\n", "x".repeat(1000));
    let text = format!("{state}\n{}", exchange.repeat(5000));
    std::fs::write(&file, text).expect("a file");
    let lab = Lab::of_state(&file);
    assert_eq!(lab.line["proxmox"]["node"], "pve9");
    assert_eq!(lab.ssh("pve9", "hostname"), "pve9\n");
    assert_eq!(lab.ssh("192.168.7.10", "hostname"), "web\n");
    assert_eq!(lab.ssh("pve9", "pct status 101"), "status: running\n");
    assert_eq!(
        lab.ssh("pve9", "echo | curl -sk https://192.168.7.1:8006/api2/json/version -o /dev/null -w '%{http_code}'"),
        "401"
    );
    lab.end("INT");
}
