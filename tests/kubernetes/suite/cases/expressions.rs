//! Flux: expressions in CEL, of health and of dependencies.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::definitions::{gadget, gadgets, group};
use super::flux::{REQUESTED, World, kustomization, ready};
use super::helm::{helm, helm_release};
use super::workloads::condition;
use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;

cases![
    an_object_is_healthy_when_its_expression_says_so for 240,
    an_object_has_failed_when_its_expression_says_so for 240,
    what_cannot_be_evaluated_is_not_healthy for 240,
    an_expression_that_is_none_is_at_its_end for 240,
    a_dependency_is_ready_when_its_expression_says_so for 240,
    a_dependency_with_an_expression_need_not_be_ready for 240,
    a_dependency_whose_expression_is_none_is_at_its_end for 240,
    a_release_waits_for_an_expression for 300,
    a_release_with_an_expression_that_is_none_is_at_its_end for 300,
];

/// A definition whose objects say in their status how they are.
async fn gauges(t: &Context) -> Result<String> {
    gadgets(
        t,
        &json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
    )
    .await
}

/// A Kustomization that applies a gadget `a` with this spec, whose health is told by these expressions.
async fn applied(t: &Context, spec: &Value, rules: Value) -> Result<World> {
    gauges(t).await?;
    let world = World::new(t).await?;
    let mut body = gadget(t, "a", spec);
    body["metadata"]["namespace"] = json!(t.namespace().await?);
    let commit = world
        .repository
        .commit(&[("gadget/a.yaml", &body.to_string())])
        .await?;
    world.fetch(t, &commit).await?;
    let mut own = kustomization("app", "./gadget");
    let mut check = rules;
    check["apiVersion"] = body["apiVersion"].clone();
    check["kind"] = body["kind"].clone();
    own["spec"]["healthCheckExprs"] = json!([check]);
    own["spec"]["retryInterval"] = json!("2s");
    t.create(&world.kustomizations, &own).await?;
    Ok(world)
}

fn rules() -> Value {
    json!({
        "current": "spec.phase == 'Up' && metadata.generation > 0",
        "failed": "spec.phase == 'Down'",
        "inProgress": "spec.phase.startsWith('Start')",
    })
}

async fn an_object_is_healthy_when_its_expression_says_so(t: &Context) -> Result<()> {
    let world = applied(t, &json!({"phase": "Up"}), rules()).await?;
    let object = t
        .admin()
        .until(&world.path(), "it is ready", |object| ready(object, "True"))
        .await?;
    same!(condition(&object, "Healthy")["status"], "True");
    Ok(())
}

