//! The Kubernetes clusters of a world: those of a real profile, or the lab's, each connected to when it is first asked for.
//!
//! A lab cluster is a server of its own that starts then and ends with its world. Nothing is changed here.

mod lab;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use runbook::node::Node;
use runbook_k8s::{Access, Client, ErrorKind};
use runbook_lab::kube;
use tokio::sync::OnceCell;

pub use lab::Prepared as LabCluster;
pub(super) use lab::prepare;

use super::fixture::text;
use crate::action::Failure;
use crate::scratch::Scratch;
use crate::secrets::expand;

/// The clusters of a world, by the names of the inventory.
pub struct Clusters {
    ways: BTreeMap<String, Way>,
    open: BTreeMap<String, OnceCell<Arc<Cluster>>>,
    /// What is said of a cluster that has no way.
    nobody: String,
}

/// How a cluster is reached.
enum Way {
    /// By a context of a kubeconfig.
    Kubeconfig(PathBuf, Option<String>),
    /// By starting it.
    Lab(Box<LabCluster>),
}

/// A cluster that is connected to.
pub struct Cluster {
    /// Its name in the inventory.
    pub name: String,
    /// The client.
    pub client: Client,
    /// The kubeconfig that reaches it.
    pub kubeconfig: PathBuf,
    /// The context in it; none for its current one.
    pub context: Option<String>,
    /// The server's version, and the `uid` of `kube-system` where it may be seen.
    pub identity: runbook_k8s::Identity,
    // After the client.
    _lab: Option<(kube::Server, Scratch)>,
}

impl Clusters {
    fn new(ways: BTreeMap<String, Way>, nobody: String) -> Self {
        let open = ways.keys().map(|name| (name.clone(), OnceCell::new()));
        Self {
            open: open.collect(),
            ways,
            nobody,
        }
    }

    /// Those of a real profile.
    pub(super) fn of_profile(name: &str, profile: Option<&Node>, folder: &std::path::Path) -> Self {
        let written = profile.and_then(|profile| profile.get("clusters")?.as_map());
        let ways = written.unwrap_or_default().iter().map(|entry| {
            let file = text(&entry.value, "kubeconfig").unwrap_or("~/.kube/config");
            let context = text(&entry.value, "context").map(str::to_owned);
            let way = Way::Kubeconfig(expand(folder, file), context);
            (entry.key.clone(), way)
        });
        Self::new(ways.collect(), format!("profile `{name}`"))
    }

    /// Those of a lab.
    pub(super) fn of_lab(prepared: BTreeMap<String, LabCluster>) -> Self {
        let ways = prepared
            .into_iter()
            .map(|(name, prepared)| (name, Way::Lab(Box::new(prepared))));
        Self::new(ways.collect(), "the lab".to_owned())
    }

    /// A cluster, connected to when it is first asked for.
    ///
    /// # Errors
    ///
    /// The profile does not name it, the lab cannot start it, it does not answer. It is tried anew next time.
    pub async fn get(&self, name: &str) -> Result<Arc<Cluster>, Failure> {
        let (Some(way), Some(cell)) = (self.ways.get(name), self.open.get(name)) else {
            let failure = Failure::new(format!("{} has no cluster `{name}`", self.nobody));
            return Err(failure.hint(Some(format!(
                "add `clusters: {{{name}: {{kubeconfig: FILE, context: NAME}}}}` to it"
            ))));
        };
        let opened = cell.get_or_try_init(async || match way {
            Way::Kubeconfig(path, context) => {
                let (path, context) = (path.clone(), context.clone());
                connect(name, path, context, None).await.map(Arc::new)
            }
            Way::Lab(prepared) => {
                let (server, scratch, path) = prepared.start().await?;
                let lab = Some((server, scratch));
                connect(name, path, None, lab).await.map(Arc::new)
            }
        });
        opened.await.map(Arc::clone)
    }

    /// What is known of those that were asked for by now, for records.
    pub fn known(&self) -> BTreeMap<String, String> {
        let open = self.open.values().filter_map(OnceCell::get);
        open.flat_map(|cluster| cluster.shown()).collect()
    }
}

impl Cluster {
    /// What it is, for records.
    pub fn shown(&self) -> BTreeMap<String, String> {
        let name = &self.name;
        let version = (format!("cluster/{name}"), self.identity.version.clone());
        let uid = self.identity.uid.clone();
        let uid = uid.map(|uid| (format!("cluster/{name} uid"), uid));
        [version].into_iter().chain(uid).collect()
    }
}

async fn connect(
    name: &str,
    kubeconfig: PathBuf,
    context: Option<String>,
    lab: Option<(kube::Server, Scratch)>,
) -> Result<Cluster, Failure> {
    let access = Access::Kubeconfig {
        path: kubeconfig.clone(),
        context: context.clone(),
    };
    let client = Client::connect(&access)
        .await
        .map_err(|error| failure(&error))?;
    let identity = client.identity().await.map_err(|error| failure(&error))?;
    Ok(Cluster {
        name: name.to_owned(),
        client,
        kubeconfig,
        context,
        identity,
        _lab: lab,
    })
}

/// An error of the API as a failure of a step.
pub fn failure(error: &runbook_k8s::Error) -> Failure {
    let mut failure = Failure::new(error.to_string()).hint(error.hint());
    failure.refused = error.kind() == ErrorKind::Refused;
    failure
}
