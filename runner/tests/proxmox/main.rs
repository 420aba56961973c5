//! The client against the lab's server: neither knows the other, both were written from what a real server does.

mod cluster_wide;
mod guests;

use std::sync::Arc;
use std::time::Duration;

use runbook_lab::fixture::Fixture;
use runbook_lab::pve::faults::When;
use runbook_lab::pve::{Cluster, Fault, Hooks, NoHooks, Options, Server};
use runbook_proxmox::access::{self, Need};
use runbook_proxmox::cluster::{self, Place};
use runbook_proxmox::guest::{self, Created, Guest, Kind};
use runbook_proxmox::task::{self, TaskEnd};
use runbook_proxmox::{Auth, Client, Endpoint, Error, Request, Times, Trust, same_option, storage};

const STATE: &str = r#"{
    "nodes": [{"name": "pve1", "ip": "127.0.0.1", "devices": [
        {"pci": "0000:01:00.0", "vendor": "0x10de", "device": "0x1b80", "class": "0x030000", "iommu-group": 14}]}],
    "mappings": [{"id": "gpu0", "map": ["node=pve1,path=0000:01:00.0,id=10de:1b80"]}],
    "appliances": ["debian-13-standard_13.1-2_amd64.tar.zst"],
    "storages": [
        {"id": "local", "type": "dir", "path": "/var/lib/vz", "content": "iso,vztmpl,backup,rootdir,images,snippets"},
        {"id": "snap", "type": "fakesnap", "path": "/var/lib/snap", "content": "rootdir,images"}],
    "templates": ["local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"],
    "users": [{"userid": "root@pam", "enable": 1, "password": "geheim-genug"}, {"userid": "bob@pve", "enable": 1}],
    "tokens": [
        {"id": "root@pam!lab", "privsep": 0, "value": "11111111-2222-3333-4444-555555555555"},
        {"id": "bob@pve!none", "privsep": 1, "value": "22222222-2222-3333-4444-555555555555"}],
    "acl": [],
    "bridges": [{"iface": "vmbr0", "cidr": "192.168.1.10/24", "gateway": "192.168.1.1", "bridge_ports": "none"}],
    "guests": []
}"#;
const TEMPLATE: &str = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst";
const LIMIT: Duration = Duration::from_secs(30);

struct Lab {
    cluster: Arc<Cluster>,
    server: Server,
}

impl Lab {
    async fn start() -> Self {
        Self::with(Box::new(NoHooks)).await
    }

    async fn with(hooks: Box<dyn Hooks>) -> Self {
        let fixture = Fixture::parse(STATE).expect("a fixture");
        let cluster = Cluster::with_hooks(&fixture, hooks);
        let mut options = Options::local().expect("an identity");
        options.unauthorized_delay = Duration::ZERO;
        let server = Server::start(Arc::clone(&cluster), options).await;
        let server = server.expect("a server");
        Self { cluster, server }
    }

    fn client(&self, auth: Auth) -> Client {
        let endpoint = Endpoint {
            url: self.server.url(),
            auth,
            trust: Trust::Fingerprint(self.server.fingerprint.clone()),
        };
        let times = Times {
            pause: Duration::from_millis(20),
            search: Duration::from_secs(3),
            ..Times::default()
        };
        Client::with_times(endpoint, times).expect("a client")
    }

    fn root(&self) -> Client {
        self.client(Auth::token(
            "root@pam!lab",
            "11111111-2222-3333-4444-555555555555",
        ))
    }
}

fn container(vmid: u32) -> (Guest, Request) {
    let new = Guest::new(Kind::Lxc, "pve1", vmid);
    let request = new.create([
        ("ostemplate", TEMPLATE),
        ("hostname", "web"),
        ("rootfs", "snap:8"),
        ("net0", "name=eth0,bridge=vmbr0,ip=dhcp"),
        ("tags", "b;A"),
    ]);
    (new, request)
}

async fn ended(client: &Client, request: &Request) -> TaskEnd {
    let answer = client.call(request).await.expect("accepted");
    let upid = task::upid(&answer).expect("a task");
    let finished = task::wait(client, &upid, LIMIT, |_| {}).await;
    finished.expect("ends").end
}

