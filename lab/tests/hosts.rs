//! The lab's machines as their users meet them: the system's `ssh`, the programs of a node, guests that follow the API.
//! Where isolation or `ssh` is not to be had the tests say so and prove nothing.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runbook_lab::fixture::{Device, Fixture, GuestKind};
use runbook_lab::hosts::{Answers, Hosts, Published, Role, Served, Spec, StandIn};
use runbook_lab::pve::{Caller, Cluster, Params};
use runbook_lab::{isolate, ssh};
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(60);

struct Lab {
    ssh: ssh::Server,
    cluster: Arc<Cluster>,
    hosts: Hosts,
    _directory: tempfile::TempDir,
}

fn spec(name: &str, role: Role, address: &str) -> Spec {
    Spec {
        addresses: vec![address.parse().unwrap()],
        packages: vec!["curl=8.14.1-2".to_owned()],
        ..Spec::new(name, role)
    }
}

fn guest(vmid: u32, kind: GuestKind) -> Role {
    Role::Guest {
        vmid,
        kind,
        node: "pve1".to_owned(),
    }
}

impl Lab {
    async fn start() -> Option<Self> {
        let program = Path::new(env!("CARGO_BIN_EXE_lab-inside"));
        if let Err(forbidden) = isolate::available_with(program) {
            eprintln!("SKIPPED: {forbidden}");
            return None;
        }
        if std::process::Command::new("ssh")
            .arg("-V")
            .output()
            .is_err()
        {
            eprintln!("SKIPPED: no `ssh` on this machine");
            return None;
        }
        let fixture = json!({
            "nodes": [{"name": "pve1", "ip": "192.168.4.11"}],
            "storages": [
                {"id": "local", "type": "dir", "path": "/var/lib/vz", "content": "vztmpl,iso,backup"},
                {"id": "tank", "type": "zfspool", "content": "images,rootdir", "size": 1_000_000_000_000_u64}
            ],
            "bridges": [{"iface": "vmbr0"}],
            "guests": [
                {"vmid": 101, "type": "lxc", "status": "running", "config": {"hostname": "dns1", "memory": 512, "rootfs": "tank:subvol-101-disk-0,size=8G", "unprivileged": 1}},
                {"vmid": 201, "type": "qemu", "status": "running", "config": {"name": "k3s1", "memory": "2048", "agent": "1", "hostpci0": "0000:01:00"}},
                {"vmid": 102, "type": "lxc", "status": "stopped", "config": {"hostname": "half", "memory": 512, "rootfs": "tank:subvol-102-disk-0,size=8G", "unprivileged": 1, "lock": "create"}},
                {"vmid": 202, "type": "qemu", "status": "stopped", "config": {"name": "half", "memory": "512", "lock": "create"}}
            ]
        });
        let fixture = Fixture::parse(&fixture.to_string()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        for name in ["roots", "ssh", "over/usr/sbin", "over/etc/modprobe.d"] {
            std::fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        let tool = directory.path().join("over/usr/sbin/sgdisk");
        std::fs::write(&tool, "#!/bin/sh\necho a stand-in $1\n").unwrap();
        std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let mut node = spec("pve1", Role::Node, "192.168.4.11");
        node.overlay = Some(directory.path().join("over"));
        node.pools = vec![("tank".to_owned(), 900 << 30)];
        node.devices = vec![Device {
            pci: Some("0000:01:00.0".into()),
            vendor: Some("10de".into()),
            device: Some("2484".into()),
            name: Some("GA104 [GeForce RTX 3070]".into()),
            iommu_group: Some(14),
            ..Device::default()
        }];
        let mut nas = spec("nas", Role::Host, "192.168.4.20");
        nas.user = Some("admin".to_owned());
        let specs = vec![
            node,
            nas,
            spec("dns1", guest(101, GuestKind::Lxc), "192.168.4.53"),
            spec("k3s1", guest(201, GuestKind::Qemu), "192.168.4.201"),
        ];
        let place = isolate::SandboxConfig::new(program.to_owned(), Vec::new());
        let domains = ["home.arpa".to_owned()];
        let roots = directory.path().join("roots");
        let hosts = Hosts::start(place, &roots, specs, &domains).await.unwrap();
        let cluster = Cluster::with_hooks(&fixture, hosts.hooks());
        hosts.set_cluster(&cluster);
        let ssh = hosts.ssh(&directory.path().join("ssh")).await.unwrap();
        Some(Self {
            ssh,
            cluster,
            hosts,
            _directory: directory,
        })
    }

    async fn run(&self, host: &str, script: &str) -> (i32, String, String) {
        let mut command = tokio::process::Command::new("ssh");
        command
            .arg("-F")
            .arg(self.ssh.config())
            .args(["-o", "BatchMode=yes", host, script]);
        command
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(DEADLINE, command.output())
            .await
            .expect("ssh ends")
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (
            output.status.code().unwrap_or(-1),
            text(output.stdout),
            text(output.stderr),
        )
    }

    async fn good(&self, host: &str, script: &str) -> String {
        let (code, out, err) = self.run(host, script).await;
        assert_eq!(code, 0, "{host}: {script}: {out}{err}");
        out
    }

    async fn api(&self, verb: &str, path: &str) -> serde_json::Value {
        let answer = self
            .cluster
            .call(verb, path, Params::new(), &Caller::root())
            .await;
        assert!(answer.is_ok(), "{verb} {path}: {}", answer.text());
        answer.data
    }

    async fn until(&self, what: &str, host: &str, script: &str) {
        let begin = Instant::now();
        while self.run(host, script).await.0 != 0 {
            assert!(begin.elapsed() < DEADLINE, "{what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_and_ports_come_and_go_with_their_machine() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    let at = "192.168.4.53:22".parse().unwrap();
    let answers = async || lab.hosts.connect(at, DEADLINE).await.map(drop);
    assert_eq!(lab.hosts.served(at), Served::Own);
    answers().await.expect("its SSH");
    let closed = |ended: Result<(), isolate::Error>| ended.err().and_then(|error| error.io_kind());
    lab.good("dns1", "systemctl stop ssh").await;
    assert_eq!(
        closed(answers().await),
        Some(std::io::ErrorKind::ConnectionRefused)
    );
    // Whoever comes from outside is refused too, in the words of OpenSSH.
    let (code, _, err) = lab.run("dns1", "true").await;
    assert_eq!(code, 255, "{err}");
    let said = "ssh: connect to host dns1 port 22: Connection refused";
    assert!(err.contains(said), "{err}");
    lab.good("pve1", "pct exec 101 -- systemctl start ssh")
        .await;
    answers().await.expect("its SSH again");
    lab.good("dns1", "true").await;
    lab.api("POST", "/nodes/pve1/lxc/101/status/stop").await;
    let begin = Instant::now();
    while lab.hosts.is_up("dns1") {
        assert!(begin.elapsed() < DEADLINE, "it goes down");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let begin = Instant::now();
    while closed(answers().await) != Some(std::io::ErrorKind::NetworkUnreachable) {
        assert!(begin.elapsed() < DEADLINE, "its address goes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let is = |name: &str| lab.hosts.resolve(name);
    assert_eq!(
        is("dns1.home.arpa"),
        Some(vec!["192.168.4.53".parse().unwrap()])
    );
    assert_eq!(is("nobody.home.arpa"), Some(Vec::new()));
    assert_eq!(is("example.com"), None);
    let unknown = "192.168.4.20:445".parse().unwrap();
    assert_eq!(lab.hosts.served(unknown), Served::Unknown);
    assert!(!lab.hosts.listens(None, unknown).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_keeps_its_files_and_knows_its_name() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    assert_eq!(
        lab.good("pve1", "hostname; hostname -I; cat /etc/hostname; id -u")
            .await,
        "pve1\n192.168.4.11 \npve1\n0\n"
    );
    lab.good("pve1", "echo kept > /root/file").await;
    assert_eq!(
        lab.good("192.168.4.11", "cat file; pwd").await,
        "kept\n/root\n"
    );
    assert_eq!(lab.good("pve1", "sgdisk -p").await, "a stand-in -p\n");
    let ask = "import socket,struct\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.settimeout(5)\n\
        q=struct.pack('>6H',7,256,1,0,0,0)+b'\\x03nas\\0'+struct.pack('>2H',1,1)\ns.sendto(q,('127.0.0.1',53))\n\
        print(*s.recv(512)[-4:],sep='.')";
    let resolved = lab
        .good(
            "dns1",
            &format!("cat /etc/resolv.conf; python3 -c \"{ask}\""),
        )
        .await;
    assert_eq!(resolved, "nameserver 127.0.0.1\n192.168.4.20\n");
    assert_eq!(lab.run("dns1", "sgdisk -p").await.0, 127);
    assert_eq!(
        lab.run("dns1", "pct list").await.0,
        127,
        "no program of a node"
    );
    assert_eq!(
        lab.run("pve1", "apt-get update").await.0,
        127,
        "records are on nobody's path"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_in_the_container_with_its_streams_and_status() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    let (code, out, err) = lab
        .run(
            "pve1",
            "echo in | pct exec 101 -- sh -c 'cat; hostname; echo err >&2; exit 7'",
        )
        .await;
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (7, "in\ndns1\n", "err\n")
    );
    let bytes = lab
        .good(
            "pve1",
            "head -c 300000 /dev/zero | pct exec 101 -- cat | wc -c",
        )
        .await;
    assert_eq!(bytes.trim(), "300000");
    lab.good("pve1", "echo pushed > f; pct push 101 f /root/g && pct exec 101 -- cat /root/g && pct pull 101 /root/g h && cat h").await;
    assert_eq!(lab.good("dns1", "cat /root/g").await, "pushed\n");
    assert_eq!(lab.run("pve1", "pct exec 999 -- true").await.0, 2);
    let (code, _, err) = lab.run("pve1", "pct enter 101").await;
    assert_eq!(
        (code, err.as_str()),
        (127, "the lab's pve1 has no `pct enter`\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_a_node_answer_from_the_clusters_state() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    let list = lab.good("pve1", "pct list").await;
    assert!(
        list.starts_with("VMID       Status     Lock         Name"),
        "{list}"
    );
    assert!(
        list.contains("101        running                 dns1"),
        "{list}"
    );
    assert!(
        lab.good("pve1", "qm list")
            .await
            .contains("       201 k3s1                 running    2048")
    );
    assert_eq!(
        lab.good("pve1", "pct status 101").await,
        "status: running\n"
    );
    let (code, _, err) = lab.run("pve1", "pct status 999").await;
    assert_eq!(
        (code, err.as_str()),
        (
            2,
            "Configuration file 'nodes/pve1/lxc/999.conf' does not exist\n"
        )
    );
    lab.good(
        "pve1",
        "pct set 101 --memory 1024 && pct config 101 | grep -x 'memory: 1024'",
    )
    .await;
    assert_ne!(lab.run("pve1", "pct set 101 --nonsense 1").await.0, 0);
    assert!(
        lab.good("pve1", "pveversion")
            .await
            .starts_with("pve-manager/9.")
    );
    let version = lab
        .good("pve1", "pvesh get /version --output-format json")
        .await;
    assert!(serde_json::from_str::<serde_json::Value>(&version).unwrap()["version"].is_string());
    assert!(
        lab.good("pve1", "pvesh get /version")
            .await
            .starts_with("┌")
    );
    assert!(
        lab.good("pve1", "pvesm status")
            .await
            .contains("zfspool     active")
    );
    assert!(
        lab.good("pve1", "zfs list -H -o name,avail")
            .await
            .starts_with("tank\t")
    );
    assert!(
        lab.good("pve1", "zpool status tank")
            .await
            .contains("state: ONLINE")
    );
    assert_eq!(lab.run("pve1", "zfs create tank/x").await.0, 127);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_a_crash_left_is_taken_away_on_the_node_only() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    for (program, vmid, word) in [("pct", 102, "CT"), ("qm", 202, "VM")] {
        let kind = if program == "pct" { "lxc" } else { "qemu" };
        let base = format!("/nodes/pve1/{kind}/{vmid}");
        let locked = format!("{word} is locked (create)");
        let (code, _, err) = lab
            .run("pve1", &format!("{program} snapshot {vmid} s1"))
            .await;
        assert!(
            code != 0 && err.contains(&locked),
            "{program}: {code} {err}"
        );
        // The API has no call for it.
        let (path, root) = (format!("{base}/unlock"), Caller::root());
        let answer = lab.cluster.call("PUT", &path, Params::new(), &root).await;
        assert_eq!(answer.status, 501);
        assert_eq!(
            lab.good("pve1", &format!("{program} unlock {vmid}")).await,
            ""
        );
        let config = lab.api("GET", &format!("{base}/config")).await;
        assert!(config.get("lock").is_none(), "{config}");
        lab.good("pve1", &format!("{program} start {vmid}")).await;
    }
    // Of a container that has none it is an error, of a machine it is not.
    let (code, _, err) = lab.run("pve1", "pct unlock 102").await;
    assert_eq!(
        (code, err.as_str()),
        (255, "no lock found trying to remove any lock\n")
    );
    lab.good("pve1", "qm unlock 202").await;
    let (code, _, err) = lab.run("pve1", "pct unlock 999").await;
    assert_eq!(
        (code, err.as_str()),
        (
            2,
            "Configuration file 'nodes/pve1/lxc/999.conf' does not exist\n"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn units_and_packages_are_records() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    assert_eq!(
        lab.good("pve1", "systemctl is-active pveproxy").await,
        "active\n"
    );
    assert_eq!(lab.run("dns1", "systemctl is-active nginx").await.0, 4);
    let (code, _, err) = lab.run("dns1", "systemctl start nginx").await;
    assert_eq!(
        (code, err.as_str()),
        (
            5,
            "Failed to start nginx.service: Unit nginx.service not found.\n"
        )
    );
    let path = "PATH=\"$PATH:/usr/libexec/lab-records\"";
    lab.good(
        "dns1",
        &format!("{path}; apt-get install -y nginx && dpkg-query -W nginx"),
    )
    .await;
    assert_eq!(
        lab.good(
            "dns1",
            "systemctl is-active nginx; systemctl is-enabled nginx"
        )
        .await,
        "active\nenabled\n"
    );
    lab.good("dns1", "systemctl disable --now -- nginx").await;
    assert_eq!(
        lab.run("dns1", "systemctl is-active nginx").await.1,
        "inactive\n"
    );
    assert_eq!(
        lab.run("pve1", "systemctl is-active nginx").await.0,
        4,
        "another machine's"
    );
}

/// As dnsmasq: the file is read at its start and when it is told to, and nothing answers while it is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_server_of_the_house_knows_its_own_hosts_file() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    let path = "PATH=\"$PATH:/usr/libexec/lab-records\"";
    lab.good("dns1", &format!("{path}; apt-get install -y dnsmasq"))
        .await;
    let ask = "python3 -c 'import socket; print(socket.gethostbyname(\"notes.home.arpa\"))'";
    lab.good("dns1", "echo '192.168.4.131 notes.home.arpa' >> /etc/hosts")
        .await;
    assert_ne!(lab.run("pve1", ask).await.0, 0, "it was not told to read");
    lab.good("dns1", "systemctl reload dnsmasq").await;
    assert_eq!(lab.good("pve1", ask).await, "192.168.4.131\n");
    lab.good("dns1", "systemctl stop dnsmasq").await;
    assert_ne!(lab.run("pve1", ask).await.0, 0, "it is stopped");
    lab.good("dns1", "systemctl start dnsmasq").await;
    assert_eq!(lab.good("pve1", ask).await, "192.168.4.131\n");
    lab.good(
        "dns1",
        "sed '/notes/d' /etc/hosts > /tmp/hosts && cat /tmp/hosts > /etc/hosts",
    )
    .await;
    assert_eq!(lab.good("pve1", ask).await, "192.168.4.131\n");
    lab.good("dns1", "systemctl restart dnsmasq").await;
    assert_ne!(lab.run("pve1", ask).await.0, 0, "it is not there any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_and_a_command_line_change_at_the_restart_only() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    let driver = "lspci -nnk -s 01:00.0 | grep 'in use'";
    assert_eq!(
        lab.good("pve1", driver).await,
        "\tKernel driver in use: nouveau\n"
    );
    assert_eq!(
        lab.good("pve1", "ls /sys/kernel/iommu_groups/14/devices")
            .await,
        "0000:01:00.0\n"
    );
    assert!(
        lab.good("k3s1", "lspci -nn").await.contains("[10de:2484]"),
        "the VM has it passed through"
    );
    lab.good("pve1", "echo 'options vfio-pci ids=10de:2484' > /etc/modprobe.d/vfio.conf; echo vfio-pci > /etc/modules").await;
    lab.good("pve1", "mkdir -p /etc/default; echo 'GRUB_CMDLINE_LINUX_DEFAULT=\"quiet iommu=pt\"' > /etc/default/grub").await;
    assert_eq!(
        lab.good("pve1", driver).await,
        "\tKernel driver in use: nouveau\n"
    );
    let before = lab
        .good("pve1", "cat /proc/sys/kernel/random/boot_id")
        .await;
    assert_eq!(
        lab.good("pve1", "cat /proc/sys/kernel/random/boot_id")
            .await,
        before
    );
    lab.good("pve1", "touch /tmp/gone; systemctl reboot").await;
    lab.until(
        "it comes back",
        "pve1",
        &format!(
            "test $(cat /proc/sys/kernel/random/boot_id) != {}",
            before.trim()
        ),
    )
    .await;
    assert_eq!(
        lab.good("pve1", driver).await,
        "\tKernel driver in use: vfio-pci\n"
    );
    lab.good("pve1", "grep -q iommu=pt /proc/cmdline; test ! -e /tmp/gone; cut -d. -f1 /proc/uptime | grep -x '[0-9]'").await;
    assert_eq!(
        lab.run("pve1", "pct status 101").await.1,
        "status: stopped\n",
        "no `onboot`"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_are_up_and_down_with_the_api() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    lab.good("pve1", "pct stop 101").await;
    assert!(!lab.hosts.is_up("dns1"));
    assert_eq!(lab.run("dns1", "true").await.0, 255);
    let (code, _, err) = lab.run("pve1", "pct exec 101 -- true").await;
    assert_eq!(
        (code, err.as_str()),
        (255, "container '101' not running!\n")
    );
    // A further disk has its place in the container when that starts.
    lab.good("pve1", "pct set 101 --mp0 tank:1,mp=/srv/data/deep")
        .await;
    lab.good("pve1", "pct start 101").await;
    lab.good("dns1", "test -d /srv/data/deep && echo one > /root/state")
        .await;
    lab.good("pve1", "pct snapshot 101 before").await;
    lab.good("dns1", "echo two > /root/state").await;
    lab.good("pve1", "pct rollback 101 before && pct start 101")
        .await;
    assert_eq!(lab.good("dns1", "cat /root/state").await, "one\n");
    lab.good("pve1", "pct delsnapshot 101 before").await;
    lab.good(
        "pve1",
        "pvesh create /nodes/pve1/vzdump --vmid 101 --storage local",
    )
    .await;
    let content = lab.api("GET", "/nodes/pve1/storage/local/content").await;
    let volid = content.as_array().unwrap().iter().find_map(|item| {
        item["volid"]
            .as_str()
            .filter(|volid| volid.contains("vzdump"))
    });
    let restore = format!(
        "pct create 150 {} --restore 1 --storage tank && pct start 150 && pct exec 150 -- cat /root/state",
        volid.expect("a backup")
    );
    let said = lab.good("pve1", &restore).await;
    assert!(said.ends_with("one\n"), "{said}");
    // Who is not of the inventory is called as its configuration says.
    let name = "pct stop 150 && pct set 150 --hostname copy && pct start 150 && pct exec 150 -- sh -c 'hostname; uname -n; cat /etc/hostname'";
    assert_eq!(lab.good("pve1", name).await, "copy\ncopy\ncopy\n");
    lab.good("pve1", "pct stop 150 && pct destroy 150").await;
    assert_eq!(lab.run("pve1", "pct status 150").await.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_runs_programs_in_the_machine() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    let out = lab
        .good("pve1", "qm guest exec 201 -- sh -c 'hostname; exit 3'")
        .await;
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (answer["out-data"].as_str(), answer["exitcode"].as_i64()),
        (Some("k3s1\n"), Some(3))
    );
    let params = Params::from_pairs([("file", "/root/note"), ("content", "by the agent\n")]);
    let path = "/nodes/pve1/qemu/201/agent/file-write";
    let written = lab
        .cluster
        .call("POST", path, params, &Caller::root())
        .await;
    assert!(written.is_ok(), "{}", written.text());
    assert_eq!(lab.good("k3s1", "cat note").await, "by the agent\n");
    lab.api("POST", "/nodes/pve1/qemu/201/status/stop").await;
    lab.until("it stops", "pve1", "qm status 201 | grep stopped")
        .await;
    assert_eq!(lab.run("k3s1", "true").await.0, 255);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_becomes_root_by_sudo() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    assert_eq!(
        lab.good("nas", "echo $USER; pwd").await,
        "admin\n/home/admin\n"
    );
    assert_eq!(
        lab.good("nas", "echo x | sudo -n sh -c 'id -u; cat'").await,
        "0\nx\n"
    );
    assert_eq!(lab.run("nas", "sudo -n sh -c 'exit 9'").await.0, 9);
    assert_eq!(lab.run("pve1", "sudo true").await.0, 127);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_its_session_goes_on_and_a_lost_client_ends_its_own() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    lab.good(
        "dns1",
        "nohup sh -c 'sleep 1; echo done > /root/late' >/dev/null 2>&1 </dev/null &",
    )
    .await;
    lab.until("the detached command ends", "dns1", "cat /root/late")
        .await;
    let mut command = tokio::process::Command::new("ssh");
    command
        .arg("-F")
        .arg(lab.ssh.config())
        .args(["-o", "BatchMode=yes", "pve1"]);
    command.arg("pct exec 101 -- sh -c \"trap '' TERM HUP; echo \\$\\$ > /root/pid; while :; do sleep 1; done\"");
    let mut child = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    lab.until(
        "it runs",
        "dns1",
        "test -s /root/pid && test -d /proc/$(cat /root/pid)",
    )
    .await;
    child.kill().await.unwrap();
    lab.until(
        "it is ended on the container",
        "dns1",
        "test ! -d /proc/$(cat /root/pid)",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_pods_run_beside_the_machines() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    let server = runbook_lab::kube::Server::with_programs(Default::default(), lab.hosts.programs())
        .await
        .expect("the API starts");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ca = reqwest::Certificate::from_pem(server.ca().as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([ca])
        .no_proxy()
        .timeout(DEADLINE)
        .build()
        .unwrap();
    let jobs = format!("{}/apis/batch/v1/namespaces/default/jobs", server.url());
    let ask = |request: reqwest::RequestBuilder| {
        let request = request.bearer_auth(server.token());
        async move {
            request
                .send()
                .await
                .unwrap()
                .json::<serde_json::Value>()
                .await
                .unwrap()
        }
    };
    for (name, command) in [
        (
            "good",
            json!([
                "sh",
                "-c",
                "cat /etc/hostname; echo $WORD > /root/f; cat /root/f"
            ]),
        ),
        ("none", json!(["sgdisk"])),
    ] {
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [
                {"name": "main", "image": "x", "command": command, "env": [{"name": "WORD", "value": "hello"}]},
            ]}}},
        });
        ask(client.post(&jobs).json(&job)).await;
    }
    let start = Instant::now();
    loop {
        let good = ask(client.get(format!("{jobs}/good"))).await;
        let pods =
            ask(client.get(format!("{}/api/v1/namespaces/default/pods", server.url()))).await;
        let pods = pods["items"].as_array().unwrap();
        let of = |job: &str| {
            pods.iter()
                .find(|pod| pod["metadata"]["labels"]["job-name"] == job)
        };
        let waits = of("none").map(|pod| {
            pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"].clone()
        });
        if good["status"]["succeeded"] == 1 && waits == Some("the lab has no `sgdisk`".into()) {
            let pod = of("good").unwrap()["metadata"]["name"]
                .as_str()
                .unwrap()
                .to_owned();
            let log = client
                .get(format!(
                    "{}/api/v1/namespaces/default/pods/{pod}/log",
                    server.url()
                ))
                .bearer_auth(server.token());
            let log = log.send().await.unwrap().text().await.unwrap();
            assert_eq!(log, format!("{pod}\nhello\n"));
            break;
        }
        assert!(start.elapsed() < DEADLINE, "{good} {pods:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_answers_at_its_addresses_while_something_serves() {
    let Some(lab) = Lab::start().await else {
        return;
    };
    let file = lab._directory.path().join("echo");
    std::fs::write(&file, "#!/bin/sh\nread line; echo \"heard $line\"\n").unwrap();
    let echo = StandIn {
        port: 7,
        needs: Some("Service/default/echo".into()),
        answers: Answers::Program(file),
    };
    let gateway = lab.hosts.gateway("home", vec![echo]).await.unwrap();
    let at: std::net::SocketAddr = "192.168.4.80:7".parse().unwrap();
    let published = |is_served| Published {
        address: at.ip(),
        port: at.port(),
        is_served,
    };
    assert_eq!(lab.hosts.served(at), Served::Unknown);
    gateway.publish(&[published(false)]).await;
    assert_eq!(
        lab.hosts.served(at),
        Served::StandIn,
        "it is known, and off"
    );
    assert!(lab.hosts.connect(at, DEADLINE).await.is_err());
    gateway.publish(&[published(true)]).await;
    let said = lab.good(
        "nas",
        "exec 3<>/dev/tcp/192.168.4.80/7; echo you >&3; cat <&3",
    );
    assert_eq!(said.await, "heard you\n");
    assert_eq!(lab.hosts.stand_ins_used(), 1);
    gateway.publish(&[]).await;
    assert!(lab.hosts.connect(at, DEADLINE).await.is_err());
    drop(gateway);
    assert_eq!(lab.hosts.served(at), Served::Unknown);
}
