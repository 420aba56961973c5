//! What is read of a cluster: its name, its nodes, its guests, numbers that are free, however loosely the answers are typed.

use runbook_proxmox::Error;
use runbook_proxmox::cluster::{self, Identity};
use runbook_proxmox::guest::{Guest, Kind};

use crate::server::{Act, Server, answer, data};

const STATUS: &str = r#"[
    {"type":"cluster","name":"home","nodes":"2","quorate":"1","version":3,"id":"cluster"},
    {"type":"node","name":"pve2","ip":"192.0.2.2","local":0,"online":1},
    {"type":"node","name":"pve1","ip":"192.0.2.1","local":"1","online":1}]"#;

#[tokio::test]
async fn what_one_is_connected_to_has_version_node_and_cluster() {
    let server = Server::start(|_, asked| match asked.path.as_str() {
        "/api2/json/version" => data(r#"{"version":"9.2.11","release":"9.2"}"#),
        _ => data(STATUS),
    })
    .await;
    let identity = cluster::identity(&server.client()).await;
    let expected = Identity {
        version: "9.2.11".into(),
        node: "pve1".into(),
        cluster: Some("home".into()),
    };
    assert_eq!(identity, Ok(expected));
}

#[tokio::test]
async fn without_the_right_to_see_the_cluster_its_one_node_is_told() {
    let server = Server::start(|_, asked| match asked.path.as_str() {
        "/api2/json/version" => data(r#"{"version":"9.2.11"}"#),
        "/api2/json/nodes" => data(r#"[{"node":"pve1","status":"online"}]"#),
        _ => answer(403, "Permission check failed (/, Sys.Audit)", ""),
    })
    .await;
    let identity = cluster::identity(&server.client()).await.expect("reads");
    assert_eq!((identity.node.as_str(), identity.cluster), ("pve1", None));
}

#[tokio::test]
async fn a_node_is_found_by_its_own_name_only_and_near_ones_are_told() {
    let nodes = r#"[{"node":"pve2","status":"offline"},{"node":"pve1","status":"online","ssl_fingerprint":"AA:BB"}]"#;
    let server = Server::start(move |_, _| data(nodes)).await;
    let client = server.client();
    let node = cluster::node(&client, "pve1").await.expect("is there");
    assert_eq!(
        (node.status.as_str(), node.fingerprint.as_deref()),
        ("online", Some("AA:BB"))
    );
    for (name, hint) in [
        ("PVE1", "no node `PVE1`; did you mean `pve1`?"),
        (
            "pve2.home.arpa",
            "no node `pve2.home.arpa`; did you mean `pve2`?",
        ),
        ("nope", "no node `nope`; there are pve1, pve2"),
    ] {
        let error = cluster::node(&client, name).await;
        assert_eq!(error, Err(Error::Setting(hint.into())));
    }
}

#[tokio::test]
async fn guests_are_read_however_loosely_they_are_typed() {
    const ROWS: &str = r#"[
        {"id":"lxc/130","type":"lxc","vmid":"130","node":"pve1","status":"unknown"},
        {"id":"qemu/200","type":"qemu","vmid":200,"node":"pve2","name":"builder","template":"1","tags":"a;b"},
        {"id":"storage/pve1/local","type":"storage","storage":"local","node":"pve1"}]"#;
    let server = Server::start(|_, _| data(ROWS)).await;
    let client = server.client();
    let guests = cluster::guests(&client).await.expect("reads");
    assert_eq!(guests.len(), 2);
    // One that is new has neither name nor tags for some seconds.
    assert_eq!(guests[0].guest, Guest::new(Kind::Lxc, "pve1", 130));
    assert_eq!(
        (guests[0].name.as_deref(), guests[0].template),
        (None, false)
    );
    assert_eq!(guests[1].guest, Guest::new(Kind::Qemu, "pve2", 200));
    assert_eq!(guests[1].tags, ["a", "b"]);
    assert!(guests[1].template);
    assert_eq!(server.asked()[0].query, "type=vm");
}

#[tokio::test]
async fn a_number_of_a_guest_that_may_not_be_seen_is_not_free() {
    let server = Server::start(|_, asked| -> Act {
        match (asked.path.as_str(), asked.query.as_str()) {
            ("/api2/json/cluster/resources", _) => {
                data(r#"[{"type":"lxc","vmid":130,"node":"pve1"}]"#)
            }
            (_, "vmid=131") => {
                let body = r#"{"data":null,"message":"Parameter verification failed.\n","errors":{"vmid":"VM 131 already exists"}}"#;
                answer(400, "Parameter verification failed.", body)
            }
            _ => data("\"132\""),
        }
    })
    .await;
    let client = server.client();
    assert_eq!(cluster::next_free(&client, 130..=139, &[]).await, Ok(132));
    assert_eq!(
        cluster::next_free(&client, 130..=139, &[132]).await,
        Ok(133)
    );
    let none = cluster::next_free(&client, 130..=131, &[]).await;
    assert!(
        matches!(&none, Err(error) if error.to_string() == "no number of 130-131 is free"),
        "{none:?}"
    );
}
