//! Hides the user's keys and clusters from the local scripts of the lab, where the machine allows it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use runbook_lab::isolate::local::Hide;
use rustix::process::geteuid;

use crate::process::{Starter, Through};

/// What is hidden of a home.
const HIDDEN: &[&str] = &[".ssh", ".kube"];

/// What local scripts of the lab are started through; nothing where the machine forbids it, or there is nothing to hide.
pub(super) fn through() -> Through {
    let hide = Hide {
        paths: paths(&homes()),
    };
    if hide.paths.is_empty() {
        return Through::Nothing;
    }
    let from_thread = hide.clone();
    if let Ok(starter) = Starter::new(move || from_thread.from_this_thread()) {
        return Through::Thread(Arc::new(starter));
    }
    match std::env::current_exe() {
        Ok(program) if hide.is_possible(program.clone()).is_ok() => {
            Through::Program(hide.argv(program).into())
        }
        _ => Through::Nothing,
    }
}

/// What is there to be hidden, once, links followed: what a link leads to is hidden and not the link.
fn paths(homes: &[PathBuf]) -> Vec<PathBuf> {
    let mut paths: Vec<_> = homes
        .iter()
        .flat_map(|home| HIDDEN.iter().map(|name| home.join(name)))
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

/// The user's home, as `HOME` says and as `/etc/passwd` says: `ssh` looks there, whatever `HOME` is.
fn homes() -> Vec<PathBuf> {
    let uid = geteuid().as_raw();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut homes: Vec<_> = std::env::home_dir().into_iter().collect();
    homes.extend(home_in(&passwd, uid));
    // A relative or empty one is nobody's.
    homes.retain(|home| home.is_absolute() && home != Path::new("/"));
    homes
}

fn home_in(passwd: &str, uid: u32) -> Option<PathBuf> {
    passwd.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let is_user = fields.get(2)?.parse() == Ok(uid);
        is_user.then(|| fields.get(5).map(PathBuf::from))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_of_a_home_is_hidden_once() {
        let home = tempfile::tempdir().unwrap();
        let real = home.path().canonicalize().unwrap();
        fs::create_dir(real.join("keys")).unwrap();
        std::os::unix::fs::symlink(real.join("keys"), real.join(".ssh")).unwrap();
        let homes = [real.clone(), real.clone()];
        assert_eq!(paths(&homes), [real.join("keys")]);
        fs::create_dir(real.join(".kube")).unwrap();
        assert_eq!(paths(&homes), [real.join(".kube"), real.join("keys")]);
    }

    #[test]
    fn a_home_is_found_by_its_users_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\nodd\n";
        assert_eq!(home_in(passwd, 1000), Some("/home/ada".into()));
        assert_eq!(home_in(passwd, 1001), None);
    }
}
