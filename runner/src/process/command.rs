//! What to run: a program with its arguments, its directory and its whole environment.
//!
//! A program is looked up here and not by the system, so that `posix_spawn` can be used, which is twice as fast as `fork`.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{Access, access};

use super::through::Through;
use crate::scratch::Scratch;

/// The longest script that is passed as an argument; Linux takes 128 KiB with the closing zero byte (`MAX_ARG_STRLEN`).
pub const SCRIPT_ARGUMENT_BYTES_MAX: usize = 128 * 1024 - 1;
/// How many programs' places are remembered.
const PROGRAMS_MAX: usize = 64;
/// Where programs are looked for when the environment has no `PATH`.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// What a program reads on its standard input.
#[derive(Clone, Default)]
pub enum Input {
    /// Nothing: it is closed.
    #[default]
    Closed,
    /// These bytes; then it stays open as long as the program may run, so that its end tells the program to end.
    Held {
        /// What is written.
        bytes: Arc<[u8]>,
        /// How long the program may take to end by itself once its input has ended, before its tree is ended.
        farewell: Duration,
    },
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("Closed"),
            // What is written may be a secret.
            Self::Held { bytes, .. } => write!(f, "Held({} bytes)", bytes.len()),
        }
    }
}

/// A program with its arguments, its directory, its whole environment and its input.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// A path, or a name that is looked for in the `PATH` of `env`.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// A script that is passed after the arguments.
    pub script: Option<Script>,
    /// The directory in which it starts.
    pub cwd: PathBuf,
    /// The whole environment; nothing of the runner's own is added.
    pub env: Vec<(OsString, OsString)>,
    /// What it is started through.
    pub through: Through,
    /// What it reads.
    pub input: Input,
}

/// A script: passed as two arguments, or as one, the path of a file, when it is longer than the system takes.
#[derive(Debug, Clone)]
pub struct Script {
    /// What says that a script follows: `-c`.
    pub flag: &'static str,
    /// The script.
    pub text: String,
}

impl Command {
    /// A program that starts in a directory, with an empty environment.
    pub fn new(program: impl Into<OsString>, cwd: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            cwd: cwd.into(),
            ..Self::default()
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds a variable to the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Passes a script after the arguments, as `-c SCRIPT`.
    #[must_use]
    pub fn script(mut self, text: impl Into<String>) -> Self {
        self.script = Some(Script {
            flag: "-c",
            text: text.into(),
        });
        self
    }

    /// Makes the command that is spawned, and what must live as long as its child.
    pub(super) fn prepare(
        &self,
    ) -> Result<(tokio::process::Command, Option<Scratch>), ProcessError> {
        let place = self.locate()?;
        let before: &[OsString] = match &self.through {
            Through::Program(before) => before,
            Through::Nothing | Through::Thread(_) => &[],
        };
        let mut command = match before.split_first() {
            None => std::process::Command::new(place),
            Some((program, arguments)) => {
                let mut command = std::process::Command::new(program);
                command.args(arguments).arg(place);
                command
            }
        };
        command.args(&self.args).current_dir(&self.cwd).env_clear();
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let mut file = None;
        if let Some(script) = &self.script {
            if script.text.contains('\0') {
                return Err(ProcessError::ZeroByte);
            }
            if script.text.len() <= SCRIPT_ARGUMENT_BYTES_MAX {
                command.arg(script.flag).arg(&script.text);
            } else {
                // A directory of its own: python puts the directory of its script first into its path of modules.
                let directory = Scratch::new().map_err(ProcessError::ScriptFile)?;
                let path = directory.path().join("script");
                fs::write(&path, &script.text).map_err(ProcessError::ScriptFile)?;
                command.arg(path);
                file = Some(directory);
            }
        }
        command
            .stdin(match self.input {
                Input::Closed => Stdio::null(),
                Input::Held { .. } => Stdio::piped(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Ok((tokio::process::Command::from(command), file))
    }

    /// Says what a failed start means.
    pub(super) fn explain(&self, error: io::Error) -> ProcessError {
        if !self.cwd.is_dir() {
            return ProcessError::Directory {
                path: self.cwd.clone(),
                source: error,
            };
        }
        match error.kind() {
            io::ErrorKind::NotFound => ProcessError::NotFound {
                program: self.program_text(),
            },
            io::ErrorKind::PermissionDenied => ProcessError::NotExecutable {
                program: self.program_text(),
                source: error,
            },
            io::ErrorKind::ArgumentListTooLong => ProcessError::TooLong,
            io::ErrorKind::InvalidInput => ProcessError::ZeroByte,
            _ => ProcessError::Start {
                program: self.program_text(),
                source: error,
            },
        }
    }

    fn program_text(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    fn locate(&self) -> Result<PathBuf, ProcessError> {
        let name = Path::new(&self.program);
        if self.program.as_encoded_bytes().contains(&b'/') {
            return Ok(self.cwd.join(name));
        }
        let path = self
            .env
            .iter()
            .rev()
            .find(|(name, _)| name == "PATH")
            .map_or(OsStr::new(PATH_DEFAULT), |(_, path)| path);
        let key = (self.program.clone(), path.to_owned());
        let known = programs().get(&key).cloned();
        if let Some(known) = known.filter(|known| access(known, Access::EXEC_OK).is_ok()) {
            return Ok(known);
        }
        for directory in std::env::split_paths(path) {
            let candidate = self.cwd.join(&directory).join(name);
            if candidate.is_file() && access(&candidate, Access::EXEC_OK).is_ok() {
                // What a relative entry means depends on the directory: not remembered.
                if directory.is_absolute() {
                    remember(key, candidate.clone());
                }
                return Ok(candidate);
            }
        }
        Err(ProcessError::NotFound {
            program: self.program_text(),
        })
    }
}

type Programs = HashMap<(OsString, OsString), PathBuf>;

static PROGRAMS: LazyLock<Mutex<Programs>> = LazyLock::new(Mutex::default);

fn programs() -> std::sync::MutexGuard<'static, Programs> {
    PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remember(key: (OsString, OsString), place: PathBuf) {
    let mut programs = programs();
    if programs.len() >= PROGRAMS_MAX {
        programs.clear();
    }
    programs.insert(key, place);
}

/// Why a child could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// No such program.
    #[error("`{program}` is not installed")]
    NotFound {
        /// As it was asked for.
        program: String,
    },
    /// The program must not be executed.
    #[error("`{program}` cannot be executed")]
    NotExecutable {
        /// As it was asked for.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// The directory to start in is none.
    #[error("directory `{}` cannot be entered", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Arguments and environment together are longer than the system takes.
    #[error("arguments and environment are longer than the system takes")]
    TooLong,
    /// A zero byte in a script, an argument or the environment.
    #[error("a zero byte in the script, an argument or the environment")]
    ZeroByte,
    /// A long script could not be written to a file.
    #[error("script cannot be written to a temporary file")]
    ScriptFile(#[source] io::Error),
    /// The system refused to start it.
    #[error("`{program}` cannot be started")]
    Start {
        /// As it was asked for.
        program: String,
        /// What the system says.
        source: io::Error,
    },
}
