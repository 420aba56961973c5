//! GET of collections: by labels and fields.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::list::{chosen, names, several};
use crate::case::{cases, same};
use crate::context::Context;
use crate::manifest::{configmap, pod_of};
use crate::socket::escape;

cases![
    equality_selectors,
    set_selectors,
    several_requirements_must_all_hold,
    a_broken_selector_is_400,
    fields_select_by_name,
    fields_select_pods_by_phase_and_node,
    an_unknown_field_selector_is_400,
    fields_select_secrets_by_type,
];

async fn equality_selectors(t: &Context) -> Result<()> {
    let configmaps = several(t, &[("a", "x"), ("b", "y")]).await?;
    t.create(&configmaps, &configmap("c", "k", "v")).await?;
    for (selector, expected) in [
        ("app=x", &["a"][..]),
        ("app==y", &["b"]),
        ("app!=x", &["b", "c"]),
        ("app=z", &[]),
    ] {
        same!(
            chosen(
                t,
                &configmaps,
                &format!("labelSelector={}", escape(selector))
            )
            .await?,
            expected,
            "{selector}"
        );
    }
    Ok(())
}

async fn set_selectors(t: &Context) -> Result<()> {
    let configmaps = several(t, &[("a", "x"), ("b", "y"), ("c", "z")]).await?;
    t.create(&configmaps, &configmap("d", "k", "v")).await?;
    for (selector, expected) in [
        ("app in (x,y)", &["a", "b"][..]),
        ("app notin (x, y)", &["c", "d"]),
        ("app", &["a", "b", "c"]),
        ("!app", &["d"]),
    ] {
        same!(
            chosen(
                t,
                &configmaps,
                &format!("labelSelector={}", escape(selector))
            )
            .await?,
            expected,
            "{selector}"
        );
    }
    Ok(())
}

async fn several_requirements_must_all_hold(t: &Context) -> Result<()> {
    let configmaps = several(t, &[("a", "x"), ("b", "y"), ("c", "z")]).await?;
    let selector = escape("app,app!=x,app in (x,z)");
    same!(
        chosen(t, &configmaps, &format!("labelSelector={selector}")).await?,
        vec!["c"]
    );
    Ok(())
}

async fn a_broken_selector_is_400(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let status = t
        .admin()
        .get(&format!("{configmaps}?labelSelector={}", escape("a in b")))
        .await?
        .failure(400, "BadRequest")?;
    ensure!(
        status["message"]
            .as_str()
            .is_some_and(|text| text.contains("unable to parse requirement")),
        "{status}"
    );
    Ok(())
}

async fn fields_select_by_name(t: &Context) -> Result<()> {
    let configmaps = several(t, &[("a", "x"), ("b", "x")]).await?;
    same!(
        chosen(t, &configmaps, "fieldSelector=metadata.name%3Da").await?,
        vec!["a"]
    );
    same!(
        chosen(t, &configmaps, "fieldSelector=metadata.name!%3Da").await?,
        vec!["b"]
    );
    let namespace = t.namespace().await?;
    let list = t
        .admin()
        .get(&format!(
            "/api/v1/configmaps?fieldSelector=metadata.namespace%3D{namespace}&labelSelector=app"
        ))
        .await?;
    same!(names(&list.status(200)?), vec!["a", "b"]);
    Ok(())
}

async fn fields_select_pods_by_phase_and_node(t: &Context) -> Result<()> {
    t.programs()?;
    let pods = t.workload("v1", "pods").await?;
    t.create(&pods, &pod_of("runs", "Always", &["sleep", "3600"]))
        .await?;
    t.create(&pods, &pod_of("ends", "Never", &["true"])).await?;
    let running = t
        .admin()
        .until(&format!("{pods}/runs"), "the pod runs", |pod| {
            pod["status"]["phase"] == "Running"
        })
        .await?;
    t.admin()
        .until(&format!("{pods}/ends"), "the pod has ended", |pod| {
            pod["status"]["phase"] == "Succeeded"
        })
        .await?;
    let list = t
        .admin()
        .get(&format!("{pods}?fieldSelector=status.phase%3DRunning"))
        .await?
        .status(200)?;
    same!(names(&list), vec!["runs"]);
    let list = t
        .admin()
        .get(&format!("{pods}?fieldSelector=status.phase!%3DRunning"))
        .await?
        .status(200)?;
    same!(names(&list), vec!["ends"]);
    let node = running["spec"]["nodeName"]
        .as_str()
        .context("the pod is on no node")?;
    let list = t
        .admin()
        .get(&format!(
            "{pods}?fieldSelector=spec.nodeName%3D{node},status.phase%3DRunning"
        ))
        .await?
        .status(200)?;
    same!(names(&list), vec!["runs"]);
    Ok(())
}

async fn an_unknown_field_selector_is_400(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    t.admin().get(&format!("{configmaps}?fieldSelector=data.k%3Dv")).await?.refused(
        400,
        "BadRequest",
        "\"data.k\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
    )?;
    let pods = t.resource("v1", "pods").await?;
    t.admin()
        .get(&format!("{pods}?fieldSelector=spec.image%3Dv"))
        .await?
        .refused(400, "BadRequest", "field label not supported: spec.image")?;
    Ok(())
}

async fn fields_select_secrets_by_type(t: &Context) -> Result<()> {
    let secrets = t.resource("v1", "secrets").await?;
    for (name, kind) in [("a", "Opaque"), ("b", "example.com/own")] {
        t.create(&secrets, &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind})).await?;
    }
    let list = t
        .admin()
        .get(&format!("{secrets}?fieldSelector=type%3Dexample.com/own"))
        .await?
        .status(200)?;
    same!(names(&list), vec!["b"]);
    Ok(())
}
