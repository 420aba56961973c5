//! What the client reads and changes beside guests, on the lab: storages, downloads, pools, backups, high availability.

use std::time::Duration;

use runbook_proxmox::guest::{Guest, Kind};
use runbook_proxmox::task::{self, TaskEnd};
use runbook_proxmox::{Client, Error, Request, backup, cluster, ha, storage};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{LIMIT, Lab, container, ended};

const APPLIANCE: &str = "debian-13-standard_13.1-2_amd64.tar.zst";
const IMAGE: &[u8] = b"an image";

/// Serves one file to whoever asks; gives its URL.
async fn files() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", IMAGE.len());
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(IMAGE).await;
        }
    });
    format!("http://{address}/image.iso")
}

async fn volumes(client: &Client, content: &str) -> Vec<String> {
    let found = storage::content(client, "pve1", "local", Some(content)).await;
    let found = found.expect("reads").into_iter();
    found.map(|volume| volume.volid).collect()
}

#[tokio::test]
async fn templates_are_downloaded_by_name_and_images_under_their_checksum() {
    let lab = Lab::start().await;
    let client = lab.root();
    let offered = storage::appliances(&client, "pve1").await.expect("reads");
    let offered: Vec<_> = offered.iter().map(|one| one.template.as_str()).collect();
    assert_eq!(offered, [APPLIANCE]);
    let download = storage::download_appliance("pve1", "local", APPLIANCE);
    assert_eq!(ended(&client, &download).await, TaskEnd::Ok);
    let volid = format!("local:vztmpl/{APPLIANCE}");
    assert!(volumes(&client, "vztmpl").await.contains(&volid));
    let unknown = storage::download_appliance("pve1", "local", "nope.tar.zst");
    let error = client.call(&unknown).await.expect_err("unknown");
    assert!(matches!(error, Error::Parameters { .. }), "{error:?}");
    let url = files().await;
    let image =
        |sha256: &str| storage::download_url("pve1", "local", "iso", &url, "image.iso", sha256);
    let good: String = Sha256::digest(IMAGE)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let TaskEnd::Failed(why) = ended(&client, &image(&"0".repeat(64))).await else {
        panic!("a wrong checksum is no success");
    };
    assert!(why.starts_with("checksum mismatch: got "), "{why}");
    assert_eq!(volumes(&client, "iso").await, Vec::<String>::new());
    for _ in 0..2 {
        assert_eq!(ended(&client, &image(&good)).await, TaskEnd::Ok);
    }
    let found = storage::content(&client, "pve1", "local", Some("iso")).await;
    let found = found.expect("reads");
    let image: Vec<_> = found.iter().map(|v| (v.volid.as_str(), v.size)).collect();
    assert_eq!(image, [("local:iso/image.iso", IMAGE.len() as i64)]);
    let gone = storage::delete("pve1", "local", "local:iso/image.iso");
    let answer = client.call(&gone).await.expect("accepted");
    if let Ok(upid) = task::upid(&answer) {
        let finished = task::wait(&client, &upid, LIMIT, |_| {}).await;
        finished.expect("ends").ok().expect("removes");
    }
    assert_eq!(volumes(&client, "iso").await, Vec::<String>::new());
}

#[tokio::test]
async fn guests_of_the_cluster_have_place_name_and_tags() {
    let lab = Lab::start().await;
    let client = lab.root();
    let nodes = cluster::nodes(&client).await.expect("reads");
    assert_eq!(
        (nodes[0].name.as_str(), nodes[0].status.as_str()),
        ("pve1", "online")
    );
    assert!(cluster::uptime(&client, "pve1").await.expect("reads") > 0);
    let (guest, request) = container(130);
    assert_eq!(ended(&client, &request).await, TaskEnd::Ok);
    let found = cluster::find_guest(&client, 130).await.expect("reads");
    assert_eq!(found.expect("is there").guest, guest);
    // Tags are normalised: lower case, sorted. The list of all guests knows them some seconds later, the guest at once.
    let config = guest.read_config(&client).await.expect("reads");
    assert_eq!(config.expect("is there").tags(), ["a", "b"]);
    let status = guest.look(&client).await.expect("looks").expect("is");
    assert_eq!(status.tags, ["a", "b"]);
    assert_eq!(cluster::free(&client, 130).await, Ok(false));
    assert_eq!(cluster::next_free(&client, 130..=131, &[]).await, Ok(131));
    let none = cluster::next_free(&client, 130..=130, &[]).await;
    assert!(matches!(none, Err(Error::Refused { .. })), "{none:?}");
}

