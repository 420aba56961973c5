//! `kubectl`, `flux` and `helm` of the lab's local scripts: they reach the lab's clusters, which are started when they are first
//! used, and no other.
//!
//! The program on the script's PATH is this executable in another role. It asks the run over a socket and becomes the real program
//! with the lab's kubeconfig.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::ask::{self, What};
use super::role::{Role, Started};

/// The role of this executable.
pub(super) const ROLE: Role = Role {
    mark: "--runbook-lab-clusters=",
    failed: 1,
    lost: "a program of the lab's clusters was started without its lab",
};
/// Programs that reach clusters.
pub(super) const PROGRAMS: [&str; 3] = ["kubectl", "flux", "helm"];
/// Commands of them that reach none.
const LOCAL: [(&str, &[&str]); 3] = [
    (
        "kubectl",
        &["completion", "config", "help", "kustomize", "options"],
    ),
    ("flux", &["completion", "help"]),
    (
        "helm",
        &[
            "completion",
            "create",
            "dependency",
            "help",
            "lint",
            "package",
            "pull",
            "repo",
            "search",
            "show",
        ],
    ),
];

/// Call this first thing in `main`: when a script of the lab started this process as one of those programs, it becomes that and
/// never returns.
pub fn main_if_asked() {
    ROLE.play_if_asked(become_real);
}

fn become_real(started: Started) -> String {
    let Started {
        socket,
        world,
        program,
        name,
        arguments,
    } = started;
    if chooses(&arguments) {
        return format!(
            "the lab's `{name}` uses the lab's kubeconfig only: leave `--kubeconfig` out, name a context with `--context`"
        );
    }
    let mut command = Command::new(&program);
    command.args(&arguments);
    if !is_local(&name, &arguments) {
        match ask::ask(&socket, What::Clusters, &world) {
            Ok(Ok(kubeconfig)) => {
                command.env("KUBECONFIG", kubeconfig);
            }
            Ok(Err(why)) => return format!("the lab has no cluster for `{name}`: {why}"),
            Err(error) => return format!("the lab does not answer: {error}"),
        }
    }
    let error = command.exec();
    format!("`{}`: {error}", program.display())
}

/// Whether another kubeconfig is chosen. What follows `--` is the command of a container.
fn chooses(arguments: &[OsString]) -> bool {
    let own = arguments.iter().take_while(|argument| *argument != "--");
    own.into_iter()
        .filter_map(|argument| argument.to_str())
        .any(|argument| argument == "--kubeconfig" || argument.starts_with("--kubeconfig="))
}

/// Whether a command reaches no cluster.
fn is_local(name: &str, arguments: &[OsString]) -> bool {
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let first = arguments.first().and_then(|first| first.to_str());
    let known = LOCAL.iter().find(|(program, _)| *program == name);
    let commands = known.map_or(&[][..], |(_, commands)| commands);
    first.is_none_or(|first| commands.contains(&first)) || has("--client") || has("--help")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_ascii_whitespace().map(Into::into).collect()
    }

    #[test]
    fn another_kubeconfig_is_seen_where_it_is_one() {
        for (line, is) in [
            ("--kubeconfig /x get pods", true),
            ("get pods --kubeconfig=/x", true),
            ("get pods --context home", false),
            ("exec web -- tool --kubeconfig /x", false),
        ] {
            assert_eq!(chooses(&words(line)), is, "{line}");
        }
    }

    #[test]
    fn a_command_that_reaches_no_cluster_starts_none() {
        for (name, line, is) in [
            ("kubectl", "kustomize apps", true),
            ("kubectl", "version --client", true),
            ("kubectl", "config get-contexts", true),
            ("kubectl", "get pods", false),
            ("kubectl", "", true),
            ("helm", "list", false),
            ("helm", "repo add a b", true),
            ("flux", "get all", false),
        ] {
            assert_eq!(is_local(name, &words(line)), is, "{name} {line}");
        }
    }
}
