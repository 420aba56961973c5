use std::collections::BTreeSet;

use runbook_proxmox::Request;

use super::fixture::{absent, vmids};
use super::*;

mod of_clusters;

const INVENTORY: &str = "
nodes:
  pve1:
    address: 192.168.4.11
    facts: {lab: {storages: {tank: {type: zfspool, content: [images, rootdir], size: 900GiB}}, pools: {tank: 900GiB}}}
  pve2:
    address: 192.168.4.12
    facts:
      lab:
        storages: {tank: {type: zfspool, content: [images, rootdir], size: 1800GiB}}
        devices: [{pci: '0000:01:00.0', vendor: '10de', device: '2484', name: GeForce, iommu-group: 14}]
        mappings: {gpu: '0000:01:00.0'}
guests:
  dns1: {kind: lxc, vmid: 101, node: pve1, address: 192.168.4.53}
  made: {kind: lxc, vmid: 130, node: pve2}
  gone: {kind: lxc, vmid: 131, node: pve2, facts: {lab: {state: absent}}}
  off: {kind: vm, vmid: 201, node: pve2, facts: {lab: {state: stopped}}}
  kept: {kind: lxc, vmid: 132, node: pve2, facts: {lab: {state: stopped}}}
  any: {kind: vm}
";

/// A lab whose inventory lies in that folder, and whose repository is the folder `book` in it.
fn around(folder: &std::path::Path) -> clusters::Around {
    let (repository, scratch) = (folder.join("book"), folder.join("scratch"));
    clusters::Around {
        folder: folder.to_owned(),
        origins: Arc::new(Origins::new(&repository, &scratch, Cancel::new())),
        root: repository,
        world: 0,
    }
}

fn book() -> Arc<Book> {
    book_of(INVENTORY)
}

fn book_of(inventory: &str) -> Arc<Book> {
    struct Nothing;
    impl runbook::book::Files for Nothing {
        fn read(&self, _: &str) -> Result<Vec<u8>, runbook::book::FileError> {
            Err(runbook::book::FileError::Missing)
        }
    }
    let chapter = "# G\n\n## S\n\n```runbook\nid: make\non: lxc/made\nlxc: {template: debian-12-standard, state: running}\n```\n\n```runbook\nid: kept\non: lxc/kept\nlxc: {template: debian-12-standard, state: running}\n```\n";
    let input = runbook::book::Input {
        chapters: vec![runbook::book::ChapterInput {
            path: "src/g.md".into(),
            id: "g".into(),
            name: "G".into(),
            text: chapter.into(),
        }],
        inventory: Some(runbook::source::Source::new("inventory.yaml", inventory)),
        profile: "lab".into(),
        ..runbook::book::Input::default()
    };
    Arc::new(runbook::book::load(input, &Nothing).book)
}

#[test]
fn what_a_step_can_create_is_absent_at_first() {
    let absent = absent(&book());
    let expected = BTreeSet::from(["gone".to_owned(), "made".to_owned()]);
    assert_eq!(absent, expected);
    assert_eq!(vmids(&book().inventory)["any"], 100);
}

#[tokio::test]
async fn a_lab_answers_with_what_the_inventory_says() {
    let book = book();
    let world = lab::open(&book, &around(std::path::Path::new(".")), &[])
        .await
        .expect("a lab");
    let proxmox = world.proxmox().expect("a Proxmox VE");
    let identity = world.identity().await.expect("an identity");
    assert!(identity["pve"].starts_with("9."), "{identity:?}");
    let names: Vec<String> = cluster::nodes(&proxmox.client)
        .await
        .expect("nodes")
        .into_iter()
        .map(|node| node.name)
        .collect();
    assert_eq!(names, ["pve1", "pve2"]);
    let mut guests: Vec<(u32, String)> = cluster::guests(&proxmox.client)
        .await
        .expect("guests")
        .into_iter()
        .map(|listed| (listed.guest.vmid, listed.guest.node))
        .collect();
    guests.sort();
    let expected = [(100, "pve1"), (101, "pve1"), (132, "pve2"), (201, "pve2")];
    let expected = expected
        .into_iter()
        .map(|(vmid, node)| (vmid, node.to_owned()));
    assert_eq!(guests, expected.collect::<Vec<_>>());
    for client in [&proxmox.client, proxmox.login.as_ref().expect("a login")] {
        let status = Request::get("/nodes/pve2/qemu/201/status/current");
        let status = client.call(&status).await.expect("a status");
        assert_eq!(status["status"], "stopped");
        let config = Request::get("/nodes/pve1/lxc/101/config");
        let config = client.call(&config).await.expect("a config");
        assert_eq!(config["hostname"], "dns1");
    }
}

#[tokio::test]
async fn who_is_not_the_lab_is_refused_with_a_fingerprint() {
    let world = lab::open(&book(), &around(std::path::Path::new(".")), &[])
        .await
        .expect("a lab");
    let url = world
        .proxmox()
        .expect("a Proxmox VE")
        .client
        .url()
        .to_owned();
    let auth = runbook_proxmox::Auth::token("root@pam!lab", "0");
    for trust in [
        runbook_proxmox::Trust::System,
        runbook_proxmox::Trust::Fingerprint("00".repeat(32)),
    ] {
        let endpoint = runbook_proxmox::Endpoint {
            url: url.clone(),
            auth: auth.clone(),
            trust,
        };
        let client = Client::new(endpoint).expect("a client");
        let error = client
            .call(&Request::get("/version"))
            .await
            .expect_err("a certificate that nobody trusts");
        let lab = world._lab.as_ref().expect("a lab").fingerprint();
        assert!(
            matches!(&error, runbook_proxmox::Error::Untrusted { fingerprint, .. } if fingerprint == lab),
            "{error}"
        );
        assert!(error.hint().expect("a hint").contains(lab));
    }
}
