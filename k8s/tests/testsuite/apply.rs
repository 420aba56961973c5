//! What applying asks of the server, in which order, and what is left undone when something is wrong.

use std::time::Duration;

use http::Method;
use runbook_k8s::apply::{Action, Inventory, Options, Plan};
use runbook_k8s::{Client, Error, Object, manifest};
use serde_json::{Value, json};

use crate::server::{Asked, Reply, Server};

const LIMIT: Duration = Duration::from_secs(10);
const MAPS: &str = "/api/v1/namespaces/shop/configmaps";

fn config_map(name: &str, value: &str) -> Object {
    Object::new(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": value}}),
    )
}

async fn apply(
    client: &Client,
    objects: &[Object],
    options: &Options,
) -> Result<Vec<String>, Error> {
    let plan = Plan::make(client, objects, options).await?;
    let mut told = Vec::new();
    plan.run(client, LIMIT, |applied| {
        told.push(format!("{:?} {}", applied.action, applied.key))
    })
    .await?;
    Ok(told)
}

fn is_write(asked: &Asked) -> bool {
    asked.method != Method::GET && !asked.is_dry_run()
}

#[tokio::test]
async fn a_hundred_new_objects_cost_a_list_a_trial_and_a_request_each() {
    let server = Server::start().await;
    let client = server.client().await;
    let objects: Vec<Object> = (0..100)
        .map(|number| config_map(&format!("map-{number}"), &number.to_string()))
        .collect();
    let plan = Plan::make(&client, &objects, &Options::default())
        .await
        .expect("a plan");
    assert!(
        plan.objects()
            .iter()
            .all(|planned| planned.action == Action::Create)
    );
    assert_eq!(client.requests(), 2);
    let outcome = plan.run(&client, LIMIT, |_| {}).await.expect("applied");
    let ready = outcome
        .ready(&client, Default::default(), LIMIT)
        .await
        .expect("ready");
    assert_eq!((ready.len(), client.requests()), (100, 102));
    // Again: one list, nothing else.
    let before = client.requests();
    let plan = Plan::make(&client, &objects, &Options::default())
        .await
        .expect("a plan");
    assert!(plan.is_same());
    let outcome = plan.run(&client, LIMIT, |_| {}).await.expect("applied");
    assert!(!outcome.is_changed());
    assert_eq!(
        outcome
            .ready(&client, Default::default(), LIMIT)
            .await
            .expect("ready")
            .len(),
        100
    );
    assert_eq!(client.requests(), before + 1);
}

#[tokio::test]
async fn what_is_sent_is_the_wish_with_manager_and_strict_validation_and_nothing_of_the_servers() {
    let server = Server::start().await;
    let client = server.client().await;
    let object = Object::new(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "managedFields": [{}], "resourceVersion": "3", "uid": "u",
        "creationTimestamp": null}, "data": {"k": "v"}, "status": {}}),
    );
    apply(&client, &[object], &Options::default())
        .await
        .expect("applied");
    let asked = server.asked();
    let patch = asked.iter().find(|asked| is_write(asked)).expect("a patch");
    assert_eq!(
        patch.query,
        "fieldManager=runbook&force=false&fieldValidation=Strict"
    );
    let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}, "data": {"k": "v"}});
    assert_eq!(patch.body, expected);
}

#[tokio::test]
async fn a_plan_says_what_differs_and_changes_nothing() {
    let server = Server::start().await;
    let client = server.client().await;
    apply(
        &client,
        &[config_map("same", "1"), config_map("other", "1")],
        &Options::default(),
    )
    .await
    .expect("applied");
    let writes = server.count(is_write);
    let objects = [
        config_map("same", "1"),
        config_map("other", "2"),
        config_map("new", "1"),
    ];
    let plan = Plan::make(&client, &objects, &Options::default())
        .await
        .expect("a plan");
    let shown: Vec<String> = plan
        .objects()
        .iter()
        .map(|planned| {
            let differences: Vec<_> = planned
                .differences
                .iter()
                .map(ToString::to_string)
                .collect();
            format!("{:?} {} {differences:?}", planned.action, planned.key)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "Same ConfigMap shop/same []".to_owned(),
            r#"Change ConfigMap shop/other ["~ data.key: \"1\" -> \"2\""]"#.to_owned(),
            r#"Create ConfigMap shop/new ["+ metadata.name: \"new\"", "+ metadata.namespace: \"shop\"", "+ data.key: \"1\""]"#.to_owned(),
        ]
    );
    assert_eq!(server.count(is_write), writes);
    assert_eq!(
        plan.objects()[1].before.as_ref().expect("there")["data"],
        json!({"key": "1"})
    );
}

