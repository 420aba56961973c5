//! POST: what a server adds to an object, and what it refuses.

use anyhow::{Result, ensure};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::case::{cases, same};
use crate::client::JSON;
use crate::context::Context;
use crate::manifest::{configmap, deployment, pod, service};

cases![
    what_is_made_has_an_identity,
    an_object_of_a_cluster,
    a_second_of_the_same_name_is_409,
    a_generated_name_has_five_more_characters,
    without_a_name_is_422,
    no_kind_in_the_body_is_taken_from_the_address,
    yaml_is_understood,
    unknown_fields_strictly_are_400,
    unknown_fields_are_a_warning,
    unknown_fields_ignored_are_dropped,
    defaults_are_filled_in,
    quantities_have_one_form,
    string_data_of_a_secret_becomes_data,
    a_dry_run_stores_nothing,
    metadata_that_the_server_owns_is_not_taken,
];

async fn what_is_made_has_an_identity(t: &Context) -> Result<()> {
    let made = t
        .create(&t.configmaps().await?, &configmap("a", "k", "v"))
        .await?;
    same!(made["kind"], "ConfigMap");
    same!(made["apiVersion"], "v1");
    let metadata = &made["metadata"];
    same!(metadata["namespace"], t.namespace().await?);
    let uid = metadata["uid"].as_str().unwrap_or_default();
    same!(
        uid.split('-').map(str::len).collect::<Vec<_>>(),
        vec![8, 4, 4, 4, 12],
        "uid {uid}"
    );
    let time = metadata["creationTimestamp"].as_str().unwrap_or_default();
    ensure!(
        time.len() == 20 && time.ends_with('Z'),
        "creationTimestamp `{time}`"
    );
    ensure!(
        metadata["resourceVersion"]
            .as_str()
            .is_some_and(|text| text.parse::<u64>().is_ok()),
        "{metadata}"
    );
    ensure!(
        metadata["generation"].is_null(),
        "a ConfigMap has no generation: {metadata}"
    );
    ensure!(
        metadata["selfLink"].is_null(),
        "selfLink is long gone: {metadata}"
    );
    let read = t
        .admin()
        .get(&format!("{}/a", t.configmaps().await?))
        .await?
        .status(200)?;
    same!(read, made);
    Ok(())
}

async fn an_object_of_a_cluster(t: &Context) -> Result<()> {
    let path = "/apis/scheduling.k8s.io/v1/priorityclasses";
    let class = json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": t.unique()}, "value": 1000,
    });
    t.remove_later(format!("{path}/{}", t.unique()));
    let made = t.create(path, &class).await?;
    ensure!(
        made["metadata"]["namespace"].is_null(),
        "in a namespace: {made}"
    );
    same!(made["preemptionPolicy"], "PreemptLowerPriority");
    Ok(())
}

async fn a_second_of_the_same_name_is_409(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    t.create(&configmaps, &configmap("a", "k", "v")).await?;
    let status = t
        .admin()
        .post(&configmaps, &configmap("a", "k", "w"))
        .await?
        .refused(409, "AlreadyExists", "configmaps \"a\" already exists")?;
    same!(
        status["details"],
        json!({"name": "a", "kind": "configmaps"})
    );
    let deployments = t.resource("apps/v1", "deployments").await?;
    t.create(&deployments, &deployment("web", 0)).await?;
    let status = t
        .admin()
        .post(&deployments, &deployment("web", 0))
        .await?
        .refused(
            409,
            "AlreadyExists",
            "deployments.apps \"web\" already exists",
        )?;
    same!(
        status["details"],
        json!({"name": "web", "group": "apps", "kind": "deployments"})
    );
    Ok(())
}

async fn a_generated_name_has_five_more_characters(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let body =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "run-"}});
    let mut names = Vec::new();
    for _ in 0..3 {
        let made = t.create(&configmaps, &body).await?;
        same!(made["metadata"]["generateName"], "run-");
        let name = made["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let tail = name.strip_prefix("run-").unwrap_or_default();
        // The alphabet has no vowels, so that no words come out.
        ensure!(
            tail.len() == 5
                && tail
                    .chars()
                    .all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c)),
            "`{name}`"
        );
        names.push(name);
    }
    names.dedup();
    same!(names.len(), 3);
    Ok(())
}

