//! kubectl that changes things: apply, diff, create, patch, delete.

use anyhow::{Result, ensure};
use serde_json::json;

use super::acceptance::made;
use crate::case::{cases, same};
use crate::context::Context;
use crate::kubectl::documents;
use crate::manifest::{configmap, definition, deployment, service};

cases![
    apply_on_the_server,
    apply_of_several_objects,
    apply_by_the_client,
    apply_refuses_unknown_fields,
    apply_of_an_unknown_kind_is_an_error,
    a_conflict_is_explained,
    apply_moves_from_the_client_to_the_server,
    diff_shows_and_counts,
    scale_label_annotate_and_patch,
    delete_waits,
    delete_by_selector,
    delete_of_what_is_missing,
    create_and_expose,
    a_dry_run_changes_nothing,
    a_custom_kind_is_found,
];

async fn apply_on_the_server(t: &Context) -> Result<()> {
    let kubectl = t.kubectl().await?;
    let body = configmap("a", "k", "v");
    same!(
        kubectl.apply(&[&body]).await?.ok()?,
        "configmap/a serverside-applied\n"
    );
    same!(
        kubectl.apply(&[&body]).await?.ok()?,
        "configmap/a serverside-applied\n"
    );
    let object = t
        .admin()
        .get(&format!("{}/a", t.configmaps().await?))
        .await?
        .status(200)?;
    same!(object["metadata"]["managedFields"][0]["manager"], "kubectl");
    same!(object["metadata"]["managedFields"][0]["operation"], "Apply");
    Ok(())
}

async fn apply_of_several_objects(t: &Context) -> Result<()> {
    t.namespace_for_pods().await?;
    let kubectl = t.kubectl().await?;
    let text = kubectl
        .apply(&[
            &configmap("a", "k", "v"),
            &service("web", "web"),
            &deployment("web", 1),
        ])
        .await?
        .ok()?;
    same!(
        text,
        "configmap/a serverside-applied\nservice/web serverside-applied\ndeployment.apps/web serverside-applied\n"
    );
    Ok(())
}

async fn apply_by_the_client(t: &Context) -> Result<()> {
    let kubectl = t.kubectl().await?;
    let apply = ["apply", "-f", "-"];
    same!(
        kubectl
            .run_with(&apply, &documents(&[&configmap("a", "k", "1")]))
            .await?
            .ok()?,
        "configmap/a created\n"
    );
    same!(
        kubectl
            .run_with(&apply, &documents(&[&configmap("a", "k", "1")]))
            .await?
            .ok()?,
        "configmap/a unchanged\n"
    );
    same!(
        kubectl
            .run_with(&apply, &documents(&[&configmap("a", "l", "2")]))
            .await?
            .ok()?,
        "configmap/a configured\n"
    );
    let object = t
        .admin()
        .get(&format!("{}/a", t.configmaps().await?))
        .await?
        .status(200)?;
    same!(object["data"], json!({"l": "2"}));
    Ok(())
}

async fn apply_refuses_unknown_fields(t: &Context) -> Result<()> {
    let kubectl = t.kubectl().await?;
    let mut body = deployment("web", 0);
    body["spec"]["replicaz"] = json!(1);
    let error = kubectl
        .run_with(&["apply", "-f", "-"], &documents(&[&body]))
        .await?
        .fails(1)?;
    ensure!(error.contains("unknown field \"spec.replicaz\""), "{error}");
    let error = kubectl.apply(&[&body]).await?.fails(1)?;
    ensure!(error.contains("spec.replicaz"), "{error}");
    Ok(())
}

async fn apply_of_an_unknown_kind_is_an_error(t: &Context) -> Result<()> {
    let body =
        json!({"apiVersion": "none.example.com/v1", "kind": "Gizmo", "metadata": {"name": "a"}});
    let error = t.kubectl().await?.apply(&[&body]).await?.fails(1)?;
    ensure!(
        error.contains("no matches for kind \"Gizmo\" in version \"none.example.com/v1\""),
        "{error}"
    );
    ensure!(error.contains("ensure CRDs are installed first"), "{error}");
    Ok(())
}

async fn a_conflict_is_explained(t: &Context) -> Result<()> {
    let kubectl = t.kubectl().await?;
    let path = format!("{}/a", t.configmaps().await?);
    t.admin()
        .apply(&path, "somebody", &configmap("a", "k", "1"))
        .await?
        .status(201)?;
    let error = kubectl
        .apply(&[&configmap("a", "k", "2")])
        .await?
        .fails(1)?;
    ensure!(
        error.starts_with(
            "error: Apply failed with 1 conflict: conflict with \"somebody\": .data.k\n"
        ),
        "{error}"
    );
    ensure!(error.contains("--force-conflicts"), "{error}");
    let body = documents(&[&configmap("a", "k", "2")]);
    kubectl
        .run_with(
            &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            &body,
        )
        .await?
        .ok()?;
    same!(t.admin().get(&path).await?.status(200)?["data"]["k"], "2");
    Ok(())
}

