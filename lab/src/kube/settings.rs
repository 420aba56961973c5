//! The cluster a server starts with, as data. A misspelt key is refused by name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

/// The server version that is simulated.
pub const SERVER_VERSION: &str = "v1.36.4";
/// Events that a watch can go back to, for each resource.
pub const WATCH_HISTORY: usize = 10_000;

/// Everything a cluster starts with.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// First objects, status included; their namespaces are made when they are not among them.
    pub objects: Vec<Value>,
    /// Nodes, all ready.
    pub nodes: Vec<String>,
    /// Addresses for services of type LoadBalancer: `A-B` or a CIDR. Without any they stay pending.
    pub load_balancers: Option<String>,
    /// What is to fail.
    pub fail: Vec<Fail>,
    /// What the server says it is.
    pub version: String,
    /// Callers beside the administrator.
    pub tokens: Vec<TokenRule>,
    /// How many events a watch can go back, for each resource.
    pub watch_history: usize,
    /// How long things take.
    pub delays: Delays,
    /// Flux's resources and controllers; without it they are not there.
    pub flux: Option<FluxSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            objects: Vec::new(),
            nodes: vec!["lab-1".into()],
            load_balancers: None,
            fail: Vec::new(),
            version: SERVER_VERSION.into(),
            tokens: Vec::new(),
            watch_history: WATCH_HISTORY,
            delays: Delays::default(),
            flux: None,
        }
    }
}

/// A scripted failure: what matches all that is given fails so.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Fail {
    /// The kind of the object or of its owner, such as `Deployment`; empty matches any.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace; empty matches any.
    pub namespace: String,
    /// How: `image-pull`, `crash-loop`, `unschedulable`, `quota`, or what Kubernetes calls them; for Flux kinds the reason of its `Ready` condition.
    pub reason: String,
}

/// How long things take, in milliseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Delays {
    /// From a pod's place on a node to its start.
    pub pod_start_ms: u64,
    /// From a pod's start to the end of a container that has a command and is a record.
    pub job_ms: u64,
    /// From a definition to its resource being served.
    pub crd_ms: u64,
    /// From a deletion to the end of a pod, at most its grace period.
    pub pod_stop_ms: u64,
    /// From a claim to its volume.
    pub volume_ms: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            pod_start_ms: 50,
            job_ms: 50,
            crd_ms: 20,
            pod_stop_ms: 20,
            volume_ms: 20,
        }
    }
}

/// A caller with static rights. What is allowed and not denied may be done.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct TokenRule {
    /// The bearer token.
    pub token: String,
    /// The user's name.
    pub user: String,
    /// Whether the token is refused as expired ones are.
    pub expired: bool,
    /// What may be done.
    pub allow: Vec<Rule>,
    /// What may not, whatever is allowed.
    pub deny: Vec<Rule>,
}

/// Verbs on resources in namespaces; an empty list or `*` is any.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rule {
    /// `get`, `list`, `create`, …
    pub verbs: Vec<String>,
    /// `pods`, `deployments.apps`, `pods/log`, …
    pub resources: Vec<String>,
    /// Namespaces.
    pub namespaces: Vec<String>,
}

impl Rule {
    pub(crate) fn matches(&self, verb: &str, resource: &str, namespace: &str) -> bool {
        let has = |list: &[String], wanted: &str| {
            list.is_empty() || list.iter().any(|one| one == "*" || one == wanted)
        };
        has(&self.verbs, verb) && has(&self.resources, resource) && has(&self.namespaces, namespace)
    }
}

/// What Flux reads.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct FluxSettings {
    /// What every URL leads to that `repositories` does not name: a git repository, or a plain directory, which counts as its branch
    /// `main`. Empty: nowhere.
    pub root: PathBuf,
    /// URLs of git repositories, and where they lie on this machine. One that ends in `/` stands for all below it.
    pub repositories: BTreeMap<String, PathBuf>,
    /// Registries that OCIRepositories are pulled from, over HTTP: `HOST:PORT`, or `HOST` for all its ports. Others are refused by name.
    pub registries: Vec<String>,
    /// Charts as `NAME-VERSION.yaml`.
    pub charts: PathBuf,
    /// Age identities (`AGE-SECRET-KEY-…`) that decrypt what SOPS encrypted, beside those in the cluster's secrets.
    pub age_keys: Vec<String>,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The range of load balancer addresses is none.
    #[error(
        "`{0}` is no range of load balancer addresses; hint: write `192.168.4.80-192.168.4.120` or a CIDR"
    )]
    Range(String),
    /// A first object is refused.
    #[error(
        "the lab's first object {kind}/{name} is refused: {message}; hint: correct it in the cluster's objects"
    )]
    Object {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// What the API says.
        message: String,
    },
    /// A failure is unknown.
    #[error(
        "the lab knows no failure `{0}`; hint: known are image-pull, crash-loop, unschedulable, quota"
    )]
    Failure(String),
    /// The certificate cannot be made.
    #[error(transparent)]
    Identity(#[from] crate::identity::Error),
    /// No port can be listened at.
    #[error("the lab's Kubernetes API cannot listen: {0}; hint: the loopback must be there")]
    Listen(#[from] std::io::Error),
}
