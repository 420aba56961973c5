//! What answers at the addresses of a lab's cluster: its stand-ins, each only while what it needs is ready and a Service of type
//! LoadBalancer publishes its port. Also tells the machines' stand-ins about the objects they need.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runbook::inventory::Inventory;
use runbook::node::Node;
use runbook_k8s::kstatus::State;
use runbook_k8s::wait::Wish;
use runbook_k8s::{Client, Error, ErrorKind, Query, Resource};
use runbook_lab::hosts::{Gateway, Hosts, Published, StandIn};
use runbook_lab::kube::{Cluster, Server};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::super::fixture::text;
use super::super::stand_ins;
use super::lab::place;
use crate::action::Failure;

/// How often is looked whether the cluster has changed: in this process, without a request.
const LOOK: Duration = Duration::from_millis(50);

/// An object that has to be ready: `KIND/NAMESPACE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Needs {
    kind: String,
    namespace: String,
    name: String,
}

impl Needs {
    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            [kind, namespace, name] if parts.iter().all(|part| !part.is_empty()) => Some(Self {
                kind: kind.to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            _ => None,
        }
    }

    fn is_service(&self) -> bool {
        self.kind.eq_ignore_ascii_case("service")
    }
}

/// What the inventory wants of a cluster's addresses.
#[derive(Clone, Default)]
pub(super) struct Wanted {
    hosts: Option<Hosts>,
    stand_ins: Vec<(StandIn, Option<Needs>)>,
    /// What stand-ins of machines need.
    objects: Vec<(String, Needs)>,
}

/// Reads the stand-ins of a cluster, and what those of machines need of it where it is the only one.
pub(super) fn wanted(
    inventory: &Inventory,
    node: &Node,
    folder: &Path,
    hosts: Option<&Hosts>,
) -> Result<Wanted, Failure> {
    let mut wanted = Wanted {
        hosts: hosts.cloned(),
        ..Wanted::default()
    };
    for stand_in in stand_ins::list(node, folder)? {
        let needs = stand_in.needs.as_deref().map(Needs::parse);
        if needs == Some(None) {
            let at = node
                .get("stand-ins")
                .map_or_else(String::new, |it| place(inventory, it));
            let (port, needs) = (stand_in.port, stand_in.needs.unwrap_or_default());
            let message = format!("{at}: the stand-in at port {port} needs `{needs}`");
            return Err(Failure::new(message).hint(Some(
                "a cluster's stand-in needs an object of it: `KIND/NAMESPACE/NAME`",
            )));
        }
        wanted.stand_ins.push((stand_in, needs.flatten()));
    }
    if inventory.clusters.len() == 1 {
        let guests = inventory.guests.iter().map(|guest| &guest.node);
        let hosts = inventory.hosts.iter().map(|(_, node)| node);
        let written = guests
            .chain(hosts)
            .filter_map(|node| node.get("stand-ins")?.as_map());
        let needs = written
            .flatten()
            .filter_map(|entry| text(&entry.value, "needs"));
        let objects = needs.filter_map(|needs| Some((needs.to_owned(), Needs::parse(needs)?)));
        wanted.objects = objects.collect();
    }
    Ok(wanted)
}

impl Wanted {
    /// Tells the machines which objects there can be; none is ready yet.
    pub(super) async fn announce(&self) {
        let Some(hosts) = &self.hosts else { return };
        for (needs, _) in &self.objects {
            hosts.set_object(needs, false).await;
        }
    }
}

/// Keeps what answers as it is in the cluster, until it is dropped.
pub(super) struct Services {
    keeper: Option<Arc<Keeper>>,
    task: Option<JoinHandle<()>>,
}

struct Keeper {
    client: Client,
    cluster: Arc<Cluster>,
    hosts: Hosts,
    wanted: Wanted,
    gateway: Gateway,
    /// The version of the cluster for which it is so.
    seen: Mutex<Option<u64>>,
}

impl Services {
    /// Begins; nothing is done for a cluster without stand-ins.
    ///
    /// # Errors
    ///
    /// When the files of their programs cannot be made.
    pub(super) async fn start(
        name: &str,
        wanted: Wanted,
        server: &Server,
        client: &Client,
    ) -> Result<Self, Failure> {
        let hosts = wanted.hosts.clone();
        let (false, Some(hosts)) = (
            wanted.stand_ins.is_empty() && wanted.objects.is_empty(),
            hosts,
        ) else {
            return Ok(Self {
                keeper: None,
                task: None,
            });
        };
        let stand_ins = wanted
            .stand_ins
            .iter()
            .map(|(stand_in, _)| stand_in.clone());
        let gateway = hosts.gateway(name, stand_ins.collect()).await;
        let gateway = gateway.map_err(|error| {
            Failure::new(format!(
                "the lab's cluster `{name}` has no stand-ins: {error}"
            ))
        })?;
        let keeper = Arc::new(Keeper {
            client: client.clone(),
            cluster: Arc::clone(server.cluster()),
            hosts,
            wanted,
            gateway,
            seen: Mutex::default(),
        });
        let own = Arc::clone(&keeper);
        let task = tokio::spawn(async move {
            loop {
                own.settle().await;
                tokio::time::sleep(LOOK).await;
            }
        });
        Ok(Self {
            keeper: Some(keeper),
            task: Some(task),
        })
    }

