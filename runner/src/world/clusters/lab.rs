//! What the inventory says of a cluster becomes a cluster of the lab: its first objects, addresses, failures and Flux.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use runbook::inventory::Inventory;
use runbook_lab::kube::{NoPrograms, Programs, Server, Settings};

use super::super::fixture::{lab, text};
use crate::action::Failure;
use crate::scratch::Scratch;

/// A cluster of the lab that can be started.
pub struct Prepared {
    settings: Settings,
    programs: Arc<dyn Programs>,
}

/// Reads what the inventory says of its clusters; `programs` runs the commands of their pods.
pub(in crate::world) fn prepare(
    inventory: &Inventory,
    programs: Option<Arc<dyn Programs>>,
) -> BTreeMap<String, Prepared> {
    let programs = programs.unwrap_or_else(|| Arc::new(NoPrograms));
    let clusters = inventory.clusters.iter().map(|(name, node)| {
        let facts = lab(node);
        let settings = Settings {
            load_balancers: facts
                .and_then(|facts| text(facts, "load-balancers"))
                .map(str::to_owned),
            ..Settings::default()
        };
        let prepared = Prepared {
            settings,
            programs: Arc::clone(&programs),
        };
        (name.clone(), prepared)
    });
    clusters.collect()
}

impl Prepared {
    /// Starts it; beside it where its kubeconfig is, in a directory that goes with it.
    pub(super) async fn start(&self) -> Result<(Server, Scratch, PathBuf), Failure> {
        let server = Server::with_programs(self.settings.clone(), Arc::clone(&self.programs))
            .await
            .map_err(|error| Failure::new(error.to_string()))?;
        let written = Scratch::new().and_then(|scratch| {
            let path = scratch.path().join("kubeconfig");
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(server.kubeconfig().as_bytes())?;
            Ok((scratch, path))
        });
        let (scratch, path) = written.map_err(|error| {
            Failure::new(format!("the lab's kubeconfig cannot be written: {error}"))
        })?;
        Ok((server, scratch, path))
    }
}
