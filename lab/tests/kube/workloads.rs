//! Controllers: from a wish to pods, and what is written about it.

use runbook_lab::kube::{Fail, Settings};
use serde_json::{Value, json};

use crate::support::{condition, deployment, lab, lab_with};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn fail(name: &str, reason: &str) -> Settings {
    let fail = Fail {
        kind: "Deployment".into(),
        name: name.into(),
        reason: reason.into(),
        ..Fail::default()
    };
    Settings {
        fail: vec![fail],
        ..Settings::default()
    }
}

fn template(name: &str) -> Value {
    json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "registry.lab/web:1"}]}})
}

#[tokio::test]
async fn a_deployment_becomes_available_and_rolls() {
    let lab = lab().await;
    let path = format!("{DEPLOYMENTS}/web");
    lab.post(DEPLOYMENTS, deployment("web", 3)).await.is(201);
    let ready = lab
        .until(&path, |one| {
            one["status"]["availableReplicas"] == 3
                && condition(one, "Progressing")["reason"] == "NewReplicaSetAvailable"
        })
        .await;
    assert_eq!(
        condition(&ready, "Available")["reason"],
        "MinimumReplicasAvailable"
    );
    assert_eq!(
        ready["status"]["observedGeneration"],
        ready["metadata"]["generation"]
    );
    assert_eq!(
        ready["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "1"
    );
    let pods = lab.get(PODS).await.is(200);
    let pod = &pods["items"][0];
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(pod["metadata"]["ownerReferences"][0]["kind"], "ReplicaSet");
    let change = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "registry.lab/web:2"}]}}}});
    let generation =
        lab.patch(&path, "strategic-merge", change).await.is(200)["metadata"]["generation"].clone();
    let rolled = lab
        .until(&path, |one| {
            one["status"]["observedGeneration"] == generation
                && one["status"]["updatedReplicas"] == 3
                && one["status"]["replicas"] == 3
                && one["status"]["availableReplicas"] == 3
        })
        .await;
    assert_eq!(
        rolled["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "2"
    );
    let sets = lab
        .get("/apis/apps/v1/namespaces/default/replicasets")
        .await
        .is(200);
    assert_eq!(sets["items"].as_array().unwrap().len(), 2);
    lab.delete(&path).await.is(200);
    lab.until(PODS, |list| {
        list["items"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_ends_in_the_deadline() {
    let lab = lab_with(fail("web", "image-pull")).await;
    let mut web = deployment("web", 1);
    web["spec"]["progressDeadlineSeconds"] = 1.into();
    lab.post(DEPLOYMENTS, web).await.is(201);
    let path = format!("{DEPLOYMENTS}/web");
    let late = lab
        .until(&path, |one| {
            condition(one, "Progressing")["reason"] == "ProgressDeadlineExceeded"
        })
        .await;
    assert_eq!(condition(&late, "Progressing")["status"], "False");
    assert_eq!(condition(&late, "Available")["status"], "False");
    let pods = lab
        .until(PODS, |list| {
            list["items"][0]["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
                == "ImagePullBackOff"
        })
        .await;
    assert_eq!(pods["items"][0]["status"]["phase"], "Pending");
}

#[tokio::test]
async fn crash_loops_and_full_nodes_are_told() {
    let lab = lab_with(fail("web", "crash-loop")).await;
    lab.post(DEPLOYMENTS, deployment("web", 1)).await.is(201);
    let pods = lab
        .until(PODS, |list| {
            list["items"][0]["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
                == "CrashLoopBackOff"
        })
        .await;
    assert!(
        pods["items"][0]["status"]["containerStatuses"][0]["restartCount"]
            .as_i64()
            .unwrap()
            >= 1
    );
    let big = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "big"}, "spec": {"containers": [
        {"name": "main", "image": "x", "resources": {"requests": {"cpu": "64"}}},
    ]}});
    lab.post(PODS, big).await.is(201);
    let waiting = lab
        .until(&format!("{PODS}/big"), |one| {
            condition(one, "PodScheduled")["reason"] == "Unschedulable"
        })
        .await;
    let message = condition(&waiting, "PodScheduled")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.starts_with("0/1 nodes are available: 1 Insufficient cpu."),
        "{message}"
    );
}

#[tokio::test]
async fn a_quota_stops_a_deployment() {
    let lab = lab().await;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}});
    lab.post("/api/v1/namespaces/default/resourcequotas", quota)
        .await
        .is(201);
    lab.post(DEPLOYMENTS, deployment("web", 2)).await.is(201);
    let held = lab
        .until(&format!("{DEPLOYMENTS}/web"), |one| {
            condition(one, "ReplicaFailure")["status"] == "True"
        })
        .await;
    let message = condition(&held, "ReplicaFailure")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains("exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"),
        "{message}"
    );
    lab.until("/api/v1/namespaces/default/resourcequotas/q", |one| {
        one["status"]["used"]["pods"] == "1"
    })
    .await;
}

