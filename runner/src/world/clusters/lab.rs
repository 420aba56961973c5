//! What the inventory says of a cluster becomes a cluster of the lab: its nodes, first objects, addresses, failures and Flux.
//!
//! What is broken there is an error of that cluster with its place, told when a step asks for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use runbook::inventory::{GuestKind, Inventory};
use runbook::node::Node;
use runbook::read;
use runbook_k8s::manifest;
use runbook_lab::hosts::Hosts;
use runbook_lab::kube::{self, Fail, FluxSettings, NoPrograms, Programs, Server, Settings};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::fixture::{lab, text};
use super::super::machines::OVERLAYS;
use super::services::{self, Wanted};
use crate::action::Failure;
use crate::origins::{self, Origins};
use crate::secrets::expand;

/// The longest file of first objects.
const OBJECTS_BYTES_MAX: u64 = 16 << 20;
/// What machines of a cluster are called in many houses, besides by the cluster's name.
const MEMBERS: [&str; 5] = ["k3s", "k8s", "kube", "talos", "rke2"];
/// The repository that the lab's Flux was bootstrapped from.
const GIT_URL: &str = "https://git.lab/homelab.git";
/// Where Flux's own objects are.
const FLUX: &str = "flux-system";
/// The controllers that the lab has, and where their images come from.
const CONTROLLERS: [&str; 3] = [
    "source-controller",
    "kustomize-controller",
    "helm-controller",
];
const CONTROLLER_IMAGES: &str = "ghcr.io/fluxcd";

/// Where the lab is: what its clusters read.
#[derive(Debug, Clone)]
pub struct Around {
    /// The inventory's folder.
    pub folder: PathBuf,
    /// The book's root.
    pub root: PathBuf,
    /// The lab's git.
    pub origins: Arc<Origins>,
    /// The world, by which its git is known.
    pub world: u32,
}

/// A cluster of the lab that can be started.
pub struct Prepared {
    /// Why it cannot be, where the inventory is wrong.
    settings: Result<Settings, Failure>,
    places: Places,
    /// Where Flux reads, if it is there.
    flux: Option<Flux>,
    programs: Arc<dyn Programs>,
    services: Result<Wanted, Failure>,
}

/// Where the parts of the settings stand, for errors.
#[derive(Default)]
struct Places {
    objects: String,
    range: String,
    fail: String,
}

struct Flux {
    around: Around,
    /// The folder of the cluster in the repository: `./clusters/home`.
    path: String,
}

/// Reads what the inventory says of its clusters; `hosts` has the network and runs the commands of their pods.
pub(in crate::world) fn prepare(
    inventory: &Inventory,
    around: &Around,
    hosts: Option<&Hosts>,
) -> BTreeMap<String, Prepared> {
    let programs = hosts.map_or_else(
        || Arc::new(NoPrograms) as Arc<dyn Programs>,
        Hosts::programs,
    );
    let clusters = inventory.clusters.iter().map(|(name, node)| {
        let reading = Reading {
            inventory,
            around,
            name,
            facts: lab(node),
        };
        let mut places = Places::default();
        let prepared = Prepared {
            settings: reading.settings(&mut places),
            places,
            flux: reading.flux(),
            programs: Arc::clone(&programs),
            services: services::wanted(inventory, node, &around.folder, hosts),
        };
        (name.clone(), prepared)
    });
    clusters.collect()
}

/// One cluster of an inventory.
struct Reading<'a> {
    inventory: &'a Inventory,
    around: &'a Around,
    name: &'a str,
    facts: Option<&'a Node>,
}

