//! What the client does with containers and virtual machines, on the lab: copies, templates, cloud-init, the agent, devices.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use runbook_lab::pve::faults::When;
use runbook_lab::pve::{AgentResult, Fault, HookFuture, Hooks};
use runbook_proxmox::guest::{Guest, Kind, Status};
use runbook_proxmox::task::{self, TaskEnd};
use runbook_proxmox::{Auth, Client, Request, agent, cluster};

use crate::{LIMIT, Lab, container, ended};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGk0bXGDMnFC3xHMkQAj6PW+7kYkVVH8fZq5cUe9pWzN a@b";
/// The key as the API wants it: escaped once more than a form does.
const KEY_ESCAPED: &str =
    "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIGk0bXGDMnFC3xHMkQAj6PW%2B7kYkVVH8fZq5cUe9pWzN%20a%40b";

fn machine(vmid: u32) -> (Guest, Request) {
    let new = Guest::new(Kind::Qemu, "pve1", vmid);
    let request = new.create([
        ("name", "builder"),
        ("memory", "1024"),
        ("cores", "2"),
        ("agent", "1"),
        ("scsihw", "virtio-scsi-single"),
        ("scsi0", "snap:8"),
        ("ide2", "snap:cloudinit"),
        ("net0", "virtio,bridge=vmbr0"),
        ("ciuser", "admin"),
        ("cipassword", "a-secret-word"),
        ("sshkeys", KEY_ESCAPED),
        ("ipconfig0", "ip=192.168.1.40/24,gw=192.168.1.1"),
    ]);
    (new, request)
}

async fn status(client: &Client, guest: &Guest) -> Status {
    let status = guest.look(client).await.expect("looks");
    status.expect("is there")
}

async fn option(client: &Client, guest: &Guest, name: &str) -> String {
    let config = guest.read_config(client).await.expect("reads");
    let config = config.expect("is there");
    config.get(name).unwrap_or_default().to_owned()
}

fn failed(end: TaskEnd) -> String {
    match end {
        TaskEnd::Failed(why) => why,
        other => panic!("it did not fail: {other:?}"),
    }
}

#[tokio::test]
async fn a_machine_lives_its_whole_life() {
    let lab = Lab::start().await;
    let client = lab.root();
    let (vm, request) = machine(200);
    assert_eq!(ended(&client, &request).await, TaskEnd::Ok);
    let config = vm.read_config(&client).await.expect("reads").expect("is");
    let stale = vm.set([("cores", "3")], &[], Some(&"0".repeat(40)));
    let error = client.call(&stale).await.expect_err("stale");
    assert!(error.is_digest_conflict(), "{error:?}");
    let set = vm.set([("cores", "3")], &[], config.digest.as_deref());
    client.call(&set).await.expect("sets");
    // To stop what is stopped is no error of a virtual machine; to restart it is.
    assert_eq!(ended(&client, &vm.stop()).await, TaskEnd::Ok);
    let error = client.call(&vm.reboot(LIMIT)).await.expect_err("stopped");
    assert!(error.is_not_running(), "{error:?}");
    assert_eq!(ended(&client, &vm.start()).await, TaskEnd::Ok);
    assert!(status(&client, &vm).await.is_running());
    let changed = vm.set([("cores", "4")], &[], None);
    client.call(&changed).await.expect("sets");
    let pending = vm.read_pending(&client).await.expect("reads");
    let cores = pending.iter().find(|row| row.key == "cores");
    let cores = cores.map(|row| (row.value.as_deref(), row.pending.as_deref()));
    assert_eq!(cores, Some((Some("3"), Some("4"))));
    assert_eq!(ended(&client, &vm.reboot(LIMIT)).await, TaskEnd::Ok);
    assert_eq!(option(&client, &vm, "cores").await, "4");
    assert_eq!(vm.read_pending(&client).await.expect("reads"), []);
    let snapshot = vm.snapshot("warm", Some("x"), true);
    assert_eq!(ended(&client, &snapshot).await, TaskEnd::Ok);
    let snapshots = vm.read_snapshots(&client).await.expect("reads");
    assert_eq!(
        (snapshots[0].name.as_str(), snapshots[0].memory),
        ("warm", true)
    );
    let renamed = vm.set([("name", "other")], &[], None);
    client.call(&renamed).await.expect("sets");
    let back = vm.rollback("warm", false);
    assert_eq!(ended(&client, &back).await, TaskEnd::Ok);
    assert_eq!(option(&client, &vm, "name").await, "builder");
    let gone = vm.delete_snapshot("warm");
    assert_eq!(ended(&client, &gone).await, TaskEnd::Ok);
    assert_eq!(vm.read_snapshots(&client).await.expect("reads"), []);
    let down = vm.shutdown(Duration::from_secs(10), true);
    assert_eq!(ended(&client, &down).await, TaskEnd::Ok);
    assert!(!status(&client, &vm).await.is_running());
    let larger = vm.resize("scsi0", "16G");
    assert_eq!(ended(&client, &larger).await, TaskEnd::Ok);
    assert!(option(&client, &vm, "scsi0").await.contains("size=16G"));
    let smaller = failed(ended(&client, &vm.resize("scsi0", "1G")).await);
    assert_eq!(smaller, "shrinking disks is not supported");
    assert_eq!(ended(&client, &vm.destroy()).await, TaskEnd::Ok);
    assert_eq!(vm.look(&client).await, Ok(None));
    assert_eq!(vm.read_config(&client).await, Ok(None));
}

