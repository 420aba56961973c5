//! Clones of the lab: a work tree with an origin of its own, whatever the book's folder is.

use std::path::Path;

use super::{GitError, Repository};

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

/// Writes the settings of a clone of the lab into a home.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_settings(home: &Path) -> Result<(), GitError> {
    let settings = home.join(".gitconfig");
    std::fs::write(&settings, CLONE_SETTINGS)
        .map_err(|error| GitError::system("write", &settings, error))
}

impl Repository {
    /// Makes a bare repository in `origin` of another one; this work tree (an empty directory) is only used on the way. What is
    /// no repository is copied, as the first commit. What was checked out without a branch (in CI) gets one, so that it can be
    /// pushed to.
    ///
    /// # Errors
    ///
    /// When `git` refuses.
    pub async fn make_origin(&self, from: &Path, origin: &Path) -> Result<(), GitError> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let origin = text(origin);
        let bare = ["clone", "--quiet", "--bare", "--"];
        if from.join(".git").exists() {
            self.git(&[&bare[..], &[&text(from), &origin]].concat())
                .await?;
        } else {
            copy(from, &self.root).map_err(|error| GitError::system("copy", from, error))?;
            let message = "copy of the book";
            for arguments in [
                &["init", "--quiet"][..],
                &["add", "--all"],
                &["commit", "--quiet", "--allow-empty", "--message", message],
                &[&bare[..], &[".", &origin]].concat(),
            ] {
                self.git(arguments).await?;
            }
        }
        let there = ["-C", &origin];
        let head = [&there[..], &["symbolic-ref", "--quiet", "HEAD"]].concat();
        if self.git(&head).await.is_err() {
            for arguments in [
                ["update-ref", "refs/heads/main", "HEAD"],
                ["symbolic-ref", "HEAD", "refs/heads/main"],
            ] {
                self.git(&[&there[..], &arguments].concat()).await?;
            }
        }
        Ok(())
    }

    /// Makes this work tree (an empty directory) a clone of a bare repository.
    ///
    /// # Errors
    ///
    /// When `git` refuses.
    pub async fn clone_of(&self, origin: &Path, home: &Path) -> Result<(), GitError> {
        write_settings(home)?;
        let origin = origin.to_string_lossy();
        self.git(&["clone", "--quiet", "--", &origin, "."])
            .await
            .map(drop)
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
