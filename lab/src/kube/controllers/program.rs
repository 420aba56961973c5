//! Commands of containers: what is given to the hook, and what comes of it.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;

use super::pod_status;
use crate::command::End;
use crate::kube::attach::Stream;
use crate::kube::object::{self, Object};
use crate::kube::programs::{Missing, Order};
use crate::kube::state::{Cluster, State};

/// Lines of a container's log that are kept.
const LOG_LINES_MAX: usize = 10_000;
/// One read of a container's output.
const CHUNK: usize = 16 * 1024;
/// Bytes of a line that are kept.
const LOG_LINE_MAX: usize = 16 * 1024;

/// Gives commands to the hook, once; whether there are any.
pub(super) fn order_programs(state: &mut State, pod: &Value, uid: &str) -> bool {
    let mut any = false;
    for one in object::items(pod, &["spec", "containers"]) {
        let words = |key: &str| {
            object::items(one, &[key])
                .iter()
                .filter_map(|word| word.as_str().map(str::to_owned))
                .collect::<Vec<_>>()
        };
        let mut command = words("command");
        if command.is_empty() {
            continue;
        }
        command.extend(words("args"));
        any = true;
        let name = one["name"].as_str().unwrap_or_default().to_owned();
        let mark = format!("order-{name}");
        if state.marks.has(uid, &mark) {
            continue;
        }
        state.marks.restart(uid, &mark);
        let env = environment(state, pod, one);
        state.orders.push(Order {
            namespace: object::namespace(pod).to_owned(),
            pod: object::name(pod).to_owned(),
            container: name,
            node: object::text(pod, &["spec", "nodeName"]).to_owned(),
            command,
            env,
            uid: uid.to_owned(),
        });
    }
    any
}
/// The environment that a container's spec gives, as far as it can be read.
pub(crate) fn environment(state: &State, pod: &Value, container: &Value) -> Vec<(String, String)> {
    use base64::Engine;
    let namespace = object::namespace(pod);
    let config = |name: &str, key: &str| {
        let own = state.store.get("configmaps", namespace, name)?;
        own.value["data"][key].as_str().map(str::to_owned)
    };
    let secret = |name: &str, key: &str| {
        let own = state.store.get("secrets", namespace, name)?;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(own.value["data"][key].as_str()?)
            .ok()?;
        String::from_utf8(bytes).ok()
    };
    let mut out = Vec::new();
    for one in object::items(container, &["envFrom"]) {
        for (table, name, get) in [
            (
                "configmaps",
                one["configMapRef"]["name"].as_str(),
                &config as &dyn Fn(&str, &str) -> Option<String>,
            ),
            ("secrets", one["secretRef"]["name"].as_str(), &secret),
        ] {
            let Some(own) = name.and_then(|name| state.store.get(table, namespace, name)) else {
                continue;
            };
            for key in own.value["data"]
                .as_object()
                .into_iter()
                .flat_map(|map| map.keys())
            {
                if let Some(value) = get(name.unwrap_or_default(), key) {
                    out.push((key.clone(), value));
                }
            }
        }
    }
    for one in object::items(container, &["env"]) {
        let name = one["name"].as_str().unwrap_or_default().to_owned();
        let from = &one["valueFrom"];
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let value = if let Some(value) = one["value"].as_str() {
            Some(value.to_owned())
        } else if from["configMapKeyRef"].is_object() {
            config(
                &text(&from["configMapKeyRef"], "name"),
                &text(&from["configMapKeyRef"], "key"),
            )
        } else if from["secretKeyRef"].is_object() {
            secret(
                &text(&from["secretKeyRef"], "name"),
                &text(&from["secretKeyRef"], "key"),
            )
        } else if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
            let path = path.replace("['", ".").replace("']", "");
            let bare: Vec<&str> = path.split('.').collect();
            match bare.as_slice() {
                ["metadata", part @ ("annotations" | "labels"), ..] => {
                    let key = &path["metadata.".len() + part.len() + 1..];
                    Some(object::text(pod, &["metadata", part, key]).to_owned())
                }
                path => Some(object::text(pod, path).to_owned()),
            }
        } else {
            Some(String::new())
        };
        if let Some(value) = value {
            out.push((name, value));
        }
    }
    out
}
/// Runs a container's command by the hook and writes down how it goes.
pub(super) fn run_program(
    cluster: &Arc<Cluster>,
    order: Order,
    mut stopped: watch::Receiver<bool>,
) {
    let cluster = cluster.clone();
    let hook = cluster.programs.clone();
    tokio::spawn(async move {
        let started = tokio::select! {
            _ = stopped.changed() => return,
            started = hook.0.start(order.clone()) => started,
        };
        let process = match started {
            Ok(process) => process,
            Err(missing) => return lacks(&mut cluster.lock(), &order, &missing),
        };
        let key = (order.uid.clone(), order.container.clone());
        let said = {
            let mut state = cluster.lock();
            let (stays, once) = input(&state, &order);
            let said = state
                .attached
                .begin(key.clone(), stays.then_some(process.stdin), once);
            begins(&mut state, &order);
            said
        };
        let control = process.control.clone();
        let keep = |stream, which| {
            let (cluster, order, said) = (cluster.clone(), order.clone(), said.clone());
            tokio::spawn(keep_log(cluster, order, stream, move |bytes| {
                // Nobody may be attached.
                let _ = said.send((which, bytes));
            }))
        };
        let (out, error) = (
            keep(process.stdout, Stream::Out),
            keep(process.stderr, Stream::Error),
        );
        drop(said);
        let end = tokio::select! {
            _ = stopped.changed() => { control.end(); return }
            end = process.ended => end,
        };
        let _ = out.await;
        let _ = error.await;
        control.end();
        let code = match end {
            End::Code(code) => i64::from(code),
            End::Signal(_) => 137,
        };
        let mut state = cluster.lock();
        state.attached.end(&key);
        ends(&mut state, &order, code);
    });
}

