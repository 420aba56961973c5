//! Desired state of Debian's packages: installed, at a version, or not.
//!
//! Installs without questions: the machine's own configuration files are kept. What a change installed beside what was asked
//! for is known afterwards, so that it can be taken back as a whole.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

use super::shell::Shell;
use super::{Ended, Failure};

/// What a shell says of a program that is not there.
const NOT_FOUND: i32 = 127;
/// How long another package manager's lock is waited for; the step's time ends it before.
const LOCK_SECONDS_MAX: u32 = 3600;
/// Beside the login's own, where programs are that only we run.
const PATH: &str = "PATH=\"$PATH:/usr/libexec/lab-records\"";

/// What is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Installed, at the version where one is given.
    Present,
    /// Installed, at the newest version that the index has.
    Latest,
    /// Not installed.
    Absent,
}

/// A wish for packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Names, and versions where they are given.
    pub names: Vec<(String, Option<String>)>,
    /// What they are to be.
    pub state: State,
    /// Whether the index is read again before a change.
    pub update: bool,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// All that is installed, with its version.
    pub installed: BTreeMap<String, String>,
    /// Of `latest`: what would be installed.
    pub newer: BTreeMap<String, String>,
}

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Former {
    /// What was installed.
    pub added: Vec<String>,
    /// What was removed or got another version, with its former one.
    pub had: Vec<(String, String)>,
}

/// Reads `name` or `name=version`.
///
/// # Errors
///
/// What is no name of a package.
pub fn name(text: &str) -> Result<(String, Option<String>), String> {
    static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^([a-z0-9][a-z0-9+.-]+(?::[a-z0-9]+)?)(?:=([A-Za-z0-9][A-Za-z0-9.+:~-]*))?$")
            .ok()
    });
    let found = NAME
        .as_ref()
        .and_then(|pattern| pattern.captures(text))
        .ok_or_else(|| format!("`{text}` is no name of a package"))?;
    Ok((
        found[1].to_owned(),
        found.get(2).map(|version| version.as_str().to_owned()),
    ))
}

/// Looks at what is installed.
///
/// # Errors
///
/// When the machine cannot be used or knows no packages of Debian.
pub async fn look(shell: &Shell, wish: &Wish) -> Result<Found, Ended> {
    let installed = installed(shell).await?;
    let mut newer = BTreeMap::new();
    if wish.state == State::Latest {
        let text = format!(
            "{PATH}; LC_ALL=C apt-get -q -s install {}",
            words(&wish.names)
        );
        let what = "what is newest cannot be asked for";
        let said = shell.must(what, &text, &[]).await?;
        newer.extend(said.stdout.lines().filter_map(simulated));
    }
    Ok(Found { installed, newer })
}

async fn installed(shell: &Shell) -> Result<BTreeMap<String, String>, Ended> {
    let text = format!(
        "{PATH}; command -v dpkg-query >/dev/null || exit 127\n\
         dpkg-query -W -f '${{Package}}\\t${{Version}}\\t${{db:Status-Abbrev}}\\n'"
    );
    let said = shell.ask(&text, &[]).await?;
    match said.code {
        0 => {}
        NOT_FOUND => return Err(shell.lacks("dpkg-query")),
        _ => {
            let message = format!(
                "packages cannot be asked for on {}: {}",
                shell.name(),
                said.why()
            );
            return Err(Ended::Failed(Failure::new(message)));
        }
    }
    let line = |line: &str| {
        let mut fields = line.split('\t');
        let (name, version, status) = (fields.next()?, fields.next()?, fields.next()?);
        // The second letter is what is: `i` is installed, half or wholly configured is not.
        (status.as_bytes().get(1) == Some(&b'i')).then(|| (name.to_owned(), version.to_owned()))
    };
    Ok(said.stdout.lines().filter_map(line).collect())
}

/// `Inst nginx [1.0] (1.1 Debian:12/stable [amd64])`
fn simulated(line: &str) -> Option<(String, String)> {
    let rest = line.strip_prefix("Inst ")?;
    let name = rest.split(' ').next()?;
    let version = rest.split_once('(')?.1.split([' ', ')']).next()?;
    Some((name.to_owned(), version.to_owned()))
}