fn refuses(field: &'static str) -> impl FnMut(&Asked) -> Option<Reply> {
    move |asked| {
        let body = asked.body.to_string();
        (asked.method == Method::PATCH && body.contains(field)).then(|| {
            let message = format!(
                "failed to create typed patch object: .{field}: field not declared in schema"
            );
            Reply::Status(
                400,
                json!({"kind": "Status", "reason": "BadRequest", "message": message}),
            )
        })
    }
}

#[tokio::test]
async fn nothing_is_applied_when_one_document_is_invalid() {
    let server = Server::start().await;
    let client = server.client().await;
    server.hook(refuses("dta"));
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good}\ndata: {a: b}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndta: {a: b}\n";
    let objects = manifest::parse(text).expect("readable");
    let error = apply(&client, &objects, &Options::default())
        .await
        .expect_err("invalid");
    assert!(
        matches!(&error, Error::Invalid { what, message, .. } if what == "ConfigMap shop/bad" && message.contains(".dta")),
        "{error:?}"
    );
    assert_eq!(server.count(is_write), 0);
}

#[tokio::test]
async fn nothing_is_applied_when_the_invalid_one_is_for_a_namespace_that_is_still_to_come() {
    let server = Server::start().await;
    let client = server.client().await;
    server.hook(refuses("dta"));
    let text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: new}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad, namespace: new}\ndta: {a: b}\n";
    let objects = manifest::parse(text).expect("readable");
    let error = apply(&client, &objects, &Options::default())
        .await
        .expect_err("invalid");
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    assert_eq!(server.count(is_write), 0);
}

