//! Hides directories of this machine from a program, and nothing else: same user, same processes, same network.

use std::ffi::OsString;
use std::path::PathBuf;

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
}
