//! What shows in daily use of kubectl: who may what, why a rollout happened, which node takes no pods.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::case::{cases, same};
use crate::client::{MERGE, STRATEGIC};
use crate::context::Context;
use crate::manifest::deployment;

cases![
    the_rules_of_an_account_are_listed,
    somebody_else_s_access_is_reviewed,
    a_token_is_reviewed,
    a_change_cause_reaches_the_revision,
    a_node_that_takes_no_pods_is_tainted,
    new_items_of_a_patch_come_before_what_was_there,
    a_cluster_ip_does_not_change,
    logs_of_a_container_that_never_ended_are_refused,
    a_stateful_set_tells_what_it_makes,
    health_is_told_at_length,
];

const LOOKS_MAX: usize = 100;
const LOOK_EVERY: Duration = Duration::from_millis(100);

async fn account(t: &Context) -> Result<()> {
    let own = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web"}});
    t.create(&t.resource("v1", "serviceaccounts").await?, &own)
        .await?;
    let api = "rbac.authorization.k8s.io/v1";
    let rules =
        json!([{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}]);
    let role =
        json!({"apiVersion": api, "kind": "Role", "metadata": {"name": "reader"}, "rules": rules});
    t.create(&t.resource(api, "roles").await?, &role).await?;
    let binding = json!({
        "apiVersion": api, "kind": "RoleBinding", "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "web", "namespace": t.namespace().await?}],
    });
    t.create(&t.resource(api, "rolebindings").await?, &binding)
        .await?;
    // Who decides on rights learns of them a moment later.
    for _ in 0..LOOKS_MAX {
        if may(t, "get", "pods").await? {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bail!("the role gives no right")
}

/// Whether the account may do this in the case's namespace.
async fn may(t: &Context, verb: &str, resource: &str) -> Result<bool> {
    let namespace = t.namespace().await?;
    let api = "authorization.k8s.io/v1";
    let spec = json!({
        "user": format!("system:serviceaccount:{namespace}:web"),
        "resourceAttributes": {"verb": verb, "resource": resource, "namespace": namespace},
    });
    let asked = json!({"apiVersion": api, "kind": "SubjectAccessReview", "spec": spec});
    let path = format!("/apis/{api}/subjectaccessreviews");
    let answer = t.admin().post(&path, &asked).await?.status(201)?;
    let allowed = answer["status"]["allowed"].as_bool();
    allowed.with_context(|| format!("no verdict: {answer}"))
}

/// A token of the account `web`.
async fn token(t: &Context) -> Result<String> {
    let path = format!("{}/web/token", t.resource("v1", "serviceaccounts").await?);
    let asked =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let given = t.admin().post(&path, &asked).await?.status(201)?;
    Ok(given["status"]["token"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

async fn the_rules_of_an_account_are_listed(t: &Context) -> Result<()> {
    account(t).await?;
    let api = "authorization.k8s.io/v1";
    let path = format!("/apis/{api}/selfsubjectrulesreviews");
    let asked = |namespace: &str| json!({"apiVersion": api, "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}});
    let client = t
        .admin()
        .by(crate::client::Credentials::Token(token(t).await?))?;
    let answer = client
        .post(&path, &asked(t.namespace().await?))
        .await?
        .status(201)?;
    let rules = answer["status"]["resourceRules"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let own =
        json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]});
    ensure!(rules.contains(&own), "{answer}");
    let reviews = json!({"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]});
    ensure!(rules.contains(&reviews), "{answer}");
    same!(rules.len(), 3);
    same!(answer["status"]["incomplete"], false);
    let all = t
        .admin()
        .post(&path, &asked(t.namespace().await?))
        .await?
        .status(201)?;
    let everything = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
    let listed = all["status"]["resourceRules"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    ensure!(listed.contains(&everything), "{all}");
    t.admin().post(&path, &asked("")).await?.refused(
        400,
        "BadRequest",
        "no namespace on request",
    )?;
    Ok(())
}

async fn somebody_else_s_access_is_reviewed(t: &Context) -> Result<()> {
    account(t).await?;
    for (verb, resource, allowed) in [
        ("get", "pods", true),
        ("delete", "pods", false),
        ("get", "secrets", false),
    ] {
        same!(may(t, verb, resource).await?, allowed, "{verb} {resource}");
    }
    Ok(())
}

async fn a_token_is_reviewed(t: &Context) -> Result<()> {
    account(t).await?;
    let namespace = t.namespace().await?;
    let api = "authentication.k8s.io/v1";
    let path = format!("/apis/{api}/tokenreviews");
    let asked =
        |token: &str| json!({"apiVersion": api, "kind": "TokenReview", "spec": {"token": token}});
    let good = t
        .admin()
        .post(&path, &asked(&token(t).await?))
        .await?
        .status(201)?;
    same!(good["status"]["authenticated"], true);
    same!(
        good["status"]["user"]["username"],
        format!("system:serviceaccount:{namespace}:web")
    );
    let groups = json!([
        "system:serviceaccounts",
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated"
    ]);
    same!(good["status"]["user"]["groups"], groups);
    let bad = t
        .admin()
        .post(&path, &asked("nobody's"))
        .await?
        .status(201)?;
    ensure!(bad["status"]["authenticated"] != true, "{bad}");
    same!(bad["status"]["error"], "invalid bearer token");
    Ok(())
}

async fn a_change_cause_reaches_the_revision(t: &Context) -> Result<()> {
    let deployments = t.workload("apps/v1", "deployments").await?;
    t.create(&deployments, &deployment("web", 1)).await?;
    let sets = t.resource("apps/v1", "replicasets").await?;
    let first = |all: &Value| all["items"][0].clone();
    t.admin()
        .until(&sets, "there is a set", |all| {
            first(all)["metadata"]["name"].is_string()
        })
        .await?;
    let cause = json!({"metadata": {"annotations": {"kubernetes.io/change-cause": "because"}}});
    t.admin()
        .patch(&format!("{deployments}/web"), MERGE, &cause)
        .await?
        .status(200)?;
    let all = t
        .admin()
        .until(&sets, "it says why", |all| {
            first(all)["metadata"]["annotations"]["kubernetes.io/change-cause"] == "because"
        })
        .await?;
    same!(all["items"].as_array().map(Vec::len), Some(1));
    same!(
        first(&all)["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "1"
    );
    Ok(())
}

async fn a_node_that_takes_no_pods_is_tainted(t: &Context) -> Result<()> {
    let name = t.unique();
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"unschedulable": true}});
    t.create("/api/v1/nodes", &node).await?;
    let path = format!("/api/v1/nodes/{name}");
    t.remove_later(path.clone());
    let key = "node.kubernetes.io/unschedulable";
    let tainted = |node: &Value| {
        let taints = node["spec"]["taints"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        taints.iter().any(|one| {
            one["key"] == key && one["effect"] == "NoSchedule" && one["timeAdded"].is_string()
        })
    };
    t.admin().until(&path, "it is tainted", tainted).await?;
    t.admin()
        .patch(&path, MERGE, &json!({"spec": {"unschedulable": null}}))
        .await?
        .status(200)?;
    t.admin()
        .until(&path, "it is not tainted any more", |node| !tainted(node))
        .await?;
    Ok(())
}

async fn new_items_of_a_patch_come_before_what_was_there(t: &Context) -> Result<()> {
    let deployments = t.resource("apps/v1", "deployments").await?;
    let mut body = deployment("web", 0);
    body["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]);
    let made = t.create(&deployments, &body).await?;
    let container = made["spec"]["template"]["spec"]["containers"][0]["name"].clone();
    let path = format!("{deployments}/web");
    for (env, expected) in [
        (
            json!([{"name": "c", "value": "3"}]),
            ["c", "a", "b"].as_slice(),
        ),
        (
            json!([{"name": "b", "value": "4"}, {"name": "d", "value": "5"}]),
            &["c", "a", "b", "d"],
        ),
        (
            json!([{"name": "e", "value": "6"}, {"name": "a", "value": "7"}]),
            &["e", "c", "a", "b", "d"],
        ),
    ] {
        let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": container, "env": env}]}}}});
        let patched = t
            .admin()
            .patch(&path, STRATEGIC, &patch)
            .await?
            .status(200)?;
        let names: Vec<Value> = patched["spec"]["template"]["spec"]["containers"][0]["env"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| one["name"].clone())
            .collect();
        same!(names, expected, "{env}");
    }
    Ok(())
}

async fn a_cluster_ip_does_not_change(t: &Context) -> Result<()> {
    let services = t.resource("v1", "services").await?;
    let body = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}});
    t.create(&services, &body).await?;
    let status = t
        .admin()
        .patch(
            &format!("{services}/web"),
            MERGE,
            &json!({"spec": {"clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"]}}),
        )
        .await?
        .failure(422, "Invalid")?;
    let cause = &status["details"]["causes"][0];
    same!(cause["field"], "spec.clusterIPs[0]");
    same!(
        cause["message"],
        "Invalid value: [\"10.96.7.7\"]: may not change once set"
    );
    Ok(())
}

async fn logs_of_a_container_that_never_ended_are_refused(t: &Context) -> Result<()> {
    let pods = t.workload("v1", "pods").await?;
    t.create(&pods, &crate::manifest::pod("a")).await?;
    let running = |pod: &Value| pod["status"]["phase"] == "Running";
    t.admin()
        .until(&format!("{pods}/a"), "it runs", running)
        .await?;
    let reply = t
        .admin()
        .get(&format!("{pods}/a/log?previous=true"))
        .await?;
    let status = reply.failure(400, "BadRequest")?;
    let text = status["message"].as_str().unwrap_or_default();
    // KWOK takes what is not there for a file.
    let told = text.starts_with("previous terminated container ")
        || t.server().kwok().is_some() && text.starts_with("failed to read log file");
    ensure!(told, "{text}");
    Ok(())
}

async fn a_stateful_set_tells_what_it_makes(t: &Context) -> Result<()> {
    let sets = t.workload("apps/v1", "statefulsets").await?;
    let template = json!({
        "metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "main", "image": "registry.lab/db"}]},
    });
    let claim = json!({
        "metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    let body = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db", "replicas": 1, "selector": {"matchLabels": {"app": "db"}}, "template": template, "volumeClaimTemplates": [claim],
        },
    });
    t.create(&sets, &body).await?;
    let events = format!(
        "{}?fieldSelector=involvedObject.kind=StatefulSet,reason=SuccessfulCreate",
        t.resource("v1", "events").await?
    );
    let both = |all: &Value| all["items"].as_array().is_some_and(|all| all.len() == 2);
    let all = t.admin().until(&events, "it says so", both).await?;
    let mut texts: Vec<String> = all["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["message"].as_str().map(str::to_owned))
        .collect();
    texts.sort();
    same!(
        texts,
        [
            "Create Claim data-db-0 Pod db-0 in StatefulSet db success",
            "Create Pod db-0 in StatefulSet db successful",
        ]
    );
    let pod = t
        .admin()
        .get(&format!("{}/db-0", t.resource("v1", "pods").await?))
        .await?
        .status(200)?;
    same!(pod["metadata"]["generateName"], "db-");
    Ok(())
}

async fn health_is_told_at_length(t: &Context) -> Result<()> {
    for probe in ["healthz", "livez", "readyz"] {
        let bare = t.admin().get(&format!("/{probe}")).await?;
        same!(bare.text, "ok");
        let long = t.admin().get(&format!("/{probe}?verbose")).await?;
        ensure!(long.text.starts_with("[+]ping ok\n"), "{}", long.text);
        ensure!(
            long.text.ends_with(&format!("{probe} check passed\n")),
            "{}",
            long.text
        );
    }
    Ok(())
}
