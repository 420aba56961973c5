//! `inventory.yaml`: profiles, nodes, guests, hosts, clusters, vars and secrets by name (LANGUAGE section 2).

use crate::node::Node;
use crate::source::Source;

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