#[tokio::test]
async fn a_container_is_stopped_shut_down_restarted_and_made_larger() {
    let lab = Lab::start().await;
    let client = lab.root();
    let (ct, request) = container(130);
    assert_eq!(ended(&client, &request).await, TaskEnd::Ok);
    assert_eq!(ended(&client, &ct.start()).await, TaskEnd::Ok);
    assert_eq!(ended(&client, &ct.reboot(LIMIT)).await, TaskEnd::Ok);
    assert!(status(&client, &ct).await.is_running());
    assert_eq!(ended(&client, &ct.stop()).await, TaskEnd::Ok);
    assert!(!status(&client, &ct).await.is_running());
    assert_eq!(ended(&client, &ct.start()).await, TaskEnd::Ok);
    let error = client.call(&ct.destroy()).await.expect_err("it runs");
    assert!(error.is_running(), "{error:?}");
    let down = ct.shutdown(Duration::from_secs(10), false);
    assert_eq!(ended(&client, &down).await, TaskEnd::Ok);
    let more = ct.resize("rootfs", "+1G");
    assert_eq!(ended(&client, &more).await, TaskEnd::Ok);
    assert!(option(&client, &ct, "rootfs").await.ends_with("size=9G"));
}

#[tokio::test]
async fn a_template_has_linked_and_full_copies() {
    let lab = Lab::start().await;
    let client = lab.root();
    for (source, request) in [container(130), machine(230)] {
        assert_eq!(ended(&client, &request).await, TaskEnd::Ok);
        let plain = source.clone_to(source.vmid + 1, Some(true));
        assert_eq!(ended(&client, &plain).await, TaskEnd::Ok, "{source}");
        template(&client, &source).await;
        let start = failed(ended(&client, &source.start()).await);
        assert!(start.contains("template"), "{start}");
        let linked = source.clone_to(source.vmid + 2, None);
        assert_eq!(ended(&client, &linked).await, TaskEnd::Ok, "{source}");
        let full = source.clone_to(source.vmid + 3, Some(true));
        assert_eq!(ended(&client, &full).await, TaskEnd::Ok, "{source}");
        let disk = match source.kind {
            Kind::Lxc => "rootfs",
            Kind::Qemu => "scsi0",
        };
        let copy = |more| Guest::new(source.kind, "pve1", source.vmid + more);
        let base = format!("base-{}-disk", source.vmid);
        let linked = option(&client, &copy(2), disk).await;
        assert!(linked.contains(&base), "a linked copy has a base: {linked}");
        let full = option(&client, &copy(3), disk).await;
        assert!(!full.contains(&base), "a full copy has none: {full}");
        let needed = failed(ended(&client, &source.destroy()).await);
        assert!(
            needed.contains("is still in use by linked clone"),
            "{needed}"
        );
    }
}

/// Of a container there is no task, and the answer comes before it is one.
async fn template(client: &Client, guest: &Guest) {
    let answer = client.call(&guest.template()).await.expect("accepted");
    if let Ok(upid) = task::upid(&answer) {
        let finished = task::wait(client, &upid, LIMIT, |_| {}).await;
        assert_eq!(finished.expect("ends").end, TaskEnd::Ok);
    }
    let started = std::time::Instant::now();
    while !status(client, guest).await.template {
        assert!(started.elapsed() < LIMIT, "{guest} becomes no template");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn cloud_init_has_the_users_key_and_address() {
    let lab = Lab::start().await;
    let client = lab.root();
    let (vm, request) = machine(200);
    assert_eq!(ended(&client, &request).await, TaskEnd::Ok);
    let user = client.call(&vm.cloud_init("user")).await.expect("reads");
    let user = user.as_str().expect("a text");
    assert!(user.contains("user: admin\n"), "{user}");
    assert!(user.contains(&format!("  - {KEY}\n")), "{user}");
    let network = client.call(&vm.cloud_init("network")).await;
    let network = network.expect("reads");
    let network = network.as_str().expect("a text");
    assert!(network.contains("192.168.1.40"), "{network}");
    assert_eq!(option(&client, &vm, "cipassword").await, "**********");
    // The request's own texts hold neither password nor key.
    assert!(!format!("{request:?}").contains("a-secret-word"));
}

/// A machine that runs programs for some time, and has files.
#[derive(Default)]
struct Machine {
    files: Mutex<HashMap<String, Vec<u8>>>,
}

impl Hooks for Machine {
    fn agent_exec(
        &self,
        _: u32,
        argv: Vec<String>,
        input: Vec<u8>,
    ) -> HookFuture<'_, Option<AgentResult>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(60)).await;
            Some(AgentResult {
                exitcode: Some(3),
                out: format!("{argv:?} {}", String::from_utf8_lossy(&input)).into_bytes(),
                err: b"oh".to_vec(),
                ..AgentResult::default()
            })
        })
    }

    fn file_write(
        &self,
        _: u32,
        path: &str,
        content: Vec<u8>,
    ) -> HookFuture<'_, Option<std::io::Result<()>>> {
        let path = path.to_owned();
        Box::pin(async move {
            self.files
                .lock()
                .expect("held by none")
                .insert(path, content);
            Some(Ok(()))
        })
    }

    fn file_read(&self, _: u32, path: &str) -> HookFuture<'_, Option<std::io::Result<Vec<u8>>>> {
        let found = self.files.lock().expect("held by none").get(path).cloned();
        Box::pin(async move { Some(found.ok_or_else(|| std::io::ErrorKind::NotFound.into())) })
    }
}

