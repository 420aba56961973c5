//! Objects come, change and go; errors are a `Status`; lists have pages.

use reqwest::Method;
use runbook_lab::kube::{Fault, Rule, Settings, TokenRule, When};
use serde_json::json;

use crate::support::{config_map, lab, lab_with};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn an_object_comes_changes_and_goes() {
    let lab = lab().await;
    let made = lab
        .post(MAPS, config_map("a", json!({"k": "1"})))
        .await
        .is(201);
    assert_eq!(made["metadata"]["namespace"], "default");
    assert_eq!(made["metadata"]["uid"].as_str().unwrap().len(), 36);
    assert_eq!(made["metadata"]["managedFields"][0]["manager"], "lab-test");
    let twice = lab.post(MAPS, config_map("a", json!({}))).await;
    assert_eq!(
        (twice.status, twice.body["reason"].as_str()),
        (409, Some("AlreadyExists"))
    );
    assert_eq!(twice.message(), "configmaps \"a\" already exists");
    let mut changed = made.clone();
    changed["data"]["k"] = "2".into();
    let path = format!("{MAPS}/a");
    let next = lab.put(&path, changed.clone()).await.is(200);
    assert_ne!(
        next["metadata"]["resourceVersion"],
        made["metadata"]["resourceVersion"]
    );
    let same = lab.put(&path, next.clone()).await.is(200);
    assert_eq!(
        same["metadata"]["resourceVersion"], next["metadata"]["resourceVersion"],
        "nothing changed"
    );
    let stale = lab.put(&path, changed).await;
    assert_eq!(
        (stale.status, stale.body["reason"].as_str()),
        (409, Some("Conflict"))
    );
    assert_eq!(
        stale.message(),
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again"
    );
    let gone = lab.delete(&path).await.is(200);
    assert_eq!(
        (gone["status"].as_str(), gone["details"]["name"].as_str()),
        (Some("Success"), Some("a"))
    );
    let missing = lab.get(&path).await;
    assert_eq!(
        (missing.status, missing.message()),
        (404, "configmaps \"a\" not found")
    );
    assert_eq!(
        missing.body["details"],
        json!({"name": "a", "kind": "configmaps"})
    );
}

#[tokio::test]
async fn discovery_tells_what_is_served() {
    let lab = lab().await;
    assert_eq!(lab.get("/version").await.is(200)["gitVersion"], "v1.36.4");
    let core = lab.get("/api/v1").await.is(200);
    let pods = core["resources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "pods")
        .unwrap()
        .clone();
    assert_eq!(
        (pods["kind"].as_str(), pods["shortNames"][0].as_str()),
        (Some("Pod"), Some("po"))
    );
    assert_eq!(
        lab.get("/apis/apps").await.is(200)["preferredVersion"]["groupVersion"],
        "apps/v1"
    );
    let accept =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let request = lab.request(Method::GET, "/apis").header("accept", accept);
    let response = request.send().await.unwrap();
    let kind = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        kind.contains("as=APIGroupDiscoveryList") && kind.contains("v=v2"),
        "{kind}"
    );
    let list: serde_json::Value = response.json().await.unwrap();
    assert_eq!(list["kind"], "APIGroupDiscoveryList");
    let plain = lab.get("/apis").await.is(200);
    assert_eq!(plain["kind"], "APIGroupList");
    let nowhere = lab.get("/apis/nothing.example/v1/things").await;
    assert_eq!(nowhere.is(404), "404 page not found\n");
    let nothing = lab.get("/api/v1/namespaces/default/nothings").await;
    assert_eq!(
        (nothing.status, nothing.message()),
        (404, "the server could not find the requested resource")
    );
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(lab.get(path).await.is(200), "ok");
    }
}