async fn an_object_has_failed_when_its_expression_says_so(t: &Context) -> Result<()> {
    let world = applied(t, &json!({"phase": "Down"}), rules()).await?;
    let failed = |object: &Value| condition(object, "Ready")["reason"] == "HealthCheckFailed";
    let object = t.admin().until(&world.path(), "it says so", failed).await?;
    same!(condition(&object, "Ready")["status"], "False");
    let text = condition(&object, "Ready")["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let namespace = t.namespace().await?;
    ensure!(
        text.contains(&format!("Gadget/{namespace}/a status: 'Failed'")),
        "{text}"
    );
    Ok(())
}

async fn what_cannot_be_evaluated_is_not_healthy(t: &Context) -> Result<()> {
    let rules = json!({"current": "status.phase == 'Up'"});
    let world = applied(t, &json!({"phase": "Up"}), rules).await?;
    let failed = |object: &Value| condition(object, "Ready")["reason"] == "HealthCheckFailed";
    let object = t.admin().until(&world.path(), "it says so", failed).await?;
    same!(condition(&object, "Ready")["status"], "False");
    same!(condition(&object, "Healthy")["status"], "False");
    Ok(())
}

fn stalled(object: &Value) -> bool {
    condition(object, "Stalled")["status"] == "True"
        && object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

fn is_at_its_end(object: &Value, start: &str) -> Result<()> {
    for kind in ["Stalled", "Ready"] {
        same!(condition(object, kind)["reason"], "InvalidCELExpression");
        let text = condition(object, kind)["message"]
            .as_str()
            .unwrap_or_default();
        let start = format!("Reconciliation failed terminally due to configuration error: {start}");
        ensure!(text.starts_with(&start), "{text}");
    }
    same!(condition(object, "Ready")["status"], "False");
    ensure!(condition(object, "Reconciling").is_null(), "{object}");
    Ok(())
}

async fn an_expression_that_is_none_is_at_its_end(t: &Context) -> Result<()> {
    let rules = json!({"current": "status.phase =="});
    let world = applied(t, &json!({"phase": "Up"}), rules).await?;
    let object = t
        .admin()
        .until(&world.path(), "it is at its end", stalled)
        .await?;
    is_at_its_end(
        &object,
        "failed to create custom status evaluator for healthchecks[0]: failed to parse the expression Current: failed to parse the CEL expression 'status.phase ==': ",
    )?;
    // Another spec is another try.
    let mended = json!({"spec": {"healthCheckExprs": [{
        "apiVersion": format!("{}/v1", group(t)), "kind": "Gadget", "current": "spec.phase == 'Up'",
    }]}});
    t.admin()
        .patch(&world.path(), MERGE, &mended)
        .await?
        .status(200)?;
    let object = t
        .admin()
        .until(&world.path(), "it is ready", |object| ready(object, "True"))
        .await?;
    ensure!(condition(&object, "Stalled").is_null(), "{object}");
    Ok(())
}

/// A Kustomization `app` that depends on `first` by this expression.
async fn dependent(t: &Context, expression: &str) -> Result<World> {
    let world = World::new(t).await?;
    let mut own = kustomization("app", "./app");
    own["spec"]["dependsOn"] = json!([{"name": "first", "readyExpr": expression}]);
    t.create(&world.kustomizations, &own).await?;
    Ok(world)
}

/// The Kustomization `first`, of a path that is not there; its path.
async fn first(t: &Context, world: &World) -> Result<String> {
    let mut first = kustomization("first", "./nowhere");
    first["metadata"]["annotations"] = json!({"stage": "one"});
    t.create(&world.kustomizations, &first).await?;
    Ok(format!("{}/first", world.kustomizations))
}

async fn a_dependency_is_ready_when_its_expression_says_so(t: &Context) -> Result<()> {
    let world = dependent(
        t,
        "dep.metadata.annotations['stage'] == 'two' && self.metadata.name == 'app'",
    )
    .await?;
    let path = first(t, &world).await?;
    let namespace = t.namespace().await?;
    let text = format!("dependency '{namespace}/first' is not ready according to readyExpr eval");
    let waits = |object: &Value| condition(object, "Ready")["message"] == text.as_str();
    let object = t.admin().until(&world.path(), "it waits", waits).await?;
    same!(condition(&object, "Ready")["reason"], "DependencyNotReady");
    let stage = json!({"metadata": {"annotations": {"stage": "two"}}});
    t.admin().patch(&path, MERGE, &stage).await?.status(200)?;
    t.admin()
        .until(&world.path(), "it is ready", |object| ready(object, "True"))
        .await?;
    Ok(())
}

async fn a_dependency_with_an_expression_need_not_be_ready(t: &Context) -> Result<()> {
    let world = dependent(
        t,
        "dep.status.conditions.exists(e, e.type == 'Ready' && e.status == 'False')",
    )
    .await?;
    let path = first(t, &world).await?;
    t.admin()
        .until(&world.path(), "it is ready", |object| ready(object, "True"))
        .await?;
    let other = t.admin().get(&path).await?.status(200)?;
    same!(condition(&other, "Ready")["status"], "False");
    Ok(())
}

async fn a_dependency_whose_expression_is_none_is_at_its_end(t: &Context) -> Result<()> {
    let world = World::new(t).await?;
    first(t, &world).await?;
    for (name, expression, start) in [
        (
            "parse",
            "dep.status ==",
            "terminal error: failed to evaluate dependency first: failed to parse the CEL expression 'dep.status ==': ",
        ),
        (
            "name",
            "other.status == 1",
            "terminal error: failed to evaluate dependency first: failed to parse the CEL expression 'other.status == 1': ",
        ),
        (
            "type",
            "dep.status",
            "terminal error: failed to evaluate dependency first: CEL expression output type mismatch: expected bool, got dyn",
        ),
    ] {
        let mut own = kustomization(name, "./app");
        own["spec"]["dependsOn"] = json!([{"name": "first", "readyExpr": expression}]);
        t.create(&world.kustomizations, &own).await?;
        let path = format!("{}/{name}", world.kustomizations);
        let object = t.admin().until(&path, "it is at its end", stalled).await?;
        is_at_its_end(&object, start)?;
    }
    t.admin()
        .get(&format!("{}/a", world.configmaps))
        .await?
        .failure(404, "NotFound")?;
    Ok(())
}

async fn a_release_waits_for_an_expression(t: &Context) -> Result<()> {
    let (_world, releases) = helm(t).await?;
    let mut first = helm_release("./nowhere");
    first["metadata"] = json!({"name": "first", "annotations": {"stage": "one"}});
    t.create(&releases, &first).await?;
    let mut body = helm_release("./chart");
    body["spec"]["dependsOn"] =
        json!([{"name": "first", "readyExpr": "dep.metadata.annotations['stage'] == 'two'"}]);
    t.create(&releases, &body).await?;
    let path = format!("{releases}/web");
    let namespace = t.namespace().await?;
    let text = format!("dependency '{namespace}/first' is not ready according to readyExpr eval");
    let waits = |object: &Value| condition(object, "Ready")["message"] == text.as_str();
    let object = t.admin().until(&path, "it waits", waits).await?;
    same!(condition(&object, "Ready")["reason"], "DependencyNotReady");
    let stage = json!({"metadata": {"annotations": {"stage": "two", REQUESTED: "now"}}});
    t.admin()
        .patch(&format!("{releases}/first"), MERGE, &stage)
        .await?
        .status(200)?;
    let again = json!({"metadata": {"annotations": {REQUESTED: "now"}}});
    t.admin().patch(&path, MERGE, &again).await?.status(200)?;
    t.admin()
        .until(&path, "it is installed", |object| ready(object, "True"))
        .await?;
    Ok(())
}

async fn a_release_with_an_expression_that_is_none_is_at_its_end(t: &Context) -> Result<()> {
    let (_world, releases) = helm(t).await?;
    let mut body = helm_release("./chart");
    body["spec"]["healthCheckExprs"] =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "current": "("}]);
    t.create(&releases, &body).await?;
    let path = format!("{releases}/web");
    let object = t.admin().until(&path, "it is at its end", stalled).await?;
    is_at_its_end(
        &object,
        "failed to create custom status evaluator for healthchecks[0]: ",
    )?;
    let map = format!("{}/web-text", t.configmaps().await?);
    t.admin().get(&map).await?.failure(404, "NotFound")?;
    Ok(())
}
