//! Desired state of a path in the repository: its content, that it is committed and pushed, its revision.
//!
//! Works by the machine's own `git`, so that the user's configuration, hooks and credentials count. Takes a commit back by
//! another commit; never rewrites what was there.

mod clone;

pub use clone::write_settings;

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use super::{difference, file};
use crate::process::{self, Cancel, Command, End, Limits, Record};

/// A wish for a path of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Relative to the repository's root.
    pub path: String,
    /// Its content.
    pub content: Option<Vec<u8>>,
    /// The message under which it is committed.
    pub commit: Option<String>,
    /// Whether it is pushed.
    pub push: bool,
    /// The revision of the last commit that touched it, or its beginning.
    pub revision: Option<String>,
}

impl Wish {
    /// Whether the path is only looked at.
    pub fn only_looks(&self) -> bool {
        self.content.is_none() && !self.push
    }
}

/// A repository's work tree, and what `git` gets there.
#[derive(Debug, Clone)]
pub struct Repository {
    /// The root of the work tree.
    pub root: PathBuf,
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// By when everything is done.
    pub deadline: Instant,
    /// Who may stop it.
    pub cancel: Cancel,
}

/// What was found, compared with the wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The last commit that touched the path.
    pub revision: Option<String>,
    /// Whether the work tree is as committed.
    pub clean: bool,
    /// How the work tree differs from what is committed.
    pub work: String,
    /// What differs from the wish, for people; `None` when all is as wished.
    pub diff: Option<String>,
    /// What lies there.
    pub found: file::Found,
}

/// What a change has to be taken back from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// The path, relative to the root.
    pub path: String,
    /// What lay there, when its content was changed.
    pub file: Option<file::Former>,
    /// The message of the commit that was made.
    pub committed: Option<String>,
    /// Whether it was pushed.
    pub pushed: bool,
}