#[tokio::test]
async fn numbers_wanted_by_many_at_once_are_given_once_each() {
    let lab = Lab::start().await;
    let client = lab.root();
    let one = || cluster::create_next(&client, 150..=159, "vzcreate", "pve1", container);
    let (first, second, third) = tokio::join!(one(), one(), one());
    let mut numbers = Vec::new();
    for created in [first, second, third] {
        let (guest, upid) = created.expect("a number is found");
        let finished = task::wait(&client, &upid, LIMIT, |_| {}).await;
        if finished.expect("ends").end == TaskEnd::Ok {
            numbers.push(guest.vmid);
        }
    }
    // Who lost the race inside the task is told by the task; no number has two owners.
    let all: std::collections::BTreeSet<_> = numbers.iter().collect();
    assert_eq!(all.len(), numbers.len(), "{numbers:?}");
    assert!(!numbers.is_empty());
}

#[tokio::test]
async fn a_pool_takes_a_guest_and_gives_it_back() {
    let lab = Lab::start().await;
    let client = lab.root();
    let (_, request) = container(130);
    assert_eq!(ended(&client, &request).await, TaskEnd::Ok);
    let create = Request::post("/pools").with("poolid", "homelab");
    client.call(&create).await.expect("creates");
    let members = async || {
        let pool = client.call(&cluster::pool("homelab")).await.expect("reads");
        let members = pool[0]["members"].as_array().cloned();
        let members = members.unwrap_or_default().into_iter();
        members.map(|row| row["vmid"].clone()).collect::<Vec<_>>()
    };
    assert!(members().await.is_empty());
    let into = cluster::pool_member("homelab", 130, true);
    client.call(&into).await.expect("into it");
    assert_eq!(members().await, [130]);
    let pools = client.call(&cluster::pools()).await.expect("reads");
    assert_eq!(pools[0]["poolid"], "homelab");
    let out = cluster::pool_member("homelab", 130, false);
    client.call(&out).await.expect("out of it");
    assert!(members().await.is_empty());
}

#[tokio::test]
async fn a_backup_is_made_restored_and_made_by_jobs() {
    let lab = Lab::start().await;
    let client = lab.root();
    let (guest, request) = container(130);
    assert_eq!(ended(&client, &request).await, TaskEnd::Ok);
    let now = backup::now(&guest, "local", "snapshot");
    assert_eq!(ended(&client, &now).await, TaskEnd::Ok);
    let archives = volumes(&client, "backup").await;
    assert_eq!(archives.len(), 1, "{archives:?}");
    let other = Guest::new(Kind::Lxc, "pve1", 131);
    let restore = backup::restore(&other, &archives[0], Some("snap"));
    assert_eq!(ended(&client, &restore).await, TaskEnd::Ok);
    let config = other.read_config(&client).await.expect("reads");
    assert_eq!(config.expect("is there").get("hostname"), Some("web"));
    let missing = backup::now(&Guest::new(Kind::Lxc, "pve1", 999), "local", "stop");
    let failed = ended(&client, &missing).await;
    assert_eq!(failed, TaskEnd::Failed("job errors".into()));
    let job = backup::job_create("nightly").with_all([
        ("schedule", "daily"),
        ("storage", "local"),
        ("vmid", "130"),
    ]);
    client.call(&job).await.expect("creates");
    let jobs = async || backup::jobs(&client).await.expect("reads");
    assert_eq!(jobs().await[0]["id"], "nightly");
    let set = backup::job_set("nightly").with("schedule", "sun 03:00");
    client.call(&set).await.expect("sets");
    assert_eq!(jobs().await[0]["schedule"], "sun 03:00");
    let gone = backup::job_delete("nightly");
    client.call(&gone).await.expect("removes");
    assert_eq!(jobs().await.len(), 0);
    client.call(&gone).await.expect_err("it is gone");
}

#[tokio::test]
async fn high_availability_keeps_a_guest_and_lets_it_go() {
    let lab = Lab::start().await;
    let client = lab.root();
    let (guest, request) = container(130);
    assert_eq!(ended(&client, &request).await, TaskEnd::Ok);
    assert_eq!(ha::read(&client, &guest).await, Ok(None));
    let add = ha::add(&guest)
        .with("state", "started")
        .with("max_restart", 2);
    client.call(&add).await.expect("adds");
    let kept = ha::read(&client, &guest).await.expect("reads");
    let kept = kept.expect("is kept");
    assert_eq!(
        (kept.state.as_str(), kept.max_restart),
        ("started", Some(2))
    );
    let started = std::time::Instant::now();
    let state = loop {
        let status = ha::status(&client, &guest).await.expect("reads");
        let (state, node) = status.expect("is kept");
        assert_eq!(node, "pve1");
        if state == "started" || started.elapsed() > LIMIT {
            break state;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(state, "started");
    let status = guest.look(&client).await.expect("looks").expect("is");
    assert!(status.managed && status.is_running(), "{status:?}");
    let stop = ha::set(&guest).with("state", "stopped");
    client.call(&stop).await.expect("sets");
    let kept = ha::read(&client, &guest).await.expect("reads");
    assert_eq!(kept.expect("is kept").state, "stopped");
    client.call(&ha::remove(&guest)).await.expect("removes");
    assert_eq!(ha::read(&client, &guest).await, Ok(None));
}
