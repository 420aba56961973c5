//! `ssh`, `scp` and `sftp` of the lab's local scripts: they are asked which lab is theirs when they are first used, so that
//! no lab is started for a script that reaches nobody.
//!
//! The program on the script's PATH is this executable in another role. It asks the run over a socket and becomes OpenSSH
//! with the lab's configuration; there is no way to another one.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::ask::{self, What};
use super::role::{Role, Started};

/// The role of this executable; OpenSSH ends with 255 when it could not do what it was told.
pub(super) const ROLE: Role = Role {
    mark: "--runbook-lab-ssh=",
    failed: 255,
    lost: "the lab's `ssh` was started without its lab",
};
/// Options that take an argument, by program.
const TAKES: [(&str, &str); 3] = [
    ("ssh", "BbcDEeFIiJLlmOoPpQRSWw"),
    ("scp", "cDFiJloPSX"),
    ("sftp", "BbcDFiJloPRSsX"),
];

/// Call this first thing in `main`: when a script of the lab started this process as OpenSSH, it becomes that and never
/// returns.
pub fn main_if_asked() {
    ROLE.play_if_asked(become_openssh);
}

fn become_openssh(started: Started) -> String {
    let Started {
        socket,
        world,
        program,
        name,
        arguments,
    } = started;
    let asked = look(&name, &arguments);
    if asked.only_shows && name == "ssh" {
        // It says what it would do, and connects to nobody.
        let error = Command::new(&program).args(arguments).exec();
        return format!("`{}`: {error}", program.display());
    }
    if asked.chooses {
        return format!("the lab's `{name}` uses the lab's configuration only: leave `-F` out");
    }
    match ask::ask(&socket, What::Machines, &world) {
        Ok(Ok(config)) => {
            let error = Command::new(&program)
                .arg("-F")
                .arg(config)
                .args(["-o", "BatchMode=yes"])
                .args(arguments)
                .exec();
            format!("`{}`: {error}", program.display())
        }
        Ok(Err(why)) => format!("the lab serves no such host: {why}"),
        Err(error) => format!("the lab does not answer: {error}"),
    }
}

/// What options ask for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    /// Another configuration (`-F`).
    chooses: bool,
    /// Only to show what the configuration says (`ssh -G`).
    only_shows: bool,
}

/// Looks at the options. What follows the destination of `ssh` is the command of another machine.
fn look(name: &str, arguments: &[OsString]) -> Asked {
    let mut asked = Asked::default();
    let known = TAKES.iter().find(|(program, _)| *program == name);
    let takes = known.map_or("", |(_, takes)| takes);
    let mut destinations = 0;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let Some(letters) = option(argument) else {
            destinations += 1;
            if argument == "--" || name == "ssh" && destinations > 1 {
                break;
            }
            continue;
        };
        for (at, letter) in letters.char_indices() {
            asked.chooses |= letter == 'F';
            asked.only_shows |= letter == 'G';
            // The rest of the word, or the next word, is its argument.
            if takes.contains(letter) {
                if at + letter.len_utf8() == letters.len() {
                    arguments.next();
                }
                break;
            }
        }
    }
    asked
}

/// The letters of an option.
fn option(argument: &OsStr) -> Option<&str> {
    let letters = argument.to_str()?.strip_prefix('-')?;
    (!letters.is_empty() && letters != "-").then_some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_configuration_is_seen_where_it_is_one() {
        for (name, line, is) in [
            ("ssh", "-F /etc/x pve1", true),
            ("ssh", "-vF/etc/x pve1", true),
            ("ssh", "pve1 -F /etc/x true", true),
            ("ssh", "-o User=F pve1 true", false),
            ("ssh", "-p 22 pve1 ssh-keygen -F host", false),
            ("ssh", "-- pve1 -F", false),
            ("ssh", "-l -F pve1", false),
            ("scp", "-r a pve1:b", false),
            ("scp", "-p -F /etc/x a pve1:b", true),
            ("scp", "a pve1:b -F /etc/x", true),
        ] {
            let arguments: Vec<OsString> = line.split(' ').map(Into::into).collect();
            let asked = look(name, &arguments);
            assert_eq!(asked.chooses, is, "{name} {line}");
            assert!(!asked.only_shows, "{name} {line}");
        }
        let shows = ["-G", "-F", "/etc/x", "pve1"].map(OsString::from);
        let asked = Asked {
            chooses: true,
            only_shows: true,
        };
        assert_eq!(look("ssh", &shows), asked);
    }
}
