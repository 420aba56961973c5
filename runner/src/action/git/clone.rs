//! Clones of the lab: a work tree with an origin of its own, whatever the book's folder is.

use std::path::Path;

use super::{GitError, Repository};
use crate::action::file;

/// The user's settings in a clone of the lab.
const CLONE_SETTINGS: &str = "\
[user]
\tname = runbook
\temail = runbook@localhost
[init]
\tdefaultBranch = main
[safe]
\tdirectory = *
[commit]
\tgpgSign = false
";
/// The most that is copied of a folder that is no repository.
const COPY_BYTES_MAX: u64 = 256 << 20;

impl Repository {
    /// Makes this work tree (an empty directory) a clone of another repository, with an origin of its own in `origin`. What
    /// is no repository is copied, as its first commit.
    ///
    /// # Errors
    ///
    /// When `git` refuses.
    pub async fn clone_of(&self, from: &Path, origin: &Path, home: &Path) -> Result<(), GitError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| GitError::File(file::FileError::System { what, path, source })
        };
        let settings = home.join(".gitconfig");
        std::fs::write(&settings, CLONE_SETTINGS).map_err(failed("write", &settings))?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        if !origin.exists() {
            if from.join(".git").exists() {
                self.git(&[
                    "clone",
                    "--quiet",
                    "--bare",
                    "--",
                    &text(from),
                    &text(origin),
                ])
                .await?;
            } else {
                copy(from, &self.root).map_err(failed("copy", from))?;
                self.git(&["init", "--quiet"]).await?;
                self.git(&["add", "--all"]).await?;
                self.git(&[
                    "commit",
                    "--quiet",
                    "--allow-empty",
                    "--message",
                    "copy of the book",
                ])
                .await?;
                self.git(&["clone", "--quiet", "--bare", "--", ".", &text(origin)])
                    .await?;
                self.git(&["remote", "add", "origin", &text(origin)])
                    .await?;
                return self
                    .git(&["push", "--quiet", "--set-upstream", "origin", "HEAD"])
                    .await
                    .map(drop);
            }
        }
        self.git(&["clone", "--quiet", "--", &text(origin), "."])
            .await?;
        // What was checked out without a branch (in CI) gets one, so that it can be pushed.
        if self
            .git(&["symbolic-ref", "--quiet", "HEAD"])
            .await
            .is_err()
        {
            self.git(&["checkout", "--quiet", "-B", "main"]).await?;
            self.git(&["push", "--quiet", "--set-upstream", "origin", "main"])
                .await?;
        }
        Ok(())
    }
}

/// Copies a folder but for what runs leave in it; links are left out.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut left = COPY_BYTES_MAX;
    let mut folders = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = folders.pop() {
        std::fs::create_dir_all(&to)?;
        for entry in std::fs::read_dir(&from)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() && entry.file_name() != ".runbook" && entry.file_name() != "target" {
                folders.push((entry.path(), to.join(entry.file_name())));
            } else if kind.is_file() {
                let bytes = entry.metadata()?.len();
                left = left.checked_sub(bytes).ok_or_else(|| {
                    std::io::Error::other(format!("it has more than {} MiB", COPY_BYTES_MAX >> 20))
                })?;
                std::fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
    }
    Ok(())
}
