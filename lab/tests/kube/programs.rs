//! Commands of containers, run by a hook of the test: jobs, logs, exec.

use std::process::Stdio;
use std::sync::Arc;

use runbook_lab::command::{Control, End, Later, Process};
use runbook_lab::kube::{Missing, Order, Programs, Server, Settings};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::kubectl::Kubectl;
use crate::support::{Lab, condition, of};

/// Runs `sh` on this machine, and nothing else.
struct Shell;

struct Killer(i32);

impl Control for Killer {
    fn signal(&self, _name: &str) {}

    fn end(&self) {
        let _ = std::process::Command::new("kill")
            .args(["-KILL", "--", &format!("-{}", self.0)])
            .stderr(Stdio::null())
            .status();
    }
}

impl Programs for Shell {
    fn start(&self, order: Order) -> Later<Result<Process, Missing>> {
        Box::pin(async move {
            let program = order.command[0].clone();
            if program != "sh" {
                return Err(Missing::Program(program));
            }
            let mut child = Command::new("sh")
                .args(&order.command[1..])
                .envs(order.env.iter().cloned())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .process_group(0)
                .kill_on_drop(true)
                .spawn()
                .map_err(|error| Missing::Isolation(error.to_string()))?;
            let id = child
                .id()
                .and_then(|id| i32::try_from(id).ok())
                .expect("a child has an id");
            Ok(Process {
                stdin: Box::new(child.stdin.take().expect("piped")),
                stdout: Box::new(child.stdout.take().expect("piped")),
                stderr: Box::new(child.stderr.take().expect("piped")),
                ended: Box::pin(async move {
                    let code = child
                        .wait()
                        .await
                        .ok()
                        .and_then(|status| status.code())
                        .unwrap_or(137);
                    End::Code(u32::try_from(code).unwrap_or(255))
                }),
                control: Arc::new(Killer(id)),
            })
        })
    }
}

async fn lab() -> Lab {
    of(Server::with_programs(Settings::default(), Arc::new(Shell))
        .await
        .expect("the lab starts"))
}

fn job(name: &str, command: &Value, spec: Value) -> Value {
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec,
    });
    job["spec"]["template"] = json!({"spec": {"restartPolicy": "Never", "containers": [
        {"name": "main", "image": "x", "command": command, "env": [{"name": "WORD", "value": "hello"}]},
    ]}});
    job
}

const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";

#[tokio::test]
async fn a_job_is_complete_when_its_command_was() {
    let lab = lab().await;
    lab.post(
        JOBS,
        job(
            "good",
            &json!(["sh", "-c", "echo $WORD; echo there >&2"]),
            json!({}),
        ),
    )
    .await
    .is(201);
    let path = format!("{JOBS}/good");
    let done = lab
        .until(&path, |one| condition(one, "Complete")["status"] == "True")
        .await;
    assert_eq!(
        condition(&done, "SuccessCriteriaMet")["reason"],
        "CompletionsReached"
    );
    assert_eq!(done["status"]["succeeded"], 1);
    assert!(done["status"]["completionTime"].is_string());
    let pods = lab
        .get("/api/v1/namespaces/default/pods?labelSelector=job-name%3Dgood")
        .await
        .is(200);
    let pod = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    assert_eq!(pods["items"][0]["status"]["phase"], "Succeeded");
    let log = lab
        .get(&format!("/api/v1/namespaces/default/pods/{pod}/log"))
        .await
        .is(200);
    let text = log.as_str().unwrap();
    assert!(
        text.contains("hello\n") && text.contains("there\n"),
        "{text}"
    );
    let missing = lab
        .get(&format!(
            "/api/v1/namespaces/default/pods/{pod}/log?container=other"
        ))
        .await;
    assert_eq!(
        (missing.status, missing.message()),
        (
            400,
            format!("container other is not valid for pod {pod}").as_str()
        )
    );
}

#[tokio::test]
async fn a_job_fails_when_its_limit_is_reached() {
    let lab = lab().await;
    lab.post(
        JOBS,
        job(
            "bad",
            &json!(["sh", "-c", "exit 3"]),
            json!({"backoffLimit": 1}),
        ),
    )
    .await
    .is(201);
    let failed = lab
        .until(&format!("{JOBS}/bad"), |one| {
            condition(one, "Failed")["status"] == "True"
        })
        .await;
    assert_eq!(
        condition(&failed, "Failed")["reason"],
        "BackoffLimitExceeded"
    );
    assert_eq!(condition(&failed, "FailureTarget")["status"], "True");
    assert_eq!(failed["status"]["failed"], 2);
    let pods = lab.get("/api/v1/namespaces/default/pods").await.is(200);
    assert_eq!(
        pods["items"][0]["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"],
        3
    );
}

