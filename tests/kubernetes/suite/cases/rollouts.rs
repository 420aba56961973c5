//! kubectl on what runs: waiting, rollouts, logs, exec.

use anyhow::{Result, ensure};

use super::acceptance::made;
use crate::case::{cases, same, skip};
use crate::context::Context;
use crate::manifest::{deployment, deployment_without_image, job, pod, pod_of, statefulset};

cases![
    wait_for_a_condition,
    wait_for_a_path,
    wait_for_a_deletion,
    wait_ends_in_time,
    rollout_status_waits,
    rollout_status_of_a_statefulset,
    rollout_status_tells_a_missed_deadline,
    rollout_history_and_undo,
    rollout_restart,
    logs_print,
    logs_of_a_job_by_its_kind,
    exec_prints,
    exec_takes_the_exit_code,
];

async fn wait_for_a_condition(t: &Context) -> Result<()> {
    let kubectl = made(t, &deployment("web", 1)).await?;
    let text = kubectl
        .run(&[
            "wait",
            "--for=condition=Available",
            "deployment/web",
            "--timeout=60s",
        ])
        .await?
        .ok()?;
    same!(text, "deployment.apps/web condition met\n");
    Ok(())
}

async fn wait_for_a_path(t: &Context) -> Result<()> {
    let kubectl = made(t, &statefulset("db", 2)).await?;
    let text = kubectl
        .run(&[
            "wait",
            "--for=jsonpath={.status.readyReplicas}=2",
            "statefulset/db",
            "--timeout=60s",
        ])
        .await?
        .ok()?;
    same!(text, "statefulset.apps/db condition met\n");
    Ok(())
}

async fn wait_for_a_deletion(t: &Context) -> Result<()> {
    let kubectl = made(t, &pod("a")).await?;
    kubectl
        .run(&["wait", "--for=condition=Ready", "pod/a", "--timeout=60s"])
        .await?
        .ok()?;
    kubectl
        .run(&["delete", "pod", "a", "--wait=false"])
        .await?
        .ok()?;
    kubectl
        .run(&["wait", "--for=delete", "pod/a", "--timeout=60s"])
        .await?
        .ok()?;
    t.admin()
        .get(&format!("{}/a", t.resource("v1", "pods").await?))
        .await?
        .failure(404, "NotFound")?;
    Ok(())
}

async fn wait_ends_in_time(t: &Context) -> Result<()> {
    let kubectl = made(t, &deployment_without_image("web", 600)).await?;
    let error = kubectl
        .run(&[
            "wait",
            "--for=condition=Available",
            "deployment/web",
            "--timeout=2s",
        ])
        .await?
        .fails(1)?;
    same!(
        error,
        "error: timed out waiting for the condition on deployments/web\n"
    );
    let error = kubectl
        .run(&[
            "wait",
            "--for=condition=Available",
            "deployment",
            "-l",
            "app=none",
            "--timeout=2s",
        ])
        .await?
        .fails(1)?;
    same!(error, "error: no matching resources found\n");
    Ok(())
}

async fn rollout_status_waits(t: &Context) -> Result<()> {
    let kubectl = made(t, &deployment("web", 2)).await?;
    let text = kubectl
        .run(&["rollout", "status", "deployment/web", "--timeout=60s"])
        .await?
        .ok()?;
    ensure!(
        text.ends_with("deployment \"web\" successfully rolled out\n"),
        "{text}"
    );
    Ok(())
}

async fn rollout_status_of_a_statefulset(t: &Context) -> Result<()> {
    let kubectl = made(t, &statefulset("db", 2)).await?;
    let text = kubectl
        .run(&["rollout", "status", "statefulset/db", "--timeout=60s"])
        .await?
        .ok()?;
    ensure!(
        text.contains("roll out complete: 2 new pods have been updated...\n"),
        "{text}"
    );
    Ok(())
}

async fn rollout_status_tells_a_missed_deadline(t: &Context) -> Result<()> {
    let kubectl = made(t, &deployment_without_image("web", 3)).await?;
    let error = kubectl
        .run(&["rollout", "status", "deployment/web", "--timeout=60s"])
        .await?
        .fails(1)?;
    same!(
        error,
        "error: deployment \"web\" exceeded its progress deadline\n"
    );
    Ok(())
}

