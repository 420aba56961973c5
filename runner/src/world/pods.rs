//! Which pod a target means, and how its programs are started: by the Kubernetes API of its cluster.

use std::sync::Arc;
use std::time::Duration;

use runbook_k8s::exec::{self, Stream as Side};
use runbook_k8s::{Client, Error, ErrorKind, Query, Resource, pod};
use serde_json::Value;

use super::clusters::{Clusters, failure};
use crate::process::Stream;
use crate::reach::{Lost, PodPlace};
use crate::remote::{Container, ExecError, ExecErrorKind, ExecFuture, InputEnd, Printed};

/// Which container of a pod its programs run in, where it says so.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The pod that a target means: by its name, or the oldest ready one that a selector finds.
pub(super) async fn find(
    clusters: &Clusters,
    cluster: Option<&str>,
    namespace: &str,
    wanted: &str,
) -> Result<PodPlace, Lost> {
    let cluster = match cluster {
        Some(cluster) => cluster.to_owned(),
        None => clusters.only()?,
    };
    let cluster = clusters.get(&cluster).await?;
    find_in(&cluster.client, &cluster.name, namespace, wanted).await
}

/// The same in a cluster that is connected to.
///
/// # Errors
///
/// There is no such pod, none is ready, or the cluster cannot be asked.
pub async fn find_in(
    client: &Client,
    cluster: &str,
    namespace: &str,
    wanted: &str,
) -> Result<PodPlace, Lost> {
    let found = match wanted.contains('=') {
        true => pod::oldest_ready(client, namespace, wanted).await,
        false => by_name(client, namespace, wanted).await,
    };
    let pod = found.map_err(|error| match error.kind() {
        ErrorKind::Absent | ErrorKind::Refused => Lost::absent(failure(&error)),
        _ => Lost::from(failure(&error)),
    })?;
    let name = text(&pod, "/metadata/name");
    let container = exec::Container {
        namespace: namespace.to_owned(),
        pod: name.to_owned(),
        container: default_container(&pod),
    };
    Ok(PodPlace {
        name: format!("pod/{namespace}/{name}"),
        lock: format!("pod {namespace}/{name} of {cluster}"),
        container: Arc::new(ContainerOf {
            client: client.clone(),
            at: container,
        }),
    })
}

async fn by_name(client: &Client, namespace: &str, name: &str) -> Result<Value, Error> {
    let query = Query::one(&Resource::pod(), Some(namespace), name);
    let pod = client.get(&query).await?;
    let phase = text(&pod, "/status/phase");
    if phase == "Running" {
        return Ok(pod);
    }
    let phase = if phase.is_empty() { "unknown" } else { phase };
    Err(Error::NotFound {
        what: format!("pods/{name}"),
        message: format!("pod `{name}` in `{namespace}` does not run: it is {phase}"),
    })
}

/// What the pod says, else its first container.
fn default_container(pod: &Value) -> Option<String> {
    let named = pod
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(DEFAULT_CONTAINER));
    let name = named.or_else(|| pod.pointer("/spec/containers/0/name"));
    name.and_then(Value::as_str).map(str::to_owned)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A container of a pod.
struct ContainerOf {
    client: Client,
    at: exec::Container,
}

impl Container for ContainerOf {
    fn exec<'a>(
        &'a self,
        argv: &'a [String],
        input: Vec<u8>,
        end: InputEnd<'a>,
        limit: Duration,
        printed: Printed<'a>,
    ) -> ExecFuture<'a> {
        Box::pin(async move {
            let printed = |side, bytes: &[u8]| {
                let stream = match side {
                    Side::Stdout => Stream::Stdout,
                    Side::Stderr => Stream::Stderr,
                };
                printed(stream, bytes);
            };
            let ended = exec::exec_held(
                &self.client,
                &self.at,
                argv,
                input.into(),
                end,
                limit,
                printed,
            );
            ended
                .await
                .map(|ended| ended.exit)
                .map_err(|error| explain(&error))
        })
    }
}

fn explain(error: &Error) -> ExecError {
    let message = error.to_string();
    // The words of runc, crun and containerd.
    let lacks = ["executable file not found", "no such file or directory"];
    let kind = match error {
        Error::Server { .. } if lacks.iter().any(|text| message.contains(text)) => {
            ExecErrorKind::NoProgram
        }
        _ if exec::is_uncertain(error) => ExecErrorKind::Lost,
        _ => ExecErrorKind::Unreachable,
    };
    ExecError {
        message,
        hint: error.hint(),
        kind,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_pod_names_its_default_container() {
        let mut pod =
            json!({"metadata": {}, "spec": {"containers": [{"name": "web"}, {"name": "log"}]}});
        assert_eq!(default_container(&pod).as_deref(), Some("web"));
        pod["metadata"]["annotations"] = json!({DEFAULT_CONTAINER: "log"});
        assert_eq!(default_container(&pod).as_deref(), Some("log"));
    }

    #[test]
    fn an_image_without_a_shell_is_told_from_a_server_that_fails() {
        let server = |message: &str| Error::Server {
            status: 500,
            message: message.to_owned(),
        };
        let no_shell = "error executing command in container: failed to exec in container: exec: \"sh\": executable file not found in $PATH: unknown";
        assert_eq!(explain(&server(no_shell)).kind, ExecErrorKind::NoProgram);
        let other = "unable to upgrade connection: container not found (\"web\")";
        assert_eq!(explain(&server(other)).kind, ExecErrorKind::Unreachable);
        assert_eq!(explain(&Error::Lost("x".into())).kind, ExecErrorKind::Lost);
    }
}
