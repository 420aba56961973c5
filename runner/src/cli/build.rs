//! `build` and `serve`: the site from the book and what was recorded, in process, with the same `book.toml` as `mdbook build`.

use std::path::{Path, PathBuf};

use super::args::Global;
use super::failure::Failure;
use super::open::Opened;
use super::serve::{self, Served};
use super::shell::Shell;
use super::wait_for;
use crate::causes;
use crate::exit;
use crate::scratch::{self, Scratch};
use crate::site::{self, BuildError, How};

/// `build`.
pub(super) fn build(
    shell: &Shell,
    opened: &Opened,
    dest: Option<PathBuf>,
    open: bool,
) -> Result<u8, Failure> {
    let built = site::build(
        opened.dir(),
        How {
            profile: &opened.profile(),
            dest: dest.as_deref(),
            reload: None,
        },
    )
    .map_err(|error| told(opened, error))?;
    let index = built.pages.join("index.html");
    // As in `list`: the program ends. After `verify` it ends too.
    std::mem::forget(built);
    // With --json standard output is for machines only.
    if shell.json {
        shell.note(&format!("the site is `{}`", index.display()));
    } else {
        shell.out(&format!("the site is `{}`\n", index.display()))?;
    }
    if open {
        browse(shell, &index.display().to_string());
    }
    Ok(exit::OK)
}

/// `serve`.
pub(super) fn serve(
    shell: &Shell,
    global: &Global,
    port: u16,
    host: &str,
    open: bool,
) -> Result<u8, Failure> {
    let opened = Opened::find(global)?;
    scratch::sweep();
    let folder = Scratch::new().map_err(|error| {
        Failure::unavailable(format!("cannot make a folder for the site: {error}"), None)
    })?;
    let sites = ["site", "site-too"].map(|name| folder.path().join(name));
    site::build(opened.dir(), served(&opened.profile(), &sites[0]))
        .map_err(|error| told(&opened, error))?;
    let (book, profile) = (opened.root().to_owned(), opened.profile());
    let served = Served {
        root: opened.root().to_owned(),
        sites,
        watched: theme(opened.root()).into_iter().collect(),
        build: Box::new(move |dest| rebuild(&book, &profile, dest)),
    };
    let address = format!("{host}:{port}");
    let shell = *shell;
    wait_for(serve::serve(shell, served, &address, |url| {
        // A reader that went away does not end the server.
        let _ = shell.out(&format!("serving {url}\n"));
        if open {
            browse(&shell, url);
        }
    }))?
    .map_err(|error| {
        Failure::unavailable(
            format!("{error:#}"),
            Some("choose another port with --port".into()),
        )
    })?;
    Ok(exit::OK)
}

/// Opens the book anew: its `book.toml` may have changed too.
fn rebuild(book: &Path, profile: &str, dest: &Path) -> Result<(), String> {
    let dir = mdbook_runbook::disk::BookDir::find(Some(book))
        .map_err(|error| format!("error: {}", causes::chain(&error)))?;
    match site::build(&dir, served(profile, dest)) {
        Ok(_) => Ok(()),
        Err(BuildError::Invalid(diagnostics)) => Err(diagnostics
            .iter()
            .map(|finding| finding.render(false))
            .collect::<Vec<_>>()
            .join("\n")),
        Err(error) => Err(format!("error: {}", causes::chain(&error))),
    }
}

/// The theme's folder, when it lies outside of the book.
fn theme(root: &Path) -> Option<PathBuf> {
    let theme = root.parent()?.join("theme");
    theme.is_dir().then_some(theme)
}

fn served<'a>(profile: &'a str, dest: &'a Path) -> How<'a> {
    How {
        profile,
        dest: Some(dest),
        reload: Some(serve::RELOAD_ENDPOINT),
    }
}

fn told(opened: &Opened, error: BuildError) -> Failure {
    match error {
        BuildError::Invalid(diagnostics) => opened
            .unknown_profile(&diagnostics)
            .unwrap_or(Failure::Invalid(diagnostics)),
        BuildError::Disk(error) => super::open::disk(&error),
        BuildError::Records(error) => {
            Failure::invalid(causes::chain(&error), Some(error.hint().to_owned()))
        }
        BuildError::History(error) => error.into(),
        BuildError::Mdbook(message) => {
            Failure::invalid(format!("mdbook cannot build the site: {message}"), None)
        }
        error @ BuildError::Unwritable(_) => Failure::unavailable(
            error.to_string(),
            Some("free some space, or name a folder that can be written with --dest".into()),
        ),
        other => Failure::unavailable(causes::chain(&other), None),
    }
}

/// Asks the system to open a page; that it cannot is no failure of the command.
fn browse(shell: &Shell, page: &str) {
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let started = std::process::Command::new(opener)
        .arg(page)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    if started.is_err() {
        shell.warning(
            &format!("`{opener}` cannot be started, so no browser was opened"),
            Some(&format!("open {page} yourself")),
        );
    }
}