#[tokio::test]
async fn an_indexed_job_runs_every_index() {
    let lab = lab().await;
    let command = json!(["sh", "-c", "test $JOB_COMPLETION_INDEX != 1"]);
    let spec = json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 0});
    lab.post(JOBS, job("shards", &command, spec)).await.is(201);
    let failed = lab
        .until(&format!("{JOBS}/shards"), |one| {
            condition(one, "Failed")["status"] == "True"
        })
        .await;
    assert_eq!(condition(&failed, "Failed")["reason"], "FailedIndexes");
    assert_eq!(
        (
            failed["status"]["completedIndexes"].as_str(),
            failed["status"]["failedIndexes"].as_str()
        ),
        (Some("0,2"), Some("1"))
    );
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let lab = lab().await;
    lab.post(JOBS, job("none", &json!(["sgdisk"]), json!({})))
        .await
        .is(201);
    let pods = lab
        .until("/api/v1/namespaces/default/pods", |list| {
            list["items"][0]["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
                == "LabHasNoProgram"
        })
        .await;
    let waiting = &pods["items"][0]["status"]["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting["message"], "the lab has no `sgdisk`");
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_exec_carries_streams_and_exit_codes() {
    let lab = lab().await;
    let Some(kubectl) = Kubectl::new(&lab) else {
        return;
    };
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "main", "image": "x"}]}});
    lab.post("/api/v1/namespaces/default/pods", pod)
        .await
        .is(201);
    lab.until("/api/v1/namespaces/default/pods/p", |one| {
        one["status"]["phase"] == "Running"
    })
    .await;
    let (code, out, error) = kubectl
        .run_words(
            &[
                "exec",
                "p",
                "--",
                "sh",
                "-c",
                "echo out; echo err >&2; exit 7",
            ],
            "",
        )
        .await;
    assert_eq!((code, out.as_str()), (7, "out\n"), "{error}");
    assert!(
        error.contains("err\n") && error.contains("command terminated with exit code 7"),
        "{error}"
    );
    let (code, out, error) = kubectl
        .run_words(
            &["exec", "-i", "p", "--", "sh", "-c", "cat; echo end"],
            "a line\n",
        )
        .await;
    assert_eq!((code, out.as_str()), (0, "a line\nend\n"), "{error}");
    let (code, _, error) = kubectl.run_words(&["exec", "p", "--", "sgdisk"], "").await;
    assert_ne!(code, 0);
    assert!(error.contains("the lab has no `sgdisk`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_attaches_to_a_command_with_its_input() {
    let lab = lab().await;
    let Some(kubectl) = Kubectl::new(&lab) else {
        return;
    };
    let words = [
        "run",
        "one",
        "-i",
        "--rm",
        "--restart=Never",
        "--image=x",
        "--command",
        "--",
        "sh",
        "-c",
        "cat; echo end >&2",
    ];
    let (code, out, error) = kubectl.run_words(&words, "a line\nno end").await;
    assert_eq!(code, 0, "{error}");
    assert!(out.starts_with("a line\nno end"), "{out}");
    assert!(error.contains("end\n"), "{error}");
    lab.until_gone("/api/v1/namespaces/default/pods/one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_may_speak_for_others() {
    let lab = lab().await;
    let Some(kubectl) = Kubectl::new(&lab) else {
        return;
    };
    let (code, _, error) = kubectl
        .run("get pods --as=bob --as-group=system:masters", "")
        .await;
    assert_eq!(code, 0, "{error}");
    let (code, _, error) = kubectl.run("get pods --as=bob", "").await;
    assert_eq!(code, 1);
    assert!(
        error.contains("User \"bob\" cannot list resource \"pods\" in API group \"\""),
        "{error}"
    );
    let account = "system:serviceaccount:default:default";
    let (code, out, _) = kubectl
        .run(&format!("auth can-i list pods --as={account}"), "")
        .await;
    assert_eq!((code, out.as_str()), (1, "no\n"));
}