async fn apply_moves_from_the_client_to_the_server(t: &Context) -> Result<()> {
    let kubectl = t.kubectl().await?;
    let mut body = configmap("a", "k", "1");
    body["data"]["gone"] = json!("1");
    kubectl
        .run_with(&["apply", "-f", "-"], &documents(&[&body]))
        .await?
        .ok()?;
    kubectl.apply(&[&configmap("a", "k", "2")]).await?.ok()?;
    let object = t
        .admin()
        .get(&format!("{}/a", t.configmaps().await?))
        .await?
        .status(200)?;
    same!(object["data"], json!({"k": "2"}));
    Ok(())
}

async fn diff_shows_and_counts(t: &Context) -> Result<()> {
    let kubectl = made(t, &configmap("a", "k", "before")).await?;
    let diff = ["diff", "--server-side", "-f", "-"];
    kubectl
        .run_with(&diff, &documents(&[&configmap("a", "k", "before")]))
        .await?
        .ok()?;
    let printed = kubectl
        .run_with(&diff, &documents(&[&configmap("a", "k", "after")]))
        .await?;
    same!(printed.code, 1, "{}", printed.all());
    ensure!(
        printed.stdout.contains("-  k: before\n+  k: after\n"),
        "{}",
        printed.all()
    );
    let printed = kubectl
        .run_with(&diff, &documents(&[&configmap("new", "k", "v")]))
        .await?;
    same!(printed.code, 1, "{}", printed.all());
    ensure!(
        printed.stdout.contains("+kind: ConfigMap\n"),
        "{}",
        printed.all()
    );
    t.admin()
        .get(&format!("{}/new", t.configmaps().await?))
        .await?
        .failure(404, "NotFound")?;
    Ok(())
}

async fn scale_label_annotate_and_patch(t: &Context) -> Result<()> {
    let kubectl = made(t, &deployment("web", 1)).await?;
    same!(
        kubectl
            .run(&["scale", "deployment/web", "--replicas=2"])
            .await?
            .ok()?,
        "deployment.apps/web scaled\n"
    );
    same!(
        kubectl
            .run(&["label", "deployment/web", "tier=front"])
            .await?
            .ok()?,
        "deployment.apps/web labeled\n"
    );
    same!(
        kubectl
            .run(&["annotate", "deployment/web", "note=x"])
            .await?
            .ok()?,
        "deployment.apps/web annotated\n"
    );
    same!(
        kubectl
            .run(&[
                "patch",
                "deployment/web",
                "-p",
                "{\"spec\":{\"paused\":true}}"
            ])
            .await?
            .ok()?,
        "deployment.apps/web patched\n"
    );
    let path = "jsonpath={.spec.replicas} {.metadata.labels.tier} {.metadata.annotations.note} {.spec.paused}";
    same!(
        kubectl
            .run(&["get", "deployment", "web", "-o", path])
            .await?
            .ok()?,
        "2 front x true"
    );
    let error = kubectl
        .run(&["label", "deployment/web", "tier=back"])
        .await?
        .fails(1)?;
    ensure!(
        error.contains("already has a value (front), and --overwrite is false"),
        "{error}"
    );
    Ok(())
}

async fn delete_waits(t: &Context) -> Result<()> {
    let kubectl = made(t, &deployment("web", 1)).await?;
    let text = kubectl
        .run(&["delete", "deployment", "web", "--timeout=60s"])
        .await?
        .ok()?;
    // Since 1.35 kubectl names the namespace too.
    let namespace = format!(" from {} namespace", t.namespace().await?);
    same!(
        text.replace(&namespace, ""),
        "deployment.apps \"web\" deleted\n"
    );
    t.admin()
        .get(&format!(
            "{}/web",
            t.resource("apps/v1", "deployments").await?
        ))
        .await?
        .failure(404, "NotFound")?;
    let mut held = configmap("held", "k", "v");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    kubectl.apply(&[&held]).await?.ok()?;
    let error = kubectl
        .run(&["delete", "configmap", "held", "--timeout=2s"])
        .await?
        .fails(1)?;
    ensure!(
        error.contains("timed out waiting for the condition on configmaps/held"),
        "{error}"
    );
    kubectl
        .run(&[
            "patch",
            "configmap",
            "held",
            "--type=merge",
            "-p",
            "{\"metadata\":{\"finalizers\":null}}",
        ])
        .await?
        .ok()?;
    Ok(())
}

