//! CustomResourceDefinitions and their objects: from the definition to what validation says.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;
use crate::manifest::definition;

cases![
    a_definition_is_established,
    it_is_discovered_and_served,
    without_a_status_subresource_everything_counts,
    scale_by_paths,
    two_versions_of_one_object,
    a_version_that_is_not_served_is_404,
    names_that_are_taken_are_not_accepted,
    a_name_that_does_not_fit_is_422,
    a_schema_is_required,
    its_end_takes_its_objects_with_it,
    a_missing_definition_is_404,
    a_cluster_scoped_kind,
    a_new_field_of_the_schema_is_served,
];

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let mut conditions = object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten();
    conditions
        .find(|condition| condition["type"] == kind)
        .unwrap_or(&Value::Null)
}

/// A group that only this case has.
pub(super) fn group(t: &Context) -> String {
    format!("{}.example.com", t.unique())
}

pub(super) async fn establish(t: &Context, body: &Value) -> Result<Value> {
    let name = body["metadata"]["name"]
        .as_str()
        .context("a definition has a name")?;
    let path = format!("{CRDS}/{name}");
    t.remove_later(&path);
    t.create(CRDS, body).await?;
    t.admin()
        .until(&path, "the definition is established", |crd| {
            condition(crd, "Established")["status"] == "True"
        })
        .await
}

/// The definition of a namespaced kind `Gadget`, in the case's own group, with this schema of its spec.
fn gadget_definition(t: &Context, spec: &Value) -> Value {
    definition(&group(t), "Gadget", "Namespaced", spec)
}

/// A namespaced kind `Gadget` with this schema of its spec; gives the collection in the case's namespace, when it is served.
pub(super) async fn gadgets(t: &Context, spec: &Value) -> Result<String> {
    let group = group(t);
    establish(t, &gadget_definition(t, spec)).await?;
    let path = t.resource(&format!("{group}/v1"), "gadgets").await?;
    t.admin().until(&path, "it is served", |_| true).await?;
    Ok(path)
}

pub(super) fn gadget(t: &Context, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": format!("{}/v1", group(t)), "kind": "Gadget", "metadata": {"name": name}, "spec": spec})
}

pub(super) fn schema(properties: &Value) -> Value {
    json!({"type": "object", "properties": properties})
}

async fn a_definition_is_established(t: &Context) -> Result<()> {
    let crd = establish(t, &gadget_definition(t, &schema(&json!({})))).await?;
    let accepted = condition(&crd, "NamesAccepted");
    same!(accepted["status"], "True");
    same!(accepted["reason"], "NoConflicts");
    same!(accepted["message"], "no conflicts found");
    let established = condition(&crd, "Established");
    same!(established["reason"], "InitialNamesAccepted");
    same!(
        established["message"],
        "the initial names have been accepted"
    );
    same!(crd["status"]["acceptedNames"]["plural"], "gadgets");
    same!(crd["status"]["storedVersions"], json!(["v1"]));
    same!(crd["spec"]["conversion"], json!({"strategy": "None"}));
    Ok(())
}

async fn it_is_discovered_and_served(t: &Context) -> Result<()> {
    let gadgets = gadgets(t, &schema(&json!({"size": {"type": "integer"}}))).await?;
    let group = group(t);
    let found = t
        .admin()
        .until(&format!("/apis/{group}"), "its group is listed", |_| true)
        .await?;
    same!(found["preferredVersion"]["version"], "v1");
    let list = t
        .admin()
        .get(&format!("/apis/{group}/v1"))
        .await?
        .status(200)?;
    let names: Vec<_> = list["resources"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| entry["name"].clone())
        .collect();
    ensure!(
        names.contains(&json!("gadgets")) && names.contains(&json!("gadgets/status")),
        "{names:?}"
    );
    let made = t
        .create(&gadgets, &gadget(t, "a", &json!({"size": 3})))
        .await?;
    same!(made["spec"], json!({"size": 3}));
    same!(made["metadata"]["generation"], 1);
    let list = t.admin().get(&gadgets).await?.status(200)?;
    same!(list["kind"], "GadgetList");
    // Items of custom kinds say what they are.
    same!(list["items"][0]["kind"], "Gadget");
    let missing = t.admin().get(&format!("{gadgets}/none")).await?;
    missing.refused(
        404,
        "NotFound",
        &format!("gadgets.{group} \"none\" not found"),
    )?;
    Ok(())
}

