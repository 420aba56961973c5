//! Tables: how a server prints for `kubectl get`.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::case::{cases, same};
use crate::context::Context;
use crate::manifest::{configmap, deployment, pod};
use crate::watch::Watch;

cases![
    a_table_of_configmaps,
    a_table_of_pods,
    a_table_of_deployments,
    a_table_of_one_object,
    rows_have_metadata_or_more_or_nothing,
    a_watch_of_tables,
    an_empty_table_has_columns,
];

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// The names of the columns of priority 0, and the cells of the row with this name.
fn row(table: &Value, name: &str) -> Result<(Vec<String>, Vec<Value>)> {
    let definitions = table["columnDefinitions"]
        .as_array()
        .context("no columns")?;
    let shown: Vec<_> = definitions
        .iter()
        .enumerate()
        .filter(|(_, column)| column["priority"] == 0)
        .collect();
    let columns = shown
        .iter()
        .filter_map(|(_, column)| column["name"].as_str().map(str::to_owned))
        .collect();
    let mut rows = table["rows"].as_array().into_iter().flatten();
    let row = rows
        .find(|row| row["cells"][0] == name)
        .with_context(|| format!("no row `{name}`: {table}"))?;
    Ok((
        columns,
        shown
            .iter()
            .map(|(index, _)| row["cells"][index].clone())
            .collect(),
    ))
}

async fn a_table_of_configmaps(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    let mut body = configmap("a", "k", "v");
    body["data"]["l"] = json!("w");
    t.create(&configmaps, &body).await?;
    let table = t.admin().get_as(&configmaps, TABLE).await?.status(200)?;
    same!(table["kind"], "Table");
    same!(table["apiVersion"], "meta.k8s.io/v1");
    ensure!(table["metadata"]["resourceVersion"].is_string(), "{table}");
    let (columns, cells) = row(&table, "a")?;
    same!(columns, vec!["Name", "Data", "Age"]);
    same!(cells[1], 2);
    ensure!(
        cells[2]
            .as_str()
            .is_some_and(|age| age.ends_with('s') || age.ends_with('m')),
        "{cells:?}"
    );
    same!(table["columnDefinitions"][0]["format"], "name");
    Ok(())
}

async fn a_table_of_pods(t: &Context) -> Result<()> {
    let pods = t.workload("v1", "pods").await?;
    t.create(&pods, &pod("a")).await?;
    t.admin()
        .until(&format!("{pods}/a"), "it runs", |pod| {
            pod["status"]["phase"] == "Running"
        })
        .await?;
    let table = t.admin().get_as(&pods, TABLE).await?.status(200)?;
    let (columns, cells) = row(&table, "a")?;
    same!(columns, vec!["Name", "Ready", "Status", "Restarts", "Age"]);
    same!(
        cells[..4],
        [json!("a"), json!("1/1"), json!("Running"), json!("0")]
    );
    let more: Vec<_> = table["columnDefinitions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|column| column["priority"] == 1)
        .map(|column| column["name"].clone())
        .collect();
    same!(
        more,
        vec![
            json!("IP"),
            json!("Node"),
            json!("Nominated Node"),
            json!("Readiness Gates")
        ]
    );
    Ok(())
}

async fn a_table_of_deployments(t: &Context) -> Result<()> {
    let deployments = t.workload("apps/v1", "deployments").await?;
    t.create(&deployments, &deployment("web", 2)).await?;
    let path = format!("{deployments}/web");
    t.admin()
        .until(&path, "two are available", |object| {
            object["status"]["availableReplicas"] == 2
        })
        .await?;
    let table = t.admin().get_as(&deployments, TABLE).await?.status(200)?;
    let (columns, cells) = row(&table, "web")?;
    same!(
        columns,
        vec!["Name", "Ready", "Up-to-date", "Available", "Age"]
    );
    same!(cells[..4], [json!("web"), json!("2/2"), json!(2), json!(2)]);
    Ok(())
}

async fn a_table_of_one_object(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    t.create(&configmaps, &configmap("a", "k", "v")).await?;
    let table = t
        .admin()
        .get_as(&format!("{configmaps}/a"), TABLE)
        .await?
        .status(200)?;
    same!(table["kind"], "Table");
    same!(table["rows"].as_array().map(Vec::len), Some(1));
    Ok(())
}

async fn rows_have_metadata_or_more_or_nothing(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    t.create(&configmaps, &configmap("a", "k", "v")).await?;
    let path = format!("{configmaps}/a");
    let table = t.admin().get_as(&path, TABLE).await?.status(200)?;
    let object = &table["rows"][0]["object"];
    same!(object["kind"], "PartialObjectMetadata");
    same!(object["metadata"]["name"], "a");
    let table = t
        .admin()
        .get_as(&format!("{path}?includeObject=Object"), TABLE)
        .await?
        .status(200)?;
    same!(table["rows"][0]["object"]["data"], json!({"k": "v"}));
    let table = t
        .admin()
        .get_as(&format!("{path}?includeObject=None"), TABLE)
        .await?
        .status(200)?;
    ensure!(table["rows"][0]["object"].is_null(), "{table}");
    Ok(())
}

async fn a_watch_of_tables(t: &Context) -> Result<()> {
    let configmaps = t.configmaps().await?;
    t.create(&configmaps, &configmap("a", "k", "v")).await?;
    let mut watch = Watch::open_as(
        t.admin(),
        &configmaps,
        "fieldSelector=metadata.name%3Da",
        TABLE,
    )
    .await?;
    let event = watch.event().await?;
    same!(event.kind, "ADDED");
    same!(event.object["kind"], "Table");
    same!(event.object["rows"][0]["cells"][0], "a");
    ensure!(
        event.object["columnDefinitions"].is_array(),
        "the first one has the columns: {}",
        event.object
    );
    Ok(())
}

async fn an_empty_table_has_columns(t: &Context) -> Result<()> {
    let table = t
        .admin()
        .get_as(&t.resource("v1", "pods").await?, TABLE)
        .await?
        .status(200)?;
    same!(table["rows"], json!([]));
    same!(table["columnDefinitions"][0]["name"], "Name");
    Ok(())
}
