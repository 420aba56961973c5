//! Flux: what is applied in the name of a service account, which may do what its roles allow.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::flux::{World, kustomization, ready};
use super::helm::{helm, helm_release};
use super::workloads::condition;
use crate::case::{cases, same};
use crate::context::Context;

cases![
    what_an_account_may_not_apply_is_refused for 240,
    what_an_account_may_apply_is_applied for 240,
    a_release_of_an_account_without_rights_is_refused for 300,
];

async fn account(t: &Context, rules: Value) -> Result<()> {
    let own = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "tenant"}});
    t.create(&t.resource("v1", "serviceaccounts").await?, &own)
        .await?;
    let api = "rbac.authorization.k8s.io/v1";
    let role =
        json!({"apiVersion": api, "kind": "Role", "metadata": {"name": "tenant"}, "rules": rules});
    t.create(&t.resource(api, "roles").await?, &role).await?;
    let binding = json!({
        "apiVersion": api, "kind": "RoleBinding", "metadata": {"name": "tenant"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"},
        "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": t.namespace().await?}],
    });
    t.create(&t.resource(api, "rolebindings").await?, &binding)
        .await?;
    Ok(())
}

async fn what_an_account_may_not_apply_is_refused(t: &Context) -> Result<()> {
    let world = World::new(t).await?;
    account(
        t,
        json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]),
    )
    .await?;
    let mut own = kustomization("app", "./app");
    own["spec"]["serviceAccountName"] = json!("tenant");
    t.create(&world.kustomizations, &own).await?;
    let failed = |object: &Value| condition(object, "Ready")["reason"] == "ReconciliationFailed";
    let object = t
        .admin()
        .until(&world.path(), "it is refused", failed)
        .await?;
    same!(condition(&object, "Ready")["status"], "False");
    let namespace = t.namespace().await?;
    let text = condition(&object, "Ready")["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let expected = format!(
        "ConfigMap/{namespace}/a dry-run failed (Forbidden): configmaps \"a\" is forbidden: User \"system:serviceaccount:{namespace}:tenant\" cannot patch resource \"configmaps\" in API group \"\" in the namespace \"{namespace}\""
    );
    ensure!(text.starts_with(&expected), "{text}");
    t.admin()
        .get(&format!("{}/a", world.configmaps))
        .await?
        .failure(404, "NotFound")?;
    Ok(())
}

async fn what_an_account_may_apply_is_applied(t: &Context) -> Result<()> {
    let world = World::new(t).await?;
    account(
        t,
        json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]),
    )
    .await?;
    let mut own = kustomization("app", "./app");
    own["spec"]["serviceAccountName"] = json!("tenant");
    t.create(&world.kustomizations, &own).await?;
    t.admin()
        .until(&world.path(), "it is applied", |object| {
            ready(object, "True")
        })
        .await?;
    t.admin()
        .get(&format!("{}/a", world.configmaps))
        .await?
        .status(200)?;
    Ok(())
}

async fn a_release_of_an_account_without_rights_is_refused(t: &Context) -> Result<()> {
    let (_world, releases) = helm(t).await?;
    account(
        t,
        json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]),
    )
    .await?;
    let mut body = helm_release("./chart");
    body["spec"]["serviceAccountName"] = json!("tenant");
    t.create(&releases, &body).await?;
    let path = format!("{releases}/web");
    let refused = |object: &Value| condition(object, "Ready")["reason"] == "StateError";
    let object = t.admin().until(&path, "it is refused", refused).await?;
    same!(condition(&object, "Ready")["status"], "False");
    let namespace = t.namespace().await?;
    same!(
        condition(&object, "Ready")["message"],
        format!(
            "Could not determine release state: failed to retrieve last release from storage: query: failed to query with labels: secrets is forbidden: User \"system:serviceaccount:{namespace}:tenant\" cannot list resource \"secrets\" in API group \"\" in the namespace \"{namespace}\""
        )
    );
    Ok(())
}