async fn without_a_status_subresource_everything_counts(t: &Context) -> Result<()> {
    let group = group(t);
    let mut body = definition(
        &group,
        "Gadget",
        "Namespaced",
        &schema(&json!({"size": {"type": "integer"}})),
    );
    body["spec"]["versions"][0]["subresources"] = Value::Null;
    establish(t, &body).await?;
    let gadgets = t.resource(&format!("{group}/v1"), "gadgets").await?;
    t.admin().until(&gadgets, "it is served", |_| true).await?;
    t.create(&gadgets, &gadget(t, "a", &json!({"size": 1})))
        .await?;
    let path = format!("{gadgets}/a");
    let after = t
        .admin()
        .patch(&path, MERGE, &json!({"status": {"phase": "x"}}))
        .await?
        .status(200)?;
    same!(after["status"], json!({"phase": "x"}));
    same!(after["metadata"]["generation"], 2);
    t.admin()
        .get(&format!("{path}/status"))
        .await?
        .failure(404, "NotFound")?;
    Ok(())
}

async fn scale_by_paths(t: &Context) -> Result<()> {
    let group = group(t);
    let mut body = definition(
        &group,
        "Gadget",
        "Namespaced",
        &schema(&json!({"count": {"type": "integer"}})),
    );
    body["spec"]["versions"][0]["subresources"]["scale"] =
        json!({"specReplicasPath": ".spec.count", "statusReplicasPath": ".status.count"});
    establish(t, &body).await?;
    let gadgets = t.resource(&format!("{group}/v1"), "gadgets").await?;
    t.admin().until(&gadgets, "it is served", |_| true).await?;
    t.create(&gadgets, &gadget(t, "a", &json!({"count": 2})))
        .await?;
    let path = format!("{gadgets}/a");
    let scale = t.admin().get(&format!("{path}/scale")).await?.status(200)?;
    same!(scale["kind"], "Scale");
    same!(scale["spec"]["replicas"], 2);
    t.admin()
        .patch(
            &format!("{path}/scale"),
            MERGE,
            &json!({"spec": {"replicas": 5}}),
        )
        .await?
        .status(200)?;
    same!(t.admin().get(&path).await?.status(200)?["spec"]["count"], 5);
    Ok(())
}

/// A kind `Gadget` with v1 (stored) and v1beta1.
async fn two_versions(t: &Context, beta_served: bool) -> Result<String> {
    let group = group(t);
    let mut body = definition(
        &group,
        "Gadget",
        "Namespaced",
        &schema(&json!({"size": {"type": "integer"}})),
    );
    let mut beta = body["spec"]["versions"][0].clone();
    beta["name"] = json!("v1beta1");
    beta["storage"] = json!(false);
    beta["served"] = json!(beta_served);
    body["spec"]["versions"]
        .as_array_mut()
        .context("a list")?
        .push(beta);
    establish(t, &body).await?;
    let gadgets = t.resource(&format!("{group}/v1"), "gadgets").await?;
    t.admin().until(&gadgets, "it is served", |_| true).await?;
    Ok(gadgets)
}

async fn two_versions_of_one_object(t: &Context) -> Result<()> {
    let gadgets = two_versions(t, true).await?;
    let made = t
        .create(&gadgets, &gadget(t, "a", &json!({"size": 1})))
        .await?;
    let beta = t
        .admin()
        .get(&format!("{}/a", gadgets.replace("/v1/", "/v1beta1/")))
        .await?
        .status(200)?;
    same!(beta["apiVersion"], format!("{}/v1beta1", group(t)));
    same!(beta["metadata"]["uid"], made["metadata"]["uid"]);
    same!(beta["spec"], made["spec"]);
    Ok(())
}

async fn a_version_that_is_not_served_is_404(t: &Context) -> Result<()> {
    let gadgets = two_versions(t, false).await?;
    let reply = t.admin().get(&gadgets.replace("/v1/", "/v1beta1/")).await?;
    ensure!(reply.status == 404, "{}", reply.short());
    Ok(())
}

async fn names_that_are_taken_are_not_accepted(t: &Context) -> Result<()> {
    let group = group(t);
    establish(t, &gadget_definition(t, &schema(&json!({})))).await?;
    let mut second = definition(&group, "Widget", "Namespaced", &schema(&json!({})));
    second["spec"]["names"]["singular"] = json!("gadget");
    let path = format!("{CRDS}/widgets.{group}");
    t.remove_later(&path);
    t.create(CRDS, &second).await?;
    let crd = t
        .admin()
        .until(&path, "the names are judged", |crd| {
            condition(crd, "NamesAccepted")["status"] == "False"
        })
        .await?;
    same!(
        condition(&crd, "NamesAccepted")["reason"],
        "SingularConflict"
    );
    same!(
        condition(&crd, "NamesAccepted")["message"],
        "\"gadget\" is already in use"
    );
    same!(condition(&crd, "Established")["status"], "False");
    same!(condition(&crd, "Established")["reason"], "NotAccepted");
    Ok(())
}

