//! The clusters of a real profile: whether they answer, who is asking, and what that user may do there.

use runbook_k8s::{Client, Error, Request};
use serde_json::{Value, json};

use super::{LOOK_DEADLINE, Look};
use crate::cli::open::Opened;
use crate::cli::wait_for;
use crate::world::Clusters;

/// What the actions of a book do: verb, group, resource, subresource.
const DONE: [(&str, &str, &str, &str); 7] = [
    ("list", "", "pods", ""),
    ("get", "", "pods", "log"),
    ("create", "", "pods", "exec"),
    ("patch", "apps", "deployments", ""),
    ("create", "batch", "jobs", ""),
    ("create", "", "namespaces", ""),
    ("delete", "", "namespaces", ""),
];
/// What a look is for.
const FOR: &str = "steps on clusters and pods are executed by the profile's kubeconfig";

/// Looks at each cluster of the profile.
pub(super) fn looks(opened: &Opened) -> Vec<Look> {
    let told = |found: String, hint: &str| {
        vec![Look {
            name: "clusters".into(),
            present: false,
            found,
            hint: hint.into(),
        }]
    };
    let Ok(read) = opened.load(&Default::default()) else {
        return told("the book cannot be read".into(), "see `runbook check`");
    };
    let inventory = opened.root().join(&read.book.options.inventory);
    let folder = inventory.parent().unwrap_or(opened.root());
    let profile = opened.profile();
    let clusters = Clusters::of_profile(&read.book.inventory, &profile, folder);
    let looked = wait_for(async {
        let mut looks = Vec::new();
        for name in clusters.names() {
            looks.push(look(&clusters, name).await);
        }
        looks
    });
    looked.unwrap_or_else(|_| told("the runtime cannot be started".into(), FOR))
}

async fn look(clusters: &Clusters, name: &str) -> Look {
    let (present, found, hint) =
        match tokio::time::timeout(LOOK_DEADLINE, ask(clusters, name)).await {
            Ok(Ok(Told { found, lacks: None })) => (true, found, None),
            Ok(Ok(Told {
                found,
                lacks: Some(hint),
            })) => (false, found, Some(hint)),
            Ok(Err((why, hint))) => (false, why, hint),
            Err(_) => (
                false,
                format!("no answer within {} s", LOOK_DEADLINE.as_secs()),
                Some("is the `server` of its context in the kubeconfig the right one?".to_owned()),
            ),
        };
    Look {
        name: format!("cluster/{name}").into(),
        present,
        found,
        hint: hint.unwrap_or_else(|| FOR.to_owned()),
    }
}

/// What is told of a cluster that answers, and what to do about what may not be done there.
struct Told {
    found: String,
    lacks: Option<String>,
}

async fn ask(clusters: &Clusters, name: &str) -> Result<Told, (String, Option<String>)> {
    let cluster = clusters.get(name).await;
    let cluster = cluster.map_err(|failure| (failure.message, failure.hint))?;
    let client = &cluster.client;
    let at = format!("{} at {}", cluster.identity.version, client.url());
    let asked = async {
        let user = whoami(client).await?;
        Ok::<_, Error>((user, lacking(client).await?))
    };
    let (user, lacking) = match asked.await {
        Ok(asked) => asked,
        Err(error) => return Err((format!("{at}; {error}"), error.hint())),
    };
    Ok(match lacking {
        None => Told {
            found: format!("{at}, as `{user}`, who may do everything"),
            lacks: None,
        },
        Some(lacking) if lacking.is_empty() => Told {
            found: format!("{at}, as `{user}`"),
            lacks: None,
        },
        Some(lacking) => Told {
            found: format!("{at}, as `{user}`, who may not {}", lacking.join(", ")),
            lacks: Some(format!(
                "give `{user}` a role with what the book's steps do there; to observe, `get`, `list` and `watch` are enough"
            )),
        },
    })
}

async fn review(client: &Client, api: &str, kind: &str, spec: Value) -> Result<Value, Error> {
    let resource = client.resource(api, kind).await?;
    let object = json!({"apiVersion": api, "kind": kind, "metadata": {}, "spec": spec});
    client.send(&Request::create(&resource, None, object)).await
}

async fn whoami(client: &Client) -> Result<String, Error> {
    let said = review(
        client,
        "authentication.k8s.io/v1",
        "SelfSubjectReview",
        Value::Null,
    )
    .await?;
    let user = said
        .pointer("/status/userInfo/username")
        .and_then(Value::as_str);
    Ok(user.unwrap_or("somebody").to_owned())
}

/// What may not be done in the whole cluster of what actions do; none where everything may be.
async fn lacking(client: &Client) -> Result<Option<Vec<String>>, Error> {
    let may = async |verb: &str, group: &str, resource: &str, subresource: &str| {
        let attributes = json!({
            "verb": verb, "group": group, "resource": resource, "subresource": subresource,
        });
        let spec = json!({"resourceAttributes": attributes});
        let said = review(
            client,
            "authorization.k8s.io/v1",
            "SelfSubjectAccessReview",
            spec,
        )
        .await?;
        Ok::<_, Error>(said.pointer("/status/allowed") == Some(&Value::Bool(true)))
    };
    if may("*", "*", "*", "").await? {
        return Ok(None);
    }
    let mut lacking = Vec::new();
    for (verb, group, resource, subresource) in DONE {
        if !may(verb, group, resource, subresource).await? {
            let part = if subresource.is_empty() { "" } else { "/" };
            lacking.push(format!("{verb} {resource}{part}{subresource}"));
        }
    }
    Ok(Some(lacking))
}