#[tokio::test]
async fn pages_are_of_one_moment() {
    let lab = lab().await;
    for name in ["a", "b", "c", "d", "e"] {
        lab.post(MAPS, config_map(name, json!({}))).await.is(201);
    }
    let first = lab.get(&format!("{MAPS}?limit=2")).await.is(200);
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    assert_eq!(
        first["metadata"]["remainingItemCount"], 4,
        "kube-root-ca.crt is there too"
    );
    lab.delete(&format!("{MAPS}/d")).await.is(200);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let rest = lab
        .get(&format!("{MAPS}?limit=10&continue={token}"))
        .await
        .is(200);
    let names: Vec<&str> = rest["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["metadata"]["name"].as_str())
        .collect();
    assert_eq!(
        names,
        ["c", "d", "e", "kube-root-ca.crt"],
        "what was deleted meanwhile is still of that moment"
    );
    assert_eq!(
        rest["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    lab.server.cluster().compact();
    let late = lab.get(&format!("{MAPS}?limit=10&continue={token}")).await;
    assert_eq!(
        (late.status, late.body["reason"].as_str()),
        (410, Some("Expired"))
    );
}

#[tokio::test]
async fn selectors_choose() {
    let lab = lab().await;
    for (name, tier) in [("a", "front"), ("b", "back")] {
        let mut map = config_map(name, json!({}));
        map["metadata"]["labels"] = json!({"tier": tier});
        lab.post(MAPS, map).await.is(201);
    }
    for (query, count) in [
        ("labelSelector=tier%3Dfront", 1),
        ("labelSelector=tier%20in%20(front,back)", 2),
        ("labelSelector=!tier", 1),
        ("fieldSelector=metadata.name%3Db", 1),
        ("fieldSelector=metadata.name!%3Db", 2),
    ] {
        let list = lab.get(&format!("{MAPS}?{query}")).await.is(200);
        assert_eq!(list["items"].as_array().unwrap().len(), count, "{query}");
    }
    let bad = lab.get(&format!("{MAPS}?fieldSelector=data.k%3Db")).await;
    assert_eq!(
        (bad.status, bad.message()),
        (
            400,
            "\"data.k\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        )
    );
}

#[tokio::test]
async fn what_is_wrong_is_told() {
    let lab = lab().await;
    let unnamed = lab
        .post(
            MAPS,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}),
        )
        .await;
    assert_eq!(unnamed.status, 422);
    assert!(
        unnamed
            .message()
            .contains("name or generateName is required"),
        "{}",
        unnamed.message()
    );
    let generated =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x-"}});
    let name = lab.post(MAPS, generated).await.is(201)["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(name.len(), 7, "{name}");
    let mut map = config_map("u", json!({}));
    map["dota"] = json!({});
    let strict = lab
        .post(&format!("{MAPS}?fieldValidation=Strict"), map.clone())
        .await;
    assert_eq!(strict.status, 400);
    assert!(
        strict
            .message()
            .contains("strict decoding error: unknown field \"dota\""),
        "{}",
        strict.message()
    );
    let warned = lab.post(MAPS, map).await;
    assert_eq!(warned.warnings, ["299 - \"unknown field \\\"dota\\\"\""]);
    assert!(warned.is(201).get("dota").is_none());
    let elsewhere = lab
        .post(
            "/api/v1/namespaces/nowhere/configmaps",
            config_map("x", json!({})),
        )
        .await;
    assert_eq!(
        (elsewhere.status, elsewhere.message()),
        (404, "namespaces \"nowhere\" not found")
    );
    let request = lab
        .request(Method::POST, MAPS)
        .header("content-type", "application/cbor")
        .body("x");
    assert_eq!(lab.send(request).await.status, 415);
    let dry = lab
        .post(&format!("{MAPS}?dryRun=All"), config_map("dry", json!({})))
        .await;
    assert_eq!(dry.status, 201);
    assert_eq!(lab.get(&format!("{MAPS}/dry")).await.status, 404);
    assert_eq!(
        lab.send(lab.request(Method::POST, "/api/v1/namespaces/default/configmaps/x"))
            .await
            .status,
        405
    );
}

#[tokio::test]
async fn a_caller_may_what_its_rules_say() {
    let reader = TokenRule {
        token: "reader-token".into(),
        user: "reader".into(),
        allow: vec![Rule {
            verbs: vec!["get".into(), "list".into()],
            ..Rule::default()
        }],
        deny: vec![Rule {
            resources: vec!["secrets".into()],
            ..Rule::default()
        }],
        ..TokenRule::default()
    };
    let old = TokenRule {
        token: "old".into(),
        user: "old".into(),
        expired: true,
        ..TokenRule::default()
    };
    let lab = lab_with(Settings {
        tokens: vec![reader, old],
        ..Settings::default()
    })
    .await;
    let as_user = |token: &str, method: Method, path: &str| {
        lab.client
            .request(method, format!("{}{path}", lab.server.url()))
            .bearer_auth(token)
    };
    assert_eq!(
        lab.send(as_user("reader-token", Method::GET, MAPS))
            .await
            .status,
        200
    );
    let secret = lab
        .send(as_user(
            "reader-token",
            Method::GET,
            "/api/v1/namespaces/default/secrets",
        ))
        .await;
    assert_eq!(
        (secret.status, secret.message()),
        (
            403,
            "secrets is forbidden: User \"reader\" cannot list resource \"secrets\" in API group \"\" in the namespace \"default\""
        )
    );
    let write = lab
        .send(as_user(
            "reader-token",
            Method::DELETE,
            "/apis/apps/v1/namespaces/default/deployments/x",
        ))
        .await;
    assert_eq!(
        write.message(),
        "deployments.apps \"x\" is forbidden: User \"reader\" cannot delete resource \"deployments\" in API group \"apps\" in the namespace \"default\""
    );
    for token in ["old", "unknown"] {
        let refused = lab.send(as_user(token, Method::GET, MAPS)).await;
        assert_eq!((refused.status, refused.message()), (401, "Unauthorized"));
    }
    let anonymous = lab
        .send(lab.client.get(format!("{}{MAPS}", lab.server.url())))
        .await;
    assert_eq!(anonymous.status, 403);
    assert!(anonymous.message().contains("system:anonymous"));
}

#[tokio::test]
async fn faults_strike_as_planned() {
    let lab = lab().await;
    let faults = &lab.server.cluster().faults;
    let once = |path: &str| When {
        path: Some(path.into()),
        times: 1,
        ..When::default()
    };
    faults.plan(
        once("/configmaps"),
        Fault::Status {
            status: 429,
            retry_after: Some(2),
        },
    );
    let request = lab.request(Method::GET, MAPS).send().await.unwrap();
    assert_eq!(request.status().as_u16(), 429);
    assert_eq!(request.headers()["retry-after"], "2");
    let body: serde_json::Value = request.json().await.unwrap();
    assert_eq!(body["details"]["retryAfterSeconds"], 2);
    assert_eq!(lab.get(MAPS).await.status, 200);
    faults.plan(once("/configmaps"), Fault::Reset { done: true });
    assert!(
        lab.request(Method::POST, MAPS)
            .json(&config_map("cut", json!({})))
            .send()
            .await
            .is_err()
    );
    assert_eq!(
        lab.get(&format!("{MAPS}/cut")).await.status,
        200,
        "the work was done"
    );
}

#[tokio::test]
async fn nothing_is_left_after_a_shutdown() {
    let lab = lab().await;
    let url = lab.server.url();
    lab.server.shutdown().await;
    assert!(
        lab.client
            .get(format!("{url}/version"))
            .send()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_first_object_adds_to_what_a_cluster_has_of_itself() {
    const UID: &str = "0f4c1a52-8a51-4f35-8d0c-2b1f7c6f3a10";
    let card = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "b", "labels": {"card": "yes"}},
        "status": {"allocatable": {"nvidia.com/gpu": "1"}},
    });
    let system = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": UID},
    });
    let lab = lab_with(Settings {
        nodes: vec!["a".into(), "b".into()],
        objects: vec![card, system],
        ..Settings::default()
    })
    .await;
    let system = lab.get("/api/v1/namespaces/kube-system").await.is(200);
    assert_eq!(system["metadata"]["uid"], UID);
    let nodes = lab.get("/api/v1/nodes").await.is(200);
    let cards: Vec<_> = nodes["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["status"]["allocatable"]["nvidia.com/gpu"].clone())
        .collect();
    assert_eq!(cards, [json!(null), json!("1")]);
    let b = &nodes["items"][1];
    assert_eq!(b["metadata"]["labels"]["card"], "yes");
    assert!(b["status"]["allocatable"]["memory"].is_string(), "{b}");
}
