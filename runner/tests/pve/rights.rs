//! Rights that are missing: told before anything is begun, with the steps and what grants them.

use runbook::outcome::Mode;
use runbook_runner::execute::{self, Cancel, RunError};
use serde_json::json;

use crate::book_test::{BookTest, step};
use crate::cluster::{Home, guest, web};

const LIMITED: &str = "22222222-2222-3333-4444-555555555555";

/// A cluster with a token that may do only what is granted.
fn home(grants: &[(&str, &str)]) -> (Home, String) {
    let home = Home::with_access(
        json!([guest(130, "lxc", "web"), guest(200, "lxc", "db")]),
        json!([{"userid": "book@pve", "enable": 1, "password": "book-password"}]),
        json!([{"id": "book@pve!limited", "privsep": 0, "value": LIMITED}]),
        json!(
            grants
                .iter()
                .map(|(path, role)| json!({"path": path, "roleid": role, "type": "user", "ugid": "book@pve", "propagate": 1}))
                .collect::<Vec<_>>()
        ),
    );
    (home, format!("book@pve!limited={LIMITED}"))
}

fn told(error: &RunError) -> (String, String) {
    assert_eq!(error.exit_code(), 4, "{error}");
    (error.to_string(), error.hint().unwrap_or_default())
}

/// The rights that a run would need, by the plan.
fn lacks(book: &BookTest) -> Vec<String> {
    let plan = execute::plan(book.load(), book.request(), Cancel::new());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(plan).unwrap().lacks
}

#[test]
fn a_token_without_rights_begins_nothing() {
    let (home, token) = home(&[]);
    let steps = step("id: look\non: lxc/web\nlxc: {}\nexpect: {state: absent}")
        + &step("id: gone\nneeds: []\non: lxc/web\nsnapshot: {name: before}");
    let book = home.book_as(&steps, &token, home.fingerprint());
    // A guest that may not be seen is not absent.
    let (message, hint) = told(&book.refused());
    assert_eq!(
        message,
        "profile `home` lacks rights that this run needs:\n  VM.Audit on /vms/130, for a#s/gone, a#s/look\n  VM.Snapshot on /vms/130, for a#s/gone"
    );
    assert!(
        hint.contains("pveum acl modify /vms/130 --tokens 'book@pve!limited' --roles PVEVMAdmin"),
        "{hint}"
    );
    let list = home.get("/nodes/pve1/lxc/130/snapshot");
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
}

#[test]
fn who_may_look_may_observe_and_is_told_what_a_run_would_need() {
    let (home, token) = home(&[("/", "PVEAuditor")]);
    let steps = step("id: change\non: lxc/web\nlxc: {cores: 3, state: stopped}")
        + &step(
            "id: image\nneeds: []\non: node/pve1\nimage: {storage: local, name: debian-12-standard}",
        );
    let book = home.book_as(&steps, &token, home.fingerprint());
    let (message, _) = told(&book.refused());
    for right in [
        "Datastore.AllocateTemplate on /storage/local, for a#s/image",
        "VM.Config.CPU on /vms/130, for a#s/change",
        "VM.PowerMgmt on /vms/130, for a#s/change",
    ] {
        assert!(message.contains(right), "{message}");
    }
    assert_eq!(home.config(130)["cores"], 1);
    let observed = home
        .book_as(&steps, &token, home.fingerprint())
        .mode(Mode::Observe);
    let ran = observed.run();
    assert_eq!(
        ran.states(),
        ["change drifted", "image passed"],
        "{}",
        ran.why("change")
    );
    let lacks = lacks(&observed);
    assert!(
        lacks
            .iter()
            .any(|line| line.starts_with("VM.Config.CPU on /vms/130")),
        "{lacks:?}"
    );
    assert!(lacks.last().unwrap().starts_with("hint: "), "{lacks:?}");
}

