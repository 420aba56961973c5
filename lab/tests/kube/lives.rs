//! Namespaces, finalizers, owners and definitions: how things live and end.

use serde_json::json;

use crate::support::{condition, config_map, lab};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn widgets() -> serde_json::Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.lab.example"},
        "spec": {
            "group": "lab.example", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wi"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["size"], "properties": {
                        "size": {"type": "integer", "minimum": 1}, "color": {"type": "string", "default": "red", "enum": ["red", "blue"]},
                    }},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                }}},
            }],
        },
    })
}

#[tokio::test]
async fn a_namespace_ends_with_all_that_is_in_it() {
    let lab = lab().await;
    lab.post(
        "/api/v1/namespaces",
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}),
    )
    .await
    .is(201);
    assert_eq!(
        lab.get("/api/v1/namespaces/n/serviceaccounts/default")
            .await
            .status,
        200
    );
    assert_eq!(
        lab.get("/api/v1/namespaces/n/configmaps/kube-root-ca.crt")
            .await
            .status,
        200
    );
    let mut held = config_map("held", json!({}));
    held["metadata"]["finalizers"] = json!(["lab.example/hold"]);
    lab.post("/api/v1/namespaces/n/configmaps", held)
        .await
        .is(201);
    let ending = lab.delete("/api/v1/namespaces/n").await.is(200);
    assert_eq!(ending["status"]["phase"], "Terminating");
    let stuck = lab
        .until("/api/v1/namespaces/n", |one| {
            condition(one, "NamespaceFinalizersRemaining")["status"] == "True"
        })
        .await;
    assert_eq!(
        condition(&stuck, "NamespaceFinalizersRemaining")["message"],
        "Some content in the namespace has finalizers remaining: lab.example/hold in 1 resource instances"
    );
    let late = lab
        .post(
            "/api/v1/namespaces/n/configmaps",
            config_map("late", json!({})),
        )
        .await;
    assert_eq!(late.status, 403);
    assert!(
        late.message().contains("because it is being terminated"),
        "{}",
        late.message()
    );
    lab.patch(
        "/api/v1/namespaces/n/configmaps/held",
        "merge",
        json!({"metadata": {"finalizers": null}}),
    )
    .await
    .is(200);
    lab.until_gone("/api/v1/namespaces/n").await;
}

#[tokio::test]
async fn a_finalizer_holds_until_it_is_taken_away() {
    let lab = lab().await;
    let mut held = config_map("held", json!({}));
    held["metadata"]["finalizers"] = json!(["lab.example/hold"]);
    lab.post(MAPS, held).await.is(201);
    let path = format!("{MAPS}/held");
    let ending = lab.delete(&path).await.is(200);
    assert!(
        ending["metadata"]["deletionTimestamp"].is_string(),
        "{ending}"
    );
    assert_eq!(lab.get(&path).await.status, 200);
    lab.patch(&path, "merge", json!({"metadata": {"finalizers": []}}))
        .await
        .is(200);
    assert_eq!(lab.get(&path).await.status, 404);
}

#[tokio::test]
async fn what_lost_its_owner_goes() {
    let lab = lab().await;
    let owner = lab.post(MAPS, config_map("owner", json!({}))).await.is(201);
    let reference = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true,
    });
    for name in ["a", "b"] {
        let mut child = config_map(name, json!({}));
        child["metadata"]["ownerReferences"] = json!([reference]);
        lab.post(MAPS, child).await.is(201);
    }
    let orphan = lab
        .request(reqwest::Method::DELETE, &format!("{MAPS}/owner"))
        .json(&json!({"propagationPolicy": "Foreground"}));
    let ending = lab.send(orphan).await.is(200);
    assert_eq!(
        ending["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
    for name in ["a", "b", "owner"] {
        lab.until_gone(&format!("{MAPS}/{name}")).await;
    }
}

#[tokio::test]
async fn a_precondition_holds_a_deletion_back() {
    let lab = lab().await;
    lab.post(MAPS, config_map("a", json!({}))).await.is(201);
    let path = format!("{MAPS}/a");
    let request = lab
        .request(reqwest::Method::DELETE, &path)
        .json(&json!({"preconditions": {"uid": "other"}}));
    let refused = lab.send(request).await;
    assert_eq!(refused.status, 409);
    assert!(
        refused
            .message()
            .contains("the UID in the precondition (other) does not match the UID in record"),
        "{}",
        refused.message()
    );
    assert_eq!(lab.get(&path).await.status, 200);
}

#[tokio::test]
async fn a_definition_is_served_checked_and_ended() {
    let lab = lab().await;
    lab.post(DEFINITIONS, widgets()).await.is(201);
    let path = format!("{DEFINITIONS}/widgets.lab.example");
    lab.until(&path, |one| {
        condition(one, "Established")["status"] == "True"
            && condition(one, "NamesAccepted")["status"] == "True"
    })
    .await;
    let all = "/apis/lab.example/v1/namespaces/default/widgets";
    let widget = |spec: serde_json::Value| json!({"apiVersion": "lab.example/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec});
    let bad = lab
        .post(all, widget(json!({"size": 0, "color": "green"})))
        .await;
    assert_eq!(bad.status, 422);
    for text in [
        "Widget.lab.example \"w\" is invalid",
        "spec.size: Invalid value: 0",
        "spec.color: Unsupported value: \"green\": supported values: \"red\", \"blue\"",
    ] {
        assert!(bad.message().contains(text), "{}", bad.message());
    }
    assert!(
        lab.post(all, widget(json!({})))
            .await
            .message()
            .contains("spec.size: Required value")
    );
    let made = lab
        .post(all, widget(json!({"size": 3, "unknown": true})))
        .await
        .is(201);
    assert_eq!(
        made["spec"],
        json!({"size": 3, "color": "red"}),
        "pruned, with its default"
    );
    assert_eq!(made["metadata"]["generation"], 1);
    let own = format!("{all}/w");
    let status = lab
        .patch(
            &format!("{own}/status"),
            "merge",
            json!({"status": {"phase": "Good"}, "spec": {"size": 9}}),
        )
        .await
        .is(200);
    assert_eq!(
        (
            status["status"]["phase"].as_str(),
            status["spec"]["size"].as_i64()
        ),
        (Some("Good"), Some(3))
    );
    assert_eq!(status["metadata"]["generation"], 1);
    let bigger = lab
        .patch(&own, "merge", json!({"spec": {"size": 4}}))
        .await
        .is(200);
    assert_eq!(
        (
            bigger["metadata"]["generation"].as_i64(),
            bigger["status"]["phase"].as_str()
        ),
        (Some(2), Some("Good"))
    );
    assert_eq!(
        lab.patch(&own, "strategic-merge", json!({})).await.status,
        415
    );
    let applied = lab.apply(&own, "one", json!({"apiVersion": "lab.example/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"color": "blue"}})).await;
    assert_eq!(applied.status, 409, "the creator owns the default it got");
    lab.delete(&path).await.is(200);
    lab.until_gone(&path).await;
    assert_eq!(lab.get(all).await.status, 404);
}
