//! Jobs and CronJobs, and the pods they end with.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::workloads::condition;
use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;
use crate::manifest::{cronjob, job};

cases![
    a_job_completes,
    a_job_fails_after_its_last_try,
    a_running_job_is_active,
    a_suspended_job_waits,
    a_job_over_its_deadline_fails,
    an_indexed_job_numbers_its_pods,
    a_failed_index_fails_an_indexed_job_at_the_end,
    a_policy_fails_a_job_by_the_exit_code,
    a_finished_job_is_removed_after_its_time,
    a_job_knows_its_pods_by_labels,
    a_cron_job_starts_jobs for 180,
    a_suspended_cron_job_starts_none,
    a_broken_schedule_is_422,
];

async fn started(t: &Context, body: &Value) -> Result<String> {
    let jobs = t.workload("batch/v1", "jobs").await?;
    t.create(&jobs, body).await?;
    Ok(format!(
        "{jobs}/{}",
        body["metadata"]["name"].as_str().unwrap_or_default()
    ))
}

async fn ended(t: &Context, path: &str, kind: &str) -> Result<Value> {
    t.admin()
        .until(path, kind, |job| condition(job, kind)["status"] == "True")
        .await
}

async fn a_job_completes(t: &Context) -> Result<()> {
    t.programs()?;
    let path = started(t, &job("once", &["true"])).await?;
    let done = ended(t, &path, "Complete").await?;
    let status = &done["status"];
    same!(status["succeeded"], 1);
    ensure!(
        status["startTime"].is_string() && status["completionTime"].is_string(),
        "{status}"
    );
    ensure!(
        status["failed"].is_null() || status["failed"] == 0,
        "{status}"
    );
    same!(condition(&done, "SuccessCriteriaMet")["status"], "True");
    for kind in ["SuccessCriteriaMet", "Complete"] {
        same!(condition(&done, kind)["reason"], "CompletionsReached");
        same!(
            condition(&done, kind)["message"],
            "Reached expected number of succeeded pods"
        );
    }
    Ok(())
}

async fn a_job_fails_after_its_last_try(t: &Context) -> Result<()> {
    t.programs()?;
    let path = started(t, &job("once", &["false"])).await?;
    let failed = ended(t, &path, "Failed").await?;
    same!(failed["status"]["failed"], 1);
    ensure!(failed["status"]["completionTime"].is_null(), "{failed}");
    for kind in ["FailureTarget", "Failed"] {
        same!(condition(&failed, kind)["reason"], "BackoffLimitExceeded");
        same!(
            condition(&failed, kind)["message"],
            "Job has reached the specified backoff limit"
        );
    }
    let pods = t
        .admin()
        .get(&t.resource("v1", "pods").await?)
        .await?
        .status(200)?;
    let pod = &pods["items"][0]["status"];
    same!(pod["phase"], "Failed");
    same!(
        pod["containerStatuses"][0]["state"]["terminated"]["exitCode"],
        1
    );
    Ok(())
}

async fn a_running_job_is_active(t: &Context) -> Result<()> {
    t.programs()?;
    let path = started(t, &job("long", &["sleep", "3600"])).await?;
    let running = t
        .admin()
        .until(&path, "its pod is ready", |job| job["status"]["ready"] == 1)
        .await?;
    same!(running["status"]["active"], 1);
    ensure!(running["status"]["startTime"].is_string(), "{running}");
    ensure!(running["status"]["conditions"].is_null(), "{running}");
    Ok(())
}

async fn a_suspended_job_waits(t: &Context) -> Result<()> {
    t.programs()?;
    let mut body = job("later", &["true"]);
    body["spec"]["suspend"] = json!(true);
    let path = started(t, &body).await?;
    let waits = ended(t, &path, "Suspended").await?;
    same!(condition(&waits, "Suspended")["reason"], "JobSuspended");
    ensure!(waits["status"]["startTime"].is_null(), "{waits}");
    t.admin()
        .patch(&path, MERGE, &json!({"spec": {"suspend": false}}))
        .await?
        .status(200)?;
    let done = ended(t, &path, "Complete").await?;
    same!(condition(&done, "Suspended")["status"], "False");
    same!(condition(&done, "Suspended")["reason"], "JobResumed");
    Ok(())
}

async fn a_job_over_its_deadline_fails(t: &Context) -> Result<()> {
    let mut body = job("long", &["sleep", "3600"]);
    body["spec"]["activeDeadlineSeconds"] = json!(2);
    let path = started(t, &body).await?;
    let failed = ended(t, &path, "Failed").await?;
    same!(condition(&failed, "Failed")["reason"], "DeadlineExceeded");
    same!(
        condition(&failed, "Failed")["message"],
        "Job was active longer than specified deadline"
    );
    Ok(())
}

