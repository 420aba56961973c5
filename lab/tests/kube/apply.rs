//! Patches and server-side apply: owners, conflicts, defaults, generations.

use serde_json::{Value, json};

use crate::support::{config_map, deployment, lab};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn entry<'a>(value: &'a Value, manager: &str) -> &'a Value {
    static NONE: Value = Value::Null;
    let list = value["metadata"]["managedFields"].as_array();
    list.into_iter()
        .flatten()
        .find(|one| one["manager"] == manager && one.get("subresource").is_none())
        .unwrap_or(&NONE)
}

#[tokio::test]
async fn an_apply_creates_owns_and_lets_go() {
    let lab = lab().await;
    let path = format!("{MAPS}/a");
    let made = lab
        .apply(&path, "one", config_map("a", json!({"x": "1", "y": "1"})))
        .await
        .is(201);
    let own = entry(&made, "one");
    assert_eq!(own["operation"], "Apply");
    assert_eq!(own["fieldsV1"], json!({"f:data": {"f:x": {}, "f:y": {}}}));
    let again = lab
        .apply(&path, "one", config_map("a", json!({"x": "1", "y": "1"})))
        .await
        .is(200);
    assert_eq!(
        again["metadata"]["resourceVersion"],
        made["metadata"]["resourceVersion"]
    );
    lab.apply(&path, "two", config_map("a", json!({"x": "1"})))
        .await
        .is(200);
    let less = lab
        .apply(&path, "one", config_map("a", json!({})))
        .await
        .is(200);
    assert_eq!(
        less["data"],
        json!({"x": "1"}),
        "x has another owner, y has none"
    );
    assert!(
        entry(&less, "one")["fieldsV1"]
            .get("f:data")
            .is_some_and(|data| data == &json!({}))
    );
}

#[tokio::test]
async fn a_conflict_names_owner_and_field() {
    let lab = lab().await;
    let path = format!("{MAPS}/a");
    lab.apply(&path, "one", config_map("a", json!({"x": "1", "y": "1"})))
        .await
        .is(201);
    let conflict = lab
        .apply(&path, "two", config_map("a", json!({"x": "2"})))
        .await;
    assert_eq!(conflict.status, 409);
    assert_eq!(
        conflict.message(),
        "Apply failed with 1 conflict: conflict with \"one\": .data.x"
    );
    assert_eq!(
        conflict.body["details"]["causes"],
        json!([{"reason": "FieldManagerConflict", "message": "conflict with \"one\"", "field": ".data.x"}])
    );
    let both = lab
        .apply(&path, "two", config_map("a", json!({"x": "2", "y": "2"})))
        .await;
    assert_eq!(
        both.message(),
        "Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.x\n- .data.y"
    );
    let forced = lab
        .patch(
            &format!("{path}?fieldManager=two&force=true"),
            "apply",
            config_map("a", json!({"x": "2"})),
        )
        .await
        .is(200);
    assert_eq!(forced["data"], json!({"x": "2", "y": "1"}));
    assert_eq!(
        entry(&forced, "one")["fieldsV1"],
        json!({"f:data": {"f:y": {}}})
    );
    lab.patch(
        &format!("{path}?fieldManager=editor"),
        "merge",
        json!({"data": {"x": "3"}}),
    )
    .await
    .is(200);
    let update = lab
        .apply(&path, "two", config_map("a", json!({"x": "4"})))
        .await;
    assert_eq!(
        update.message(),
        "Apply failed with 1 conflict: conflict with \"editor\" using v1: .data.x"
    );
}

#[tokio::test]
async fn what_an_apply_must_have() {
    let lab = lab().await;
    let path = format!("{MAPS}/a");
    let nobody = lab.patch(&path, "apply", config_map("a", json!({}))).await;
    assert_eq!(nobody.status, 422);
    assert!(
        nobody
            .message()
            .contains("fieldManager: Required value: is required for apply patch"),
        "{}",
        nobody.message()
    );
    let mut managed = config_map("a", json!({}));
    managed["metadata"]["managedFields"] = json!([]);
    let refused = lab.apply(&path, "one", managed).await;
    assert_eq!(
        (refused.status, refused.message()),
        (400, "metadata.managedFields must be nil")
    );
    let mut unknown = deployment("d", 1);
    unknown["spec"]["foo"] = "x".into();
    let refused = lab.apply(&format!("{DEPLOYMENTS}/d"), "one", unknown).await;
    assert_eq!(refused.status, 500);
    assert_eq!(
        refused.message(),
        "failed to create typed patch object (/d; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema"
    );
}

