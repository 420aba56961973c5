//! A git repository for the cluster to read: a work tree of the case, and the bare one that the server names a place for.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::process::Command;

use crate::server::Git;

const GIT_TIME: Duration = Duration::from_secs(30);

pub(crate) struct Repository {
    work: TempDir,
    bare: PathBuf,
    /// Where the cluster reads it.
    pub(crate) url: String,
}

impl Repository {
    /// Makes an empty repository `NAME.git`; the branch is `main`.
    pub(crate) async fn new(git: &Git, name: &str) -> Result<Self> {
        let bare = git.root.join(format!("{name}.git"));
        let repository = Self {
            work: tempfile::tempdir()?,
            bare,
            url: format!("{}/{name}.git", git.url),
        };
        call(
            &git.root,
            &[
                "init",
                "--quiet",
                "--bare",
                "--initial-branch=main",
                &repository.bare.to_string_lossy(),
            ],
        )
        .await?;
        call(
            repository.work.path(),
            &["init", "--quiet", "--initial-branch=main", "."],
        )
        .await?;
        call(
            repository.work.path(),
            &[
                "remote",
                "add",
                "origin",
                &repository.bare.to_string_lossy(),
            ],
        )
        .await?;
        Ok(repository)
    }

    /// Writes files (path, text), commits and pushes them; gives the commit's id.
    pub(crate) async fn commit(&self, files: &[(&str, &str)]) -> Result<String> {
        for (path, text) in files {
            let path = self.work.path().join(path);
            std::fs::create_dir_all(path.parent().context("a file is in a directory")?)?;
            std::fs::write(path, text)?;
        }
        self.push().await
    }

    /// As `commit`, of a file that is removed.
    pub(crate) async fn remove(&self, path: &str) -> Result<String> {
        std::fs::remove_file(self.work.path().join(path))?;
        self.push().await
    }

    /// Tags the last commit, and pushes the tag.
    pub(crate) async fn tag(&self, name: &str, annotated: bool) -> Result<()> {
        let work = self.work.path();
        let mut arguments = vec![
            "-c",
            "user.name=suite",
            "-c",
            "user.email=suite@example.com",
            "tag",
            name,
        ];
        if annotated {
            arguments.extend(["-a", "-m", "a release"]);
        }
        call(work, &arguments).await?;
        call(work, &["push", "--quiet", "origin", name]).await?;
        Ok(())
    }

    async fn push(&self) -> Result<String> {
        let work = self.work.path();
        call(work, &["add", "--all"]).await?;
        call(
            work,
            &[
                "-c",
                "user.name=suite",
                "-c",
                "user.email=suite@example.com",
                "commit",
                "--quiet",
                "-m",
                "change",
            ],
        )
        .await?;
        call(work, &["push", "--quiet", "origin", "main"]).await?;
        Ok(call(work, &["rev-parse", "HEAD"]).await?.trim().to_owned())
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.bare);
    }
}

async fn call(directory: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command
        .current_dir(directory)
        .args(arguments)
        // Neither the user's configuration nor a repository around the suite has a say.
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env_remove("GIT_DIR")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(GIT_TIME, command.output())
        .await
        .context("git takes too long")??;
    ensure!(
        output.status.success(),
        "git {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