/// Whether the container has an input that stays open, and whether only for the first who attaches.
fn input(state: &State, order: &Order) -> (bool, bool) {
    let pod = of(state, order);
    let containers = pod
        .iter()
        .flat_map(|pod| object::items(&pod.value, &["spec", "containers"]));
    let own = containers
        .into_iter()
        .find(|one| one["name"] == order.container.as_str());
    let flag = |key: &str| own.is_some_and(|own| own[key] == true);
    (flag("stdin"), flag("stdinOnce"))
}

/// Writes down the lines of a stream, and tells its pieces as they come.
async fn keep_log(
    cluster: Arc<Cluster>,
    order: Order,
    mut stream: Box<dyn AsyncRead + Send + Unpin>,
    tell: impl Fn(Bytes),
) {
    let mut buffer = vec![0; CHUNK];
    let mut line = Vec::new();
    loop {
        let count = match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        tell(Bytes::copy_from_slice(&buffer[..count]));
        for part in buffer[..count].split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            let free = LOG_LINE_MAX.saturating_sub(line.len());
            line.extend_from_slice(&text[..text.len().min(free)]);
            if ends {
                keep_line(&cluster, &order, &std::mem::take(&mut line));
            }
        }
    }
    if !line.is_empty() {
        keep_line(&cluster, &order, &line);
    }
}

fn keep_line(cluster: &Cluster, order: &Order, line: &[u8]) {
    let line = String::from_utf8_lossy(line);
    let mut state = cluster.lock();
    let log = state
        .logs
        .entry((order.uid.clone(), order.container.clone()))
        .or_default();
    if log.len() < LOG_LINES_MAX {
        log.push(format!("{} {line}", object::now_micro()));
    }
}

fn of(state: &State, order: &Order) -> Option<Arc<Object>> {
    state.store.by_uid(&order.uid).cloned()
}

fn lacks(state: &mut State, order: &Order, missing: &Missing) {
    let Some(live) = of(state, order) else { return };
    if object::text(&live.value, &["spec", "restartPolicy"]) == "Always" {
        // A server whose program the lab has not is a record that runs.
        return;
    }
    let reason = match missing {
        Missing::Program(_) | Missing::Listener(_) => "LabHasNoProgram",
        Missing::Isolation(_) => "LabHasNoIsolation",
    };
    let status = pod_status::waiting(&live.value, reason, &missing.to_string());
    state.write_status(&live, status, "kubelet");
    state.event(
        &live.value,
        "Warning",
        reason,
        &missing.to_string(),
        "kubelet",
    );
}

fn begins(state: &mut State, order: &Order) {
    let Some(live) = of(state, order) else { return };
    if object::text(&live.value, &["status", "phase"]) != "Pending" {
        return;
    }
    let address = state.pool.pod_ip();
    let status = pod_status::running(&live.value, &address);
    state.write_status(&live, status, "kubelet");
}

fn ends(state: &mut State, order: &Order, code: i64) {
    let Some(live) = of(state, order) else { return };
    let policy = object::text(&live.value, &["spec", "restartPolicy"]).to_owned();
    let again = policy == "Always" || (policy == "OnFailure" && code != 0);
    if again {
        let count = pod_status::restarts(&live.value);
        let status = pod_status::crashed(&live.value, code, count + 1);
        state.write_status(&live, status, "kubelet");
        return;
    }
    let status = pod_status::ended(&live.value, &order.container, code);
    state.write_status(&live, status, "kubelet");
}