    /// What answers is as it is in the cluster now.
    pub(super) async fn settle(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.settle().await;
        }
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Keeper {
    async fn settle(&self) {
        let mut seen = self.seen.lock().await;
        let version = self.cluster.resource_version();
        if *seen == Some(version) {
            return;
        }
        // What cannot be asked serves nothing.
        let places = self.places().await.unwrap_or_default();
        self.gateway.publish(&places).await;
        for (text, needs) in &self.wanted.objects {
            let is_ready = self.holds(needs).await.unwrap_or(false);
            self.hosts.set_object(text, is_ready).await;
        }
        *seen = Some(version);
    }

    /// Where the ports of the stand-ins are published.
    async fn places(&self) -> Result<Vec<Published>, Error> {
        let mut places = Vec::new();
        if self.wanted.stand_ins.is_empty() {
            return Ok(places);
        }
        let services = self.client.list(&Query::all(&service(), None)).await?.items;
        for (stand_in, needs) in &self.wanted.stand_ins {
            let is_ready = match needs {
                Some(needs) if !needs.is_service() => self.holds(needs).await?,
                _ => true,
            };
            for service in services
                .iter()
                .filter(|service| is_meant(service, stand_in.port, needs.as_ref()))
            {
                let addresses = addresses(service);
                if addresses.is_empty() {
                    continue;
                }
                let (namespace, name) = named(service);
                let is_served = is_ready && self.has_endpoints(namespace, name).await?;
                places.extend(addresses.into_iter().map(|address| Published {
                    address,
                    port: stand_in.port,
                    is_served,
                }));
            }
        }
        Ok(places)
    }

    /// Whether an object is there and ready; a service also has somebody behind it.
    async fn holds(&self, needs: &Needs) -> Result<bool, Error> {
        let found = async {
            let resource = self.client.resource_called(&needs.kind, None).await?;
            let query = Query::one(&resource, Some(&needs.namespace), &needs.name);
            self.client.get(&query).await
        };
        let object = match found.await {
            Ok(object) => object,
            Err(error) if error.kind() == ErrorKind::Absent => return Ok(false),
            Err(error) => return Err(error),
        };
        if Wish::default().status(&object).state != State::Current {
            return Ok(false);
        }
        match needs.is_service() {
            true => self.has_endpoints(&needs.namespace, &needs.name).await,
            false => Ok(true),
        }
    }

    async fn has_endpoints(&self, namespace: &str, service: &str) -> Result<bool, Error> {
        let slices = self
            .client
            .resource_called("EndpointSlice", Some("discovery.k8s.io/v1"));
        let query = Query::all(&slices.await?, Some(namespace))
            .labelled(&format!("kubernetes.io/service-name={service}"));
        let slices = self.client.list(&query).await?.items;
        Ok(slices.iter().any(has_ready_endpoint))
    }
}

fn service() -> Resource {
    // A kind of Kubernetes itself is always known.
    Resource::called("services").unwrap_or_else(Resource::pod)
}

/// Whether a service publishes a port, and is the one that is needed or lies in the same namespace as what is needed.
fn is_meant(service: &Value, port: u16, needs: Option<&Needs>) -> bool {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    let publishes = ports.into_iter().flatten().any(|own| own["port"] == port);
    let (namespace, name) = named(service);
    publishes
        && service.pointer("/spec/type").and_then(Value::as_str) == Some("LoadBalancer")
        && needs.is_none_or(|needs| {
            needs.namespace == namespace && (!needs.is_service() || needs.name == name)
        })
}

fn named(object: &Value) -> (&str, &str) {
    let text = |pointer| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    (text("/metadata/namespace"), text("/metadata/name"))
}

fn addresses(service: &Value) -> Vec<IpAddr> {
    let ingress = service
        .pointer("/status/loadBalancer/ingress")
        .and_then(Value::as_array);
    let addresses = ingress
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["ip"].as_str());
    addresses
        .filter_map(|address| address.parse().ok())
        .collect()
}

fn has_ready_endpoint(slice: &Value) -> bool {
    let endpoints = slice["endpoints"].as_array().into_iter().flatten();
    // Not said means ready.
    endpoints
        .into_iter()
        .any(|endpoint| endpoint.pointer("/conditions/ready") != Some(&Value::Bool(false)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_is_meant_by_its_name_or_by_its_namespace() {
        let service = json!({
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
        });
        let is_meant = |port, needs: Option<&str>| {
            super::is_meant(
                &service,
                port,
                needs
                    .map(|needs| Needs::parse(needs).expect("needs"))
                    .as_ref(),
            )
        };
        assert!(is_meant(80, None));
        assert!(is_meant(80, Some("Service/shop/web")));
        assert!(is_meant(80, Some("Deployment/shop/anything")));
        assert!(!is_meant(80, Some("Service/shop/other")));
        assert!(!is_meant(80, Some("Deployment/other/web")));
        assert!(!is_meant(81, None));
        let inner = json!({"metadata": {}, "spec": {"type": "ClusterIP", "ports": [{"port": 80}]}});
        assert!(!super::is_meant(&inner, 80, None));
    }

    #[test]
    fn what_is_needed_has_three_parts() {
        assert!(Needs::parse("Deployment/shop/web").is_some());
        for text in [
            "nginx",
            "shop/web",
            "a/b/c/d",
            "Deployment//web",
            "/shop/web",
        ] {
            assert_eq!(Needs::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_endpoint_that_says_nothing_is_ready() {
        let slice = |ready: Value| json!({"endpoints": [{"conditions": ready}]});
        assert!(has_ready_endpoint(&slice(json!({"ready": true}))));
        assert!(has_ready_endpoint(&slice(json!({}))));
        assert!(!has_ready_endpoint(&slice(json!({"ready": false}))));
        assert!(!has_ready_endpoint(&json!({"endpoints": null})));
    }
}
