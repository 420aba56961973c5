//! The lab as a server of the cases: started in this process, reached as any other through a kubeconfig and the `env` beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use runbook_lab::hosts::{Error, Hosts};
use runbook_lab::isolate::SandboxConfig;
use runbook_lab::kube::{FluxSettings, NoPrograms, Programs, Settings};
use tempfile::TempDir;

use crate::server::Server;

/// The lab's Flux reads a repository `NAME.git` in its directory at this URL and that name.
const GIT_URL: &str = "http://git.lab";
/// As many nodes, with the same names, as the real control plane has.
const NODES: [&str; 2] = ["node-0", "node-1"];

pub(crate) struct Lab {
    server: runbook_lab::kube::Server,
    /// Where commands of containers run; the reason where they cannot.
    programs: Result<Hosts, String>,
    directory: TempDir,
}

impl Lab {
    /// Starts it; kubectl is the one that is given, or what can be found.
    pub(crate) async fn start(kubectl: Option<&Path>) -> Result<Self> {
        let directory = tempfile::tempdir().context("the lab has no directory")?;
        let [hosts, git, charts] =
            ["hosts", "git", "charts"].map(|name| directory.path().join(name));
        for path in [&hosts, &git, &charts] {
            std::fs::create_dir(path).context("the lab has no directory")?;
        }
        let place = SandboxConfig::new(std::env::current_exe()?, Vec::new());
        let programs = match Hosts::start(place, &hosts, Vec::new(), &[]).await {
            Ok(hosts) => Ok(hosts),
            Err(Error::Forbidden(why)) => Err(format!("{why}; hint: {}", why.hint)),
            Err(error) => return Err(error).context("the lab's containers"),
        };
        let settings = Settings {
            nodes: NODES.map(str::to_owned).into(),
            flux: Some(FluxSettings {
                repositories: [(format!("{GIT_URL}/"), git)].into(),
                // Those of the cases, at their ports.
                registries: vec!["127.0.0.1".into()],
                charts,
                ..FluxSettings::default()
            }),
            ..Settings::default()
        };
        let hook: Arc<dyn Programs> = match &programs {
            Ok(hosts) => hosts.programs(),
            Err(_) => Arc::new(NoPrograms),
        };
        let server = runbook_lab::kube::Server::with_programs(settings, hook).await?;
        let lab = Self {
            server,
            programs,
            directory,
        };
        lab.describe(kubectl.map(Path::to_owned).or_else(find_kubectl))?;
        Ok(lab)
    }

    /// Writes the kubeconfig and `env`, as `tests/control-plane/up` does.
    fn describe(&self, kubectl: Option<PathBuf>) -> Result<()> {
        std::fs::write(self.kubeconfig(), self.server.kubeconfig_with_certificate())?;
        let mut env = String::new();
        if let Some(kubectl) = kubectl {
            env.push_str(&format!("KUBECTL={}\n", kubectl.display()));
        }
        for (key, value) in [("GIT_ROOT", "git"), ("CHARTS", "charts")] {
            let path = self.directory.path().join(value);
            env.push_str(&format!("{key}={}\n", path.display()));
        }
        env.push_str(&format!("GIT_URL={GIT_URL}\n"));
        std::fs::write(self.directory.path().join("env"), env)?;
        Ok(())
    }

    fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    pub(crate) async fn open(&self, keep: bool) -> Result<Server> {
        let mut server = Server::open(&self.kubeconfig(), None, keep).await?;
        server.without_programs = self.programs.as_ref().err().cloned();
        Ok(server)
    }

    pub(crate) async fn end(self) {
        self.server.shutdown().await;
    }
}

/// The `kubectl` on `PATH`, else the youngest that was built for the real control plane (`tests/control-plane/build`).
fn find_kubectl() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path)
        .map(|directory| directory.join("kubectl"))
        .find(|program| program.is_file());
    on_path.or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
        let builds = std::fs::read_dir(cache.join("runbook/control-plane")).ok()?;
        builds
            .filter_map(|entry| {
                let program = entry.ok()?.path().join("kubectl");
                let built = program.metadata().ok()?.modified().ok()?;
                Some((built, program))
            })
            .max()
            .map(|(_, program)| program)
    })
}
