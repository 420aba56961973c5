//! The lab's git: for each world a bare clone of the book's repository, the origin of its scratch directories and what its Flux
//! reads. Made when it is first asked for; nothing is ever pushed to the real one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::action::git::{GitError, Repository, write_settings};
use crate::process::Cancel;

/// How long one of them may take.
const CLONE_DURATION_MAX: Duration = Duration::from_secs(120);
/// Where programs are looked for when the runner's own environment has no `PATH`.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The origins of a run's worlds.
#[derive(Debug)]
pub struct Origins {
    /// The real repository; a folder where it is none.
    repository: PathBuf,
    /// They are made here.
    directory: PathBuf,
    cancel: Cancel,
    made: Mutex<HashMap<u32, Arc<OnceCell<PathBuf>>>>,
}

impl Origins {
    /// Those of a repository, in a directory that somebody else removes; nothing is made yet.
    pub fn new(repository: &Path, directory: &Path, cancel: Cancel) -> Self {
        Self {
            repository: repository.to_owned(),
            directory: directory.to_owned(),
            cancel,
            made: Mutex::default(),
        }
    }

    /// The repository that they are made from.
    pub fn repository(&self) -> &Path {
        &self.repository
    }

    /// Where the origin of a world is, once it is made.
    pub fn path(&self, world: u32) -> PathBuf {
        self.directory.join(format!("origin-{world}.git"))
    }

    /// The origin of a world, made when it is first asked for.
    ///
    /// # Errors
    ///
    /// When `git` is not there or refuses. It is tried anew next time.
    pub async fn get(&self, world: u32) -> Result<PathBuf, GitError> {
        let cell = {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(made.entry(world).or_default())
        };
        let made = cell.get_or_try_init(|| self.make(world)).await?;
        Ok(made.clone())
    }

    async fn make(&self, world: u32) -> Result<PathBuf, GitError> {
        let path = self.path(world);
        let own = self.directory.join(format!("origin-{world}"));
        let (home, work) = (own.join("home"), own.join("work"));
        for folder in [&home, &work] {
            std::fs::create_dir_all(folder)
                .map_err(|error| GitError::system("make", folder, error))?;
        }
        write_settings(&home)?;
        let search = std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into());
        let git = Repository {
            root: work,
            environment: vec![
                ("PATH".into(), search),
                ("HOME".into(), home.into_os_string()),
                ("LANG".into(), "C.UTF-8".into()),
            ],
            deadline: Instant::now() + CLONE_DURATION_MAX,
            cancel: self.cancel.clone(),
        };
        let made = git.make_origin(&self.repository, &path).await;
        // What stays goes with the directory.
        let _ = std::fs::remove_dir_all(&own);
        if made.is_err() {
            let _ = std::fs::remove_dir_all(&path);
        }
        made.map(|()| path)
    }
}

/// The branch that an origin's `HEAD` is on.
pub fn branch(origin: &Path) -> String {
    let head = std::fs::read_to_string(origin.join("HEAD")).unwrap_or_default();
    let branch = head.trim().strip_prefix("ref: refs/heads/");
    branch.unwrap_or("main").to_owned()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn git(folder: &Path, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@b",
                "-c",
                "init.defaultBranch=trunk",
            ])
            .args(arguments)
            .current_dir(folder)
            .output()
            .expect("git");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    #[tokio::test]
    async fn a_world_has_an_origin_with_the_commits_of_the_repository() {
        let folder = tempfile::tempdir().expect("a folder");
        let repository = folder.path().join("book");
        std::fs::create_dir(&repository).expect("a folder");
        git(&repository, &["init", "--quiet"]);
        std::fs::write(repository.join("a"), "1").expect("a file");
        git(&repository, &["add", "a"]);
        git(&repository, &["commit", "--quiet", "-m", "first"]);
        let origins = Origins::new(&repository, folder.path(), Cancel::new());
        let origin = origins.get(3).await.expect("an origin");
        assert_eq!(branch(&origin), "trunk");
        assert_eq!(git(&origin, &["show", "trunk:a"]), "1");
        assert_eq!(origins.get(3).await.expect("the same"), origin);
        assert_ne!(origins.get(4).await.expect("another"), origin);
    }

    #[tokio::test]
    async fn what_was_checked_out_without_a_branch_gets_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let repository = folder.path().join("book");
        std::fs::create_dir(&repository).expect("a folder");
        git(&repository, &["init", "--quiet"]);
        git(
            &repository,
            &["commit", "--quiet", "--allow-empty", "-m", "first"],
        );
        git(&repository, &["checkout", "--quiet", "--detach"]);
        let second = ["commit", "--quiet", "--allow-empty", "-m", "second"];
        git(&repository, &second);
        let origins = Origins::new(&repository, folder.path(), Cancel::new());
        let origin = origins.get(0).await.expect("an origin");
        assert_eq!(branch(&origin), "main");
        let revision = git(&repository, &["rev-parse", "HEAD"]);
        assert_eq!(git(&origin, &["rev-parse", "main"]), revision);
    }

    #[tokio::test]
    async fn a_folder_without_git_is_copied_as_a_first_commit() {
        let folder = tempfile::tempdir().expect("a folder");
        let book = folder.path().join("book");
        std::fs::create_dir(&book).expect("a folder");
        std::fs::write(book.join("a"), "1").expect("a file");
        let origins = Origins::new(&book, folder.path(), Cancel::new());
        let origin = origins.get(0).await.expect("an origin");
        assert_eq!(git(&origin, &["show", "main:a"]), "1");
        assert!(!folder.path().join("origin-0").exists());
    }
}
