//! The place of what runs on `local`: where it starts, what its environment is, and what the lab keeps from it.
//!
//! On a real profile scripts start in the repository's root. In the lab each guide has a scratch directory with a home of its
//! own, removed when the run ends, and is kept from the real homelab: no agent, no configuration of the user's, `ssh`, `scp`
//! `kubectl`, `flux` and `helm` that know the lab only. Runs nothing itself.

pub mod ask;
mod foreign;
mod hidden;
mod kubeconfig;
pub mod kubectl;
mod role;
mod shims;
pub mod ssh;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

pub use foreign::Foreign;
use runbook::model::Book;

use crate::process::Through;
use crate::request::{RunError, RunRequest};
use crate::scratch::Scratch;
use crate::world::domains::{domains, given};

/// Where programs are looked for when the runner's own environment has no `PATH`.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The local places of a run.
pub struct Locals {
    /// Everything that this run makes; removed with it.
    scratch: Scratch,
    lab: bool,
    repository: PathBuf,
    root: PathBuf,
    /// `LANG`, `TERM`, `RUNBOOK_BOOK`, `RUNBOOK_RUN`, `KUBECONFIG`.
    environment: Vec<(OsString, OsString)>,
    /// Where programs are looked for.
    path: OsString,
    /// Answers the lab's `ssh` and `kubectl`.
    answers: Mutex<Option<ask::Answers>>,
    home: OsString,
    /// What a script of the lab must not name.
    pub foreign: Foreign,
    /// What the lab's scripts are started through.
    through: LazyLock<Through>,
    places: Mutex<HashMap<usize, Arc<Place>>>,
}

/// Where the local steps of a guide run.
#[derive(Debug)]
pub struct Place {
    /// The directory in which scripts start and to which paths are relative.
    pub directory: PathBuf,
    /// The environment of every script.
    pub environment: Vec<(OsString, OsString)>,
    /// What scripts are started through: in the lab, where it is possible, what hides the user's keys and clusters.
    pub through: Through,
    /// In the lab: changes are made below this directory only; it holds the place of the scripts and their home.
    pub scratch: Option<PathBuf>,
}

impl Locals {
    /// Prepares the local places of a run.
    ///
    /// # Errors
    ///
    /// When the directory for temporary files cannot be written.
    pub fn new(book: &Book, request: &RunRequest) -> Result<Self, RunError> {
        let parent = std::env::temp_dir();
        let failed = |error: io::Error| RunError::Scratch {
            path: parent.display().to_string(),
            why: error.to_string(),
        };
        let scratch = Scratch::new().map_err(failed)?;
        let kubeconfig = kubeconfig::write(scratch.path(), book, request).map_err(failed)?;
        let environment = vec![
            ("LANG".into(), "C.UTF-8".into()),
            ("TERM".into(), "dumb".into()),
            ("RUNBOOK_BOOK".into(), request.root.clone().into_os_string()),
            ("RUNBOOK_RUN".into(), request.run.clone().into()),
            ("KUBECONFIG".into(), kubeconfig),
        ];
        Ok(Self {
            path: std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into()),
            answers: Mutex::default(),
            scratch,
            lab: request.is_lab(),
            repository: request.repository.clone(),
            root: request.root.clone(),
            environment,
            home: std::env::home_dir()
                .unwrap_or_else(|| PathBuf::from("/"))
                .into_os_string(),
            foreign: if request.is_lab() {
                Foreign::of(book, domains(book, given(&request.vars)))
            } else {
                Foreign::default()
            },
            through: LazyLock::new(hidden::through),
            places: Mutex::default(),
        })
    }

    /// Lets the scripts of the lab find its machines by `ssh` and its clusters by `kubectl`: the first one that uses it asks for its
    /// world.
    ///
    /// # Errors
    ///
    /// When there can be no socket.
    pub fn answer(&self, find: ask::Find) -> io::Result<()> {
        let answers = ask::answer(&self.socket(), find)?;
        let mut known = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(answers);
        Ok(())
    }

    /// Where the lab's `ssh` and `kubectl` ask.
    fn socket(&self) -> PathBuf {
        self.scratch.path().join("lab.sock")
    }

    /// The kubeconfig of a world of the lab: it names no cluster until they are started.
    pub fn lab_kubeconfig(&self, world: u32) -> PathBuf {
        Self::kubeconfig_in(self.scratch.path(), world)
    }

    /// The same, in the directory of a run.
    pub fn kubeconfig_in(directory: &Path, world: u32) -> PathBuf {
        directory.join(format!("kubeconfig-{world}"))
    }

    /// The book's root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What this run makes lies here, and is removed with it.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The repository, the real one.
    pub fn repository(&self) -> &Path {
        &self.repository
    }

    /// The place of a guide's local steps, made when it is first asked for.
    ///
    /// # Errors
    ///
    /// When the scratch directory cannot be made.
    pub fn place(&self, guide: usize, world: u32) -> io::Result<Arc<Place>> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(&guide) {
            return Ok(Arc::clone(place));
        }
        let place = if self.lab {
            self.scratch_place(guide, world)?
        } else {
            self.real_place()
        };
        let place = Arc::new(place);
        places.insert(guide, Arc::clone(&place));
        Ok(place)
    }

    fn real_place(&self) -> Place {
        let directory = self.repository.clone();
        Place {
            directory,
            environment: self.environment(self.path.clone(), self.home.clone()),
            through: Through::default(),
            scratch: None,
        }
    }

    fn scratch_place(&self, guide: usize, world: u32) -> io::Result<Place> {
        let own = self.scratch.path().join(format!("guide-{guide}"));
        let (home, directory) = (own.join("home"), own.join("work"));
        fs::create_dir_all(&home)?;
        fs::create_dir_all(&directory)?;
        // Compared with paths that were followed to their end.
        let directory = directory.canonicalize()?;
        let programs = self.scratch.path().join(format!("bin-{world}"));
        if !programs.exists() {
            shims::write(&programs, &self.path, &self.socket(), world)?;
        }
        let kubeconfig = self.lab_kubeconfig(world);
        if !kubeconfig.exists() {
            kubeconfig::write_empty(&kubeconfig)?;
        }
        let mut path = programs.into_os_string();
        path.push(":");
        path.push(&self.path);
        let mut environment = self.environment(path, home.into_os_string());
        for (name, value) in &mut environment {
            if name == "KUBECONFIG" {
                *value = kubeconfig.clone().into_os_string();
            }
        }
        Ok(Place {
            // The home is the guide's own too.
            scratch: Some(own.canonicalize()?),
            directory,
            environment,
            through: self.through.clone(),
        })
    }

    fn environment(&self, path: OsString, home: OsString) -> Vec<(OsString, OsString)> {
        let mut environment = self.environment.clone();
        environment.push(("PATH".into(), path));
        environment.push(("HOME".into(), home));
        environment
    }

    /// Forgets a guide's place when the guide has ended, and removes what it made.
    pub fn leave(&self, guide: usize) {
        let place = self
            .places
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&guide);
        if place.is_some_and(|place| place.scratch.is_some()) {
            // What is left here goes with the whole directory at the end of the run.
            let _ = fs::remove_dir_all(self.scratch.path().join(format!("guide-{guide}")));
        }
    }
}

