//! The Kubernetes clusters of a world: those of a real profile, or the lab's, each connected to when it is first asked for.
//!
//! A lab cluster is a server of its own that starts then and ends with its world. Nothing is changed here.

pub(crate) mod kubeconfig;
mod lab;
mod services;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use runbook::inventory::Inventory;
use runbook_k8s::{Access, Client, Error, ErrorKind};
use runbook_lab::kube::Server;
use tokio::sync::OnceCell;

pub(super) use lab::prepare;
pub use lab::{Around, Prepared as LabCluster};

use self::services::Services;
use super::fixture::text;
use crate::action::Failure;
use crate::scratch::Scratch;
use crate::secrets::expand;

/// The kubeconfig of a profile's cluster that names none.
pub(crate) const USUAL: &str = "~/.kube/config";

/// The clusters of a world, by the names of the inventory.
pub struct Clusters {
    /// How each is reached, and what it is once it was.
    all: BTreeMap<String, (Way, OnceCell<Arc<Cluster>>)>,
    /// What is said of a cluster that has no way.
    nobody: String,
}

/// How a cluster is reached.
enum Way {
    /// By a context of a kubeconfig.
    Kubeconfig {
        path: PathBuf,
        context: Option<String>,
        /// Where the inventory says so.
        place: String,
    },
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
    lab: Option<Lab>,
}

/// A cluster of the lab that runs.
struct Lab {
    services: Services,
    server: Server,
    /// Where its kubeconfig is.
    _scratch: Scratch,
}

impl Clusters {
    fn new(ways: impl Iterator<Item = (String, Way)>, nobody: String) -> Self {
        let all = ways.map(|(name, way)| (name, (way, OnceCell::new())));
        Self {
            all: all.collect(),
            nobody,
        }
    }

    /// Those that were asked for by now.
    fn opened(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.all.values().filter_map(|(_, cell)| cell.get())
    }

    /// Those of a real profile; paths are relative to the inventory's folder.
    pub fn of_profile(inventory: &Inventory, name: &str, folder: &Path) -> Self {
        let profile = inventory.profile(name);
        let profile = profile.and_then(|profile| profile.node.as_ref());
        let written = profile.and_then(|profile| profile.get("clusters")?.as_map());
        let ways = written.unwrap_or_default().iter().map(|entry| {
            let file = text(&entry.value, "kubeconfig").unwrap_or(USUAL);
            let context = text(&entry.value, "context").map(str::to_owned);
            let way = Way::Kubeconfig {
                path: expand(folder, file),
                context,
                place: lab::place(inventory, &entry.value),
            };
            (entry.key.clone(), way)
        });
        Self::new(ways, format!("profile `{name}`"))
    }

    /// Those of a lab.
    pub async fn of_lab(prepared: BTreeMap<String, LabCluster>) -> Self {
        for cluster in prepared.values() {
            cluster.announce().await;
        }
        let ways = prepared
            .into_iter()
            .map(|(name, prepared)| (name, Way::Lab(Box::new(prepared))));
        Self::new(ways, "the lab".to_owned())
    }