impl Reading<'_> {
    fn get(&self, key: &str) -> Option<&Node> {
        self.facts?.get(key)
    }

    /// `inventory.yaml:41`.
    fn place(&self, node: &Node) -> String {
        place(self.inventory, node)
    }

    fn settings(&self, places: &mut Places) -> Result<Settings, Failure> {
        let range = self.get("load-balancers");
        let fail = self.get("fail");
        places.range = range.map(|node| self.place(node)).unwrap_or_default();
        places.fail = fail.map(|node| self.place(node)).unwrap_or_default();
        let mut settings = Settings {
            nodes: self.nodes(),
            load_balancers: range.and_then(Node::as_text).map(str::to_owned),
            ..Settings::default()
        };
        if let Some((path, said)) = self.objects_file() {
            places.objects = path.display().to_string();
            settings.objects = read_objects(&path).map_err(|why| {
                let said = said.map(|place| format!("{place}: ")).unwrap_or_default();
                Failure::new(format!("{said}`objects`: `{}`: {why}", path.display())).hint(Some(
                    "it is a manifest: the objects that the lab's cluster has at first, status included",
                ))
            })?;
        }
        settings.objects.push(json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "kube-system", "uid": uid(self.name)},
        }));
        for node in fail.and_then(Node::as_list).unwrap_or_default() {
            let word = |key| text(node, key).unwrap_or_default().to_owned();
            settings.fail.push(Fail {
                kind: word("kind"),
                name: word("name"),
                namespace: word("namespace"),
                reason: word("reason"),
            });
        }
        Ok(settings)
    }

    /// The file of first objects, and where it is named.
    fn objects_file(&self) -> Option<(PathBuf, Option<String>)> {
        let folder = &self.around.folder;
        if let Some(node) = self.get("objects") {
            let file = expand(folder, node.as_text().unwrap_or_default());
            return Some((file, Some(self.place(node))));
        }
        let usual = folder.join(OVERLAYS).join(format!("{}.yaml", self.name));
        usual.is_file().then_some((usual, None))
    }

    /// The virtual machines that are called like a cluster's, else the inventory's nodes.
    fn nodes(&self) -> Vec<String> {
        let guests = self.inventory.guests.iter();
        let machines: Vec<&str> = guests
            .filter(|guest| guest.kind == GuestKind::Vm)
            .map(|guest| guest.name.as_str())
            .collect();
        let called = |word: &str| -> Vec<String> {
            let own = machines.iter().filter(|name| name.starts_with(word));
            own.map(|name| (*name).to_owned()).collect()
        };
        let nodes = self.inventory.nodes.iter().map(|(name, _)| name.clone());
        let choices = [
            called(self.name),
            MEMBERS.iter().flat_map(|word| called(word)).collect(),
            nodes.collect(),
        ];
        let found = choices.into_iter().find(|names| !names.is_empty());
        found.unwrap_or_else(|| Settings::default().nodes)
    }

    fn flux(&self) -> Option<Flux> {
        let is_there = self
            .get("flux")
            .is_some_and(|flux| read::bool(flux) == Ok(true));
        is_there.then(|| Flux {
            path: self.flux_path(),
            around: self.around.clone(),
        })
    }

    /// The nearest `clusters/NAME` from the book's root up to the repository's, else the repository's own.
    fn flux_path(&self) -> String {
        let own = Path::new("clusters").join(self.name);
        let repository = self.around.origins.repository();
        let folders = self.around.root.ancestors();
        let nearest = folders
            .take_while(|folder| folder.starts_with(repository))
            .find(|folder| folder.join(&own).is_dir())
            .and_then(|folder| folder.strip_prefix(repository).ok());
        let path = nearest.unwrap_or(Path::new("")).join(&own);
        format!("./{}", path.display())
    }
}

impl Prepared {
    /// Tells the machines of the lab what they may need of it.
    pub(super) async fn announce(&self) {
        if let Ok(wanted) = &self.services {
            wanted.announce().await;
        }
    }

    /// Starts it; also what is to answer at its addresses.
    pub(super) async fn start(&self) -> Result<(Server, Wanted), Failure> {
        let mut settings = self.settings.clone()?;
        let wanted = self.services.clone()?;
        if let Some(flux) = &self.flux {
            flux.bootstrap(&mut settings).await?;
        }
        let server = Server::with_programs(settings, Arc::clone(&self.programs))
            .await
            .map_err(|error| self.refused(&error))?;
        Ok((server, wanted))
    }

