//! kubectl itself against the lab. Where it is not there, the test says so and is skipped.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::{DEADLINE, Lab, lab};

pub(crate) struct Kubectl {
    dir: tempfile::TempDir,
}

impl Kubectl {
    pub(crate) fn new(lab: &Lab) -> Option<Self> {
        let there = std::process::Command::new("kubectl")
            .args(["version", "--client"])
            .output()
            .is_ok_and(|out| out.status.success());
        if !there {
            eprintln!("SKIPPED: no `kubectl` on this machine");
            return None;
        }
        let dir = tempfile::tempdir().expect("a directory is made");
        std::fs::write(dir.path().join("config"), lab.server.kubeconfig())
            .expect("the kubeconfig is written");
        Some(Self { dir })
    }

    pub(crate) async fn run(&self, args: &str, input: &str) -> (i32, String, String) {
        self.run_words(&args.split(' ').collect::<Vec<_>>(), input)
            .await
    }

    pub(crate) async fn run_words(&self, args: &[&str], input: &str) -> (i32, String, String) {
        let mut child = Command::new("kubectl")
            .args(args)
            .env("KUBECONFIG", self.dir.path().join("config"))
            .env("HOME", self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("its input is ours");
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let out = tokio::time::timeout(DEADLINE, child.wait_with_output())
            .await
            .expect("kubectl ends")
            .expect("kubectl ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            out.status.code().unwrap_or(-1),
            text(&out.stdout),
            text(&out.stderr),
        )
    }

    /// Its output; it must have succeeded.
    #[track_caller]
    fn good((code, out, error): (i32, String, String)) -> String {
        assert_eq!(code, 0, "{out}{error}");
        out
    }
}

const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: 'registry.lab/web:1'}]}
";

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_works_against_it() {
    let lab = lab().await;
    let Some(kubectl) = Kubectl::new(&lab) else {
        return;
    };
    let good = Kubectl::good;
    assert!(good(kubectl.run("get namespaces", "").await).contains("kube-system"));
    let applied = good(kubectl.run("apply --server-side -f -", WEB).await);
    assert_eq!(applied.trim(), "deployment.apps/web serverside-applied");
    good(
        kubectl
            .run("rollout status deployment/web --timeout=20s", "")
            .await,
    );
    good(
        kubectl
            .run(
                "wait --for=condition=Available deployment/web --timeout=20s",
                "",
            )
            .await,
    );
    let wide = good(kubectl.run("get deployments -o wide", "").await);
    assert!(
        wide.contains("2/2") && wide.contains("registry.lab/web:1"),
        "{wide}"
    );
    let path = good(
        kubectl
            .run("get deployment web -o jsonpath={.status.readyReplicas}", "")
            .await,
    );
    assert_eq!(path, "2");
    let (code, out, error) = kubectl.run("diff --server-side -f -", WEB).await;
    assert_eq!(code, 0, "{out}{error}");
    let (code, out, error) = kubectl
        .run(
            "diff --server-side -f -",
            &WEB.replace("replicas: 2", "replicas: 3"),
        )
        .await;
    assert_eq!(code, 1, "{out}{error}");
    assert!(out.contains("+  replicas: 3"), "{out}");
    let described = good(kubectl.run("describe deployment web", "").await);
    assert!(
        described.contains("ScalingReplicaSet")
            && described.contains("2 desired | 2 updated | 2 total | 2 available"),
        "{described}"
    );
    let pods = good(kubectl.run("get pods -l app=web -o name", "").await);
    let pod = pods.lines().next().expect("a pod is there").to_owned();
    assert!(good(kubectl.run(&format!("describe {pod}"), "").await).contains("Running"));
    good(kubectl.run(&format!("logs {pod}"), "").await);
    good(kubectl.run("scale deployment web --replicas=1", "").await);
    good(
        kubectl
            .run("rollout status deployment/web --timeout=20s", "")
            .await,
    );
    let plain = good(
        kubectl
            .run(
                "apply -f -",
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: '1'}\n",
            )
            .await,
    );
    assert_eq!(plain.trim(), "configmap/c created");
    let again = good(
        kubectl
            .run(
                "apply -f -",
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: '2'}\n",
            )
            .await,
    );
    assert_eq!(again.trim(), "configmap/c configured");
    let (code, _, error) = kubectl
        .run(
            "apply -f -",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndota: {k: '2'}\n",
        )
        .await;
    assert_eq!(code, 1);
    assert!(error.contains("unknown field \"dota\""), "{error}");
    good(kubectl.run("delete deployment web --timeout=20s", "").await);
    let (code, _, error) = kubectl.run("get deployment web", "").await;
    assert_eq!(
        (code, error.trim()),
        (
            1,
            "Error from server (NotFound): deployments.apps \"web\" not found"
        )
    );
    good(
        kubectl
            .run(
                "create -f -",
                "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n",
            )
            .await,
    );
    // kubectl's own generators speak protobuf.
    let made = "create deployment made --image=registry.lab/web:1 --replicas=2 --port=8080 -o jsonpath={.spec.replicas}:{.spec.template.spec.containers[0].ports[0].containerPort}";
    assert_eq!(good(kubectl.run(made, "").await), "2:8080");
    good(kubectl.run("create namespace other", "").await);
    good(
        kubectl
            .run("create configmap made --from-literal=k=v", "")
            .await,
    );
    let data = good(
        kubectl
            .run("get configmap made -o jsonpath={.data}", "")
            .await,
    );
    assert_eq!(data, "{\"k\":\"v\"}");
    good(
        kubectl
            .run("create secret generic made --from-literal=k=v", "")
            .await,
    );
    let data = good(
        kubectl
            .run("get secret made -o jsonpath={.data.k}", "")
            .await,
    );
    assert_eq!(data, "dg==");
    assert_eq!(
        good(kubectl.run("auth can-i create deployments", "").await).trim(),
        "yes"
    );
    good(kubectl.run("delete namespace team --timeout=20s", "").await);
}