#[tokio::test]
async fn a_conflict_is_known_before_anything_is_applied_and_names_owner_and_field() {
    let server = Server::start().await;
    let client = server.client().await;
    server.put(MAPS, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": "shop"}, "data": {"key": "1"}}));
    server.hook(|asked| {
        (asked.path.ends_with("/theirs") && asked.query.contains("force=false")).then(|| {
            Reply::Status(409, json!({"kind": "Status", "reason": "Conflict", "message": "Apply failed with 1 conflict", "details": {"causes": [
                {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl\" using v1", "field": ".data.key"}]}}))
        })
    });
    let objects = [config_map("new", "1"), config_map("theirs", "2")];
    let error = apply(&client, &objects, &Options::default())
        .await
        .expect_err("a conflict");
    assert_eq!(
        error.to_string(),
        "ConfigMap shop/theirs: `.data.key` belongs to `kubectl`"
    );
    assert_eq!(server.count(is_write), 0);
    let options = Options {
        force: true,
        ..Options::default()
    };
    let told = apply(&client, &objects, &options).await.expect("applied");
    assert_eq!(told.len(), 2);
}

#[tokio::test]
async fn what_a_controller_writes_while_it_is_compared_is_no_difference_of_ours() {
    let server = Server::start().await;
    let client = server.client().await;
    let map = |version: &str, data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop", "resourceVersion": version}, "data": data});
    server.put(MAPS, map("1", json!({"key": "1"})));
    // A controller has written between the list and the trial.
    server.hook(move |asked| {
        let key = match asked.query.contains("dryRun=All") {
            true => "2",
            false if asked.path.ends_with("/a") => "1",
            false => return None,
        };
        Some(Reply::Status(
            200,
            map("9999", json!({"key": key, "theirs": "x"})),
        ))
    });
    let plan = Plan::make(&client, &[config_map("a", "2")], &Options::default())
        .await
        .expect("a plan");
    let planned = &plan.objects()[0];
    let told: Vec<String> = planned
        .differences
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(told, ["~ data.key: \"1\" -> \"2\""]);
    assert_eq!(
        planned.before.as_ref().expect("there")["data"]["theirs"],
        "x"
    );
}

#[tokio::test]
async fn definitions_come_first_and_their_kinds_become_known() {
    let server = Server::start().await;
    let client = server.client().await;
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let controller = server.clone();
    let mut unknown = 3;
    server.hook(move |asked| {
        if asked.path == "/apis/example.com/v1" {
            return Some(Reply::Status(404, json!({"message": "404 page not found"})));
        }
        // What was just established may not be served for a moment.
        if asked.path.contains("/widgets/") && unknown > 0 {
            unknown -= 1;
            return Some(Reply::Status(404, json!({"kind": "Status", "message": "the server could not find the requested resource", "details": {}})));
        }
        None
    });
    let text = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: new}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: new}\n---\n\
        apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.com}\nspec:\n  group: example.com\n  scope: Namespaced\n  names: {kind: Widget, plural: widgets}\n  versions: [{name: v1, served: true, storage: true}]\n";
    let objects = manifest::parse(text).expect("readable");
    let established = tokio::spawn(async move {
        let path = format!("{crds}/widgets.example.com");
        loop {
            if let Some(mut crd) = controller.get(&path) {
                crd["status"] = json!({"conditions": [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]});
                controller.put(crds, crd);
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let told = apply(&client, &objects, &Options::default())
        .await
        .expect("applied");
    established.await.expect("established");
    assert_eq!(
        told,
        [
            "Create CustomResourceDefinition widgets.example.com",
            "Create Namespace new",
            "Create Widget new/w"
        ]
    );
    // The kind is known: nothing is asked for it any more.
    let before = client.requests();
    client
        .resource("example.com/v1", "Widget")
        .await
        .expect("known");
    assert_eq!(client.requests(), before);
}

#[tokio::test]
async fn a_kind_that_nobody_brings_is_missing_and_nothing_is_applied() {
    let server = Server::start().await;
    let client = server.client().await;
    server.hook(|asked| {
        asked
            .path
            .starts_with("/apis/example.com")
            .then(|| Reply::Status(404, json!({"message": "404 page not found"})))
    });
    let widget = Object::new(
        json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}),
    );
    let error = apply(
        &client,
        &[config_map("a", "1"), widget],
        &Options::default(),
    )
    .await
    .expect_err("no such kind");
    assert!(
        matches!(&error, Error::NoSuchKind { kind, .. } if kind == "example.com/v1 Widget"),
        "{error:?}"
    );
    assert_eq!(server.count(is_write), 0);
}

#[tokio::test]
async fn what_is_being_deleted_is_not_applied_to() {
    let server = Server::start().await;
    let client = server.client().await;
    server.put(MAPS, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop", "deletionTimestamp": "2026-11-30T00:00:00Z", "finalizers": ["x"]}}));
    let error = apply(&client, &[config_map("a", "1")], &Options::default())
        .await
        .expect_err("stale");
    assert!(
        matches!(&error, Error::Stale { message, .. } if message.contains("is being deleted")),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_was_done_before_a_failure_is_told() {
    let server = Server::start().await;
    let client = server.client().await;
    server.hook(|asked| {
        let is_second = asked.path.ends_with("/secrets/b") && !asked.is_dry_run() && asked.method == Method::PATCH;
        is_second.then(|| Reply::Status(403, json!({"kind": "Status", "message": "secrets \"b\" is forbidden: exceeded quota: small"})))
    });
    let secret = Object::new(
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b"}, "stringData": {"password": "geheim"}}),
    );
    let plan = Plan::make(
        &client,
        &[secret, config_map("a", "1")],
        &Options::default(),
    )
    .await
    .expect("a plan");
    assert!(!format!("{:?}", plan.objects()[0].differences).contains("Z2VoZWlt"));
    let mut told = Vec::new();
    let error = plan
        .run(&client, LIMIT, |applied| told.push(applied.key.to_string()))
        .await
        .expect_err("quota");
    assert!(matches!(error, Error::Quota { .. }), "{error:?}");
    assert_eq!(told, ["ConfigMap shop/a"]);
}

#[tokio::test]
async fn only_what_the_inventory_has_is_pruned_and_only_the_very_object() {
    let server = Server::start().await;
    let client = server.client().await;
    let inventory = Inventory {
        namespace: "shop".into(),
        name: "book".into(),
    };
    let options = Options {
        inventory: Some(inventory),
        prune: true,
        ..Options::default()
    };
    server.put(MAPS, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "foreign", "namespace": "shop"}, "data": {}}));
    let all = [
        config_map("a", "1"),
        config_map("b", "1"),
        config_map("c", "1"),
    ];
    apply(&client, &all, &options).await.expect("applied");
    // Somebody made `c` anew: it is another object now.
    server.remove(&format!("{MAPS}/c"));
    server.put(
        MAPS,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "shop"}, "data": {}}),
    );
    let kept = Options {
        prune: false,
        ..options.clone()
    };
    let told = apply(&client, &all[..1], &kept).await.expect("applied");
    assert_eq!(told, Vec::<String>::new());
    let plan = Plan::make(&client, &all[..1], &options)
        .await
        .expect("a plan");
    let pruned: Vec<_> = plan
        .objects()
        .iter()
        .filter(|planned| planned.action == Action::Prune)
        .map(|planned| planned.key.to_string())
        .collect();
    assert_eq!(pruned, ["ConfigMap shop/b"]);
    let told = apply(&client, &all[..1], &options).await.expect("applied");
    assert_eq!(told, ["Prune ConfigMap shop/b"]);
    let there: Vec<bool> = ["a", "b", "c", "foreign"]
        .iter()
        .map(|name| server.get(&format!("{MAPS}/{name}")).is_some())
        .collect();
    assert_eq!(there, [true, false, true, true]);
    let record = server.get(&format!("{MAPS}/book")).expect("an inventory");
    let objects: Vec<Value> =
        serde_json::from_str(record["data"]["objects"].as_str().expect("a text")).expect("a list");
    let names: Vec<_> = objects
        .iter()
        .map(|object| object["name"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(names, ["a"]);
    assert_eq!(
        objects[0]["uid"],
        server.get(&format!("{MAPS}/a")).expect("there")["metadata"]["uid"]
    );
}

#[tokio::test]
async fn pruning_without_an_inventory_is_refused() {
    let server = Server::start().await;
    let client = server.client().await;
    let options = Options {
        prune: true,
        ..Options::default()
    };
    let error = Plan::make(&client, &[config_map("a", "1")], &options)
        .await
        .expect_err("refused");
    assert!(matches!(error, Error::Setting(_)), "{error:?}");
}

#[tokio::test]
async fn who_may_not_list_is_served_object_by_object() {
    let server = Server::start().await;
    let client = server.client().await;
    server.hook(|asked| {
        (asked.method == Method::GET && asked.path == MAPS).then(|| {
            Reply::Status(403, json!({"kind": "Status", "message": "configmaps is forbidden: User \"u\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"shop\""}))
        })
    });
    let told = apply(
        &client,
        &[config_map("a", "1"), config_map("b", "1")],
        &Options::default(),
    )
    .await
    .expect("applied");
    assert_eq!(told.len(), 2);
}

#[tokio::test]
async fn the_same_object_by_default_and_by_name_is_refused() {
    let server = Server::start().await;
    let client = server.client().await;
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\n";
    let objects = manifest::parse(text).expect("readable");
    let error = apply(&client, &objects, &Options::default())
        .await
        .expect_err("twice");
    assert_eq!(
        error.to_string(),
        "document 2, line 5: ConfigMap shop/a stands here again: document 1, line 1 has it"
    );
}