async fn a_name_that_does_not_fit_is_422(t: &Context) -> Result<()> {
    let group = group(t);
    let mut body = gadget_definition(t, &schema(&json!({})));
    body["metadata"]["name"] = json!(format!("other.{group}"));
    let status = t.admin().post(CRDS, &body).await?.failure(422, "Invalid")?;
    same!(status["details"]["causes"][0]["field"], "metadata.name");
    let message = status["details"]["causes"][0]["message"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        message.ends_with("must be spec.names.plural+\".\"+spec.group"),
        "{message}"
    );
    Ok(())
}

async fn a_schema_is_required(t: &Context) -> Result<()> {
    let mut body = gadget_definition(t, &schema(&json!({})));
    body["spec"]["versions"][0]["schema"] = Value::Null;
    let status = t.admin().post(CRDS, &body).await?.failure(422, "Invalid")?;
    let causes = status["details"]["causes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    ensure!(
        causes
            .iter()
            .any(|cause| cause["field"] == "spec.versions[0].schema.openAPIV3Schema"),
        "{status}"
    );
    Ok(())
}

async fn its_end_takes_its_objects_with_it(t: &Context) -> Result<()> {
    let gadgets = gadgets(t, &schema(&json!({"size": {"type": "integer"}}))).await?;
    t.create(&gadgets, &gadget(t, "a", &json!({"size": 1})))
        .await?;
    let path = format!("{CRDS}/gadgets.{}", group(t));
    let going = t.admin().delete(&path).await?.status(200)?;
    same!(
        going["metadata"]["finalizers"],
        json!(["customresourcecleanup.apiextensions.k8s.io"])
    );
    t.admin().until_gone(&path).await?;
    t.admin().until_gone(&gadgets).await?;
    // A new one of the same name begins empty.
    establish(
        t,
        &definition(
            &group(t),
            "Gadget",
            "Namespaced",
            &schema(&json!({"size": {"type": "integer"}})),
        ),
    )
    .await?;
    let list = t
        .admin()
        .until(&gadgets, "it is served again", |_| true)
        .await?;
    same!(list["items"], json!([]));
    Ok(())
}

async fn a_missing_definition_is_404(t: &Context) -> Result<()> {
    let body =
        json!({"apiVersion": "none.example.com/v1", "kind": "Thing", "metadata": {"name": "a"}});
    let reply = t
        .admin()
        .post(&t.resource("none.example.com/v1", "things").await?, &body)
        .await?;
    same!(
        (reply.status, reply.text.trim()),
        (404, "404 page not found")
    );
    Ok(())
}

async fn a_cluster_scoped_kind(t: &Context) -> Result<()> {
    let group = group(t);
    establish(
        t,
        &definition(&group, "Gadget", "Cluster", &schema(&json!({}))),
    )
    .await?;
    let path = format!("/apis/{group}/v1/gadgets");
    t.admin().until(&path, "it is served", |_| true).await?;
    let made = t.create(&path, &gadget(t, "a", &json!({}))).await?;
    ensure!(made["metadata"]["namespace"].is_null(), "{made}");
    let inside = t
        .admin()
        .get(&t.resource(&format!("{group}/v1"), "gadgets").await?)
        .await?;
    ensure!(inside.status == 404, "{}", inside.short());
    Ok(())
}

async fn a_new_field_of_the_schema_is_served(t: &Context) -> Result<()> {
    let gadgets = gadgets(t, &schema(&json!({"size": {"type": "integer"}}))).await?;
    let fields = json!({"size": {"type": "integer"}, "colour": {"type": "string"}});
    let path = format!("{CRDS}/gadgets.{}", group(t));
    let body = gadget_definition(t, &schema(&fields));
    t.admin().patch(&path, MERGE, &body).await?.status(200)?;
    // It takes a moment until requests are answered by the new schema.
    for number in 0..100 {
        let reply = t
            .admin()
            .post(
                &gadgets,
                &gadget(t, &format!("a{number}"), &json!({"colour": "red"})),
            )
            .await?;
        // While the old schema's storage is taken away there may be nobody to answer.
        if reply.status != 503 && reply.status(201)?["spec"]["colour"] == "red" {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    anyhow::bail!("the new field is still pruned")
}