async fn without_a_name_is_422(t: &Context) -> Result<()> {
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}});
    let status = t
        .admin()
        .post(&t.configmaps().await?, &body)
        .await?
        .failure(422, "Invalid")?;
    same!(
        status["message"],
        "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required"
    );
    same!(
        status["details"]["causes"],
        json!([{"reason": "FieldValueRequired", "message": "Required value: name or generateName is required", "field": "metadata.name"}])
    );
    Ok(())
}

async fn no_kind_in_the_body_is_taken_from_the_address(t: &Context) -> Result<()> {
    let body = json!({"metadata": {"name": "a"}, "data": {"k": "v"}});
    let made = t.create(&t.configmaps().await?, &body).await?;
    same!(made["kind"], "ConfigMap");
    Ok(())
}

async fn yaml_is_understood(t: &Context) -> Result<()> {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: |\n    two\n    lines\n";
    let request = t
        .admin()
        .request(Method::POST, &t.configmaps().await?)
        .header(CONTENT_TYPE, "application/yaml")
        .body(text);
    let made = t
        .admin()
        .send(request.header(ACCEPT, JSON))
        .await?
        .status(201)?;
    same!(made["data"]["k"], "two\nlines\n");
    Ok(())
}

fn with_unknown_field() -> Value {
    let mut body = deployment("web", 0);
    body["spec"]["replicaz"] = json!(3);
    body["spec"]["template"]["spec"]["containers"][0]["imag"] = json!("x");
    body
}

async fn unknown_fields_strictly_are_400(t: &Context) -> Result<()> {
    let deployments = t.resource("apps/v1", "deployments").await?;
    let reply = t
        .admin()
        .post(
            &format!("{deployments}?fieldValidation=Strict"),
            &with_unknown_field(),
        )
        .await?;
    let status = reply.failure(400, "BadRequest")?;
    let message = status["message"].as_str().unwrap_or_default();
    let start = "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \"spec.";
    ensure!(message.starts_with(start), "{message}");
    for field in ["spec.replicaz", "spec.template.spec.containers[0].imag"] {
        ensure!(
            message.contains(&format!("unknown field \"{field}\"")),
            "{message}"
        );
    }
    t.admin()
        .get(&format!("{deployments}/web"))
        .await?
        .failure(404, "NotFound")?;
    Ok(())
}

async fn unknown_fields_are_a_warning(t: &Context) -> Result<()> {
    let deployments = t.resource("apps/v1", "deployments").await?;
    let reply = t
        .admin()
        .post(
            &format!("{deployments}?fieldValidation=Warn"),
            &with_unknown_field(),
        )
        .await?;
    let mut warnings: Vec<_> = reply
        .headers
        .get_all("warning")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    warnings.sort_unstable();
    same!(
        warnings,
        vec![
            "299 - \"unknown field \\\"spec.replicaz\\\"\"",
            "299 - \"unknown field \\\"spec.template.spec.containers[0].imag\\\"\""
        ]
    );
    let made = reply.status(201)?;
    ensure!(made["spec"]["replicaz"].is_null(), "stored: {made}");
    Ok(())
}

async fn unknown_fields_ignored_are_dropped(t: &Context) -> Result<()> {
    let deployments = t.resource("apps/v1", "deployments").await?;
    let reply = t
        .admin()
        .post(
            &format!("{deployments}?fieldValidation=Ignore"),
            &with_unknown_field(),
        )
        .await?;
    same!(reply.header("warning"), "");
    let made = reply.status(201)?;
    ensure!(made["spec"]["replicaz"].is_null(), "stored: {made}");
    t.admin()
        .post(
            &format!("{deployments}?fieldValidation=Perhaps"),
            &deployment("b", 0),
        )
        .await?
        .failure(422, "Invalid")?;
    Ok(())
}

