//! The installer of a `helper-script`: where it comes from, what proves that it is the one that was meant, how it is run
//! without anybody at a terminal.
//!
//! The project's scripts fetch each other from their `main` while they run. What is pinned to a commit fetches from that
//! commit: the addresses are replaced in the installer, and by a function `curl` in whatever it fetches.

use std::path::PathBuf;
use std::sync::LazyLock;

use regex::Regex;
use sha2::{Digest as _, Sha256};

use super::super::world::{Done, Stop};
use crate::action::{Ended, Failure};
use crate::probe::Network;
use crate::probe::http::{Http, Request};

/// The longest installer.
pub const INSTALLER_BYTES_MAX: usize = 1 << 20;
/// Digits of a commit's full name.
const COMMIT_DIGITS: usize = 40;
/// How much of a commit people see.
const SHORT_DIGITS: usize = 12;
/// Where the project's files are, by branch or commit.
const PROJECT: &str = "https://raw.githubusercontent.com/community-scripts/ProxmoxVE/";
/// What its scripts fetch from.
const UNPINNED: &str = "main/";
const PRELUDE: &str = include_str!("pinned.sh");

/// An installer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installer {
    /// One of the community's, by its name.
    Community {
        /// The name: `docker`.
        app: String,
        /// The commit that it is pinned to, in full.
        commit: String,
        /// Its folder: `ct` or `vm`.
        folder: &'static str,
    },
    /// Any other.
    Url {
        /// Where it is.
        url: String,
        /// The SHA-256 of its content, in hexadecimal digits.
        sha256: String,
    },
}

/// Where an installer is had from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// From where it says.
    Network,
    /// From a file that stands in for it in the lab.
    Lab(PathBuf),
}

