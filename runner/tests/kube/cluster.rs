//! A cluster of a test that outlives its runs, and books that know it as `cluster/home` of their profile `home`.

use std::path::Path;

use runbook::outcome::Mode;
use runbook_k8s::{Access, Client, Key, Query, manifest};
use runbook_lab::kube::{
    Fail, FluxSettings, NoPrograms, Programs, Rule, Server, Settings, TokenRule,
};
use serde_json::Value;

use crate::book_test::{BookTest, step};

/// A cluster.
pub(crate) struct Home {
    pub(crate) server: Server,
    pub(crate) client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn failing(kind: &str, name: &str, reason: &str) -> Self {
        let fail = Fail {
            kind: kind.into(),
            name: name.into(),
            reason: reason.into(),
            ..Fail::default()
        };
        Self::with(Settings {
            fail: vec![fail],
            ..Settings::default()
        })
    }

    /// With Flux, whose sources show this directory.
    pub(crate) fn with_flux(root: &Path, fail: Vec<Fail>) -> Self {
        Self::with(Settings {
            flux: Some(FluxSettings {
                root: root.to_owned(),
                ..FluxSettings::default()
            }),
            fail,
            ..Settings::default()
        })
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self::with_programs(settings, std::sync::Arc::new(NoPrograms))
    }

    /// The same with who runs the commands of containers.
    pub(crate) fn with_programs(
        mut settings: Settings,
        programs: std::sync::Arc<dyn Programs>,
    ) -> Self {
        settings.tokens.extend([
            TokenRule {
                token: "reader".into(),
                user: "reader".into(),
                allow: vec![Rule {
                    verbs: vec!["get".into(), "list".into(), "watch".into()],
                    ..Rule::default()
                }],
                ..TokenRule::default()
            },
            TokenRule {
                token: "old".into(),
                user: "old".into(),
                expired: true,
                ..TokenRule::default()
            },
        ]);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime
            .block_on(Server::with_programs(settings, programs))
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, server.kubeconfig()).unwrap();
        let access = Access::Kubeconfig {
            path,
            context: None,
        };
        let client = runtime.block_on(Client::connect(&access)).unwrap();
        Self {
            server,
            client,
            runtime,
        }
    }

    /// A book with these steps, converged on this cluster.
    pub(crate) fn book(&self, steps: &str) -> BookTest {
        book_with(steps, &self.server.kubeconfig())
    }

    /// The same, only observed.
    pub(crate) fn observed(&self, steps: &str) -> BookTest {
        self.book(steps).mode(Mode::Observe)
    }

    /// The same with another caller's token.
    pub(crate) fn book_as(&self, steps: &str, token: &str) -> BookTest {
        book_with(steps, &self.server.kubeconfig_of("lab", token, token))
    }

    /// Applies as another field manager.
    pub(crate) fn apply_as(&self, manager: &str, manifest: &str) {
        let objects = manifest::parse(manifest).unwrap();
        let options = runbook_k8s::apply::Options {
            manager: manager.into(),
            force: true,
            ..runbook_k8s::apply::Options::default()
        };
        let limit = std::time::Duration::from_secs(30);
        let client = &self.client;
        let work = async {
            let plan = runbook_k8s::apply::Plan::make(client, &objects, &options).await?;
            plan.run(client, limit, |_| {}).await
        };
        self.runtime.block_on(work).unwrap();
    }

    /// An object as it is; none where it is not there.
    pub(crate) fn object(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let work = async {
            let resource = self.client.resource_called(kind, None).await.ok()?;
            let query = Query::one(&resource, Some(namespace), name);
            self.client.get(&query).await.ok()
        };
        self.runtime.block_on(work)
    }

    /// The names of all objects of a kind in a namespace.
    pub(crate) fn names(&self, kind: &str, namespace: &str) -> Vec<String> {
        let work = async {
            let resource = self.client.resource_called(kind, None).await.unwrap();
            self.client
                .list(&Query::all(&resource, Some(namespace)))
                .await
                .unwrap()
        };
        let list = self.runtime.block_on(work);
        list.items.iter().map(|item| Key::of(item).name).collect()
    }

    /// Takes all finalizers from a ConfigMap.
    pub(crate) fn release(&self, name: &str) {
        let query = Query::one(&runbook_k8s::Resource::config_map(), Some("default"), name);
        let body = serde_json::json!({"metadata": {"finalizers": null}});
        let content = runbook_k8s::Content::Merge;
        let patch = runbook_k8s::change::patch(&self.client, &query, content, &body, "x", false);
        self.runtime.block_on(patch).unwrap();
    }

    /// Deletes an object, and does not wait.
    pub(crate) fn delete(&self, kind: &str, namespace: &str, name: &str) {
        let work = async {
            let resource = self.client.resource_called(kind, None).await.unwrap();
            let key = Key::new(&resource.group, &resource.kind, Some(namespace), name);
            let propagation = runbook_k8s::change::Propagation::Background;
            runbook_k8s::change::delete(&self.client, &resource, &key, None, propagation)
                .await
                .unwrap()
        };
        self.runtime.block_on(work);
    }
}

/// A book whose profile has this kubeconfig.
pub(crate) fn book_with(steps: &str, kubeconfig: &str) -> BookTest {
    BookTest::new(steps)
        .home()
        .inventory(
            "profiles:\n  home:\n    clusters: {home: {kubeconfig: kubeconfig}}\nclusters: {home: {}}\n\
             secrets: {word: {file: word}}\nvars: {image: 'nginx:1.27', count: 2}\n",
        )
        .file("kubeconfig", kubeconfig)
        .file("word", "geheimes-wort")
        .mode(Mode::Converge)
}

/// A typed step on the cluster.
pub(crate) fn on(id: &str, rest: &str) -> String {
    step(&format!("id: {id}\non: cluster/home\n{rest}"))
}

/// A `yaml` fence on the cluster.
pub(crate) fn yaml(id: &str, options: &str, body: &str) -> String {
    let options: String = options.lines().map(|line| format!("#| {line}\n")).collect();
    format!(
        "```yaml runbook\n#| id: {id}\n#| on: cluster/home\n{options}{}\n```\n\n",
        body.trim()
    )
}

pub(crate) fn config_map(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{text: {value}}}\n"
    )
}

pub(crate) fn deployment(name: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: 1\n  selector: {{matchLabels: {{app: {name}}}}}\n  \
         template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec: {{containers: [{{name: web, image: 'nginx:1.27'}}]}}\n"
    )
}