async fn defaults_are_filled_in(t: &Context) -> Result<()> {
    let mut body = deployment("web", 1);
    body["spec"]["replicas"] = Value::Null;
    let made = t
        .create(&t.resource("apps/v1", "deployments").await?, &body)
        .await?;
    let spec = &made["spec"];
    same!(made["metadata"]["generation"], 1);
    same!(spec["replicas"], 1);
    same!(spec["progressDeadlineSeconds"], 600);
    same!(spec["revisionHistoryLimit"], 10);
    same!(
        spec["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}})
    );
    let pod = &spec["template"]["spec"];
    same!(pod["restartPolicy"], "Always");
    same!(pod["dnsPolicy"], "ClusterFirst");
    same!(pod["schedulerName"], "default-scheduler");
    same!(pod["containers"][0]["imagePullPolicy"], "IfNotPresent");
    same!(
        pod["containers"][0]["terminationMessagePath"],
        "/dev/termination-log"
    );
    let made = t
        .create(&t.resource("v1", "services").await?, &service("web", "web"))
        .await?;
    same!(made["spec"]["type"], "ClusterIP");
    same!(made["spec"]["sessionAffinity"], "None");
    same!(
        made["spec"]["ports"],
        json!([{"protocol": "TCP", "port": 80, "targetPort": 8080}])
    );
    Ok(())
}

async fn string_data_of_a_secret_becomes_data(t: &Context) -> Result<()> {
    let body = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "geheim"}, "data": {"user": "cm9vdA=="},
    });
    let made = t.create(&t.resource("v1", "secrets").await?, &body).await?;
    same!(
        made["data"],
        json!({"password": "Z2VoZWlt", "user": "cm9vdA=="})
    );
    same!(made["type"], "Opaque");
    ensure!(
        made["stringData"].is_null(),
        "stringData is only written: {made}"
    );
    Ok(())
}

async fn a_dry_run_stores_nothing(t: &Context) -> Result<()> {
    let deployments = t.resource("apps/v1", "deployments").await?;
    let made = t
        .create(&format!("{deployments}?dryRun=All"), &deployment("web", 2))
        .await?;
    ensure!(made["metadata"]["uid"].is_string(), "no uid: {made}");
    same!(made["spec"]["progressDeadlineSeconds"], 600);
    t.admin()
        .get(&format!("{deployments}/web"))
        .await?
        .failure(404, "NotFound")?;
    // It refuses what the real thing would refuse.
    t.create(&deployments, &deployment("web", 0)).await?;
    t.admin()
        .post(&format!("{deployments}?dryRun=All"), &deployment("web", 0))
        .await?
        .failure(409, "AlreadyExists")?;
    Ok(())
}

async fn metadata_that_the_server_owns_is_not_taken(t: &Context) -> Result<()> {
    let mut body = pod("a");
    body["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
    body["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z");
    body["metadata"]["deletionTimestamp"] = json!("2001-01-01T00:00:00Z");
    body["metadata"]["generation"] = json!(7);
    body["status"] = json!({"phase": "Succeeded"});
    let made = t.create(&t.workload("v1", "pods").await?, &body).await?;
    ensure!(
        made["metadata"]["uid"] != body["metadata"]["uid"],
        "the uid was taken: {made}"
    );
    ensure!(
        made["metadata"]["creationTimestamp"] != body["metadata"]["creationTimestamp"],
        "{made}"
    );
    ensure!(made["metadata"]["deletionTimestamp"].is_null(), "{made}");
    same!(made["metadata"]["generation"], 1);
    same!(made["status"]["phase"], "Pending");
    Ok(())
}

async fn quantities_have_one_form(t: &Context) -> Result<()> {
    let quotas = t.resource("v1", "resourcequotas").await?;
    for (name, sent, kept) in [
        ("binary", "2048Mi", "2Gi"),
        ("odd", "1.5Ki", "1536"),
        ("fraction", "0.1Gi", "107374182400m"),
        ("decimal", "100000k", "100M"),
        ("milli", "1.5", "1500m"),
        ("exponent", "1e3", "1e3"),
    ] {
        let body = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": {"requests.memory": sent}}});
        let made = t.create(&quotas, &body).await?;
        same!(made["spec"]["hard"]["requests.memory"], kept, "{sent}");
    }
    Ok(())
}