#[tokio::test]
async fn the_agent_runs_programs_and_writes_files() {
    let lab = Lab::with(Box::<Machine>::default()).await;
    let client = lab.root();
    let (vm, request) = machine(200);
    assert_eq!(ended(&client, &request).await, TaskEnd::Ok);
    let error = agent::wait(&client, &vm, LIMIT).await.expect_err("stopped");
    assert!(error.is_not_running(), "{error:?}");
    assert_eq!(ended(&client, &vm.start()).await, TaskEnd::Ok);
    let silent = When {
        path: Some("/200/".into()),
        times: 3,
        ..When::default()
    };
    lab.cluster.faults().plan(silent, Fault::AgentDown);
    agent::wait(&client, &vm, LIMIT).await.expect("comes up");
    let command = ["sh", "-c", "a b=c & d"];
    let ended = agent::run(&client, &vm, &command, Some("in\n"), LIMIT).await;
    let ended = ended.expect("ends");
    assert_eq!(
        (ended.code, ended.stderr.as_str(), ended.truncated),
        (Some(3), "oh", false)
    );
    assert_eq!(ended.stdout, "[\"sh\", \"-c\", \"a b=c & d\"] in\n");
    let text = "one = 1 & ü\n";
    client
        .call(&vm.file_write("/etc/a", text))
        .await
        .expect("writes");
    let read = client.call(&vm.file_read("/etc/a")).await.expect("reads");
    assert_eq!(read["content"], text);
}

#[tokio::test]
async fn addresses_are_those_of_the_configured_card() {
    let lab = Lab::start().await;
    let client = lab.root();
    for (guest, request) in [container(130), machine(200)] {
        assert_eq!(ended(&client, &request).await, TaskEnd::Ok);
        if guest.kind == Kind::Lxc {
            let net = "name=eth0,bridge=vmbr0,ip=192.168.1.40/24";
            let fixed = guest.set([("net0", net)], &[], None);
            client.call(&fixed).await.expect("sets");
        }
        assert_eq!(ended(&client, &guest.start()).await, TaskEnd::Ok);
        let config = guest.read_config(&client).await.expect("reads");
        let hardware = config.expect("is there").hardware_address("net0");
        let hardware = hardware.expect("a hardware address");
        let address = agent::wait_address(&client, &guest, Some(&hardware), LIMIT).await;
        assert_eq!(
            address.expect("comes").to_string(),
            "192.168.1.40",
            "{guest}"
        );
    }
}

#[tokio::test]
async fn a_token_passes_devices_through_by_mapping_and_a_login_raw() {
    let lab = Lab::start().await;
    let token = lab.root();
    let login = lab.client(Auth::login("root@pam", "geheim-genug"));
    let devices = token.call(&cluster::pci_devices("pve1")).await;
    let devices = devices.expect("reads");
    assert_eq!(devices[0]["id"], "0000:01:00.0", "{devices}");
    let mappings = token.call(&cluster::pci_mappings("pve1")).await;
    let mappings = mappings.expect("reads");
    assert_eq!(mappings[0]["id"], "gpu0", "{mappings}");
    let (vm, request) = machine(200);
    assert_eq!(ended(&token, &request).await, TaskEnd::Ok);
    let mapped = vm.set([("hostpci0", "mapping=gpu0")], &[], None);
    token.call(&mapped).await.expect("a token may");
    assert_eq!(option(&token, &vm, "hostpci0").await, "mapping=gpu0");
    let raw = vm.set([("hostpci1", "0000:01:00.0")], &[], None);
    let error = token.call(&raw).await.expect_err("a token may not");
    assert!(error.needs_root(), "{error:?}");
    login.call(&raw).await.expect("a login may");
    assert_eq!(option(&token, &vm, "hostpci1").await, "0000:01:00.0");
}
