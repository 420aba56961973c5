//! Resolves secrets from the environment, a file or a command, and teaches each to the redaction before anybody sees it.
//!
//! A value is asked for once a run, when the first step that may see it runs. In the lab a secret that does not resolve is the
//! text `lab-NAME`, elsewhere the step has failed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use runbook::inventory::{Inventory, Secret};
use tokio::sync::OnceCell;

use crate::process::{self, Cancel, Command, End, Limits, Record};
use crate::redact::Redactor;

/// How long a command may take to give its secret.
pub const SECRET_COMMAND_DURATION_MAX: Duration = Duration::from_secs(60);
/// The longest secret.
pub const SECRET_BYTES_MAX: usize = 1 << 20;

/// Why a secret has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("secret `{name}` has no value: {why}")]
pub struct SecretError {
    /// Its name.
    pub name: String,
    /// A fragment that never holds a value.
    pub why: String,
    /// Whether the run was stopped meanwhile.
    pub stopped: bool,
}

/// The secrets of a run.
pub struct Secrets {
    sources: Vec<(String, Secret)>,
    /// Where relative files lie: the inventory's folder.
    folder: PathBuf,
    repository: PathBuf,
    lab: bool,
    redactor: Redactor,
    values: Mutex<HashMap<String, Arc<OnceCell<Arc<str>>>>>,
}

impl Secrets {
    /// The secrets that an inventory names; `folder` is where it lies.
    pub fn new(
        inventory: &Inventory,
        folder: PathBuf,
        repository: PathBuf,
        lab: bool,
        redactor: Redactor,
    ) -> Self {
        let values = Mutex::default();
        Self {
            sources: inventory.secrets.clone(),
            folder,
            repository,
            lab,
            redactor,
            values,
        }
    }

    /// The value of a secret. The redaction knows it when this returns.
    ///
    /// # Errors
    ///
    /// When it does not resolve, outside the lab. It is asked for again next time.
    pub async fn get(&self, name: &str, cancel: &Cancel) -> Result<Arc<str>, SecretError> {
        let cell = {
            let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(values.entry(name.to_owned()).or_default())
        };
        let value = cell.get_or_try_init(|| self.resolve(name, cancel)).await?;
        Ok(Arc::clone(value))
    }

    async fn resolve(&self, name: &str, cancel: &Cancel) -> Result<Arc<str>, SecretError> {
        let error = |why: String| SecretError {
            name: name.to_owned(),
            why,
            stopped: cancel.is_stopped(),
        };
        let Some((_, source)) = self.sources.iter().find(|(known, _)| known == name) else {
            return Err(error("the inventory does not name it".into()));
        };
        let found = match source {
            Secret::Env(variable) => from_environment(variable),
            Secret::File(path) => from_file(&self.folder, path),
            Secret::Command(command) => self.run_command(command, cancel).await,
        };
        let value = match found.and_then(usable) {
            Ok(value) => value,
            Err(_) if self.lab && !cancel.is_stopped() => format!("lab-{name}"),
            Err(why) => return Err(error(why)),
        };
        // What cannot be hidden must not be used.
        self.redactor
            .learn(&value)
            .map_err(|short| error(short.to_string()))?;
        Ok(value.into())
    }

    async fn run_command(&self, text: &str, cancel: &Cancel) -> Result<String, String> {
        let mut command = Command::new("sh", &self.repository).script(text);
        // It is the user's own program (`pass`, `sops`, `vault`): it gets the user's own environment.
        command.env = std::env::vars_os().collect();
        // What it prints is kept from every sink; what it says on standard error may hold the value too.
        let limits = Limits::new(SECRET_COMMAND_DURATION_MAX, cancel.clone());
        let exit = process::run(&command, limits, Record::default())
            .await
            .map_err(|error| error.to_string())?;
        match exit.end {
            End::TimedOut => {
                return Err(format!(
                    "its command took longer than {} s",
                    SECRET_COMMAND_DURATION_MAX.as_secs()
                ));
            }
            End::Cancelled => return Err("the run was stopped".into()),
            End::Itself => {}
        }
        if !exit.is_success() {
            return Err(match exit.code() {
                Some(code) => format!("its command ended with exit code {code}"),
                None => "its command did not end".into(),
            });
        }
        if exit.output.stdout.total() > SECRET_BYTES_MAX as u64 {
            return Err(format!(
                "its command printed more than {SECRET_BYTES_MAX} bytes"
            ));
        }
        Ok(without_line_end(&exit.output.stdout.text()).to_owned())
    }
}

fn from_environment(variable: &str) -> Result<String, String> {
    std::env::var(variable).map_err(|error| match error {
        std::env::VarError::NotPresent => format!("the environment has no `{variable}`"),
        std::env::VarError::NotUnicode(_) => format!("`{variable}` is not UTF-8"),
    })
}

fn from_file(folder: &Path, path: &str) -> Result<String, String> {
    let path = expand(folder, path);
    let failed = |error: std::io::Error| format!("`{}` cannot be read: {error}", path.display());
    let length = std::fs::metadata(&path).map_err(failed)?.len();
    if length > SECRET_BYTES_MAX as u64 {
        return Err(format!(
            "`{}` has more than {SECRET_BYTES_MAX} bytes",
            path.display()
        ));
    }
    let text = std::fs::read_to_string(&path).map_err(failed)?;
    Ok(without_line_end(&text).to_owned())
}

/// A path of the inventory: `~` is the home, others are relative to its folder.
pub fn expand(folder: &Path, path: &str) -> PathBuf {
    match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"));
            home.join(rest.trim_start_matches('/'))
        }
        _ => folder.join(path),
    }
}

fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn usable(value: String) -> Result<String, String> {
    // An empty text cannot be hidden, and is never what was meant.
    if value.trim().is_empty() {
        Err("it is empty".into())
    } else {
        Ok(value)
    }
}
