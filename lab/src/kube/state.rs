//! A cluster: its store, what is served, and what was set. The server asks it, the controllers change it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::admit::Write;
use super::attach::Attached;
use super::controllers::{Marks, Pool};
use super::faults::Faults;
use super::object::{self, Object};
use super::programs::{Hook, Order};
use super::resource::{Registry, Resource};
use super::settings::{Error, Settings};
use super::status::{Refusal, Result};
use super::store::{Key, Store};

/// Namespaces that every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// Reasons that `fail` knows beside those of Flux.
const FAILURES: [&str; 4] = ["image-pull", "crash-loop", "unschedulable", "quota"];
/// What else they are called: in short, and by Kubernetes itself.
const ALSO_CALLED: [(&str, &str); 8] = [
    ("pull", "image-pull"),
    ("ErrImagePull", "image-pull"),
    ("ImagePullBackOff", "image-pull"),
    ("crash", "crash-loop"),
    ("CrashLoopBackOff", "crash-loop"),
    ("Unschedulable", "unschedulable"),
    ("FailedScheduling", "unschedulable"),
    ("exceeded quota", "quota"),
];

/// A simulated cluster.
#[derive(Debug)]
pub struct Cluster {
    state: Mutex<State>,
    /// What goes wrong.
    pub faults: Faults,
    pub(crate) settings: Arc<Settings>,
    pub(crate) programs: Hook,
}

/// Everything behind the lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) settings: Arc<Settings>,
    pub(crate) pool: Pool,
    pub(crate) ca_pem: String,
    /// Output of containers by pod uid and container, with the time of each line.
    pub(crate) logs: BTreeMap<(String, String), Vec<String>>,
    /// Containers whose command runs, for whoever attaches.
    pub(crate) attached: Attached,
    /// Commands that wait to be run.
    pub(crate) orders: Vec<Order>,
    pub(crate) marks: Marks,
    /// Tokens of service accounts: the account's uid, and when they end.
    pub(crate) tokens: BTreeMap<String, (String, jiff::Timestamp)>,
    /// Objects to look at again although they did not change.
    pub(crate) nudged: Vec<(Arc<str>, Key)>,
    /// What Flux's controllers know.
    pub(crate) flux: super::flux::World,
    /// Whose turn it is among nodes.
    pub(crate) turn: usize,
}

impl Cluster {
    pub(crate) fn new(
        mut settings: Settings,
        ca_pem: &str,
        programs: Hook,
    ) -> std::result::Result<Arc<Self>, Error> {
        for fail in &mut settings.fail {
            let known = ALSO_CALLED.iter().find(|(other, _)| *other == fail.reason);
            if let Some((_, name)) = known.filter(|_| !super::flux::is_kind(&fail.kind)) {
                fail.reason = (*name).to_owned();
            }
        }
        if let Some(bad) = settings.fail.iter().find(|one| {
            !FAILURES.contains(&one.reason.as_str()) && !super::flux::is_kind(&one.kind)
        }) {
            return Err(Error::Failure(bad.reason.clone()));
        }
        let settings = Arc::new(settings);
        let mut state = State {
            store: Store::new(settings.watch_history),
            registry: Registry::builtin(),
            pool: Pool::new(settings.load_balancers.as_deref())?,
            settings: settings.clone(),
            ca_pem: ca_pem.to_owned(),
            logs: BTreeMap::new(),
            attached: Attached::default(),
            orders: Vec::new(),
            marks: Marks::default(),
            tokens: BTreeMap::new(),
            nudged: Vec::new(),
            flux: super::flux::World::default(),
            turn: 0,
        };
        state.seed()?;
        Ok(Arc::new(Self {
            state: Mutex::new(state),
            faults: Faults::default(),
            settings,
            programs,
        }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the history of watches and pages, as a compaction does.
    pub fn compact(&self) {
        self.lock().store.compact();
    }

    /// The resource version of the last change.
    pub fn resource_version(&self) -> u64 {
        self.lock().store.version()
    }
}

impl State {
    pub(crate) fn kind(&self, api_version: &str, kind: &str) -> Result<Arc<Resource>> {
        self.registry.of_kind(api_version, kind).ok_or_else(|| {
            Refusal::new(
                404,
                "NotFound",
                format!("no matches for kind \"{kind}\" in version \"{api_version}\""),
            )
        })
    }

    /// The object of a table by name.
    pub(crate) fn get(&self, table: &str, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.store.get(table, namespace, name).cloned()
    }

    fn seed(&mut self) -> std::result::Result<(), Error> {
        let settings = self.settings.clone();
        let namespaces = NAMESPACES.map(
            |name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
        );
        let nodes = settings.nodes.iter().enumerate();
        let nodes = nodes.map(|(index, name)| super::controllers::node(index, name));
        let own: Vec<Value> = namespaces.into_iter().chain(nodes).collect();
        for own in &own {
            let mut object = own.clone();
            // A first object says what is special about it: a graphics card, a taint, a uid.
            for given in settings.objects.iter().filter(|one| is_same(one, own)) {
                super::patch::merge_patch(&mut object, given);
            }
            self.put_first(&object)?;
        }
        self.put_first(&json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "targetPort": 6443}]},
        }))?;
        self.put_first(&json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "lab.local/volumes",
        }))?;
        if self.settings.flux.is_some() {
            for crd in super::flux::definitions() {
                self.put_first(&crd)?;
            }
        }
        let is_early =
            |one: &&Value| one["kind"] == "Namespace" || one["kind"] == "CustomResourceDefinition";
        let is_made = |one: &&Value| own.iter().any(|made| is_same(made, one));
        let others = settings.objects.iter().filter(|one| !is_made(one));
        let (early, late): (Vec<&Value>, Vec<&Value>) = others.partition(is_early);
        for object in early.into_iter().chain(late) {
            self.put_first(object)?;
        }
        Ok(())
    }

    /// An object that was there before anyone asked, with its status.
    fn put_first(&mut self, object: &Value) -> std::result::Result<(), Error> {
        let refused = |refusal: Refusal| Error::Object {
            kind: object["kind"].as_str().unwrap_or_default().to_owned(),
            name: object::name(object).to_owned(),
            message: refusal.message,
        };
        let api_version = object["apiVersion"].as_str().unwrap_or_default();
        let kind = object["kind"].as_str().unwrap_or_default();
        let resource = self.kind(api_version, kind).map_err(refused)?;
        let mut namespace = object::namespace(object).to_owned();
        if resource.namespaced && namespace.is_empty() {
            namespace = "default".into();
        }
        if resource.namespaced && self.get("namespaces", "", &namespace).is_none() {
            self.put_first(
                &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            )?;
        }
        let mut write = Write::by("lab");
        let uid = object::uid(object);
        write.uid = Some(uid.to_owned()).filter(|uid| !uid.is_empty());
        let made = self
            .create(&resource, &namespace, object.clone(), &mut write)
            .map_err(refused)?;
        if kind == "CustomResourceDefinition" {
            self.establish(object::name(&made.value));
        }
        if let Some(status) = object
            .get("status")
            .filter(|_| resource.sub("status").is_some())
        {
            let mut value = made.value.clone();
            value["status"] = status.clone();
            let mut write = Write::by("lab").subresource("status");
            let name = object::name(&made.value).to_owned();
            self.update(&resource, &namespace, &name, value, &mut write)
                .map_err(refused)?;
        }
        Ok(())
    }
}

/// Whether both are the same object of the whole cluster.
fn is_same(one: &Value, other: &Value) -> bool {
    one["kind"] == other["kind"] && object::name(one) == object::name(other)
}