    fn refused(&self, error: &kube::Error) -> Failure {
        let place = match error {
            kube::Error::Range(_) => &self.places.range,
            kube::Error::Object { .. } => &self.places.objects,
            kube::Error::Failure(_) => &self.places.fail,
            _ => "",
        };
        let text = error.to_string();
        let (message, hint) = match text.split_once("; hint: ") {
            Some((message, hint)) => (message, Some(hint)),
            None => (text.as_str(), None),
        };
        let message = match place {
            "" => message.to_owned(),
            place => format!("{place}: {message}"),
        };
        Failure::new(message).hint(hint)
    }
}

impl Flux {
    /// What `flux bootstrap` leaves: a namespace, the controllers, and what reads the repository.
    async fn bootstrap(&self, settings: &mut Settings) -> Result<(), Failure> {
        let origin = self.around.origins.get(self.around.world).await;
        let origin = origin.map_err(|error| {
            Failure::new(format!("the lab's Flux has no git repository: {error}")).hint(Some(
                "it reads a clone of the book's repository: install git, or take `flux: true` out of the inventory",
            ))
        })?;
        let labels =
            json!({"app.kubernetes.io/instance": FLUX, "app.kubernetes.io/part-of": "flux"});
        let mut first = vec![json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": FLUX, "labels": labels},
        })];
        first.extend(CONTROLLERS.map(controller));
        // What bootstrapping leaves there, whatever the book's own GitRepository says of it.
        first.push(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": FLUX, "namespace": FLUX},
            "stringData": {"username": "git", "password": "lab"},
        }));
        first.push(json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": FLUX, "namespace": FLUX},
            "spec": {"interval": "1m0s", "ref": {"branch": origins::branch(&origin)}, "url": GIT_URL},
        }));
        first.push(json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": FLUX, "namespace": FLUX},
            "spec": {
                "interval": "10m0s", "path": self.path, "prune": true,
                "sourceRef": {"kind": "GitRepository", "name": FLUX},
            },
        }));
        // What the book says of them wins.
        let is_given = |object: &Value| {
            let id = |object: &Value| {
                let metadata = &object["metadata"];
                (
                    object["kind"].clone(),
                    metadata["namespace"].clone(),
                    metadata["name"].clone(),
                )
            };
            settings.objects.iter().any(|own| id(own) == id(object))
        };
        first.retain(|object| !is_given(object));
        settings.objects.splice(0..0, first);
        let charts = self.around.folder.join(OVERLAYS).join("charts");
        settings.flux = Some(FluxSettings {
            root: origin,
            charts: if charts.is_dir() {
                charts
            } else {
                PathBuf::new()
            },
            ..FluxSettings::default()
        });
        Ok(())
    }
}

fn controller(name: &str) -> Value {
    let app = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": name, "namespace": FLUX,
            "labels": {"app.kubernetes.io/component": name, "app.kubernetes.io/part-of": "flux"},
        },
        "spec": {
            "replicas": 1, "selector": {"matchLabels": app},
            "template": {
                "metadata": {"labels": app},
                "spec": {"containers": [{"name": "manager", "image": format!("{CONTROLLER_IMAGES}/{name}")}]},
            },
        },
    })
}

/// What a cluster of the lab is known by. It is the same in each run: what was found of one is not out of date because another was
/// started.
fn uid(name: &str) -> String {
    let digest = Sha256::digest(format!("a cluster of the lab: {name}"));
    let hex: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let (a, rest) = hex.split_at(8);
    format!(
        "{a}-{}-4{}-8{}-{}",
        &rest[..4],
        &rest[5..8],
        &rest[9..12],
        &rest[12..]
    )
}

/// Where a node of the inventory stands: `inventory.yaml:41`.
pub(super) fn place(inventory: &Inventory, node: &Node) -> String {
    let source = inventory.source.as_ref();
    source.map_or_else(String::new, |source| {
        format!(
            "{}:{}",
            source.path(),
            source.position(node.span.start).line
        )
    })
}

fn read_objects(file: &Path) -> Result<Vec<Value>, String> {
    let metadata = std::fs::metadata(file).map_err(|error| error.to_string())?;
    if metadata.len() > OBJECTS_BYTES_MAX {
        return Err(format!("longer than {OBJECTS_BYTES_MAX} bytes"));
    }
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let objects = manifest::parse(&text).map_err(|error| error.to_string())?;
    Ok(objects.into_iter().map(|object| object.value).collect())
}