#[tokio::test]
async fn a_stateful_set_keeps_names_order_and_claims() {
    let lab = lab().await;
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"},
        "spec": {
            "replicas": 2, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template("db"),
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
            }}],
        },
    });
    let path = "/apis/apps/v1/namespaces/default/statefulsets/db";
    lab.post("/apis/apps/v1/namespaces/default/statefulsets", set)
        .await
        .is(201);
    let ready = lab
        .until(path, |one| one["status"]["readyReplicas"] == 2)
        .await;
    assert_eq!(
        ready["status"]["currentRevision"],
        ready["status"]["updateRevision"]
    );
    for name in ["db-0", "db-1"] {
        assert_eq!(
            lab.get(&format!("{PODS}/{name}")).await.is(200)["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"],
            name
        );
        let claim = lab
            .get(&format!(
                "/api/v1/namespaces/default/persistentvolumeclaims/data-{name}"
            ))
            .await
            .is(200);
        assert_eq!(claim["status"]["phase"], "Bound");
    }
    let change = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "registry.lab/web:2"}]}}}});
    lab.patch(path, "strategic-merge", change).await.is(200);
    lab.until(path, |one| {
        let status = &one["status"];
        status["observedGeneration"] == one["metadata"]["generation"]
            && status["updatedReplicas"] == 2
            && status["currentRevision"] == status["updateRevision"]
            && status["readyReplicas"] == 2
            && status["currentRevision"] != ready["status"]["currentRevision"]
    })
    .await;
    let other = lab
        .patch(path, "merge", json!({"spec": {"serviceName": "other"}}))
        .await;
    assert!(
        other
            .message()
            .contains("updates to statefulset spec for fields other than"),
        "{}",
        other.message()
    );
}

#[tokio::test]
async fn a_daemon_set_has_a_pod_on_each_node() {
    let lab = lab_with(Settings {
        nodes: vec!["a".into(), "b".into()],
        ..Settings::default()
    })
    .await;
    let set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template("agent")},
    });
    lab.post("/apis/apps/v1/namespaces/default/daemonsets", set)
        .await
        .is(201);
    let ready = lab
        .until("/apis/apps/v1/namespaces/default/daemonsets/agent", |one| {
            one["status"]["numberAvailable"] == 2
        })
        .await;
    assert_eq!(
        (
            ready["status"]["desiredNumberScheduled"].as_i64(),
            ready["status"]["numberMisscheduled"].as_i64()
        ),
        (Some(2), Some(0))
    );
}

#[tokio::test]
async fn a_job_whose_command_does_not_run_is_never_complete() {
    let lab = lab().await;
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x", "command": ["nothing"]}]}}},
    });
    lab.post("/apis/batch/v1/namespaces/default/jobs", job)
        .await
        .is(201);
    let pods = lab
        .until(PODS, |list| {
            list["items"][0]["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
                == "LabHasNoIsolation"
        })
        .await;
    assert_eq!(pods["items"][0]["status"]["phase"], "Pending");
    let job = lab
        .get("/apis/batch/v1/namespaces/default/jobs/j")
        .await
        .is(200);
    assert_eq!(
        (
            job["status"]["active"].as_i64(),
            job["status"].get("succeeded")
        ),
        (Some(1), None)
    );
}

#[tokio::test]
async fn services_have_addresses_and_endpoints() {
    let lab = lab_with(Settings {
        load_balancers: Some("192.168.4.80-192.168.4.81".into()),
        ..Settings::default()
    })
    .await;
    lab.post(DEPLOYMENTS, deployment("web", 2)).await.is(201);
    let service = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        })
    };
    let all = "/api/v1/namespaces/default/services";
    let made = lab.post(all, service("one")).await.is(201);
    assert!(
        made["spec"]["clusterIP"]
            .as_str()
            .unwrap()
            .starts_with("10.96."),
        "{made}"
    );
    assert!(made["spec"]["ports"][0]["nodePort"].as_i64().unwrap() >= 30000);
    let own = lab
        .until(&format!("{all}/one"), |one| {
            one["status"]["loadBalancer"]["ingress"][0]["ip"].is_string()
        })
        .await;
    assert_eq!(
        own["status"]["loadBalancer"]["ingress"][0]["ip"],
        "192.168.4.80"
    );
    lab.until("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name%3Done", |list| {
        list["items"][0]["endpoints"].as_array().is_some_and(|all| all.len() == 2 && all.iter().all(|one| one["conditions"]["ready"] == true))
    }).await;
    lab.delete(&format!("{all}/one")).await.is(200);
    lab.post(all, service("two")).await.is(201);
    lab.until(&format!("{all}/two"), |one| {
        one["status"]["loadBalancer"]["ingress"][0]["ip"].is_string()
    })
    .await;
}