impl Place {
    /// A path of a step: relative to where scripts start.
    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// The environment of `git` when it is run for a step and not by a script: on a real profile the user's own, so that
    /// credentials and agents work.
    pub fn git_environment(&self) -> Vec<(OsString, OsString)> {
        if self.scratch.is_some() {
            return self.environment.clone();
        }
        std::env::vars_os()
            .filter(|(name, _)| !name.as_encoded_bytes().starts_with(b"GIT_"))
            .collect()
    }

    /// Whether a change of a path stays below the scratch directory, links followed; always on a real profile.
    pub fn may_change(&self, path: &Path) -> bool {
        let Some(scratch) = &self.scratch else {
            return true;
        };
        followed(path).is_some_and(|path| path.starts_with(scratch))
    }
}

/// The path with its links followed, as far as it exists; `None` where what does not exist has a `..` in it.
fn followed(path: &Path) -> Option<PathBuf> {
    for ancestor in path.ancestors() {
        match ancestor.canonicalize() {
            Ok(real) => {
                let rest = path.strip_prefix(ancestor).ok()?;
                let plain = rest
                    .components()
                    .all(|part| matches!(part, Component::Normal(_)));
                return plain.then(|| real.join(rest));
            }
            // A link to nowhere would be followed by who writes to it.
            Err(_) if ancestor.is_symlink() => return None,
            Err(_) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(scratch: &Path) -> Place {
        let scratch = scratch.canonicalize().unwrap();
        Place {
            directory: scratch.clone(),
            environment: Vec::new(),
            through: Through::default(),
            scratch: Some(scratch),
        }
    }

    #[test]
    fn only_what_lies_below_the_scratch_directory_may_change() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(directory.path());
        std::os::unix::fs::symlink("/etc", directory.path().join("out")).unwrap();
        std::os::unix::fs::symlink("/nowhere/x", directory.path().join("dangling")).unwrap();
        for (path, may) in [
            ("a", true),
            ("a/b/c", true),
            ("./a", true),
            ("/etc/hosts", false),
            ("../a", false),
            ("out/hosts", false),
            ("dangling", false),
            ("none/../../a", false),
        ] {
            assert_eq!(place.may_change(&place.path(path)), may, "{path}");
        }
    }
}
