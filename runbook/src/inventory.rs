//! `inventory.yaml`: profiles, nodes, guests, hosts, clusters, vars and secrets by name (LANGUAGE section 2).

mod load;

pub(crate) use load::load;

use crate::model::Target;
use crate::node::Node;
use crate::source::{Source, Span};

/// What the inventory says.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The file, when there is one.
    pub source: Option<Source>,
    /// The whole file as written: what `{{ inventory.… }}` sees.
    pub node: Option<Node>,
    /// `secrets`, in order.
    pub secrets: Vec<(String, Secret)>,
    /// `vars`, in order.
    pub vars: Vec<(String, Node)>,
    /// `profiles`, in order.
    pub profiles: Vec<(String, Profile)>,
    /// `nodes`, in order.
    pub nodes: Vec<(String, Node)>,
    /// `guests`, in order.
    pub guests: Vec<Guest>,
    /// `hosts`, in order.
    pub hosts: Vec<(String, Node)>,
    /// `clusters`, in order.
    pub clusters: Vec<(String, Node)>,
}

/// Where a secret's value comes from: exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// An environment variable of the runner.
    Env(String),
    /// A file; `~` is the home, others are relative to the inventory.
    File(String),
    /// A command for `sh -c` in the repository's root.
    Command(String),
}

/// A profile.
#[derive(Debug, Default)]
pub struct Profile {
    /// `vars`, in order.
    pub vars: Vec<(String, Node)>,
    /// The profile as written.
    pub node: Option<Node>,
}

/// What a guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestKind {
    /// A container.
    Lxc,
    /// A virtual machine.
    Vm,
}

impl GuestKind {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lxc => "lxc",
            Self::Vm => "vm",
        }
    }
}

/// A guest.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// What it is.
    pub kind: GuestKind,
    /// Its number, when it is given.
    pub vmid: Option<i64>,
    /// The guest as written.
    pub node: Node,
}

impl Inventory {
    /// A secret by its name.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, secret)| secret)
    }

    /// A profile by its name.
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, profile)| profile)
    }

    /// A guest by its name.
    pub fn guest(&self, name: &str) -> Option<&Guest> {
        self.guests.iter().find(|guest| guest.name == name)
    }

    /// The guest that a target names: by its name or its number.
    pub fn guest_called(&self, name: &str) -> Option<&Guest> {
        let is_number = |vmid: i64| name.parse() == Ok(vmid);
        self.guests
            .iter()
            .find(|guest| guest.name == name || guest.vmid.is_some_and(is_number))
    }

    /// Whether a target can be: it is in the inventory, or a number, or needs none.
    ///
    /// # Errors
    ///
    /// What is missing: a fragment and a hint.
    pub fn has(&self, target: &Target) -> Result<(), (String, Option<String>)> {
        match target {
            Target::Local => Ok(()),
            Target::Node(name) => known(
                "node",
                "nodes",
                name,
                self.nodes.iter().map(|(name, _)| name.as_str()),
            ),
            Target::Host(name) => known(
                "host",
                "hosts",
                name,
                self.hosts.iter().map(|(name, _)| name.as_str()),
            ),
            Target::Cluster(name) => known(
                "cluster",
                "clusters",
                name,
                self.clusters.iter().map(|(name, _)| name.as_str()),
            ),
            Target::Lxc(name) => self.has_guest(name, GuestKind::Lxc),
            Target::Vm(name) => self.has_guest(name, GuestKind::Vm),
            Target::Pod { .. } if self.clusters.is_empty() => Err((
                "the inventory has no cluster for a pod".into(),
                Some("add it under `clusters`".into()),
            )),
            Target::Pod { .. } => Ok(()),
        }
    }

    fn has_guest(&self, name: &str, kind: GuestKind) -> Result<(), (String, Option<String>)> {
        if name.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(());
        }
        match self.guest(name) {
            Some(guest) if guest.kind == kind => Ok(()),
            Some(guest) => Err((
                format!("guest `{name}` is a `{}`", guest.kind.as_str()),
                Some(format!("write `{}/{name}`", guest.kind.as_str())),
            )),
            None => {
                let same = self
                    .guests
                    .iter()
                    .filter(|guest| guest.kind == kind)
                    .map(|guest| guest.name.as_str());
                known(kind.as_str(), "guests", name, same)
            }
        }
    }
}

fn known<'a>(
    kind: &str,
    map: &str,
    name: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), (String, Option<String>)> {
    if names.clone().any(|known| known == name) {
        return Ok(());
    }
    let hint = match crate::suggest::nearest(name, names.clone()) {
        Some(nearest) => format!("did you mean `{kind}/{nearest}`?"),
        None => format!("add it to the inventory under `{map}`"),
    };
    Err((
        format!("`{kind}/{name}` is not in the inventory"),
        Some(hint),
    ))
}
