//! A kubeconfig as the suite uses it: where the server is, by whom it is trusted, who asks. Knows the few fields that kubeconfigs of tests have.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::client::{Client, Credentials};
use crate::defects::Defect;

/// The server all cases are run on.
#[derive(Clone)]
pub(crate) struct Server {
    /// Who asks, of the kubeconfig's current context: may do everything.
    pub(crate) admin: Client,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) kubectl: Option<PathBuf>,
    /// A second way in by client certificate, from the context `admin-certificate`.
    pub(crate) by_certificate: Option<Client>,
    pub(crate) git: Option<Git>,
    /// Namespaces of cases are not removed.
    pub(crate) keep: bool,
    /// Why no command of a container runs here, where none does.
    pub(crate) without_programs: Option<String>,
    version: String,
    kubelet: String,
}

/// Where a bare repository `NAME.git` must lie so that the cluster reads it at `URL/NAME.git`.
#[derive(Clone)]
pub(crate) struct Git {
    pub(crate) root: PathBuf,
    pub(crate) url: String,
    /// Where files that stand in for charts lie, for a server that renders none (`NAME-VERSION.yaml`).
    pub(crate) charts: Option<PathBuf>,
}

impl Server {
    /// Reads the kubeconfig, and `env` beside it; asks the server what it is.
    pub(crate) async fn open(
        kubeconfig: &Path,
        kubectl: Option<&Path>,
        keep: bool,
    ) -> Result<Self> {
        let kubeconfig = std::path::absolute(kubeconfig)
            .with_context(|| format!("no such place: `{}`", kubeconfig.display()))?;
        let text = std::fs::read_to_string(&kubeconfig)
            .with_context(|| format!("cannot read the kubeconfig `{}`", kubeconfig.display()))?;
        let config: Value = serde_saphyr::from_str(&text)
            .with_context(|| format!("`{}` is not YAML", kubeconfig.display()))?;
        let more = environment(&kubeconfig.with_file_name("env"));
        let current =
            text_of(&config["current-context"]).context("the kubeconfig has no current-context")?;
        let admin = client(&config, &current)?;
        let by_certificate = match named(&config["contexts"], "admin-certificate") {
            Some(_) => Some(client(&config, "admin-certificate")?),
            None => None,
        };
        let version = admin
            .get("/version")
            .await
            .context("the server does not answer")?
            .ok()?;
        let nodes = admin.get("/api/v1/nodes").await?.ok()?;
        let git = match (more.get("GIT_ROOT"), more.get("GIT_URL")) {
            (Some(root), Some(url)) => Some(Git {
                root: root.into(),
                url: url.clone(),
                charts: more.get("CHARTS").map(PathBuf::from),
            }),
            _ => None,
        };
        Ok(Self {
            admin,
            by_certificate,
            kubectl: kubectl
                .map(Path::to_owned)
                .or_else(|| more.get("KUBECTL").map(PathBuf::from)),
            kubeconfig,
            git,
            keep,
            without_programs: None,
            version: text_of(&version["gitVersion"]).unwrap_or_default(),
            kubelet: text_of(&nodes["items"][0]["status"]["nodeInfo"]["kubeletVersion"])
                .unwrap_or_default(),
        })
    }

    /// The same with something wrong, as its clients see it. kubectl sees it as it is.
    pub(crate) fn with(&self, defect: &'static Defect) -> Self {
        Self {
            admin: self.admin.with(defect),
            by_certificate: self.by_certificate.as_ref().map(|one| one.with(defect)),
            ..self.clone()
        }
    }

    /// What the server says it is, for the report.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{} (Kubernetes {}, kubelet {})",
            self.admin.url(),
            self.version,
            self.kubelet
        )
    }

    /// KWOK's version, when that is what plays the kubelet.
    pub(crate) fn kwok(&self) -> Option<&str> {
        self.kubelet.strip_prefix("kwok-")
    }
}

/// `KEY=VALUE` lines; empty where there is no such file.
fn environment(path: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

fn client(config: &Value, context: &str) -> Result<Client> {
    let context = &named(&config["contexts"], context)
        .with_context(|| format!("the kubeconfig has no context `{context}`"))?["context"];
    let find = |list: &str, name: &Value| {
        let name =
            text_of(name).with_context(|| format!("the context names nothing of `{list}`"))?;
        named(&config[list], &name)
            .with_context(|| format!("the kubeconfig has no `{name}` in `{list}`"))
    };
    let cluster = &find("clusters", &context["cluster"])?["cluster"];
    let user = &find("users", &context["user"])?["user"];
    let url = text_of(&cluster["server"]).context("the cluster has no server")?;
    let authority =
        data(cluster, "certificate-authority")?.context("the cluster has no authority")?;
    let credentials = match (
        text_of(&user["token"]),
        data(user, "client-certificate")?,
        data(user, "client-key")?,
    ) {
        (Some(token), _, _) => Credentials::Token(token),
        (None, Some(certificate), Some(key)) => {
            Credentials::Certificate([key, certificate].concat())
        }
        _ => bail!("the user has neither a token nor a client certificate"),
    };
    Client::new(&url, &authority, credentials)
}

/// `NAME-data` decoded, or the file that `NAME` says.
fn data(map: &Value, name: &str) -> Result<Option<Vec<u8>>> {
    if let Some(text) = text_of(&map[format!("{name}-data")]) {
        return Ok(Some(
            STANDARD
                .decode(text)
                .with_context(|| format!("`{name}-data` is not base64"))?,
        ));
    }
    text_of(&map[name])
        .map(|path| std::fs::read(&path).with_context(|| format!("cannot read `{path}`")))
        .transpose()
}

fn named<'a>(list: &'a Value, name: &str) -> Option<&'a Value> {
    list.as_array()?.iter().find(|entry| entry["name"] == name)
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
