//! Where a cluster is and how one gets in: a kubeconfig or the pod's own account, made into a connection of `kube`.
//!
//! kubeconfigs are read by `kube`: certificates, tokens, token files, exec plugins, identity providers, proxies. A kubeconfig that
//! trusts every certificate is refused: there is no switch for that.

use std::path::PathBuf;
use std::time::Duration;

use kube::Config;
use kube::client::{AuthError, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

use crate::error::Error;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the credentials may take: an exec plugin may ask another server.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(60);
/// How much of what an exec plugin said is told, in characters.
const SAID_CHARS: usize = 300;

/// Where a cluster is and how one gets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// A context of a kubeconfig file; without a name its current one. Relative paths in it are relative to it.
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The context.
        context: Option<String>,
    },
    /// The account of the pod this runs in.
    InCluster,
}

/// What `kube` made of it.
pub(crate) struct Connection {
    pub(crate) client: kube::Client,
    pub(crate) url: String,
    pub(crate) namespace: String,
}

/// Makes the connection; nothing is sent to the cluster yet.
pub(crate) async fn open(access: &Access) -> Result<Connection, Error> {
    let access = access.clone();
    let runtime = tokio::runtime::Handle::current();
    // Exec plugins and files block.
    let opened = tokio::task::spawn_blocking(move || runtime.block_on(build(&access)));
    match tokio::time::timeout(CREDENTIALS_TIMEOUT, opened).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => Err(Error::Credentials(error.to_string())),
        Err(_) => Err(Error::Credentials(format!(
            "nothing came within {} s",
            CREDENTIALS_TIMEOUT.as_secs()
        ))),
    }
}

async fn build(access: &Access) -> Result<Connection, Error> {
    let mut config = match access {
        Access::InCluster => Config::incluster().map_err(|error| Error::Setting(chain(&error)))?,
        Access::Kubeconfig { path, context } => kubeconfig(path.clone(), context.clone()).await?,
    };
    let url = config.cluster_url.to_string();
    let host = config.cluster_url.host().unwrap_or_default();
    let is_here = matches!(host, "127.0.0.1" | "localhost" | "[::1]" | "::1");
    if config.cluster_url.scheme_str() != Some("https") && !is_here {
        return Err(Error::Setting(format!("`{url}` is not `https`")));
    }
    if config.accept_invalid_certs {
        return Err(Error::Setting(format!(
            "`insecure-skip-tls-verify` is set for `{url}`: give `certificate-authority` or `certificate-authority-data` instead"
        )));
    }
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // What may be sent again is known here better than there.
    config.default_retry = false;
    let namespace = config.default_namespace.clone();
    let builder = ClientBuilder::try_from(config).map_err(|error| match &error {
        kube::Error::Auth(error) => Error::Credentials(credentials_text(error)),
        _ => Error::Setting(chain(&error)),
    })?;
    Ok(Connection {
        client: builder.build(),
        url: url.trim_end_matches('/').to_owned(),
        namespace,
    })
}

async fn kubeconfig(path: PathBuf, context: Option<String>) -> Result<Config, Error> {
    let shown = path.display().to_string();
    let setting = |error: KubeconfigError| {
        Error::Setting(format!("kubeconfig `{shown}`: {}", kubeconfig_text(&error)))
    };
    let file = Kubeconfig::read_from(&path).map_err(setting)?;
    let named = context.as_ref().or(file.current_context.as_ref());
    let Some(named) = named.filter(|name| !name.is_empty()).cloned() else {
        return Err(Error::Setting(format!(
            "kubeconfig `{shown}` has no current context: name one"
        )));
    };
    if !file.contexts.iter().any(|context| context.name == named) {
        let names: Vec<_> = file
            .contexts
            .iter()
            .map(|context| format!("`{}`", context.name))
            .collect();
        return Err(Error::Setting(format!(
            "kubeconfig `{shown}` has no context `{named}`: it has {}",
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        )));
    }
    let options = KubeConfigOptions {
        context: Some(named),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(file, &options).await;
    config.map_err(setting)
}

/// What is wrong with a kubeconfig. A parser's words quote the text, where tokens and keys stand: only its place is told.
fn kubeconfig_text(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(error, _) => error.to_string(),
        KubeconfigError::Parse(error) => {
            format!("it is no valid kubeconfig{}", place(&error.to_string()))
        }
        error => chain(error),
    }
}

/// Why there are no credentials. What a plugin printed and how it was called may hold them: only what it said on standard error
/// is told.
pub(crate) fn credentials_text(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => {
            let said = String::from_utf8_lossy(&out.stderr);
            let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
            let said: String = last.unwrap_or_default().chars().take(SAID_CHARS).collect();
            let colon = if said.is_empty() { "" } else { ": " };
            format!("the exec plugin ended with {}{colon}{said}", out.status)
        }
        AuthError::AuthExecParse(error) => format!(
            "what the exec plugin printed is no ExecCredential{}",
            place(&error.to_string())
        ),
        error => chain(error),
    }
}

/// Where a parser of YAML found something wrong, out of its words.
fn place(said: &str) -> String {
    let number = |word: &str| {
        let after = said.split_once(word)?.1;
        let end = after.find(|c: char| !c.is_ascii_digit());
        after[..end.unwrap_or(after.len())].parse::<usize>().ok()
    };
    match (number("line "), number("column ")) {
        (Some(line), Some(column)) => format!(": line {line}, column {column}"),
        _ => String::new(),
    }
}

/// An error with what caused it, each text once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}
