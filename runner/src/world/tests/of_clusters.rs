//! Clusters of a lab, from what the inventory says of them.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use runbook_k8s::Query;
use runbook_lab::hosts::Served;
use serde_json::Value;

use super::*;
use crate::probe::Dial as _;

const LIMIT: Duration = Duration::from_secs(30);
const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: nginx}]}}
";

/// A world of a book in that folder.
async fn world(folder: &Path, inventory: &str) -> World {
    let book = book_of(inventory);
    let around = around(folder);
    fs::create_dir_all(folder.join("scratch")).expect("a folder");
    lab::open(&book, &around, &[]).await.expect("a lab")
}

async fn get(cluster: &Cluster, kind: &str, namespace: Option<&str>) -> Vec<Value> {
    let resource = cluster
        .client
        .resource_called(kind, None)
        .await
        .expect("a kind");
    let query = Query::all(&resource, namespace);
    cluster.client.list(&query).await.expect("a list").items
}

fn names(objects: &[Value]) -> Vec<&str> {
    objects
        .iter()
        .filter_map(|object| object["metadata"]["name"].as_str())
        .collect()
}

#[tokio::test]
async fn a_cluster_has_what_the_inventory_says_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("lab")).expect("a folder");
    fs::write(folder.path().join("lab/home.yaml"), OBJECTS).expect("a file");
    let inventory = "
guests:
  web: {kind: vm, vmid: 100}
  k3s1: {kind: vm, vmid: 201}
  k3s2: {kind: vm, vmid: 202}
clusters:
  home: {facts: {lab: {load-balancers: 192.168.4.80-192.168.4.81, fail: [{kind: Deployment, name: bad, reason: crash-loop}]}}}
";
    let world = world(folder.path(), inventory).await;
    let home = world.clusters().get("home").await.expect("a cluster");
    assert_eq!(names(&get(&home, "nodes", None).await), ["k3s1", "k3s2"]);
    let services = get(&home, "services", Some("shop")).await;
    assert_eq!(names(&services), ["web"]);
    let kubeconfig = world.clusters().kubeconfig().await.expect("a kubeconfig");
    let kubeconfig: Value = serde_json::from_str(&kubeconfig).expect("JSON");
    assert_eq!(kubeconfig["current-context"], "home");
    assert_eq!(kubeconfig["contexts"][0]["name"], "home");
    let failure = world.clusters().get("other").await.err().expect("none");
    assert_eq!(failure.message, "the lab has no cluster `other`");
}