/// A package's name without the architecture.
fn bare(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

/// What differs, for people.
pub fn diff(wish: &Wish, found: &Found) -> Option<String> {
    let mut lines = Vec::new();
    for (name, version) in &wish.names {
        let is = found.installed.get(bare(name));
        match (wish.state, is, version) {
            (State::Absent, Some(is), _) => lines.push(format!("- {name} {is}")),
            (State::Absent, None, _) => {}
            (_, None, Some(version)) => lines.push(format!("+ {name} {version}")),
            (_, None, None) => lines.push(format!("+ {name}")),
            (_, Some(is), Some(version)) if is != version => {
                lines.push(format!("{name}: {is} → {version}"));
            }
            (State::Latest, Some(is), None) => {
                if let Some(newer) = found.newer.get(bare(name)) {
                    lines.push(format!("{name}: {is} → {newer}"));
                }
            }
            _ => {}
        }
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Makes it so; what was done is in `former`, also when it fails. Returns what the package manager said.
///
/// # Errors
///
/// When the package manager refuses.
pub async fn change(
    shell: &Shell,
    wish: &Wish,
    found: &Found,
    former: &mut Former,
) -> Result<String, Ended> {
    let mut output = String::new();
    if wish.update {
        let what = "the index cannot be read";
        output = apt(shell, what, "update").await?;
    }
    let words = words(&wish.names);
    let result = match wish.state {
        State::Absent => apt(shell, "cannot remove", &format!("remove {words}")).await,
        State::Present | State::Latest => {
            let down = if wish.names.iter().any(|(_, version)| version.is_some()) {
                "--allow-downgrades "
            } else {
                ""
            };
            apt(shell, "cannot install", &format!("install {down}{words}")).await
        }
    };
    *former = done(&found.installed, &installed(shell).await?);
    let _ = write!(output, "{}", result?);
    Ok(output)
}

/// What lies between two looks.
fn done(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Former {
    let added = after.keys().filter(|name| !before.contains_key(*name));
    let had = before
        .iter()
        .filter(|(name, version)| after.get(*name) != Some(version));
    Former {
        added: added.cloned().collect(),
        had: had
            .map(|(name, version)| (name.clone(), version.clone()))
            .collect(),
    }
}

/// Takes a change back: what it installed goes, what it removed or replaced comes back at its version.
///
/// # Errors
///
/// When the package manager refuses.
pub async fn restore(shell: &Shell, former: &Former) -> Result<(), Ended> {
    if !former.added.is_empty() {
        let words = former.added.join(" ");
        apt(shell, "cannot remove", &format!("remove {words}")).await?;
    }
    if !former.had.is_empty() {
        let words: Vec<String> = former
            .had
            .iter()
            .map(|(name, version)| format!("{name}={version}"))
            .collect();
        let command = format!("install --allow-downgrades {}", words.join(" "));
        apt(shell, "cannot install", &command).await?;
    }
    Ok(())
}

/// Names were looked at by [`name`]: nothing in them is a shell's.
fn words(names: &[(String, Option<String>)]) -> String {
    let words: Vec<String> = names
        .iter()
        .map(|(name, version)| match version {
            Some(version) => format!("{name}={version}"),
            None => name.clone(),
        })
        .collect();
    words.join(" ")
}

/// Runs `apt-get` without questions.
async fn apt(shell: &Shell, what: &str, command: &str) -> Result<String, Ended> {
    let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
    let text = format!(
        "{PATH}; command -v apt-get >/dev/null || exit 127\n\
         export LC_ALL=C DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none NEEDRESTART_MODE=l\n\
         apt-get -y -q -o DPkg::Lock::Timeout={LOCK_SECONDS_MAX} -o Dpkg::Options::=--force-confdef \
         -o Dpkg::Options::=--force-confold {verb} {rest}"
    );
    let said = shell.ask(&text, &[]).await?;
    match said.code {
        0 => Ok(said.stdout),
        NOT_FOUND => Err(shell.lacks("apt-get")),
        _ => {
            let message = format!("{what} on {}: {}", shell.name(), said.why());
            Err(Ended::Failed(Failure::new(message)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_name_and_nothing_for_a_shell() {
        assert_eq!(name("nginx"), Ok(("nginx".into(), None)));
        assert_eq!(
            name("libc6:amd64=2.36-9+deb12u4~x"),
            Ok(("libc6:amd64".into(), Some("2.36-9+deb12u4~x".into())))
        );
        for wrong in [
            "", "-y", "a b", "a;b", "$(id)", "nginx=", "nginx=-o", "Nginx", "a\nb",
        ] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_differs_is_told() {
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let found = Found {
            installed: map(&[("a", "1"), ("b", "2")]),
            newer: map(&[("b", "3")]),
        };
        let wish = |names: &[&str], state| Wish {
            names: names.iter().map(|text| name(text).unwrap()).collect(),
            state,
            update: false,
        };
        assert_eq!(diff(&wish(&["ab", "bc"], State::Absent), &found), None);
        let found = Found {
            installed: map(&[("aa", "1"), ("bb", "2")]),
            newer: map(&[("bb", "3")]),
        };
        assert_eq!(
            diff(&wish(&["aa", "bb=3", "cc", "dd=4"], State::Present), &found).as_deref(),
            Some("bb: 2 → 3\n+ cc\n+ dd 4")
        );
        assert_eq!(
            diff(&wish(&["aa", "bb"], State::Latest), &found).as_deref(),
            Some("bb: 2 → 3")
        );
        assert_eq!(
            diff(&wish(&["aa", "cc"], State::Absent), &found).as_deref(),
            Some("- aa 1")
        );
        let after = map(&[("bb", "3"), ("cc", "1")]);
        assert_eq!(
            done(&found.installed, &after),
            Former {
                added: vec!["cc".into()],
                had: vec![("aa".into(), "1".into()), ("bb".into(), "2".into())]
            }
        );
    }

    #[test]
    fn what_would_be_installed_is_read() {
        let line = "Inst nginx [1.22.1-9] (1.22.1-9+deb12u2 Debian:12.8/stable [amd64]) []";
        assert_eq!(
            simulated(line),
            Some(("nginx".into(), "1.22.1-9+deb12u2".into()))
        );
        assert_eq!(simulated("Conf nginx (1 x)"), None);
    }
}
