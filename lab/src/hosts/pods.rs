//! Commands of pods in the lab's isolated place: a pod has files and processes of its own once its first command runs.

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::net::unix::pipe;

use super::commands::environment;
use super::drive::drive;
use super::{Hosts, Inner, listeners};
use crate::command::{Later, Process};
use crate::isolate::{Exec, Fresh, Host, HostConfig, Root};
use crate::kube::{Missing, Order, Programs};

/// Pods whose files are kept; the oldest goes when one more comes.
const PODS_MAX: usize = 64;

/// How long a connection to a pod's program may take: the network is one loopback.
const CONNECT_WAIT: Duration = Duration::from_secs(2);

impl Hosts {
    /// Runs the commands of a cluster's pods beside these machines.
    pub fn programs(&self) -> Arc<dyn Programs> {
        Arc::new(Pods(Arc::new(Shared {
            lab: Arc::downgrade(&self.0),
            up: tokio::sync::Mutex::default(),
        })))
    }
}

/// What tells pods apart.
fn key(namespace: &str, pod: &str) -> String {
    format!("{namespace}/{pod}")
}

struct Pods(Arc<Shared>);

struct Shared {
    lab: Weak<Inner>,
    up: tokio::sync::Mutex<Up>,
}

struct Pod {
    number: u64,
    host: Arc<Host>,
    /// Where its files are.
    root: PathBuf,
}

#[derive(Default)]
struct Up {
    number: u64,
    pods: HashMap<String, Pod>,
}

impl Shared {
    /// The pod's root, made when it is not there yet.
    async fn host(&self, order: &Order) -> Result<Arc<Host>, Missing> {
        let gone = || Missing::Isolation("the lab's machines are gone".into());
        let failed = |error: String| Missing::Isolation(error);
        let key = key(&order.namespace, &order.pod);
        let mut up = self.up.lock().await;
        if let Some(pod) = up.pods.get(&key).filter(|pod| pod.host.is_up()) {
            return Ok(pod.host.clone());
        }
        let lab = self.lab.upgrade().ok_or_else(gone)?;
        up.number += 1;
        let number = up.number;
        let path = lab.directory.join(format!("pod-{number}"));
        let fresh = Fresh {
            hostname: order.pod.clone(),
            resolv_conf: "nameserver 127.0.0.1\n".to_owned(),
            machine_id: format!("{number:032x}"),
            ..Fresh::default()
        };
        let made = path.clone();
        let root = tokio::task::spawn_blocking(move || Root::create(made, &fresh))
            .await
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(error.to_string()))?;
        let config = HostConfig {
            hostname: order.pod.clone(),
            root: root.path().to_owned(),
            binds: Vec::new(),
        };
        let host = lab
            .sandbox
            .boot(config)
            .await
            .map_err(|error| failed(error.to_string()))?;
        let host = Arc::new(host);
        if up.pods.len() >= PODS_MAX
            && let Some(oldest) = up
                .pods
                .iter()
                .min_by_key(|(_, pod)| pod.number)
                .map(|(key, _)| key.clone())
        {
            up.pods.remove(&oldest);
        }
        let pod = Pod {
            number,
            host: host.clone(),
            root: path,
        };
        up.pods.insert(key, pod);
        Ok(host)
    }

    /// A connection to what a pod's commands listen at. All share one network: what others listen at does not count.
    async fn connect(&self, key: &str, port: u16) -> Result<TcpStream, Missing> {
        let refused = Missing::Listener(port);
        let root = {
            let up = self.up.lock().await;
            let pod = up.pods.get(key).filter(|pod| pod.host.is_up());
            pod.ok_or_else(|| refused.clone())?.root.clone()
        };
        let lab = self.lab.upgrade().ok_or_else(|| refused.clone())?;
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let place = lab.sandbox.pid();
        let found = tokio::task::spawn_blocking(move || listeners::roots(place, at)).await;
        if !found
            .unwrap_or_default()
            .iter()
            .any(|part| root.ends_with(part))
        {
            return Err(refused);
        }
        let connected = lab.sandbox.connect(None, at, CONNECT_WAIT).await;
        connected.map_err(|_| refused)
    }

    async fn run(&self, order: Order) -> Result<Process, Missing> {
        let host = self.host(&order).await?;
        let failed = |error: std::io::Error| Missing::Isolation(error.to_string());
        let (stdin, out, error) = (
            pipe::pipe().map_err(failed)?,
            pipe::pipe().map_err(failed)?,
            pipe::pipe().map_err(failed)?,
        );
        let program = order.command.first().cloned().unwrap_or_default();
        let exec = Exec {
            argv: order.command.iter().map(OsString::from).collect(),
            env: environment(&PathBuf::from("/root"), "root", &order.env),
            cwd: "/".into(),
            user: None,
            stdin: stdin.1.into_blocking_fd().map_err(failed)?,
            stdout: out.0.into_blocking_fd().map_err(failed)?,
            stderr: error.0.into_blocking_fd().map_err(failed)?,
        };
        let running = host.exec(exec).await.map_err(|error| {
            let text = error.to_string();
            let mut source: Option<&dyn std::error::Error> = Some(&error);
            let mut missing = false;
            while let Some(one) = source {
                missing |= one.to_string().contains("No such file");
                source = one.source();
            }
            if missing {
                Missing::Program(program.clone())
            } else {
                Missing::Isolation(text)
            }
        })?;
        let (ended, control) = drive(running);
        // The pod is up as long as something of it runs.
        let ended = Box::pin(async move {
            let end = ended.await;
            drop(host);
            end
        });
        Ok(Process {
            stdin: Box::new(stdin.0),
            stdout: Box::new(out.1),
            stderr: Box::new(error.1),
            ended,
            control,
        })
    }
}

impl Programs for Pods {
    fn start(&self, order: Order) -> Later<Result<Process, Missing>> {
        let shared = self.0.clone();
        Box::pin(async move { shared.run(order).await })
    }

    fn connect(
        &self,
        namespace: String,
        pod: String,
        port: u16,
    ) -> Later<Result<TcpStream, Missing>> {
        let shared = self.0.clone();
        Box::pin(async move { shared.connect(&key(&namespace, &pod), port).await })
    }
}
