//! `doctor` on a real profile: the rights that its token lacks, named as a run that is refused names them.

use std::time::Duration;

use runbook_lab::fixture::Fixture;
use runbook_lab::pve::{Cluster, Options, Server};
use serde_json::{Value, json};

use crate::book::TestBook;

const TOKEN: &str = "11111111-2222-3333-4444-555555555555";
const CHAPTER: &str = "# Guide\n\n## S\n\n\
```runbook\nid: cores\non: lxc/web\nlxc: {cores: 3}\n```\n\n\
```runbook\nid: status\nneeds: []\non: node/pve1\nproxmox: {path: /nodes/pve1/status}\n```\n";

/// A Proxmox VE whose token may do what is granted.
struct Home {
    server: Server,
    runtime: tokio::runtime::Runtime,
}

impl Home {
    fn new(roles: &[&str]) -> Self {
        let acl: Vec<Value> = roles
            .iter()
            .map(|role| json!({"path": "/", "roleid": role, "type": "user", "ugid": "book@pve", "propagate": 1}))
            .collect();
        let fixture: Fixture = serde_json::from_value(json!({
            "nodes": [{"name": "pve1", "standalone": true}],
            "storages": [{"id": "local-lvm", "type": "lvmthin", "content": "rootdir,images"}],
            "users": [{"userid": "book@pve", "enable": 1}],
            "tokens": [{"id": "book@pve!weak", "privsep": 0, "value": TOKEN}],
            "acl": acl,
            "guests": [{"vmid": 130, "type": "lxc", "node": "pve1", "status": "running", "config": {
                "cores": 1, "memory": 512, "hostname": "web", "arch": "amd64", "ostype": "debian",
                "rootfs": "local-lvm:vm-130-disk-0,size=8G",
            }}],
        }))
        .unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut options = Options::local().unwrap();
        options.unauthorized_delay = Duration::from_millis(10);
        let server = runtime
            .block_on(Server::start(Cluster::new(&fixture), options))
            .unwrap();
        Self { server, runtime }
    }

    fn book(&self) -> TestBook {
        let book = TestBook::new(CHAPTER);
        let inventory = format!(
            "profiles:\n  home: {{proxmox: {{url: '{}', token: pve, fingerprint: '{}'}}}}\n\
             secrets: {{pve: {{file: token}}}}\nnodes: {{pve1: {{}}}}\nguests: {{web: {{kind: lxc, vmid: 130, node: pve1}}}}\n",
            self.server.url(),
            self.server.fingerprint
        );
        book.write("inventory.yaml", inventory);
        book.write("token", format!("book@pve!weak={TOKEN}\n"));
        book
    }
}

fn looked(book: &TestBook) -> Value {
    let said = book.run(&["doctor", "--profile", "home", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let report: Value = serde_json::from_str(&said.out).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let rights = checks.iter().find(|look| look["name"] == "rights");
    rights.unwrap_or_else(|| panic!("{report}")).clone()
}

#[test]
fn doctor_names_missing_rights_as_a_refused_run_does() {
    let home = Home::new(&[]);
    let book = home.book();
    let look = looked(&book);
    let lines = "\n  Sys.Audit on /nodes/pve1, for guide#s/status\n  VM.Audit on /vms/130, for guide#s/cores\n  \
                 VM.Config.CPU on /vms/130, for guide#s/cores";
    assert_eq!(look["present"], false);
    assert_eq!(
        look["found"],
        format!("profile `home` lacks rights that a run needs:{lines}")
    );
    let hint = "as root on a node: pveum acl modify /nodes/pve1 --tokens 'book@pve!weak' --roles PVESysAdmin";
    assert!(look["hint"].as_str().unwrap().starts_with(hint), "{look}");
    let run = book.run(&["run", "guide", "--profile", "home"]);
    assert_eq!(run.code, 4, "{}", run.err);
    assert!(
        run.err
            .contains(&format!("lacks rights that this run needs:{lines}")),
        "{}",
        run.err
    );
    let text = book.run(&["doctor", "--profile", "home"]).out;
    assert!(text.contains("✕ rights"), "{text}");
    assert!(
        text.contains("VM.Config.CPU on /vms/130, for guide#s/cores"),
        "{text}"
    );
    assert!(!text.contains(TOKEN), "{text}");
}

#[test]
fn doctor_says_when_nothing_is_missing_and_when_nobody_answers() {
    let home = Home::new(&["PVEAuditor", "PVEVMAdmin"]);
    let book = home.book();
    let look = looked(&book);
    assert_eq!(look["present"], true, "{look}");
    assert_eq!(
        look["found"],
        "profile `home`: `book@pve!weak` has the 3 rights that the book's steps are known to need"
    );
    let Home { server, runtime } = home;
    drop(server);
    drop(runtime);
    let look = looked(&book);
    assert_eq!(look["present"], false);
    let found = look["found"].as_str().unwrap();
    assert!(found.starts_with("profile `home`: "), "{found}");
    // In the lab nothing is asked of anybody.
    let said = book.run(&["doctor", "--json"]);
    assert!(!said.out.contains("\"rights\""), "{}", said.out);
}