#[tokio::test]
async fn items_of_lists_are_owned_by_their_keys() {
    let lab = lab().await;
    let path = format!("{DEPLOYMENTS}/d");
    let made = lab.apply(&path, "one", deployment("d", 1)).await.is(201);
    let fields = &entry(&made, "one")["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"];
    assert_eq!(
        fields,
        &json!({"k:{\"name\":\"main\"}": {".": {}, "f:image": {}, "f:name": {}}})
    );
    assert_eq!(
        made["spec"]["template"]["spec"]["dnsPolicy"], "ClusterFirst",
        "defaults are filled in"
    );
    let mut sidecar = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"template": {"spec": {"containers": [{"name": "side", "image": "registry.lab/side:1"}]}}},
    });
    let both = lab.apply(&path, "two", sidecar.clone()).await.is(200);
    assert_eq!(
        both["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(both["metadata"]["generation"], 2);
    sidecar["spec"] = json!({"replicas": 1});
    let gone = lab.apply(&path, "two", sidecar).await.is(200);
    assert_eq!(
        gone["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn an_update_owns_what_it_brought_and_defaults_too() {
    let lab = lab().await;
    let made = lab.post(DEPLOYMENTS, deployment("d", 1)).await.is(201);
    let fields = &entry(&made, "lab-test")["fieldsV1"]["f:spec"];
    assert!(fields.get(".").is_none(), "{fields}");
    assert!(
        fields["f:template"]["f:spec"].get("f:dnsPolicy").is_some(),
        "{fields}"
    );
    assert_eq!(fields["f:selector"], json!({}), "a selector is one value");
    assert_eq!(fields["f:strategy"]["f:rollingUpdate"]["."], json!({}));
}

#[tokio::test]
async fn patches_patch() {
    let lab = lab().await;
    lab.post(DEPLOYMENTS, deployment("d", 1)).await.is(201);
    let path = format!("{DEPLOYMENTS}/d");
    let strategic =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "args": ["x"]}]}}}});
    let one = lab.patch(&path, "strategic-merge", strategic).await.is(200);
    let container = &one["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        (container["image"].as_str(), &container["args"]),
        (Some("registry.lab/web:1"), &json!(["x"]))
    );
    let json_patch = json!([{"op": "replace", "path": "/spec/replicas", "value": 2}]);
    assert_eq!(
        lab.patch(&path, "json", json_patch).await.is(200)["spec"]["replicas"],
        2
    );
    let bad = lab
        .patch(
            &path,
            "json",
            json!([{"op": "remove", "path": "/spec/nothing"}]),
        )
        .await;
    assert_eq!(bad.status, 422);
    let scaled = lab
        .patch(
            &format!("{path}/scale"),
            "merge",
            json!({"spec": {"replicas": 0}}),
        )
        .await
        .is(200);
    assert_eq!(
        (scaled["kind"].as_str(), scaled["spec"]["replicas"].as_i64()),
        (Some("Scale"), Some(0))
    );
    let fixed = lab
        .patch(
            &path,
            "merge",
            json!({"spec": {"selector": {"matchLabels": {"app": "x"}}}}),
        )
        .await;
    assert_eq!(fixed.status, 422);
    assert!(
        fixed.message().contains("field is immutable"),
        "{}",
        fixed.message()
    );
    let status = lab
        .patch(&path, "merge", json!({"status": {"replicas": 99}}))
        .await
        .is(200);
    assert_ne!(status["status"]["replicas"], 99, "a status has its own way");
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let lab = lab().await;
    let path = format!("{MAPS}/a");
    lab.apply(&path, "one", config_map("a", json!({"x": "1"})))
        .await
        .is(201);
    let dry = lab
        .patch(
            &format!("{path}?fieldManager=one&dryRun=All"),
            "apply",
            config_map("a", json!({"x": "2"})),
        )
        .await
        .is(200);
    assert_eq!(dry["data"]["x"], "2");
    assert_eq!(lab.get(&path).await.is(200)["data"]["x"], "1");
}