#[test]
fn who_has_the_rights_makes_a_guest_and_needs_no_more() {
    let grants = [
        ("/vms/133", "PVEVMAdmin"),
        ("/storage/local", "PVEDatastoreUser"),
        ("/storage/local-lvm", "PVEDatastoreUser"),
        ("/sdn/zones/localnetwork/vmbr0", "PVESDNUser"),
    ];
    let make = web(
        "new",
        "  cores: 2\n  state: running\nexpect: {state: running}",
    )
    .replace("lxc/web", "node/pve1");
    let make = make.replace("lxc:\n", "lxc:\n  vmid: 133\n  hostname: new\n");
    let (home, token) = home(&grants);
    let ran = home.book_as(&make, &token, home.fingerprint()).run();
    assert_eq!(ran.states(), ["new passed"], "{}", ran.why("new"));
    for (missing, right) in [
        (
            "/sdn/zones/localnetwork/vmbr0",
            "SDN.Use on /sdn/zones/localnetwork/vmbr0",
        ),
        (
            "/storage/local-lvm",
            "Datastore.AllocateSpace on /storage/local-lvm",
        ),
        ("/vms/133", "VM.Audit on /vms/133"),
    ] {
        let fewer: Vec<(&str, &str)> = grants
            .into_iter()
            .filter(|(path, _)| *path != missing)
            .collect();
        let (home, token) = self::home(&fewer);
        let (message, _) = told(&home.book_as(&make, &token, home.fingerprint()).refused());
        assert!(message.contains(right), "{missing}: {message}");
        assert_eq!(home.get("/nodes/pve1/lxc").as_array().unwrap().len(), 2);
    }
}

#[test]
fn a_call_that_is_written_out_is_no_exception() {
    let (home, token) = home(&[("/", "PVEAuditor")]);
    let steps = step("id: look\non: node/pve1\nproxmox: {path: /nodes/pve1/lxc/130/config}")
        + &step(
            "id: stop\nneeds: []\non: node/pve1\nproxmox: {path: /nodes/pve1/lxc/130/status/stop, method: POST}",
        )
        + &step(
            "id: cores\nneeds: []\non: node/pve1\nproxmox: {path: /nodes/pve1/lxc/130/config, method: PUT, params: {cores: 2}}",
        )
        + &step(
            "id: copy\nneeds: []\non: node/pve1\nproxmox: {path: /nodes/pve1/vzdump, method: POST, params: {vmid: 130, storage: local}}",
        );
    let (message, _) = told(&home.book_as(&steps, &token, home.fingerprint()).refused());
    assert_eq!(
        message,
        "profile `home` lacks rights that this run needs:\n  Datastore.AllocateSpace on /storage/local, for a#s/copy\n  \
         VM.Backup on /vms/130, for a#s/copy\n  VM.Config.CPU on /vms/130, for a#s/cores\n  \
         VM.PowerMgmt on /vms/130, for a#s/stop"
    );
    assert_eq!(
        home.get("/nodes/pve1/lxc/130/status/current")["status"],
        "running"
    );
    // What only looks may be looked at, and says what changing would need.
    let observed = home
        .book_as(&steps, &token, home.fingerprint())
        .mode(Mode::Observe);
    assert_eq!(observed.run().states()[0], "look passed");
    let lacks = lacks(&observed);
    assert!(
        lacks.contains(&"VM.PowerMgmt on /vms/130, for a#s/stop".to_owned()),
        "{lacks:?}"
    );
}

#[test]
fn a_call_that_looks_needs_its_right_too() {
    let (home, token) = home(&[("/storage", "PVEDatastoreUser")]);
    let steps = step("id: look\non: node/pve1\nproxmox: {path: /nodes/pve1/status}");
    let observed = home
        .book_as(&steps, &token, home.fingerprint())
        .mode(Mode::Observe);
    let (message, hint) = told(&observed.refused());
    assert!(
        message.ends_with("\n  Sys.Audit on /nodes/pve1, for a#s/look"),
        "{message}"
    );
    assert!(hint.contains("--roles PVESysAdmin"), "{hint}");
}

#[test]
fn an_empty_list_for_lack_of_rights_is_no_proof_of_absence() {
    let (home, token) = home(&[("/nodes", "PVEAuditor"), ("/storage", "PVEDatastoreUser")]);
    let steps = step("id: number\non: lxc/web\nlxc: {}\nexpect: {state: absent}")
        + &step(
            "id: name\nneeds: []\non: node/pve1\nlxc: {hostname: web, template: debian-12-standard, disk: 'local-lvm:2GiB'}",
        );
    // Neither by its number nor by its name: nothing is said to be absent, or made again.
    let observed = home
        .book_as(&steps, &token, home.fingerprint())
        .mode(Mode::Observe);
    let (message, hint) = told(&observed.refused());
    assert_eq!(
        message,
        "profile `home` lacks rights that this run needs:\n  VM.Audit on /vms/130, for a#s/number\n  \
         VM.Audit on /vms/9000, for a#s/name"
    );
    assert!(hint.contains("--roles PVEVMAdmin"), "{hint}");
    let run = home.book_as(&steps, &token, home.fingerprint());
    assert!(told(&run.refused()).0.contains("VM.Allocate on /vms/9000"));
    assert_eq!(home.get("/nodes/pve1/lxc").as_array().unwrap().len(), 2);
}
