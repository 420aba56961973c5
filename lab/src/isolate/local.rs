//! Hides directories of this machine from a program, and nothing else: same user, same processes, same network.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::stage::Stage;

/// What is hidden from a program.
#[derive(Debug, Clone, Default)]
pub struct Hide {
    /// Directories, or files; what is not there needs no hiding.
    pub paths: Vec<PathBuf>,
}

impl Hide {
    /// What comes before a program's own path and arguments: an executable that calls
    /// [`main_if_asked`](super::main_if_asked), and its arguments.
    pub fn argv(&self, program: PathBuf) -> Vec<OsString> {
        let mut argv = vec![program.into_os_string(), Stage::Hide.argument().into()];
        argv.push(self.paths.len().to_string().into());
        argv.extend(self.paths.iter().map(|path| path.clone().into_os_string()));
        argv
    }

    /// Hides them from the calling thread and from what it starts from now on; other threads of this process see them
    /// still. For root only: a process with more threads than one may not make itself a user namespace.
    ///
    /// # Errors
    ///
    /// Why not, as the system says. The thread may see some of them no more and should not be used.
    #[cfg(target_os = "linux")]
    pub fn from_this_thread(&self) -> Result<(), String> {
        super::hide::hide_from_thread(&self.paths)
    }

    /// As on Linux; here it cannot be done.
    ///
    /// # Errors
    ///
    /// Always.
    #[cfg(not(target_os = "linux"))]
    pub fn from_this_thread(&self) -> Result<(), String> {
        Err("only Linux has mount namespaces".into())
    }

    /// Whether it can be done here: tried, with nothing to execute.
    ///
    /// # Errors
    ///
    /// Why not, as the system says.
    pub fn is_possible(&self, program: PathBuf) -> Result<(), String> {
        let argv = self.argv(program);
        let tried = Command::new(&argv[0])
            .args(&argv[1..])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .map_err(|error| error.to_string())?;
        if tried.status.success() {
            Ok(())
        } else {
            let said = String::from_utf8_lossy(&tried.stderr);
            Err(said
                .lines()
                .next()
                .unwrap_or("it ended without a word")
                .to_owned())
        }
    }
}