async fn rollout_history_and_undo(t: &Context) -> Result<()> {
    let kubectl = made(t, &deployment("web", 1)).await?;
    kubectl
        .run(&["rollout", "status", "deployment/web", "--timeout=60s"])
        .await?
        .ok()?;
    kubectl
        .run(&[
            "set",
            "image",
            "deployment/web",
            "c=registry.example/conformance:2",
        ])
        .await?
        .ok()?;
    kubectl
        .run(&["rollout", "status", "deployment/web", "--timeout=60s"])
        .await?
        .ok()?;
    let text = kubectl
        .run(&["rollout", "history", "deployment/web"])
        .await?
        .ok()?;
    let revisions: Vec<_> = text
        .lines()
        .skip(2)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    same!(revisions, vec!["1", "2"]);
    same!(
        kubectl
            .run(&["rollout", "undo", "deployment/web"])
            .await?
            .ok()?,
        "deployment.apps/web rolled back\n"
    );
    kubectl
        .run(&["rollout", "status", "deployment/web", "--timeout=60s"])
        .await?
        .ok()?;
    let path = "jsonpath={.spec.template.spec.containers[0].image} {.metadata.annotations.deployment\\.kubernetes\\.io/revision}";
    same!(
        kubectl
            .run(&["get", "deployment", "web", "-o", path])
            .await?
            .ok()?,
        "registry.example/conformance:1 3"
    );
    Ok(())
}

async fn rollout_restart(t: &Context) -> Result<()> {
    let kubectl = made(t, &deployment("web", 1)).await?;
    kubectl
        .run(&["rollout", "status", "deployment/web", "--timeout=60s"])
        .await?
        .ok()?;
    same!(
        kubectl
            .run(&["rollout", "restart", "deployment/web"])
            .await?
            .ok()?,
        "deployment.apps/web restarted\n"
    );
    kubectl
        .run(&["rollout", "status", "deployment/web", "--timeout=60s"])
        .await?
        .ok()?;
    let path =
        "jsonpath={.spec.template.metadata.annotations.kubectl\\.kubernetes\\.io/restartedAt}";
    ensure!(
        !kubectl
            .run(&["get", "deployment", "web", "-o", path])
            .await?
            .ok()?
            .is_empty(),
        "no mark of the restart"
    );
    Ok(())
}

async fn logs_print(t: &Context) -> Result<()> {
    t.programs()?;
    let kubectl = made(
        t,
        &pod_of("counter", "Always", &["sh", "-c", "seq 1 5; sleep 3600"]),
    )
    .await?;
    kubectl
        .run(&[
            "wait",
            "--for=condition=Ready",
            "pod/counter",
            "--timeout=60s",
        ])
        .await?
        .ok()?;
    for _ in 0..50 {
        if kubectl
            .run(&["logs", "counter"])
            .await?
            .stdout
            .lines()
            .count()
            == 5
        {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    same!(
        kubectl.run(&["logs", "counter"]).await?.ok()?,
        "1\n2\n3\n4\n5\n"
    );
    same!(
        kubectl
            .run(&["logs", "counter", "--tail=2", "-c", "c"])
            .await?
            .ok()?,
        "4\n5\n"
    );
    let error = kubectl
        .run(&["logs", "counter", "-c", "other"])
        .await?
        .fails(1)?;
    ensure!(
        error.contains("container other is not valid for pod counter"),
        "{error}"
    );
    Ok(())
}

async fn logs_of_a_job_by_its_kind(t: &Context) -> Result<()> {
    t.programs()?;
    let kubectl = made(t, &job("once", &["true"])).await?;
    kubectl
        .run(&[
            "wait",
            "--for=condition=Complete",
            "job/once",
            "--timeout=60s",
        ])
        .await?
        .ok()?;
    kubectl.run(&["logs", "job/once"]).await?.ok()?;
    Ok(())
}

async fn exec_prints(t: &Context) -> Result<()> {
    t.programs()?;
    let kubectl = made(t, &pod("a")).await?;
    kubectl
        .run(&["wait", "--for=condition=Ready", "pod/a", "--timeout=60s"])
        .await?
        .ok()?;
    let printed = kubectl
        .run(&["exec", "a", "--", "sh", "-c", "echo out; echo err >&2"])
        .await?;
    same!(
        (printed.stdout.as_str(), printed.stderr.as_str()),
        ("out\n", "err\n")
    );
    printed.ok()?;
    let text = kubectl
        .run(&["exec", "pod/a", "-c", "c", "--", "echo", "two words"])
        .await?
        .ok()?;
    same!(text, "two words\n");
    Ok(())
}

async fn exec_takes_the_exit_code(t: &Context) -> Result<()> {
    t.programs()?;
    if let Some(version) = t.server().kwok() {
        return skip(format!("KWOK {version} loses the exit code of exec"));
    }
    let kubectl = made(t, &pod("a")).await?;
    kubectl
        .run(&["wait", "--for=condition=Ready", "pod/a", "--timeout=60s"])
        .await?
        .ok()?;
    let error = kubectl
        .run(&["exec", "a", "--", "sh", "-c", "exit 7"])
        .await?
        .fails(7)?;
    same!(error, "command terminated with exit code 7\n");
    let text = kubectl
        .run_with(&["exec", "-i", "a", "--", "cat"], "through")
        .await?
        .ok()?;
    same!(text, "through");
    Ok(())
}