impl Installer {
    /// One of the community's.
    ///
    /// # Errors
    ///
    /// What is no name of a script, or no full name of a commit.
    pub fn community(app: &str, commit: &str, is_vm: bool) -> Result<Self, Failure> {
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if app.is_empty() || !app.chars().all(is_name) {
            return Err(refused(
                format!("`{app}` is no name of a script"),
                "write it as its file is named, without `.sh`: `docker`",
            ));
        }
        if commit.len() != COMMIT_DIGITS || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refused(
                format!("`{commit}` is no full name of a commit"),
                "write all 40 digits: a branch or a tag may mean something else tomorrow",
            ));
        }
        Ok(Self::Community {
            app: app.to_owned(),
            commit: commit.to_ascii_lowercase(),
            folder: if is_vm { "vm" } else { "ct" },
        })
    }

    /// The name of the script, which is also the guest's name where none is written.
    pub fn name(&self) -> &str {
        match self {
            Self::Community { app, .. } => app,
            Self::Url { url, .. } => {
                let path = url.split(['?', '#']).next().unwrap_or_default();
                let file = path.rsplit('/').next().unwrap_or_default();
                file.strip_suffix(".sh").unwrap_or(file)
            }
        }
    }

    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Self::Community { app, commit, .. } => {
                format!("community script {app} at {}", &commit[..SHORT_DIGITS])
            }
            Self::Url { url, .. } => format!("script {url}"),
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Community {
                app,
                commit,
                folder,
            } => format!("{PROJECT}{commit}/{folder}/{app}.sh"),
            Self::Url { url, .. } => url.clone(),
        }
    }

    /// Its text, once it is known to be the one that was meant.
    ///
    /// # Errors
    ///
    /// That it cannot be had, is too long, or is another one.
    pub async fn text(
        &self,
        from: &Origin,
        http: &Http,
        time: std::time::Duration,
    ) -> Done<String> {
        match from {
            Origin::Lab(path) => {
                let read = std::fs::read(path).map_err(|error| error.to_string());
                let read = read
                    .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned()));
                let text = read.map_err(|why| {
                    Stop::from(Failure::new(format!("`{}`: {why}", path.display())))
                })?;
                bounded(&path.display().to_string(), &text)?;
                // What it stands in for has another sum.
                Ok(text)
            }
            Origin::Network => {
                let text = fetch(&self.url(), http, time).await?;
                self.verify(&text)?;
                Ok(text)
            }
        }
    }

    fn verify(&self, text: &str) -> Done<()> {
        let Self::Url { url, sha256 } = self else {
            return Ok(());
        };
        let sum: String = Sha256::digest(text.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        if sum.eq_ignore_ascii_case(sha256) {
            return Ok(());
        }
        Err(Stop::refused(
            format!(
                "`{url}` is not what `checksum` says: its SHA-256 is {sum}; nothing was executed"
            ),
            "read what is there now; then write its sum",
        ))
    }

    /// What is executed: the installer, with what it fetches pinned too.
    pub fn program(&self, text: &str) -> String {
        let Self::Community { .. } = self else {
            return text.to_owned();
        };
        let (unpinned, pinned) = self.addresses();
        format!("{PRELUDE}{}", text.replace(&unpinned, &pinned))
    }

    /// What its scripts fetch from, and what they fetch from instead.
    fn addresses(&self) -> (String, String) {
        let commit = match self {
            Self::Community { commit, .. } => commit.as_str(),
            Self::Url { .. } => "",
        };
        (
            format!("{PROJECT}{UNPINNED}"),
            format!("{PROJECT}{commit}/"),
        )
    }

    /// Variables that let it run without anybody to ask; what the step says wins.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut env = vec![
            // What is drawn on a terminal needs a type of one, though there is none.
            ("TERM", "xterm".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            // Settings come from `var_*`, and no menu is shown.
            ("mode", "generated".to_owned()),
            ("var_unattended", "yes".to_owned()),
            ("PHS_SILENT", "1".to_owned()),
            ("var_verbose", "no".to_owned()),
            ("DIAGNOSTICS", "no".to_owned()),
        ];
        if let Self::Community { .. } = self {
            let (unpinned, pinned) = self.addresses();
            let base = pinned.trim_end_matches('/').to_owned();
            env.extend([
                ("RUNBOOK_UNPINNED", unpinned),
                ("RUNBOOK_PINNED", pinned),
                ("COMMUNITY_SCRIPTS_URL", base),
            ]);
        }
        env.into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// The tags that an installer gives its guest when nobody says others.
pub(super) fn usual_tags(text: &str) -> Option<String> {
    static TAGS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"(?m)^\s*var_tags="\$\{var_tags:-([^}"]*)\}""#).ok());
    let found = TAGS.as_ref()?.captures(text)?;
    Some(found[1].to_owned())
}

async fn fetch(url: &str, http: &Http, time: std::time::Duration) -> Done<String> {
    let request = Request {
        url: url.to_owned(),
        follow: true,
        ..Request::default()
    };
    let answer = http.probe(&request, &Network::Own, time).await;
    let answer = answer.map_err(|error| {
        let failure = Failure::new(format!("`{url}` cannot be downloaded: {error}"));
        Stop::from(Ended::Failed(failure))
    })?;
    match answer.status {
        200 => {}
        404 => {
            return Err(Stop::refused(
                format!("there is no `{url}`"),
                "look at the script's name, and whether this commit has it",
            ));
        }
        status => {
            let why = format!("`{url}` cannot be downloaded: status {status}");
            return Err(Failure::new(why).into());
        }
    }
    if answer.is_cut {
        return Err(too_long(url));
    }
    bounded(url, &answer.body)?;
    Ok(answer.body)
}

fn bounded(what: &str, text: &str) -> Done<()> {
    if text.len() > INSTALLER_BYTES_MAX {
        return Err(too_long(what));
    }
    Ok(())
}

fn too_long(what: &str) -> Stop {
    Failure::new(format!(
        "`{what}` is longer than {INSTALLER_BYTES_MAX} bytes"
    ))
    .into()
}

fn refused(message: String, hint: &str) -> Failure {
    let mut failure = Failure::new(message).hint(Some(hint));
    failure.refused = true;
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "8386465a927ac72f518d1c54ce21fe3c2df03407";

    #[test]
    fn what_is_not_pinned_is_refused() {
        for (app, commit) in [
            ("docker", "main"),
            ("docker", "8386465a927a"),
            ("../evil", COMMIT),
            ("", COMMIT),
            ("Docker", COMMIT),
        ] {
            let failure = Installer::community(app, commit, false).unwrap_err();
            assert!(failure.refused, "{app} {commit}");
            assert!(failure.hint.is_some());
        }
        let docker = Installer::community("docker", COMMIT, false).unwrap();
        assert_eq!(
            docker.url(),
            format!(
                "https://raw.githubusercontent.com/community-scripts/ProxmoxVE/{COMMIT}/ct/docker.sh"
            )
        );
        assert_eq!(docker.shown(), "community script docker at 8386465a927a");
    }

    #[test]
    fn a_sum_decides_before_anything_is_executed() {
        let text = "pct create\n";
        let url = |sha256: &str| Installer::Url {
            url: "https://example.org/x/web.sh?raw=1".into(),
            sha256: sha256.into(),
        };
        let stop = url(&"0".repeat(64)).verify(text).unwrap_err();
        let said = stop.message();
        let sum = said
            .split("its SHA-256 is ")
            .nth(1)
            .and_then(|rest| rest.split(';').next())
            .unwrap();
        assert!(said.contains("nothing was executed"), "{said}");
        assert!(url(sum).verify(text).is_ok());
        assert!(url(&sum.to_uppercase()).verify(text).is_ok());
        assert!(url(sum).verify("pct create \n").is_err());
        assert_eq!(url(sum).name(), "web");
    }

    /// Runs a program in bash, with a `curl` that prints what it was asked for.
    fn run(program: &str, installer: &Installer) -> String {
        let place = tempfile::tempdir().unwrap();
        let curl = place.path().join("curl");
        std::fs::write(
            &curl,
            "#!/bin/sh\nfor word; do echo \"[$word]\"; done\necho 'see https://raw.githubusercontent.com/community-scripts/ProxmoxVE/main/install/x.sh'\n\
             case \"$*\" in *fails*) exit 22;; esac\n",
        )
        .unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&curl, mode).unwrap();
        let path = format!(
            "{}:{}",
            place.path().display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let ran = std::process::Command::new("bash")
            .args(["-c", program])
            .env("PATH", path)
            .envs(installer.environment())
            .output()
            .unwrap();
        String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap()
    }

    #[test]
    fn what_an_installer_fetches_comes_from_its_commit() {
        let docker = Installer::community("docker", COMMIT, false).unwrap();
        let main = format!("{PROJECT}main/misc/build.func");
        let text = format!(
            "echo first $(curl -fsSL {main})\nbase={PROJECT}; way=main\n\
             bash -c 'echo second $(curl -fsSL \"'$base$way'/misc/x.func\" -o \"a b\")'\n\
             curl fails >/dev/null || echo third $?\ncurl https://example.org/main/ | head -1\n"
        );
        let said = run(&docker.program(&text), &docker);
        let pinned = format!("{PROJECT}{COMMIT}");
        assert!(
            said.contains(&format!("[{pinned}/misc/build.func]")),
            "{said}"
        );
        // What is put together while it runs, by a shell inside of it, too.
        assert!(
            said.contains(&format!("[{pinned}/misc/x.func] [-o] [a b]")),
            "{said}"
        );
        assert!(
            said.contains(&format!("see {pinned}/install/x.sh")),
            "{said}"
        );
        assert!(!said.contains("ProxmoxVE/main"), "{said}");
        assert!(said.contains("third 22"), "{said}");
        assert!(said.contains("[https://example.org/main/]"), "{said}");
    }

    #[test]
    fn the_usual_tags_of_a_script_are_known() {
        let text = "APP=\"Docker\"\nvar_tags=\"${var_tags:-docker;web}\"\n";
        assert_eq!(usual_tags(text).as_deref(), Some("docker;web"));
        assert_eq!(usual_tags("var_tags=x"), None);
    }
}