/// Why `git` did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// It cannot be run.
    #[error("git cannot be run: {0}")]
    Process(#[from] process::ProcessError),
    /// It refused.
    #[error("`git {command}` failed: {message}")]
    Refused {
        /// Its command.
        command: String,
        /// What it said.
        message: String,
    },
    /// It took too long.
    #[error("`git {command}` was not done in time")]
    TimedOut {
        /// Its command.
        command: String,
    },
    /// The run was stopped.
    #[error("the run was stopped")]
    Stopped,
    /// Not a path of the repository.
    #[error("`{path}` does not lie in the repository")]
    Outside {
        /// As it was written.
        path: String,
    },
    /// The file.
    #[error(transparent)]
    File(#[from] file::FileError),
    /// A revision that cannot be brought about.
    #[error("`{path}` is at revision {is}, not `{wished}`")]
    Revision {
        /// The path.
        path: String,
        /// What it is at.
        is: String,
        /// The wish.
        wished: String,
    },
}

impl GitError {
    /// What the system says of a path.
    pub fn system(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        let path = path.to_owned();
        Self::File(file::FileError::System { what, path, source })
    }
}

impl Repository {
    /// Compares a path with the wish; changes nothing.
    ///
    /// # Errors
    ///
    /// When it is no repository, or the path does not lie in it.
    pub async fn compare(&self, wish: &Wish) -> Result<Comparison, GitError> {
        let path = self.path(&wish.path)?;
        let found = file::look(&path)?;
        let status = self
            .git(&["status", "--porcelain", "--ignored=no", "--", &wish.path])
            .await?;
        let revision = self.revision(&wish.path).await?;
        let clean = status.trim().is_empty();
        let work = if clean || revision.is_none() {
            String::new()
        } else {
            self.git(&["diff", "HEAD", "--", &wish.path]).await?
        };
        let mut lines = Vec::new();
        if let Some(content) = &wish.content {
            let (is, new): (&[u8], _) = match &found {
                file::Found::File(content, _) => (content, false),
                _ => (b"", true),
            };
            if new || is != content {
                lines.push(difference::content(&wish.path, is, content, new));
            }
        }
        let changes = !lines.is_empty();
        if let Some(message) = &wish.commit
            && (changes || !clean)
        {
            lines.push(format!("+ commit: {message}"));
        }
        if wish.push && (!lines.is_empty() || self.unpushed().await? > 0) {
            lines.push("+ push".to_owned());
        }
        if let Some(wished) = &wish.revision
            && !revision
                .as_ref()
                .is_some_and(|revision| revision.starts_with(wished.as_str()))
        {
            lines.push(format!(
                "revision: {} → {wished}",
                revision.as_deref().unwrap_or("none")
            ));
        }
        let diff = (!lines.is_empty()).then(|| lines.join("\n"));
        Ok(Comparison {
            revision,
            clean,
            work,
            diff,
            found,
        })
    }

    /// Makes the path as wished. What was done so far is in `former` also when it fails.
    ///
    /// # Errors
    ///
    /// When the file cannot be written, or `git` refuses.
    pub async fn change(
        &self,
        wish: &Wish,
        found: &Comparison,
        former: &mut Former,
    ) -> Result<(), GitError> {
        if wish.only_looks() && wish.commit.is_none() {
            return self.refuse_revision(wish).await;
        }
        let path = self.path(&wish.path)?;
        if let Some(content) = &wish.content {
            former.file = Some(put(path, content, &found.found).await?);
        }
        if let Some(message) = &wish.commit
            && !self
                .git(&["status", "--porcelain", "--", &wish.path])
                .await?
                .trim()
                .is_empty()
        {
            self.commit(&wish.path, message).await?;
            former.committed = Some(message.clone());
        }
        if wish.push {
            self.push().await?;
            former.pushed = true;
        }
        self.refuse_revision(wish).await
    }

    /// Takes a change back: the former content, in a commit of its own where one was made, pushed where that was.
    ///
    /// # Errors
    ///
    /// When the file cannot be written, or `git` refuses.
    pub async fn restore(&self, former: &Former) -> Result<(), GitError> {
        if let Some(file) = &former.file {
            file::restore(&file::Here, file).await?;
        }
        if let Some(message) = &former.committed {
            self.commit(&former.path, &format!("Revert: {message}"))
                .await?;
        }
        if former.pushed {
            self.push().await?;
        }
        Ok(())
    }

    async fn commit(&self, path: &str, message: &str) -> Result<(), GitError> {
        self.git(&["add", "--all", "--", path]).await?;
        self.git(&["commit", "--quiet", "--message", message, "--", path])
            .await
            .map(drop)
    }

    async fn push(&self) -> Result<(), GitError> {
        let upstream = self
            .git(&["rev-parse", "--abbrev-ref", "@{upstream}"])
            .await
            .is_ok();
        let args: &[&str] = if upstream {
            &["push", "--quiet"]
        } else {
            &["push", "--quiet", "--set-upstream", "origin", "HEAD"]
        };
        self.git(args).await.map(drop)
    }

    /// How many commits the upstream does not have; one where there is no upstream.
    async fn unpushed(&self) -> Result<u32, GitError> {
        match self
            .git(&["rev-list", "--count", "@{upstream}..HEAD"])
            .await
        {
            Ok(count) => Ok(count.trim().parse().unwrap_or(1)),
            Err(GitError::Refused { .. }) => Ok(1),
            Err(error) => Err(error),
        }
    }

    async fn revision(&self, path: &str) -> Result<Option<String>, GitError> {
        match self.git(&["log", "-1", "--format=%H", "--", path]).await {
            Ok(revision) => {
                Ok(Some(revision.trim().to_owned()).filter(|revision| !revision.is_empty()))
            }
            // A repository without commits.
            Err(GitError::Refused { message, .. })
                if message.contains("does not have any commits") =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn refuse_revision(&self, wish: &Wish) -> Result<(), GitError> {
        let Some(wished) = &wish.revision else {
            return Ok(());
        };
        let is = self.revision(&wish.path).await?;
        if is
            .as_ref()
            .is_some_and(|is| is.starts_with(wished.as_str()))
        {
            return Ok(());
        }
        let is = is.unwrap_or_else(|| "none".to_owned());
        Err(GitError::Revision {
            path: wish.path.clone(),
            is,
            wished: wished.clone(),
        })
    }

    fn path(&self, path: &str) -> Result<PathBuf, GitError> {
        let outside = || GitError::Outside {
            path: path.to_owned(),
        };
        let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if path.is_empty() || !Path::new(path).components().all(plain) {
            return Err(outside());
        }
        let full = self.root.join(path);
        let root = self.root.canonicalize().map_err(|_| outside())?;
        // A link may lead out of the repository.
        let existing = full
            .ancestors()
            .find_map(|ancestor| ancestor.canonicalize().ok());
        if existing.is_some_and(|existing| existing.starts_with(root)) {
            Ok(full)
        } else {
            Err(outside())
        }
    }

    /// Runs `git` and returns what it printed.
    ///
    /// # Errors
    ///
    /// When it cannot be run, refuses, or does not end in time.
    pub async fn git(&self, args: &[&str]) -> Result<String, GitError> {
        let mut command = Command::new("git", &self.root);
        command.args = args.iter().map(Into::into).collect();
        command.env.clone_from(&self.environment);
        // Nobody is there to be asked for a password.
        command.env.push(("GIT_TERMINAL_PROMPT".into(), "0".into()));
        let left = self
            .deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        let exit = process::run(
            &command,
            Limits::new(left, self.cancel.clone()),
            Record::default(),
        )
        .await?;
        let name = || args.first().copied().unwrap_or_default().to_owned();
        match exit.end {
            End::Cancelled => Err(GitError::Stopped),
            End::TimedOut => Err(GitError::TimedOut { command: name() }),
            End::Itself if exit.is_success() => Ok(exit.output.stdout.text().into_owned()),
            End::Itself => {
                let said = exit.output.both().text().trim().to_owned();
                Err(GitError::Refused {
                    command: name(),
                    message: said,
                })
            }
        }
    }
}

/// Writes a content; directories that are not there are made.
async fn put(
    path: PathBuf,
    content: &[u8],
    found: &file::Found,
) -> Result<file::Former, file::FileError> {
    let plain = |path: PathBuf, state| file::Wish {
        path,
        state,
        mode: None,
        owner: None,
        group: None,
        backup: false,
    };
    let mut made = None;
    if let Some(parent) = path.parent()
        && !parent.exists()
    {
        let wish = plain(parent.to_owned(), file::State::Directory);
        let changed = file::change(&file::Here, &wish, &file::Found::Absent).await?;
        made = changed.made;
    }
    let wish = plain(path, file::State::Present(Some(content.to_vec())));
    let former = file::change(&file::Here, &wish, found).await?;
    Ok(file::Former { made, ..former })
}

#[cfg(test)]
mod tests;
