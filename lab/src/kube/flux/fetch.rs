//! Fetching: what a source shows is read outside the state's lock, since it asks a program and reads files.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use super::chart::Found;
use super::git::{self, Failure};
use super::oci::Pull;
use super::source;
use super::tree::{Tree, sha256};
use crate::kube::settings::FluxSettings;
use crate::kube::state::Cluster;
use crate::kube::store::Key;

/// A source to be fetched.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(super) table: String,
    pub(super) key: Key,
    pub(super) uid: String,
    pub(super) generation: Value,
    pub(super) from: From,
}

/// Where from.
#[derive(Debug)]
pub(super) enum From {
    /// A git repository, or a directory that counts as its branch `main` or `master`.
    Git {
        url: String,
        path: PathBuf,
        reference: Value,
        ignore: Option<String>,
    },
    /// All files of a directory, under a tag.
    Directory {
        path: PathBuf,
        tag: String,
        ignore: Option<String>,
    },
    /// An artifact of a registry.
    Registry(Box<Pull>),
    /// The file that stands in for a chart of a registry.
    Chart(Found),
    /// The names of the charts in a directory.
    Charts(PathBuf),
}

/// What was fetched.
#[derive(Clone, Debug)]
pub(crate) struct Artifact {
    pub(super) revision: String,
    /// What its file would be called: the commit, or the digest.
    pub(super) file: String,
    /// The title of the commit, where there is one.
    pub(super) title: String,
    /// What its maker noted on it.
    pub(super) metadata: Value,
    /// The chart it is, where a file stands in for one: then there is nothing in it.
    pub(super) chart: Option<Found>,
    pub(super) tree: Arc<Tree>,
}

impl Artifact {
    /// Files under a revision.
    pub(super) fn new(revision: String, file: String, tree: Tree) -> Self {
        Self {
            revision,
            file,
            title: String::new(),
            metadata: Value::Null,
            chart: None,
            tree: Arc::new(tree),
        }
    }
}

/// A reason, and what is to be said.
pub(super) type Refused = (&'static str, String);

/// Where a URL leads on this machine, if anywhere.
pub(super) fn place(flux: &FluxSettings, url: &str) -> Option<PathBuf> {
    named(flux, url).or_else(|| (!flux.root.as_os_str().is_empty()).then(|| flux.root.clone()))
}

/// The place that is named for a URL.
pub(super) fn named(flux: &FluxSettings, url: &str) -> Option<PathBuf> {
    let below = |prefix: &str| {
        let rest = url.strip_prefix(prefix)?;
        let plain =
            !rest.is_empty() && rest.split('/').all(|part| !matches!(part, "" | "." | ".."));
        plain.then_some(rest)
    };
    if let Some(path) = flux.repositories.get(url) {
        return Some(path.clone());
    }
    flux.repositories
        .iter()
        .filter(|(prefix, _)| prefix.ends_with('/'))
        .filter_map(|(prefix, path)| Some((prefix.len(), path.join(below(prefix)?))))
        .max_by_key(|(length, _)| *length)
        .map(|(_, path)| path)
}

/// Fetches, and writes what came of it.
pub(crate) fn run(cluster: &Arc<Cluster>, fetch: Fetch, mut stopped: watch::Receiver<bool>) {
    let cluster = cluster.clone();
    tokio::spawn(async move {
        let outcome = tokio::select! {
            outcome = read(&fetch.from) => outcome,
            _ = stopped.changed() => return,
        };
        source::fetched(&mut cluster.lock(), &fetch, outcome);
    });
}

async fn read(from: &From) -> Result<Artifact, Refused> {
    match from {
        From::Git {
            url,
            path,
            reference,
            ignore,
        } => read_git(url, path, reference, ignore.as_deref()).await,
        From::Registry(pull) => pull.run().await,
        From::Chart(found) => {
            let failed = |error: std::io::Error| ("OCIArtifactPullFailed", error.to_string());
            let content = tokio::fs::read(&found.file).await.map_err(failed)?;
            let digest = sha256(&content);
            let revision = format!("{}@{digest}", found.version);
            let mut artifact = Artifact::new(revision, digest, Tree::default());
            artifact.chart = Some(found.clone());
            Ok(artifact)
        }
        From::Directory { path, tag, ignore } => {
            let tree = directory(path)
                .await
                .map_err(|text| ("OCIArtifactPullFailed", text))?
                .without_ignored(ignore.as_deref());
            let digest = format!("sha256:{}", tree.digest());
            Ok(Artifact::new(format!("{tag}@{digest}"), digest, tree))
        }
        From::Charts(path) => {
            let tree = directory(path).await.map_err(|text| ("FetchError", text))?;
            let digest = tree.digest();
            Ok(Artifact::new(format!("sha256:{digest}"), digest, tree))
        }
    }
}

async fn directory(path: &std::path::Path) -> Result<Tree, String> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || Tree::of_directory(&path))
        .await
        .map_err(|error| error.to_string())?
}