#[tokio::test]
async fn a_container_lives_its_whole_life() {
    let lab = Lab::start().await;
    let client = lab.root();
    let created = cluster::create_next(&client, 130..=139, "vzcreate", "pve1", container).await;
    let (guest, upid) = created.expect("created");
    let mut lines = 0;
    let finished = task::wait(&client, &upid, LIMIT, |_| lines += 1)
        .await
        .expect("ends");
    assert_eq!((finished.end, guest.vmid), (TaskEnd::Ok, 130));
    assert!(lines > 0);
    let config = guest
        .read_config(&client)
        .await
        .expect("reads")
        .expect("is there");
    for (option, wish) in [
        ("net0", "name=eth0,bridge=vmbr0,ip=dhcp"),
        ("rootfs", "snap:8"),
        ("tags", "b;A"),
        ("hostname", "web"),
    ] {
        let is = config.get(option).unwrap_or_default();
        assert!(same_option(Kind::Lxc, option, wish, is), "{option}: {is}");
    }
    let stale = guest.set(
        [("memory", "1024")],
        &[],
        Some("0123456789012345678901234567890123456789"),
    );
    let error = client.call(&stale).await.expect_err("stale");
    assert!(error.is_digest_conflict(), "{error:?}");
    let set = guest.set([("memory", "1024")], &[], config.digest.as_deref());
    client.call(&set).await.expect("sets");
    assert_eq!(ended(&client, &guest.start()).await, TaskEnd::Ok);
    let error = client.call(&guest.start()).await.expect_err("runs");
    assert!(error.is_running(), "{error:?}");
    assert!(
        guest
            .look(&client)
            .await
            .expect("looks")
            .expect("is there")
            .is_running()
    );
    assert_eq!(
        ended(&client, &guest.snapshot("before", Some("x"), false)).await,
        TaskEnd::Ok
    );
    let snapshots = guest.read_snapshots(&client).await.expect("reads");
    assert_eq!(
        (snapshots.len(), snapshots[0].description.as_str()),
        (1, "x")
    );
    assert_eq!(
        ended(&client, &guest.rollback("before", false)).await,
        TaskEnd::Ok
    );
    let error = client
        .call(&guest.stop())
        .await
        .expect_err("the rollback stopped it");
    assert!(error.is_not_running(), "{error:?}");
    assert_eq!(ended(&client, &guest.destroy()).await, TaskEnd::Ok);
    assert_eq!(guest.look(&client).await, Ok(None));
    assert_eq!(cluster::place(&client, 130).await, Ok(Place::Absent));
}

#[tokio::test]
async fn what_is_wrong_is_told_apart() {
    let lab = Lab::start().await;
    let client = lab.root();
    let (guest, request) = container(130);
    let bad = Guest::new(Kind::Lxc, "pve1", 131).create([
        ("ostemplate", TEMPLATE),
        ("cores", "x"),
        ("bogus", "1"),
    ]);
    let Err(Error::Parameters { errors, .. }) = client.call(&bad).await else {
        panic!("bad parameters");
    };
    assert_eq!(errors.keys().collect::<Vec<_>>(), ["bogus", "cores"]);
    let error = client.call(&Request::get("/nope")).await;
    assert!(matches!(error, Err(Error::NotImplemented(_))), "{error:?}");
    let error = cluster::node(&client, "PVE1")
        .await
        .expect_err("the wrong case")
        .to_string();
    assert!(error.contains("did you mean `pve1`?"), "{error}");
    let error = client.call(&guest.config()).await.expect_err("none");
    assert!(error.is_not_found(), "{error:?}");
    assert_eq!(ended(&client, &request).await, TaskEnd::Ok);
    let created = guest::create(&client, &guest, &request, "vzcreate", "pve1").await;
    assert!(matches!(created, Ok(Created::Taken(_))), "{created:?}");
    let nobody = lab.client(Auth::token(
        "bob@pve!none",
        "22222222-2222-3333-4444-555555555555",
    ));
    assert_eq!(cluster::place(&nobody, 130).await, Ok(Place::Hidden));
    let error = nobody.call(&guest.status()).await;
    let Err(Error::Forbidden {
        needs: Some((path, privileges)),
        ..
    }) = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(
        (path.as_str(), privileges),
        ("/vms/130", vec!["VM.Audit".to_owned()])
    );
    let needs = [Need::new("/vms/130", &["VM.PowerMgmt"], "start")];
    assert_eq!(
        access::rights(&nobody)
            .await
            .expect("reads")
            .missing(&needs)
            .len(),
        1
    );
    assert_eq!(
        access::rights(&client)
            .await
            .expect("reads")
            .missing(&needs)
            .len(),
        0
    );
    let wrong = lab.client(Auth::token(
        "root@pam!lab",
        "99999999-2222-3333-4444-555555555555",
    ));
    let error = wrong.call(&Request::get("/version")).await;
    assert!(matches!(error, Err(Error::Unauthorized(_))), "{error:?}");
}

