//! Whether this machine allows isolation, and if not why not.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use super::error::{Error, Failure, Forbidden};
use super::sandbox::{Sandbox, SandboxConfig};

/// Whether isolation is possible here; tried once, by making an isolated place with this executable and letting it go.
///
/// # Errors
///
/// Why not, and what allows it.
pub fn available() -> Result<(), Forbidden> {
    static FOUND: OnceLock<Result<(), Forbidden>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let program = std::env::current_exe().map_err(|error| Forbidden {
                reason: format!("the path of this program cannot be found: {error}"),
                hint: "mount /proc".into(),
            })?;
            available_with(&program)
        })
        .clone()
}

/// The same with another executable, which calls [`main_if_asked`](super::main_if_asked); tried each time.
///
/// # Errors
///
/// Why not, and what allows it.
pub fn available_with(program: &Path) -> Result<(), Forbidden> {
    let config = SandboxConfig::new(program.to_owned(), Vec::new());
    match Sandbox::start_now(config) {
        Ok(_) => Ok(()),
        Err(Error::Forbidden(forbidden)) => Err(forbidden),
        Err(error) => Err(Forbidden {
            reason: chain(&error),
            hint: "see what the system says".into(),
        }),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

pub(super) fn not_linux() -> Forbidden {
    Forbidden {
        reason: format!("{} has no namespaces", std::env::consts::OS),
        hint: "run the lab on Linux".into(),
    }
}

/// What a refusal means on this machine.
pub(super) fn explain(failure: Failure) -> Forbidden {
    let read = |path: &str| {
        fs::read_to_string(path)
            .ok()
            .map(|text| text.trim().to_owned())
    };
    let settings = Settings {
        apparmor: read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        clone: read("/proc/sys/kernel/unprivileged_userns_clone"),
        most: read("/proc/sys/user/max_user_namespaces"),
        seccomp: read("/proc/self/status")
            .and_then(|status| {
                Some(
                    status
                        .lines()
                        .find_map(|line| line.strip_prefix("Seccomp:"))?
                        .trim()
                        != "0",
                )
            })
            .unwrap_or(false),
        container: Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists(),
    };
    settings.explain(&failure)
}

/// What decides whether the kernel gives namespaces.
#[derive(Debug, Default)]
struct Settings {
    apparmor: Option<String>,
    clone: Option<String>,
    most: Option<String>,
    seccomp: bool,
    container: bool,
}

impl Settings {
    fn explain(&self, failure: &Failure) -> Forbidden {
        let error = std::io::Error::from_raw_os_error(failure.errno);
        let (cause, hint) = self.cause();
        Forbidden {
            reason: format!("{} ({error}){cause}", failure.what),
            hint: hint.into(),
        }
    }

    fn cause(&self) -> (&'static str, &'static str) {
        let is = |value: &Option<String>, wanted: &str| value.as_deref() == Some(wanted);
        if is(&self.most, "0") {
            return (
                ": `user.max_user_namespaces` is 0",
                "allow them: sysctl -w user.max_user_namespaces=10000",
            );
        }
        if is(&self.clone, "0") {
            return (
                ": `kernel.unprivileged_userns_clone` is 0",
                "allow them: sysctl -w kernel.unprivileged_userns_clone=1",
            );
        }
        if self.container || self.seccomp {
            return (
                ": a container's or a service's filter of system calls",
                "start the container with --security-opt seccomp=unconfined --security-opt systempaths=unconfined, or \
                 run outside of it",
            );
        }
        if is(&self.apparmor, "1") {
            return (
                ": `kernel.apparmor_restrict_unprivileged_userns` is 1",
                "allow them: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or give this program an AppArmor \
                 profile with `userns,`",
            );
        }
        (
            "",
            "allow user, mount, process and network namespaces on this machine",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_setting_and_what_allows_it() {
        let failure = Failure {
            what: "the kernel refuses user namespaces".into(),
            errno: 1,
        };
        let some = |text: &str| Some(text.to_owned());
        let cases = [
            (
                Settings {
                    apparmor: some("1"),
                    ..Settings::default()
                },
                "apparmor_restrict_unprivileged_userns=0",
            ),
            (
                Settings {
                    clone: some("0"),
                    most: some("1000"),
                    ..Settings::default()
                },
                "unprivileged_userns_clone=1",
            ),
            (
                Settings {
                    most: some("0"),
                    ..Settings::default()
                },
                "max_user_namespaces=10000",
            ),
            (
                Settings {
                    container: true,
                    ..Settings::default()
                },
                "seccomp=unconfined",
            ),
            (Settings::default(), "namespaces on this machine"),
        ];
        for (settings, hint) in cases {
            let forbidden = settings.explain(&failure);
            assert!(forbidden.hint.contains(hint), "{forbidden:?}");
            assert!(
                forbidden
                    .reason
                    .starts_with("the kernel refuses user namespaces (")
            );
        }
    }
}
