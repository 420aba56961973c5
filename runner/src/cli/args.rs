//! What was typed: the commands, their options and examples. Checked for form only; what it means is decided by each command.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Guides that prove themselves: check, plan, run and publish a book of executable runbooks.
#[derive(Debug, Parser)]
#[command(
    name = "runbook",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  runbook init my-lab              a new book that verifies green at once
  runbook verify --site            verify every guide, then build the site
  runbook run guides/web#serve     run one section
  runbook show guides/web#serve    read exactly that section

Exit codes: 0 ok, 1 a step failed, 2 usage or unknown ID, 3 the book is invalid,
4 a target or the environment cannot be used, 5 approval needed, 70 our bug, 130 interrupted"
)]
pub(super) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(super) struct Global {
    /// The book: a folder with `book.toml` [default: the nearest folder upward, or its `book/`]
    #[arg(long, global = true, value_name = "DIR")]
    pub book: Option<PathBuf>,
    /// The profile [default: the book's own, else `lab`]
    #[arg(long, global = true, value_name = "NAME", env = "RUNBOOK_PROFILE")]
    pub profile: Option<String>,
    /// Write the versioned machine output instead of text
    #[arg(long, global = true)]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a new book, or join an existing mdBook without touching its chapters
    #[command(after_help = "Example: runbook init my-lab")]
    Init {
        /// Where; the current folder when none is given
        dir: Option<PathBuf>,
    },
    /// Check the book without running anything: every error with its line
    #[command(after_help = "Example: runbook check --json | jq '.diagnostics[].message'")]
    Check,
    /// Write the options of every step in one way
    #[command(after_help = "Example: runbook fmt --check")]
    Fmt {
        /// Change nothing; exit 1 when something would change
        #[arg(long)]
        check: bool,
    },
    /// List guides, sections and steps with their IDs
    #[command(after_help = "Example: runbook list --tag network")]
    List {
        /// Only guides with this tag (may be repeated)
        #[arg(long, value_name = "TAG")]
        tag: Vec<String>,
    },
    /// Show a guide, a section or a step as it is written
    #[command(after_help = "Example: runbook show guides/web#serve")]
    Show {
        /// A guide, section or step
        id: String,
    },
    /// Say what a run would do, and change nothing
    #[command(after_help = "Example: runbook plan guides/web#serve")]
    Plan {
        /// Guides, sections or steps; everything when none is given
        ids: Vec<String>,
        /// What a plan looks at
        #[command(flatten)]
        selection: Selection,
    },
    /// Run guides, sections or steps: check, change where needed, expect
    #[command(after_help = "Example: runbook run guides/web#serve --var port=8443")]
    Run {
        /// Guides, sections or steps
        #[arg(required_unless_present = "from")]
        ids: Vec<String>,
        /// What is run
        #[command(flatten)]
        selection: Selection,
        /// How it is run
        #[command(flatten)]
        running: Running,
        /// Run what the IDs need too
        #[arg(long)]
        with_needs: bool,
        /// Run a step's or section's guide from there to its end, and nothing of it above
        #[arg(long, value_name = "ID")]
        from: Option<String>,
    },
    /// Verify the book in each guide's own mode
    #[command(after_help = "Example: runbook verify --site --junit results.xml")]
    Verify {
        /// Guides, sections or steps; everything when none is given
        ids: Vec<String>,
        /// What is verified
        #[command(flatten)]
        selection: Selection,
        /// How it is run
        #[command(flatten)]
        running: Running,
        /// Build the site afterwards and say where it is
        #[arg(long)]
        site: bool,
        /// Open the site in a browser (with `--site`)
        #[arg(long, requires = "site")]
        open: bool,
        /// Where the site is written (with `--site`)
        #[arg(long, value_name = "DIR", requires = "site")]
        dest: Option<PathBuf>,
        /// Go on from the history published there: a site's folder or URL
        #[arg(long, value_name = "DIR|URL")]
        history: Option<String>,
    },
    /// Build the site from the book and what was recorded
    #[command(after_help = "Example: runbook build --dest public")]
    Build {
        /// Where the site is written [default: the book's `build-dir`]
        #[arg(long, value_name = "DIR")]
        dest: Option<PathBuf>,
        /// Open it in a browser
        #[arg(long)]
        open: bool,
    },
    /// Serve the site on this machine, rebuild on change and reload the page
    #[command(after_help = "Example: runbook serve --port 3001 --open")]
    Serve {
        /// The port; 0 takes a free one
        #[arg(long, default_value_t = 3000)]
        port: u16,
        /// The address to listen on
        #[arg(long, default_value = "127.0.0.1")]
        host: String,
        /// Open it in a browser
        #[arg(long)]
        open: bool,
    },
    /// Start the embedded homelab on its own, for curl or any other client, until it is stopped
    #[command(after_help = "Example: runbook lab --json")]
    Lab {
        /// Its first state: a fixture, or a file of recorded exchanges [default: the book's inventory]
        #[arg(long, value_name = "FILE")]
        state: Option<PathBuf>,
    },
    /// Show how a guide, section or step ended in past runs
    #[command(after_help = "Example: runbook history guides/web#serve/probe")]
    History {
        /// A guide, section or step; every run of the book when none is given
        id: Option<String>,
        /// How many runs
        #[arg(long, default_value_t = 30)]
        limit: usize,
        /// Make the history anew from the runs' journals first
        #[arg(long)]
        rebuild: bool,
    },
    /// Show the present state of every guide
    #[command(after_help = "Example: runbook status --json")]
    Status {
        /// Only guides with this tag (may be repeated)
        #[arg(long, value_name = "TAG")]
        tag: Vec<String>,
    },
    /// Say what this machine lacks
    #[command(after_help = "Example: runbook doctor")]
    Doctor,
    /// Print the JSON Schema of a machine surface
    #[command(after_help = "Example: runbook schema step > step.schema.json")]
    Schema {
        /// Which; all their names when none is given
        name: Option<String>,
    },
    /// Print the completion script of a shell
    #[command(after_help = "Example: runbook completions bash > /etc/bash_completion.d/runbook")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What is due.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Selection {
    /// Only guides with this tag (may be repeated)
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// A value for the book's `vars` (may be repeated)
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = name_value)]
    pub vars: Vec<(String, String)>,
}

/// How it is run.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Running {
    /// How the steps are treated, instead of each guide's own way
    #[arg(long, value_enum)]
    pub mode: Option<ModeArg>,
    /// Write JUnit there
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Skipped and pending steps fail the run
    #[arg(long)]
    pub strict: bool,
    /// How many guides run at once [default: the number of processors]
    #[arg(long, value_name = "N")]
    pub jobs: Option<std::num::NonZeroUsize>,
}

/// A mode as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ModeArg {
    /// Reads only; differences are `drifted`
    Observe,
    /// Check, change where needed, expect
    Converge,
    /// Converge in a scratch scope, then take everything back
    Rehearse,
}

impl From<ModeArg> for runbook::outcome::Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Observe => Self::Observe,
            ModeArg::Converge => Self::Converge,
            ModeArg::Rehearse => Self::Rehearse,
        }
    }
}

fn name_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("not of the form NAME=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_has_an_example_in_its_help() {
        Cli::command().debug_assert();
        let mut cli = Cli::command();
        for command in cli.get_subcommands_mut() {
            let help = command.render_help().to_string();
            assert!(help.contains("Example: runbook "), "{help}");
        }
    }
}
