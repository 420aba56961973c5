//! The way into a pod, by the Kubernetes API's `exec`: on a cluster of the lab and, where `RUNBOOK_TEST_KUBECONFIG` names one, on
//! a real server.

use std::path::Path;
use std::time::Duration;

use runbook_k8s::{Access, Client, Request, Resource};
use runbook_lab::hosts::Hosts;
use runbook_lab::kube::{Server, Settings};
use runbook_runner::process::{Cancel, End, Limits, Record};
use runbook_runner::reach::PodPlace;
use runbook_runner::remote::{Cause, Program, RemoteError, Way};
use runbook_runner::world::find_pod;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::endpoint::{Endpoint, SETSID, hosts, run, script, skipped};

/// How long a pod may take to run.
const READY: Duration = Duration::from_secs(60);

/// A pod of the lab.
pub(crate) struct Pod {
    place: PodPlace,
    _server: Server,
    _hosts: Hosts,
    _directory: TempDir,
}

impl Pod {
    pub(crate) fn way(&self) -> Way {
        Way::Container(self.place.container.clone())
    }
}

fn object(name: &str) -> Value {
    let container = json!({"name": "main", "image": "debian:13"});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    })
}

async fn client(kubeconfig: &Path) -> Client {
    let access = Access::Kubeconfig {
        path: kubeconfig.to_owned(),
        context: None,
    };
    Client::connect(&access).await.expect("a client")
}

/// The pod, once it runs.
async fn running(client: &Client, name: &str) -> PodPlace {
    let find = async {
        loop {
            match find_pod(client, "lab", "default", name).await {
                Ok(place) => return place,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(READY, find).await.expect("it runs")
}

/// A pod of the lab; `None`, said aloud, where there can be none or another server is given.
pub(crate) async fn in_a_pod() -> Option<Endpoint> {
    if std::env::var_os("RUNBOOK_TEST_SSH_CONFIG").is_some() {
        skipped("another server is given");
        return None;
    }
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("roots")).expect("a directory");
    let hosts = hosts(directory.path(), Vec::new()).await?;
    let settings = Settings {
        objects: vec![object("target")],
        ..Settings::default()
    };
    let server = Server::with_programs(settings, hosts.programs()).await;
    let server = server.expect("a cluster");
    let kubeconfig = directory.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).expect("a file");
    let place = running(&client(&kubeconfig).await, "target").await;
    let mut endpoint = Endpoint::new(directory.path().join("config"), "target".into(), None);
    endpoint.pod = Some(Pod {
        place,
        _server: server,
        _hosts: hosts,
        _directory: directory,
    });
    // Scripts here leave their session by it, and the lab's pods have none. The input stays open: it is read by its count.
    let bring = Program::Lines {
        text: format!(
            "head -c {} >/usr/local/bin/setsid && chmod 755 /usr/local/bin/setsid",
            SETSID.len()
        ),
        input: SETSID.into(),
    };
    let limits = Limits::new(READY, Cancel::new());
    let answer = endpoint.remote().lines(&bring, 1024, limits).await;
    assert_eq!(answer.expect("it ran").code, 0);
    Some(endpoint)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_ends_what_runs_there() {
    let Some(endpoint) = in_a_pod().await else {
        return;
    };
    let (remote, number) = (endpoint.remote(), crate::endpoint::unique());
    let text = format!("trap '' TERM; sleep {number}; sleep {number}");
    let program = script("bash", &text, &[]);
    let limits = Limits::new(READY, Cancel::new());
    let running =
        tokio::spawn(async move { remote.run(&program, limits, Record::default()).await });
    while endpoint.alive(&number).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The future is dropped, and with it the connection.
    running.abort();
    assert_eq!(endpoint.gone(&number, READY).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn much_output_passes_in_pieces() {
    const BYTES: usize = 256 << 20;
    let Some(endpoint) = in_a_pod().await else {
        return;
    };
    let text = format!("head -c {BYTES} /dev/zero; echo done >&2");
    let finished = run(&endpoint.remote(), "sh", &text, &[], 300.0)
        .await
        .expect("it ran");
    assert_eq!(finished.code, Some(0));
    assert_eq!(finished.output.stdout.total(), BYTES as u64);
    assert!(!finished.output.stdout.is_whole(), "it is bounded");
    assert_eq!(finished.output.stderr.text(), "done\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_gone_cannot_be_used() {
    let Some(endpoint) = in_a_pod().await else {
        return;
    };
    let pod = endpoint.pod.as_ref().expect("a pod");
    let kubeconfig = pod._directory.path().join("kubeconfig");
    let client = client(&kubeconfig).await;
    let gone = Request::delete(&Resource::pod(), Some("default"), "target", json!({}));
    client.send(&gone).await.expect("deleted");
    let error = loop {
        match run(&endpoint.remote(), "sh", "true", &[], 10.0).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => break error,
        }
    };
    let RemoteError::Unavailable { cause, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(matches!(cause, Cause::Api { .. }), "{cause:?}");
}

#[tokio::test]
async fn a_real_server_carries_the_script_and_its_end() {
    let Some(kubeconfig) = std::env::var_os("RUNBOOK_TEST_KUBECONFIG") else {
        skipped("RUNBOOK_TEST_KUBECONFIG names no kubeconfig");
        return;
    };
    let client = client(Path::new(&kubeconfig)).await;
    let name = format!("way-{}", std::process::id());
    let made = Request::create(&Resource::pod(), Some("default"), object(&name));
    client.send(&made).await.expect("made");
    let place = running(&client, &name).await;
    let endpoint = Endpoint::new("/nonexistent".into(), name.clone(), None);
    let remote = endpoint.by(Way::Container(place.container));
    // Its exit code comes with the output: KWOK 0.8.0 loses the other one.
    let finished = run(&remote, "sh", "echo out; echo err >&2; exit 7", &[], 60.0).await;
    let gone = Request::delete(&Resource::pod(), Some("default"), &name, json!({}));
    client.send(&gone).await.expect("deleted");
    let finished = finished.expect("it ran");
    assert_eq!((finished.end, finished.code), (End::Itself, Some(7)));
    assert_eq!(finished.output.stdout.text(), "out\n");
    assert_eq!(finished.output.stderr.text(), "err\n");
}