async fn read_git(
    url: &str,
    path: &std::path::Path,
    reference: &Value,
    ignore: Option<&str>,
) -> Result<Artifact, Refused> {
    let failed = |text: String| {
        (
            "GitOperationFailed",
            format!("failed to checkout and determine revision: {text}"),
        )
    };
    if path.as_os_str().is_empty() || !path.is_dir() {
        // The blank at the end is the controller's.
        return Err(failed(format!(
            "unable to clone '{url}': repository not found: "
        )));
    }
    if git::is_repository(path) {
        return match git::checkout(url, path, reference).await {
            Ok(found) => Ok(Artifact {
                title: found.title,
                ..Artifact::new(
                    found.revision,
                    found.commit,
                    found.tree.without_ignored(ignore),
                )
            }),
            Err(Failure::Operation(text)) => Err(failed(text)),
            Err(Failure::Empty) => {
                Err(("EmptyGitRepository", "git repository is empty".to_owned()))
            }
        };
    }
    let text = |key: &str| reference[key].as_str().unwrap_or_default();
    let branch = match text("branch") {
        "" => "master",
        branch => branch,
    };
    let other = ["commit", "name", "semver", "tag"]
        .iter()
        .find(|key| !text(key).is_empty());
    if let Some(key) = other {
        return Err(failed(format!(
            "unable to clone '{url}': a plain directory stands for it, which has no {key} `{}`",
            text(key)
        )));
    }
    if !matches!(branch, "main" | "master") {
        return Err(failed(format!(
            "unable to clone '{url}': couldn't find remote ref \"refs/heads/{branch}\""
        )));
    }
    let tree = directory(path).await.map_err(failed)?;
    let commit: String = tree.digest().chars().take(40).collect();
    Ok(Artifact::new(
        format!("{branch}@sha1:{commit}"),
        commit,
        tree.without_ignored(ignore),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_leads_to_the_longest_place_that_is_named_for_it() {
        let mut flux = FluxSettings::default();
        assert_eq!(place(&flux, "http://git.lab/book.git"), None);
        for (url, path) in [
            ("http://git.lab/", "/all"),
            ("http://git.lab/team/", "/team"),
            ("http://git.lab/book.git", "/book"),
        ] {
            flux.repositories.insert(url.into(), path.into());
        }
        for (url, path) in [
            ("http://git.lab/book.git", Some("/book")),
            ("http://git.lab/other.git", Some("/all/other.git")),
            ("http://git.lab/team/a/b.git", Some("/team/a/b.git")),
            ("http://git.lab/../etc", None),
            ("http://elsewhere/x.git", None),
        ] {
            assert_eq!(place(&flux, url), path.map(PathBuf::from), "{url}");
        }
        flux.root = "/root-of-the-book".into();
        assert_eq!(
            place(&flux, "https://github.com/me/home"),
            Some("/root-of-the-book".into())
        );
    }
}