    /// The names of all.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.keys().map(String::as_str)
    }

    /// The name of the only cluster.
    ///
    /// # Errors
    ///
    /// There is none, or there are several.
    pub fn only(&self) -> Result<String, Failure> {
        let mut names = self.names();
        match (names.next(), names.next()) {
            (Some(only), None) => Ok(only.to_owned()),
            (None, _) => Err(
                Failure::new(format!("{} has no cluster", self.nobody)).hint(Some(
                    "add `clusters: {NAME: {kubeconfig: FILE, context: NAME}}` to it",
                )),
            ),
            (Some(one), Some(other)) => Err(Failure::new(format!(
                "which cluster has the pod is not said: there are `{one}` and `{other}`"
            ))
            .hint(Some(format!(
                "write `on: cluster/{one}` in the guide's front matter"
            )))),
        }
    }

    /// A cluster, connected to when it is first asked for.
    ///
    /// # Errors
    ///
    /// The profile does not name it, the lab cannot start it, it does not answer. It is tried anew next time.
    pub async fn get(&self, name: &str) -> Result<Arc<Cluster>, Failure> {
        let Some((way, cell)) = self.all.get(name) else {
            let failure = Failure::new(format!("{} has no cluster `{name}`", self.nobody));
            return Err(failure.hint(Some(format!(
                "add `clusters: {{{name}: {{kubeconfig: FILE, context: NAME}}}}` to it"
            ))));
        };
        let opened = cell.get_or_try_init(async || match way {
            Way::Kubeconfig {
                path,
                context,
                place,
            } => {
                let cluster = connect(name, path.clone(), context.clone()).await;
                cluster
                    .map(Arc::new)
                    .map_err(|error| in_profile(&error, place))
            }
            Way::Lab(prepared) => start(name, prepared).await.map(Arc::new),
        });
        opened.await.map(Arc::clone)
    }

    /// One kubeconfig for all clusters of a lab, which are started: a context for each, by its name.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub async fn kubeconfig(&self) -> Result<String, Failure> {
        let mut opened = Vec::new();
        for name in self.names() {
            opened.push(self.get(name).await?);
        }
        let servers = opened
            .iter()
            .filter_map(|cluster| Some((cluster.name.as_str(), &cluster.lab.as_ref()?.server)));
        Ok(kubeconfig::text(servers))
    }

    /// What answers at the addresses of the lab's clusters is as it is in them now.
    pub async fn settle(&self) {
        for cluster in self.opened() {
            if let Some(lab) = &cluster.lab {
                lab.services.settle().await;
            }
        }
    }

    /// What is known of those that were asked for by now, for records.
    pub fn known(&self) -> BTreeMap<String, String> {
        self.opened().flat_map(|cluster| cluster.shown()).collect()
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

async fn start(name: &str, prepared: &LabCluster) -> Result<Cluster, Failure> {
    let (server, wanted) = prepared.start().await?;
    let written = Scratch::new().and_then(|scratch| {
        let path = scratch.path().join("kubeconfig");
        kubeconfig::write(&path, &kubeconfig::text([(name, &server)].into_iter()))?;
        Ok((scratch, path))
    });
    let (scratch, path) = written.map_err(|error| {
        Failure::new(format!("the lab's kubeconfig cannot be written: {error}"))
    })?;
    let cluster = connect(name, path, None).await;
    let cluster = cluster.map_err(|error| failure(&error))?;
    let services = Services::start(name, wanted, &server, &cluster.client).await?;
    Ok(Cluster {
        lab: Some(Lab {
            services,
            server,
            _scratch: scratch,
        }),
        ..cluster
    })
}

async fn connect(
    name: &str,
    kubeconfig: PathBuf,
    context: Option<String>,
) -> Result<Cluster, runbook_k8s::Error> {
    let access = Access::Kubeconfig {
        path: kubeconfig.clone(),
        context: context.clone(),
    };
    let client = Client::connect(&access).await?;
    let identity = client.identity().await?;
    Ok(Cluster {
        name: name.to_owned(),
        client,
        kubeconfig,
        context,
        identity,
        lab: None,
    })
}

/// What is wrong with what a profile says has its place.
fn in_profile(error: &runbook_k8s::Error, place: &str) -> Failure {
    let told = failure(error);
    if !matches!(error, runbook_k8s::Error::Setting(_)) || place.is_empty() {
        return told;
    }
    let hint = told.hint.unwrap_or_else(|| {
        "a profile's cluster is `{kubeconfig: FILE, context: NAME}`; `kubectl config get-contexts` shows the names".into()
    });
    Failure {
        message: format!("{place}: {}", told.message),
        hint: Some(hint),
        ..told
    }
}

/// An error of the API as a failure of a step.
pub fn failure(error: &Error) -> Failure {
    let mut failure = Failure::new(error.to_string()).hint(error.hint());
    // Asking again would be answered the same, until somebody changes something.
    failure.refused = error.kind() == ErrorKind::Refused
        || matches!(
            error,
            Error::Quota { .. }
                | Error::NoSuchKind { .. }
                | Error::Unauthorized(_)
                | Error::Untrusted { .. }
                | Error::Setting(_)
        );
    failure
}
