//! What a case has at hand: the server, a namespace of its own, kubectl; and the end of both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::case::skip;
use crate::client::Client;
use crate::kubectl::Kubectl;
use crate::server::{Git, Server};

/// Namespaces of one run are told apart by the process and a number.
static NEXT: AtomicU32 = AtomicU32::new(0);
/// Of a namespace's name, 63 characters at most.
const NAME_CHARS: usize = 40;

pub(crate) struct Context {
    server: Arc<Server>,
    name: String,
    namespace: OnceCell<String>,
    cluster: std::sync::Mutex<Vec<String>>,
}

impl Context {
    pub(crate) fn new(server: Arc<Server>, case: &str) -> Self {
        let case: String = case.replace('_', "-").chars().take(NAME_CHARS).collect();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            server,
            name: format!(
                "{}-{:x}-{number}",
                case.trim_end_matches('-'),
                std::process::id()
            ),
            namespace: OnceCell::new(),
            cluster: std::sync::Mutex::new(Vec::new()),
        }
    }

    /// The client that may do everything.
    pub(crate) fn admin(&self) -> &Client {
        &self.server.admin
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// A name that nothing else of this run has, for what lives outside namespaces. Letters, digits and dashes.
    pub(crate) fn unique(&self) -> &str {
        &self.name
    }

    /// The case's own namespace, made when first asked for.
    pub(crate) async fn namespace(&self) -> Result<&str> {
        let made = self.namespace.get_or_try_init(|| async {
            let body =
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}});
            self.admin()
                .post("/api/v1/namespaces", &body)
                .await?
                .status(201)
                .context("the case's namespace")?;
            anyhow::Ok(self.name.clone())
        });
        Ok(made.await?)
    }

    /// As `namespace`, and pods may be made in it: its default ServiceAccount is there.
    pub(crate) async fn namespace_for_pods(&self) -> Result<&str> {
        let namespace = self.namespace().await?;
        self.admin()
            .until(
                &format!("/api/v1/namespaces/{namespace}/serviceaccounts/default"),
                "the default account is there",
                |_| true,
            )
            .await?;
        Ok(namespace)
    }

    /// The collection of a kind in the case's namespace: `resource("apps/v1", "deployments")`.
    pub(crate) async fn resource(&self, api: &str, plural: &str) -> Result<String> {
        let namespace = self.namespace().await?;
        Ok(format!("{}/namespaces/{namespace}/{plural}", root(api)))
    }

    /// As `resource`, when what is made there brings forth pods.
    pub(crate) async fn workload(&self, api: &str, plural: &str) -> Result<String> {
        self.namespace_for_pods().await?;
        self.resource(api, plural).await
    }

    pub(crate) async fn configmaps(&self) -> Result<String> {
        self.resource("v1", "configmaps").await
    }

    /// Makes an object in a collection and gives what the server made of it.
    pub(crate) async fn create(&self, collection: &str, body: &Value) -> Result<Value> {
        self.admin().post(collection, body).await?.status(201)
    }

    /// Removes this path when the case has ended: for what lives outside its namespace.
    pub(crate) fn remove_later(&self, path: impl Into<String>) {
        self.cluster
            .lock()
            .expect("nobody panics while holding it")
            .push(path.into());
    }

    /// kubectl in the case's namespace; skips where there is none.
    pub(crate) async fn kubectl(&self) -> Result<Kubectl> {
        let Some(program) = &self.server.kubectl else {
            return skip("there is no kubectl: give `--kubectl FILE`");
        };
        Kubectl::new(program, &self.server.kubeconfig, self.namespace().await?)
    }

    /// Commands of containers run, or are played as KWOK does; skips where they do neither.
    pub(crate) fn programs(&self) -> Result<()> {
        match &self.server.without_programs {
            Some(why) => skip(format!("no command of a container runs here: {why}")),
            None => Ok(()),
        }
    }

    /// Where repositories lie that the cluster can read; skips where Flux or a git server is not there.
    pub(crate) async fn git(&self) -> Result<Git> {
        let served = self
            .admin()
            .get("/apis/kustomize.toolkit.fluxcd.io")
            .await?;
        if served.status == 404 {
            return skip("this server has no Flux");
        }
        match &self.server.git {
            Some(git) => Ok(git.clone()),
            None => skip(
                "this server names no place for git repositories (GIT_ROOT and GIT_URL in `env` beside the kubeconfig)",
            ),
        }
    }

    /// Ends what the case left behind. Errors change nothing: the case is judged already.
    pub(crate) async fn clean(&self) {
        let paths =
            std::mem::take(&mut *self.cluster.lock().expect("nobody panics while holding it"));
        for path in paths.iter().rev() {
            let _ = self.admin().delete(path).await;
        }
        if let Some(namespace) = self.namespace.get().filter(|_| !self.server.keep) {
            let _ = self
                .admin()
                .delete(&format!("/api/v1/namespaces/{namespace}"))
                .await;
        }
    }
}

/// `/api/v1` or `/apis/GROUP/VERSION`.
pub(crate) fn root(api: &str) -> String {
    if api.contains('/') {
        format!("/apis/{api}")
    } else {
        format!("/api/{api}")
    }
}