#[tokio::test]
async fn a_login_does_what_a_token_may_not() {
    let lab = Lab::start().await;
    let (token, login) = (
        lab.root(),
        lab.client(Auth::login("root@pam", "geheim-genug")),
    );
    let (guest, request) = container(130);
    assert_eq!(ended(&token, &request).await, TaskEnd::Ok);
    let fuse = guest.set([("features", "fuse=1")], &[], None);
    let error = token.call(&fuse).await.expect_err("root@pam only");
    assert!(error.needs_root(), "{error:?}");
    login.call(&fuse).await.expect("sets");
    assert_eq!(login.user(), "root@pam");
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_is_found_and_exists_once() {
    for fault in [
        Fault::Reset { done: true },
        Fault::Status {
            status: 596,
            text: "Connection timed out".into(),
            done: true,
        },
    ] {
        let lab = Lab::start().await;
        let client = lab.root();
        let when = When {
            method: Some("POST".into()),
            path: Some("/lxc".into()),
            times: 1,
            ..When::default()
        };
        lab.cluster.faults().plan(when, fault);
        let (guest, request) = container(130);
        let created = guest::create(&client, &guest, &request, "vzcreate", "pve1").await;
        let Ok(Created::Task(upid)) = created else {
            panic!("{created:?}");
        };
        let finished = task::wait(&client, &upid, LIMIT, |_| {})
            .await
            .expect("ends");
        assert_eq!(finished.end, TaskEnd::Ok);
        let tasks = client
            .call(&task::list("pve1", Some(130), Some("vzcreate")))
            .await;
        assert_eq!(tasks.expect("reads").as_array().map(Vec::len), Some(1));
    }
}

#[tokio::test]
async fn a_wait_survives_the_faults_of_the_way() {
    let lab = Lab::start().await;
    let client = lab.root();
    let (_, request) = container(130);
    let upid = task::upid(&client.call(&request).await.expect("accepted")).expect("a task");
    for fault in [
        Fault::Refuse,
        Fault::Reset { done: false },
        Fault::Status {
            status: 595,
            text: "No route to host".into(),
            done: false,
        },
        Fault::Unauthorized,
    ] {
        let when = When {
            path: Some("/tasks/".into()),
            times: 1,
            ..When::default()
        };
        lab.cluster.faults().plan(when, fault);
    }
    let finished = task::wait(&client, &upid, LIMIT, |_| {})
        .await
        .expect("ends");
    assert_eq!(finished.end, TaskEnd::Ok);
}

#[tokio::test]
async fn storages_and_versions_are_read() {
    let lab = Lab::start().await;
    let client = lab.root();
    let identity = cluster::identity(&client).await.expect("reads");
    assert!(identity.version.starts_with("9."), "{identity:?}");
    assert_eq!(identity.node, "pve1");
    let volumes = storage::content(&client, "pve1", "local", Some("vztmpl"))
        .await
        .expect("reads");
    assert_eq!(volumes.len(), 1);
    assert_eq!(volumes[0].volid, TEMPLATE);
    let storages = storage::list(&client, "pve1").await.expect("reads");
    assert!(
        storages
            .iter()
            .any(|storage| storage.id == "local" && storage.active),
        "{storages:?}"
    );
}