#[tokio::test]
async fn what_is_broken_is_told_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(
        folder.path().join("bad.yaml"),
        "kind: Pod\nmetadata: {name: x}\n---\n- 1\n",
    )
    .expect("a file");
    let unknown =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: y}\nspec: {containers: 1}\n";
    fs::write(folder.path().join("pod.yaml"), unknown).expect("a file");
    for (facts, message, hint) in [
        (
            "load-balancers: everywhere",
            "inventory.yaml:3: `everywhere` is no range",
            "CIDR",
        ),
        (
            "fail: [{kind: Pod, name: x, reason: tired}]",
            "inventory.yaml:3: the lab knows no failure `tired`",
            "image-pull",
        ),
        (
            "objects: none.yaml",
            "inventory.yaml:3: `objects`: ",
            "manifest",
        ),
        ("objects: bad.yaml", "document 2, line 4", "manifest"),
        (
            "objects: pod.yaml",
            "pod.yaml: the lab's first object Pod/x is refused",
            "correct it",
        ),
    ] {
        let inventory = format!("clusters:\n  home:\n    facts: {{lab: {{{facts}}}}}\n");
        let world = world(folder.path(), &inventory).await;
        let failure = world.clusters().get("home").await.err().expect("broken");
        assert!(
            failure.message.contains(message),
            "{facts}: {}",
            failure.message
        );
        assert!(
            failure
                .hint
                .as_deref()
                .is_some_and(|text| text.contains(hint)),
            "{facts}: {failure:?}"
        );
    }
    let inventory = "clusters:\n  home:\n    stand-ins: {80: {needs: nginx, table: t.yaml}}\n";
    fs::write(folder.path().join("t.yaml"), "- {path: /}\n").expect("a file");
    let world = world(folder.path(), inventory).await;
    let failure = world.clusters().get("home").await.err().expect("broken");
    assert!(
        failure
            .message
            .contains("inventory.yaml:3: the stand-in at port 80 needs `nginx`"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn a_stand_in_answers_at_the_address_of_its_service_while_that_serves() {
    if runbook_lab::isolate::available().is_err() {
        return skipped("this machine allows no isolation");
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("lab")).expect("a folder");
    fs::write(folder.path().join("lab/home.yaml"), OBJECTS).expect("a file");
    fs::write(folder.path().join("web.yaml"), "- {path: /, body: hello}\n").expect("a file");
    let inventory = "
guests:
  k3s1: {kind: vm, vmid: 201, address: 192.168.4.201, stand-ins: {30080: {needs: Deployment/shop/web, table: web.yaml}}}
clusters:
  home:
    facts: {lab: {load-balancers: 192.168.4.80-192.168.4.81}}
    stand-ins: {80: {needs: Service/shop/web, table: web.yaml}}
";
    let world = world(folder.path(), inventory).await;
    let network = world.network().expect("a network");
    let at: SocketAddr = "192.168.4.80:80".parse().expect("an address");
    let node: SocketAddr = "192.168.4.201:30080".parse().expect("an address");
    assert_eq!(
        network.served(at),
        Served::Unknown,
        "nobody asked for the cluster"
    );
    assert_eq!(network.served(node), Served::StandIn);
    let home = world.clusters().get("home").await.expect("a cluster");
    world.clusters().settle().await;
    assert_eq!(network.served(at), Served::StandIn);
    assert!(
        network.connect(at, LIMIT).await.is_err(),
        "nothing is behind it"
    );
    let deployments = home
        .client
        .resource_called("deployments", None)
        .await
        .expect("a kind");
    let scale = |replicas: u32| {
        let (home, deployments) = (&home, &deployments);
        async move {
            let patch = serde_json::json!({"spec": {"replicas": replicas}});
            let query = Query::one(deployments, Some("shop"), "web");
            let content = runbook_k8s::Content::Merge;
            let scaled =
                runbook_k8s::change::patch(&home.client, &query, content, &patch, "test", false);
            scaled.await.expect("scaled");
            for _ in 0..600 {
                let pods = get(home, "pods", Some("shop")).await;
                let is_ready = |pod: &Value| {
                    runbook_k8s::kstatus::condition(pod, "Ready")
                        .is_some_and(|it| it.status == "True")
                };
                if pods.len() == replicas as usize && pods.iter().all(is_ready) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    scale(1).await;
    answers(&world, at, true).await;
    answers(&world, node, true).await;
    assert!(network.stand_ins_used() >= 2);
    scale(0).await;
    answers(&world, at, false).await;
}

/// Says so past the harness, which keeps what a test prints that passes.
fn skipped(why: &str) {
    // Nobody may be listening.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// Waits until something answers at a place, or nothing does.
async fn answers(world: &World, at: SocketAddr, does: bool) {
    let network = world.network().expect("a network");
    for _ in 0..600 {
        world.clusters().settle().await;
        if network.connect(at, LIMIT).await.is_ok() == does {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{at}: {does}");
}

#[tokio::test]
async fn what_a_profile_says_of_a_cluster_fails_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = "{apiVersion: v1, kind: Config, clusters: [], users: [], contexts: [], current-context: ''}";
    fs::write(folder.path().join("kubeconfig"), kubeconfig).expect("a file");
    let inventory = "clusters: {home: {}, other: {}}\nprofiles:\n  house:\n    clusters:\n      home: {kubeconfig: none, context: a}\n      other: {kubeconfig: kubeconfig, context: b}\n";
    let book = book_of(inventory);
    let clusters = Clusters::of_profile(&book.inventory, "house", folder.path());
    for (name, message) in [
        ("home", "inventory.yaml:5: kubeconfig `"),
        ("other", "has no context `b`: it has none"),
    ] {
        let failure = clusters.get(name).await.err().expect("broken");
        assert!(failure.message.contains(message), "{}", failure.message);
        let hint = failure.hint.expect("a hint");
        assert!(hint.contains("kubeconfig: FILE"), "{hint}");
    }
}

#[tokio::test]
async fn flux_is_bootstrapped_from_the_git_of_the_world() {
    if std::process::Command::new("git")
        .arg("--version")
        .output()
        .is_err()
    {
        return skipped("there is no git");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let manifests = folder.path().join("book/clusters/home");
    fs::create_dir_all(&manifests).expect("a folder");
    fs::write(
        manifests.join("motd.yaml"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: motd, namespace: default}\ndata: {text: hello}\n",
    )
    .expect("a file");
    let world = world(
        folder.path(),
        "clusters:\n  home:\n    facts: {lab: {flux: true}}\n",
    )
    .await;
    let home = world.clusters().get("home").await.expect("a cluster");
    let controllers = get(&home, "deployments", Some("flux-system")).await;
    assert_eq!(
        names(&controllers),
        [
            "helm-controller",
            "kustomize-controller",
            "source-controller"
        ]
    );
    for _ in 0..600 {
        let maps = get(&home, "configmaps", Some("default")).await;
        if names(&maps).contains(&"motd") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let kustomizations = get(&home, "kustomizations", Some("flux-system")).await;
    panic!("{kustomizations:#?}");
}