async fn an_indexed_job_numbers_its_pods(t: &Context) -> Result<()> {
    t.programs()?;
    let mut body = job("shards", &["true"]);
    body["spec"]["completionMode"] = json!("Indexed");
    body["spec"]["completions"] = json!(3);
    body["spec"]["parallelism"] = json!(2);
    let path = started(t, &body).await?;
    let done = ended(t, &path, "Complete").await?;
    same!(done["status"]["completedIndexes"], "0-2");
    same!(done["status"]["succeeded"], 3);
    let pods = t
        .admin()
        .get(&t.resource("v1", "pods").await?)
        .await?
        .status(200)?;
    let mut indexes: Vec<_> = pods["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|pod| {
            pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    indexes.sort();
    same!(indexes, vec!["0", "1", "2"]);
    let pod = &pods["items"][0];
    ensure!(
        pod["spec"]["hostname"]
            .as_str()
            .is_some_and(|name| name.starts_with("shards-")),
        "{}",
        pod["spec"]["hostname"]
    );
    let environment = pod["spec"]["containers"][0]["env"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    ensure!(
        environment
            .iter()
            .any(|entry| entry["name"] == "JOB_COMPLETION_INDEX"),
        "{environment:?}"
    );
    Ok(())
}

async fn a_failed_index_fails_an_indexed_job_at_the_end(t: &Context) -> Result<()> {
    t.programs()?;
    let mut body = job("shards", &["sh", "-c", "exit $JOB_COMPLETION_INDEX"]);
    body["spec"]["completionMode"] = json!("Indexed");
    body["spec"]["completions"] = json!(3);
    body["spec"]["parallelism"] = json!(3);
    body["spec"]["backoffLimit"] = Value::Null;
    body["spec"]["backoffLimitPerIndex"] = json!(0);
    let path = started(t, &body).await?;
    let failed = ended(t, &path, "Failed").await?;
    same!(condition(&failed, "Failed")["reason"], "FailedIndexes");
    same!(
        condition(&failed, "Failed")["message"],
        "Job has failed indexes"
    );
    same!(failed["status"]["completedIndexes"], "0");
    same!(failed["status"]["failedIndexes"], "1,2");
    same!(failed["spec"]["backoffLimit"], 2_147_483_647_u32);
    Ok(())
}

async fn a_policy_fails_a_job_by_the_exit_code(t: &Context) -> Result<()> {
    t.programs()?;
    let mut body = job("once", &["sh", "-c", "exit 42"]);
    body["spec"]["backoffLimit"] = json!(5);
    body["spec"]["podFailurePolicy"] = json!({"rules": [
        {"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [42]}},
    ]});
    let path = started(t, &body).await?;
    let failed = ended(t, &path, "Failed").await?;
    same!(condition(&failed, "Failed")["reason"], "PodFailurePolicy");
    let message = condition(&failed, "Failed")["message"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        message.contains("failed with exit code 42 matching FailJob rule at index 0"),
        "{message}"
    );
    same!(failed["status"]["failed"], 1);
    Ok(())
}

async fn a_finished_job_is_removed_after_its_time(t: &Context) -> Result<()> {
    t.programs()?;
    let mut body = job("once", &["true"]);
    body["spec"]["ttlSecondsAfterFinished"] = json!(0);
    let path = started(t, &body).await?;
    t.admin().until_gone(&path).await
}

async fn a_job_knows_its_pods_by_labels(t: &Context) -> Result<()> {
    t.programs()?;
    let path = started(t, &job("once", &["true"])).await?;
    let made = ended(t, &path, "Complete").await?;
    let uid = &made["metadata"]["uid"];
    same!(
        made["spec"]["selector"]["matchLabels"],
        json!({"batch.kubernetes.io/controller-uid": uid})
    );
    let pods = t
        .admin()
        .get(&format!(
            "{}?labelSelector=job-name%3Donce",
            t.resource("v1", "pods").await?
        ))
        .await?
        .status(200)?;
    let labels = &pods["items"][0]["metadata"]["labels"];
    same!(labels["batch.kubernetes.io/job-name"], "once");
    same!(labels["batch.kubernetes.io/controller-uid"], *uid);
    same!(labels["controller-uid"], *uid);
    Ok(())
}

async fn a_cron_job_starts_jobs(t: &Context) -> Result<()> {
    t.programs()?;
    let crons = t.workload("batch/v1", "cronjobs").await?;
    let made = t.create(&crons, &cronjob("nightly", "* * * * *")).await?;
    same!(made["spec"]["concurrencyPolicy"], "Allow");
    same!(made["spec"]["successfulJobsHistoryLimit"], 3);
    same!(made["spec"]["failedJobsHistoryLimit"], 1);
    let path = format!("{crons}/nightly");
    let scheduled = t
        .admin()
        .until(&path, "it was its time", |cron| {
            cron["status"]["lastScheduleTime"].is_string()
        })
        .await?;
    same!(scheduled["spec"]["suspend"], false);
    let jobs = t
        .admin()
        .get(&t.resource("batch/v1", "jobs").await?)
        .await?
        .status(200)?;
    let job = &jobs["items"][0];
    ensure!(
        job["metadata"]["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("nightly-")),
        "{job}"
    );
    same!(job["metadata"]["ownerReferences"][0]["kind"], "CronJob");
    t.admin()
        .until(&path, "its success is noted", |cron| {
            cron["status"]["lastSuccessfulTime"].is_string()
        })
        .await?;
    Ok(())
}

async fn a_suspended_cron_job_starts_none(t: &Context) -> Result<()> {
    let crons = t.resource("batch/v1", "cronjobs").await?;
    let mut body = cronjob("nightly", "* * * * *");
    body["spec"]["suspend"] = json!(true);
    let made = t.create(&crons, &body).await?;
    same!(made["status"], json!({}));
    same!(made["metadata"]["generation"], 1);
    Ok(())
}

async fn a_broken_schedule_is_422(t: &Context) -> Result<()> {
    let crons = t.resource("batch/v1", "cronjobs").await?;
    let status = t
        .admin()
        .post(&crons, &cronjob("nightly", "every night"))
        .await?
        .failure(422, "Invalid")?;
    same!(status["details"]["causes"][0]["field"], "spec.schedule");
    Ok(())
}
