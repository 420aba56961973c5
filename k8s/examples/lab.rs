//! The lab's cluster with Flux, for `bench/kubernetes`: the peer of the real one.
//!
//! `lab KUBECONFIG GIT_URL GIT_ROOT` writes the kubeconfig, then one line to standard output, and serves until its standard input ends. What
//! lies at `GIT_ROOT/NAME` is to its Flux at `GIT_URL/NAME`; nothing need listen there.

use std::io::{Read as _, Write as _};

use runbook_lab::kube::{FluxSettings, Server, Settings};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kubeconfig, url, root] = &arguments[..] else {
        return Err("usage: lab KUBECONFIG GIT_URL GIT_ROOT".into());
    };
    let flux = FluxSettings {
        repositories: [(format!("{url}/"), root.into())].into(),
        ..FluxSettings::default()
    };
    let settings = Settings {
        flux: Some(flux),
        ..Settings::default()
    };
    let server = Server::start(settings).await?;
    std::fs::write(kubeconfig, server.kubeconfig())?;
    writeln!(std::io::stdout(), "ready")?;
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    server.shutdown().await;
    Ok(())
}
