//! Runs the lab's Kubernetes API until standard input ends; prints a kubeconfig. Commands of pods run in the lab's isolated
//! place where the machine allows it.
//!
//! `cargo run -p runbook-lab --example kube [SETTINGS.yaml] > kubeconfig`

use std::io::Write;
use std::sync::Arc;

use runbook_lab::hosts::{Hosts, program};
use runbook_lab::isolate::{self, SandboxConfig};
use runbook_lab::kube::{NoPrograms, Programs, Server, Settings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    isolate::main_if_asked();
    program::main_if_asked();
    tokio::runtime::Runtime::new()?.block_on(serve())
}

async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let settings = match std::env::args().nth(1) {
        Some(path) => serde_saphyr::from_str(&std::fs::read_to_string(path)?)?,
        None => Settings::default(),
    };
    let directory = tempfile::tempdir()?;
    let place = SandboxConfig::new(std::env::current_exe()?, Vec::new());
    let hosts = Hosts::start(place, directory.path(), Vec::new(), &[]).await;
    let programs: Arc<dyn Programs> = match &hosts {
        Ok(hosts) => hosts.programs(),
        Err(error) => {
            writeln!(std::io::stderr(), "pods run no commands: {error}")?;
            Arc::new(NoPrograms)
        }
    };
    let server = Server::with_programs(settings, programs).await?;
    let mut out = std::io::stdout();
    out.write_all(server.kubeconfig().as_bytes())?;
    out.flush()?;
    let until_end = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(until_end).await??;
    server.shutdown().await;
    Ok(())
}