async fn delete_by_selector(t: &Context) -> Result<()> {
    let kubectl = t.kubectl().await?;
    let mut labelled = configmap("b", "k", "v");
    labelled["metadata"]["labels"] = json!({"app": "x"});
    kubectl
        .apply(&[&configmap("a", "k", "v"), &labelled])
        .await?
        .ok()?;
    let text = kubectl.run(&["delete", "cm", "-l", "app=x"]).await?.ok()?;
    ensure!(text.starts_with("configmap \"b\" deleted"), "{text}");
    kubectl.run(&["get", "cm", "a"]).await?.ok()?;
    Ok(())
}

async fn delete_of_what_is_missing(t: &Context) -> Result<()> {
    let kubectl = t.kubectl().await?;
    let error = kubectl.run(&["delete", "cm", "none"]).await?.fails(1)?;
    same!(
        error,
        "Error from server (NotFound): configmaps \"none\" not found\n"
    );
    kubectl
        .run(&["delete", "cm", "none", "--ignore-not-found"])
        .await?
        .ok()?;
    Ok(())
}

async fn create_and_expose(t: &Context) -> Result<()> {
    t.namespace_for_pods().await?;
    let kubectl = t.kubectl().await?;
    let create = [
        "create",
        "deployment",
        "web",
        "--image=registry.example/web:1",
        "--port=8080",
    ];
    same!(
        kubectl.run(&create).await?.ok()?,
        "deployment.apps/web created\n"
    );
    same!(
        kubectl
            .run(&["expose", "deployment", "web", "--port=80"])
            .await?
            .ok()?,
        "service/web exposed\n"
    );
    same!(
        kubectl
            .run(&["create", "configmap", "a", "--from-literal=k=v"])
            .await?
            .ok()?,
        "configmap/a created\n"
    );
    let error = kubectl.run(&["create", "configmap", "a"]).await?.fails(1)?;
    same!(
        error,
        "error: failed to create configmap: configmaps \"a\" already exists\n"
    );
    same!(
        kubectl
            .run(&[
                "get",
                "service",
                "web",
                "-o",
                "jsonpath={.spec.selector.app}"
            ])
            .await?
            .ok()?,
        "web"
    );
    Ok(())
}

async fn a_dry_run_changes_nothing(t: &Context) -> Result<()> {
    let kubectl = t.kubectl().await?;
    let apply = ["apply", "--server-side", "--dry-run=server", "-f", "-"];
    let text = kubectl
        .run_with(&apply, &documents(&[&configmap("a", "k", "v")]))
        .await?
        .ok()?;
    same!(text, "configmap/a serverside-applied (server dry run)\n");
    t.admin()
        .get(&format!("{}/a", t.configmaps().await?))
        .await?
        .failure(404, "NotFound")?;
    Ok(())
}

async fn a_custom_kind_is_found(t: &Context) -> Result<()> {
    let group = format!("{}.example.com", t.unique());
    let mut crd = definition(
        &group,
        "Gadget",
        "Namespaced",
        &json!({"type": "object", "properties": {"size": {"type": "integer"}}}),
    );
    crd["spec"]["versions"][0]["additionalPrinterColumns"] =
        json!([{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]);
    t.remove_later(format!(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gadgets.{group}"
    ));
    let kubectl = t.kubectl().await?;
    kubectl.apply(&[&crd]).await?.ok()?;
    let plural = format!("gadgets.{group}");
    let wait = [
        "wait",
        "--for=condition=Established",
        "crd",
        &plural,
        "--timeout=60s",
    ];
    let mut waited = kubectl.run(&wait).await?;
    // kubectl ends with an error, and does not wait, when it comes before the first condition was written.
    for _ in 0..50 {
        if !waited.stderr.contains("conditions accessor error") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        waited = kubectl.run(&wait).await?;
    }
    waited.ok()?;
    let body = json!({"apiVersion": format!("{group}/v1"), "kind": "Gadget", "metadata": {"name": "a"}, "spec": {"size": 3}});
    let mut applied = kubectl.apply(&[&body]).await?;
    // The schema for validation may come a moment after the definition.
    for _ in 0..50 {
        if applied.code == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        applied = kubectl.apply(&[&body]).await?;
    }
    same!(
        applied.ok()?,
        format!("gadget.{group}/a serverside-applied\n")
    );
    let text = kubectl
        .run(&["get", &format!("gadgets.{group}")])
        .await?
        .ok()?;
    let lines: Vec<Vec<_>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    same!(lines, vec![vec!["NAME", "SIZE"], vec!["a", "3"]]);
    Ok(())
}
